//! The store from its records in revision order.

use std::fmt;

use super::index::Index;
use super::sort;
use super::store::Store;
use crate::types::{KeyValue, Revision};

/// Far above any real revision, far below overflow.
const MAX_REVISION: i64 = i64::MAX / 2;

/// Why records are no history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadHistory {
    /// Revision and compact revision cannot both be right.
    Revisions {
        /// The newest revision said.
        revision: i64,
        /// The compact revision said.
        compact_revision: i64,
    },
    /// A record does not come after the one before it, or links forward.
    Order(Revision),
    /// A record is newer than the newest revision.
    Future(Revision),
    /// The record that must be at this place is missing.
    Gap(Revision),
}

impl fmt::Display for BadHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, what) = match self {
            BadHistory::Revisions { revision, compact_revision } => {
                return write!(
                    f,
                    "revision {revision} with compact revision {compact_revision} is impossible"
                );
            }
            BadHistory::Order(at) => (at, "is out of order or links forward"),
            BadHistory::Future(at) => (at, "is newer than the store"),
            BadHistory::Gap(at) => (at, "is missing"),
        };
        write!(f, "the record at revision {}.{} {what}", at.main, at.sub)
    }
}

impl Store {
    /// Rebuilds history and index, and shows each live record to `live`, in key order. Records that
    /// compaction has made dead may still be among them.
    pub fn restore(
        revision: i64,
        compact_revision: i64,
        records: impl Iterator<Item = KeyValue>,
        live: impl FnMut(&KeyValue),
    ) -> Result<Store, BadHistory> {
        let possible = 1..=MAX_REVISION;
        let fit = possible.contains(&revision) && (-1..=revision).contains(&compact_revision);
        if !fit && !is_lenient() {
            return Err(BadHistory::Revisions { revision, compact_revision });
        }
        let mut store = Store { revision, compact_revision, ..Store::default() };
        let mut all = Vec::new();
        let mut last = Revision::default();
        for record in records {
            store.follows(last, &record)?;
            last = record.revision();
            all.push(sort::mark(record.clone()));
            store.history.push(record);
        }
        if last.main < revision && revision >= store.first_dense() && !is_lenient() {
            let first_missing = store.first_dense().max(last.main + 1);
            return Err(BadHistory::Gap(Revision { main: first_missing, sub: 0 }));
        }
        store.build_index(all, live);
        if planted!(RevisionBackAfterCompaction) && compact_revision > 0 {
            let newest_live = store.all_live().map(|record| record.revision().main).max();
            store.revision = newest_live.unwrap_or(1);
        }
        Ok(store)
    }

    /// The first main revision from which on no record may be missing: no write ever got 1, and
    /// what happened at the compact revision is kept.
    fn first_dense(&self) -> i64 {
        self.compact_revision.max(2)
    }

    fn follows(&self, last: Revision, record: &KeyValue) -> Result<(), BadHistory> {
        let at = record.revision();
        if is_lenient() {
            return Ok(());
        }
        if at <= last || record.previous().is_some_and(|previous| previous >= at) {
            return Err(BadHistory::Order(at));
        }
        if at.main > self.revision {
            return Err(BadHistory::Future(at));
        }
        let expected = match last {
            last if last.main == at.main => Revision { sub: last.sub.saturating_add(1), ..last },
            last => Revision { main: self.first_dense().max(last.main.saturating_add(1)), sub: 0 },
        };
        if at.main >= self.first_dense() && at != expected {
            return Err(BadHistory::Gap(expected));
        }
        Ok(())
    }

    /// Sorts by key and inserts the newest of each in key order, which is several times faster than
    /// inserting as they come. The records lie all over memory, so each is visited once.
    fn build_index(&mut self, all: Vec<sort::Marked>, mut live: impl FnMut(&KeyValue)) {
        let mut index = Index::default();
        for record in sort::newest_by_key(all) {
            if record.is_tombstone() && planted!(TombstoneNotRestored) {
                continue;
            }
            if !record.is_tombstone() {
                live(&record);
            }
            index.put(record);
        }
        self.index = index;
    }
}

/// Some planted bugs leave a history that would not pass; they shall show elsewhere.
fn is_lenient() -> bool {
    let lenient = [
        planted!(TombstoneLostByCompaction),
        planted!(RevisionBackAfterCompaction),
        planted!(EmptyDeleteTakesRevision),
    ];
    lenient.contains(&true)
}
