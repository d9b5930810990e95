//! Where each entry lies: positions and places of the contiguous run of entries after the purge.

use std::collections::VecDeque;

use crate::codec::log::Place;
use crate::types::{LogPosition, Vote};

/// How the stream of records stands at some point of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The vote.
    pub vote: Option<Vote>,
    /// Entries up to here are purged.
    pub purged: Option<LogPosition>,
    /// The commit index, as far as it was saved.
    pub committed: Option<LogPosition>,
    /// Last position, of an entry or of the purge.
    pub last: Option<LogPosition>,
    /// Counts the starts of the node.
    pub incarnation: u64,
}

impl Summary {
    pub(super) fn truncate(&mut self, after: Option<LogPosition>) {
        self.last = self.purged.max(after);
    }

    pub(super) fn purge(&mut self, position: LogPosition) {
        self.purged = self.purged.max(Some(position));
        if next(self.last) < next(self.purged) {
            self.last = self.purged;
        }
    }
}

/// The index after a position.
pub(super) fn next(position: Option<LogPosition>) -> u64 {
    position.map_or(0, |position| position.index + 1)
}

/// One entry's position, and the segment and place it was written to (`None`: not yet).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The entry's position.
    pub position: LogPosition,
    /// Generation of the segment, and the place in it.
    pub at: Option<(u64, Place)>,
}

/// Slots by index.
#[derive(Debug, Default)]
pub struct Index {
    /// Index of the first slot.
    first: u64,
    slots: VecDeque<Slot>,
}

impl Index {
    pub(super) fn starting_at(first: u64) -> Self {
        Index { first, slots: VecDeque::new() }
    }

    /// First index held.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Index after the last one held.
    pub fn end(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    /// The slot of `index`.
    pub fn get(&self, index: u64) -> Option<&Slot> {
        self.slots.get(usize::try_from(index.checked_sub(self.first)?).ok()?)
    }

    pub(super) fn get_mut(&mut self, index: u64) -> Option<&mut Slot> {
        self.slots.get_mut(usize::try_from(index.checked_sub(self.first)?).ok()?)
    }

    /// Adds the entry at [`Index::end`].
    pub(super) fn push(&mut self, slot: Slot) {
        debug_assert_eq!(slot.position.index, self.end());
        self.slots.push_back(slot);
    }

    /// Forgets all from index `end` on.
    pub(super) fn truncate(&mut self, end: u64) {
        match end.checked_sub(self.first) {
            Some(keep) => self.slots.truncate(usize::try_from(keep).unwrap_or(usize::MAX)),
            None => *self = Index::starting_at(end),
        }
    }

    /// Forgets all below index `first`.
    pub(super) fn purge(&mut self, first: u64) {
        if first >= self.end() {
            *self = Index::starting_at(first.max(self.first));
            return;
        }
        while self.first < first {
            self.slots.pop_front();
            self.first += 1;
        }
    }
}
