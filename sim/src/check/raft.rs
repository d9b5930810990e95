//! Raft and replica invariants, at every observation (simulation section 4.5): R1–R5, C1–C6, S1–S3.
//!
//! "Durable" is what [`DiskLog`] read from the synced disk image. "Committed" is the first news of
//! it from any member, a lower bound of the truth, so no rule here can fire too early.

mod votes;

use std::collections::BTreeMap;

use etched::runtime::{LogFingerprint, Observation, Role};
use etched::types::{LogPosition, Member, Vote};

use super::disk_log::DiskLog;
use super::violation::{Checked, violation};
use votes::rank;

/// What one member said of itself, and what its disk holds.
#[derive(Debug, Default)]
struct Replica {
    member: Option<u64>,
    incarnation: u64,
    disk: DiskLog,
    /// Term of each entry in its log, durable or not.
    log: BTreeMap<u64, u64>,
    vote: Option<Vote>,
    committed: Option<u64>,
    applied: Option<u64>,
    /// Applied position of the newest durable checkpoint.
    checkpoint: Option<u64>,
    /// A file of the checkpoint was synced since the last time one was said to be durable.
    checkpoint_synced: bool,
    /// Index that was committed when each read in flight began: L2.
    reads: BTreeMap<u64, Option<u64>>,
}

/// What every member must agree on at one index.
#[derive(Clone, Copy, Debug, Default)]
struct Agreed {
    position: Option<LogPosition>,
    hash: Option<u64>,
    digest: Option<u128>,
}

/// The checker; see the head of this file.
#[derive(Debug, Default)]
pub struct Raft {
    replicas: BTreeMap<u32, Replica>,
    leaders: BTreeMap<u64, u64>,
    /// Chained hash of the log up to (index, term): R3.
    chains: BTreeMap<(u64, u64), u64>,
    agreed: BTreeMap<u64, Agreed>,
    commit: Option<LogPosition>,
    votes: BTreeMap<(u32, u64), u64>,
    voters: Vec<u64>,
}

impl Raft {
    /// A cluster that begins with `voters` (node numbers) as voting members; later memberships come
    /// from [`Observation::Membership`].
    pub fn new(voters: &[u32]) -> Self {
        let replicas = voters.iter().map(|node| (*node, Replica::default())).collect();
        Raft { replicas, ..Raft::default() }
    }

    /// A file of `node` was synced and now holds `image`.
    pub fn synced(&mut self, node: u32, path: &str, image: &[u8]) {
        let replica = self.replicas.entry(node).or_default();
        replica.checkpoint_synced |= path.contains("checkpoint/");
        replica.disk.synced(path, image);
    }

    /// The node starts again with an empty disk under a new member id.
    pub fn wiped(&mut self, node: u32) {
        self.replicas.insert(node, Replica::default());
    }

    /// The newest position known to be committed.
    pub fn commit(&self) -> Option<LogPosition> {
        self.commit
    }

    /// The digest agreed on at `index`, if any member told one.
    pub fn digest(&self, index: u64) -> Option<u128> {
        self.agreed.get(&index).and_then(|agreed| agreed.digest)
    }

    /// Checks one observation of `node`.
    pub fn observe(&mut self, node: u32, observation: &Observation) -> Checked {
        match observation {
            Observation::Recovered { member, incarnation, applied, digest, last_log, vote } => {
                self.recovered(node, (*member, *incarnation), *applied, *digest, (*last_log, *vote))
            }
            Observation::Appended(entries) => self.appended(node, entries),
            Observation::Synced(last) => self.is_durable(node, *last, "reported as synced"),
            // An installed snapshot is as durable as the log.
            Observation::AppendAcknowledged(last) if self.is_in_checkpoint(node, *last) => Ok(()),
            Observation::AppendAcknowledged(last) => self.is_durable(node, Some(*last), "acknowledged"),
            Observation::Truncated(after) => self.truncated(node, *after),
            Observation::Purged(upto) => self.purged(node, *upto),
            Observation::VoteSaved(vote) => self.vote_saved(node, *vote),
            Observation::VoteGranted { term, candidate } => self.vote_granted(node, *term, *candidate),
            Observation::RoleChanged { term, role: Role::Leader, .. } => self.leads(node, *term),
            Observation::Membership(members) => {
                self.voters = voters(members);
                Ok(())
            }
            Observation::Committed(position) => self.committed(node, *position),
            Observation::Applied { position, hash, digest, .. } => {
                self.applied(node, *position, *hash, *digest)
            }
            Observation::SnapshotInstalled { position, digest } => {
                self.checkpointed(node, *position, *digest)?;
                let replica = self.replicas.entry(node).or_default();
                replica.applied = replica.applied.max(Some(position.index));
                Ok(())
            }
            Observation::Checkpointed { position, digest } => self.checkpointed(node, *position, *digest),
            Observation::ReadBegan { read } => {
                let committed = index(self.commit);
                self.replicas.entry(node).or_default().reads.insert(*read, committed);
                Ok(())
            }
            Observation::ReadIndex { read, index } => self.read_index(node, *read, *index),
            _ => Ok(()),
        }
    }

