//! The hub itself: its streams and watchers, what clients ask of them and what they get next.

use super::History;
use super::ranges::Ranges;
use super::session::{Output, Session};
use super::watcher::{Create, Watcher};

/// Names one stream for as long as it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(super) usize);

/// Queue items a stream may take before a lagging watcher gets a step.
const TAKEN_BEFORE_CATCH_UP: usize = 256;

const EMPTY_RANGE: &str = "mvcc: watcher range is empty";
const DUPLICATE_ID: &str = "mvcc: duplicate watch ID provided on the WatchStream";
const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";

/// All streams and watchers of one member. Invariant: `history` holds exactly the revisions that
/// were published, so a watcher whose cursor is past `history.revision()` has missed nothing.
#[derive(Debug)]
pub struct Hub<H> {
    pub(super) history: H,
    pub(super) sessions: Vec<Option<Session>>,
    pub(super) free_sessions: Vec<usize>,
    pub(super) watchers: Vec<Option<Watcher>>,
    pub(super) free_watchers: Vec<usize>,
    pub(super) ranges: Ranges,
    /// What all queues count together.
    pub(super) queued_bytes: usize,
}

impl<H: History> Hub<H> {
    /// A hub over the store as it is now.
    pub fn new(history: H) -> Self {
        Hub {
            history,
            sessions: Vec::new(),
            free_sessions: Vec::new(),
            watchers: Vec::new(),
            free_watchers: Vec::new(),
            ranges: Ranges::default(),
            queued_bytes: 0,
        }
    }

    /// The newest published state.
    pub fn history(&self) -> &H {
        &self.history
    }

    /// Open streams and registered watchers.
    pub fn counts(&self) -> (usize, usize) {
        let streams = self.sessions.len() - self.free_sessions.len();
        (streams, self.watchers.len() - self.free_watchers.len())
    }

    /// Opens a stream.
    pub fn open(&mut self) -> SessionId {
        let index = self.free_sessions.pop().unwrap_or(self.sessions.len());
        if index == self.sessions.len() {
            self.sessions.push(None);
        }
        self.sessions[index] = Some(Session::default());
        SessionId(index)
    }

    /// Closes a stream and all its watchers.
    pub fn close(&mut self, id: SessionId) {
        if let Some(session) = self.sessions[id.0].take() {
            self.queued_bytes -= session.queued_bytes();
            for watcher in session.watchers.into_values() {
                self.remove_watcher(watcher);
            }
            self.free_sessions.push(id.0);
        }
    }

    /// Registers a watcher; the answer is queued (W1–W10).
    pub fn create(&mut self, id: SessionId, spec: Create) {
        let revision = self.history.revision();
        let compact_revision = self.history.compact_revision();
        let Some(session) = self.sessions[id.0].as_mut() else { return };
        let duplicate = spec.watch_id != 0 && session.watchers.contains_key(&spec.watch_id);
        let refusal = [
            (spec.start_revision < 0, COMPACTED),
            (spec.range.is_empty(), EMPTY_RANGE),
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

    /// Answers that a watcher may not be, and why (W12).
    pub fn refuse(&mut self, id: SessionId, reason: &'static str) {
        let revision = self.history.revision();
        if let Some(session) = self.sessions[id.0].as_mut() {
            session.push(Output::Refused { revision, reason });
        }
    }

    /// Ends a watcher at the client's wish (W13); an unknown id is ignored.
    pub fn cancel(&mut self, id: SessionId, watch_id: i64) {
        let revision = self.history.revision();
        let Some(session) = self.sessions[id.0].as_mut() else { return };
        let Some(number) = session.watchers.remove(&watch_id) else { return };
        session.lagging.retain(|lagging| *lagging != number);
        let before = session.queued_bytes();
        session.forget(watch_id);
        self.queued_bytes -= before - session.queued_bytes();
        session.push(Output::Canceled { watch_id, revision, compact_revision: 0 });
        self.remove_watcher(number);
    }

    /// Queues one progress notice for the whole stream if it has watchers and all of them are synced
    /// and past their start (W19); else silence. It stands behind all events it speaks of (W20).
    pub fn request_progress(&mut self, id: SessionId) {
        let revision = self.history.revision();
        let Some(session) = self.sessions[id.0].as_mut() else { return };
        let ready = session.watchers.values().all(|number| {
            let watcher = self.watchers[*number].as_ref().expect("a session's watcher exists");
            let ahead = planted!(ProgressAheadOfEvents) && watcher.spec.start_revision <= revision;
            watcher.is_current(revision) || ahead
        });
        if ready && !session.watchers.is_empty() {
            session.push(Output::Progress { watch_id: -1, revision });
        }
    }

    /// Queues progress for each watcher of the stream that asked for it, is synced and had no event
    /// since the last call (W18).
    pub fn tick_progress(&mut self, id: SessionId) {
        let revision = self.history.revision();
        let Some(session) = self.sessions[id.0].as_mut() else { return };
        let numbers: Vec<usize> = session.watchers.values().copied().collect();
        for number in numbers {
            let watcher = self.watchers[number].as_mut().expect("a session's watcher exists");
            let quiet = !std::mem::take(&mut watcher.active);
            if watcher.spec.progress_notify && quiet && watcher.is_current(revision) {
                session.push(Output::Progress { watch_id: watcher.watch_id, revision });
            }
        }
    }

    /// Whether nothing is queued for the stream and nobody on it lags: wait until it is touched.
    pub fn is_idle(&self, id: SessionId) -> bool {
        self.sessions[id.0].as_ref().is_none_or(|session| session.is_drained() && session.lagging.is_empty())
    }

    /// Moves what the stream gets next into `outputs`, until that counts `max_bytes`, nothing more is
    /// queued, or it is a lagging watcher's turn.
    pub fn take(&mut self, id: SessionId, max_bytes: usize, outputs: &mut Vec<Output>) {
        let Some(session) = self.sessions[id.0].as_mut() else { return };
        let mut taken = 0;
        while taken < max_bytes {
            let turn = !session.lagging.is_empty() && session.taken >= TAKEN_BEFORE_CATCH_UP;
            if turn && session.has_room() {
                return;
            }
            let Some((output, bytes)) = session.pop() else { return };
            self.queued_bytes -= bytes;
            taken += output.bytes();
            outputs.push(output);
        }
    }

    pub(super) fn remove_watcher(&mut self, number: usize) {
        if let Some(watcher) = self.watchers[number].take() {
            self.ranges.remove(&watcher.spec.range, number);
            self.free_watchers.push(number);
        }
    }
}
