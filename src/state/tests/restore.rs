//! Restore: the same state from its parts, a clear error for anything else.

use super::{apply, compact, delete, put, put_request};
use crate::mvcc::BadHistory;
use crate::state::{RestoreError, State, StateMeta};
use crate::types::{Command, KeyValue, LeaseRecord, LeaseTick, Member, PutRequest, Revision};

fn filled() -> State {
    let mut state = State::new();
    apply(&mut state, Command::LeaseGrant { id: 7, ttl: 60 });
    apply(&mut state, Command::LeaseTick(LeaseTick { term: 2, clock_ms: 300, renewed: vec![] }));
    apply(&mut state, Command::Publish(Member { id: 1, name: "one".to_owned(), ..Member::default() }));
    for round in 0..5 {
        for key in ["a", "b", "c"] {
            put(&mut state, key, &round.to_string());
        }
        delete(&mut state, "b", "\0");
    }
    apply(&mut state, Command::Put(PutRequest { lease: 7, ..put_request("d", "1") }));
    compact(&mut state, 12).expect("a past revision");
    state
}

fn parts(state: &State) -> (StateMeta, Vec<LeaseRecord>, Vec<KeyValue>) {
    let view = state.view();
    (state.meta(), view.lease_records().collect(), view.records().collect())
}

fn error(change: impl FnOnce(&mut StateMeta, &mut Vec<KeyValue>)) -> RestoreError {
    let (mut meta, leases, mut records) = parts(&filled());
    change(&mut meta, &mut records);
    State::restore(meta, leases, records.into_iter()).expect_err("damaged")
}

fn error_of_leases(change: impl FnOnce(&mut Vec<LeaseRecord>)) -> RestoreError {
    let (meta, mut leases, records) = parts(&filled());
    change(&mut leases);
    State::restore(meta, leases, records.into_iter()).expect_err("damaged")
}

#[test]
fn restores_the_same_state() {
    let state = filled();
    let (meta, leases, records) = parts(&state);
    let restored = State::restore(meta.clone(), leases.clone(), records.clone().into_iter()).expect("valid");
    assert_eq!(parts(&restored), (meta, leases, records));
    assert_eq!(restored.digest(), state.digest());
    assert_eq!(restored.recompute_digest(), state.digest());
    assert_eq!(restored.view().hash_kv(0), state.view().hash_kv(0));
    let keys = |state: &State| state.leases().get(7).map(|lease| lease.keys().count());
    assert_eq!((keys(&restored), keys(&state)), (Some(1), Some(1)));
}

#[test]
fn restores_the_empty_state() {
    let state = State::new();
    let restored = State::restore(state.meta(), [], std::iter::empty()).expect("valid");
    assert_eq!(restored.digest(), state.digest());
}

#[test]
fn takes_records_that_are_logically_gone() {
    let mut state = filled();
    let (meta, leases, kept) = parts(&state);
    let mut all = State::new();
    std::mem::swap(&mut all, &mut state);
    let held: Vec<_> = all.store.changes_held().cloned().collect();
    assert!(held.len() > kept.len());
    let mut restored = State::restore(meta, leases, held.into_iter()).expect("valid");
    assert_eq!(restored.view().records().collect::<Vec<_>>(), kept);
    assert_eq!(restored.remove_some(1000).removed, all.remove_some(1000).removed);
    assert_eq!(restored.view().records().collect::<Vec<_>>(), kept);
}

#[test]
fn refuses_damage() {
    let at = |main, sub| Revision { main, sub };
    let history = RestoreError::History;
    assert_eq!(error(|meta, _| meta.level = 99), RestoreError::Level(99));
    assert_eq!(error_of_leases(|leases| leases.extend_from_within(..)), RestoreError::Entry(7));
    let missing = RestoreError::Lease { record: at(22, 0), lease: 7 };
    assert_eq!(error_of_leases(Vec::clear), missing);
    assert!(matches!(error_of_leases(|leases| leases[0].deadline = Some(1)), RestoreError::Sum { .. }));
    assert_eq!(error(|_, records| records.swap(0, 1)), history(BadHistory::Order(at(10, 0))));
    assert_eq!(error(|meta, _| meta.revision = 21), history(BadHistory::Future(at(22, 0))));
    assert_eq!(error(|meta, _| meta.revision = 23), history(BadHistory::Gap(at(23, 0))));
    assert_eq!(error(|_, records| drop(records.remove(5))), history(BadHistory::Gap(at(14, 0))));
    let bad = BadHistory::Revisions { revision: 22, compact_revision: 23 };
    assert_eq!(error(|meta, _| meta.compact_revision = 23), history(bad));
    assert!(matches!(error(|meta, _| meta.sum += 1), RestoreError::Sum { .. }));
    assert!(error(|meta, _| meta.revision = 23).to_string().contains("23.0 is missing"));
}