    /// L2: a read sees what was committed when it began.
    fn read_index(&mut self, node: u32, read: u64, index: Option<u64>) -> Checked {
        let committed = self.replicas.entry(node).or_default().reads.remove(&read).flatten();
        if index < committed {
            violation!(
                "L2",
                "node {node} reads at index {index:?}, but {committed:?} was committed when the read began"
            );
        }
        Ok(())
    }

    /// S2, S3, C4: what a start found.
    fn recovered(
        &mut self,
        node: u32,
        (member, incarnation): (u64, u64),
        applied: Option<LogPosition>,
        digest: u128,
        (last_log, vote): (Option<LogPosition>, Option<Vote>),
    ) -> Checked {
        let replica = self.replicas.entry(node).or_default();
        let disk = &replica.disk;
        if last_log.max(applied) < disk.last() {
            violation!(
                "S2",
                "node {node} recovered a log that ends at {last_log:?}, but had synced {:?}",
                disk.last()
            );
        }
        if rank(vote) < rank(disk.vote()) {
            violation!("S2", "node {node} recovered vote {vote:?}, but had synced {:?}", disk.vote());
        }
        if index(applied) < index(disk.purged()) {
            violation!(
                "S2",
                "node {node} recovered state up to {applied:?}, but its log is purged up to {:?}",
                disk.purged()
            );
        }
        if replica.incarnation != 0 && incarnation <= replica.incarnation {
            violation!(
                "C4",
                "node {node} started as incarnation {incarnation} after {}",
                replica.incarnation
            );
        }
        let log = replica.log.clone().into_iter().filter(|(at, _)| Some(*at) <= index(last_log)).collect();
        let disk = std::mem::take(&mut replica.disk);
        let at = index(applied);
        *replica = Replica {
            member: Some(member),
            incarnation,
            disk,
            log,
            vote,
            applied: at,
            checkpoint: at,
            ..Replica::default()
        };
        let Some(position) = applied else { return Ok(()) };
        if self.commit.is_none_or(|commit| commit.index < position.index) {
            violation!("S2", "node {node} recovered state up to {position:?}, beyond all that is committed");
        }
        self.agree("S2", node, position, None, Some(digest))
    }

    /// R1, R3, and that appends are in order.
    fn appended(&mut self, node: u32, entries: &[LogFingerprint]) -> Checked {
        for entry in entries {
            let LogPosition { term, leader, index } = entry.position;
            self.one_leader(term, leader)?;
            let replica = self.replicas.entry(node).or_default();
            let before =
                index.checked_sub(1).and_then(|before| replica.log.get(&before).map(|t| (before, *t)));
            let before = before.and_then(|place| self.chains.get(&place).copied());
            replica.log.insert(index, term);
            if before.is_none() && index != 0 {
                continue; // After a snapshot: the log begins in the middle.
            }
            let chain = mix(mix(before.unwrap_or(0), term), entry.hash);
            let known = *self.chains.entry((index, term)).or_insert(chain);
            if known != chain {
                violation!(
                    "R3",
                    "node {node} appended another entry or prefix at index {index} of term {term}"
                );
            }
        }
        Ok(())
    }

    /// Whether a durable checkpoint of `node` holds what is at `position`.
    fn is_in_checkpoint(&self, node: u32, position: LogPosition) -> bool {
        self.replicas.get(&node).is_some_and(|replica| replica.checkpoint >= Some(position.index))
    }

    /// C5: durable before it is reported or acknowledged.
    fn is_durable(&mut self, node: u32, position: Option<LogPosition>, said: &str) -> Checked {
        let Some(position) = position else { return Ok(()) };
        let disk = &self.replicas.entry(node).or_default().disk;
        if !disk.held(position) {
            violation!("C5", "node {node} {said} {position:?}, but its disk holds {:?}", disk.last());
        }
        Ok(())
    }

    /// R2 and C2: neither a leader's own entries nor committed ones are ever removed.
    fn truncated(&mut self, node: u32, after: Option<LogPosition>) -> Checked {
        let first = after.map_or(0, |after| after.index + 1);
        let commit = self.commit;
        let replica = self.replicas.entry(node).or_default();
        let leads = replica.vote.is_some_and(|vote| vote.committed && vote.voted_for == replica.member);
        let gone = replica.log.split_off(&first);
        let Some((_, term)) = gone.first_key_value() else { return Ok(()) };
        if leads && replica.member.is_some() {
            violation!("R2", "node {node} leads and removed its log from index {first} on");
        }
        let agreed = self.agreed.get(&first).and_then(|agreed| agreed.position);
        if commit.is_some_and(|commit| first <= commit.index)
            && agreed.is_some_and(|agreed| agreed.term == *term)
        {
            violation!(
                "C2",
                "node {node} removed its log from index {first} on, but {commit:?} is committed"
            );
        }
        Ok(())
    }

