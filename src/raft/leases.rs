//! The engine's part of leases: the way of keep-alives to the leader, the leader's running lease
//! clock, and what the keeper of leases needs to know of leadership.
//!
//! Keep-alives that wait are taken together into one entry, and answered once it is applied: so what
//! was answered survives the leader. A follower sends what waits there in one message.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use openraft::async_runtime::watch::WatchReceiver;

use super::engine::{Engine, Inner};
use super::propose::ProposeError;
use super::queue::{Queue, Waiting};
use crate::codec::peer::{Purpose, Refusal, Reply, Request};
use crate::runtime::channel::oneshot;
use crate::runtime::{Instant, Runtime, lock, timeout};
use crate::types::limits::MAX_TICK_RENEWALS;
use crate::types::{LeaseId, LogPosition};

/// Between attempts while no leader answers.
const RETRY: Duration = Duration::from_millis(10);
/// Questions about the clock that one message answers.
const MANY: usize = usize::MAX;

/// Answer to a keep-alive: the granted TTL in seconds, 0 for an unknown lease.
type Renewed = Result<i64, Refusal>;
/// Keep-alives that wait for this member's keeper.
pub type Renewals = Vec<Waiting<LeaseId, Renewed>>;

/// The lease clock as its leader sees it run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseClock {
    /// The term in which this member leads.
    pub term: u64,
    /// What the clock showed, in milliseconds...
    pub clock_ms: u64,
    /// ...at this moment of this member's own monotonic clock.
    pub at: Instant,
}

impl LeaseClock {
    /// What it shows at `now`.
    pub fn read(&self, now: Instant) -> u64 {
        let elapsed = u64::try_from((now - self.at).as_millis()).unwrap_or(u64::MAX);
        self.clock_ms.saturating_add(elapsed)
    }

    /// When it shows `clock_ms`; not before `at`.
    pub fn when(&self, clock_ms: u64) -> Instant {
        self.at + Duration::from_millis(clock_ms.saturating_sub(self.clock_ms))
    }
}

/// A moment at which the leader's clock was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseMoment {
    /// The state must be applied up to here to go with it; `None` for an empty log.
    pub index: Option<u64>,
    /// What the clock showed, in milliseconds.
    pub clock_ms: u64,
}

/// See the head of this file.
pub(super) struct Desk {
    /// Taken by this member's keeper while it leads.
    renewals: Queue<LeaseId, Renewed>,
    /// Sent to the leader.
    forwarded: Queue<LeaseId, Renewed>,
    moments: Queue<(), Result<LeaseMoment, Refusal>>,
    clock: Mutex<Option<LeaseClock>>,
}

impl Desk {
    pub fn new() -> Self {
        Desk {
            renewals: Queue::default(),
            forwarded: Queue::default(),
            moments: Queue::default(),
            clock: Mutex::new(None),
        }
    }
}

impl<R: Runtime> Engine<R> {
    /// Hands a keep-alive of lease `id` to whoever leads, once; `None` if that is not known or the member
    /// stops. The answer may be a refusal.
    pub fn ask_renewal(&self, id: LeaseId) -> Option<oneshot::Receiver<Renewed>> {
        let leader = self.inner.leader().filter(|_| !self.inner.is_stopped())?;
        let desk = &self.inner.desk;
        let is_own = leader == self.inner.local.member_id;
        Some(if is_own { desk.renewals.join(id) } else { desk.forwarded.join(id) })
    }

