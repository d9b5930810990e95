//! Range, put, delete, lease, level (1.1, 1.3, 1.7).

use super::{all_at, apply, delete, delete_request, put, put_request, range_of, read, show};
use crate::state::{Applied, State};
use crate::types::{
    Command, Error, KeyValue, KeyValueFields, Member, PutRequest, RangeRequest, RangeResponse, Response,
    SortOrder, SortTarget, limits,
};

fn filled() -> State {
    let mut state = State::new();
    for (key, value) in [("a", "3"), ("b", "1"), ("c", "2"), ("d", "1"), ("b", "5")] {
        put(&mut state, key, value);
    }
    state
}

fn answer(state: &State, request: &RangeRequest) -> RangeResponse {
    state.view().range(request).expect("readable")
}

fn keys(state: &State, request: &RangeRequest) -> String {
    answer(state, request).kvs.iter().map(|kv| String::from_utf8_lossy(kv.key()).into_owned()).collect()
}

fn prev(applied: &Applied) -> Option<KeyValue> {
    match &applied.response {
        Ok(Response::Put(response)) => response.prev_kv.clone(),
        other => panic!("no put: {other:?}"),
    }
}

#[test]
fn first_write_gets_revision_2() {
    let mut state = State::new();
    assert_eq!(state.revision(), 1);
    assert_eq!(put(&mut state, "a", "1").revision, 2);
    assert_eq!(state.compact_revision(), -1);
}

#[test]
fn a_view_may_go_to_any_thread() {
    fn goes<T: Clone + Send + Sync + 'static>(_: &T) {}
    goes(&State::new().view());
}

#[test]
fn r2_r3_r4_ranges() {
    let state = filled();
    assert_eq!(keys(&state, &read("b", "")), "b");
    assert_eq!(keys(&state, &read("x", "")), "");
    assert_eq!(keys(&state, &read("b", "d")), "bc");
    assert_eq!(keys(&state, &read("b", "\0")), "bcd");
    assert_eq!(keys(&state, &read("\0", "\0")), "abcd");
    for (key, end) in [("c", "b"), ("c", "c")] {
        assert_eq!(answer(&state, &read(key, end)), RangeResponse::default());
    }
}

#[test]
fn r5_r6_revisions() {
    let state = filled();
    assert_eq!(show(&answer(&state, &all_at(-5)).kvs), "a=3 b=5 c=2 d=1");
    assert_eq!(show(&answer(&state, &all_at(5)).kvs), "a=3 b=1 c=2 d=1");
    assert_eq!(show(&answer(&state, &all_at(3)).kvs), "a=3 b=1");
    assert_eq!(show(&answer(&state, &all_at(1)).kvs), "");
    assert_eq!(state.view().range(&all_at(7)), Err(Error::FutureRevision));
}

#[test]
fn r8_r9_limit_and_more() {
    let state = filled();
    for (limit, expected, more) in [
        (0, "abcd", false),
        (3, "abc", true),
        (4, "abcd", false),
        (i64::MAX, "abcd", false),
        (-1, "abcd", false),
    ] {
        let request = RangeRequest { limit, ..all_at(0) };
        assert_eq!((keys(&state, &request).as_str(), answer(&state, &request).more), (expected, more));
    }
}

#[test]
fn r10_count_ignores_limit_and_filters() {
    let state = filled();
    assert_eq!(answer(&state, &RangeRequest { limit: 1, ..all_at(0) }).count, 4);
    assert_eq!(answer(&state, &RangeRequest { min_mod_revision: 6, ..all_at(0) }).count, 4);
}

#[test]
fn r11_count_only() {
    let state = filled();
    let request = RangeRequest { count_only: true, limit: 1, ..all_at(3) };
    assert_eq!(answer(&state, &request), RangeResponse { count: 2, ..RangeResponse::default() });
}

#[test]
fn r12_keys_only_is_flagged() {
    let state = filled();
    let request = RangeRequest { keys_only: true, ..all_at(0) };
    let by_key = answer(&state, &request);
    assert!(by_key.keys_only && !by_key.keys_only_with_lease);
    assert!(answer(&state, &RangeRequest { sort_target: SortTarget::Value, ..request }).keys_only_with_lease);
}

