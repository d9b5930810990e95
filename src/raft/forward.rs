//! Proposals on their way to another member that leads: all that wait go in one request, and
//! requests do not wait for each other.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use super::engine::Inner;
use super::peer::LinkError;
use crate::codec::peer::{Purpose, Refusal, Reply, Request};
use crate::runtime::channel::{Notify, oneshot};
use crate::runtime::{Either, Runtime, lock, select};
use crate::types::LogPosition;

/// Bytes of proposals after which a request takes no more.
const REQUEST_BYTES: usize = 1024 * 1024;
/// How long a request may be on its way. Those who wait in it give up at their own deadlines.
const PATIENCE: Duration = Duration::from_secs(10);

type Answer = Result<LogPosition, Refusal>;

struct Waiting {
    leader: u64,
    envelope: Bytes,
    answer: oneshot::Sender<Answer>,
}

/// Proposals that wait for the next request. Bounded by the proposals that a member takes.
#[derive(Default)]
pub(super) struct Forwards {
    waiting: Mutex<Vec<Waiting>>,
    bell: Notify,
}

impl Forwards {
    fn lock(&self) -> MutexGuard<'_, Vec<Waiting>> {
        lock(&self.waiting)
    }

    /// Sends `envelope` to `leader` with the next request.
    pub fn join(&self, leader: u64, envelope: Bytes) -> oneshot::Receiver<Answer> {
        let (answer, receiver) = oneshot::channel();
        self.lock().push(Waiting { leader, envelope, answer });
        self.bell.notify_one();
        receiver
    }

    /// What the next request to one leader holds; waits until there is something.
    async fn take(&self) -> Vec<Waiting> {
        loop {
            if let Some(taken) = self.take_now() {
                return taken;
            }
            self.bell.notified().await;
        }
    }

    fn take_now(&self) -> Option<Vec<Waiting>> {
        let mut waiting = self.lock();
        let leader = waiting.first()?.leader;
        let mut bytes = 0;
        let fits = |one: &&Waiting| {
            let goes = bytes < REQUEST_BYTES && one.leader == leader;
            bytes += one.envelope.len();
            goes
        };
        let count = waiting.iter().take_while(fits).count();
        let rest = waiting.split_off(count);
        Some(std::mem::replace(&mut *waiting, rest))
    }
}

impl<R: Runtime> Inner<R> {
    /// Forwards what waits, for ever.
    pub async fn run_forwards(self: Arc<Self>) {
        let mut under_way: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
        loop {
            let ended = async {
                if under_way.next().await.is_none() {
                    std::future::pending::<()>().await;
                }
            };
            if let Either::First(batch) = select(self.forwards.take(), ended).await {
                under_way.push(Box::pin(self.clone().forward(batch)));
            }
        }
    }

    async fn forward(self: Arc<Self>, batch: Vec<Waiting>) {
        let leader = batch.first().map_or(0, |one| one.leader);
        let (envelopes, waiting): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|one| (one.envelope, one.answer)).unzip();
        let reply = match self.peers.link(leader, Purpose::Forward) {
            Ok(link) => link.call::<R>(Request::Forward(envelopes), PATIENCE).await,
            Err(error) => Err(error),
        };
        let (mut answers, rest) = match reply {
            Ok(Reply::Forwarded(answers)) => (answers.into_iter(), Refusal::Unknown),
            Ok(_) | Err(LinkError::Broken(_)) => (Vec::new().into_iter(), Refusal::Unknown),
            Err(LinkError::Unreachable(_)) => (Vec::new().into_iter(), Refusal::NotLeader),
        };
        for one in waiting {
            // Whoever went away gave up at its deadline, or saw its own apply first.
            let _ = one.send(answers.next().unwrap_or(Err(rest)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_holds_what_goes_to_one_leader_and_is_bounded() {
        let forwards = Forwards::default();
        let large = Bytes::from(vec![0; REQUEST_BYTES]);
        for (leader, envelope) in [(1, Bytes::new()), (1, large.clone()), (1, Bytes::new()), (2, large)] {
            drop(forwards.join(leader, envelope));
        }
        let sizes = std::iter::from_fn(|| forwards.take_now().map(|taken| taken.len()));
        assert_eq!(sizes.collect::<Vec<_>>(), [2, 1, 1]);
    }
}
