//! Mirrors of commands and requests.
//!
//! A transaction is written as a flat list of operations in the order in which they would run
//! (each nested transaction's head, then its own operations), so that decoding never recurses
//! through serde; the tree is rebuilt with a bounded depth.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::types::{
    Command, CompactionRequest, Compare, CompareResult, CompareTarget, DeleteRangeRequest, LeaseTick,
    PutRequest, RangeRequest, RequestOp, SortOrder, SortTarget, TxnRequest, limits,
};

use super::CodecError;
use super::auth::AuthCommandV1;
use super::blob::Blob;
use super::mirror::{KeyRangeV1, MemberV1};

/// Mirrors an enum without fields, by the variants' places.
macro_rules! mirror_enum {
    ($mirror:ident, $type:ident { $($variant:ident),* }) => {
        #[derive(Clone, Copy, Serialize, Deserialize)]
        enum $mirror { $($variant,)* }
        impl From<$type> for $mirror {
            fn from(value: $type) -> Self { match value { $($type::$variant => $mirror::$variant,)* } }
        }
        impl From<$mirror> for $type {
            fn from(value: $mirror) -> Self { match value { $($mirror::$variant => $type::$variant,)* } }
        }
    };
}

mirror_enum!(SortOrderV1, SortOrder { None, Ascend, Descend });
mirror_enum!(SortTargetV1, SortTarget { Key, Version, Create, Mod, Value });
mirror_enum!(CompareResultV1, CompareResult { Equal, Greater, Less, NotEqual, Unknown });

/// [`Command`]. Variants are only added at the end.
#[derive(Serialize, Deserialize)]
pub(super) enum CommandV1<'a> {
    #[serde(borrow)]
    Put(PutV1<'a>),
    #[serde(borrow)]
    DeleteRange(DeleteRangeV1<'a>),
    #[serde(borrow)]
    Txn(TxnV1<'a>),
    Compaction {
        revision: i64,
        physical: bool,
    },
    RaiseLevel(u32),
    Publish(MemberV1),
    LeaseGrant {
        id: i64,
        ttl: i64,
    },
    LeaseRevoke {
        id: i64,
    },
    LeaseTick {
        term: u64,
        clock_ms: u64,
        renewed: Vec<i64>,
    },
    #[serde(borrow)]
    Auth(AuthCommandV1<'a>),
}

#[derive(Serialize, Deserialize)]
pub(super) struct PutV1<'a> {
    #[serde(borrow)]
    key: Blob<'a>,
    #[serde(borrow)]
    value: Blob<'a>,
    lease: i64,
    prev_kv: bool,
    ignore_value: bool,
    ignore_lease: bool,
}

#[derive(Serialize, Deserialize)]
pub(super) struct DeleteRangeV1<'a> {
    #[serde(borrow)]
    range: KeyRangeV1<'a>,
    prev_kv: bool,
}

#[derive(Serialize, Deserialize)]
pub(super) struct RangeV1<'a> {
    #[serde(borrow)]
    range: KeyRangeV1<'a>,
    limit: i64,
    revision: i64,
    sort_order: SortOrderV1,
    sort_target: SortTargetV1,
    serializable: bool,
    keys_only: bool,
    count_only: bool,
    min_mod_revision: i64,
    max_mod_revision: i64,
    min_create_revision: i64,
    max_create_revision: i64,
}

#[derive(Serialize, Deserialize)]
enum CompareTargetV1<'a> {
    Version(i64),
    CreateRevision(i64),
    ModRevision(i64),
    #[serde(borrow)]
    Value(Blob<'a>),
    Lease(i64),
    Unknown,
}

#[derive(Serialize, Deserialize)]
struct CompareV1<'a> {
    #[serde(borrow)]
    range: KeyRangeV1<'a>,
    result: CompareResultV1,
    #[serde(borrow)]
    target: CompareTargetV1<'a>,
}

/// A transaction's compares, and how many operations each branch has at its own level.
#[derive(Serialize, Deserialize)]
struct TxnHeadV1<'a> {
    #[serde(borrow)]
    compare: Vec<CompareV1<'a>>,
    success: u32,
    failure: u32,
}

