//! Our words as JSON. Byte strings are text where they are UTF-8, else `{"hex": ...}`; ids of
//! members are hexadecimal, as etcd prints them.

use serde_json::{Value, json};

use super::auth_words;
use crate::codec::membership::Membership;
use crate::types::{
    Command, Compare, CompareTarget, DeleteRangeRequest, Envelope, KeyRange, LeaseTick, LogPosition, Member,
    PutRequest, RangeRequest, RequestOp, TxnRequest, Vote,
};

pub(super) fn bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({ "hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
    }
}

pub(super) fn position(at: LogPosition) -> Value {
    json!({ "index": at.index, "term": at.term, "leader": format!("{:x}", at.leader) })
}

pub(super) fn vote(vote: &Vote) -> Value {
    let candidate = vote.voted_for.map(|id| format!("{id:x}"));
    json!({ "term": vote.term, "voted_for": candidate, "committed": vote.committed })
}

pub(super) fn member(member: &Member) -> Value {
    json!({
        "id": format!("{:x}", member.id),
        "name": member.name,
        "peer_urls": member.peer_urls,
        "client_urls": member.client_urls,
        "is_learner": member.is_learner,
    })
}

pub(super) fn membership(membership: &Membership) -> Value {
    let ids = |ids: &std::collections::BTreeSet<u64>| -> Value {
        ids.iter().map(|id| format!("{id:x}")).collect::<Vec<_>>().into()
    };
    let voters: Vec<Value> = membership.configs.iter().map(ids).collect();
    json!({ "voters": voters, "learners": ids(&membership.learners) })
}

/// Adds request id, client and command to an entry's line.
pub(super) fn envelope(line: &mut Value, envelope: &Envelope) {
    let id = envelope.request_id;
    line["request_id"] = json!({
        "member": format!("{:x}", id.member),
        "incarnation": id.incarnation,
        "sequence": id.sequence,
    });
    if let Some(caller) = envelope.caller {
        line["caller"] = json!({ "user": caller.user, "auth_revision": caller.auth_revision });
    }
    if let Some((client, sequence)) = envelope.client {
        line["client"] = json!({ "id": client, "sequence": sequence });
    }
    line["command"] = command(&envelope.command);
}

fn command(command: &Command) -> Value {
    match command {
        Command::Put(request) => json!({ "put": put(request) }),
        Command::DeleteRange(request) => json!({ "delete_range": delete(request) }),
        Command::Txn(request) => json!({ "txn": txn(request) }),
        Command::Compaction(request) => {
            json!({ "compaction": { "revision": request.revision, "physical": request.physical } })
        }
        Command::RaiseLevel(level) => json!({ "raise_level": level }),
        Command::Publish(published) => json!({ "publish": member(published) }),
        Command::LeaseGrant { id, ttl } => json!({ "lease_grant": { "id": id, "ttl": ttl } }),
        Command::LeaseRevoke { id } => json!({ "lease_revoke": { "id": id } }),
        Command::LeaseTick(LeaseTick { term, clock_ms, renewed }) => {
            json!({ "lease_tick": { "term": term, "clock_ms": clock_ms, "renewed": renewed } })
        }
        Command::Auth(change) => json!({ "auth": auth_words::command(change) }),
    }
}

fn range_of(range: &KeyRange) -> (Value, Value) {
    (bytes(&range.key), bytes(&range.range_end))
}

fn put(request: &PutRequest) -> Value {
    json!({
        "key": bytes(&request.key),
        "value": bytes(&request.value),
        "lease": request.lease,
        "prev_kv": request.prev_kv,
        "ignore_value": request.ignore_value,
        "ignore_lease": request.ignore_lease,
    })
}

fn delete(request: &DeleteRangeRequest) -> Value {
    let (key, range_end) = range_of(&request.range);
    json!({ "key": key, "range_end": range_end, "prev_kv": request.prev_kv })
}

fn range(request: &RangeRequest) -> Value {
    let (key, range_end) = range_of(&request.range);
    json!({
        "key": key,
        "range_end": range_end,
        "limit": request.limit,
        "revision": request.revision,
        "sort_order": format!("{:?}", request.sort_order),
        "sort_target": format!("{:?}", request.sort_target),
        "serializable": request.serializable,
        "keys_only": request.keys_only,
        "count_only": request.count_only,
        "min_mod_revision": request.min_mod_revision,
        "max_mod_revision": request.max_mod_revision,
        "min_create_revision": request.min_create_revision,
        "max_create_revision": request.max_create_revision,
    })
}

fn compare(compare: &Compare) -> Value {
    let (key, range_end) = range_of(&compare.range);
    let (target, value) = match &compare.target {
        CompareTarget::Version(value) => ("version", json!(value)),
        CompareTarget::CreateRevision(value) => ("create_revision", json!(value)),
        CompareTarget::ModRevision(value) => ("mod_revision", json!(value)),
        CompareTarget::Value(value) => ("value", bytes(value)),
        CompareTarget::Lease(value) => ("lease", json!(value)),
        CompareTarget::Unknown => ("unknown", Value::Null),
    };
    let result = format!("{:?}", compare.result);
    json!({ "key": key, "range_end": range_end, "target": target, "result": result, "value": value })
}

fn txn(request: &TxnRequest) -> Value {
    let ops = |ops: &[RequestOp]| ops.iter().map(op).collect::<Vec<Value>>();
    json!({
        "compare": request.compare.iter().map(compare).collect::<Vec<_>>(),
        "success": ops(&request.success),
        "failure": ops(&request.failure),
    })
}

fn op(op: &RequestOp) -> Value {
    match op {
        RequestOp::Range(request) => json!({ "range": range(request) }),
        RequestOp::Put(request) => json!({ "put": put(request) }),
        RequestOp::DeleteRange(request) => json!({ "delete_range": delete(request) }),
        RequestOp::Txn(request) => json!({ "txn": txn(request) }),
    }
}
