//! The moment of visibility: what apply made is offered to watchers, shown to readers and answered
//! to proposers, in this order and in one step.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::pending::Pending;
use crate::runtime::channel::Notify;
use crate::runtime::lock;
use crate::state::View;
use crate::types::{Event, KeyValue};
use crate::watch::{History, Hub, SessionId};

impl History for View {
    fn revision(&self) -> i64 {
        View::revision(self)
    }
    fn compact_revision(&self) -> i64 {
        View::compact_revision(self)
    }
    fn changes(&self, from: i64) -> impl Iterator<Item = KeyValue> + '_ {
        View::changes(self, from)
    }
    fn event(&self, kv: &KeyValue) -> Event {
        View::event(self, kv)
    }
}

/// What readers, watchers and proposers of one member share.
pub(super) struct Visible {
    /// The hub owns the newest view; whoever holds the lock sees events and view in step.
    hub: Mutex<Hub<View>>,
    wakers: Mutex<BTreeMap<SessionId, Arc<Notify>>>,
    pending: Mutex<Pending>,
    stopped: AtomicBool,
}

impl Visible {
    pub fn new(view: View, pending: Pending) -> Self {
        Visible {
            hub: Mutex::new(Hub::new(view)),
            wakers: Mutex::new(BTreeMap::new()),
            pending: Mutex::new(pending),
            stopped: AtomicBool::new(false),
        }
    }

    pub fn hub(&self) -> MutexGuard<'_, Hub<View>> {
        lock(&self.hub)
    }

    pub fn pending(&self) -> MutexGuard<'_, Pending> {
        lock(&self.pending)
    }

    /// The newest published state.
    pub fn view(&self) -> View {
        self.hub().history().clone()
    }

    /// Opens a watch stream with the bell that rings when it has something to do.
    pub fn open_session(&self) -> (SessionId, Arc<Notify>) {
        let id = self.hub().open();
        let bell = Arc::new(Notify::new());
        lock(&self.wakers).insert(id, bell.clone());
        (id, bell)
    }

    pub fn close_session(&self, id: SessionId) {
        lock(&self.wakers).remove(&id);
        self.hub().close(id);
    }

    /// Ends all watch streams: each wakes and sees that the member stops.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        for bell in lock(&self.wakers).values() {
            bell.notify_one();
        }
    }

    /// Whether [`Visible::stop`] was called.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Rings the bells of `touched` streams.
    pub fn ring(&self, touched: &[SessionId]) {
        if touched.is_empty() {
            return;
        }
        let wakers = lock(&self.wakers);
        for id in touched {
            if let Some(bell) = wakers.get(id) {
                bell.notify_one();
            }
        }
    }
}
