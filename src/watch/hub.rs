//! The hub itself: sessions, watchers, publishing and catching up.

use crate::types::Event;

use super::catch_up::{CatchUp, CaughtUp};
use super::ranges::Ranges;
use super::session::{Output, Session};
use super::watcher::{Create, Watcher};
use super::{History, SessionId as Id};

/// Names one stream for as long as it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(usize);

/// Queue items a stream may take before a lagging watcher gets a step.
const TAKEN_BEFORE_CATCH_UP: usize = 16;

const EMPTY_RANGE: &str = "mvcc: watcher range is empty";
const DUPLICATE_ID: &str = "mvcc: duplicate watch ID provided on the WatchStream";
const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";

/// All streams and watchers of one member. Invariant: `history` holds exactly the revisions that
/// were published, so a watcher whose cursor is past `history.revision()` has missed nothing.
#[derive(Debug)]
pub struct Hub<H> {
    history: H,
    sessions: Vec<Option<Session>>,
    watchers: Vec<Option<Watcher>>,
    free_watchers: Vec<usize>,
    ranges: Ranges,
}

impl<H: History> Hub<H> {
    /// A hub over the store as it is now.
    pub fn new(history: H) -> Self {
        Hub {
            history,
            sessions: Vec::new(),
            watchers: Vec::new(),
            free_watchers: Vec::new(),
            ranges: Ranges::default(),
        }
    }

    /// The newest published state.
    pub fn history(&self) -> &H {
        &self.history
    }

    /// Open streams and registered watchers.
    pub fn counts(&self) -> (usize, usize) {
        let streams = self.sessions.iter().flatten().count();
        (streams, self.watchers.len() - self.free_watchers.len())
    }

    /// Opens a stream.
    pub fn open(&mut self) -> SessionId {
        let free = self.sessions.iter().position(Option::is_none);
        let index = free.unwrap_or(self.sessions.len());
        if index == self.sessions.len() {
            self.sessions.push(None);
        }
        self.sessions[index] = Some(Session::default());
        SessionId(index)
    }

    /// Closes a stream and all its watchers.
    pub fn close(&mut self, id: SessionId) {
        if let Some(session) = self.sessions[id.0].take() {
            for watcher in session.watchers.into_values() {
                self.remove_watcher(watcher);
            }
        }
    }

    /// Registers a watcher; the answer is queued (W1–W10).
    pub fn create(&mut self, id: SessionId, spec: Create) {
        let revision = self.history.revision();
        let compact_revision = self.history.compact_revision();
        let Some(session) = self.sessions[id.0].as_mut() else { return };
        let duplicate = spec.watch_id != 0 && session.watchers.contains_key(&spec.watch_id);
        let refusal = [
            (spec.range.is_empty(), EMPTY_RANGE),
            (spec.start_revision < 0, COMPACTED),
            (duplicate, DUPLICATE_ID),
        ];
        if let Some((_, reason)) = refusal.into_iter().find(|(refused, _)| *refused) {
            session.push(Output::Refused { revision, reason });
            return;
        }
        let watch_id = if spec.watch_id == 0 { session.free_id() } else { spec.watch_id };
        session.push(Output::Created { watch_id, revision });
        if spec.start_revision > 0 && spec.start_revision < compact_revision {
            session.push(Output::Canceled { watch_id, revision, compact_revision });
            return;
        }
        let late = planted!(WatchStartOffByOne) && spec.start_revision > 0;
        let start = spec.start_revision + i64::from(late);
        let next = if start == 0 { revision + 1 } else { start };
        let lagging = next <= revision;
        let range = spec.range.clone();
        let watcher = Watcher { session: id.0, watch_id, spec, next, lagging, active: false };
        let number = self.free_watchers.pop().unwrap_or(self.watchers.len());
        if number == self.watchers.len() {
            self.watchers.push(None);
        }
        self.watchers[number] = Some(watcher);
        session.watchers.insert(watch_id, number);
        if lagging {
            session.lagging.push_back(number);
        }
        self.ranges.insert(&range, number);
    }

