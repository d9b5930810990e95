//! One step of catching up from history: planned and finished under the hub's lock, run without it.
//! Lagging watchers of a stream that stand close together take it together.

use std::sync::Arc;

use super::History;
use super::announced::{Announced, Events};
use super::hub::{Hub, SessionId};
use super::session::Output;
use super::watcher::Create;

/// Records looked at in one step.
const STEP_RECORDS: usize = 4096;
/// Revisions with events in one step (W22).
const STEP_REVISIONS: usize = 1000;
/// Bytes of events collected in one step; the revision that crosses it is still whole (W14).
const STEP_BYTES: usize = 256 * 1024;
/// Watchers that take a step together.
const STEP_WATCHERS: usize = 64;

/// A planned step.
#[derive(Debug)]
pub struct CatchUp<H> {
    pub(super) session: SessionId,
    pub(super) from: i64,
    pub(super) history: H,
    pub(super) watchers: Vec<Behind>,
}

/// A watcher in a step.
#[derive(Debug)]
pub(super) struct Behind {
    pub watcher: usize,
    pub watch_id: i64,
    pub spec: Create,
    /// Its cursor before the step.
    pub next: i64,
    /// What the step found for it.
    pub events: Vec<Arc<Announced>>,
}

/// What a step found: events for each watcher, and the cursor of all after it.
#[derive(Debug)]
pub struct CaughtUp {
    pub(super) session: SessionId,
    pub(super) watchers: Vec<Behind>,
    pub(super) next: i64,
}

impl<H: History> CatchUp<H> {
    /// Reads history from the cursor, by whole revisions, up to the step's bounds.
    pub fn run(mut self) -> CaughtUp {
        let (mut bytes, mut revisions, mut counted) = (0, 0, false);
        let mut next = self.history.revision() + 1;
        let mut last = self.from - 1;
        for (seen, kv) in self.history.changes(self.from).enumerate() {
            let main = kv.fields().mod_revision;
            if main != last {
                if seen >= STEP_RECORDS || bytes >= STEP_BYTES || revisions >= STEP_REVISIONS {
                    next = main;
                    break;
                }
                (last, counted) = (main, false);
            }
            let mut announced: Option<Arc<Announced>> = None;
            for behind in &mut self.watchers {
                let spec = &behind.spec;
                if main < behind.next || !spec.range.contains(kv.key()) || !spec.wants(&kv) {
                    continue;
                }
                let event =
                    announced.get_or_insert_with(|| Arc::new(Announced::new(self.history.event(&kv))));
                bytes += event.queued_bytes(spec.prev_kv);
                behind.events.push(event.clone());
            }
            if announced.is_some() && !std::mem::replace(&mut counted, true) {
                revisions += 1;
            }
        }
        CaughtUp { session: self.session, watchers: self.watchers, next }
    }
}

impl<H: History> Hub<H> {
    /// The next catch-up step of the stream, to run without the hub's lock; give its result to
    /// [`Hub::finish_catch_up`]. A watcher that compaction has passed is cancelled here (W11).
    pub fn plan_catch_up(&mut self, id: SessionId) -> Option<CatchUp<H>> {
        let (revision, compact_revision) = (self.history.revision(), self.history.compact_revision());
        let session = self.sessions[id.0].as_mut()?;
        session.taken = 0;
        let number = *session.lagging.front()?;
        let watcher = self.watchers[number].as_mut().expect("a lagging watcher exists");
        let (watch_id, passed) = (watcher.watch_id, watcher.next < compact_revision);
        if passed && planted!(LaggingWatcherSkipsCompaction) {
            watcher.next = compact_revision;
        } else if passed {
            session.lagging.pop_front();
            session.watchers.remove(&watch_id);
            session.push(Output::Canceled { watch_id, revision, compact_revision });
            self.remove_watcher(number);
            return None;
        }
        if !session.has_room() {
            return None;
        }
        let from = watcher.next;
        let near = from..from.saturating_add_unsigned(STEP_RECORDS as u64);
        let mut watchers = Vec::new();
        session.lagging.retain(|number| {
            let watcher = self.watchers[*number].as_ref().expect("a lagging watcher exists");
            let taken = near.contains(&watcher.next) && watchers.len() < STEP_WATCHERS;
            if taken {
                let (watch_id, spec, next) = (watcher.watch_id, watcher.spec.clone(), watcher.next);
                watchers.push(Behind { watcher: *number, watch_id, spec, next, events: Vec::new() });
            }
            !taken
        });
        Some(CatchUp { session: id, from, history: self.history.clone(), watchers })
    }

    /// Queues what a step found and moves the cursors. A watcher is synced once its cursor is past
    /// everything published.
    pub fn finish_catch_up(&mut self, found: CaughtUp) {
        let revision = self.history.revision();
        let Some(session) = self.sessions[found.session.0].as_mut() else { return };
        let before = session.queued_bytes();
        for mut behind in found.watchers {
            // It may have been cancelled meanwhile, and its number given to another.
            if session.watchers.get(&behind.watch_id) != Some(&behind.watcher) {
                continue;
            }
            let watcher = self.watchers[behind.watcher].as_mut().expect("a session's watcher exists");
            if watcher.next != behind.next {
                // Its queue was given back meanwhile: what is before this step comes first.
                session.lagging.push_back(behind.watcher);
                continue;
            }
            watcher.next = watcher.next.max(found.next);
            watcher.lagging = watcher.next <= revision;
            if watcher.lagging {
                session.lagging.push_back(behind.watcher);
            }
            let events = match behind.events.len() {
                0 => continue,
                1 => Events::One(behind.events.remove(0)),
                _ => Events::Many(behind.events),
            };
            watcher.active = true;
            session.push_events(Output::Events {
                watch_id: watcher.watch_id,
                revision,
                events,
                prev_kv: watcher.spec.prev_kv,
                fragment: watcher.spec.fragment,
            });
        }
        self.queued_bytes += session.queued_bytes() - before;
    }
}
