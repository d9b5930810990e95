//! The rules of locks, online; one file a rule, named after the guarantee. The name of the checker is
//! `lock-` and that of the file.
//!
//! What a lock is, the model's history tells: the keys below a name stand in a queue by their create
//! revisions, and the oldest holds (docs/COORDINATION.md). Who acts when is not judged: a client
//! whose lease has ended may not know. What it writes under guard of its token is.

mod exclusive;
mod fencing;

use std::collections::BTreeMap;

use etched_proto::etcdserverpb as pb;
use etched_testkit::Request;
use pb::compare::{CompareResult, CompareTarget, TargetUnion};
use pb::request_op::Request as Op;

use super::history::{History, OpId};
use super::violation::Checked;

/// A wait for a lock.
#[derive(Clone, Debug)]
pub struct Wanted {
    op: OpId,
    name: Vec<u8>,
    /// The key that stands in the queue.
    key: Vec<u8>,
    /// The greatest token of that name that had been answered before.
    floor: i64,
}

/// The checker; see the head of this file.
#[derive(Debug, Default)]
pub struct Locks {
    /// The greatest token that was answered, by name.
    answered: BTreeMap<Vec<u8>, i64>,
    /// Tokens of guarded writes that were carried out, by name and revision.
    guarded: BTreeMap<Vec<u8>, BTreeMap<i64, i64>>,
    taken: u64,
}

impl Locks {
    /// How often a lock was taken.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// A client is about to wait, as operation `op`, for the lock `name` with `lease`.
    pub fn wanted(&self, op: OpId, name: &[u8], lease: i64) -> Wanted {
        let sign = if lease < 0 { "-" } else { "" };
        let key = [name, format!("/{sign}{:x}", lease.unsigned_abs()).as_bytes()].concat();
        let floor = self.answered.get(name).copied().unwrap_or(0);
        Wanted { op, name: name.to_vec(), key, floor }
    }

    /// It got the lock: its key, and the fencing token.
    pub fn locked(&mut self, history: &History, wanted: &Wanted, key: &[u8], token: i64) -> Checked {
        self.taken += 1;
        self.is_its_token(history, wanted, key, token)?;
        exclusive::is_first(history, wanted)?;
        let greatest = self.answered.entry(wanted.name.clone()).or_default();
        *greatest = token.max(*greatest);
        Ok(())
    }
}

impl Wanted {
    /// The operation.
    pub fn op(&self) -> OpId {
        self.op
    }

    /// The key that stands in the queue.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// What joins the queue: an own key that is there already keeps its place.
    pub fn join(&self, lease: i64, value: &[u8]) -> Request {
        let (key, value) = (self.key.clone().into(), value.to_vec().into());
        let put = pb::PutRequest { key, value, lease, ..Default::default() };
        let get = pb::RangeRequest { key: self.key.clone().into(), ..Default::default() };
        Request::Txn(pb::TxnRequest {
            compare: vec![created_at(&self.key, 0)],
            success: vec![pb::RequestOp { request: Some(Op::RequestPut(put)) }],
            failure: vec![pb::RequestOp { request: Some(Op::RequestRange(get)) }],
        })
    }
}

/// Holds as long as `key` is the one that was created at `revision`: the guard of a write.
pub fn created_at(key: &[u8], revision: i64) -> pb::Compare {
    pb::Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Create.into(),
        key: key.to_vec().into(),
        target_union: Some(TargetUnion::CreateRevision(revision)),
        ..Default::default()
    }
}
