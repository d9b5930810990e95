//! Doctored lives of leases: each of the rules.

use etched::runtime::{Observation, Role};
use etched::types::{LogPosition, RequestId};
use etched_proto::etcdserverpb as pb;
use etched_testkit::Request;
use etched_testkit::model::Model;

use crate::check::{Checked, History, Leases};

use super::broken;

/// A cluster whose leaders are told what to do. Times are milliseconds.
#[derive(Default)]
struct Script {
    history: History,
    leases: Leases,
    /// What the product would hold.
    store: Model,
    index: u64,
    op: u64,
    /// What all members' clocks show.
    at: u64,
}

impl Script {
    /// With lease 7 of 2 s, attached to the keys a and b, and running since 1000 on node 1's clock.
    fn new() -> Self {
        let mut script = Script::default();
        script.leads(1, 1, 0);
        script.client(Request::LeaseGrant(pb::LeaseGrantRequest { id: 7, ttl: 2 })).unwrap();
        for key in ["a", "b"] {
            let key = key.as_bytes().to_vec().into();
            script.client(Request::Put(pb::PutRequest { key, lease: 7, ..Default::default() })).unwrap();
        }
        script.tick(1, 1, 1000, 1000, &[], &[]).unwrap();
        script
    }

    fn leads(&mut self, node: u32, term: u64, at: u64) {
        let role = Observation::RoleChanged { term, role: Role::Leader, leader: None };
        self.leases.observe(at * 1_000_000, node, at * 1_000_000, &role);
    }

    fn applied(&mut self, time: u64, request_id: RequestId) -> Checked {
        let (index, revision) = (self.index, self.store.revision());
        self.index += 1;
        let position = LogPosition { term: 1, leader: 1, index };
        self.history.applied(position, Some(request_id), revision)?;
        let changes = self.history.take_lease_changes();
        self.leases.applied(time * 1_000_000, position, Some(request_id), revision, &changes)
    }

    fn client(&mut self, request: Request) -> Checked {
        self.op += 1;
        let request_id = RequestId { member: 1, incarnation: 1, sequence: self.op };
        let _ = self.store.apply(&request);
        self.history.call(self.op, 1, request);
        self.history.proposed(request_id, Some(self.op))?;
        self.applied(0, request_id)
    }

    /// The leader of `term`, whose own clock shows `at`, moves the lease clock to `clock_ms`.
    fn tick(
        &mut self,
        node: u32,
        term: u64,
        at: u64,
        clock_ms: u64,
        renewed: &[i64],
        expired: &[i64],
    ) -> Checked {
        self.op += 1;
        self.at = at;
        let request_id = RequestId { member: node.into(), incarnation: 1, sequence: self.op };
        let (renewed, expired) = (renewed.to_vec(), expired.to_vec());
        for id in &expired {
            let _ = self.store.apply(&Request::LeaseRevoke(pb::LeaseRevokeRequest { id: *id }));
        }
        self.history.leases_expired(self.index, &expired);
        let own = Observation::Proposed { request_id, trace: None };
        self.leases.observe(at * 1_000_000, node, at * 1_000_000, &own);
        let ticked = Observation::LeaseTicked { index: self.index, term, clock_ms, renewed, expired };
        self.leases.observe(at * 1_000_000, node, at * 1_000_000, &ticked);
        self.history.proposed(request_id, None)?;
        self.applied(at, request_id)
    }

    /// Somebody keeps lease 7 alive from now on, and the TTL is long enough.
    fn keeps_on(&mut self) {
        self.leases.keeps_alive(&self.history, 7);
        self.tick(1, 1, 2500, 2500, &[7], &[]).unwrap();
    }

    fn keep_alive(&mut self, ttl: i64) -> Checked {
        let asked = self.leases.keeps_alive(&self.history, 7);
        self.leases.kept_alive(&asked, ttl)
    }

