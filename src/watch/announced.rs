//! One event on its way to watchers: shared by all who get it, and so are its encodings.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::types::{Event, KeyValue};

/// What an event counts in a queue besides its keys and values.
const OVERHEAD_BYTES: usize = 64;

/// An event with room for what doors make of it: an encoding without its previous record and one
/// with it, each made once, by whoever needs it first.
#[derive(Debug)]
pub struct Announced {
    event: Event,
    plain: OnceLock<Bytes>,
    with_previous: OnceLock<Bytes>,
}

impl Announced {
    /// An event that nobody has encoded yet.
    pub fn new(event: Event) -> Self {
        Announced { event, plain: OnceLock::new(), with_previous: OnceLock::new() }
    }

    /// The event itself.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// The record.
    pub fn kv(&self) -> &KeyValue {
        &self.event.kv
    }

    /// The live record before it, if there was one that is still readable (W17).
    pub fn previous(&self) -> Option<&KeyValue> {
        self.event.prev_kv.as_ref()
    }

    /// Its encoding, with the previous record if `prev_kv` is set and there is one. `encode` makes
    /// it from the record and the previous one; all callers must pass the same function.
    pub fn encoded(
        &self,
        prev_kv: bool,
        encode: impl FnOnce(&KeyValue, Option<&KeyValue>) -> Bytes,
    ) -> &Bytes {
        match self.previous().filter(|_| prev_kv) {
            None => self.plain.get_or_init(|| encode(self.kv(), None)),
            previous => self.with_previous.get_or_init(|| encode(self.kv(), previous)),
        }
    }

    /// Bytes it keeps in memory while it is queued for a watcher with or without `prev_kv`.
    pub(super) fn queued_bytes(&self, prev_kv: bool) -> usize {
        let previous = self.previous().filter(|_| prev_kv).map_or(0, KeyValue::data_bytes);
        self.kv().data_bytes() + previous + OVERHEAD_BYTES
    }

    fn main(&self) -> i64 {
        self.kv().fields().mod_revision
    }
}

impl PartialEq for Announced {
    fn eq(&self, other: &Self) -> bool {
        self.event == other.event
    }
}

impl Eq for Announced {}

/// Events of one or more whole revisions for one watcher, in order of (revision, sub). Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Events {
    /// A single one, which is by far the most frequent.
    One(Arc<Announced>),
    /// Several.
    Many(Vec<Arc<Announced>>),
}

impl Events {
    /// All of them.
    pub fn as_slice(&self) -> &[Arc<Announced>] {
        match self {
            Events::One(event) => std::slice::from_ref(event),
            Events::Many(events) => events,
        }
    }

    /// All of them twice; only a planted bug wants that.
    pub(super) fn doubled(mut self) -> Events {
        let again = self.clone();
        self.append(&again);
        self
    }

    /// Revision of the first.
    pub(super) fn first_revision(&self) -> i64 {
        self.as_slice()[0].main()
    }

    /// Adds later ones.
    pub(super) fn append(&mut self, later: &Events) {
        if let Events::One(event) = self {
            *self = Events::Many(vec![event.clone()]);
        }
        if let Events::Many(events) = self {
            events.extend_from_slice(later.as_slice());
        }
    }
}
