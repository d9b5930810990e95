//! One client stream: its watchers by id and the queue of what it gets next.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::announced::Events;

/// Items a stream's queue holds before its watchers lag.
pub(super) const QUEUE_ITEMS: usize = if cfg!(test) { 256 } else { 8192 };
/// Bytes a stream's queue refers to before its watchers lag. Keys and values are shared with
/// history, so this bounds what compaction cannot free.
const QUEUE_BYTES: usize = 1024 * 1024;
/// Events of one response are merged up to this many bytes.
const MERGE_BYTES: usize = 64 * 1024;
/// What an item counts by itself.
const ITEM_BYTES: usize = 64;
/// Room that an empty queue keeps.
const KEPT_ITEMS: usize = 32;

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
        events: Events,
        /// Whether the watcher wants previous records (W17).
        prev_kv: bool,
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

impl Output {
    /// What it is worth when it is sent, about.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Output::Events { events, prev_kv, .. } => {
                events.as_slice().iter().map(|event| event.queued_bytes(*prev_kv)).sum()
            }
            _ => ITEM_BYTES,
        }
    }
}

#[derive(Debug)]
struct Item {
    output: Output,
    /// What it counts in the queue.
    bytes: usize,
}

#[derive(Debug, Default)]
pub(super) struct Session {
    /// Watch id to the hub's watcher number.
    pub watchers: BTreeMap<i64, usize>,
    /// Lagging watchers, taken in turn.
    pub lagging: VecDeque<usize>,
    /// Queue items taken since the last catch-up step, so that neither starves the other.
    pub taken: usize,
    /// Whether it is already in the list of streams that have something new.
    pub touched: bool,
    queue: VecDeque<Item>,
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

    /// What its queue counts.
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
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
        self.queue.push_back(Item { output, bytes: 0 });
    }

    /// Queues events, merged into the last item if that belongs to the same watcher. `output` is of
    /// the kind Events.
    pub fn push_events(&mut self, output: Output) {
        let Output::Events { watch_id, revision, events, .. } = &output else { return };
        let last = self.queue.back_mut();
        let shared = last.as_ref().is_some_and(|item| item.refers_to(events));
        let bytes = if shared { 0 } else { output.bytes() };
        if let Some(item) = last
            && item.bytes + bytes <= MERGE_BYTES
            && let Output::Events { watch_id: id, revision: header, events: queued, .. } = &mut item.output
            && id == watch_id
        {
            *header = *revision;
            queued.append(events);
            item.bytes += bytes;
            self.queued_bytes += bytes;
            return;
        }
        let bytes = bytes + ITEM_BYTES;
        self.queued_bytes += bytes;
        self.queue.push_back(Item { output, bytes });
    }

    pub fn pop(&mut self) -> Option<(Output, usize)> {
        let Item { output, bytes } = self.queue.pop_front()?;
        self.queued_bytes -= bytes;
        self.taken += 1;
        self.shrink();
        Some((output, bytes))
    }

    /// Drops what is queued for a watcher that was cancelled. What progress of the whole stream speaks
    /// of stays before it: the client hears of the cancel only later (W20).
    pub fn forget(&mut self, gone: i64) {
        let speaks_for_all = |item: &Item| matches!(item.output, Output::Progress { watch_id: -1, .. });
        let spoken_of = self.queue.iter().rposition(speaks_for_all).map_or(0, |last| last + 1);
        let spoken_of = if planted!(CancelDropsWhatProgressSpeaksOf) { 0 } else { spoken_of };
        let mut place = 0;
        self.retain(|output| {
            place += 1;
            place <= spoken_of
                || match output {
                    Output::Events { watch_id, .. } | Output::Progress { watch_id, .. } => *watch_id != gone,
                    _ => true,
                }
        });
    }

    /// Gives back all queued events: the first undelivered revision of each watcher that had some and
    /// was not cancelled behind them. Progress behind them is given up with them.
    pub fn spill(&mut self) -> BTreeMap<i64, i64> {
        let mut first = BTreeMap::new();
        self.retain(|output| match output {
            Output::Events { watch_id, events, .. } => {
                first.entry(*watch_id).or_insert(events.first_revision());
                false
            }
            Output::Progress { .. } => first.is_empty(),
            Output::Canceled { watch_id, .. } => {
                first.remove(watch_id);
                true
            }
            _ => true,
        });
        first
    }

    fn retain(&mut self, mut keep: impl FnMut(&Output) -> bool) {
        let freed = &mut self.queued_bytes;
        self.queue.retain(|item| {
            let kept = keep(&item.output);
            *freed -= if kept { 0 } else { item.bytes };
            kept
        });
        self.shrink();
    }

    fn shrink(&mut self) {
        if self.queue.is_empty() && self.queue.capacity() > 8 * KEPT_ITEMS {
            self.queue.shrink_to(KEPT_ITEMS);
        }
    }
}

impl Item {
    /// Whether it holds the same shared event: watchers of one key on one stream follow each other.
    fn refers_to(&self, events: &Events) -> bool {
        match (&self.output, events) {
            (Output::Events { events: Events::One(mine), .. }, Events::One(other)) => {
                Arc::ptr_eq(mine, other)
            }
            _ => false,
        }
    }
}
