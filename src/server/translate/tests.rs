//! Rows R, P, T, W of etcd-surface as far as they are about form.

use etched_proto::etcdserverpb as pb;
use etched_proto::etcdserverpb::compare::TargetUnion;
use etched_proto::etcdserverpb::request_op::Request;
use proptest::prelude::*;

use super::*;
use crate::node::api::Header;
use crate::types::limits::{MAX_TXN_DEPTH, MAX_TXN_OPS};
use crate::types::{
    CompareResult, CompareTarget, Error, Event, KeyValue, KeyValueFields, RangeResponse, Revision, SortOrder,
    SortTarget,
};

fn op(request: Request) -> pb::RequestOp {
    pb::RequestOp { request: Some(request) }
}

fn put_op(key: &str) -> pb::RequestOp {
    op(Request::RequestPut(pb::PutRequest { key: key.to_string().into(), ..Default::default() }))
}

fn delete_op(key: &str, end: &str) -> pb::RequestOp {
    let (key, range_end) = (key.to_string().into(), end.to_string().into());
    op(Request::RequestDeleteRange(pb::DeleteRangeRequest { key, range_end, prev_kv: false }))
}

fn txn_op(success: Vec<pb::RequestOp>, failure: Vec<pb::RequestOp>) -> pb::RequestOp {
    op(Request::RequestTxn(pb::TxnRequest { compare: Vec::new(), success, failure }))
}

fn check(success: Vec<pb::RequestOp>) -> Result<(), Error> {
    let request = pb::TxnRequest { success, ..Default::default() };
    txn(request.clone(), MAX_TXN_OPS).map(|_| ())?;
    // The failure branch is held to the same rules.
    let request = pb::TxnRequest { failure: request.success, ..Default::default() };
    txn(request, MAX_TXN_OPS).map(|_| ())
}

#[test]
fn r1_empty_key() {
    assert_eq!(range(pb::RangeRequest::default()), Err(Error::EmptyKey));
    assert_eq!(delete_range(pb::DeleteRangeRequest::default()), Err(Error::EmptyKey));
}

#[test]
fn r17_unknown_sort() {
    let good = pb::RangeRequest { key: "a".into(), sort_order: 2, sort_target: 4, ..Default::default() };
    let plain = range(good.clone()).unwrap();
    assert_eq!((plain.sort_order, plain.sort_target), (SortOrder::Descend, SortTarget::Value));
    assert_eq!(range(pb::RangeRequest { sort_order: 3, ..good.clone() }), Err(Error::InvalidSortOption));
    assert_eq!(range(pb::RangeRequest { sort_order: -1, ..good.clone() }), Err(Error::InvalidSortOption));
    assert_eq!(range(pb::RangeRequest { sort_target: 5, ..good }), Err(Error::InvalidSortOption));
}

#[test]
fn p1_p3_p4_put() {
    let good = pb::PutRequest { key: "a".into(), value: "v".into(), lease: 7, ..Default::default() };
    assert_eq!(put(good.clone()).unwrap().lease, 7);
    assert_eq!(put(pb::PutRequest { key: "".into(), ..good.clone() }), Err(Error::EmptyKey));
    assert_eq!(put(pb::PutRequest { ignore_value: true, ..good.clone() }), Err(Error::ValueProvided));
    assert_eq!(put(pb::PutRequest { ignore_lease: true, ..good }), Err(Error::LeaseProvided));
}

#[test]
fn t1_op_budget() {
    let ops = |count: usize| (0..count).map(|i| put_op(&format!("k{i}"))).collect::<Vec<_>>();
    assert_eq!(check(ops(128)), Ok(()));
    assert_eq!(check(ops(129)), Err(Error::TooManyOps));
    // A nested transaction has what its parent left.
    let mut outer = ops(100);
    outer.push(txn_op(Vec::new(), vec![delete_op("x", ""); 27]));
    assert_eq!(check(outer.clone()), Ok(()));
    outer.pop();
    outer.push(txn_op(Vec::new(), vec![delete_op("x", ""); 28]));
    assert_eq!(check(outer), Err(Error::TooManyOps));
    let compare = vec![pb::Compare { key: "a".into(), ..Default::default() }; 129];
    assert_eq!(txn(pb::TxnRequest { compare, ..Default::default() }, 128), Err(Error::TooManyOps));
}

#[test]
fn t1_depth_is_bounded() {
    let nested = |levels: usize| (1..levels).fold(Vec::new(), |inner, _| vec![txn_op(inner, Vec::new())]);
    let of = |levels| pb::TxnRequest { success: nested(levels), ..Default::default() };
    assert!(txn(of(MAX_TXN_DEPTH), usize::MAX).is_ok());
    assert_eq!(txn(of(MAX_TXN_DEPTH + 1), usize::MAX), Err(Error::TooManyOps));
}

#[test]
fn t2_t3_empty() {
    let compare = vec![pb::Compare::default()];
    assert_eq!(txn(pb::TxnRequest { compare, ..Default::default() }, 128), Err(Error::EmptyKey));
    assert_eq!(check(vec![pb::RequestOp { request: None }]), Err(Error::KeyNotFound));
    assert_eq!(check(vec![put_op("")]), Err(Error::EmptyKey));
    assert_eq!(check(vec![txn_op(vec![delete_op("", "a")], vec![])]), Err(Error::EmptyKey));
}

