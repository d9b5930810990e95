//! Form checks by row.

use etched_proto::etcdserverpb as pb;
use pb::request_op::Request;

use super::*;
use crate::types::Error;

fn key(key: &str) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(key.as_bytes())
}

fn put_op(name: &str) -> pb::RequestOp {
    let put = pb::PutRequest { key: key(name), ..pb::PutRequest::default() };
    pb::RequestOp { request: Some(Request::RequestPut(put)) }
}

fn delete_op(from: &str, to: &str) -> pb::RequestOp {
    let delete = pb::DeleteRangeRequest { key: key(from), range_end: key(to), prev_kv: false };
    pb::RequestOp { request: Some(Request::RequestDeleteRange(delete)) }
}

fn txn_op(success: Vec<pb::RequestOp>, failure: Vec<pb::RequestOp>) -> pb::RequestOp {
    let txn = pb::TxnRequest { compare: Vec::new(), success, failure };
    pb::RequestOp { request: Some(Request::RequestTxn(txn)) }
}

fn check(success: Vec<pb::RequestOp>) -> Result<(), Error> {
    txn(pb::TxnRequest { compare: Vec::new(), success, failure: Vec::new() }, 128).map(|_| ())
}

#[test]
fn r1_r17_p1_p3_p4() {
    assert_eq!(range(pb::RangeRequest::default()), Err(Error::EmptyKey));
    let request = pb::RangeRequest { key: key("a"), sort_order: 7, ..pb::RangeRequest::default() };
    assert_eq!(range(request), Err(Error::InvalidSortOption));
    assert_eq!(put(pb::PutRequest::default()), Err(Error::EmptyKey));
    let request = pb::PutRequest { key: key("a"), value: key("v"), ignore_value: true, ..Default::default() };
    assert_eq!(put(request), Err(Error::ValueProvided));
    let request = pb::PutRequest { key: key("a"), lease: 1, ignore_lease: true, ..Default::default() };
    assert_eq!(put(request), Err(Error::LeaseProvided));
}

#[test]
fn t1_budget_of_nested_levels() {
    let puts = |n: usize| (0..n).map(|n| put_op(&format!("k{n:04}"))).collect::<Vec<_>>();
    assert_eq!(check(puts(128)), Ok(()));
    assert_eq!(check(puts(129)), Err(Error::TooManyOps));
    let mut outer = puts(99);
    outer.push(txn_op((0..28).map(|n| put_op(&format!("n{n}"))).collect(), Vec::new()));
    assert_eq!(check(outer.clone()), Ok(()));
    outer.pop();
    outer.push(txn_op((0..29).map(|n| put_op(&format!("n{n}"))).collect(), Vec::new()));
    assert_eq!(check(outer), Err(Error::TooManyOps));
}

#[test]
fn t2_t3_empty_compare_and_no_operation() {
    let request = pb::TxnRequest { compare: vec![pb::Compare::default()], ..Default::default() };
    assert_eq!(txn(request, 128), Err(Error::EmptyKey));
    assert_eq!(check(vec![pb::RequestOp { request: None }]), Err(Error::KeyNotFound));
}

#[test]
fn t4_duplicates() {
    assert_eq!(check(vec![put_op("a"), put_op("a")]), Err(Error::DuplicateKey));
    assert_eq!(check(vec![put_op("b"), delete_op("a", "c")]), Err(Error::DuplicateKey));
    assert_eq!(check(vec![delete_op("a", "c"), delete_op("b", "d")]), Ok(()));
    assert_eq!(check(vec![txn_op(vec![put_op("a")], vec![put_op("a")])]), Ok(()));
    let two = vec![txn_op(vec![put_op("a")], vec![]), txn_op(vec![], vec![put_op("a")])];
    assert_eq!(check(two), Err(Error::DuplicateKey));
    assert_eq!(check(vec![txn_op(vec![put_op("a")], vec![]), put_op("a")]), Err(Error::DuplicateKey));
    assert_eq!(check(vec![put_op("b"), delete_op("a", "\0")]), Ok(()));
}
