//! One watcher: what it follows and how far it has come.

use crate::types::{Event, KeyRange};

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
    /// beyond. Never decreases.
    pub next: i64,
    /// Whether it must catch up from history; while true, published events pass it by.
    pub lagging: bool,
    /// Whether an event was queued since the last periodic progress tick.
    pub active: bool,
}

impl Watcher {
    /// The event as this watcher sees it, `None` if filtered.
    pub fn view(&self, event: &Event) -> Option<Event> {
        view(&self.spec, event)
    }
}

/// The event as a watcher with `spec` sees it, `None` if filtered. Does not check the range.
pub(super) fn view(spec: &Create, event: &Event) -> Option<Event> {
    let delete = event.kv.is_tombstone();
    if (delete && spec.filters.no_delete) || (!delete && spec.filters.no_put) {
        return None;
    }
    let prev_kv = if spec.prev_kv { event.prev_kv.clone() } else { None };
    Some(Event { kv: event.kv.clone(), prev_kv })
}
