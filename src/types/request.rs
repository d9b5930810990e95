//! What clients ask of the store, validated in form by the doors (etcd-surface 1.1–1.5).

use bytes::Bytes;

use super::KeyRange;

/// Direction of an explicit sort (R13).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SortOrder {
    /// No explicit order.
    #[default]
    None,
    /// Ascending.
    Ascend,
    /// Descending.
    Descend,
}

/// What an explicit sort compares (R13).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SortTarget {
    /// The key.
    #[default]
    Key,
    /// The version.
    Version,
    /// The create revision.
    Create,
    /// The mod revision.
    Mod,
    /// The value.
    Value,
}

/// KV.Range. Numbers are as on the wire; 0 means "no bound" or "newest".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeRequest {
    /// The keys asked for.
    pub range: KeyRange,
    /// At most this many records; <= 0 is unlimited (R8).
    pub limit: i64,
    /// The revision to read at; <= 0 is the newest (R5).
    pub revision: i64,
    /// Explicit order.
    pub sort_order: SortOrder,
    /// What the order compares.
    pub sort_target: SortTarget,
    /// Answer from local state without a quorum round (R18).
    pub serializable: bool,
    /// Leave values out (R12).
    pub keys_only: bool,
    /// Only count (R11).
    pub count_only: bool,
    /// Inclusive bounds, 0 for none (R16).
    pub min_mod_revision: i64,
    /// See `min_mod_revision`.
    pub max_mod_revision: i64,
    /// See `min_mod_revision`.
    pub min_create_revision: i64,
    /// See `min_mod_revision`.
    pub max_create_revision: i64,
}

impl RangeRequest {
    /// A plain read of `range` at the newest revision.
    pub fn newest(range: KeyRange) -> Self {
        RangeRequest {
            range,
            limit: 0,
            revision: 0,
            sort_order: SortOrder::None,
            sort_target: SortTarget::Key,
            serializable: false,
            keys_only: false,
            count_only: false,
            min_mod_revision: 0,
            max_mod_revision: 0,
            min_create_revision: 0,
            max_create_revision: 0,
        }
    }
}

/// KV.Put.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutRequest {
    /// The key, never empty.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// Lease to attach, 0 for none.
    pub lease: i64,
    /// Answer with the previous record (P6).
    pub prev_kv: bool,
    /// Keep the present value (P3, P5).
    pub ignore_value: bool,
    /// Keep the present lease (P4, P5).
    pub ignore_lease: bool,
}

/// KV.DeleteRange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteRangeRequest {
    /// The keys to delete.
    pub range: KeyRange,
    /// Answer with the removed records (D3).
    pub prev_kv: bool,
}

/// How a compare relates stored and given (T5). An unknown enum value makes the compare true (T6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompareResult {
    /// Stored = given.
    Equal,
    /// Stored > given.
    Greater,
    /// Stored < given.
    Less,
    /// Stored != given.
    NotEqual,
    /// Not a value of the enum: always true.
    Unknown,
}

/// What a compare looks at, with the given value. A union arm that did not fit the target has
/// already become 0 or empty at the door (T6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompareTarget {
    /// The version.
    Version(i64),
    /// The create revision.
    CreateRevision(i64),
    /// The mod revision.
    ModRevision(i64),
    /// The value; false for a missing key, whatever the relation (T5).
    Value(Bytes),
    /// The lease id.
    Lease(i64),
    /// Not a value of the enum: stored and given count as equal (T6).
    Unknown,
}

/// One guard of a transaction. With a range every key in it must satisfy (T6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// Key or range.
    pub range: KeyRange,
    /// The relation.
    pub result: CompareResult,
    /// The target and the given value.
    pub target: CompareTarget,
}

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestOp {
    /// Read.
    Range(RangeRequest),
    /// Write.
    Put(PutRequest),
    /// Delete.
    DeleteRange(DeleteRangeRequest),
    /// Nested transaction.
    Txn(TxnRequest),
}

/// KV.Txn: if all compares hold then `success` else `failure`, under one revision (T11).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TxnRequest {
    /// All must hold; none holds trivially (T7).
    pub compare: Vec<Compare>,
    /// Runs when all hold.
    pub success: Vec<RequestOp>,
    /// Runs otherwise.
    pub failure: Vec<RequestOp>,
}

/// KV.Compact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactionRequest {
    /// Everything superseded at or before this revision goes away.
    pub revision: i64,
    /// Wait until the old data is really removed on the answering member (C3).
    pub physical: bool,
}
