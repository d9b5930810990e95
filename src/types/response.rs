//! What the store answers. Headers (ids, term) are added by the doors; the revision is part of the
//! answer because only the store knows it.

use bytes::Bytes;

use super::{KeyValue, LeaseId, UserId};

/// KV.Range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeResponse {
    /// The records; values are left out by the encoder when `keys_only`.
    pub kvs: Vec<KeyValue>,
    /// Whether the limit cut something off (R9).
    pub more: bool,
    /// Keys in the range at that revision, not reduced by limit or filters (R10).
    pub count: i64,
    /// The request asked for keys only (R12): encode neither value nor, unless sorted by value,
    /// lease.
    pub keys_only: bool,
    /// With `keys_only`: the sort target was the value, so the lease is shown (R12).
    pub keys_only_with_lease: bool,
}

/// KV.Put.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutResponse {
    /// The previous record, if asked for and present.
    pub prev_kv: Option<KeyValue>,
}

/// KV.DeleteRange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteRangeResponse {
    /// How many keys were removed.
    pub deleted: i64,
    /// The removed records, if asked for.
    pub prev_kvs: Vec<KeyValue>,
}

/// One answer inside a transaction's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseOp {
    /// Answer of a range. Its inner header's revision is the transaction's so far.
    Range(i64, RangeResponse),
    /// Answer of a put.
    Put(i64, PutResponse),
    /// Answer of a delete.
    DeleteRange(i64, DeleteRangeResponse),
    /// Answer of a nested transaction.
    Txn(i64, TxnResponse),
}

/// KV.Txn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TxnResponse {
    /// Whether all compares held.
    pub succeeded: bool,
    /// Parallel to the executed branch (T13).
    pub responses: Vec<ResponseOp>,
}

/// KV.Compact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactionResponse {}

/// A step of the lease clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseTickResponse {
    /// For each lease that it was to renew the granted TTL in seconds, 0 for one that does not exist.
    pub ttls: Vec<i64>,
    /// The leases that ended, in order.
    pub expired: Vec<LeaseId>,
}

/// Lease.LeaseGrant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaseGrantResponse {
    /// The lease.
    pub id: LeaseId,
    /// Its TTL in seconds, raised to the least one (L3).
    pub ttl: i64,
}

/// Lease.LeaseTimeToLive of a lease that exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseTimeToLiveResponse {
    /// Whole seconds left.
    pub ttl: i64,
    /// Granted seconds.
    pub granted_ttl: i64,
    /// The attached keys by key, if asked for.
    pub keys: Vec<Bytes>,
}

/// The result of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// Answer of a range (reads do not go through the log; here for read-only transactions' kin).
    Range(RangeResponse),
    /// Answer of a put.
    Put(PutResponse),
    /// Answer of a delete.
    DeleteRange(DeleteRangeResponse),
    /// Answer of a transaction.
    Txn(TxnResponse),
    /// Answer of a compaction.
    Compaction(CompactionResponse),
    /// Answer of a step of the lease clock.
    LeaseTick(LeaseTickResponse),
    /// Answer of an Authenticate: what makes a token.
    Authenticated {
        /// Whom the token names.
        user: UserId,
        /// The auth revision from which on it counts.
        auth_revision: u64,
        /// Its secret part.
        letters: String,
    },
    /// A command whose only news is that it was applied.
    Done,
}
