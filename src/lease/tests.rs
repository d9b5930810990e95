//! Rows L1, L2, L4, L10, L13 and the clock, on the bare table.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Lease, Leases};
use crate::types::limits::{LEASE_GRACE_MS, MAX_LEASE_TTL_S};
use crate::types::{Error, KeyValue, KeyValueFields, LeaseId, LeaseRecord};

fn record(key: &[u8], lease: i64) -> KeyValue {
    KeyValue::new(KeyValueFields { version: 1, lease, ..KeyValueFields::default() }, key, b"")
}

fn deadline(leases: &Leases, id: LeaseId) -> Option<u64> {
    leases.get(id).and_then(Lease::deadline)
}

/// A tick without keep-alives.
fn tick(leases: &mut Leases, term: u64, clock: u64) {
    let before = leases.clock();
    leases.advance(term, clock).expect("a tick of the present term");
    for id in leases.take_fresh() {
        leases.renew(id, before).expect("a fresh lease is alive");
    }
}

#[test]
fn l1_l2_grant_is_checked() {
    let mut leases = Leases::default();
    assert_eq!(leases.grant(7, 10), Ok(()));
    assert_eq!(leases.grant(7, 10), Err(Error::LeaseExists));
    assert_eq!(leases.grant(0, 10), Err(Error::LeaseNotFound));
    assert_eq!(leases.grant(8, MAX_LEASE_TTL_S + 1), Err(Error::LeaseTtlTooLarge));
    assert_eq!(leases.grant(-8, MAX_LEASE_TTL_S), Ok(()));
    assert_eq!(leases.get(7).map(Lease::ttl), Some(10));
    assert_eq!(leases.len(), 2);
}

#[test]
fn l4_l13_keys_follow_their_lease() {
    let mut leases = Leases::default();
    leases.grant(7, 10).expect("new id");
    assert!(leases.attach(&record(b"b", 7)));
    assert!(leases.attach(&record(b"a", 7)));
    assert!(leases.attach(&record(b"c", 7)));
    assert!(leases.attach(&record(b"a", 7)));
    assert!(leases.attach(&record(b"free", 0)));
    assert!(!leases.attach(&record(b"a", 9)));
    let keys = |leases: &Leases| -> Vec<Vec<u8>> {
        leases.get(7).into_iter().flat_map(Lease::keys).map(|kv| kv.key().to_vec()).collect()
    };
    assert_eq!(keys(&leases), [b"a", b"b", b"c"]);
    leases.detach(&record(b"a", 7));
    leases.detach(&record(b"c", 7));
    assert_eq!(keys(&leases), [b"b"]);
    leases.detach(&record(b"b", 7));
    leases.detach(&record(b"b", 7));
    assert!(keys(&leases).is_empty());
    assert!(leases.revoke(7).is_ok());
    assert_eq!(leases.revoke(7).err(), Some(Error::LeaseNotFound));
}

#[test]
fn a_grant_runs_from_the_tick_that_settles_it() {
    let mut leases = Leases::default();
    tick(&mut leases, 1, 5_000);
    leases.grant(7, 10).expect("new id");
    assert!(leases.has_fresh());
    assert_eq!((deadline(&leases, 7), leases.next_look()), (None, None));
    let lease = leases.get(7).expect("granted");
    assert_eq!(Leases::remaining_ms(lease, 99_000), 10_000);
    tick(&mut leases, 1, 5_100);
    let end = 15_100 + LEASE_GRACE_MS;
    assert!(!leases.has_fresh());
    assert_eq!((deadline(&leases, 7), leases.next_look()), (Some(end), Some(end)));
    let lease = leases.get(7).expect("granted");
    assert_eq!(Leases::remaining_ms(lease, 6_100), 9_000);
    assert_eq!(Leases::remaining_ms(lease, end + 1), 0);
}

#[test]
fn due_from_its_deadline_on_and_not_before() {
    let mut leases = Leases::default();
    leases.grant(7, 10).expect("new id");
    leases.grant(-7, 2).expect("new id");
    tick(&mut leases, 1, 0);
    tick(&mut leases, 1, 1_999 + LEASE_GRACE_MS);
    assert_eq!(leases.first_due(), None);
    tick(&mut leases, 1, 2_000 + LEASE_GRACE_MS);
    assert_eq!(leases.first_due(), Some(-7));
    assert!(leases.revoke(-7).is_ok());
    assert_eq!(leases.first_due(), None);
    assert_eq!(leases.by_expiry(), [7]);
}

#[test]
fn renewal_begins_anew_but_not_after_the_end() {
    let mut leases = Leases::default();
    leases.grant(7, 2).expect("new id");
    tick(&mut leases, 1, 0);
    leases.advance(1, 1_000).expect("the present term");
    let (old, new) = leases.renew(7, 0).expect("alive");
    assert_eq!((old.deadline, new.deadline), (Some(2_000 + LEASE_GRACE_MS), Some(3_000 + LEASE_GRACE_MS)));
    // Kept alive by the tick that would have ended it: it was alive before.
    leases.advance(1, 9_000).expect("the present term");
    assert!(leases.renew(7, 1_000).is_some());
    leases.advance(1, 99_000).expect("the present term");
    assert_eq!((leases.renew(7, 99_000), leases.renew(8, 0)), (None, None));
    assert_eq!(leases.first_due(), Some(7));
}

#[test]
fn the_clock_never_goes_back_and_old_leaders_do_not_move_it() {
    let mut leases = Leases::default();
    assert_eq!(leases.advance(3, 500), Ok(()));
    assert_eq!(leases.advance(3, 400), Ok(()));
    assert_eq!(leases.clock(), 500);
    assert_eq!(leases.advance(2, 900), Err(Error::NotLeader));
    assert_eq!((leases.clock(), leases.term()), (500, 3));
    assert_eq!(leases.advance(4, 600), Ok(()));
    assert_eq!((leases.clock(), leases.term()), (600, 4));
}