    fn time_to_live(&mut self, ttl: i64, granted_ttl: i64, keys: &[&'static str]) -> Checked {
        let asked = self.leases.asked(&self.history, 7);
        let header = Some(pb::ResponseHeader { revision: self.store.revision(), ..Default::default() });
        let keys = keys.iter().map(|key| bytes::Bytes::from_static(key.as_bytes())).collect();
        let answer = pb::LeaseTimeToLiveResponse { header, id: 7, ttl, granted_ttl, keys };
        let at_ns = self.at * 1_000_000;
        self.leases.time_to_live(&self.history, &asked, true, &answer, |_| at_ns)
    }

    fn list(&self, ids: &[i64], revision: i64) -> Checked {
        let header = Some(pb::ResponseHeader { revision, ..Default::default() });
        let leases = ids.iter().map(|id| pb::LeaseStatus { id: *id }).collect();
        self.leases.listed(&pb::LeaseLeasesResponse { header, leases })
    }
}

#[test]
fn a_whole_life_passes() {
    let mut script = Script::new();
    let asked = script.leases.keeps_alive(&script.history, 7);
    assert_eq!(script.tick(1, 1, 2000, 2000, &[7], &[]), Ok(()));
    assert_eq!(script.leases.kept_alive(&asked, 2), Ok(()));
    assert_eq!(script.time_to_live(2, 2, &["a", "b"]), Ok(()));
    assert_eq!(script.tick(1, 1, 3500, 3500, &[], &[]), Ok(()));
    assert_eq!(script.time_to_live(0, 2, &["a", "b"]), Ok(()));
    assert_eq!(script.list(&[7], 3), Ok(()));
    assert_eq!(script.tick(1, 1, 4050, 4050, &[], &[7]), Ok(()));
    assert_eq!((script.keep_alive(0), script.time_to_live(-1, 0, &[])), (Ok(()), Ok(())));
    assert_eq!((script.list(&[], 4), script.leases.alive()), (Ok(()), 0));
    assert_eq!(script.leases.counts().expired, 1);
}

#[test]
fn early() {
    let mut script = Script::new();
    assert_eq!(broken(script.tick(1, 1, 2990, 2990, &[], &[7])), "lease-early");
    // It ends in the step that would let it begin to run.
    let mut script = Script::new();
    script.client(Request::LeaseGrant(pb::LeaseGrantRequest { id: -3, ttl: 2 })).unwrap();
    assert_eq!(broken(script.tick(1, 1, 2000, 2000, &[], &[-3])), "lease-early");
    // The lease clock follows another than the leader's own.
    let mut script = Script::new();
    assert_eq!(broken(script.tick(1, 1, 1100, 1500, &[], &[])), "lease-early");
    // What a leader's clock says about the time before it led does not count.
    let mut script = Script::new();
    script.leads(2, 2, 50_000);
    assert_eq!(script.tick(2, 2, 50_900, 1900, &[], &[]), Ok(()));
    assert_eq!(broken(script.tick(2, 2, 51_900, 2900, &[], &[7])), "lease-early");
}

#[test]
fn gone() {
    let mut script = Script::new();
    assert_eq!(script.tick(1, 1, 3040, 3040, &[], &[]), Ok(()));
    assert_eq!(broken(script.tick(1, 1, 3060, 3060, &[], &[])), "lease-gone");
    // Renewed, but not by a client.
    let mut script = Script::new();
    assert_eq!(broken(script.tick(1, 1, 1100, 1100, &[7], &[])), "lease-gone");
    // A handover lengthens by the gap, but the new leader's own steps count.
    let mut script = Script::new();
    script.leads(2, 2, 9000);
    assert_eq!(script.tick(2, 2, 9500, 1000, &[], &[]), Ok(()));
    assert_eq!(script.tick(2, 2, 10_500, 2000, &[], &[]), Ok(()));
    assert_eq!(script.tick(2, 2, 11_540, 3040, &[], &[]), Ok(()));
    assert_eq!(broken(script.tick(2, 2, 11_560, 3060, &[], &[])), "lease-gone");
    // After a heal it must go, even if the clock stands still.
    let mut script = Script::new();
    script.leases.healed(5_000_000_000);
    assert_eq!(script.leases.are_gone(16_900_000_000), Ok(()));
    assert_eq!(broken(script.leases.are_gone(17_100_000_000)), "lease-gone");
}

#[test]
fn handover() {
    let mut script = Script::new();
    script.leads(2, 2, 9000);
    assert_eq!(broken(script.tick(2, 2, 9500, 1600, &[], &[])), "lease-handover");
    let mut script = Script::new();
    script.leads(2, 2, 9000);
    assert_eq!(script.tick(2, 2, 9500, 1400, &[], &[]), Ok(()));
    assert_eq!(broken(script.tick(1, 1, 1500, 1500, &[], &[])), "lease-handover");
}

#[test]
fn dead() {
    let mut script = Script::new();
    script.client(Request::LeaseRevoke(pb::LeaseRevokeRequest { id: 7 })).unwrap();
    assert_eq!(broken(script.keep_alive(2)), "lease-dead");
    assert_eq!(broken(script.time_to_live(1, 2, &[])), "lease-dead");
    assert_eq!(broken(script.list(&[7], 4)), "lease-dead");
    assert_eq!(broken(script.list(&[8], 2)), "lease-dead");
    assert_eq!(broken(script.tick(1, 1, 1100, 1100, &[7], &[])), "lease-dead");
    let mut script = Script::new();
    assert_eq!(broken(script.tick(1, 1, 1100, 1100, &[], &[8])), "lease-dead");
    // Renewed and ended at once.
    let mut script = Script::new();
    script.leases.keeps_alive(&script.history, 7);
    assert_eq!(broken(script.tick(1, 1, 3050, 3050, &[7], &[7])), "lease-dead");
}

#[test]
fn kept() {
    let mut script = Script::new();
    assert_eq!(broken(script.keep_alive(0)), "lease-kept");
    assert_eq!(broken(script.keep_alive(3)), "lease-kept");
    // Answered, but not renewed since it was asked for.
    script.leases.keeps_alive(&script.history, 7);
    assert_eq!(script.tick(1, 1, 1100, 1100, &[7], &[]), Ok(()));
    assert_eq!(broken(script.keep_alive(2)), "lease-kept");
    assert_eq!(broken(script.time_to_live(-1, 0, &[])), "lease-kept");
    assert_eq!(broken(script.list(&[], 3)), "lease-kept");
}

#[test]
fn countdown() {
    let mut script = Script::new();
    assert_eq!(broken(script.time_to_live(3, 2, &["a", "b"])), "lease-countdown");
    assert_eq!(script.time_to_live(1, 2, &["a", "b"]), Ok(()));
    assert_eq!(broken(script.time_to_live(2, 2, &["a", "b"])), "lease-countdown");
    // A new leader may give some time back.
    script.leads(2, 2, 9000);
    assert_eq!(script.time_to_live(2, 2, &["a", "b"]), Ok(()));
    // More than the leader's own clock leaves.
    let mut script = Script::new();
    assert_eq!(script.tick(1, 1, 2100, 2100, &[], &[]), Ok(()));
    assert_eq!(broken(script.time_to_live(1, 2, &["a", "b"])), "lease-countdown");
    // Less than that: since the step 0.990 s have passed, then 1.010 s.
    let mut script = Script::new();
    script.at = 1990;
    assert_eq!(broken(script.time_to_live(0, 2, &["a", "b"])), "lease-countdown");
    script.at = 2010;
    assert_eq!(script.time_to_live(0, 2, &["a", "b"]), Ok(()));
}

#[test]
fn steady() {
    let mut script = Script::new();
    script.keeps_on();
    assert_eq!(script.tick(1, 1, 4000, 4000, &[7], &[]), Ok(()));
    assert_eq!(script.tick(1, 1, 5490, 5490, &[7], &[]), Ok(()));
    assert_eq!(broken(script.tick(1, 1, 7000, 7000, &[7], &[])), "lease-steady");
    // Something was wrong not long ago.
    let mut script = Script::new();
    script.keeps_on();
    script.leases.link(1_500_000_000, 1, 2, true);
    assert_eq!(script.tick(1, 1, 4000, 4000, &[7], &[]), Ok(()));
    assert_eq!(script.tick(1, 1, 5900, 5900, &[7], &[]), Ok(()));
}

#[test]
fn atomic() {
    let mut script = Script::new();
    assert_eq!(broken(script.time_to_live(1, 2, &["a"])), "lease-atomic");
    // Only one of its keys goes with it.
    let mut script = Script::new();
    script
        .store
        .apply(&Request::Put(pb::PutRequest { key: b"b".to_vec().into(), ..Default::default() }))
        .unwrap();
    assert_eq!(broken(script.tick(1, 1, 3050, 3050, &[], &[7])), "lease-atomic");
}

#[test]
fn a_stale_answer() {
    let mut script = Script::new();
    let get = pb::RangeRequest { key: b"a".to_vec().into(), ..Default::default() };
    let get = Request::Range(get);
    script.history.call(99, 2, get.clone());
    let answer = script.store.apply(&get).unwrap();
    script.history.returned(99, crate::check::Outcome::Answer(answer)).unwrap();
    let asked = script.leases.asked(&script.history, 7);
    let header = Some(pb::ResponseHeader { revision: 2, ..Default::default() });
    let answer = pb::LeaseTimeToLiveResponse { header, id: 7, ttl: 1, granted_ttl: 2, keys: Vec::new() };
    assert_eq!(
        broken(script.leases.time_to_live(&script.history, &asked, false, &answer, |_| 0)),
        "stale-read"
    );
}
