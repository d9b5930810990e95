//! Read indexes, coalesced: one quorum round serves all reads that waited when it began. A read
//! that arrives during a round waits for the next, because the round may have passed its moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openraft::ReadPolicy;

use super::engine::{Engine, Inner};
use super::propose::ProposeError;
use super::queue::{Queue, answer_all};
use crate::codec::peer::{Refusal, Reply, Request};
use crate::runtime::{Instant, Observation, Runtime, timeout};

/// Between attempts while no round succeeds.
const RETRY: Duration = Duration::from_millis(10);

type Answer = Result<Option<u64>, Refusal>;

/// Reads that wait for a round on this member, as leader or as follower.
pub(super) struct Rounds<R: Runtime> {
    /// Served by a quorum round of this member.
    local: Queue<(), Answer>,
    /// Served by asking the leader.
    forwarded: Queue<(), Answer>,
    /// Numbers the reads, for checks.
    begun: AtomicU64,
    world: std::marker::PhantomData<R>,
}

impl<R: Runtime> Rounds<R> {
    pub fn new() -> Self {
        Rounds {
            local: Queue::default(),
            forwarded: Queue::default(),
            begun: AtomicU64::new(0),
            world: std::marker::PhantomData,
        }
    }

    fn begin(&self) -> u64 {
        let read = self.begun.fetch_add(1, Ordering::Relaxed);
        R::observe(Observation::ReadBegan { read });
        read
    }
}

impl<R: Runtime> Engine<R> {
    /// The log index that a read which begins now must see applied; `None` for an empty log.
    /// Errors: NoLeader when no round succeeds before the deadline.
    pub async fn read_index(&self, deadline: Instant) -> Result<Option<u64>, ProposeError> {
        let read = self.inner.rounds.begin();
        let index = self.certified_index(deadline).await?;
        R::observe(Observation::ReadIndex { read, index });
        Ok(index)
    }

    async fn certified_index(&self, deadline: Instant) -> Result<Option<u64>, ProposeError> {
        let inner = &self.inner;
        if planted!(ReadIndexWithoutRound) {
            return Ok(inner.shared.applied.index());
        }
        loop {
            let receiver = match inner.leader() {
                Some(leader) if leader == inner.local.member_id => Some(inner.rounds.local.join(())),
                Some(_) => Some(inner.rounds.forwarded.join(())),
                None => None,
            };
            if let Some(receiver) = receiver {
                match timeout::<R, _>(deadline - R::now(), receiver).await {
                    Some(Ok(Ok(index))) => return Ok(index),
                    Some(Ok(Err(Refusal::Stopped))) if inner.is_stopped() => {
                        return Err(ProposeError::Stopped);
                    }
                    Some(_) => {}
                    None => return Err(ProposeError::NoLeader),
                }
            }
            if inner.is_stopped() {
                return Err(ProposeError::Stopped);
            }
            if R::now() + RETRY >= deadline {
                return Err(ProposeError::NoLeader);
            }
            R::sleep(RETRY).await;
        }
    }
}

impl<R: Runtime> Inner<R> {
    /// Joins the next local round; for reads that others forward here.
    pub async fn local_read_index(&self) -> Answer {
        self.rounds.local.join(()).await.unwrap_or(Err(Refusal::Stopped))
    }

    /// Runs local rounds for ever.
    pub async fn run_local_rounds(self: Arc<Self>) {
        loop {
            let waiting = self.rounds.local.take(usize::MAX).await;
            let policy = if planted!(LeaseRead) { ReadPolicy::LeaseRead } else { ReadPolicy::ReadIndex };
            let round = self.raft.get_read_log_id(policy);
            let answer = match timeout::<R, _>(self.election, round).await {
                Some(Ok((read_log_id, _))) => Ok(Some(read_log_id.index())),
                Some(Err(error)) if error.fatal().is_some() => Err(Refusal::Stopped),
                Some(Err(_)) | None => Err(Refusal::NotLeader),
            };
            answer_all(waiting, &answer);
        }
    }

    /// Asks the leader for rounds for ever.
    pub async fn run_forwarded_rounds(self: Arc<Self>) {
        loop {
            let waiting = self.rounds.forwarded.take(usize::MAX).await;
            let answer = match self.ask_leader(Request::ReadIndex).await {
                Some(Reply::ReadIndex(answer)) => answer,
                _ => Err(Refusal::NotLeader),
            };
            answer_all(waiting, &answer);
        }
    }
}
