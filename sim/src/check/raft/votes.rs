//! Votes and leaders: C4 to C6 of what a member votes, R1 and R4 of who leads.

use etched::types::Vote;

use super::super::violation::{Checked, violation};
use super::{Raft, index};

impl Raft {
    /// C4, C5, and C6 for a vote for itself.
    pub(super) fn vote_saved(&mut self, node: u32, vote: Vote) -> Checked {
        let replica = self.replicas.entry(node).or_default();
        if rank(Some(vote)) < rank(replica.vote) {
            violation!("C4", "node {node} saved {vote:?} after {:?}", replica.vote);
        }
        if rank(replica.disk.vote()) < rank(Some(vote)) {
            violation!(
                "C5",
                "node {node} says that {vote:?} is durable; its disk holds {:?}",
                replica.disk.vote()
            );
        }
        replica.vote = Some(vote);
        match vote.voted_for {
            Some(candidate) if replica.member == Some(candidate) => self.one_vote(node, vote.term, candidate),
            _ => Ok(()),
        }
    }

    /// C5, C6.
    pub(super) fn vote_granted(&mut self, node: u32, term: u64, candidate: u64) -> Checked {
        let durable = self.replicas.entry(node).or_default().disk.vote();
        let matches = durable.is_some_and(|vote| {
            vote.term > term || (vote.term == term && (vote.voted_for == Some(candidate) || vote.committed))
        });
        if !matches {
            violation!(
                "C5",
                "node {node} granted {candidate:x} its vote in term {term}; its disk holds {durable:?}"
            );
        }
        self.one_vote(node, term, candidate)
    }

    fn one_vote(&mut self, node: u32, term: u64, candidate: u64) -> Checked {
        let known = *self.votes.entry((node, term)).or_insert(candidate);
        if known != candidate {
            violation!("C6", "node {node} voted for {known:x} and {candidate:x} in term {term}");
        }
        Ok(())
    }

    /// R1 and R4.
    pub(super) fn leads(&mut self, node: u32, term: u64) -> Checked {
        let Some(member) = self.replicas.entry(node).or_default().member else { return Ok(()) };
        self.one_leader(term, member)?;
        let Some(commit) = self.commit.filter(|commit| commit.term < term) else { return Ok(()) };
        let replica = &self.replicas[&node];
        let covered = replica.checkpoint.max(replica.applied).max(index(replica.disk.purged()));
        if replica.log.get(&commit.index) != Some(&commit.term) && covered < Some(commit.index) {
            violation!("R4", "node {node} leads term {term} without {commit:?}, which is committed");
        }
        Ok(())
    }

    /// Positions may leave the leader out (0), because a term has only one.
    pub(super) fn one_leader(&mut self, term: u64, leader: u64) -> Checked {
        if leader == 0 {
            return Ok(());
        }
        let known = *self.leaders.entry(term).or_insert(leader);
        if known != leader {
            violation!("R1", "{known:x} and {leader:x} both lead term {term}");
        }
        Ok(())
    }
}

/// Votes only move up in this order.
pub(super) fn rank(vote: Option<Vote>) -> Option<(u64, bool)> {
    vote.map(|vote| (vote.term, vote.committed))
}
