//! The keeper of leases: while this member leads, it moves the replicated lease clock by ticks.
//!
//! A tick carries what the clock shows by this member's monotonic clock and the keep-alives that
//! wait. Applying it settles new grants, renews, and ends what is due. One is in flight at a time:
//! - for keep-alives that wait: once there are as many as the last tick carried and met when it was
//!   applied, or 2 ms after the keeper looked. They are answered when it is applied, and so are durable;
//! - soon after a grant, and when a lease is due or has to be moved to its deadline;
//! - every 250 ms while other entries are logged, every 750 ms when none is: what passed since the
//!   last tick is lost with the leader, and lengthens leases;
//! - none without leases.
//!
//! A new leader first applies all that was committed before it, then lets the clock run from where
//! the last tick left it. So the clock stands still while nobody leads, and no lease is shortened.

use std::convert::Infallible;
use std::time::Duration;

use super::super::Node;
use super::super::api::RequestContext;
use crate::codec::peer::Refusal;
use crate::lease::Leases;
use crate::raft::{LeaseClock, Renewals};
use crate::runtime::{Either, Instant, Runtime, select};
use crate::types::{Command, Error, LeaseId, LeaseTick, Response};

/// Between ticks while other entries are logged.
const BUSY: Duration = Duration::from_millis(250);
/// Between ticks while none are.
const IDLE: Duration = Duration::from_millis(750);
/// Between ticks that settle grants, or end or move leases.
const SOON: Duration = Duration::from_millis(100);
/// How long the keeper waits for more keep-alives to share a tick, once some are there.
const GATHER: Duration = Duration::from_millis(2);
/// Between attempts when Raft does not take a proposal.
const RETRY: Duration = Duration::from_millis(10);

/// Keeps leases whenever this member leads, until it stops.
pub(in crate::node) async fn keep<R: Runtime>(node: Node<R>) {
    let engine = &node.inner.engine;
    let keeping = async {
        loop {
            let term = wait_to_lead(&node).await;
            let deposed = async {
                match planted!(DeposedLeaderTicks) {
                    true => std::future::pending().await,
                    false => engine.deposed(term).await,
                }
            };
            select(deposed, reign(&node, term)).await;
            if !planted!(ClockRunsOn) {
                engine.show_lease_clock(None);
            }
        }
    };
    let _: Either<(), Infallible> = select(engine.stopped(), keeping).await;
    refuse(engine.take_renewals(), Refusal::Stopped);
}

/// Waits until this member leads; returns the term. Keep-alives that come meanwhile are refused.
async fn wait_to_lead<R: Runtime>(node: &Node<R>) -> u64 {
    let engine = &node.inner.engine;
    let refusing = async {
        loop {
            engine.renewals_wait(1).await;
            refuse(engine.take_renewals(), Refusal::NotLeader);
        }
    };
    let either: Either<u64, Infallible> = select(engine.leads(), refusing).await;
    match either {
        Either::First(term) => term,
        Either::Second(never) => match never {},
    }
}

/// Makes ticks for as long as it is polled: while this member leads `term`.
async fn reign<R: Runtime>(node: &Node<R>, term: u64) -> Infallible {
    let engine = &node.inner.engine;
    let mut pace = Pace { clock: begin(node, term).await, last: None, applied: None };
    let mut enough = 1;
    engine.show_lease_clock(Some(pace.clock));
    let wall = planted!(LeaseWallClock).then(R::wall);
    loop {
        let renewals = gather(node, enough).await;
        let (now, view, applied) = (R::now(), node.view(), engine.status().applied_index);
        let next = pace.next(view.leases(), applied, now);
        let is_due = next.is_some_and(|next| next.send <= now);
        if renewals.is_empty() && !is_due {
            wait(node, next.map(|next| next.look), view.leases().has_fresh()).await;
            continue;
        }
        drop(view);
        pace.last = Some(now);
        let mut renewed: Vec<LeaseId> = renewals.iter().map(|(id, _)| *id).collect();
        if planted!(NewLeaderRenewsAll) && pace.applied.is_none() {
            renewed.extend(node.view().leases().iter().map(|(id, _)| id));
        }
        let mut clock_ms = pace.clock.read(R::now());
        if let Some(wall) = wall {
            clock_ms = pace.clock.clock_ms + u64::try_from((R::wall().0 - wall.0) / 1_000_000).unwrap_or(0);
        }
        let count = renewed.len();
        let tick = LeaseTick { term, clock_ms, renewed };
        match node.propose_as_leader(Command::LeaseTick(tick)).await.and_then(|applied| applied.response) {
            Ok(Response::LeaseTick(response)) => answer(renewals, &response.ttls),
            Ok(_) | Err(Error::Stopped) => refuse(renewals, Refusal::Stopped),
            Err(_) => {
                refuse(renewals, Refusal::NotLeader);
                R::sleep(RETRY).await;
            }
        }
        // Who was answered may ask again at once, as those do who ask all the time.
        enough = count + engine.waiting_renewals();
        pace.applied = engine.status().applied_index;
    }
}

