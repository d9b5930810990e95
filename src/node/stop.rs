//! Graceful stop, in the order of docs/OPERATIONS.md: the doors have already refused new streams;
//! hand leadership over, drain proposals and queues, end watches, stop Raft (which syncs the log and
//! saves a checkpoint), unlock.

use std::sync::Arc;
use std::time::Duration;

use super::Node;
use crate::runtime::Runtime;

/// How long proposals and clients in queues may take to drain.
const DRAIN: Duration = Duration::from_secs(5);
/// How long a hand-over of leadership may take.
const HAND_OVER: Duration = Duration::from_secs(2);
/// Between looks at what still waits.
const POLL: Duration = Duration::from_millis(1);

impl<R: Runtime> Node<R> {
    /// Whether a stop has begun.
    pub fn is_stopping(&self) -> bool {
        *self.inner.stopping.borrow()
    }

    /// Completes once a stop has begun.
    pub async fn stopping(&self) {
        let mut stopping = self.inner.stopping.subscribe();
        // The sender lives as long as this handle.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }

    /// Whether no proposal waits and no client is in a queue.
    fn is_drained(&self) -> bool {
        self.inner.visible.pending().len() == 0 && Arc::strong_count(&self.inner.queued) == 1
    }

    /// Stops the member. Later requests fail with Stopped; calling it again does nothing more.
    pub async fn stop(&self) {
        if self.inner.stopping.send_if_modified(|stopping| !std::mem::replace(stopping, true)) {
            let _ = crate::runtime::timeout::<R, _>(HAND_OVER, self.inner.engine.hand_over()).await;
            let until = R::now() + DRAIN;
            while !self.is_drained() && R::now() < until {
                R::sleep(POLL).await;
            }
            self.inner.visible.stop();
            self.inner.engine.stop().await;
        }
    }
}