#[test]
fn r13_sort_targets() {
    let state = filled();
    let sorted =
        |sort_target, sort_order| keys(&state, &RangeRequest { sort_target, sort_order, ..all_at(0) });
    assert_eq!(sorted(SortTarget::Key, SortOrder::Descend), "dcba");
    assert_eq!(sorted(SortTarget::Key, SortOrder::Ascend), "abcd");
    assert_eq!(sorted(SortTarget::Mod, SortOrder::Ascend), "acdb");
    assert_eq!(sorted(SortTarget::Create, SortOrder::Descend), "dcba");
    assert_eq!(sorted(SortTarget::Value, SortOrder::Ascend), "dcab");
    assert!(sorted(SortTarget::Version, SortOrder::Descend).starts_with('b'));
}

#[test]
fn r14_target_without_order_sorts_what_the_limit_read() {
    let state = filled();
    // By value d would be first, but only a, b, c are read.
    let request = RangeRequest { sort_target: SortTarget::Value, limit: 2, ..all_at(0) };
    assert_eq!(keys(&state, &request), "ca");
    assert!(answer(&state, &request).more);
}

#[test]
fn r15_explicit_order_reads_everything() {
    let state = filled();
    let request =
        RangeRequest { sort_target: SortTarget::Value, sort_order: SortOrder::Ascend, limit: 2, ..all_at(0) };
    assert_eq!(keys(&state, &request), "dc");
}

#[test]
fn r16_filters_are_inclusive() {
    let state = filled();
    assert_eq!(keys(&state, &RangeRequest { min_mod_revision: 4, max_mod_revision: 5, ..all_at(0) }), "cd");
    assert_eq!(keys(&state, &RangeRequest { min_create_revision: 3, ..all_at(0) }), "bcd");
    assert_eq!(keys(&state, &RangeRequest { max_create_revision: 3, ..all_at(0) }), "ab");
    let request = RangeRequest { max_mod_revision: 5, limit: 2, ..all_at(0) };
    assert_eq!((keys(&state, &request).as_str(), answer(&state, &request).more), ("ac", true));
}

#[test]
fn r21_p7_versions() {
    let mut state = State::new();
    put(&mut state, "a", "1");
    let second = put(&mut state, "a", "1");
    assert_eq!(second.revision, 3);
    assert_eq!(second.events[0].kv.fields().version, 2);
    assert_eq!(second.events[0].kv.fields().create_revision, 2);
    delete(&mut state, "a", "");
    let again = put(&mut state, "a", "1").events.remove(0);
    assert!(again.kv.is_create() && again.prev_kv.is_none());
    assert_eq!((again.kv.fields().version, again.kv.fields().create_revision), (1, 5));
}

#[test]
fn p2_p8_leases() {
    let mut state = State::new();
    let with_lease = |lease| Command::Put(PutRequest { lease, ..put_request("a", "1") });
    let refused = apply(&mut state, with_lease(7));
    assert_eq!((refused.response, refused.revision, refused.events.len()), (Err(Error::LeaseNotFound), 1, 0));
    apply(&mut state, Command::LeaseGrant { id: 7, ttl: 60 });
    apply(&mut state, with_lease(7));
    assert_eq!(state.leases().get(7).map(|lease| lease.keys().count()), Some(1));
    put(&mut state, "a", "2");
    assert_eq!(state.leases().get(7).map(|lease| lease.keys().count()), Some(0));
}

#[test]
fn p5_ignore_needs_the_key() {
    let mut state = State::new();
    let request = PutRequest { ignore_value: true, ..put_request("a", "") };
    assert_eq!(apply(&mut state, Command::Put(request.clone())).response, Err(Error::KeyNotFound));
    apply(&mut state, Command::LeaseGrant { id: 7, ttl: 60 });
    put(&mut state, "a", "1");
    apply(&mut state, Command::Put(PutRequest { lease: 7, ..request }));
    let kept = PutRequest { ignore_lease: true, ..put_request("a", "2") };
    let kv = apply(&mut state, Command::Put(kept)).events.remove(0).kv;
    assert_eq!((kv.value(), kv.fields().lease), (&b"2"[..], 7));
    let both = PutRequest { ignore_lease: true, ignore_value: true, ..put_request("a", "") };
    let kv = apply(&mut state, Command::Put(both)).events.remove(0).kv;
    assert_eq!((kv.value(), kv.fields().lease, kv.fields().version), (&b"2"[..], 7, 4));
}

