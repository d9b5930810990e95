//! One client's watch stream: it pulls from the hub, catching up from history on its own time.

use std::sync::Arc;

use super::Node;
use super::api::{WatchCreate, WatchFilter, WatchOutput};
use crate::runtime::Runtime;
use crate::runtime::channel::Notify;
use crate::types::KeyRange;
use crate::watch::{Create, Filters, Output, SessionId};

/// A watch stream of this member. Dropping it ends all its watchers.
pub struct WatchSession<R: Runtime> {
    node: Node<R>,
    id: SessionId,
    bell: Arc<Notify>,
}

impl<R: Runtime> Node<R> {
    /// Opens a watch stream.
    pub fn watch_session(&self) -> WatchSession<R> {
        let (id, bell) = self.inner.visible.open_session();
        WatchSession { node: self.clone(), id, bell }
    }
}

impl<R: Runtime> WatchSession<R> {
    /// Registers a watcher; the answer comes from [`WatchSession::next`].
    pub fn create(&self, request: WatchCreate) {
        let from_start = request.range.key.is_empty();
        let range = if from_start {
            KeyRange { key: bytes::Bytes::from_static(&[0]), range_end: request.range.range_end }
        } else {
            request.range
        };
        let filters = Filters {
            no_put: request.filters.contains(&WatchFilter::NoPut),
            no_delete: request.filters.contains(&WatchFilter::NoDelete),
        };
        let create = Create {
            range,
            start_revision: request.start_revision,
            watch_id: request.watch_id,
            filters,
            prev_kv: request.prev_kv,
            progress_notify: request.progress_notify,
            fragment: request.fragment,
        };
        self.node.inner.visible.hub().create(self.id, create);
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

    /// What the client gets next; `None` once the node stops.
    pub async fn next(&self) -> Option<WatchOutput> {
        loop {
            if buggify!("slow catch-up") {
                R::sleep(std::time::Duration::from_millis(300)).await;
            }
            if let Some(output) = self.poll() {
                return Some(output);
            }
            if self.node.inner.visible.is_stopped() {
                return None;
            }
            self.bell.notified().await;
        }
    }

    /// Takes what is queued, running catch-up steps as long as they are due. Large steps run
    /// outside the hub's lock.
    fn poll(&self) -> Option<WatchOutput> {
        let visible = &self.node.inner.visible;
        loop {
            let step = {
                let mut hub = visible.hub();
                if let Some(output) = hub.take(self.id) {
                    return Some(translate(output));
                }
                match hub.plan_catch_up(self.id) {
                    Some(step) => step,
                    None if hub.is_idle(self.id) => return None,
                    None => continue,
                }
            };
            let found = step.run();
            visible.hub().finish_catch_up(found);
        }
    }
}

impl<R: Runtime> Drop for WatchSession<R> {
    fn drop(&mut self) {
        self.node.inner.visible.close_session(self.id);
    }
}

fn translate(output: Output) -> WatchOutput {
    match output {
        Output::Created { watch_id, revision } => {
            WatchOutput { watch_id, header_revision: revision, created: true, ..WatchOutput::default() }
        }
        Output::Refused { revision, reason } => WatchOutput {
            watch_id: -1,
            header_revision: revision,
            created: true,
            canceled: true,
            cancel_reason: reason.to_string(),
            ..WatchOutput::default()
        },
        Output::Events { watch_id, revision, events, fragment } => {
            WatchOutput { watch_id, header_revision: revision, events, fragment, ..WatchOutput::default() }
        }
        Output::Canceled { watch_id, revision, compact_revision } => WatchOutput {
            watch_id,
            header_revision: revision,
            canceled: true,
            compact_revision,
            ..WatchOutput::default()
        },
        Output::Progress { watch_id, revision } => {
            WatchOutput { watch_id, header_revision: revision, ..WatchOutput::default() }
        }
    }
}