#[test]
fn l7_ordered_by_expiry() {
    let mut leases = Leases::default();
    leases.grant(1, 30).expect("new id");
    leases.grant(2, 10).expect("new id");
    tick(&mut leases, 1, 100);
    leases.grant(3, 20).expect("new id");
    leases.grant(-4, 9).expect("new id");
    assert_eq!(leases.by_expiry(), [-4, 2, 3, 1]);
}

#[test]
fn comes_back_from_its_records() {
    let mut leases = Leases::default();
    for id in [i64::MIN, -1, 1, i64::MAX] {
        leases.grant(id, (id / 2).abs().clamp(2, MAX_LEASE_TTL_S)).expect("new id");
    }
    tick(&mut leases, 2, 77);
    leases.grant(5, 5).expect("new id");
    let records: Vec<LeaseRecord> = leases.records().collect();
    let again = Leases::restore(77, 2, records.clone()).expect("valid");
    assert_eq!(again.records().collect::<Vec<_>>(), records);
    assert_eq!((again.by_expiry(), again.has_fresh()), (leases.by_expiry(), true));
    let twice = records.iter().chain(&records[..1]).copied();
    assert_eq!(Leases::restore(0, 0, twice).err(), Some(i64::MIN));
    let none = LeaseRecord { id: 0, ttl: 1, deadline: None };
    assert_eq!(Leases::restore(0, 0, [none]).err(), Some(0));
}

/// What happens to leases, with an id or a time.
#[derive(Clone, Debug)]
enum Step {
    Grant(LeaseId, i64),
    Renew(LeaseId),
    Revoke(LeaseId),
    Tick(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1i64..6, 2i64..9).prop_map(|(id, ttl)| Step::Grant(id, ttl)),
        (1i64..6).prop_map(Step::Renew),
        (1i64..6).prop_map(Step::Revoke),
        (0u64..5_000).prop_map(Step::Tick),
    ]
}

/// Deadlines by id, in a plain table; `None` until a tick.
#[derive(Default)]
struct Model(BTreeMap<LeaseId, (i64, Option<u64>)>);

impl Model {
    fn settle(&mut self, clock: u64) {
        for (ttl, deadline) in self.0.values_mut() {
            deadline.get_or_insert(clock + *ttl as u64 * 1000 + LEASE_GRACE_MS);
        }
    }

    fn renew(&mut self, id: LeaseId, before: u64, clock: u64) -> bool {
        let Some((ttl, deadline)) = self.0.get_mut(&id) else { return false };
        if deadline.is_some_and(|deadline| deadline <= before) {
            return false;
        }
        *deadline = Some(clock + *ttl as u64 * 1000 + LEASE_GRACE_MS);
        true
    }

    /// Those that are due, in their order.
    fn take_due(&mut self, clock: u64) -> Vec<LeaseId> {
        let is_due = |deadline: Option<u64>| deadline.is_some_and(|deadline| deadline <= clock);
        let mut due: Vec<_> =
            self.0.iter().filter(|(_, (_, end))| is_due(*end)).map(|(id, (_, end))| (*end, *id)).collect();
        due.sort_unstable();
        self.0.retain(|_, (_, end)| !is_due(*end));
        due.into_iter().map(|(_, id)| id).collect()
    }
}

proptest! {
    /// However often a lease is renewed, it ends at its last deadline, in the order of deadlines, and
    /// stands in the queue once. One that was restored on the way ends with it.
    #[test]
    fn leases_end_in_the_order_of_their_deadlines(
        steps in proptest::collection::vec(step(), 1..60),
        restored in 0usize..60,
    ) {
        let (mut leases, mut model) = (Leases::default(), Model::default());
        for (n, step) in steps.into_iter().enumerate() {
            if n == restored {
                leases = Leases::restore(leases.clock(), 1, leases.records()).expect("its own records");
            }
            let before = leases.clock();
            match step {
                Step::Grant(id, ttl) => {
                    let is_new = leases.grant(id, ttl).is_ok();
                    prop_assert_eq!(is_new, !model.0.contains_key(&id));
                    model.0.entry(id).or_insert((ttl, None));
                }
                Step::Revoke(id) => prop_assert_eq!(leases.revoke(id).is_ok(), model.0.remove(&id).is_some()),
                // A tick renews at its own clock; what was granted since the last one is settled first.
                Step::Renew(id) => {
                    tick(&mut leases, 1, before);
                    model.settle(before);
                    prop_assert_eq!(leases.renew(id, before).is_some(), model.renew(id, before, before));
                }
                Step::Tick(passed) => {
                    let clock = before + passed;
                    tick(&mut leases, 1, clock);
                    model.settle(clock);
                    let due = model.take_due(clock);
                    prop_assert!(due.is_empty() || leases.next_look().is_some_and(|at| at <= clock));
                    let mut ended = Vec::new();
                    while let Some(id) = leases.first_due() {
                        leases.revoke(id).expect("it is due");
                        ended.push(id);
                    }
                    prop_assert_eq!(ended, due);
                }
            }
            let deadlines: Vec<_> = leases.iter().map(|(id, lease)| (id, lease.deadline())).collect();
            prop_assert_eq!(deadlines, model.0.iter().map(|(id, (_, end))| (*id, *end)).collect::<Vec<_>>());
            prop_assert_eq!(leases.looks(), model.0.values().filter(|(_, end)| end.is_some()).count());
        }
    }
}
