//! Exactly-once retries.

use super::*;
use crate::types::limits::MAX_RETRY_CLIENTS;
use crate::types::{DeleteRangeRequest, Error, KeyRange, RequestOp, Response, ResponseOp, TxnRequest};

fn numbered(state: &mut State, client: u64, sequence: u64, command: Command) -> super::super::Applied {
    state.apply(&Envelope {
        request_id: RequestId::default(),
        caller: None,
        client: Some((client, sequence)),
        command,
    })
}

fn put_of(key: &str, value: &str) -> PutRequest {
    let (key, value) = (key.as_bytes().to_vec().into(), value.as_bytes().to_vec().into());
    PutRequest { key, value, ..PutRequest::default() }
}

fn put(key: &str, value: &str) -> Command {
    Command::Put(put_of(key, value))
}

fn delete(key: &str) -> DeleteRangeRequest {
    DeleteRangeRequest { range: KeyRange::single(key.as_bytes().to_vec()), prev_kv: false }
}

fn version(state: &State, key: &str) -> i64 {
    state.store.get(key.as_bytes()).map_or(0, |record| record.fields().version)
}

#[test]
fn a_retry_is_applied_once_and_answered_alike() {
    let mut state = State::new();
    let first = numbered(&mut state, 7, 1, put("a", "1"));
    numbered(&mut state, 8, 1, put("b", "1"));
    let digest = state.digest();
    let again = numbered(&mut state, 7, 1, put("a", "1"));
    assert_eq!((again.response, again.revision), (first.response, first.revision));
    assert!(again.events.is_empty());
    assert_eq!((version(&state, "a"), state.revision(), state.digest()), (1, 3, digest));
    // The next number is a new write, one before is too old to know.
    assert_eq!(numbered(&mut state, 7, 2, put("a", "2")).revision, 4);
    assert_eq!(numbered(&mut state, 7, 1, put("a", "1")).response, Err(Error::RetryTooOld));
    // A number that was used for something else.
    let other = numbered(&mut state, 7, 2, Command::DeleteRange(delete("a")));
    assert_eq!(other.response, Err(Error::RetryMismatch));
    assert_eq!((version(&state, "a"), state.revision()), (2, 4));
    assert_eq!(state.recompute_digest(), state.digest());
}

#[test]
fn deletes_and_transactions() {
    let mut state = State::new();
    for key in ["a", "b"] {
        numbered(&mut state, 1, u64::from(key.as_bytes()[0]), put(key, "x"));
    }
    let deleted = numbered(&mut state, 2, 1, Command::DeleteRange(delete("a")));
    let again = numbered(&mut state, 2, 1, Command::DeleteRange(delete("a")));
    assert_eq!((again.response, again.revision), (deleted.response, deleted.revision));
    let op = |key: &str| RequestOp::DeleteRange(delete(key));
    let success = vec![op("b"), RequestOp::Put(put_of("c", "1")), op("nothing")];
    let txn = || Command::Txn(TxnRequest { success: success.clone(), ..TxnRequest::default() });
    numbered(&mut state, 2, 2, txn());
    let again = numbered(&mut state, 2, 2, txn());
    let Ok(Response::Txn(response)) = again.response else { panic!("{again:?}") };
    let deleted: Vec<i64> = response
        .responses
        .iter()
        .map(|op| match op {
            ResponseOp::DeleteRange(_, response) => response.deleted,
            _ => -1,
        })
        .collect();
    assert_eq!((response.succeeded, deleted, again.revision), (true, vec![1, -1, 0], 5));
    assert_eq!((version(&state, "c"), state.recompute_digest()), (1, state.digest()));
}

#[test]
fn an_error_is_not_an_outcome() {
    let mut state = State::new();
    let ignore = Command::Put(PutRequest { ignore_value: true, ..put_of("a", "") });
    assert_eq!(numbered(&mut state, 1, 1, ignore.clone()).response, Err(Error::KeyNotFound));
    numbered(&mut state, 2, 1, put("a", "1"));
    assert!(numbered(&mut state, 1, 1, ignore).response.is_ok());
}

#[test]
fn memory_is_bounded_and_survives_a_restore() {
    let mut state = State::new();
    let clients = MAX_RETRY_CLIENTS as u64 + 10;
    for client in 1..=clients {
        numbered(&mut state, client, 1, put("k", "v"));
        // The first one stays in use.
        numbered(&mut state, 1, client + 1, put("k", "v"));
    }
    assert_eq!(state.retries.iter().count(), MAX_RETRY_CLIENTS);
    assert_eq!(state.recompute_digest(), state.digest());
    let records: Vec<_> = state.view().records().collect();
    let mut restored = State::restore(state.meta(), Vec::new(), records.into_iter()).expect("restores");
    assert_eq!(restored.digest(), state.digest());
    let revision = state.revision();
    for state in [&mut state, &mut restored] {
        // Remembered, and forgotten.
        assert_eq!(numbered(state, clients, 1, put("k", "v")).revision, revision - 1);
        assert_eq!(numbered(state, 2, 1, put("k", "v")).revision, revision + 1);
    }
    assert_eq!(restored.digest(), state.digest());
}
