//! [`SimRuntime`]: the floor's traits in this world. It finds the calling node by itself.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use etched::runtime::channel::oneshot;
use etched::runtime::{AbortOnDrop, Instant, Observation, Runtime, Task, WallTime};
use futures_util::future::BoxFuture;
use rand_chacha::ChaCha8Rng;

use super::node::{crash, place, spawn_here};
use super::timers::Key;
use super::{Inner, SimDisk, SimNet, lock, streams};

/// The simulated world as a [`Runtime`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SimRuntime;

thread_local! {
    /// What the blocking work that runs now owes in true time.
    static CHARGED_NS: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Charges the delay of a synchronous disk operation to the blocking work around it.
pub(super) fn charge(ns: u64) {
    if let Some(charged) = CHARGED_NS.get() {
        CHARGED_NS.set(Some(charged + ns));
    }
}

impl Runtime for SimRuntime {
    type Net = SimNet;
    type Disk = SimDisk;
    type Sleep = SimSleep;

    fn now() -> Instant {
        Inner::with_current(|inner| Instant(inner.local_now(place().node)))
    }

    fn wall() -> WallTime {
        Inner::with_current(|inner| {
            let now = inner.true_now();
            WallTime(inner.timers().clock(place().node).wall(now))
        })
    }

    fn sleep_until(deadline: Instant) -> SimSleep {
        SimSleep::new(Inner::current(), place().node, deadline.0)
    }

    fn spawn_raw(_name: &'static str, future: BoxFuture<'static, ()>) -> AbortOnDrop {
        spawn_here(&Inner::current(), future)
    }

    fn spawn_blocking<T, F>(_name: &'static str, work: F) -> Task<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let inner = Inner::current();
        let (sender, receiver) = oneshot::channel();
        let task = async move {
            CHARGED_NS.set(Some(0));
            let value = work();
            let charged = CHARGED_NS.take().unwrap_or(0);
            Inner::current().sleep_true(charged).await;
            // A receiver that went away means that nobody wants the result any more.
            let _ = sender.send(value);
        };
        // As on a real thread, blocking work goes on when its handle is dropped.
        spawn_here(&inner, Box::pin(task)).detach();
        Task::from_parts(receiver, AbortOnDrop::new(|| ()))
    }

    fn rng(label: &'static str) -> ChaCha8Rng {
        Inner::with_current(|inner| {
            let place = place();
            let mut draws = lock(&inner.draws);
            let key = (place.node, place.incarnation, streams::label_hash(label));
            let counter = draws.entry(key).or_insert(0);
            *counter += 1;
            streams::chacha(inner.seed, label, place.node, place.incarnation, *counter)
        })
    }

    fn observing() -> bool {
        true
    }

    fn observe(observation: Observation) {
        Inner::current().observe(place(), observation);
    }

    fn crash(reason: &str) -> ! {
        crash(&Inner::current(), reason)
    }
}

/// A timer on one node's own clock. Holds one entry however often it is polled, and removes it
/// when dropped.
pub struct SimSleep {
    inner: Arc<Inner>,
    node: u32,
    deadline_ns: u64,
    key: Option<Key>,
}

impl SimSleep {
    pub(super) fn new(inner: Arc<Inner>, node: u32, deadline_ns: u64) -> SimSleep {
        SimSleep { inner, node, deadline_ns, key: None }
    }
}

impl std::fmt::Debug for SimSleep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SimSleep(n{} until {} ns)", self.node, self.deadline_ns)
    }
}

impl Future for SimSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = &mut *self;
        let mut timers = sleep.inner.timers();
        if timers.local_now(sleep.node) >= sleep.deadline_ns {
            return Poll::Ready(());
        }
        match sleep.key {
            Some(key) => timers.update_sleeper(sleep.node, key, cx.waker()),
            None => {
                sleep.key = Some(timers.add_sleeper(sleep.node, sleep.deadline_ns, cx.waker().clone()));
            }
        }
        Poll::Pending
    }
}

impl Drop for SimSleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let waker = self.inner.timers().remove_sleeper(self.node, key);
            drop(waker);
        }
    }
}
