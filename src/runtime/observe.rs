//! What a node reports of itself: one typed enum, read by the simulator's checks, the trace hash,
//! slow-request lines and stage histograms. Nobody reads tracing text.
//!
//! In simulation the world adds node, incarnation and true time to each observation.

use crate::types::{Error, LeaseId, LogPosition, Member, RequestId, Vote};

/// What a member is in its term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Receives but does not vote.
    Learner,
    /// Follows a leader or waits for one.
    Follower,
    /// Campaigns (pre-vote or vote).
    Candidate,
    /// Leads its term.
    Leader,
}

/// One log entry as seen by a checker: its place and a hash of its kind and payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogFingerprint {
    /// Term, leader and index.
    pub position: LogPosition,
    /// Hash of kind and payload bytes.
    pub hash: u64,
}

/// Something that matters happened on this node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Observation {
    /// Recovery ended; the node serves from here on.
    Recovered {
        /// This member's id.
        member: u64,
        /// Counts the starts of this data directory.
        incarnation: u64,
        /// Last applied position in the checkpoint.
        applied: Option<LogPosition>,
        /// Digest of the recovered state at `applied`.
        digest: u128,
        /// Last position in the recovered log.
        last_log: Option<LogPosition>,
        /// The recovered vote.
        vote: Option<Vote>,
    },
    /// Entries were handed to the log, in order; not durable yet.
    Appended(Vec<LogFingerprint>),
    /// Everything handed to the log up to here is durable on this member.
    Synced(Option<LogPosition>),
    /// Entries after this position were removed (`None`: all).
    Truncated(Option<LogPosition>),
    /// Entries up to here were purged.
    Purged(LogPosition),
    /// The vote is durable.
    VoteSaved(Vote),
    /// The member's role in a term, and the leader it knows.
    RoleChanged {
        /// Current term.
        term: u64,
        /// Own role.
        role: Role,
        /// Known leader's member id.
        leader: Option<u64>,
    },
    /// A vote was granted to a candidate and is about to be answered.
    VoteGranted {
        /// The candidate's term.
        term: u64,
        /// The candidate's member id.
        candidate: u64,
    },
    /// An append up to here is about to be acknowledged to the leader.
    AppendAcknowledged(LogPosition),
    /// The membership in force.
    Membership(Vec<Member>),
    /// The commit index this member knows.
    Committed(LogPosition),
    /// One entry was applied.
    Applied {
        /// Its place in the log.
        position: LogPosition,
        /// Hash of kind and payload bytes, as in [`LogFingerprint`].
        hash: u64,
        /// The request, if the entry holds one.
        request_id: Option<RequestId>,
        /// The store's revision after it.
        revision: i64,
        /// The state's digest after the batch; `None` inside a batch.
        digest: Option<u128>,
    },
    /// A new view was published: readers and watchers may see revisions up to here.
    Visible {
        /// The store's revision.
        revision: i64,
    },
    /// A client's write is about to be answered by this member.
    Answered {
        /// The request.
        request_id: RequestId,
    },
    /// A linearizable read got its index from a quorum round.
    ReadIndex {
        /// The read, as in [`Observation::ReadBegan`].
        read: u64,
        /// The log index that the read must wait for; `None` for an empty log.
        index: Option<u64>,
    },
    /// A request was given its id at the door (before it is proposed).
    Proposed {
        /// The id.
        request_id: RequestId,
        /// Value of the request metadata `etched-trace`, if the client sent one.
        trace: Option<u64>,
    },
    /// A snapshot replaced the state.
    SnapshotInstalled {
        /// Its last applied position.
        position: LogPosition,
        /// Digest of the installed state.
        digest: u128,
    },
    /// A checkpoint up to here is durable.
    Checkpointed {
        /// Its last applied position.
        position: LogPosition,
        /// Digest of the state it holds.
        digest: u128,
    },
    /// A compaction took effect logically.
    Compacted {
        /// The new compact revision.
        revision: i64,
    },
    /// A lease was granted; comes before the [`Observation::Applied`] of its entry.
    LeaseGranted {
        /// The entry's index in the log.
        index: u64,
        /// The lease, whose id may have been left to the member.
        id: LeaseId,
    },
    /// An entry was refused for its caller, whom the member that took it saw otherwise: as nobody, or
    /// before users changed. Comes before the [`Observation::Applied`] of the entry.
    CallerRefused {
        /// The entry's index in the log.
        index: u64,
        /// UserEmpty or AuthOldRevision.
        error: Error,
    },
    /// A step of the lease clock was applied; comes before the [`Observation::Applied`] of its entry.
    LeaseTicked {
        /// Its index in the log.
        index: u64,
        /// The term of the leader that made it.
        term: u64,
        /// What the clock shows after it, in milliseconds.
        clock_ms: u64,
        /// The leases it renewed.
        renewed: Vec<LeaseId>,
        /// The leases that ended, in order.
        expired: Vec<LeaseId>,
    },
    /// A linearizable read begins: whatever is committed now it must see.
    ReadBegan {
        /// Counts this member's reads since its start.
        read: u64,
    },
}
