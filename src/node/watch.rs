//! One client's watch stream: it pulls from the hub, catching up from history on its own time.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand_chacha::rand_core::Rng;

use super::Node;
use super::api::{WatchCreate, WatchFilter, WatchOutput};
use crate::runtime::channel::Notify;
use crate::runtime::{Instant, Runtime, select, yield_now};
use crate::types::limits::MIN_PROGRESS_INTERVAL_MS;
use crate::types::{Error, KeyRange, Login};
use crate::watch::{Create, Filters, SessionId};

/// A watch stream of this member. Dropping it ends all its watchers.
pub struct WatchSession<R: Runtime> {
    node: Node<R>,
    id: SessionId,
    bell: Arc<Notify>,
    /// From the first watcher on that wants it.
    progress: Option<Progress<R>>,
}

impl<R: Runtime> Node<R> {
    /// Opens a watch stream.
    pub fn watch_session(&self) -> WatchSession<R> {
        let (id, bell) = self.inner.visible.open_session();
        WatchSession { node: self.clone(), id, bell, progress: None }
    }
}

impl<R: Runtime> WatchSession<R> {
    /// Registers a watcher for `login`, or for who showed no valid token; the answer comes from
    /// [`WatchSession::next`]. Who may is looked at now and never again (A17).
    pub fn create(&mut self, request: WatchCreate, login: Result<Option<Login>, Error>) {
        // Copies: the request's keys share the buffer of the connection, which would live on.
        let key = if request.range.key.is_empty() { &[0] } else { request.range.key.as_ref() };
        let range_end = Bytes::copy_from_slice(&request.range.range_end);
        let filters = Filters {
            no_put: request.filters.contains(&WatchFilter::NoPut),
            no_delete: request.filters.contains(&WatchFilter::NoDelete),
        };
        let create = Create {
            range: KeyRange { key: Bytes::copy_from_slice(key), range_end },
            start_revision: request.start_revision,
            watch_id: request.watch_id,
            filters,
            prev_kv: request.prev_kv,
            progress_notify: request.progress_notify,
            fragment: request.fragment,
        };
        if create.progress_notify {
            let interval_ms = self.node.inner.config.progress_interval_ms;
            self.progress.get_or_insert_with(|| Progress::new(interval_ms));
        }
        let mut hub = self.node.inner.visible.hub();
        // W9 before W12, as etcd has it.
        let asked = match planted!(WatchFromKeyNotPermitted) && create.range.is_from_key() {
            true => KeyRange::single(create.range.key.clone()),
            false => create.range.clone(),
        };
        let permitted = login.and_then(|login| hub.history().permit_range(login, &asked));
        match permitted {
            Err(error) if create.start_revision >= 0 => hub.refuse(self.id, not_permitted(error)),
            _ => hub.create(self.id, create),
        }
        drop(hub);
        self.bell.notify_one();
    }

    /// Ends a watcher; unknown ids are ignored (W13).
    pub fn cancel(&self, watch_id: i64) {
        self.node.inner.visible.hub().cancel(self.id, watch_id);
        self.bell.notify_one();
    }

    /// Asks for one progress notice of the whole stream (W19).
    pub fn progress(&self) {
        self.node.inner.visible.hub().request_progress(self.id);
        self.bell.notify_one();
    }

    /// What the client gets next: one or more outputs that count about `max_bytes` together; `None`
    /// once the node stops. May be dropped and called again, nothing is lost.
    pub async fn next(&mut self, max_bytes: usize) -> Option<Vec<WatchOutput>> {
        loop {
            if buggify!("slow catch-up") {
                R::sleep(Duration::from_millis(300)).await;
            }
            if self.node.inner.visible.is_stopped() {
                return None;
            }
            self.tick_progress();
            let outputs = self.take(max_bytes);
            if !outputs.is_empty() {
                return Some(outputs);
            }
            if !self.catch_up() {
                self.wait().await;
            } else {
                yield_now().await;
            }
        }
    }

    fn take(&self, max_bytes: usize) -> Vec<WatchOutput> {
        let mut outputs = Vec::new();
        self.node.inner.visible.hub().take(self.id, max_bytes, &mut outputs);
        outputs
    }

    /// One step of the watchers that lag, outside the hub's lock. Whether there may be more to take.
    fn catch_up(&self) -> bool {
        let visible = &self.node.inner.visible;
        let step = {
            let mut hub = visible.hub();
            match hub.plan_catch_up(self.id) {
                Some(step) => step,
                None => return !hub.is_idle(self.id),
            }
        };
        let found = step.run();
        visible.hub().finish_catch_up(found);
        true
    }

    /// Waits until the stream is touched or its progress is due.
    async fn wait(&mut self) {
        match &mut self.progress {
            None => self.bell.notified().await,
            Some(progress) => {
                select(self.bell.notified(), progress.sleep.as_mut()).await;
            }
        }
    }

    /// Queues periodic progress if it is due (W18).
    fn tick_progress(&mut self) {
        let Some(progress) = &mut self.progress else { return };
        if R::now() >= progress.due {
            progress.rearm();
            self.node.inner.visible.hub().tick_progress(self.id);
        }
    }
}

/// W12: what a watcher is told that may not be.
fn not_permitted(error: Error) -> &'static str {
    match error {
        Error::InvalidAuthToken => "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token",
        Error::AuthOldRevision => {
            "rpc error: code = InvalidArgument desc = etcdserver: revision of auth store is old"
        }
        Error::UserEmpty => "rpc error: code = InvalidArgument desc = etcdserver: user name is empty",
        _ => "rpc error: code = PermissionDenied desc = etcdserver: permission denied",
    }
}

/// When a stream's watchers get their periodic progress. Each stream has an interval of its own, so
/// that not all of a member's streams speak at once.
struct Progress<R: Runtime> {
    interval: Duration,
    due: Instant,
    sleep: Pin<Box<R::Sleep>>,
}

impl<R: Runtime> Progress<R> {
    /// The interval is the configured one and up to a tenth more.
    fn new(interval_ms: u64) -> Self {
        let interval = Duration::from_millis(interval_ms.max(MIN_PROGRESS_INTERVAL_MS));
        let tenths = R::rng("watch progress").next_u32();
        let interval = interval + interval / 10 * (tenths >> 16) / (1 << 16);
        let due = R::now() + interval;
        Progress { interval, due, sleep: Box::pin(R::sleep_until(due)) }
    }

    fn rearm(&mut self) {
        self.due = R::now() + self.interval;
        self.sleep = Box::pin(R::sleep_until(self.due));
    }
}

impl<R: Runtime> Drop for WatchSession<R> {
    fn drop(&mut self) {
        self.node.inner.visible.close_session(self.id);
    }
}