    /// C3: nothing is purged that no durable checkpoint covers.
    fn purged(&mut self, node: u32, upto: LogPosition) -> Checked {
        let replica = self.replicas.entry(node).or_default();
        replica.log = replica.log.split_off(&(upto.index + 1));
        if replica.checkpoint < Some(upto.index) {
            violation!(
                "C3",
                "node {node} purged up to {upto:?}, but its checkpoint ends at {:?}",
                replica.checkpoint
            );
        }
        Ok(())
    }

    /// C1, C2, C4.
    fn committed(&mut self, node: u32, position: LogPosition) -> Checked {
        let replica = self.replicas.entry(node).or_default();
        if replica.committed > Some(position.index) {
            violation!(
                "C4",
                "node {node} went back from commit index {:?} to {position:?}",
                replica.committed
            );
        }
        replica.committed = Some(position.index);
        let agreed = self.agreed.entry(position.index).or_default();
        let known = *agreed.position.get_or_insert(position);
        if known != position {
            violation!("C2", "node {node} has {position:?} committed, others {known:?}");
        }
        if index(self.commit) >= Some(position.index) {
            return Ok(());
        }
        if self.commit.is_some_and(|commit| commit.term > position.term) {
            violation!("C2", "node {node} has {position:?} committed after {:?}", self.commit);
        }
        self.commit = Some(position);
        self.is_on_quorum(position)
    }

    /// C1. The leader need not be among them.
    fn is_on_quorum(&self, position: LogPosition) -> Checked {
        let votes = |replica: &Replica| {
            self.voters.is_empty() || replica.member.is_some_and(|member| self.voters.contains(&member))
        };
        let total = if self.voters.is_empty() { self.replicas.len() } else { self.voters.len() };
        let holds =
            |replica: &&Replica| replica.disk.holds(position) || replica.checkpoint >= Some(position.index);
        let held = self.replicas.values().filter(|replica| votes(replica)).filter(holds).count();
        if held * 2 <= total {
            violation!("C1", "{position:?} is committed, but durable on {held} of {total} voters only");
        }
        Ok(())
    }

    /// R5, C4.
    fn applied(&mut self, node: u32, position: LogPosition, hash: u64, digest: Option<u128>) -> Checked {
        let replica = self.replicas.entry(node).or_default();
        let expected = replica.applied.map_or(0, |applied| applied + 1);
        if position.index < expected {
            violation!("C4", "node {node} applied {position:?} after index {:?}", replica.applied);
        }
        if position.index > expected {
            violation!("R5", "node {node} applied {position:?} after index {:?}", replica.applied);
        }
        replica.applied = Some(position.index);
        if index(self.commit) < Some(position.index) {
            violation!("R5", "node {node} applied {position:?}, but only {:?} is committed", self.commit);
        }
        self.agree("R5", node, position, Some(hash), digest)
    }

    /// S1: a checkpoint or snapshot at an index is the state at that index.
    fn checkpointed(&mut self, node: u32, position: LogPosition, digest: u128) -> Checked {
        let replica = self.replicas.entry(node).or_default();
        if replica.checkpoint < Some(position.index) {
            if !std::mem::take(&mut replica.checkpoint_synced) {
                violation!(
                    "C5",
                    "node {node} says that its checkpoint at {position:?} is durable, but nothing was synced"
                );
            }
            replica.checkpoint = Some(position.index);
        }
        self.agree("S1", node, position, None, Some(digest))
    }

    fn agree(
        &mut self,
        checker: &'static str,
        node: u32,
        position: LogPosition,
        hash: Option<u64>,
        digest: Option<u128>,
    ) -> Checked {
        let agreed = self.agreed.entry(position.index).or_default();
        let known = *agreed.position.get_or_insert(position);
        if known != position {
            violation!(checker, "node {node} has {position:?} where others have {known:?}");
        }
        if let Some(hash) = hash
            && *agreed.hash.get_or_insert(hash) != hash
        {
            violation!(checker, "node {node} applied another command at {position:?} than others");
        }
        if let Some(digest) = digest
            && *agreed.digest.get_or_insert(digest) != digest
        {
            violation!(
                checker,
                "node {node} has another state after {position:?} than others: {digest:032x}"
            );
        }
        Ok(())
    }
}

fn index(position: Option<LogPosition>) -> Option<u64> {
    position.map(|position| position.index)
}

fn voters(members: &[Member]) -> Vec<u64> {
    members.iter().filter(|member| !member.is_learner).map(|member| member.id).collect()
}

fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
