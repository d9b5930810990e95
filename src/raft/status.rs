//! What the engine knows of itself, with a leader only while its lease is good.

use std::time::Duration;

use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::{RaftDataMetrics, RaftServerMetrics};
use openraft::type_config::alias::WatchReceiverOf;

use super::config::TypeConfig;
use super::engine::{Engine, Inner};
use crate::runtime::{Role, Runtime, lock};

pub(super) type Followed<R> = WatchReceiverOf<TypeConfig<R>, RaftServerMetrics<TypeConfig<R>>>;
pub(super) type FollowedData<R> = WatchReceiverOf<TypeConfig<R>, RaftDataMetrics<TypeConfig<R>>>;

/// A member's place in Raft, as shown to clients (house section 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineStatus {
    /// Term of the current vote.
    pub term: u64,
    /// Own role.
    pub role: Role,
    /// The leader, if it is known to be one now.
    pub leader: Option<u64>,
    /// Last index of the log.
    pub last_index: Option<u64>,
    /// Last index known to be committed.
    pub committed_index: Option<u64>,
    /// Last applied index.
    pub applied_index: Option<u64>,
}

impl<R: Runtime> Engine<R> {
    /// The member's place in Raft now.
    pub fn status(&self) -> EngineStatus {
        let inner = &self.inner;
        let (term, role) = {
            let server = inner.server.borrow_watched();
            (server.vote.leader_id.term, role(server.state))
        };
        let (last_index, committed_index) = {
            let data = inner.data.borrow_watched();
            (data.last_log.map(|at| at.index), data.local_committed.map(|at| at.index))
        };
        let applied_index = inner.shared.applied.index();
        EngineStatus {
            term,
            role,
            leader: inner.leader_with_lease(),
            last_index,
            committed_index,
            applied_index,
        }
    }

    /// Term of the current vote.
    pub fn term(&self) -> u64 {
        self.inner.server.borrow_watched().vote.leader_id.term
    }

    /// Whether records that a compaction superseded are still in memory.
    pub fn is_removing(&self) -> bool {
        self.inner.shared.core().removing
    }

    /// Hands leadership over to the voter that is furthest along, and waits until somebody else
    /// leads. Does nothing on a member that does not lead.
    pub async fn hand_over(&self) {
        let inner = &self.inner;
        let own = inner.local.member_id;
        if inner.leader() != Some(own) {
            return;
        }
        let best = {
            let data = inner.data.borrow_watched();
            let others = data.replication.iter().flatten().filter(|(id, _)| **id != own);
            others.max_by_key(|(id, matched)| (matched.as_ref().map(|at| at.index), **id)).map(|(id, _)| *id)
        };
        let Some(best) = best else { return };
        if inner.raft.trigger().transfer_leader(best).await.is_err() {
            return;
        }
        while inner.leader() == Some(own) || inner.leader().is_none() {
            R::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl<R: Runtime> Inner<R> {
    /// The leader this member believes in, whether or not it is still there.
    pub fn leader(&self) -> Option<u64> {
        self.server.borrow_watched().current_leader
    }

    /// Notes that a leader of the present term was heard.
    pub fn heard_from_leader(&self) {
        *lock(&self.heard) = Some(R::now());
    }

    /// Whether this member is a quorum by itself: then nobody else acknowledges its lease.
    fn is_only_voter(&self) -> bool {
        let server = self.server.borrow_watched();
        server.membership_config.voter_ids().all(|id| id == self.local.member_id)
    }

    /// The leader, if a quorum (on the leader) or the leader (elsewhere) was heard within an
    /// election time-out.
    pub fn leader_with_lease(&self) -> Option<u64> {
        let leader = self.leader()?;
        let heard = if leader == self.local.member_id {
            if self.is_only_voter() {
                return Some(leader);
            }
            let data = self.data.borrow_watched();
            data.last_quorum_acked.as_ref().map(|at| (**at).ours())
        } else {
            *lock(&self.heard)
        };
        heard.filter(|heard| R::now() - *heard < self.election).map(|_| leader)
    }
}

/// openraft's state in our words.
pub(super) fn role(state: ServerState) -> Role {
    match state {
        ServerState::Leader => Role::Leader,
        ServerState::Candidate => Role::Candidate,
        ServerState::Learner => Role::Learner,
        _ => Role::Follower,
    }
}