    /// Keeps lease `id` alive by the leader: its granted TTL in seconds, 0 if there is none such.
    /// Tried again until `deadline`, because twice is no more than once. Errors: NoLeader, Stopped.
    pub async fn renew(&self, id: LeaseId, deadline: Instant) -> Result<i64, ProposeError> {
        let desk = &self.inner.desk;
        let question = |is_leader: bool| -> BoxFuture<'_, Renewed> {
            let queue = if is_leader { &desk.renewals } else { &desk.forwarded };
            Box::pin(async move { queue.join(id).await.unwrap_or(Err(Refusal::NotLeader)) })
        };
        self.ask(deadline, question).await
    }

    /// The same for one that was handed over before and waits for its `answer`.
    pub async fn renew_asked(
        &self,
        answer: oneshot::Receiver<Renewed>,
        id: LeaseId,
        deadline: Instant,
    ) -> Result<i64, ProposeError> {
        match timeout::<R, _>(deadline - R::now(), answer).await {
            Some(Ok(Ok(ttl))) => Ok(ttl),
            Some(_) => self.renew(id, deadline).await,
            None => Err(ProposeError::NoLeader),
        }
    }

    /// Reads the leader's lease clock, certified by a quorum round. Errors: NoLeader, Stopped.
    pub async fn lease_moment(&self, deadline: Instant) -> Result<LeaseMoment, ProposeError> {
        let inner = &self.inner;
        let question = |is_leader: bool| -> BoxFuture<'_, Result<LeaseMoment, Refusal>> {
            Box::pin(async move {
                match is_leader {
                    true => inner.local_lease_moment().await,
                    false => inner.desk.moments.join(()).await.unwrap_or(Err(Refusal::NotLeader)),
                }
            })
        };
        self.ask(deadline, question).await
    }

    /// Asks whoever leads, here or there, until somebody answers.
    async fn ask<'a, T>(
        &'a self,
        deadline: Instant,
        question: impl Fn(bool) -> BoxFuture<'a, Result<T, Refusal>>,
    ) -> Result<T, ProposeError> {
        let inner = &self.inner;
        loop {
            // Nobody takes questions any more then.
            if inner.is_stopped() {
                return Err(ProposeError::Stopped);
            }
            if let Some(leader) = inner.leader() {
                let asked = question(leader == inner.local.member_id);
                match timeout::<R, _>(deadline - R::now(), asked).await {
                    Some(Ok(answer)) => return Ok(answer),
                    Some(Err(_)) => {}
                    None => return Err(ProposeError::NoLeader),
                }
            }
            if R::now() >= deadline {
                return Err(ProposeError::NoLeader);
            }
            R::sleep_until(deadline.min(R::now() + RETRY)).await;
        }
    }

    /// Waits until this member leads; returns the term.
    pub async fn leads(&self) -> u64 {
        let own = self.inner.local.member_id;
        let mut server = self.inner.server.clone();
        loop {
            let term = {
                let server = server.borrow_and_update();
                (server.current_leader == Some(own)).then_some(server.vote.leader_id.term)
            };
            match term {
                Some(term) => return term,
                None if server.changed().await.is_err() => std::future::pending().await,
                None => {}
            }
        }
    }

    /// Waits until this member does not lead `term` any more.
    pub async fn deposed(&self, term: u64) {
        let mut server = self.inner.server.clone();
        let own = self.inner.local.member_id;
        let gone = server
            .wait_until(|server| server.current_leader != Some(own) || server.vote.leader_id.term != term)
            .await;
        if gone.is_err() {
            // Raft has ended, and what it said last stays: who would look again would find the same.
            std::future::pending::<()>().await;
        }
    }

    /// Waits until [`Engine::stop`] was called.
    pub async fn stopped(&self) {
        let mut stopped = self.inner.stopped.subscribe();
        // The sender lives as long as the engine.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }

    /// Proposes what only a leader may, on this member alone. Errors: it does not lead.
    pub async fn propose_here(&self, envelope: Bytes) -> Result<LogPosition, Refusal> {
        self.inner.propose_here(envelope).await
    }

    /// Shows the running lease clock of this member, or that it has none because it does not lead.
    pub fn show_lease_clock(&self, clock: Option<LeaseClock>) {
        *lock(&self.inner.desk.clock) = clock;
    }

    /// What was shown last.
    pub fn lease_clock(&self) -> Option<LeaseClock> {
        *lock(&self.inner.desk.clock)
    }

    /// How many keep-alives wait for this member's keeper.
    pub fn waiting_renewals(&self) -> usize {
        self.inner.desk.renewals.len()
    }

    /// Completes when `enough` keep-alives wait for this member's keeper, or as many as one entry may hold.
    pub async fn renewals_wait(&self, enough: usize) {
        self.inner.desk.renewals.wait_for(enough.min(MAX_TICK_RENEWALS)).await;
    }

    /// Takes keep-alives that wait for this member's keeper, as many as one entry may hold.
    pub fn take_renewals(&self) -> Renewals {
        self.inner.desk.renewals.take_some(MAX_TICK_RENEWALS)
    }
}

