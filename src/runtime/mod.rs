//! The floor: the traits that production (`os/`, tokio) and simulation (`sim/src/world/`, madsim)
//! both implement, and the deterministic channels everything above uses.
//!
//! Laws (house section 4): nobody reads time, entropy, sockets, files or threads except through
//! these; selects are biased and their order is a decision; channels are bounded and wake in order
//! of waiting; no lock across an await; a failed sync is fatal to the node (reopen and recover,
//! never retry the sync); a broken connection says nothing about whether the last frame arrived.
//!
//! tokio appears here only as vocabulary (`sync` primitives and the I/O traits), which needs no
//! runtime and was measured to be deterministic; `tokio::sync::watch` and `tokio::select!` are not
//! and are banned.

mod catch;
pub mod channel;
mod clock;
mod disk;
mod lock;
#[cfg(any(test, planted))]
pub mod memory;
mod net;
mod observe;
mod race;
mod task;

pub use catch::{catch, is_caught};
pub use clock::{Instant, WallTime};
pub use disk::{BlockFile, Disk, File, OpenMode};
pub use lock::lock;
pub use net::{Listener, Net, Stream};
pub use observe::{LogFingerprint, Observation, Role};
pub use race::{Either, Select, Timeout, select, timeout};
pub use task::{AbortOnDrop, Task, TaskError};

use std::fmt::Debug;
use std::future::Future;
use std::task::Context;
use std::time::Duration;

use futures_util::future::BoxFuture;
use rand_chacha::ChaCha8Rng;

/// One world: where time, tasks, entropy, the network and the disk come from.
///
/// A zero-sized marker. Clock, Rng, Spawn and Observe are ambient (associated functions; the
/// simulator finds the current node by itself); Net and Disk are handles, because a node owns one
/// address and one directory and faults belong to a handle.
pub trait Runtime:
    Debug + Clone + Copy + Default + PartialEq + Eq + PartialOrd + Ord + Send + Sync + 'static
{
    /// The network a node is attached to.
    type Net: Net;
    /// One directory of durable storage.
    type Disk: Disk;
    /// A timer on the node's own monotonic clock.
    type Sleep: Future<Output = ()> + Send + Sync + 'static;

    /// The node's monotonic clock. May drift against other nodes; never goes back.
    fn now() -> Instant;

    /// The node's wall clock. For logs and status only, never for a decision: it may jump.
    fn wall() -> WallTime;

    /// Completes once `now() >= deadline`, on the node's own clock.
    fn sleep_until(deadline: Instant) -> Self::Sleep;

    /// Completes after `duration` on the node's own clock.
    fn sleep(duration: Duration) -> Self::Sleep {
        Self::sleep_until(Self::now() + duration)
    }

    /// Starts a task; the returned guard aborts it on drop. Use [`Runtime::spawn`].
    fn spawn_raw(name: &'static str, future: BoxFuture<'static, ()>) -> AbortOnDrop;

    /// Starts a task that runs to its end by itself. For hot paths: production needs no box for it.
    fn spawn_detached<F>(name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::spawn_raw(name, Box::pin(future)).detach();
    }

    /// Runs blocking work off the async threads (inline in simulation).
    fn spawn_blocking<T, F>(name: &'static str, work: F) -> Task<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static;

    /// Starts a named task whose result can be awaited and which is aborted when the [`Task`] drops.
    fn spawn<F>(name: &'static str, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let (sender, receiver) = channel::oneshot::channel();
        let guard = Self::spawn_raw(
            name,
            Box::pin(async move {
                // A receiver that went away means that nobody wants the result any more.
                let _ = sender.send(future.await);
            }),
        );
        Task::new(receiver, guard)
    }

    /// Wakes the task of `cx` again once everything else that can run had its turn, network and timers
    /// included. For work in steps that nobody waits for as urgently as for the rest.
    fn step_aside(cx: &mut Context<'_>) {
        cx.waker().wake_by_ref();
    }

    /// A new stream of random numbers for the concern `label`: entropy in production, a ChaCha
    /// stream of the seed, the node, its incarnation and the label in simulation.
    fn rng(label: &'static str) -> ChaCha8Rng;

    /// Whether anybody listens to [`Runtime::observe`]; lets hot paths skip building observations.
    fn observing() -> bool;

    /// Reports what matters for checks, traces and slow-request lines. Must not block.
    fn observe(observation: Observation);

    /// Ends the node at once and loudly: a broken invariant or a failed sync. In production the
    /// process exits with code 1 after printing `reason`; in simulation the node dies.
    fn crash(reason: &str) -> !;
}

/// [`Runtime::step_aside`] for one turn.
pub async fn step_aside<R: Runtime>() {
    let mut stepped = false;
    std::future::poll_fn(move |cx| {
        use std::task::Poll;
        if std::mem::replace(&mut stepped, true) {
            return Poll::Ready(());
        }
        R::step_aside(cx);
        Poll::Pending
    })
    .await
}

/// Lets other tasks of the thread run before this one goes on.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(move |cx| {
        use std::task::Poll;
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}
