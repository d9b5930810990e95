//! The steps of the lease clock on the whole state.

use super::{apply, put, put_request};
use crate::state::{Applied, State};
use crate::types::limits::{LEASE_GRACE_MS, MAX_TICK_EXPIRED_KEYS, MAX_TICK_EXPIRIES};
use crate::types::{Command, Error, LeaseId, LeaseTick, LeaseTickResponse, PutRequest, Response};

fn grant(state: &mut State, id: LeaseId, ttl: i64) {
    assert_eq!(apply(state, Command::LeaseGrant { id, ttl }).response, Ok(Response::Done));
}

fn attach(state: &mut State, key: &str, lease: LeaseId) -> Applied {
    apply(state, Command::Put(PutRequest { lease, ..put_request(key, "v") }))
}

fn tick(state: &mut State, term: u64, clock_ms: u64, renewed: &[LeaseId]) -> Applied {
    let applied = apply(state, Command::LeaseTick(LeaseTick { term, clock_ms, renewed: renewed.to_vec() }));
    assert_eq!(state.recompute_digest(), state.digest());
    applied
}

fn ticked(applied: &Applied) -> LeaseTickResponse {
    match &applied.response {
        Ok(Response::LeaseTick(response)) => response.clone(),
        other => panic!("{other:?}"),
    }
}

fn keys(applied: &Applied) -> Vec<(i64, String)> {
    let of = |event: &crate::types::Event| {
        assert!(event.kv.is_tombstone());
        (event.kv.revision().main, String::from_utf8_lossy(event.kv.key()).into_owned())
    };
    applied.events.iter().map(of).collect()
}

#[test]
fn w26_each_lease_ends_in_one_revision_by_key() {
    let mut state = State::new();
    grant(&mut state, -9, 2);
    grant(&mut state, 4, 2);
    grant(&mut state, 5, 60);
    tick(&mut state, 1, 0, &[]);
    for (key, lease) in [("b", 4), ("a", 4), ("d", -9), ("c", -9), ("e", 5), ("moved", 4)] {
        attach(&mut state, key, lease);
    }
    put(&mut state, "moved", "free");
    let at = state.revision();
    let applied = tick(&mut state, 1, 2_000 + LEASE_GRACE_MS, &[]);
    assert_eq!(ticked(&applied).expired, [-9, 4]);
    let deleted = [(at + 1, "c"), (at + 1, "d"), (at + 2, "a"), (at + 2, "b")];
    assert_eq!(keys(&applied), deleted.map(|(revision, key)| (revision, key.to_owned())));
    assert_eq!((applied.revision, state.revision()), (at + 2, at + 2));
    assert_eq!(attach(&mut state, "late", 4).response, Err(Error::LeaseNotFound));
    assert_eq!(state.leases().iter().map(|(id, _)| id).collect::<Vec<_>>(), [5]);
}

#[test]
fn a_lease_without_keys_takes_no_revision() {
    let mut state = State::new();
    grant(&mut state, 1, 2);
    tick(&mut state, 1, 0, &[]);
    let applied = tick(&mut state, 1, 60_000, &[]);
    assert_eq!((ticked(&applied).expired, applied.revision), (vec![1], 1));
}

#[test]
fn kept_alive_in_the_same_step() {
    let mut state = State::new();
    grant(&mut state, 1, 2);
    tick(&mut state, 1, 0, &[]);
    let response = ticked(&tick(&mut state, 1, 60_000, &[1, 2, 1]));
    assert_eq!(response, LeaseTickResponse { ttls: vec![2, 0, 2], expired: vec![] });
    let response = ticked(&tick(&mut state, 1, 62_000 + LEASE_GRACE_MS, &[]));
    assert_eq!(response.expired, [1]);
    assert_eq!(ticked(&tick(&mut state, 1, 62_100, &[1])).ttls, [0]);
}

#[test]
fn a_deposed_leader_moves_nothing() {
    let mut state = State::new();
    grant(&mut state, 1, 2);
    tick(&mut state, 2, 0, &[]);
    let digest = state.digest();
    let refused = tick(&mut state, 1, 99_000, &[1]);
    assert_eq!((refused.response, refused.events.len()), (Err(Error::NotLeader), 0));
    assert_eq!(state.digest(), digest);
}

#[test]
fn many_expiries_are_spread_over_steps() {
    let mut state = State::new();
    let count = MAX_TICK_EXPIRIES as i64 + 10;
    for id in 1..=count {
        grant(&mut state, id, 2);
    }
    tick(&mut state, 1, 0, &[]);
    assert_eq!(ticked(&tick(&mut state, 1, 9_000, &[])).expired.len(), MAX_TICK_EXPIRIES);
    // What is left over is over: it cannot be kept alive.
    let rest = ticked(&tick(&mut state, 1, 9_001, &[count]));
    assert_eq!((rest.ttls, rest.expired.len()), (vec![0], 10));
    // A lease's keys are never split; after a large one comes no other.
    grant(&mut state, 1, 2);
    grant(&mut state, 2, 2);
    tick(&mut state, 1, 10_000, &[]);
    for n in 0..MAX_TICK_EXPIRED_KEYS + 5 {
        attach(&mut state, &format!("k{n}"), 1);
    }
    let applied = tick(&mut state, 1, 90_000, &[]);
    assert_eq!((ticked(&applied).expired, applied.events.len()), (vec![1], MAX_TICK_EXPIRED_KEYS + 5));
    assert_eq!(ticked(&tick(&mut state, 1, 90_000, &[])).expired, [2]);
}

#[test]
fn touched_leases_are_told_once() {
    let mut state = State::new();
    grant(&mut state, 1, 2);
    grant(&mut state, 2, 60);
    assert_eq!(state.take_touched_leases(), [1, 2]);
    tick(&mut state, 1, 0, &[2]);
    assert_eq!(state.take_touched_leases(), [1, 2, 2]);
    tick(&mut state, 1, 9_000, &[]);
    apply(&mut state, Command::LeaseRevoke { id: 2 });
    assert_eq!(state.take_touched_leases(), [1, 2]);
    assert!(state.take_touched_leases().is_empty());
}
