//! One watcher: what it follows and how far it has come.

use crate::types::{KeyRange, KeyValue};

/// Which kinds of events a watcher does not want (W16).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// Leave puts out.
    pub no_put: bool,
    /// Leave deletes out.
    pub no_delete: bool,
}

/// What a client asks for when it creates a watcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    /// The keys; an empty key has already become "from \0" at the door (W2).
    pub range: KeyRange,
    /// First revision wanted; 0 means from now on (W6), below 0 is refused (W9).
    pub start_revision: i64,
    /// Wanted id, 0 to let the stream number it (W4).
    pub watch_id: i64,
    /// Kinds left out.
    pub filters: Filters,
    /// Attach previous records.
    pub prev_kv: bool,
    /// Send periodic progress (W18).
    pub progress_notify: bool,
    /// Split large responses between events (W15).
    pub fragment: bool,
}

impl Create {
    /// Whether the watcher wants this kind of record. Does not check the range.
    pub(super) fn wants(&self, kv: &KeyValue) -> bool {
        !(if kv.is_tombstone() { self.filters.no_delete } else { self.filters.no_put })
    }
}

/// A registered watcher.
#[derive(Debug)]
pub(super) struct Watcher {
    /// The stream it belongs to.
    pub session: usize,
    /// Its id on that stream.
    pub watch_id: i64,
    /// What it follows.
    pub spec: Create,
    /// The next revision it needs: all matching events below it are in the stream's queue or
    /// beyond. Decreases only when the queue is given back to save memory.
    pub next: i64,
    /// Whether it must catch up from history; while true, published events pass it by.
    pub lagging: bool,
    /// Whether an event was queued since the last periodic progress tick.
    pub active: bool,
}

impl Watcher {
    /// Whether it has come to `revision`, the newest, and has begun at all (W8, W19).
    pub fn is_current(&self, revision: i64) -> bool {
        !self.lagging && self.spec.start_revision <= revision
    }
}
