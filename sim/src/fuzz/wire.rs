//! Commands back to the requests that a door would have made them of.

use etched::codec::envelope;
use etched::types::{
    Command, Compare, CompareResult, CompareTarget, DeleteRangeRequest, Envelope, KeyRange, PutRequest,
    RangeRequest, RequestId, RequestOp, TxnRequest,
};
use etched_proto::etcdserverpb as pb;
use pb::compare::TargetUnion;
use pb::request_op::Request as Op;

/// A value that no enum of the wire has.
const UNKNOWN: i32 = 99;

pub fn put(put: &PutRequest) -> pb::PutRequest {
    pb::PutRequest {
        key: put.key.clone(),
        value: put.value.clone(),
        lease: put.lease,
        prev_kv: put.prev_kv,
        ignore_value: put.ignore_value,
        ignore_lease: put.ignore_lease,
    }
}

pub fn delete_range(delete: &DeleteRangeRequest) -> pb::DeleteRangeRequest {
    let KeyRange { key, range_end } = delete.range.clone();
    pb::DeleteRangeRequest { key, range_end, prev_kv: delete.prev_kv }
}

pub fn txn(txn: &TxnRequest) -> pb::TxnRequest {
    pb::TxnRequest {
        compare: txn.compare.iter().map(compare).collect(),
        success: txn.success.iter().map(operation).collect(),
        failure: txn.failure.iter().map(operation).collect(),
    }
}

fn operation(operation: &RequestOp) -> pb::RequestOp {
    let request = match operation {
        RequestOp::Range(one) => Op::RequestRange(range(one)),
        RequestOp::Put(one) => Op::RequestPut(put(one)),
        RequestOp::DeleteRange(one) => Op::RequestDeleteRange(delete_range(one)),
        RequestOp::Txn(one) => Op::RequestTxn(txn(one)),
    };
    pb::RequestOp { request: Some(request) }
}

fn range(range: &RangeRequest) -> pb::RangeRequest {
    let KeyRange { key, range_end } = range.range.clone();
    pb::RangeRequest {
        key,
        range_end,
        limit: range.limit,
        revision: range.revision,
        sort_order: range.sort_order as i32,
        sort_target: range.sort_target as i32,
        serializable: range.serializable,
        keys_only: range.keys_only,
        count_only: range.count_only,
        min_mod_revision: range.min_mod_revision,
        max_mod_revision: range.max_mod_revision,
        min_create_revision: range.min_create_revision,
        max_create_revision: range.max_create_revision,
    }
}

fn compare(compare: &Compare) -> pb::Compare {
    let KeyRange { key, range_end } = compare.range.clone();
    let (target, target_union) = match &compare.target {
        CompareTarget::Version(version) => (0, Some(TargetUnion::Version(*version))),
        CompareTarget::CreateRevision(revision) => (1, Some(TargetUnion::CreateRevision(*revision))),
        CompareTarget::ModRevision(revision) => (2, Some(TargetUnion::ModRevision(*revision))),
        CompareTarget::Value(value) => (3, Some(TargetUnion::Value(value.clone()))),
        CompareTarget::Lease(lease) => (4, Some(TargetUnion::Lease(*lease))),
        CompareTarget::Unknown => (UNKNOWN, None),
    };
    let result = match compare.result {
        CompareResult::Equal => 0,
        CompareResult::Greater => 1,
        CompareResult::Less => 2,
        CompareResult::NotEqual => 3,
        CompareResult::Unknown => UNKNOWN,
    };
    pb::Compare { result, target, key, range_end, target_union }
}

/// Inputs of the commands target with one encoded command each.
pub fn seeds() -> Vec<Vec<u8>> {
    let one = PutRequest { key: "a".into(), value: "x".into(), prev_kv: true, ..PutRequest::default() };
    let all = KeyRange::new("a", "z");
    let guard =
        Compare { range: all.clone(), result: CompareResult::Greater, target: CompareTarget::Version(0) };
    let nested = TxnRequest {
        compare: vec![guard.clone()],
        success: vec![RequestOp::Range(RangeRequest::newest(all.clone()))],
        failure: vec![RequestOp::Put(one.clone())],
    };
    let delete = DeleteRangeRequest { range: all, prev_kv: true };
    let txn = TxnRequest {
        compare: vec![guard],
        success: vec![RequestOp::Txn(nested), RequestOp::DeleteRange(delete.clone())],
        failure: vec![RequestOp::Put(one.clone())],
    };
    let commands = [
        Command::Put(one),
        Command::Txn(txn),
        Command::DeleteRange(delete),
        Command::Compaction(etched::types::CompactionRequest { revision: 2, physical: false }),
    ];
    let mut whole = vec![0; 5];
    for command in commands {
        let entry = envelope::encode(&Envelope {
            request_id: RequestId::default(),
            caller: None,
            client: None,
            command,
        });
        let body = &entry[5..];
        whole.push(0);
        whole.extend(u16::try_from(body.len()).expect("short").to_le_bytes());
        whole.extend(body);
    }
    vec![whole]
}
