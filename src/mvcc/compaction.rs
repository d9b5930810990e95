//! Compaction: logical at once, physical in bounded steps.
//!
//! With compact revision C these records are logically gone: one below C whose key has a newer
//! record at or below C, and a tombstone below C. All that happened at C itself stays, so a watch
//! from C on sees the whole revision (C2, W10). The test for the first kind needs no search: such a
//! record is the `previous` of another record at or below C.
//!
//! Removal sweeps once over the records up to C in revision order. What it decides below C holds
//! for any later C too, so a compaction that comes in between just lets it run further.

use super::store::Store;
use crate::types::{Error, KeyValue, Revision};

/// What one step of removal did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// Records that are gone from memory and may go from the checkpoint.
    pub removed: Vec<Revision>,
    /// Whether there is more to look at.
    pub more: bool,
}

impl Store {
    /// Makes `revision` the compact revision (C1).
    pub fn compact(&mut self, revision: i64) -> Result<(), Error> {
        if revision <= self.compact_revision {
            return Err(Error::Compacted);
        }
        if revision > self.revision {
            return Err(Error::FutureRevision);
        }
        // Records at the old compact revision were looked at but not judged.
        self.sweep = self.sweep.min(Revision { main: self.compact_revision, sub: 0 });
        self.compact_revision = revision;
        Ok(())
    }

    /// Looks at up to `budget` records at or below the compact revision and removes what is dead.
    pub fn remove_some(&mut self, budget: usize) -> Removal {
        let mut unswept = self.unswept();
        let step: Vec<KeyValue> = unswept.by_ref().take(budget).cloned().collect();
        let more = unswept.next().is_some();
        drop(unswept);
        let mut removed = Vec::new();
        for record in &step {
            removed.extend(self.ends(record).filter(|dead| self.history.remove(*dead).is_some()));
            if self.is_dead_tombstone(record) {
                self.remove_tombstone(record);
                removed.push(record.revision());
            }
            let at = record.revision();
            self.sweep = Revision { main: at.main, sub: at.sub.saturating_add(1) };
        }
        Removal { removed, more }
    }

    /// All records that are logically there, in revision order, however far removal got.
    pub fn records(&self) -> impl Iterator<Item = &KeyValue> {
        let dead = self.dead();
        let mut next = 0;
        self.history.from(Revision::default()).filter(move |record| {
            while dead.get(next).is_some_and(|dead| *dead < record.revision()) {
                next += 1;
            }
            dead.get(next) != Some(&record.revision())
        })
    }

    /// All records in memory, also those that are logically gone.
    #[cfg(test)]
    pub(crate) fn changes_held(&self) -> impl Iterator<Item = &KeyValue> {
        self.history.from(Revision::default())
    }

    /// The places of records that are logically gone but still held, in revision order.
    fn dead(&self) -> Vec<Revision> {
        let mut dead = Vec::new();
        for record in self.unswept() {
            dead.extend(self.ends(record));
            if self.is_dead_tombstone(record) {
                dead.push(record.revision());
            }
        }
        dead.sort_unstable();
        dead
    }

    fn unswept(&self) -> impl Iterator<Item = &KeyValue> {
        self.history.from(self.sweep).take_while(|record| record.revision().main <= self.compact_revision)
    }

    /// The place of the record that a record at or below the compact revision makes dead.
    fn ends(&self, record: &KeyValue) -> impl Iterator<Item = Revision> + use<> {
        let compact_revision = self.compact_revision;
        record.previous().filter(move |previous| previous.main < compact_revision).into_iter()
    }

    fn is_dead_tombstone(&self, record: &KeyValue) -> bool {
        let main = record.revision().main;
        let below = if planted!(TombstoneLostByCompaction) {
            main <= self.compact_revision
        } else {
            main < self.compact_revision
        };
        record.is_tombstone() && below
    }

    fn remove_tombstone(&mut self, tombstone: &KeyValue) {
        self.history.remove(tombstone.revision());
        let is_newest =
            self.index.get(tombstone.key()).is_some_and(|newest| newest.revision() == tombstone.revision());
        if is_newest {
            self.index.remove(tombstone.key());
        }
    }
}
