//! Why time can end a stream.

use std::pin::Pin;
use std::time::Duration;

use crate::node::Node;
use crate::runtime::{Either, Instant, Runtime, select};
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
        let deadline = async {
            match &mut self.deadline {
                Some(sleep) => sleep.as_mut().await,
                None => std::future::pending().await,
            }
            Error::DeadlineExceeded
        };
        let leaderless = async {
            let Some(sleep) = &mut self.next_look else { return std::future::pending().await };
            while self.leaderless < LEADERLESS_ELECTIONS {
                sleep.as_mut().await;
                *sleep = Box::pin(R::sleep(look_interval(node)));
                self.leaderless = if node.has_leader() { 0 } else { self.leaderless + 1 };
            }
            Error::NoLeader
        };
        match select(deadline, leaderless).await {
            Either::First(error) | Either::Second(error) => error,
        }
    }
}

fn look_interval<R: Runtime>(node: &Node<R>) -> Duration {
    Duration::from_millis(node.config().election_timeout_ms)
}
