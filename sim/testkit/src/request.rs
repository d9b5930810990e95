//! Requests and answers of every kind under one name each.

use std::fmt;

use etched_proto::etcdserverpb as pb;
use tonic::Code;

/// One unary request.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// KV.Range.
    Range(pb::RangeRequest),
    /// KV.Put.
    Put(pb::PutRequest),
    /// KV.DeleteRange.
    DeleteRange(pb::DeleteRangeRequest),
    /// KV.Txn.
    Txn(pb::TxnRequest),
    /// KV.Compact.
    Compact(pb::CompactionRequest),
    /// Lease.LeaseGrant.
    LeaseGrant(pb::LeaseGrantRequest),
    /// Lease.LeaseRevoke.
    LeaseRevoke(pb::LeaseRevokeRequest),
}

impl Request {
    /// Whether it is answered without the log: a range, or a transaction of ranges (T8).
    pub fn is_read(&self) -> bool {
        match self {
            Request::Range(_) => true,
            Request::Txn(txn) => ranges(txn).all(|range| range.is_some()),
            _ => false,
        }
    }

    /// Whether it may be answered from one member's state without a quorum round (R18, T9). A
    /// transaction without any operation is such a one.
    pub fn is_serializable(&self) -> bool {
        match self {
            Request::Range(range) => range.serializable,
            Request::Txn(txn) => ranges(txn).all(|range| range.is_some_and(|range| range.serializable)),
            _ => false,
        }
    }
}

/// The operations of both branches: the range, or `None` for anything else.
fn ranges(txn: &pb::TxnRequest) -> impl Iterator<Item = Option<&pb::RangeRequest>> {
    txn.success.iter().chain(&txn.failure).map(|op| match &op.request {
        Some(pb::request_op::Request::RequestRange(range)) => Some(range),
        _ => None,
    })
}

/// One answer. Of headers only the revision counts here.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// KV.Range.
    Range(pb::RangeResponse),
    /// KV.Put.
    Put(pb::PutResponse),
    /// KV.DeleteRange.
    DeleteRange(pb::DeleteRangeResponse),
    /// KV.Txn.
    Txn(pb::TxnResponse),
    /// KV.Compact.
    Compact(pb::CompactionResponse),
    /// Lease.LeaseGrant.
    LeaseGrant(pb::LeaseGrantResponse),
    /// Lease.LeaseRevoke.
    LeaseRevoke(pb::LeaseRevokeResponse),
}

impl Response {
    /// The header's revision; 0 without a header.
    pub fn revision(&self) -> i64 {
        let header = match self {
            Response::Range(answer) => &answer.header,
            Response::Put(answer) => &answer.header,
            Response::DeleteRange(answer) => &answer.header,
            Response::Txn(answer) => &answer.header,
            Response::Compact(answer) => &answer.header,
            Response::LeaseGrant(answer) => &answer.header,
            Response::LeaseRevoke(answer) => &answer.header,
        };
        header.as_ref().map_or(0, |header| header.revision)
    }

    /// Leaves in headers only what every member must answer alike: the revision. A header of zeros
    /// counts as none. The granted TTL goes too: its lower bound is a setting (L3).
    pub fn normalized(mut self) -> Self {
        match &mut self {
            Response::Range(answer) => strip(&mut answer.header),
            Response::Put(answer) => strip(&mut answer.header),
            Response::DeleteRange(answer) => strip(&mut answer.header),
            Response::Txn(answer) => strip_txn(answer),
            Response::Compact(answer) => strip(&mut answer.header),
            Response::LeaseGrant(answer) => {
                strip(&mut answer.header);
                answer.ttl = 0;
            }
            Response::LeaseRevoke(answer) => strip(&mut answer.header),
        }
        self
    }
}

fn strip(header: &mut Option<pb::ResponseHeader>) {
    let revision = header.as_ref().map_or(0, |header| header.revision);
    *header = (revision != 0).then(|| pb::ResponseHeader { revision, ..Default::default() });
}

fn strip_txn(answer: &mut pb::TxnResponse) {
    strip(&mut answer.header);
    for op in &mut answer.responses {
        match &mut op.response {
            Some(pb::response_op::Response::ResponseRange(inner)) => strip(&mut inner.header),
            Some(pb::response_op::Response::ResponsePut(inner)) => strip(&mut inner.header),
            Some(pb::response_op::Response::ResponseDeleteRange(inner)) => strip(&mut inner.header),
            Some(pb::response_op::Response::ResponseTxn(inner)) => strip_txn(inner),
            None => {}
        }
    }
}

/// An error as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// gRPC status code.
    pub code: Code,
    /// Message, byte-exact (D4).
    pub text: String,
}

impl Failure {
    /// A failure of code and text.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Failure { code, text: text.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.code, self.text)
    }
}

impl From<&tonic::Status> for Failure {
    fn from(status: &tonic::Status) -> Self {
        Failure::new(status.code(), status.message())
    }
}
