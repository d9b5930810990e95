//! Operations of which the log may lawfully hold more than one entry: a write that its client numbers
//! (docs/COORDINATION.md), which is carried out once however often it comes, and a wait for a lock,
//! which joins a queue and leaves it if it is given up.

use std::collections::BTreeMap;

use etched::types::RequestId;
use etched_proto::{etcdserverpb as pb, mvccpb};
use etched_testkit::{Failure, Request, Response};
use tonic::Code;

use super::super::lock::created_at;
use super::{Call, History, Origin};

/// Whether an operation may be in the log more than once, and what that means.
#[derive(Clone, Debug, PartialEq)]
pub enum Again {
    /// It may not.
    Never,
    /// Write number `.1` of client `.0`: other operations may have the same numbers.
    Numbered(u64, u64),
    /// It puts this key, and may delete it again.
    Leaves(Vec<u8>),
    /// The same, but a key of its lease that is there already gets its value first.
    Campaigns {
        /// The key.
        key: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
        /// Its lease.
        lease: i64,
    },
}

/// The last write of each client that numbers them.
#[derive(Debug, Default)]
pub(super) struct Numbers(BTreeMap<u64, (u64, Response)>);

impl Numbers {
    /// The answer to a write that is not to be carried out.
    pub fn answer(&self, client: u64, sequence: u64) -> Option<Result<Response, Failure>> {
        let (last, answer) = self.0.get(&client)?;
        match sequence.cmp(last) {
            std::cmp::Ordering::Greater => None,
            std::cmp::Ordering::Equal => Some(Ok(answer.clone())),
            std::cmp::Ordering::Less => Some(Err(too_old())),
        }
    }

    /// An error changed nothing and is not remembered.
    pub fn remember(&mut self, client: u64, sequence: u64, answer: &Result<Response, Failure>) {
        if let Ok(answer) = answer {
            self.0.insert(client, (sequence, answer.clone()));
        }
    }
}

fn too_old() -> Failure {
    let text = "etched: a later write of this client was applied; what became of this one is not known";
    Failure::new(Code::FailedPrecondition, text)
}

impl Call {
    /// The next entry of a wait for a turn. The key that it put, or found, is deleted if it is still
    /// the same; before that, a campaign gives its value to a key that it found with another one. There
    /// is none without such a key, and no other.
    pub(super) fn take_next(&mut self) -> Option<Request> {
        let joined = self.applied.as_ref()?.answer.as_ref().ok()?;
        let created = created_by(joined)?;
        let (key, op) = match std::mem::replace(&mut self.again, Again::Never) {
            Again::Campaigns { key, value, lease }
                if found_value(joined).is_some_and(|found| found != value) =>
            {
                self.again = Again::Leaves(key.clone());
                let (name, value) = (key.clone().into(), value.into());
                let put = pb::PutRequest { key: name, value, lease, ..Default::default() };
                (key, pb::request_op::Request::RequestPut(put))
            }
            Again::Leaves(key) | Again::Campaigns { key, .. } => {
                let delete = pb::DeleteRangeRequest { key: key.clone().into(), ..Default::default() };
                (key, pb::request_op::Request::RequestDeleteRange(delete))
            }
            Again::Never | Again::Numbered(..) => return None,
        };
        let (compare, success) = (vec![created_at(&key, created)], vec![pb::RequestOp { request: Some(op) }]);
        Some(Request::Txn(pb::TxnRequest { compare, success, failure: Vec::new() }))
    }
}

/// The record that who joined a queue found there already.
fn found(joined: &Response) -> Option<&mvccpb::KeyValue> {
    let Response::Txn(txn) = joined else { return None };
    match txn.responses.first()?.response.as_ref()? {
        pb::response_op::Response::ResponseRange(range) => range.kvs.first(),
        _ => None,
    }
}

fn found_value(joined: &Response) -> Option<&[u8]> {
    found(joined).map(|kv| kv.value.as_ref())
}

/// The create revision of the key that a wait for a lock stands for.
fn created_by(joined: &Response) -> Option<i64> {
    match joined {
        Response::Txn(txn) if txn.succeeded => Some(joined.revision()),
        _ => found(joined).map(|kv| kv.create_revision),
    }
}

impl History {
    /// The rule that is broken when the entry of `request_id` takes another revision than the model's.
    pub(super) fn who_tells_of(&self, request_id: Option<RequestId>, expired: &[i64]) -> &'static str {
        let op = match request_id.and_then(|id| self.proposed.get(&id)) {
            Some(Origin::Client(op)) => op,
            _ if !expired.is_empty() => return "lease-atomic",
            _ => return "revision",
        };
        let call = self.calls.get(op);
        if call.is_some_and(|call| call.asker.is_somebody()) {
            return "permission";
        }
        let applied = call.and_then(|call| call.applied.as_ref());
        if applied.is_some_and(|applied| applied.repeats) { "exactly-once" } else { "revision" }
    }

    /// The create revision of the key with which operation `op` stands in a queue, and the revision at
    /// which it was seen there first.
    pub fn joined(&self, op: super::OpId) -> Option<(i64, i64)> {
        let joined = self.calls.get(&op)?.applied.as_ref()?.answer.as_ref().ok()?;
        Some((created_by(joined)?, joined.revision()))
    }
}
