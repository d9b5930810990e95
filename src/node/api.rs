//! What doors and node say to each other, in plain words.

use crate::runtime::Instant;
use crate::types::{KeyRange, Login};
pub use crate::watch::{Announced, Events as WatchEvents, Output as WatchOutput};

/// What comes with a request besides its content.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestContext {
    /// When the client gives up, on this member's clock.
    pub deadline: Option<Instant>,
    /// The client's own number for the request, for checkers.
    pub trace: Option<u64>,
    /// The client and the number of its write, for exactly-once retries.
    pub client: Option<(u64, u64)>,
    /// Whom its token names.
    pub login: Option<Login>,
}

/// The header of an answer (M4, M5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The cluster.
    pub cluster_id: u64,
    /// The answering member.
    pub member_id: u64,
    /// The store's revision when the answer was made; 0 where etcd shows none.
    pub revision: i64,
    /// Term of the current vote.
    pub raft_term: u64,
}

/// Maintenance.Status (MA6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Version shown to clients (D1).
    pub version: String,
    /// The leader, 0 without a good lease.
    pub leader: u64,
    /// Last index of the log, plus one (etcd's begins at 1).
    pub raft_index: u64,
    /// Last applied index, plus one.
    pub raft_applied_index: u64,
    /// Term of the current vote.
    pub raft_term: u64,
    /// Logical size in bytes (D5).
    pub db_size: i64,
    /// The part in use.
    pub db_size_in_use: i64,
    /// The quota.
    pub db_size_quota: i64,
    /// Whether this member is a learner.
    pub is_learner: bool,
    /// What is wrong: no leader, alarms.
    pub errors: Vec<String>,
}

/// Kinds of events a watcher does not want (W16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchFilter {
    /// Leave puts out.
    NoPut,
    /// Leave deletes out.
    NoDelete,
}

/// What a client asks for when it creates a watcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchCreate {
    /// The keys, as on the wire.
    pub range: KeyRange,
    /// First revision wanted, 0 for from now on.
    pub start_revision: i64,
    /// Send periodic progress (W18).
    pub progress_notify: bool,
    /// Kinds left out.
    pub filters: Vec<WatchFilter>,
    /// Attach previous records.
    pub prev_kv: bool,
    /// Wanted id, 0 to let the stream number it.
    pub watch_id: i64,
    /// Split large responses between events (W15).
    pub fragment: bool,
}