    /// Ends a watcher at the client's wish (W13); an unknown id is ignored.
    pub fn cancel(&mut self, id: SessionId, watch_id: i64) {
        let revision = self.history.revision();
        let Some(session) = self.sessions[id.0].as_mut() else { return };
        let Some(number) = session.watchers.remove(&watch_id) else { return };
        session.lagging.retain(|lagging| *lagging != number);
        session.forget(watch_id);
        session.push(Output::Canceled { watch_id, revision, compact_revision: 0 });
        self.remove_watcher(number);
    }

    /// Queues one progress notice for the whole stream if all its watchers are synced and past
    /// their start (W19); else silence. It stands behind all events it speaks of (W20).
    pub fn request_progress(&mut self, id: SessionId) {
        let revision = self.history.revision();
        let Some(session) = self.sessions[id.0].as_mut() else { return };
        let ready = session.watchers.values().all(|number| {
            let watcher = self.watchers[*number].as_ref().expect("a session's watcher exists");
            !watcher.lagging && watcher.spec.start_revision <= revision
        });
        if ready {
            session.push(Output::Progress { watch_id: -1, revision });
        }
    }

    /// Queues progress for each watcher that asked for it and had no event since the last tick
    /// (W18). Returns the streams that have something new.
    pub fn tick_progress(&mut self) -> Vec<SessionId> {
        let revision = self.history.revision();
        let mut touched = Vec::new();
        for watcher in self.watchers.iter_mut().flatten() {
            let quiet = !std::mem::take(&mut watcher.active);
            let synced = !watcher.lagging && watcher.spec.start_revision <= revision;
            if !(watcher.spec.progress_notify && quiet && synced) {
                continue;
            }
            let session = self.sessions[watcher.session].as_mut().expect("a watcher's session exists");
            session.push(Output::Progress { watch_id: watcher.watch_id, revision });
            touched.push(SessionId(watcher.session));
        }
        touched.sort_unstable();
        touched.dedup();
        touched
    }

    /// Takes over newly visible revisions: `events` are all changes after the last published
    /// revision, in order, by whole revisions. Returns the streams that have something to do.
    pub fn publish(&mut self, history: H, events: &[Event]) -> Vec<SessionId> {
        let mut touched = Vec::new();
        for revision in events.chunk_by(|a, b| a.kv.fields().mod_revision == b.kv.fields().mod_revision) {
            self.offer(revision, &mut touched);
        }
        let compacted = history.compact_revision() > self.history.compact_revision();
        self.history = history;
        if compacted {
            self.wake_lagging(&mut touched);
        }
        touched.sort_unstable();
        touched.dedup();
        touched
    }

    /// Replaces history at once (a snapshot jumped over revisions): every watcher that is behind
    /// catches up. Returns the streams that have something to do.
    pub fn jump(&mut self, history: H) -> Vec<SessionId> {
        let published = self.history.revision();
        self.history = history;
        let revision = self.history.revision();
        let mut touched = Vec::new();
        for (number, watcher) in self.watchers.iter_mut().enumerate() {
            let Some(watcher) = watcher else { continue };
            if !watcher.lagging && watcher.next <= revision {
                watcher.next = watcher.next.max(published + 1);
                watcher.lagging = true;
                let session = self.sessions[watcher.session].as_mut().expect("a watcher's session exists");
                session.lagging.push_back(number);
            }
        }
        self.wake_lagging(&mut touched);
        touched
    }

    /// Whether nothing is queued for the stream and nobody on it lags: wait until it is touched.
    pub fn is_idle(&self, id: SessionId) -> bool {
        self.sessions[id.0].as_ref().is_none_or(|session| session.is_drained() && session.lagging.is_empty())
    }

    /// What the stream gets next, if something is queued.
    pub fn take(&mut self, id: SessionId) -> Option<Output> {
        let session = self.sessions[id.0].as_mut()?;
        if !session.lagging.is_empty() && session.taken >= TAKEN_BEFORE_CATCH_UP && session.has_room() {
            return None;
        }
        session.pop()
    }

