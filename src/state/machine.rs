//! The state and what surrounds `apply`.

use super::digest::{self, Accumulators, Scalars};
use super::retries::Retries;
use super::view::View;
use crate::auth::Auth;
use crate::lease::Leases;
use crate::members::Members;
use crate::mvcc::{Change, Removal, Store};
use crate::types::{AuthRecord, Digest, Error, Event, LeaseId, Member, Response, RetryRecord, limits};

/// The whole replicated state. A clone copies a few pointers; while no clone is held, `apply` works
/// in place.
#[derive(Clone, Debug)]
pub struct State {
    pub(super) store: Store,
    pub(super) leases: Leases,
    pub(super) members: Members,
    pub(super) retries: Retries,
    pub(super) auth: Auth,
    pub(super) level: u32,
    pub(super) accumulators: Accumulators,
    /// See [`State::take_touched_leases`].
    pub(super) touched_leases: Vec<LeaseId>,
}

/// What one command did.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The answer.
    pub response: Result<Response, Error>,
    /// The store's revision after it (`header.revision`).
    pub revision: i64,
    /// The changes in order, by whole revisions: one, or one for each lease that a tick ended.
    pub events: Vec<Event>,
}

/// All of the state but its records and leases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateMeta {
    /// The newest revision, 1 in an empty store.
    pub revision: i64,
    /// The compact revision, -1 before the first compaction.
    pub compact_revision: i64,
    /// Level of the replicated state machine.
    pub level: u32,
    /// What the lease clock shows, in milliseconds.
    pub lease_clock: u64,
    /// The term of its last tick.
    pub lease_term: u64,
    /// The members, by id.
    pub members: Vec<Member>,
    /// The last numbered writes of clients, by client.
    pub retries: Vec<RetryRecord>,
    /// Users and roles.
    pub auth: AuthRecord,
    /// Sum over live records, leases, members, clients, users and roles.
    pub sum: Digest,
    /// Running hash over all events and compactions.
    pub chain: Digest,
}

impl Default for State {
    fn default() -> Self {
        State::new()
    }
}

impl State {
    /// The state of a new cluster: revision 1, no keys.
    pub fn new() -> State {
        State {
            store: Store::default(),
            leases: Leases::default(),
            members: Members::default(),
            retries: Retries::default(),
            auth: Auth::default(),
            level: limits::MIN_LEVEL,
            accumulators: Accumulators::default(),
            touched_leases: Vec::new(),
        }
    }

    /// The state as it is now, for readers. O(1); take one per batch.
    pub fn view(&self) -> View {
        View::new(self.clone())
    }

    /// The newest revision; 1 in an empty store.
    pub fn revision(&self) -> i64 {
        self.store.revision()
    }

    /// The oldest readable revision; -1 before the first compaction, as etcd shows it.
    pub fn compact_revision(&self) -> i64 {
        self.store.compact_revision()
    }

    /// Level of the replicated state machine.
    pub fn level(&self) -> u32 {
        self.level
    }

    /// The members, by id.
    pub fn members(&self) -> Vec<Member> {
        self.members.iter().cloned().collect()
    }

    /// The leases.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// Fingerprint of the replicated state (see `state/digest.rs`): equal on all members that have
    /// applied the same log, whatever their compaction has removed.
    pub fn digest(&self) -> Digest {
        self.accumulators.whole(&self.scalars())
    }

    fn scalars(&self) -> Scalars {
        Scalars {
            revision: self.revision(),
            compact_revision: self.compact_revision(),
            level: self.level,
            lease_clock: self.leases.clock(),
            lease_term: self.leases.term(),
        }
    }

    /// The same from scratch, except the chain, which has no other source. Walks everything.
    pub fn recompute_digest(&self) -> Digest {
        let records = self.store.all_live().map(digest::record);
        let sum = records.fold(self.sum_beside_records(), Digest::wrapping_add);
        let chain = self.accumulators.chain;
        Accumulators { sum, chain }.whole(&self.scalars())
    }

    /// The part of the digest's sum that is not records.
    pub(super) fn sum_beside_records(&self) -> Digest {
        let leases = self.leases.records().map(|lease| digest::lease(&lease));
        let members = self.members.iter().map(digest::member);
        let retries = self.retries.iter().map(digest::retry);
        leases.chain(members).chain(retries).fold(super::auth::digest_of(&self.auth), Digest::wrapping_add)
    }

    /// One step of background compaction: looks at up to `budget` records.
    pub fn remove_some(&mut self, budget: usize) -> Removal {
        self.store.remove_some(budget)
    }

    /// All but the records and leases.
    pub fn meta(&self) -> StateMeta {
        StateMeta {
            revision: self.revision(),
            compact_revision: self.compact_revision(),
            level: self.level,
            lease_clock: self.leases.clock(),
            lease_term: self.leases.term(),
            members: self.members(),
            retries: self.retries.iter().cloned().collect(),
            auth: self.auth.record(),
            sum: self.accumulators.sum,
            chain: self.accumulators.chain,
        }
    }

    /// Carries a change of a key over to leases (P8, L13) and digest.
    pub(super) fn note(&mut self, change: &Change) {
        if let Some(replaced) = &change.replaced {
            self.leases.detach(replaced);
            self.accumulators.remove(digest::record(replaced));
        }
        let record = digest::record(&change.record);
        if !change.record.is_tombstone() {
            assert!(self.leases.attach(&change.record), "a put was checked against its lease");
            self.accumulators.add(record);
        }
        self.accumulators.chain_event(record);
    }
}
