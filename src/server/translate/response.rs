//! Answers.

use bytes::Bytes;
use etched_proto::{etcdserverpb as pb, mvccpb};

use crate::node::api::Header;
use crate::types::{
    DeleteRangeResponse, Event, KeyValue, Member, PutResponse, RangeResponse, ResponseOp, TxnResponse,
};

/// A header (M4, M5).
pub fn response_header(header: &Header) -> pb::ResponseHeader {
    pb::ResponseHeader {
        cluster_id: header.cluster_id,
        member_id: header.member_id,
        revision: header.revision,
        raft_term: header.raft_term,
    }
}

/// The header of an answer inside a transaction: only the revision means something (M6).
fn inner_header(revision: i64) -> pb::ResponseHeader {
    pb::ResponseHeader { revision, ..pb::ResponseHeader::default() }
}

/// A record.
pub fn key_value(kv: &KeyValue) -> mvccpb::KeyValue {
    let fields = kv.fields();
    mvccpb::KeyValue {
        key: Bytes::copy_from_slice(kv.key()),
        create_revision: fields.create_revision,
        mod_revision: fields.mod_revision,
        version: fields.version,
        value: Bytes::copy_from_slice(kv.value()),
        lease: fields.lease,
    }
}

/// An event (D5, W25).
pub fn event(event: &Event) -> mvccpb::Event {
    let kind = if event.kv.is_tombstone() {
        mvccpb::event::EventType::Delete
    } else {
        mvccpb::event::EventType::Put
    };
    mvccpb::Event {
        r#type: kind.into(),
        kv: Some(key_value(&event.kv)),
        prev_kv: event.prev_kv.as_ref().map(key_value),
    }
}

/// KV.Range.
pub fn range_response(header: pb::ResponseHeader, response: &RangeResponse) -> pb::RangeResponse {
    let record = |kv: &KeyValue| {
        if !response.keys_only {
            return key_value(kv);
        }
        let fields = kv.fields();
        mvccpb::KeyValue {
            key: Bytes::copy_from_slice(kv.key()),
            create_revision: fields.create_revision,
            mod_revision: fields.mod_revision,
            version: fields.version,
            value: Bytes::new(),
            lease: if response.keys_only_with_lease { fields.lease } else { 0 },
        }
    };
    pb::RangeResponse {
        header: Some(header),
        kvs: response.kvs.iter().map(record).collect(),
        more: response.more,
        count: response.count,
    }
}

/// KV.Put.
pub fn put_response(header: pb::ResponseHeader, response: &PutResponse) -> pb::PutResponse {
    pb::PutResponse { header: Some(header), prev_kv: response.prev_kv.as_ref().map(key_value) }
}

/// KV.DeleteRange.
pub fn delete_range_response(
    header: pb::ResponseHeader,
    response: &DeleteRangeResponse,
) -> pb::DeleteRangeResponse {
    pb::DeleteRangeResponse {
        header: Some(header),
        deleted: response.deleted,
        prev_kvs: response.prev_kvs.iter().map(key_value).collect(),
    }
}

/// KV.Txn.
pub fn txn_response(header: pb::ResponseHeader, response: &TxnResponse) -> pb::TxnResponse {
    pb::TxnResponse {
        header: Some(header),
        succeeded: response.succeeded,
        responses: response.responses.iter().map(response_op).collect(),
    }
}

fn response_op(op: &ResponseOp) -> pb::ResponseOp {
    use pb::response_op::Response;
    let response = match op {
        ResponseOp::Range(revision, response) => {
            Response::ResponseRange(range_response(inner_header(*revision), response))
        }
        ResponseOp::Put(revision, response) => {
            Response::ResponsePut(put_response(inner_header(*revision), response))
        }
        ResponseOp::DeleteRange(revision, response) => {
            Response::ResponseDeleteRange(delete_range_response(inner_header(*revision), response))
        }
        ResponseOp::Txn(revision, response) => {
            Response::ResponseTxn(txn_response(inner_header(*revision), response))
        }
    };
    pb::ResponseOp { response: Some(response) }
}

/// KV.Compact.
pub fn compaction_response(header: pb::ResponseHeader) -> pb::CompactionResponse {
    pb::CompactionResponse { header: Some(header) }
}

/// A member.
pub fn member(member: &Member) -> pb::Member {
    pb::Member {
        id: member.id,
        name: member.name.clone(),
        peer_ur_ls: member.peer_urls.clone(),
        client_ur_ls: member.client_urls.clone(),
        is_learner: member.is_learner,
    }
}
