//! What goes through the log.

use super::{
    AuthCommand, Caller, CompactionRequest, DeleteRangeRequest, LeaseId, Member, PutRequest, TxnRequest,
};

/// Names one proposal for ever: the member that took it, that member's start, and a counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    /// Member id of the origin.
    pub member: u64,
    /// The origin's incarnation (counts the starts of its data directory).
    pub incarnation: u64,
    /// Counts the proposals of that incarnation, from 1.
    pub sequence: u64,
}

/// A command with all that must be equal on every member fixed in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Who waits for the answer.
    pub request_id: RequestId,
    /// Who asks, if the member knew when it took the proposal; members themselves are nobody.
    pub caller: Option<Caller>,
    /// Optional client id and sequence for exactly-once retries.
    pub client: Option<(u64, u64)>,
    /// What to do.
    pub command: Command,
}

/// A change of the replicated state. Variants are only added at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// KV.Put.
    Put(PutRequest),
    /// KV.DeleteRange.
    DeleteRange(DeleteRangeRequest),
    /// KV.Txn with a write, or a nested one.
    Txn(TxnRequest),
    /// KV.Compact.
    Compaction(CompactionRequest),
    /// The leader raises the replicated level once all members support it.
    RaiseLevel(u32),
    /// A member publishes its name and client URLs (CL11).
    Publish(Member),
    /// Lease.LeaseGrant with its id fixed at the door; TTL in seconds.
    LeaseGrant {
        /// The id, never 0.
        id: i64,
        /// Granted TTL in seconds.
        ttl: i64,
    },
    /// Lease.LeaseRevoke: removes the lease and its keys under one revision.
    LeaseRevoke {
        /// The id.
        id: i64,
    },
    /// The leader moves the lease clock: settles grants, renews, and ends what is due.
    LeaseTick(LeaseTick),
    /// A change of users, roles or of whether they count.
    Auth(AuthCommand),
}

/// One step of the replicated lease clock, made by a leader only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseTick {
    /// The term in which the maker leads; refused once a tick of a later term was applied.
    pub term: u64,
    /// What the clock shows from here on, in milliseconds; it never goes back.
    pub clock_ms: u64,
    /// Leases kept alive since the last tick, bounded by `limits::MAX_TICK_RENEWALS`.
    pub renewed: Vec<LeaseId>,
}
