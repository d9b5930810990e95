//! New revisions come in: they are offered to synced watchers, and what no queue can hold is left to
//! catching up.

use std::sync::Arc;

use super::History;
use super::announced::{Announced, Events};
use super::hub::{Hub, SessionId};
use super::session::Output;
use crate::types::Event;

/// What all queues may count together before those of slow streams are given back.
const QUEUED_BYTES: usize = if cfg!(test) { 64 * 1024 } else { 32 * 1024 * 1024 };

impl<H: History> Hub<H> {
    /// Takes over newly visible revisions: `events` are all changes after the last published
    /// revision, in order, by whole revisions. Returns the streams that have something to do.
    pub fn publish(&mut self, history: H, events: &[Event]) -> Vec<SessionId> {
        let mut touched = Vec::new();
        let mut wanted = Vec::new();
        for revision in events.chunk_by(|a, b| a.kv.fields().mod_revision == b.kv.fields().mod_revision) {
            self.offer(revision, &mut wanted, &mut touched);
        }
        let compacted = history.compact_revision() > self.history.compact_revision();
        self.history = history;
        if compacted {
            self.wake_lagging(&mut touched);
        }
        if self.queued_bytes > QUEUED_BYTES || buggify!("queues given back") {
            self.give_back();
        }
        self.told(touched)
    }

    /// Replaces history at once (a snapshot jumped over revisions): every watcher that is behind
    /// catches up. Returns the streams that have something to do.
    pub fn jump(&mut self, history: H) -> Vec<SessionId> {
        let published = self.history.revision();
        self.history = history;
        let revision = self.history.revision();
        for (number, watcher) in self.watchers.iter_mut().enumerate() {
            let Some(watcher) = watcher else { continue };
            let start = watcher.spec.start_revision;
            let early = planted!(SnapshotLowersFutureStart) && start > revision;
            let again = planted!(SnapshotRewindsWatchers) && (1..=revision).contains(&start);
            if !watcher.lagging && (watcher.next <= revision || early) && !planted!(SnapshotForgetsWatchers) {
                let next = if early { published + 1 } else { watcher.next.max(published + 1) };
                watcher.next = if again { start } else { next };
                watcher.lagging = true;
                let session = self.sessions[watcher.session].as_mut().expect("a watcher's session exists");
                session.lagging.push_back(number);
            }
        }
        let mut touched = Vec::new();
        self.wake_lagging(&mut touched);
        self.told(touched)
    }

    /// Queues one revision's events for every synced watcher that wants some of them. `wanted` is
    /// scratch room: (watcher, place in `revision`).
    fn offer(&mut self, revision: &[Event], wanted: &mut Vec<(usize, usize)>, touched: &mut Vec<SessionId>) {
        let main = revision[0].kv.fields().mod_revision;
        wanted.clear();
        for (place, event) in revision.iter().enumerate() {
            self.ranges.visit(event.kv.key(), |number| {
                let watcher = self.watchers[number].as_ref().expect("an indexed watcher exists");
                if !watcher.lagging && watcher.next <= main && watcher.spec.wants(&event.kv) {
                    wanted.push((number, place));
                }
            });
        }
        if wanted.is_empty() {
            return;
        }
        let announced: Vec<Arc<Announced>> =
            revision.iter().map(|event| Arc::new(Announced::new(event.clone()))).collect();
        if revision.len() > 1 {
            wanted.sort_unstable();
        }
        for of_one in wanted.chunk_by(|(a, _), (b, _)| a == b) {
            let events = match of_one {
                [(_, place)] => Events::One(announced[*place].clone()),
                several => Events::Many(several.iter().map(|(_, place)| announced[*place].clone()).collect()),
            };
            let twice = planted!(EventPublishedTwice) && main % 16 == 0;
            let events = if twice { events.doubled() } else { events };
            self.queue(of_one[0].0, main, events, touched);
        }
    }

    /// Queues one revision for a synced watcher, or makes it lag when its stream is full.
    fn queue(&mut self, number: usize, main: i64, events: Events, touched: &mut Vec<SessionId>) {
        let watcher = self.watchers[number].as_mut().expect("an indexed watcher exists");
        let session = self.sessions[watcher.session].as_mut().expect("a watcher's session exists");
        if session.has_room() && !buggify!("full watch stream") {
            watcher.next = main + 1;
            watcher.active = true;
            let before = session.queued_bytes();
            session.push_events(Output::Events {
                watch_id: watcher.watch_id,
                revision: main,
                events,
                prev_kv: watcher.spec.prev_kv,
                fragment: watcher.spec.fragment,
            });
            self.queued_bytes += session.queued_bytes() - before;
        } else {
            watcher.next = main;
            watcher.lagging = true;
            session.lagging.push_back(number);
        }
        if !std::mem::replace(&mut session.touched, true) {
            touched.push(SessionId(watcher.session));
        }
    }

    /// Streams with lagging watchers look again: compaction may have passed one.
    fn wake_lagging(&mut self, touched: &mut Vec<SessionId>) {
        for (index, session) in self.sessions.iter_mut().enumerate() {
            let Some(session) = session else { continue };
            if !session.lagging.is_empty() && !std::mem::replace(&mut session.touched, true) {
                touched.push(SessionId(index));
            }
        }
    }

    /// Frees queues: those that hold as much as the average or more, which are the slow ones, and if
    /// that is not half of it, all. Their watchers lag from the first revision that was not taken.
    pub(super) fn give_back(&mut self) {
        let streams = self.counts().0.max(1);
        for least in [self.queued_bytes / streams, 0] {
            for index in 0..self.sessions.len() {
                if self.sessions[index].as_ref().is_some_and(|session| session.queued_bytes() >= least) {
                    self.give_back_queue(index);
                }
            }
            if self.queued_bytes <= QUEUED_BYTES / 2 {
                return;
            }
        }
    }

    fn give_back_queue(&mut self, index: usize) {
        let Some(session) = self.sessions[index].as_mut() else { return };
        let before = session.queued_bytes();
        let first = session.spill();
        self.queued_bytes -= before - session.queued_bytes();
        for (watch_id, next) in first {
            let number = session.watchers[&watch_id];
            let watcher = self.watchers[number].as_mut().expect("a session's watcher exists");
            watcher.next = next;
            if !std::mem::replace(&mut watcher.lagging, true) {
                session.lagging.push_back(number);
            }
        }
    }

    fn told(&mut self, touched: Vec<SessionId>) -> Vec<SessionId> {
        for id in &touched {
            if let Some(session) = self.sessions[id.0].as_mut() {
                session.touched = false;
            }
        }
        touched
    }
}