#[derive(Serialize, Deserialize)]
enum OperationV1<'a> {
    #[serde(borrow)]
    Range(RangeV1<'a>),
    #[serde(borrow)]
    Put(PutV1<'a>),
    #[serde(borrow)]
    DeleteRange(DeleteRangeV1<'a>),
    #[serde(borrow)]
    Txn(TxnHeadV1<'a>),
}

#[derive(Serialize, Deserialize)]
pub(super) struct TxnV1<'a> {
    #[serde(borrow)]
    head: TxnHeadV1<'a>,
    #[serde(borrow)]
    operations: Vec<OperationV1<'a>>,
}

impl<'a> CommandV1<'a> {
    pub(super) fn new(command: &'a Command) -> Self {
        match command {
            Command::Put(put) => CommandV1::Put(PutV1::new(put)),
            Command::DeleteRange(delete) => CommandV1::DeleteRange(DeleteRangeV1::new(delete)),
            Command::Txn(txn) => CommandV1::Txn(TxnV1::new(txn)),
            Command::Compaction(CompactionRequest { revision, physical }) => {
                CommandV1::Compaction { revision: *revision, physical: *physical }
            }
            Command::RaiseLevel(level) => CommandV1::RaiseLevel(*level),
            Command::Publish(member) => CommandV1::Publish(member.into()),
            Command::LeaseGrant { id, ttl } => CommandV1::LeaseGrant { id: *id, ttl: *ttl },
            Command::LeaseRevoke { id } => CommandV1::LeaseRevoke { id: *id },
            Command::LeaseTick(LeaseTick { term, clock_ms, renewed }) => {
                CommandV1::LeaseTick { term: *term, clock_ms: *clock_ms, renewed: renewed.clone() }
            }
            Command::Auth(command) => CommandV1::Auth(AuthCommandV1::new(command)),
        }
    }

    pub(super) fn of(self, input: &Bytes) -> Result<Command, CodecError> {
        Ok(match self {
            CommandV1::Put(put) => Command::Put(put.of(input)),
            CommandV1::DeleteRange(delete) => Command::DeleteRange(delete.of(input)),
            CommandV1::Txn(txn) => Command::Txn(txn.of(input)?),
            CommandV1::Compaction { revision, physical } => {
                Command::Compaction(CompactionRequest { revision, physical })
            }
            CommandV1::RaiseLevel(level) => Command::RaiseLevel(level),
            CommandV1::Publish(member) => Command::Publish(member.into()),
            CommandV1::LeaseGrant { id, ttl } => Command::LeaseGrant { id, ttl },
            CommandV1::LeaseRevoke { id } => Command::LeaseRevoke { id },
            CommandV1::LeaseTick { term, clock_ms, renewed } => {
                Command::LeaseTick(LeaseTick { term, clock_ms, renewed })
            }
            CommandV1::Auth(command) => Command::Auth(command.of()),
        })
    }
}

impl<'a> PutV1<'a> {
    fn new(put: &'a PutRequest) -> Self {
        PutV1 {
            key: Blob(&put.key),
            value: Blob(&put.value),
            lease: put.lease,
            prev_kv: put.prev_kv,
            ignore_value: put.ignore_value,
            ignore_lease: put.ignore_lease,
        }
    }

    fn of(&self, input: &Bytes) -> PutRequest {
        PutRequest {
            key: self.key.of(input),
            value: self.value.of(input),
            lease: self.lease,
            prev_kv: self.prev_kv,
            ignore_value: self.ignore_value,
            ignore_lease: self.ignore_lease,
        }
    }
}

impl<'a> DeleteRangeV1<'a> {
    fn new(delete: &'a DeleteRangeRequest) -> Self {
        DeleteRangeV1 { range: KeyRangeV1::new(&delete.range), prev_kv: delete.prev_kv }
    }

    fn of(&self, input: &Bytes) -> DeleteRangeRequest {
        DeleteRangeRequest { range: self.range.of(input), prev_kv: self.prev_kv }
    }
}

impl<'a> RangeV1<'a> {
    fn new(range: &'a RangeRequest) -> Self {
        RangeV1 {
            range: KeyRangeV1::new(&range.range),
            limit: range.limit,
            revision: range.revision,
            sort_order: range.sort_order.into(),
            sort_target: range.sort_target.into(),
            serializable: range.serializable,
            keys_only: range.keys_only,
            count_only: range.count_only,
            min_mod_revision: range.min_mod_revision,
            max_mod_revision: range.max_mod_revision,
            min_create_revision: range.min_create_revision,
            max_create_revision: range.max_create_revision,
        }
    }

    fn of(&self, input: &Bytes) -> RangeRequest {
        RangeRequest {
            range: self.range.of(input),
            limit: self.limit,
            revision: self.revision,
            sort_order: self.sort_order.into(),
            sort_target: self.sort_target.into(),
            serializable: self.serializable,
            keys_only: self.keys_only,
            count_only: self.count_only,
            min_mod_revision: self.min_mod_revision,
            max_mod_revision: self.max_mod_revision,
            min_create_revision: self.min_create_revision,
            max_create_revision: self.max_create_revision,
        }
    }
}

impl<'a> CompareV1<'a> {
    fn new(compare: &'a Compare) -> Self {
        let target = match &compare.target {
            CompareTarget::Version(version) => CompareTargetV1::Version(*version),
            CompareTarget::CreateRevision(revision) => CompareTargetV1::CreateRevision(*revision),
            CompareTarget::ModRevision(revision) => CompareTargetV1::ModRevision(*revision),
            CompareTarget::Value(value) => CompareTargetV1::Value(Blob(value)),
            CompareTarget::Lease(lease) => CompareTargetV1::Lease(*lease),
            CompareTarget::Unknown => CompareTargetV1::Unknown,
        };
        CompareV1 { range: KeyRangeV1::new(&compare.range), result: compare.result.into(), target }
    }

    fn of(&self, input: &Bytes) -> Compare {
        let target = match &self.target {
            CompareTargetV1::Version(version) => CompareTarget::Version(*version),
            CompareTargetV1::CreateRevision(revision) => CompareTarget::CreateRevision(*revision),
            CompareTargetV1::ModRevision(revision) => CompareTarget::ModRevision(*revision),
            CompareTargetV1::Value(value) => CompareTarget::Value(value.of(input)),
            CompareTargetV1::Lease(lease) => CompareTarget::Lease(*lease),
            CompareTargetV1::Unknown => CompareTarget::Unknown,
        };
        Compare { range: self.range.of(input), result: self.result.into(), target }
    }
}

impl<'a> TxnHeadV1<'a> {
    fn new(txn: &'a TxnRequest) -> Self {
        let count = |operations: &[RequestOp]| {
            u32::try_from(operations.len()).expect("operations are bounded by the request size")
        };
        TxnHeadV1 {
            compare: txn.compare.iter().map(CompareV1::new).collect(),
            success: count(&txn.success),
            failure: count(&txn.failure),
        }
    }

    /// Rebuilds a transaction from its head and the operations that follow.
    fn of(
        &self,
        rest: &mut std::vec::IntoIter<OperationV1<'_>>,
        depth: usize,
        input: &Bytes,
    ) -> Result<TxnRequest, CodecError> {
        if depth > limits::MAX_TXN_DEPTH {
            return Err(CodecError::TooDeep { limit: limits::MAX_TXN_DEPTH });
        }
        let compare = self.compare.iter().map(|compare| compare.of(input)).collect();
        let success = branch(self.success, rest, depth, input)?;
        let failure = branch(self.failure, rest, depth, input)?;
        Ok(TxnRequest { compare, success, failure })
    }
}

/// Takes one branch's operations off the flat list.
fn branch(
    count: u32,
    rest: &mut std::vec::IntoIter<OperationV1<'_>>,
    depth: usize,
    input: &Bytes,
) -> Result<Vec<RequestOp>, CodecError> {
    let mut operations = Vec::with_capacity(rest.len().min(count as usize));
    for _ in 0..count {
        let Some(operation) = rest.next() else {
            let why = "a branch counts more operations than there are".into();
            return Err(CodecError::Malformed { what: "transaction", why });
        };
        operations.push(match operation {
            OperationV1::Range(range) => RequestOp::Range(range.of(input)),
            OperationV1::Put(put) => RequestOp::Put(put.of(input)),
            OperationV1::DeleteRange(delete) => RequestOp::DeleteRange(delete.of(input)),
            OperationV1::Txn(head) => RequestOp::Txn(head.of(rest, depth + 1, input)?),
        });
    }
    Ok(operations)
}

impl<'a> TxnV1<'a> {
    fn new(txn: &'a TxnRequest) -> Self {
        let mut operations = Vec::with_capacity(txn.success.len() + txn.failure.len());
        flatten(txn, &mut operations);
        TxnV1 { head: TxnHeadV1::new(txn), operations }
    }

    fn of(self, input: &Bytes) -> Result<TxnRequest, CodecError> {
        let mut rest = self.operations.into_iter();
        let txn = self.head.of(&mut rest, 1, input)?;
        if rest.next().is_some() {
            let why = "operations that belong to no branch".into();
            return Err(CodecError::Malformed { what: "transaction", why });
        }
        Ok(txn)
    }
}

fn flatten<'a>(txn: &'a TxnRequest, into: &mut Vec<OperationV1<'a>>) {
    for operation in txn.success.iter().chain(&txn.failure) {
        match operation {
            RequestOp::Range(range) => into.push(OperationV1::Range(RangeV1::new(range))),
            RequestOp::Put(put) => into.push(OperationV1::Put(PutV1::new(put))),
            RequestOp::DeleteRange(delete) => into.push(OperationV1::DeleteRange(DeleteRangeV1::new(delete))),
            RequestOp::Txn(nested) => {
                into.push(OperationV1::Txn(TxnHeadV1::new(nested)));
                flatten(nested, into);
            }
        }
    }
}
