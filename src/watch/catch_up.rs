//! One step of catching up from history: planned and finished under the hub's lock, run without it.

use crate::types::Event;

use super::watcher::{Create, view};
use super::{History, SessionId};

/// Records looked at in one step.
const STEP_RECORDS: usize = 4096;
/// Bytes of events collected in one step; the revision that crosses it is still whole (W14).
const STEP_BYTES: usize = 512 * 1024;

/// A planned step for one watcher.
#[derive(Debug)]
pub struct CatchUp<H> {
    pub(super) session: SessionId,
    pub(super) watcher: usize,
    pub(super) watch_id: i64,
    pub(super) spec: Create,
    pub(super) from: i64,
    pub(super) history: H,
}

/// What a step found: the events, and the cursor after it.
#[derive(Debug)]
pub struct CaughtUp {
    pub(super) session: SessionId,
    pub(super) watcher: usize,
    pub(super) watch_id: i64,
    pub(super) events: Vec<Event>,
    pub(super) next: i64,
}

impl<H: History> CatchUp<H> {
    /// Reads history from the cursor, by whole revisions, up to the step's bounds.
    pub fn run(self) -> CaughtUp {
        let mut events = Vec::new();
        let mut bytes = 0;
        let mut next = self.history.revision() + 1;
        let mut last = self.from - 1;
        for (seen, kv) in self.history.changes(self.from).enumerate() {
            let main = kv.fields().mod_revision;
            if main != last && (seen >= STEP_RECORDS || bytes >= STEP_BYTES) {
                next = main;
                break;
            }
            last = main;
            if !self.spec.range.contains(kv.key()) {
                continue;
            }
            let event = self.history.event(&kv);
            if let Some(event) = view(&self.spec, &event) {
                bytes += event.kv.data_bytes() + event.prev_kv.as_ref().map_or(0, |kv| kv.data_bytes());
                events.push(event);
            }
        }
        // A watcher from a revision in the future keeps its start (W8).
        let next = next.max(self.from);
        CaughtUp { session: self.session, watcher: self.watcher, watch_id: self.watch_id, events, next }
    }
}