#[test]
fn t4_duplicates() {
    let duplicate = Err(Error::DuplicateKey);
    assert_eq!(check(vec![put_op("a"), put_op("a")]), duplicate);
    assert_eq!(check(vec![put_op("b"), delete_op("a", "c")]), duplicate);
    assert_eq!(check(vec![delete_op("a", ""), put_op("a")]), duplicate);
    assert_eq!(check(vec![put_op("c"), delete_op("a", "c")]), Ok(()));
    assert_eq!(check(vec![delete_op("a", "c"), delete_op("b", "")]), Ok(()));
}

#[test]
fn t4_from_key_delete_slips_through() {
    assert_eq!(check(vec![put_op("b"), delete_op("a", "\0")]), Ok(()));
    assert_eq!(check(vec![put_op("b"), delete_op("c", "a")]), Ok(()));
}

#[test]
fn t4_nested() {
    let duplicate = Err(Error::DuplicateKey);
    assert_eq!(check(vec![txn_op(vec![put_op("a")], vec![put_op("a"), delete_op("b", "c")])]), Ok(()));
    assert_eq!(check(vec![txn_op(vec![put_op("a"), put_op("a")], vec![])]), duplicate);
    assert_eq!(check(vec![txn_op(vec![put_op("a")], vec![]), txn_op(vec![], vec![put_op("a")])]), duplicate);
    assert_eq!(check(vec![txn_op(vec![], vec![put_op("a")]), put_op("a")]), duplicate);
    assert_eq!(check(vec![txn_op(vec![put_op("a")], vec![]), delete_op("a", "")]), duplicate);
    assert_eq!(check(vec![txn_op(vec![delete_op("a", "")], vec![]), put_op("a")]), duplicate);
    // Order matters between nested ones.
    let (puts, deletes) = (txn_op(vec![put_op("a")], vec![]), txn_op(vec![delete_op("a", "")], vec![]));
    assert_eq!(check(vec![deletes.clone(), puts.clone()]), duplicate);
    assert_eq!(check(vec![puts, deletes]), Ok(()));
}

#[test]
fn t6_compare() {
    let of = |result, target, target_union| {
        let compare = pb::Compare { result, target, key: "a".into(), target_union, ..Default::default() };
        let request = pb::TxnRequest { compare: vec![compare], ..Default::default() };
        txn(request, 128).unwrap().compare.remove(0)
    };
    assert_eq!(of(9, 0, None).result, CompareResult::Unknown);
    assert_eq!(of(0, 9, None).target, CompareTarget::Unknown);
    assert_eq!(of(0, 0, Some(TargetUnion::Version(3))).target, CompareTarget::Version(3));
    assert_eq!(of(0, 1, Some(TargetUnion::Version(3))).target, CompareTarget::CreateRevision(0));
    assert_eq!(of(0, 3, Some(TargetUnion::Lease(3))).target, CompareTarget::Value("".into()));
    assert_eq!(of(3, 4, Some(TargetUnion::Lease(3))).target, CompareTarget::Lease(3));
}

fn record(main: i64, value: &[u8]) -> KeyValue {
    let fields = KeyValueFields {
        create_revision: 2,
        mod_revision: main,
        version: 1,
        lease: 5,
        ..KeyValueFields::default()
    };
    KeyValue::new(fields, b"key", value)
}

#[test]
fn r12_keys_only() {
    let whole = RangeResponse { kvs: vec![record(3, b"value")], count: 1, ..RangeResponse::default() };
    let first = |response: &RangeResponse| {
        range_response(response_header(&Header::default()), response).kvs[0].clone()
    };
    assert_eq!((first(&whole).value.as_ref(), first(&whole).lease), (b"value".as_slice(), 5));
    let keys_only = RangeResponse { keys_only: true, ..whole };
    assert_eq!((first(&keys_only).value.as_ref(), first(&keys_only).lease), (b"".as_slice(), 0));
    let by_value = RangeResponse { keys_only_with_lease: true, ..keys_only };
    assert_eq!((first(&by_value).value.as_ref(), first(&by_value).lease), (b"".as_slice(), 5));
}

#[test]
fn d5_delete_event() {
    let kv = KeyValue::tombstone(b"key", Revision { main: 4, sub: 1 }, Revision { main: 3, sub: 0 });
    let shown = event(&Event { kv, prev_kv: Some(record(3, b"v")) });
    let bare = etched_proto::mvccpb::KeyValue { key: "key".into(), mod_revision: 4, ..Default::default() };
    assert_eq!((shown.r#type, shown.kv), (1, Some(bare)));
    assert_eq!(shown.prev_kv.unwrap().mod_revision, 3);
}

proptest! {
    /// The merged intervals hold the same keys as the plain list.
    #[test]
    fn t4_intervals_against_a_list(ranges in prop::collection::vec(("[a-e]{1,2}", "[a-e]{0,2}"), 0..8), key in "[a-e]{1,2}") {
        let expected = ranges.iter().any(|(begin, end)| {
            if end.is_empty() { *begin == key } else { *begin <= key && key < *end }
        });
        let mut ops: Vec<_> = ranges.iter().map(|(begin, end)| delete_op(begin, end)).collect();
        ops.push(put_op(&key));
        prop_assert_eq!(check(ops) == Err(Error::DuplicateKey), expected);
    }
}
