//! The state at one moment, for readers on any thread.

use std::sync::Arc;

use super::machine::{State, StateMeta};
use super::txn::is_read_only;
use crate::auth::Auth;
use crate::lease::Leases;
use crate::mvcc::{HashKv, Write};
use crate::types::{
    Digest, Error, Event, KeyValue, LeaseRecord, Member, RangeRequest, RangeResponse, TxnRequest, TxnResponse,
};

/// An immutable copy of the state. A clone copies one pointer. Dropping the last clone of an old
/// view frees what only it held, so drop it where that time does not matter.
#[derive(Clone, Debug)]
pub struct View(pub(super) Arc<State>);

impl View {
    pub(super) fn new(state: State) -> View {
        View(Arc::new(state))
    }

    /// The newest revision.
    pub fn revision(&self) -> i64 {
        self.0.revision()
    }

    /// The oldest readable revision; -1 before the first compaction.
    pub fn compact_revision(&self) -> i64 {
        self.0.compact_revision()
    }

    /// Level of the replicated state machine.
    pub fn level(&self) -> u32 {
        self.0.level()
    }

    /// The members, by id.
    pub fn members(&self) -> Vec<Member> {
        self.0.members()
    }

    /// The leases.
    pub fn leases(&self) -> &Leases {
        self.0.leases()
    }

    /// The users and roles.
    pub fn auth(&self) -> &Auth {
        &self.0.auth
    }

    /// KV.Range (rows R1–R21). Walks all keys of the range on the caller's thread.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Error> {
        self.0.range(request, &Write::default())
    }

    /// A read-only transaction (T8); NotCapable for any other, which must go through the log.
    pub fn txn(&self, request: &TxnRequest) -> Result<TxnResponse, Error> {
        if !is_read_only(request) {
            return Err(Error::NotCapable);
        }
        State::clone(&self.0).txn(request, &mut Write::default())
    }

    /// KV hash up to `revision`, 0 for the newest (MA9). Walks all history up to it.
    pub fn hash_kv(&self, revision: i64) -> Result<HashKv, Error> {
        self.0.store.hash_kv(revision)
    }

    /// The records from main revision `from_main` on, or from the compact revision if that is
    /// newer, in revision order.
    pub fn changes(&self, from_main: i64) -> impl Iterator<Item = KeyValue> {
        self.0.store.changes(from_main).cloned()
    }

    /// A record as watchers see it, with its previous record from history (W17).
    pub fn event(&self, record: &KeyValue) -> Event {
        self.0.store.event(record)
    }

    /// All records that are logically retained, in revision order.
    pub fn records(&self) -> impl Iterator<Item = KeyValue> {
        self.0.store.records().cloned()
    }

    /// All records from main revision `from_main` on that are in memory, in revision order: those
    /// that are logically gone but not yet reported by `State::remove_some`, too. What a checkpoint
    /// must hold, so that the records it already has stay gone.
    pub fn held(&self, from_main: i64) -> impl Iterator<Item = KeyValue> {
        self.0.store.held(from_main).cloned()
    }

    /// All leases, by id.
    pub fn lease_records(&self) -> impl Iterator<Item = LeaseRecord> {
        self.0.leases.records()
    }

    /// All but the records and leases.
    pub fn meta(&self) -> StateMeta {
        self.0.meta()
    }

    /// Logical size in bytes (D5): live and held history, plus a small fixed overhead. Shrinks as
    /// removal after a compaction goes on.
    pub fn size_bytes(&self) -> usize {
        self.0.store.size_bytes()
    }

    /// The same: no space is ever held that is not in use.
    pub fn size_in_use_bytes(&self) -> usize {
        self.size_bytes()
    }

    /// Fingerprint of the replicated state.
    pub fn digest(&self) -> Digest {
        self.0.digest()
    }
}
