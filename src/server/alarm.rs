//! Why time can end a stream.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::node::Node;
use crate::runtime::{Instant, Runtime};
use crate::types::Error;

/// A stream that requires a leader ends after this many election time-outs without one (M1).
const LEADERLESS_ELECTIONS: u32 = 3;

/// The client's deadline, or no leader for too long.
pub(super) struct Alarm<R: Runtime> {
    deadline: Option<Pin<Box<R::Sleep>>>,
    /// The next look at whether there is a leader, if the client requires one.
    next_look: Option<Pin<Box<R::Sleep>>>,
    leaderless: u32,
}

impl<R: Runtime> Alarm<R> {
    pub fn new(node: &Node<R>, deadline: Option<Instant>, requires_leader: bool) -> Self {
        Alarm {
            deadline: deadline.map(|deadline| Box::pin(R::sleep_until(deadline))),
            next_look: requires_leader.then(|| Box::pin(R::sleep(look_interval(node)))),
            leaderless: 0,
        }
    }

    /// Completes when the stream must end. May be dropped and called again.
    pub async fn rings(&mut self, node: &Node<R>) -> Error {
        poll_fn(|cx| self.poll_rings(node, cx)).await
    }

    /// The same, polled.
    pub fn poll_rings(&mut self, node: &Node<R>, cx: &mut Context<'_>) -> Poll<Error> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Error::DeadlineExceeded);
        }
        let Some(next_look) = &mut self.next_look else { return Poll::Pending };
        while self.leaderless < LEADERLESS_ELECTIONS {
            ready!(next_look.as_mut().poll(cx));
            *next_look = Box::pin(R::sleep(look_interval(node)));
            self.leaderless = if node.has_leader() { 0 } else { self.leaderless + 1 };
        }
        Poll::Ready(Error::NoLeader)
    }
}

fn look_interval<R: Runtime>(node: &Node<R>) -> Duration {
    Duration::from_millis(node.config().election_timeout_ms)
}
