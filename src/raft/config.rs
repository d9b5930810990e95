//! openraft's type configuration, its settings, and the way between its words and ours.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use openraft::impls::BoxedErrorSource;
use openraft::impls::leader_id_std::LeaderId;
use openraft::vote::RaftLeaderId;
use openraft::{EntryPayload, RaftTypeConfig, SnapshotPolicy};

use super::runtime::RaftRuntime;
use crate::codec::CodecError;
use crate::codec::membership::{self, Membership as MembershipBytes};
use crate::runtime::Runtime;
use crate::types::{LogEntry, LogPosition, Payload, Vote};

/// openraft over the world `R`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TypeConfig<R>(PhantomData<R>);

/// An encoded envelope, as it lies in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal(pub Bytes);

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B", self.0.len())
    }
}

/// openraft learns nothing of the state machine's answers: members answer from their own apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nothing;

impl fmt::Display for Nothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing")
    }
}

pub(super) type CommittedLeaderId = <LeaderId<u64, u64> as RaftLeaderId>::Committed;
pub(super) type LogId = openraft::LogId<CommittedLeaderId>;
pub(super) type RaftVote = openraft::Vote<LeaderId<u64, u64>>;
pub(super) type EntryPayloadOf = EntryPayload<Proposal, u64, ()>;
pub(super) type Entry = openraft::Entry<CommittedLeaderId, EntryPayloadOf>;
pub(super) type Membership = openraft::Membership<u64, ()>;
pub(super) type StoredMembership = openraft::StoredMembership<CommittedLeaderId, u64, ()>;

impl<R: Runtime> RaftTypeConfig for TypeConfig<R> {
    type D = Proposal;
    type R = Nothing;
    type NodeId = u64;
    /// URLs stay out of openraft: they change without a change of the configuration.
    type Node = ();
    type Term = u64;
    /// One leader per term, so the term shown to clients names a leader.
    type LeaderId = LeaderId<u64, u64>;
    type Vote = RaftVote;
    type Payload = EntryPayloadOf;
    type Entry = Entry;
    type AsyncRuntime = RaftRuntime<R>;
    type Responder<T>
        = openraft::impls::ProgressResponder<Self, T>
    where
        T: Send + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: Send + 'static;
    type ErrorSource = BoxedErrorSource;
}

/// openraft's settings for heartbeats every `heartbeat_ms` and an election time-out of
/// `election_ms` (T). Nobody campaigns before T and fail-over takes 1.0–1.2 T and one round,
/// because openraft's leader lease is `election_timeout_max` and a follower waits for the lease
/// plus its own random time-out (0.4–0.6 T).
pub(super) fn settings(heartbeat_ms: u64, election_ms: u64) -> openraft::Config {
    openraft::Config {
        cluster_name: "etched".to_string(),
        heartbeat_interval: heartbeat_ms,
        election_timeout_min: election_ms * 4 / 10,
        election_timeout_max: election_ms * 6 / 10,
        max_payload_entries: 1024,
        max_append_entries: Some(4096),
        snapshot_policy: SnapshotPolicy::Never,
        // Purging is ours: behind the durable checkpoint only.
        max_in_snapshot_log_to_keep: u64::MAX / 4,
        purge_batch_size: 1,
        replication_lag_threshold: u64::MAX / 4,
        install_snapshot_timeout: 60_000,
        enable_pre_vote: Some(true),
        // A restarted leader must win an election again: commit knowledge is not durable.
        enable_leader_restore: Some(false),
        allow_log_reversion: Some(false),
        ..openraft::Config::default()
    }
}

/// A position as openraft's log id. Our `leader` is not part of it: one leader per term.
pub(super) fn log_id(position: LogPosition) -> LogId {
    LogId::new(CommittedLeaderId::new(position.term), position.index)
}

/// openraft's log id as a position.
pub(super) fn position(log_id: &LogId) -> LogPosition {
    LogPosition { term: log_id.leader_id.term, leader: 0, index: log_id.index }
}

/// A vote in openraft's words. `None` for a vote that names nobody: openraft has none such.
pub(super) fn raft_vote(vote: Vote) -> Option<RaftVote> {
    let leader_id = LeaderId::new(vote.term, vote.voted_for?);
    Some(RaftVote { leader_id, committed: vote.committed })
}

/// openraft's vote in ours.
pub(super) fn vote(vote: &RaftVote) -> Vote {
    let LeaderId { term, voted_for } = vote.leader_id;
    Vote { term, voted_for: Some(voted_for), committed: vote.committed }
}

/// An entry for the log.
pub(super) fn log_entry(entry: Entry) -> LogEntry {
    let payload = match entry.payload {
        EntryPayload::Blank => Payload::Blank,
        EntryPayload::Normal(proposal) => Payload::Command(proposal.0),
        EntryPayload::Membership(membership) => Payload::Membership(encode_membership(&membership)),
    };
    LogEntry { position: position(&entry.log_id), payload }
}

/// An entry from the log.
pub(super) fn raft_entry(entry: LogEntry) -> Result<Entry, CodecError> {
    let payload = match entry.payload {
        Payload::Blank => EntryPayload::Blank,
        Payload::Command(bytes) => EntryPayload::Normal(Proposal(bytes)),
        Payload::Membership(bytes) => EntryPayload::Membership(decode_membership(&bytes)?),
    };
    Ok(Entry { log_id: log_id(entry.position), payload })
}

/// A membership in the bytes of log entries and checkpoints.
pub(super) fn encode_membership(membership: &Membership) -> Bytes {
    let configs = membership.get_joint_config().clone();
    let learners = membership.learner_ids().collect();
    membership::encode(&MembershipBytes { log: None, configs, learners })
}

pub(super) fn decode_membership(bytes: &[u8]) -> Result<Membership, CodecError> {
    let decoded = membership::decode(bytes)?;
    Ok(membership_of(decoded))
}

/// A membership with the position of its entry, for checkpoints and snapshots.
pub(super) fn encode_stored(stored: &StoredMembership) -> Bytes {
    let membership = stored.membership();
    let configs = membership.get_joint_config().clone();
    let learners = membership.learner_ids().collect();
    let log = stored.log_id().as_ref().map(position);
    membership::encode(&MembershipBytes { log, configs, learners })
}

pub(super) fn decode_stored(bytes: &[u8]) -> Result<StoredMembership, CodecError> {
    let decoded = membership::decode(bytes)?;
    let at = decoded.log.map(log_id);
    Ok(StoredMembership::new(at, membership_of(decoded)))
}

fn membership_of(decoded: MembershipBytes) -> Membership {
    let nodes = decoded.configs.iter().flatten().chain(&decoded.learners).map(|id| (*id, ()));
    let nodes: std::collections::BTreeMap<u64, ()> = nodes.collect();
    Membership::new_with_defaults(decoded.configs, nodes.into_keys())
}