    /// The next catch-up step of the stream, to run without the hub's lock; give its result to
    /// [`Hub::finish_catch_up`]. A watcher that compaction has passed is cancelled here (W11).
    pub fn plan_catch_up(&mut self, id: SessionId) -> Option<CatchUp<H>> {
        let (revision, compact_revision) = (self.history.revision(), self.history.compact_revision());
        let session = self.sessions[id.0].as_mut()?;
        session.taken = 0;
        let number = session.lagging.pop_front()?;
        let watcher = self.watchers[number].as_mut().expect("a lagging watcher exists");
        let (watch_id, passed) = (watcher.watch_id, watcher.next < compact_revision);
        if passed && planted!(LaggingWatcherSkipsCompaction) {
            watcher.next = compact_revision;
        } else if passed {
            session.watchers.remove(&watch_id);
            session.push(Output::Canceled { watch_id, revision, compact_revision });
            self.remove_watcher(number);
            return None;
        }
        if !session.has_room() {
            session.lagging.push_front(number);
            return None;
        }
        let (spec, from, history) = (watcher.spec.clone(), watcher.next, self.history.clone());
        Some(CatchUp { session: id, watcher: number, watch_id, spec, from, history })
    }

    /// Queues what a step found and moves the cursor. The watcher is synced once its cursor is
    /// past everything published.
    pub fn finish_catch_up(&mut self, found: CaughtUp) {
        let revision = self.history.revision();
        let Some(session) = self.sessions[found.session.0].as_mut() else { return };
        // It may have been cancelled meanwhile, and its number given to another.
        if session.watchers.get(&found.watch_id) != Some(&found.watcher) {
            return;
        }
        let watcher = self.watchers[found.watcher].as_mut().expect("a session's watcher exists");
        watcher.next = watcher.next.max(found.next);
        watcher.lagging = watcher.next <= revision;
        if watcher.lagging {
            session.lagging.push_back(found.watcher);
        }
        if !found.events.is_empty() {
            watcher.active = true;
            session.push_events(watcher.watch_id, revision, found.events, watcher.spec.fragment);
        }
    }

    /// Queues one revision's events for every synced watcher that wants some of them.
    fn offer(&mut self, revision: &[Event], touched: &mut Vec<Id>) {
        let main = revision[0].kv.fields().mod_revision;
        let mut wanted: Vec<(usize, Event)> = Vec::new();
        for event in revision {
            self.ranges.visit(event.kv.key(), |number| {
                let watcher = self.watchers[number].as_ref().expect("an indexed watcher exists");
                if watcher.lagging || watcher.next > main {
                    return;
                }
                if let Some(event) = watcher.view(event) {
                    wanted.push((number, event));
                }
            });
        }
        if revision.len() > 1 {
            wanted.sort_by_key(|(number, _)| *number);
        }
        let mut wanted = wanted.into_iter().peekable();
        while let Some((number, event)) = wanted.next() {
            let mut events = vec![event];
            while let Some((_, event)) = wanted.next_if(|(next, _)| *next == number) {
                events.push(event);
            }
            self.queue(number, main, events);
            let session = self.watchers[number].as_ref().map_or(0, |watcher| watcher.session);
            touched.push(SessionId(session));
        }
    }

    /// Queues one revision for a synced watcher, or makes it lag when its stream is full.
    fn queue(&mut self, number: usize, main: i64, events: Vec<Event>) {
        let watcher = self.watchers[number].as_mut().expect("an indexed watcher exists");
        let session = self.sessions[watcher.session].as_mut().expect("a watcher's session exists");
        if session.has_room() && !buggify!("full watch stream") {
            watcher.next = main + 1;
            watcher.active = true;
            session.push_events(watcher.watch_id, main, events, watcher.spec.fragment);
        } else {
            watcher.next = main;
            watcher.lagging = true;
            session.lagging.push_back(number);
        }
    }

    /// Streams with lagging watchers look again: compaction may have passed one.
    fn wake_lagging(&self, touched: &mut Vec<Id>) {
        for (index, session) in self.sessions.iter().enumerate() {
            if session.as_ref().is_some_and(|session| !session.lagging.is_empty()) {
                touched.push(SessionId(index));
            }
        }
    }

    fn remove_watcher(&mut self, number: usize) {
        if let Some(watcher) = self.watchers[number].take() {
            self.ranges.remove(&watcher.spec.range, number);
            self.free_watchers.push(number);
        }
    }
}
