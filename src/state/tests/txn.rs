//! Transactions (1.4).

use super::{all_at, apply, compact, delete, delete_request, put, put_request, read, show};
use crate::state::{Applied, State};
use crate::types::{
    Command, Compare, CompareResult, CompareTarget, Error, PutRequest, RangeRequest, RequestOp, Response,
    ResponseOp, TxnRequest, TxnResponse, limits,
};

fn op_put(key: &str, value: &str) -> RequestOp {
    RequestOp::Put(put_request(key, value))
}

fn op_read(key: &str, end: &str) -> RequestOp {
    RequestOp::Range(read(key, end))
}

fn op_delete(key: &str, end: &str) -> RequestOp {
    RequestOp::DeleteRange(delete_request(key, end))
}

fn when(key: &str, end: &str, result: CompareResult, target: CompareTarget) -> Compare {
    Compare { range: super::range_of(key, end), result, target }
}

fn success(ops: Vec<RequestOp>) -> TxnRequest {
    TxnRequest { success: ops, ..TxnRequest::default() }
}

fn run(state: &mut State, request: TxnRequest) -> Applied {
    apply(state, Command::Txn(request))
}

fn response(applied: &Applied) -> &TxnResponse {
    match &applied.response {
        Ok(Response::Txn(response)) => response,
        other => panic!("no transaction: {other:?}"),
    }
}

fn succeeded(state: &State, compare: Vec<Compare>) -> bool {
    let request = TxnRequest { compare, ..TxnRequest::default() };
    state.view().txn(&request).expect("read-only").succeeded
}

fn filled() -> State {
    let mut state = State::new();
    for (key, value) in [("a", "1"), ("b", "2"), ("b", "3")] {
        put(&mut state, key, value);
    }
    state
}

#[test]
fn t5_compares() {
    use CompareResult::{Equal, Greater, Less, NotEqual};
    let state = filled();
    let holds = |key, result, target| succeeded(&state, vec![when(key, "", result, target)]);
    assert!(holds("b", Equal, CompareTarget::Version(2)));
    assert!(holds("b", Less, CompareTarget::CreateRevision(4)));
    assert!(holds("b", Greater, CompareTarget::ModRevision(3)));
    assert!(holds("b", NotEqual, CompareTarget::Value("2".into())));
    assert!(!holds("b", NotEqual, CompareTarget::Lease(0)));
    for target in [CompareTarget::Version(0), CompareTarget::CreateRevision(0), CompareTarget::Lease(0)] {
        assert!(holds("x", Equal, target));
    }
    assert!(holds("x", Less, CompareTarget::ModRevision(1)));
    for result in [Equal, NotEqual, Less, Greater, CompareResult::Unknown] {
        assert!(!holds("x", result, CompareTarget::Value("".into())));
    }
}

#[test]
fn t6_compare_over_a_range() {
    use CompareResult::{Equal, Less, Unknown};
    let state = filled();
    let holds = |key, end, result, target| succeeded(&state, vec![when(key, end, result, target)]);
    assert!(holds("a", "c", Less, CompareTarget::Version(3)));
    assert!(!holds("a", "c", Equal, CompareTarget::Version(1)));
    assert!(holds("x", "z", Equal, CompareTarget::Version(0)));
    assert!(!holds("x", "z", Equal, CompareTarget::Value("".into())));
    assert!(holds("a", "", Unknown, CompareTarget::Version(9)));
    assert!(holds("a", "", Equal, CompareTarget::Unknown));
    assert!(!holds("a", "", Less, CompareTarget::Unknown));
}

#[test]
fn t7_all_compares_must_hold() {
    let state = filled();
    let yes = when("a", "", CompareResult::Equal, CompareTarget::Version(1));
    let no = when("a", "", CompareResult::Equal, CompareTarget::Version(2));
    assert!(succeeded(&state, vec![]));
    assert!(succeeded(&state, vec![yes.clone(), yes.clone()]));
    assert!(!succeeded(&state, vec![yes, no]));
}

#[test]
fn t8_view_takes_read_only_transactions() {
    let state = filled();
    let view = state.view();
    let answer = view.txn(&success(vec![op_read("a", "c")])).expect("read-only");
    let [ResponseOp::Range(4, range)] = &answer.responses[..] else { panic!("{answer:?}") };
    assert_eq!(show(&range.kvs), "a=1 b=3");
    for op in [op_put("a", "1"), op_delete("a", ""), RequestOp::Txn(TxnRequest::default())] {
        assert_eq!(view.txn(&success(vec![op])), Err(Error::NotCapable));
    }
}

