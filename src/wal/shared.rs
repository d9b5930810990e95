//! What the handles and the writer share: the queue, the index, and recent entries.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Mutex, MutexGuard};

use crate::codec::log::Place;
use crate::runtime::channel::Notify;
use crate::runtime::{Disk, Runtime, lock};
use crate::types::{LogEntry, LogPosition, Payload, Vote};

use super::index::{Index, Slot, Summary, next};

pub(super) type Callback = Box<dyn FnOnce(io::Result<()>) + Send>;

/// One thing for the writer to do, in order.
pub(super) enum Operation {
    Entry(LogEntry),
    Started(u64),
    Vote(Vote),
    Truncate(Option<LogPosition>),
    Purge(LogPosition),
    Committed(Option<LogPosition>),
    /// Called once all before it is durable.
    Done(Callback),
}

pub(super) struct Shared<R: Runtime> {
    log: Mutex<Log<R>>,
    pub(super) wake: Notify,
}

/// The log as its users see it: what was handed over counts, durable or not.
pub(super) struct Log<R: Runtime> {
    pub(super) queue: VecDeque<Operation>,
    /// A commit index that rides along with the next write.
    pub(super) committed: Option<Option<LogPosition>>,
    pub(super) summary: Summary,
    pub(super) index: Index,
    pub(super) recent: Recent,
    /// Open segments by generation.
    pub(super) files: BTreeMap<u64, <R::Disk as Disk>::File>,
}

impl<R: Runtime> Shared<R> {
    pub(super) fn new(log: Log<R>) -> Self {
        Shared { log: Mutex::new(log), wake: Notify::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Log<R>> {
        lock(&self.log)
    }
}

impl<R: Runtime> Log<R> {
    /// Takes an entry in. It must follow the last one.
    pub(super) fn append(&mut self, entry: LogEntry) {
        let (index, expected) = (entry.position.index, next(self.summary.last));
        assert_eq!(index, expected, "an appended entry must follow the log's last");
        self.summary.last = Some(entry.position);
        self.index.push(Slot { position: entry.position, at: None });
        self.recent.push(entry.clone());
        self.queue.push_back(Operation::Entry(entry));
    }

    pub(super) fn truncate(&mut self, after: Option<LogPosition>) {
        self.summary.truncate(after);
        let end = next(self.summary.last);
        self.index.truncate(end);
        self.recent.truncate(end);
        self.queue.push_back(Operation::Truncate(after));
    }

    pub(super) fn purge(&mut self, position: LogPosition) {
        self.summary.purge(position);
        let first = next(self.summary.purged);
        self.index.purge(first);
        self.recent.purge(first);
        self.queue.push_back(Operation::Purge(position));
    }

    /// Notes where an entry was written, unless it was truncated or purged meanwhile.
    pub(super) fn written(&mut self, generation: u64, written: &[(LogPosition, Place)]) {
        for (position, place) in written {
            if let Some(slot) = self.index.get_mut(position.index)
                && slot.position == *position
            {
                slot.at = Some((generation, *place));
            }
        }
        let index = &self.index;
        self.recent.evict(|entry| index.get(entry).is_none_or(|slot| slot.at.is_some()));
    }
}

/// The newest entries, bounded in bytes; those not yet written are always here.
pub(super) struct Recent {
    first: u64,
    entries: VecDeque<LogEntry>,
    bytes: usize,
    max_bytes: usize,
}

impl Recent {
    pub(super) fn new(first: u64, max_bytes: usize) -> Self {
        Recent { first, entries: VecDeque::new(), bytes: 0, max_bytes }
    }

    pub(super) fn get(&self, index: u64) -> Option<&LogEntry> {
        self.entries.get(usize::try_from(index.checked_sub(self.first)?).ok()?)
    }

    fn push(&mut self, entry: LogEntry) {
        self.bytes += entry_bytes(&entry);
        self.entries.push_back(entry);
    }

    fn truncate(&mut self, end: u64) {
        while self.first + self.entries.len() as u64 > end {
            let Some(entry) = self.entries.pop_back() else {
                self.first = end;
                return;
            };
            self.bytes -= entry_bytes(&entry);
        }
    }

    fn purge(&mut self, first: u64) {
        while self.first < first {
            if self.entries.is_empty() {
                self.first = first;
                return;
            }
            self.pop_front();
        }
    }

    fn evict(&mut self, may_go: impl Fn(u64) -> bool) {
        while self.bytes > self.max_bytes && may_go(self.first) {
            self.pop_front();
        }
    }

    /// Drops the first entry, or steps over an index that is not held.
    fn pop_front(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= entry_bytes(&entry);
        }
        self.first += 1;
    }
}

/// What an entry counts against `max_bytes` of a read and of the recent entries.
pub(super) fn entry_bytes(entry: &LogEntry) -> usize {
    const OVERHEAD_BYTES: usize = 64;
    let payload = match &entry.payload {
        Payload::Blank => 0,
        Payload::Command(bytes) | Payload::Membership(bytes) => bytes.len(),
    };
    OVERHEAD_BYTES + payload
}
