//! The ranges of a read, and which failures leave the outcome of an operation open.

use etched_proto::etcdserverpb as pb;
use etched_testkit::{Failure, Request, Response};
use tonic::Code;

pub(super) const FUTURE: &str = "etcdserver: mvcc: required revision is a future revision";
pub(super) const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";

/// Whether the failure leaves the outcome open: everything but what depends on request and data.
pub(super) fn is_unknown(failure: &Failure) -> bool {
    let data = matches!(failure.code, Code::InvalidArgument | Code::OutOfRange | Code::NotFound)
        || failure.text == "etcdserver: lease already exists";
    !data || failure.text == "etcdserver: request is too large"
}

fn ranges(ops: &[pb::RequestOp]) -> impl Iterator<Item = &pb::RangeRequest> {
    ops.iter().filter_map(|op| match &op.request {
        Some(pb::request_op::Request::RequestRange(range)) => Some(range),
        _ => None,
    })
}

/// All ranges of a read.
pub(super) fn all_ranges(request: &Request) -> impl Iterator<Item = &pb::RangeRequest> {
    let (single, txn) = match request {
        Request::Range(range) => (Some(range), None),
        Request::Txn(txn) => (None, Some(txn)),
        _ => (None, None),
    };
    single.into_iter().chain(txn.into_iter().flat_map(|txn| ranges(&txn.success).chain(ranges(&txn.failure))))
}

/// The ranges of a read that were answered.
pub(super) fn chosen_ranges<'a>(
    request: &'a Request,
    response: &Response,
) -> impl Iterator<Item = &'a pb::RangeRequest> {
    let succeeded = matches!(response, Response::Txn(txn) if txn.succeeded);
    let (single, branch) = match request {
        Request::Range(range) => (Some(range), [].as_slice()),
        Request::Txn(txn) => (None, if succeeded { txn.success.as_slice() } else { txn.failure.as_slice() }),
        _ => (None, [].as_slice()),
    };
    single.into_iter().chain(ranges(branch))
}
