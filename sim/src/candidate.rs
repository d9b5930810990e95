//! Clients that stand for elections with their leases: they campaign, proclaim, write under guard of
//! their token, ask who leads, resign, sometimes twice, campaign again, or let their lease end.

use std::time::Duration;

use etched::runtime::{Runtime, timeout};
use etched_proto::etcdserverpb as pb;
use etched_proto::v3electionpb::election_client::ElectionClient;
use etched_proto::v3electionpb::{CampaignRequest, LeaderKey, LeaderRequest, ProclaimRequest, ResignRequest};
use etched_testkit::Request;
use pb::request_op::Request as Op;

use crate::check::{OpId, Outcome, created_at};
use crate::client::{Connection, PATIENCE, Shared, lock, with_trace};
use crate::lessee::Lessee;
use crate::locker::QUEUE_PATIENCE_MS;
use crate::world::SimRuntime;

/// The elections.
pub(crate) const NAMES: [&str; 2] = ["election/1", "election/2"];

impl Lessee {
    /// Campaigns with lease `id`, and leads for a while.
    pub(crate) async fn campaign(&mut self, id: i64, ttl_ms: u64) {
        let name = *self.draws.pick(&NAMES).unwrap_or(&NAMES[0]);
        let Some(first) = self.wait_for_election(name, id, ttl_ms).await else { return };
        self.lead(name, &first, ttl_ms).await;
        match self.draws.below(5) {
            0 => {}
            1 => drop(self.operation(Request::LeaseRevoke(pb::LeaseRevokeRequest { id })).await),
            2 => {
                // Once more with the same lease, after a resignation or without one; what was won first
                // is given back late.
                if self.draws.coin() {
                    self.resign(&first).await;
                }
                let Some(second) = self.wait_for_election(name, id, ttl_ms).await else { return };
                self.resign(&first).await;
                self.lead(name, &second, ttl_ms).await;
                self.resign(&second).await;
            }
            _ => self.resign(&first).await,
        }
    }

    async fn wait_for_election(&mut self, name: &str, id: i64, ttl_ms: u64) -> Option<LeaderKey> {
        let channel = self.connection.channel().await?;
        let op = self.next_op();
        let value = self.said(op);
        let name = name.as_bytes();
        let wanted = lock(&self.shared.checks).on_campaign(op, self.number, name, id, &value);
        let patience = Duration::from_millis(500 + self.draws.below(QUEUE_PATIENCE_MS));
        let request = CampaignRequest { name: name.to_vec().into(), lease: id, value: value.clone().into() };
        let mut client = ElectionClient::new(channel);
        let campaign = client.campaign(with_trace(request, op));
        let leader = self.in_queue(op, id, ttl_ms, patience, campaign).await?.leader.unwrap_or_default();
        let checked = lock(&self.shared.checks).on_elected(&wanted, &leader.key, leader.rev, &value);
        self.shared.judge(checked);
        Some(leader)
    }

    async fn lead(&mut self, name: &str, leader: &LeaderKey, ttl_ms: u64) {
        for _ in 0..self.draws.below(5) {
            match self.draws.below(8) {
                // A long pause, as of a garbage collection: the lease may be over after it.
                0 => SimRuntime::sleep(Duration::from_millis(ttl_ms + self.draws.below(2000))).await,
                1 | 2 => self.keep_alive(leader.lease).await,
                3 => self.guarded_write(name, &leader.key, leader.rev).await,
                4 => {
                    if who_leads(&self.shared, &mut self.connection, name).await.is_none() {
                        self.give_up();
                    }
                }
                5 => SimRuntime::sleep(Duration::from_millis(self.draws.below(300))).await,
                _ => self.proclaim(leader).await,
            }
        }
    }

    /// What is said as operation `op`, never twice.
    fn said(&self, op: OpId) -> Vec<u8> {
        format!("e{}.{}", self.number, op & u64::from(u32::MAX)).into_bytes()
    }

    async fn proclaim(&mut self, leader: &LeaderKey) {
        let Some(channel) = self.connection.channel().await else { return };
        let op = self.next_op();
        let value = self.said(op);
        let (key, text, lease) = (leader.key.clone(), value.clone().into(), leader.lease);
        let put = Op::RequestPut(pb::PutRequest { key, value: text, lease, ..Default::default() });
        lock(&self.shared.checks).on_call(op, self.number, guarded(leader, put));
        let request = ProclaimRequest { leader: Some(leader.clone()), value: value.clone().into() };
        let mut client = ElectionClient::new(channel);
        let answer = timeout::<SimRuntime, _>(PATIENCE, client.proclaim(with_trace(request, op))).await;
        // The answer is not the transaction's; what it says is judged by itself.
        let checked = lock(&self.shared.checks).on_return(op, Outcome::Unknown);
        self.shared.judge(checked);
        let proclaimed = match answer {
            Some(Ok(answer)) => {
                let revision = answer.into_inner().header.map_or(0, |header| header.revision);
                Some((value.as_slice(), revision))
            }
            Some(Err(status)) if status.message().contains("not leader") => None,
            _ => return self.give_up(),
        };
        let checked = lock(&self.shared.checks).on_proclaimed(&leader.key, leader.rev, proclaimed);
        self.shared.judge(checked);
    }

    async fn resign(&mut self, leader: &LeaderKey) {
        let Some(channel) = self.connection.channel().await else { return };
        let op = self.next_op();
        let delete = pb::DeleteRangeRequest { key: leader.key.clone(), ..Default::default() };
        let delete = Op::RequestDeleteRange(delete);
        lock(&self.shared.checks).on_call(op, self.number, guarded(leader, delete));
        let request = ResignRequest { leader: Some(leader.clone()) };
        let mut client = ElectionClient::new(channel);
        let answer = timeout::<SimRuntime, _>(PATIENCE, client.resign(with_trace(request, op))).await;
        let checked = lock(&self.shared.checks).on_return(op, Outcome::Unknown);
        self.shared.judge(checked);
        if !matches!(answer, Some(Ok(_))) {
            return self.give_up();
        }
        let checked = lock(&self.shared.checks).on_proclaimed(&leader.key, leader.rev, None);
        self.shared.judge(checked);
    }
}

/// Asks who leads `name`. `None` if no answer came.
pub(crate) async fn who_leads(shared: &Shared, connection: &mut Connection, name: &str) -> Option<()> {
    let channel = connection.channel().await?;
    let question = lock(&shared.checks).on_leader_asked(name.as_bytes());
    let mut client = ElectionClient::new(channel);
    let request = LeaderRequest { name: name.as_bytes().to_vec().into() };
    let checked = match timeout::<SimRuntime, _>(PATIENCE, client.leader(request)).await {
        Some(Ok(answer)) => {
            let answer = answer.into_inner();
            let revision = answer.header.map_or(0, |header| header.revision);
            let kv = answer.kv.unwrap_or_default();
            lock(&shared.checks).on_leader(&question, Some((&kv, revision)))
        }
        Some(Err(status)) if status.message().contains("no leader") => {
            lock(&shared.checks).on_leader(&question, None)
        }
        _ => return None,
    };
    shared.judge(checked);
    Some(())
}

/// `op`, if `leader` still leads.
fn guarded(leader: &LeaderKey, op: Op) -> Request {
    let compare = vec![created_at(&leader.key, leader.rev)];
    let success = vec![pb::RequestOp { request: Some(op) }];
    Request::Txn(pb::TxnRequest { compare, success, failure: Vec::new() })
}
