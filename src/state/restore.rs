//! The state from what a checkpoint or a snapshot holds.

use std::fmt;

use super::digest::{self, Accumulators};
use super::machine::{State, StateMeta};
use super::retries::Retries;
use crate::auth::Auth;
use crate::lease::Leases;
use crate::mvcc::{BadHistory, Store};
use crate::types::{Digest, KeyValue, LeaseId, LeaseRecord, Revision, limits};

/// Why stored bytes are no state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreError {
    /// The records are no history of such a store.
    History(BadHistory),
    /// The level is not one this build understands.
    Level(u32),
    /// A lease, member or client is there twice, or cannot exist; holds its id.
    Entry(i64),
    /// A user or role is there twice, or cannot exist; holds its name.
    Auth(String),
    /// A record names a lease that does not exist.
    Lease {
        /// The record's place.
        record: Revision,
        /// The lease it names.
        lease: LeaseId,
    },
    /// The sum over what was restored is not the recorded one.
    Sum {
        /// What was recorded.
        recorded: Digest,
        /// What the restored parts give.
        restored: Digest,
    },
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestoreError::History(bad) => bad.fmt(f),
            RestoreError::Level(level) => write!(
                f,
                "state level {level} is not in {}..={}, the levels of this build",
                limits::MIN_LEVEL,
                limits::MAX_LEVEL
            ),
            RestoreError::Entry(id) => write!(f, "lease, member or client {id:x} is repeated or impossible"),
            RestoreError::Auth(name) => write!(f, "user or role {name:?} is repeated or impossible"),
            RestoreError::Lease { record, lease } => {
                let Revision { main, sub } = record;
                write!(f, "the record at revision {main}.{sub} names lease {lease:x}, which does not exist")
            }
            RestoreError::Sum { recorded, restored } => {
                write!(
                    f,
                    "digest sum {restored:032x} of the restored state is not the recorded {recorded:032x}"
                )
            }
        }
    }
}

impl std::error::Error for RestoreError {}

impl State {
    /// Builds the state from its parts, records in revision order. Records that were logically gone
    /// already may be among them: removal will find and report them again.
    pub fn restore(
        meta: StateMeta,
        leases: impl IntoIterator<Item = LeaseRecord>,
        records: impl Iterator<Item = KeyValue>,
    ) -> Result<State, RestoreError> {
        let mut state = State::new();
        state.level = meta.level;
        if !(limits::MIN_LEVEL..=limits::MAX_LEVEL).contains(&meta.level) {
            return Err(RestoreError::Level(meta.level));
        }
        state.leases =
            Leases::restore(meta.lease_clock, meta.lease_term, leases).map_err(RestoreError::Entry)?;
        for member in meta.members {
            let id = member.id;
            if state.members.publish(member).is_some() {
                return Err(RestoreError::Entry(id.cast_signed()));
            }
        }
        state.retries = Retries::restore(meta.retries).map_err(RestoreError::Entry)?;
        state.auth = Auth::restore(meta.auth).map_err(RestoreError::Auth)?;
        let (mut sum, mut stray): (Digest, _) = (0, None);
        let leases = &mut state.leases;
        let live = |record: &KeyValue| {
            if !leases.attach(record) {
                let lease = record.fields().lease;
                stray.get_or_insert(RestoreError::Lease { record: record.revision(), lease });
            }
            sum = sum.wrapping_add(digest::record(record));
        };
        state.store = Store::restore(meta.revision, meta.compact_revision, records, live)
            .map_err(RestoreError::History)?;
        if let Some(stray) = stray {
            return Err(stray);
        }
        state.accumulators = Accumulators { sum: meta.sum, chain: meta.chain };
        let restored = state.sum_beside_records().wrapping_add(sum);
        if restored != meta.sum && !planted!(RevisionBackAfterCompaction) {
            return Err(RestoreError::Sum { recorded: meta.sum, restored });
        }
        Ok(state)
    }
}
