//! The hall: one node, written once for both worlds. Propose, read, watch, status, stop.

pub mod api;
mod auth;
mod auto_compaction;
mod budget;
mod config;
mod identity;
mod lease;
mod listing;
mod open;
mod pending;
mod propose;
mod read;
mod sink;
mod status;
mod stop;
#[cfg(test)]
mod tests;
mod turn;
mod visible;
mod watch;

pub use auth::Password;
pub use auto_compaction::AutoCompaction;
pub use budget::ReadPermit;
pub use config::{InitialMember, NodeConfig};
pub use identity::OpenError;
pub use lease::{KeepAliveSession, KeptAlive};
pub use listing::{Listing, Scan};
pub use turn::{Leading, Observed, Turn};
pub use watch::WatchSession;

use std::sync::{Arc, Mutex, MutexGuard};

use api::Header;
use auth::{Hashing, Tokens};
use budget::ReadBudget;
use rand_chacha::ChaCha8Rng;
use visible::Visible;

use crate::raft::Engine;
use crate::runtime::channel::{Notify, watch as follow};
use crate::runtime::{Runtime, lock};
use crate::types::Member;

/// A running member. Clones are handles of the same member.
pub struct Node<R: Runtime> {
    inner: Arc<Inner<R>>,
}

impl<R: Runtime> Clone for Node<R> {
    fn clone(&self) -> Self {
        Node { inner: self.inner.clone() }
    }
}

struct Inner<R: Runtime> {
    config: NodeConfig,
    cluster_id: u64,
    member_id: u64,
    /// The members at bootstrap, by id.
    members: Vec<Member>,
    visible: Arc<Visible>,
    engine: Engine<R>,
    read_budget: ReadBudget,
    /// Ids of leases whose clients leave the choice to the member.
    lease_ids: Mutex<ChaCha8Rng>,
    tokens: Arc<Mutex<Tokens>>,
    hashing: Hashing,
    /// Salts of passwords and letters of tokens.
    secrets: Mutex<ChaCha8Rng>,
    /// Rings when there are granted leases that no tick has settled.
    granted: Arc<Notify>,
    /// The directory, whose lock is held as long as any handle lives.
    _disk: R::Disk,
    stopping: follow::Sender<bool>,
    /// A clone for each client that waits in a queue, until its place is taken or given back.
    queued: Arc<()>,
}

impl<R: Runtime> Inner<R> {
    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        lock(&self.tokens)
    }

    fn secrets(&self) -> MutexGuard<'_, ChaCha8Rng> {
        lock(&self.secrets)
    }
}

impl<R: Runtime> Node<R> {
    /// This cluster's id.
    pub fn cluster_id(&self) -> u64 {
        self.inner.cluster_id
    }

    /// This member's id.
    pub fn member_id(&self) -> u64 {
        self.inner.member_id
    }

    /// The configuration the node was started with.
    pub fn config(&self) -> &NodeConfig {
        &self.inner.config
    }

    /// A response header for an answer at `revision` (M4, M5).
    pub fn header(&self, revision: i64) -> Header {
        Header {
            cluster_id: self.inner.cluster_id,
            member_id: self.inner.member_id,
            revision,
            raft_term: self.inner.engine.term(),
        }
    }
}
