//! Index and history together: writes under one revision, reads of one key.

use super::history::History;
use super::index::Index;
use crate::types::{Event, KeyRange, KeyValue, KeyValueFields, Revision};

/// What an empty store counts (D5).
const FIXED_BYTES: usize = 4096;
/// What a record counts besides its key and value (D5).
const RECORD_BYTES: usize = 64;

/// A change made by a write.
#[derive(Clone, Debug)]
pub struct Change {
    /// The new record.
    pub record: KeyValue,
    /// The live record it took the place of.
    pub replaced: Option<KeyValue>,
}

/// The changes of one command: all get the store's next revision (T11), in this order.
#[derive(Debug, Default)]
pub struct Write {
    /// What was changed so far.
    pub changes: Vec<Change>,
}

/// The multi-version store.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) index: Index,
    pub(super) history: History,
    pub(super) revision: i64,
    pub(super) compact_revision: i64,
    /// The first record that removal has not looked at.
    pub(super) sweep: Revision,
}

impl Default for Store {
    fn default() -> Self {
        Store {
            index: Index::default(),
            history: History::default(),
            revision: 1,
            compact_revision: -1,
            sweep: Revision::default(),
        }
    }
}

impl Store {
    /// The newest revision; 1 in an empty store.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// The oldest readable revision; -1 before the first compaction, as etcd shows it.
    pub fn compact_revision(&self) -> i64 {
        self.compact_revision
    }

    /// Logical size of all that is held (D5).
    pub fn size_bytes(&self) -> usize {
        FIXED_BYTES + self.history.bytes()
    }

    /// The revision a read inside `write` sees: the next one as soon as something changed.
    pub fn revision_in(&self, write: &Write) -> i64 {
        self.revision + i64::from(!write.changes.is_empty())
    }

    /// The live record of `key` now.
    pub fn get(&self, key: &[u8]) -> Option<&KeyValue> {
        self.index.get(key).filter(|record| !record.is_tombstone())
    }

    /// The live record at `revision` of the key whose newest record is `newest`.
    pub(super) fn at<'a>(&'a self, newest: &'a KeyValue, revision: i64) -> Option<&'a KeyValue> {
        let mut record = newest;
        while record.revision().main > revision {
            let previous = record.previous().filter(|previous| *previous < record.revision())?;
            record = self.history.get(previous)?;
        }
        Some(record).filter(|record| !record.is_tombstone())
    }

    /// Live records of the keys in `range` now, in key order.
    pub fn live<'a>(&'a self, range: &KeyRange) -> impl Iterator<Item = &'a KeyValue> + use<'a> {
        self.index.range(range).filter(|record| !record.is_tombstone())
    }

    /// All live records now, in key order.
    pub fn all_live(&self) -> impl Iterator<Item = &KeyValue> {
        self.index.iter().filter(|record| !record.is_tombstone())
    }

    /// Puts `key` (P7, R21).
    pub fn put(&mut self, write: &mut Write, key: &[u8], value: &[u8], lease: i64) {
        let revision = self.next(write);
        let newest = self.index.get(key);
        let replaced = newest.filter(|record| !record.is_tombstone()).cloned();
        let previous = newest.map_or(Revision::default(), |record| self.link(record));
        let (create_revision, version) = match &replaced {
            Some(record) => (record.fields().create_revision, record.fields().version.saturating_add(1)),
            None => (revision.main, 1),
        };
        let fields = KeyValueFields {
            create_revision,
            mod_revision: revision.main,
            sub: revision.sub,
            version,
            lease,
            previous: previous.main,
            previous_sub: previous.sub,
        };
        self.record(write, KeyValue::new(fields, key, value), replaced);
    }

    /// Deletes `key` if it is live.
    pub fn delete(&mut self, write: &mut Write, key: &[u8]) {
        if let Some(replaced) = self.get(key).cloned() {
            let tombstone = KeyValue::tombstone(key, self.next(write), replaced.revision());
            self.record(write, tombstone, Some(replaced));
        }
    }

    /// Ends `write`: the next revision becomes the newest if anything changed (T11, D1).
    pub fn commit(&mut self, write: &Write) {
        self.revision = self.revision_in(write);
    }

    /// Takes the next revision without a change; only a planted bug does that.
    pub fn skip_revision(&mut self) {
        self.revision += 1;
    }

    fn next(&self, write: &Write) -> Revision {
        let main = self.revision.checked_add(1).expect("revisions do not run out");
        let sub = u32::try_from(write.changes.len()).expect("a transaction has fewer than 2^32 changes");
        Revision { main, sub }
    }

    /// The link to an older record. A tombstone below the compact revision is gone, whether or not
    /// removal has been there: the link must be the same on every member.
    fn link(&self, record: &KeyValue) -> Revision {
        let gone = record.is_tombstone() && record.revision().main < self.compact_revision;
        if gone { Revision::default() } else { record.revision() }
    }

    fn record(&mut self, write: &mut Write, record: KeyValue, replaced: Option<KeyValue>) {
        self.index.put(record.clone());
        self.history.push(record.clone());
        write.changes.push(Change { record, replaced });
    }

    /// The change as watchers see it: with the live record one revision earlier, none for a create
    /// or when that revision is compacted (W17).
    pub fn event(&self, record: &KeyValue) -> Event {
        let before = record.revision().main - 1;
        let shown = !record.is_create() && before >= self.compact_revision;
        let prev_kv = shown.then(|| self.before(record, before)).flatten().cloned();
        Event { kv: record.clone(), prev_kv }
    }

    fn before<'a>(&'a self, record: &KeyValue, revision: i64) -> Option<&'a KeyValue> {
        self.at(self.history.get(record.previous()?)?, revision)
    }

    /// The records from main revision `from` on, in revision order; from the compact revision if
    /// `from` is older (W7, W10).
    pub fn changes(&self, from: i64) -> impl Iterator<Item = &KeyValue> {
        self.history.from(Revision { main: from.max(self.compact_revision), sub: 0 })
    }

    /// All records from main revision `from` on that are in memory, in revision order: those that
    /// are logically gone but not yet removed, too.
    pub fn held(&self, from: i64) -> impl Iterator<Item = &KeyValue> {
        self.history.from(Revision { main: from, sub: 0 })
    }
}

/// What a record counts in all (D5).
pub(super) fn record_bytes(record: &KeyValue) -> usize {
    RECORD_BYTES + record.data_bytes()
}
