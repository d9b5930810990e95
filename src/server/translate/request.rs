//! Requests, with the form checks of the doors (rows R1, R17, P1, P3, P4, T1–T4).

use bytes::Bytes;
use etched_proto::etcdserverpb as pb;

use super::intervals;
use crate::types::limits::MAX_TXN_DEPTH;
use crate::types::{
    CompactionRequest, Compare, CompareResult, CompareTarget, DeleteRangeRequest, Error, KeyRange,
    PutRequest, RangeRequest, RequestOp, SortOrder, SortTarget, TxnRequest,
};

/// KV.Range. Errors: EmptyKey (R1), InvalidSortOption (R17).
pub fn range(request: pb::RangeRequest) -> Result<RangeRequest, Error> {
    if request.key.is_empty() {
        return Err(Error::EmptyKey);
    }
    let sort_order = match request.sort_order {
        0 => SortOrder::None,
        1 => SortOrder::Ascend,
        2 => SortOrder::Descend,
        _ => return Err(Error::InvalidSortOption),
    };
    let sort_target = match request.sort_target {
        0 => SortTarget::Key,
        1 => SortTarget::Version,
        2 => SortTarget::Create,
        3 => SortTarget::Mod,
        4 => SortTarget::Value,
        _ => return Err(Error::InvalidSortOption),
    };
    Ok(RangeRequest {
        range: KeyRange { key: request.key, range_end: request.range_end },
        limit: request.limit,
        revision: request.revision,
        sort_order,
        sort_target,
        serializable: request.serializable,
        keys_only: request.keys_only,
        count_only: request.count_only,
        min_mod_revision: request.min_mod_revision,
        max_mod_revision: request.max_mod_revision,
        min_create_revision: request.min_create_revision,
        max_create_revision: request.max_create_revision,
    })
}

/// KV.Put. Errors: EmptyKey (P1), ValueProvided (P3), LeaseProvided (P4).
pub fn put(request: pb::PutRequest) -> Result<PutRequest, Error> {
    if request.key.is_empty() {
        return Err(Error::EmptyKey);
    }
    if request.ignore_value && !request.value.is_empty() {
        return Err(Error::ValueProvided);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(Error::LeaseProvided);
    }
    Ok(PutRequest {
        key: request.key,
        value: request.value,
        lease: request.lease,
        prev_kv: request.prev_kv,
        ignore_value: request.ignore_value,
        ignore_lease: request.ignore_lease,
    })
}

/// KV.DeleteRange. Errors: EmptyKey.
pub fn delete_range(request: pb::DeleteRangeRequest) -> Result<DeleteRangeRequest, Error> {
    if request.key.is_empty() {
        return Err(Error::EmptyKey);
    }
    let range = KeyRange { key: request.key, range_end: request.range_end };
    Ok(DeleteRangeRequest { range, prev_kv: request.prev_kv })
}

/// KV.Compact.
pub fn compaction(request: pb::CompactionRequest) -> CompactionRequest {
    CompactionRequest { revision: request.revision, physical: request.physical }
}

/// KV.Txn. Errors: TooManyOps (T1), EmptyKey (T2), KeyNotFound for an operation that is none (T3),
/// DuplicateKey (T4), and those of the operations in it. Nested deeper than `MAX_TXN_DEPTH` counts as
/// too many operations, so that no later walk overflows a stack.
pub fn txn(request: pb::TxnRequest, max_ops: usize) -> Result<TxnRequest, Error> {
    let txn = form(request, max_ops, 0)?;
    intervals::check(&txn.success)?;
    intervals::check(&txn.failure)?;
    Ok(txn)
}

fn form(request: pb::TxnRequest, max_ops: usize, depth: usize) -> Result<TxnRequest, Error> {
    let widest = request.compare.len().max(request.success.len()).max(request.failure.len());
    if widest > max_ops || depth >= MAX_TXN_DEPTH {
        return Err(Error::TooManyOps);
    }
    // A nested transaction has what its parent's level left over.
    let rest = max_ops - widest;
    let compare = request.compare.into_iter().map(compare).collect::<Result<_, _>>()?;
    let branch = |ops: Vec<pb::RequestOp>| ops.into_iter().map(|one| op(one, rest, depth)).collect();
    let (success, failure): (Result<_, Error>, Result<_, Error>) =
        (branch(request.success), branch(request.failure));
    Ok(TxnRequest { compare, success: success?, failure: failure? })
}

fn op(op: pb::RequestOp, max_ops: usize, depth: usize) -> Result<RequestOp, Error> {
    use pb::request_op::Request;
    Ok(match op.request {
        Some(Request::RequestRange(request)) => RequestOp::Range(range(request)?),
        Some(Request::RequestPut(request)) => RequestOp::Put(put(request)?),
        Some(Request::RequestDeleteRange(request)) => RequestOp::DeleteRange(delete_range(request)?),
        Some(Request::RequestTxn(request)) => RequestOp::Txn(form(request, max_ops, depth + 1)?),
        None => return Err(Error::KeyNotFound),
    })
}

fn compare(compare: pb::Compare) -> Result<Compare, Error> {
    use pb::compare::TargetUnion;
    if compare.key.is_empty() {
        return Err(Error::EmptyKey);
    }
    let result = match compare.result {
        0 => CompareResult::Equal,
        1 => CompareResult::Greater,
        2 => CompareResult::Less,
        3 => CompareResult::NotEqual,
        _ => CompareResult::Unknown,
    };
    // An arm that does not fit the target reads as 0 or empty (T6).
    let given = compare.target_union;
    let target = match compare.target {
        0 => CompareTarget::Version(match given {
            Some(TargetUnion::Version(version)) => version,
            _ => 0,
        }),
        1 => CompareTarget::CreateRevision(match given {
            Some(TargetUnion::CreateRevision(revision)) => revision,
            _ => 0,
        }),
        2 => CompareTarget::ModRevision(match given {
            Some(TargetUnion::ModRevision(revision)) => revision,
            _ => 0,
        }),
        3 => CompareTarget::Value(match given {
            Some(TargetUnion::Value(value)) => value,
            _ => Bytes::new(),
        }),
        4 => CompareTarget::Lease(match given {
            Some(TargetUnion::Lease(lease)) => lease,
            _ => 0,
        }),
        _ => CompareTarget::Unknown,
    };
    Ok(Compare { range: KeyRange { key: compare.key, range_end: compare.range_end }, result, target })
}