impl<R: Runtime> Inner<R> {
    /// Keep-alives that another member sent: for each its granted TTL in seconds.
    pub async fn local_renew(&self, ids: Vec<LeaseId>) -> Result<Vec<i64>, Refusal> {
        if self.leader() != Some(self.local.member_id) {
            return Err(Refusal::NotLeader);
        }
        let asked = self.desk.renewals.join_all(ids);
        let mut ttls = Vec::with_capacity(asked.len());
        for answer in asked {
            ttls.push(answer.await.unwrap_or(Err(Refusal::NotLeader))?);
        }
        Ok(ttls)
    }

    /// The lease clock of this member, if a quorum says that it leads.
    pub async fn local_lease_moment(&self) -> Result<LeaseMoment, Refusal> {
        let index = self.local_read_index().await?;
        let term = self.server.borrow_watched().vote.leader_id.term;
        let clock = *lock(&self.desk.clock);
        let clock = clock.filter(|clock| clock.term == term);
        if planted!(TtlWithoutClock) && clock.is_none() {
            return Ok(LeaseMoment { index, clock_ms: 0 });
        }
        let clock = clock.ok_or(Refusal::NotLeader)?;
        let clock_ms = clock.read(R::now());
        if planted!(TtlElapsedTwice) {
            return Ok(LeaseMoment { index, clock_ms: clock_ms + (clock_ms - clock.clock_ms) });
        }
        Ok(LeaseMoment { index, clock_ms })
    }

    /// Sends keep-alives to the leader for ever.
    pub async fn run_forwarded_renewals(self: Arc<Self>) {
        loop {
            let waiting = self.desk.forwarded.take(MAX_TICK_RENEWALS).await;
            let ids: Vec<LeaseId> = waiting.iter().map(|(id, _)| *id).collect();
            let count = ids.len();
            let answer = match self.ask_leader(Request::LeaseKeepAlive(ids)).await {
                Some(Reply::LeaseKeepAlive(Ok(ttls))) if ttls.len() == count => Ok(ttls),
                Some(Reply::LeaseKeepAlive(Err(refusal))) => Err(refusal),
                _ => Err(Refusal::NotLeader),
            };
            for (at, (_, one)) in waiting.into_iter().enumerate() {
                // Whoever went away gave up at its deadline.
                let _ = one.send(answer.as_ref().map(|ttls| ttls[at]).map_err(|refusal| *refusal));
            }
        }
    }

    /// Asks the leader for its lease clock for ever.
    pub async fn run_forwarded_moments(self: Arc<Self>) {
        loop {
            let waiting = self.desk.moments.take(MANY).await;
            let answer = match self.ask_leader(Request::LeaseClock).await {
                Some(Reply::LeaseClock(answer)) => {
                    answer.map(|(index, clock_ms)| LeaseMoment { index, clock_ms })
                }
                _ => Err(Refusal::NotLeader),
            };
            super::queue::answer_all(waiting, &answer);
        }
    }

    /// One request to the leader, if it is another member and answers.
    pub async fn ask_leader(&self, request: Request) -> Option<Reply> {
        let leader = self.leader()?;
        let link = self.peers.link(leader, Purpose::Forward).ok()?;
        link.call::<R>(request, self.election).await.ok()
    }
}
