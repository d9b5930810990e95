//! What is wrong with a request whatever the state: rows R1, R17, P1, P3, P4, T1–T4, L2.

use std::collections::BTreeSet;

use etched_proto::etcdserverpb as pb;
use pb::request_op::Request as Op;

use super::errors;
use crate::{Failure, Request};

/// T1, at its default.
const MAX_TXN_OPS: usize = 128;
/// L2.
const MAX_LEASE_TTL: i64 = 9_000_000_000;

/// The error that `request` gets from every member in every state, if any.
pub fn check(request: &Request) -> Result<(), Failure> {
    match request {
        Request::Range(range) => check_range(range),
        Request::Put(put) => check_put(put),
        Request::DeleteRange(delete) => not_empty(&delete.key),
        Request::Txn(txn) => {
            check_txn(txn, MAX_TXN_OPS)?;
            effects(&txn.success)?;
            effects(&txn.failure).map(|_| ())
        }
        Request::LeaseGrant(grant) if grant.ttl > MAX_LEASE_TTL => Err(errors::lease_ttl_too_large()),
        Request::Compact(_) | Request::LeaseGrant(_) | Request::LeaseRevoke(_) => Ok(()),
    }
}

fn not_empty(key: &[u8]) -> Result<(), Failure> {
    if key.is_empty() { Err(errors::empty_key()) } else { Ok(()) }
}

fn check_range(range: &pb::RangeRequest) -> Result<(), Failure> {
    not_empty(&range.key)?;
    if !(0..=2).contains(&range.sort_order) || !(0..=4).contains(&range.sort_target) {
        return Err(errors::invalid_sort_option());
    }
    Ok(())
}

fn check_put(put: &pb::PutRequest) -> Result<(), Failure> {
    not_empty(&put.key)?;
    if put.ignore_value && !put.value.is_empty() {
        return Err(errors::value_provided());
    }
    if put.ignore_lease && put.lease != 0 {
        return Err(errors::lease_provided());
    }
    Ok(())
}

fn check_txn(txn: &pb::TxnRequest, budget: usize) -> Result<(), Failure> {
    let ops = txn.compare.len().max(txn.success.len()).max(txn.failure.len());
    if ops > budget {
        return Err(errors::too_many_ops());
    }
    for compare in &txn.compare {
        not_empty(&compare.key)?;
    }
    for op in txn.success.iter().chain(&txn.failure) {
        match &op.request {
            Some(Op::RequestRange(range)) => check_range(range)?,
            Some(Op::RequestPut(put)) => check_put(put)?,
            Some(Op::RequestDeleteRange(delete)) => not_empty(&delete.key)?,
            Some(Op::RequestTxn(nested)) => check_txn(nested, budget - ops)?,
            None => return Err(errors::key_not_found()),
        }
    }
    Ok(())
}

/// What a branch may put and delete.
#[derive(Default)]
struct Effects {
    puts: BTreeSet<Vec<u8>>,
    deletes: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Effects {
    fn put(&mut self, key: &[u8]) -> Result<(), Failure> {
        let deleted = self.deletes.iter().any(|(from, end)| {
            // The end is taken literally, so the from-key form slips through (T4).
            if end.is_empty() { from == key } else { from.as_slice() <= key && key < end.as_slice() }
        });
        if deleted || !self.puts.insert(key.to_vec()) {
            return Err(errors::duplicate_key());
        }
        Ok(())
    }
}

/// T4 for one branch: its deletes first, then nested transactions in order, then its puts.
fn effects(ops: &[pb::RequestOp]) -> Result<Effects, Failure> {
    let mut all = Effects::default();
    for op in ops {
        if let Some(Op::RequestDeleteRange(delete)) = &op.request {
            all.deletes.push((delete.key.to_vec(), delete.range_end.to_vec()));
        }
    }
    for op in ops {
        if let Some(Op::RequestTxn(nested)) = &op.request {
            let (success, failure) = (effects(&nested.success)?, effects(&nested.failure)?);
            for key in success.puts.union(&failure.puts) {
                all.put(key)?;
            }
            all.deletes.extend(success.deletes);
            all.deletes.extend(failure.deletes);
        }
    }
    for op in ops {
        if let Some(Op::RequestPut(put)) = &op.request {
            all.put(&put.key)?;
        }
    }
    Ok(all)
}
