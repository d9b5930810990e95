//! Random commands against a naive store: full copies of the map at every revision.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{all_at, apply, delete_request, put_request};
use crate::state::{Applied, State};
use crate::types::{
    Command, CompactionRequest, Event, KeyValue, LeaseTick, Member, PutRequest, RequestOp, TxnRequest,
};

/// What the map was after each revision, and every event.
#[derive(Default)]
struct Naive {
    maps: Vec<(i64, BTreeMap<Vec<u8>, KeyValue>)>,
    events: Vec<Event>,
}

impl Naive {
    fn take(&mut self, applied: &Applied) {
        let old = self.maps.last().map(|(_, map)| map.clone()).unwrap_or_default();
        let mut map = old.clone();
        for event in &applied.events {
            assert_eq!(event.kv.revision().main, applied.revision);
            let key = event.kv.key().to_vec();
            assert_eq!(event.prev_kv.as_ref(), old.get(&key).filter(|_| !event.kv.is_create()));
            if event.kv.is_tombstone() {
                map.remove(&key)
            } else {
                map.insert(key, event.kv.clone())
            };
        }
        self.events.extend(applied.events.iter().cloned());
        self.maps.push((applied.revision, map));
    }

    fn check(&self, state: &State) {
        let view = state.view();
        for (revision, map) in &self.maps {
            if *revision >= view.compact_revision() {
                let answer = view.range(&all_at(*revision)).expect("readable");
                assert!(answer.kvs.iter().eq(map.values()), "at {revision}");
            }
        }
        let compacted = view.compact_revision();
        let expected = self.events.iter().filter(|event| event.kv.revision().main >= compacted);
        let mut shown = view.changes(compacted).map(|record| view.event(&record));
        for event in expected {
            let got = shown.next().expect("as many events");
            assert_eq!(got.kv, event.kv);
            let known = event.kv.revision().main > compacted;
            assert_eq!(got.prev_kv, event.prev_kv.clone().filter(|_| known));
        }
        assert_eq!(shown.next(), None);
    }

    /// C2, from first principles.
    fn survivors(&self, compacted: i64) -> Vec<KeyValue> {
        let records = || self.events.iter().map(|event| &event.kv);
        let stays = |record: &&KeyValue| {
            let at = record.revision();
            let newer = records().any(|other| {
                other.key() == record.key() && other.revision() > at && other.revision().main <= compacted
            });
            at.main >= compacted || (!newer && !record.is_tombstone())
        };
        records().filter(stays).cloned().collect()
    }
}

fn key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c", "d", "e"])
}

fn put() -> impl Strategy<Value = PutRequest> {
    (key(), 0..4_u8, 0..4_i64, any::<bool>(), any::<bool>()).prop_map(
        |(key, value, lease, keep, keep_lease)| PutRequest {
            lease: if lease < 3 { 0 } else { 3 },
            ignore_value: keep && value == 0,
            ignore_lease: keep_lease && lease == 0,
            ..put_request(key, &value.to_string())
        },
    )
}

fn op() -> impl Strategy<Value = RequestOp> {
    let leaf = prop_oneof![
        4 => put().prop_map(RequestOp::Put),
        2 => (key(), prop::sample::select(vec!["", "c", "\0"]))
            .prop_map(|(key, end)| RequestOp::DeleteRange(delete_request(key, end))),
        1 => (-1..9_i64).prop_map(|revision| RequestOp::Range(all_at(revision))),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop::collection::vec(inner, 0..3)
            .prop_map(|success| RequestOp::Txn(TxnRequest { success, ..TxnRequest::default() }))
    })
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        8 => put().prop_map(Command::Put),
        3 => (key(), prop::sample::select(vec!["", "c", "\0"]))
            .prop_map(|(key, end)| Command::DeleteRange(delete_request(key, end))),
        4 => prop::collection::vec(op(), 0..5)
            .prop_map(|success| Command::Txn(TxnRequest { success, ..TxnRequest::default() })),
        3 => (0..100_i64).prop_map(|revision| {
            Command::Compaction(CompactionRequest { revision, physical: false })
        }),
        2 => Just(Command::LeaseGrant { id: 3, ttl: 9 }),
        1 => Just(Command::LeaseRevoke { id: 3 }),
        3 => (1..3_u64, 0..20_000_u64, any::<bool>()).prop_map(|(term, clock_ms, renew)| {
            let renewed = if renew { vec![3] } else { vec![] };
            Command::LeaseTick(LeaseTick { term, clock_ms, renewed })
        }),
        1 => (1..3_u64).prop_map(|id| Command::Publish(Member { id, ..Member::default() })),
    ]
}

fn restored(state: &State, records: Vec<KeyValue>) -> State {
    State::restore(state.meta(), state.view().lease_records().collect::<Vec<_>>(), records.into_iter())
        .expect("own parts are valid")
}

fn check_equal(left: &State, right: &State) {
    assert_eq!(left.digest(), right.digest());
    assert_eq!(left.meta(), right.meta());
    assert!(left.view().records().eq(right.view().records()));
    for revision in 0..=left.revision() {
        assert_eq!(left.view().hash_kv(revision), right.view().hash_kv(revision));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn commands_against_the_naive_store(
        steps in prop::collection::vec((command(), 0..4_usize, any::<bool>()), 1..150)
    ) {
        let (mut eager, mut lazy) = (State::new(), State::new());
        let mut naive = Naive::default();
        let mut held = None;
        for (command, budget, keep_view) in steps {
            let applied = apply(&mut eager, command.clone());
            let other = apply(&mut lazy, command);
            prop_assert_eq!(&applied.response, &other.response);
            prop_assert_eq!(&applied.events, &other.events);
            naive.take(&applied);
            eager.remove_some(budget);
            if keep_view {
                held = Some((eager.view(), eager.digest(), naive.survivors(eager.compact_revision())));
            }
            prop_assert_eq!(eager.digest(), eager.recompute_digest());
        }
        while eager.remove_some(3).more {}
        naive.check(&eager);
        naive.check(&lazy);
        check_equal(&eager, &lazy);
        let survivors = naive.survivors(eager.compact_revision());
        prop_assert!(eager.view().records().eq(survivors.iter().cloned()));
        prop_assert!(eager.store.changes_held().eq(survivors.iter()));
        let mut logical = restored(&eager, survivors.clone());
        let physical = restored(&lazy, lazy.store.changes_held().cloned().collect());
        check_equal(&logical, &physical);
        check_equal(&logical, &lazy);
        naive.check(&logical);
        while logical.remove_some(5).more {}
        prop_assert!(logical.store.changes_held().eq(survivors.iter()));
        if let Some((view, digest, survivors)) = held {
            prop_assert_eq!(view.digest(), digest);
            prop_assert!(view.records().eq(survivors.into_iter()));
        }
    }
}
