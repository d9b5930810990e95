//! The way in for reads: a read index if the read is linearizable, then a view.

use std::time::Duration;

use super::Node;
use super::api::{Header, RequestContext};
use crate::runtime::{Instant, Runtime, timeout};
use crate::state::View;
use crate::types::limits::request_timeout_ms;
use crate::types::{Error, RangeRequest, RangeResponse, RequestOp, TxnRequest, TxnResponse};

/// Between looks at how far the removal of compacted records got.
const REMOVAL_POLL: Duration = Duration::from_millis(10);

/// Whether a transaction is answered as a read: its branches hold only ranges (T8).
pub(super) fn is_read_only(request: &TxnRequest) -> bool {
    ops(request).all(|op| matches!(op, RequestOp::Range(_)))
}

/// Whether a read-only transaction needs no quorum round: all its ranges say so (T9).
fn is_serializable(request: &TxnRequest) -> bool {
    ops(request).all(|op| matches!(op, RequestOp::Range(range) if range.serializable))
}

/// Whether it reads more than single keys, which may take long.
fn has_ranges(request: &TxnRequest) -> bool {
    ops(request).any(|op| matches!(op, RequestOp::Range(range) if !range.range.is_single()))
}

fn ops(request: &TxnRequest) -> impl Iterator<Item = &RequestOp> {
    request.success.iter().chain(&request.failure)
}

impl<R: Runtime> Node<R> {
    /// KV.Range (R18–R20).
    pub async fn range(
        &self,
        request: RangeRequest,
        context: RequestContext,
    ) -> Result<(RangeResponse, Header), Error> {
        let view = self.view_for(request.serializable, context).await?;
        view.permit_range(context.login, &request.range)?;
        let response = view.range(&request)?;
        Ok((response, self.header(view.revision())))
    }

    /// A read-only transaction.
    pub(super) async fn read_txn(
        &self,
        request: TxnRequest,
        context: RequestContext,
    ) -> Result<(TxnResponse, Header), Error> {
        let view = self.view_for(is_serializable(&request), context).await?;
        view.permit_txn(context.login, &request)?;
        let response = if has_ranges(&request) {
            let view = view.clone();
            let reading = R::spawn_blocking("read txn", move || view.txn(&request));
            reading.await.map_err(|_| Error::Stopped)??
        } else {
            view.txn(&request)?
        };
        Ok((response, self.header(view.revision())))
    }

    /// The newest published state of this member, possibly stale.
    pub fn view(&self) -> View {
        self.inner.visible.view()
    }

    /// Waits until this member has applied everything that was committed when the call began.
    ///
    /// Errors: Timeout, DeadlineExceeded, LeaderChanged.
    pub async fn read_barrier(&self, context: RequestContext) -> Result<View, Error> {
        let deadline = self.deadline(context);
        let barrier = async {
            let index = self.inner.engine.read_index(deadline).await?;
            match index {
                Some(index) => self.inner.engine.wait_applied(index, deadline).await,
                None => Ok(()),
            }
        };
        match timeout::<R, _>(deadline - R::now(), barrier).await {
            Some(Ok(())) => Ok(self.view()),
            Some(Err(crate::raft::ProposeError::Stopped)) => Err(Error::Stopped),
            Some(Err(_)) | None => Err(self.timed_out(context)),
        }
    }

    /// The view that answers a read (R18, R19).
    pub(super) async fn view_for(&self, serializable: bool, context: RequestContext) -> Result<View, Error> {
        if serializable { Ok(self.view()) } else { self.read_barrier(context).await }
    }

    /// Waits until no compacted record is left in this member's memory (C3): as long as that takes,
    /// unless the client set a deadline. Errors: DeadlineExceeded; the compaction itself is done.
    pub(super) async fn wait_removed(&self, context: RequestContext) -> Result<(), Error> {
        while self.inner.engine.is_removing() {
            if context.deadline.is_some_and(|deadline| R::now() >= deadline) {
                return Err(Error::DeadlineExceeded);
            }
            R::sleep(REMOVAL_POLL).await;
        }
        Ok(())
    }

    /// When a request must be over: the client's deadline or etcd's request time-out (#49).
    pub(super) fn deadline(&self, context: RequestContext) -> Instant {
        let own = R::now() + Duration::from_millis(request_timeout_ms(self.inner.config.election_timeout_ms));
        context.deadline.map_or(own, |deadline| deadline.min(own))
    }

    /// What a request is told whose time ran out.
    pub(super) fn timed_out(&self, context: RequestContext) -> Error {
        match context.deadline {
            Some(deadline) if R::now() >= deadline => Error::DeadlineExceeded,
            _ => Error::Timeout,
        }
    }
}
