//! One stream of keep-alives: served side by side, answered in the order in which they came.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesOrdered, StreamExt};

use super::super::Node;
use super::super::api::{Header, RequestContext};
use crate::codec::peer::Refusal;
use crate::runtime::channel::oneshot;
use crate::runtime::{Instant, Runtime};
use crate::types::{Error, LeaseId};

/// One answer: the lease's granted TTL in seconds, 0 if there is no such lease.
#[derive(Clone, Copy, Debug)]
pub struct KeptAlive {
    /// The lease that was asked about.
    pub id: LeaseId,
    /// Seconds.
    pub ttl: i64,
    /// As it was when the question came.
    pub header: Header,
}

/// What every message of a stream has in common.
pub struct KeepAliveSession<R: Runtime> {
    node: Node<R>,
    context: RequestContext,
    /// Looked at anew for every message.
    token: Option<Arc<str>>,
    /// Questions that may need more than one step. All are older than those in `plain`.
    slow: FuturesOrdered<BoxFuture<'static, Result<KeptAlive, Error>>>,
    /// Questions that were handed over once, which is all that most of them need: no box and no timer
    /// of their own.
    plain: VecDeque<Plain>,
    /// Runs until the oldest of `plain` may be out of time.
    timer: Option<Pin<Box<R::Sleep>>>,
}

/// A question that was handed over.
struct Plain {
    id: LeaseId,
    header: Header,
    deadline: Instant,
    answer: oneshot::Receiver<Result<i64, Refusal>>,
}

impl<R: Runtime> Node<R> {
    /// Opens a stream of Lease.LeaseKeepAlive (L5) for whom `token` names.
    pub fn keep_alive_session(
        &self,
        context: RequestContext,
        token: Option<Arc<str>>,
    ) -> KeepAliveSession<R> {
        KeepAliveSession {
            node: self.clone(),
            context,
            token,
            slow: FuturesOrdered::new(),
            plain: VecDeque::new(),
            timer: None,
        }
    }
}

impl<R: Runtime> KeepAliveSession<R> {
    /// Messages that wait for their answers.
    pub fn len(&self) -> usize {
        self.slow.len() + self.plain.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes one message.
    pub fn ask(&mut self, id: LeaseId) {
        if self.token.is_none()
            && let Some(revision) = self.node.unchecked_revision()
            && let Some(answer) = self.node.inner.engine.ask_renewal(id)
        {
            let header = self.node.header(revision);
            self.plain.push_back(Plain { id, header, deadline: self.node.deadline(self.context), answer });
            return;
        }
        self.slow_down();
        let (node, mut context, token) = (self.node.clone(), self.context, self.token.clone());
        self.slow.push_back(Box::pin(async move {
            if let Some(token) = token {
                context.login = node.identify(&token, context).await?;
            }
            let (ttl, header) = node.lease_keep_alive(id, context).await?;
            Ok(KeptAlive { id, ttl, header })
        }));
    }

    /// The next answer. Pending also while nothing was asked. Errors: as those of
    /// [`Node::lease_keep_alive`]; InvalidAuthToken (A5).
    pub fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<KeptAlive, Error>> {
        loop {
            if !self.slow.is_empty() {
                return match ready!(self.slow.poll_next_unpin(cx)) {
                    Some(answer) => Poll::Ready(answer),
                    None => Poll::Pending,
                };
            }
            let Some(oldest) = self.plain.front_mut() else { return Poll::Pending };
            match Pin::new(&mut oldest.answer).poll(cx) {
                Poll::Ready(Ok(Ok(ttl))) => {
                    let answer = KeptAlive { id: oldest.id, ttl, header: oldest.header };
                    self.plain.pop_front();
                    return Poll::Ready(Ok(answer));
                }
                Poll::Ready(_) => {
                    // Nobody answers this one a second time: it is asked anew at once.
                    oldest.answer = oneshot::channel().1;
                    self.slow_down();
                }
                Poll::Pending => return self.poll_timer(cx).map(Err),
            }
        }
    }

    /// Whoever was asked does not answer any more: each question that waits is asked until its deadline.
    /// Twice is no more than once.
    fn slow_down(&mut self) {
        for Plain { id, header, deadline, answer } in self.plain.drain(..) {
            let (node, context) = (self.node.clone(), self.context);
            self.slow.push_back(Box::pin(async move {
                let renewed = node.inner.engine.renew_asked(answer, id, deadline).await;
                let ttl = renewed.map_err(|error| node.lease_error(error, context))?;
                Ok(KeptAlive { id, ttl, header })
            }));
        }
        self.timer = None;
    }

    /// Completes when the oldest question in `plain` ran out of time; the later ones have later
    /// deadlines.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        while let Some(oldest) = self.plain.front() {
            let deadline = oldest.deadline;
            let timer = self.timer.get_or_insert_with(|| Box::pin(R::sleep_until(deadline)));
            ready!(timer.as_mut().poll(cx));
            self.timer = None;
            if R::now() >= deadline {
                self.plain.pop_front();
                return Poll::Ready(self.node.timed_out(self.context));
            }
        }
        Poll::Pending
    }
}