#[test]
fn t10_nested_branches_are_chosen_before_any_op() {
    let mut state = filled();
    let nested = TxnRequest {
        compare: vec![when("new", "", CompareResult::Equal, CompareTarget::Version(0))],
        success: vec![op_put("c", "was missing")],
        failure: vec![op_put("c", "was there")],
    };
    let applied = run(
        &mut state,
        success(vec![op_put("new", "1"), RequestOp::Txn(nested.clone()), RequestOp::Txn(nested)]),
    );
    let [_, ResponseOp::Txn(0, first), ResponseOp::Txn(0, second)] = &response(&applied).responses[..] else {
        panic!("{applied:?}")
    };
    assert!(first.succeeded && second.succeeded);
    assert_eq!(show(applied.events.iter().map(|event| &event.kv)), "new=1 c=was missing c=was missing");
}

#[test]
fn t11_one_revision_ops_in_order_reads_see_writes() {
    let mut state = filled();
    let ops =
        vec![op_read("a", ""), op_put("a", "2"), op_read("a", ""), op_delete("b", ""), op_read("\0", "\0")];
    let applied = run(&mut state, success(ops));
    assert_eq!(applied.revision, 5);
    let revisions: Vec<_> = applied.events.iter().map(|event| event.kv.revision()).collect();
    assert_eq!(revisions.iter().map(|at| (at.main, at.sub)).collect::<Vec<_>>(), [(5, 0), (5, 1)]);
    let answer = response(&applied);
    let seen: Vec<_> = answer
        .responses
        .iter()
        .filter_map(
            |op| if let ResponseOp::Range(at, range) = op { Some((*at, show(&range.kvs))) } else { None },
        )
        .collect();
    assert_eq!(seen, [(4, "a=1".to_owned()), (5, "a=2".to_owned()), (5, "a=2".to_owned())]);
    assert_eq!(state.digest(), state.recompute_digest());
}

#[test]
fn t11_a_transaction_without_effect_takes_no_revision() {
    let mut state = filled();
    let applied = run(&mut state, success(vec![op_delete("x", ""), op_read("a", "")]));
    assert_eq!((applied.revision, applied.events.len()), (4, 0));
    let [ResponseOp::DeleteRange(4, _), ResponseOp::Range(4, _)] = &response(&applied).responses[..] else {
        panic!("{applied:?}")
    };
}

#[test]
fn t12_nothing_is_written_when_a_check_fails() {
    let mut state = filled();
    compact(&mut state, 3).expect("a past revision");
    let before = state.digest();
    let range = |revision| RequestOp::Range(RangeRequest { revision, ..all_at(0) });
    let lease = RequestOp::Put(PutRequest { lease: 9, ..put_request("c", "1") });
    let ignore = RequestOp::Put(PutRequest { ignore_value: true, ..put_request("c", "") });
    let cases = [
        (range(2), Error::Compacted),
        (range(-1), Error::Compacted),
        (range(5), Error::FutureRevision),
        (lease, Error::LeaseNotFound),
        (ignore.clone(), Error::KeyNotFound),
    ];
    for (op, error) in cases {
        let applied = run(&mut state, success(vec![op_put("c", "1"), op]));
        assert_eq!((applied.response, applied.events.len()), (Err(error), 0));
    }
    let untaken = TxnRequest { success: vec![op_read("a", "")], failure: vec![ignore], compare: vec![] };
    assert!(run(&mut state, untaken).response.is_ok());
    assert_eq!(state.digest(), before);
}

#[test]
fn t12_a_put_that_keeps_what_its_transaction_deleted_undoes_all() {
    let mut state = filled();
    let before = (state.digest(), state.view().hash_kv(0));
    let keep = RequestOp::Put(PutRequest { ignore_value: true, ..put_request("b", "") });
    let applied = run(&mut state, success(vec![op_put("c", "1"), op_delete("b", "\0"), keep]));
    assert_eq!((applied.response, applied.revision), (Err(Error::KeyNotFound), 4));
    assert!(applied.events.is_empty());
    assert_eq!((state.digest(), state.view().hash_kv(0)), before);
}

#[test]
fn w17_a_key_changed_twice_shows_what_was_before_the_transaction() {
    let mut state = filled();
    let applied = run(&mut state, success(vec![op_put("b", "4"), op_delete("b", "\0"), op_put("b", "5")]));
    let before: Vec<_> = applied.events.iter().map(|event| show(&event.prev_kv)).collect();
    assert_eq!(before, ["b=3", "b=3", ""]);
    let view = state.view();
    let again: Vec<_> = view.changes(5).map(|record| view.event(&record)).collect();
    assert_eq!(again, applied.events);
    assert_eq!(show(&view.range(&all_at(4)).expect("readable").kvs), "a=1 b=3");
}

#[test]
fn depth_is_bounded() {
    let mut state = filled();
    let nest = |depth| {
        (0..depth).fold(success(vec![op_put("a", "2")]), |inner, _| success(vec![RequestOp::Txn(inner)]))
    };
    assert!(run(&mut state, nest(limits::MAX_TXN_DEPTH)).response.is_ok());
    assert_eq!(run(&mut state, nest(limits::MAX_TXN_DEPTH + 1)).response, Err(Error::TooManyOps));
    delete(&mut state, "a", "");
}