#[test]
fn p6_prev_kv() {
    let mut state = State::new();
    assert_eq!(prev(&put(&mut state, "a", "1")), None);
    assert_eq!(show(&prev(&put(&mut state, "a", "2"))), "a=1");
    delete(&mut state, "a", "");
    assert_eq!(prev(&put(&mut state, "a", "3")), None);
}

#[test]
fn d1_delete_of_nothing_takes_no_revision() {
    let mut state = filled();
    let before = state.digest();
    let applied = delete(&mut state, "x", "z");
    assert_eq!((applied.revision, applied.events.len()), (6, 0));
    assert_eq!(state.digest(), before);
}

#[test]
fn d2_d3_d5_delete_range() {
    let mut state = filled();
    let applied = delete(&mut state, "b", "d");
    let Ok(Response::DeleteRange(response)) = applied.response else { panic!("{:?}", applied.response) };
    assert_eq!((response.deleted, show(&response.prev_kvs)), (2, "b=5 c=2".to_owned()));
    let tombstones: Vec<_> = applied.events.iter().map(|event| event.kv.fields()).collect();
    let expected = |sub, previous| KeyValueFields { mod_revision: 7, sub, previous, ..Default::default() };
    assert_eq!(tombstones, [expected(0, 6), expected(1, 4)]);
    assert_eq!(show(applied.events.iter().filter_map(|event| event.prev_kv.as_ref())), "b=5 c=2");
    assert_eq!(keys(&state, &all_at(0)), "ad");
    assert_eq!(keys(&state, &all_at(6)), "abcd");
    let again = apply(&mut state, Command::DeleteRange(delete_request("b", "d")));
    assert_eq!(again.revision, 7);
}

#[test]
fn l4_w26_revoke_deletes_keys_in_order_under_one_revision() {
    let mut state = State::new();
    apply(&mut state, Command::LeaseGrant { id: 7, ttl: 60 });
    for key in ["c", "a", "b"] {
        apply(&mut state, Command::Put(PutRequest { lease: 7, ..put_request(key, "1") }));
    }
    let applied = apply(&mut state, Command::LeaseRevoke { id: 7 });
    let deleted: Vec<_> = applied.events.iter().map(|event| event.kv.key()[0]).collect();
    assert_eq!((applied.revision, deleted.as_slice()), (5, &b"abc"[..]));
    assert_eq!(apply(&mut state, Command::LeaseRevoke { id: 7 }).response, Err(Error::LeaseNotFound));
    assert_eq!(keys(&state, &read("\0", "\0")), "");
    assert_eq!(state.digest(), state.recompute_digest());
}

#[test]
fn level_never_falls() {
    let mut state = State::new();
    let raise = |state: &mut State, level| apply(state, Command::RaiseLevel(level)).response;
    assert_eq!(raise(&mut state, limits::MAX_LEVEL), Ok(Response::Done));
    assert_eq!(raise(&mut state, 0), Ok(Response::Done));
    assert_eq!(state.level(), limits::MAX_LEVEL);
    assert_eq!(raise(&mut state, limits::MAX_LEVEL + 1), Err(Error::NotCapable));
}

#[test]
fn cl11_publish_is_in_the_digest() {
    let mut state = State::new();
    let empty = state.digest();
    let member = |name: &str| Member { id: 5, name: name.to_owned(), ..Member::default() };
    apply(&mut state, Command::Publish(member("one")));
    apply(&mut state, Command::Publish(member("two")));
    assert_ne!(state.digest(), empty);
    assert_eq!(state.digest(), state.recompute_digest());
    assert_eq!(state.view().members(), [member("two")]);
    assert_eq!(range_of("a", ""), read("a", "").range);
}