/// Takes the keep-alives that wait, once `enough` do or [`GATHER`] is over. None if none waits.
async fn gather<R: Runtime>(node: &Node<R>, enough: usize) -> Renewals {
    let engine = &node.inner.engine;
    if engine.waiting_renewals() > 0 {
        select(engine.renewals_wait(enough), R::sleep(GATHER)).await;
    }
    engine.take_renewals()
}

/// The clock goes on from where the last tick before this term left it.
async fn begin<R: Runtime>(node: &Node<R>, term: u64) -> LeaseClock {
    loop {
        if let Ok(view) = node.read_barrier(RequestContext::default()).await {
            if planted!(ClockRunsOn)
                && let Some(old) = node.inner.engine.lease_clock()
            {
                return LeaseClock { term, ..old };
            }
            return LeaseClock { term, clock_ms: view.leases().clock(), at: R::now() };
        }
        R::sleep(RETRY).await;
    }
}

/// Waits for a keep-alive, for the first grant to settle unless there is one, or until `look`.
async fn wait<R: Runtime>(node: &Node<R>, look: Option<Instant>, has_fresh: bool) {
    let granted = async {
        match has_fresh {
            true => std::future::pending().await,
            false => node.inner.granted.notified().await,
        }
    };
    let time = async {
        match look {
            Some(look) => R::sleep_until(look).await,
            None => std::future::pending().await,
        }
    };
    select(node.inner.engine.renewals_wait(1), select(granted, time)).await;
}

/// When ticks are made.
struct Pace {
    clock: LeaseClock,
    /// When the last one was made.
    last: Option<Instant>,
    /// How far this member had applied right after it.
    applied: Option<u64>,
}

/// What is next.
#[derive(Clone, Copy)]
struct Next {
    /// When a tick is due, as things stand.
    send: Instant,
    /// When to look again, at the latest.
    look: Instant,
}

impl Pace {
    /// `None` while there are no leases.
    fn next(&self, leases: &Leases, applied: Option<u64>, now: Instant) -> Option<Next> {
        if leases.is_empty() {
            return None;
        }
        let Some(last) = self.last else { return Some(Next { send: now, look: now }) };
        let is_busy = applied != self.applied;
        let mut send = last + if is_busy { BUSY } else { IDLE };
        if planted!(NoIdleTicks) {
            send = last + Duration::from_secs(3600);
        }
        if leases.has_fresh() {
            send = send.min(last + SOON);
        }
        match leases.next_look() {
            Some(at) if at <= leases.clock() => send = now,
            Some(at) => send = send.min(self.clock.when(at).max(last + SOON)),
            None => {}
        }
        Some(Next { send, look: send.min(now + BUSY) })
    }
}

fn answer(renewals: Renewals, ttls: &[i64]) {
    for ((_, one), ttl) in renewals.into_iter().zip(ttls) {
        // Whoever went away gave up at its deadline.
        let _ = one.send(Ok(*ttl));
    }
}

fn refuse(renewals: Renewals, refusal: Refusal) {
    for (_, one) in renewals {
        let _ = one.send(Err(refusal));
    }
}
