//! Raft's log in plain words: places, votes, entries.

use bytes::Bytes;

/// A place in the Raft log. Indexes start at 0 and have nothing to do with store revisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPosition {
    /// The leader's term.
    pub term: u64,
    /// The leader's member id (one leader per term).
    pub leader: u64,
    /// Index in the log.
    pub index: u64,
}

/// A member's vote: for whom, in which term, and whether that candidate is known to have won.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vote {
    /// The term.
    pub term: u64,
    /// Member id of the candidate; `None` right after the term was raised.
    pub voted_for: Option<u64>,
    /// Whether a quorum granted it.
    pub committed: bool,
}

/// What a log entry carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A leader's first entry.
    Blank,
    /// An encoded [`super::Envelope`].
    Command(Bytes),
    /// A membership, in bytes that `raft/` and `codec/` agree on.
    Membership(Bytes),
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Its place.
    pub position: LogPosition,
    /// What it carries.
    pub payload: Payload,
}
