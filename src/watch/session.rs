//! One client stream: its watchers by id and the queue of what it gets next.

use std::collections::{BTreeMap, VecDeque};

use crate::types::Event;

/// Items a stream's queue holds before its watchers lag.
pub(super) const QUEUE_ITEMS: usize = 1024;
/// Bytes of keys and values a stream's queue refers to before its watchers lag. They are shared
/// with history, so this bounds what compaction cannot free, not copies.
pub(super) const QUEUE_BYTES: usize = 4 * 1024 * 1024;
/// Events of one response are merged up to this many bytes.
const MERGE_BYTES: usize = 64 * 1024;

/// What a stream gets next, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The watcher exists (W1).
    Created {
        /// Its id.
        watch_id: i64,
        /// The store's revision: a watcher from now on gets everything after it.
        revision: i64,
    },
    /// The watcher could not be created: created and canceled at once, id -1 (W3, W5, W9).
    Refused {
        /// The store's revision.
        revision: i64,
        /// Why.
        reason: &'static str,
    },
    /// Events of one or more whole revisions (W14).
    Events {
        /// For which watcher.
        watch_id: i64,
        /// Header revision (W21).
        revision: i64,
        /// In order of (revision, sub).
        events: Vec<Event>,
        /// Whether the watcher asked for fragments (W15).
        fragment: bool,
    },
    /// The watcher is gone (W10, W11, W13).
    Canceled {
        /// Which.
        watch_id: i64,
        /// The store's revision.
        revision: i64,
        /// The compact revision, if compaction passed the watcher; else 0.
        compact_revision: i64,
    },
    /// All events up to `revision` were delivered: to one watcher, or with id -1 to all (W18–W20).
    Progress {
        /// Which, or -1.
        watch_id: i64,
        /// Up to here.
        revision: i64,
    },
}

#[derive(Debug, Default)]
pub(super) struct Session {
    /// Watch id to the hub's watcher number.
    pub watchers: BTreeMap<i64, usize>,
    /// Lagging watchers, taken in turn.
    pub lagging: VecDeque<usize>,
    /// Queue items taken since the last catch-up step, so that neither starves the other.
    pub taken: usize,
    queue: VecDeque<Output>,
    queued_bytes: usize,
    next_id: i64,
}

impl Session {
    /// Whether events may be queued; control messages always may (their number is bounded by what
    /// the client sent).
    pub fn has_room(&self) -> bool {
        self.queue.len() < QUEUE_ITEMS && self.queued_bytes < QUEUE_BYTES
    }

    pub fn is_drained(&self) -> bool {
        self.queue.is_empty()
    }

    /// The next free id, from 0 upward (W4).
    pub fn free_id(&mut self) -> i64 {
        while self.watchers.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        self.next_id - 1
    }

    pub fn push(&mut self, output: Output) {
        self.queue.push_back(output);
    }

    /// Queues events, merged into the last item if that belongs to the same watcher.
    pub fn push_events(&mut self, watch_id: i64, revision: i64, events: Vec<Event>, fragment: bool) {
        let bytes = events_bytes(&events);
        self.queued_bytes += bytes;
        if let Some(Output::Events { watch_id: id, revision: header, events: last, .. }) =
            self.queue.back_mut()
            && *id == watch_id
            && events_bytes(last) + bytes <= MERGE_BYTES
        {
            *header = revision;
            last.extend(events);
            return;
        }
        self.queue.push_back(Output::Events { watch_id, revision, events, fragment });
    }

    pub fn pop(&mut self) -> Option<Output> {
        let output = self.queue.pop_front()?;
        if let Output::Events { events, .. } = &output {
            self.queued_bytes -= events_bytes(events);
        }
        self.taken += 1;
        Some(output)
    }

    /// Drops what is queued for a watcher that was cancelled.
    pub fn forget(&mut self, gone: i64) {
        let freed = &mut self.queued_bytes;
        self.queue.retain(|output| match output {
            Output::Events { watch_id, events, .. } if *watch_id == gone => {
                *freed -= events_bytes(events);
                false
            }
            Output::Progress { watch_id, .. } => *watch_id != gone,
            _ => true,
        });
    }
}

fn events_bytes(events: &[Event]) -> usize {
    let one =
        |event: &Event| event.kv.data_bytes() + event.prev_kv.as_ref().map_or(0, |kv| kv.data_bytes()) + 64;
    events.iter().map(one).sum()
}
