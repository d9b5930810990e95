//! openraft's runtime over ours: tasks, timers and channels of whichever world we are in.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use openraft_rt::{AsyncRuntime, OptionalSend};

use super::channels::{Channels, Mutex};
use crate::runtime::channel::oneshot as our_oneshot;
use crate::runtime::{self, Runtime, Task, TaskError};

/// The adapter; a type-level name only.
#[derive(Debug)]
pub struct RaftRuntime<R>(PhantomData<R>);

/// A task of openraft: it goes on when its handle drops.
pub struct JoinHandle<T>(Option<our_oneshot::Receiver<T>>);

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, TaskError>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Some(receiver) => Pin::new(receiver).poll(cx).map(|result| result.map_err(|_| TaskError)),
            None => Poll::Ready(Err(TaskError)),
        }
    }
}

/// A future with a deadline; the future is polled first.
pub struct Timeout<S, F> {
    future: Pin<Box<F>>,
    sleep: Pin<Box<S>>,
}

impl<S: Future<Output = ()>, F: Future> Future for Timeout<S, F> {
    type Output = Result<F::Output, Elapsed>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(value) = self.future.as_mut().poll(cx) {
            return Poll::Ready(Ok(value));
        }
        self.sleep.as_mut().poll(cx).map(|()| Err(Elapsed))
    }
}

/// Time ran out.
#[derive(Debug)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("time ran out")
    }
}

/// A point on the node's clock that knows its world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant<R>(runtime::Instant, PhantomData<fn() -> R>);

impl<R> Instant<R> {
    /// In our terms.
    pub fn ours(self) -> runtime::Instant {
        self.0
    }
}

impl<R> fmt::Debug for Instant<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ns", self.0.0)
    }
}

impl<R> Add<Duration> for Instant<R> {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Instant(self.0 + rhs, PhantomData)
    }
}

impl<R> AddAssign<Duration> for Instant<R> {
    fn add_assign(&mut self, rhs: Duration) {
        self.0 += rhs;
    }
}

impl<R> Sub<Duration> for Instant<R> {
    type Output = Self;
    fn sub(self, rhs: Duration) -> Self {
        Instant(self.0 - rhs, PhantomData)
    }
}

impl<R> SubAssign<Duration> for Instant<R> {
    fn sub_assign(&mut self, rhs: Duration) {
        self.0 -= rhs;
    }
}

impl<R> Sub for Instant<R> {
    type Output = Duration;
    fn sub(self, rhs: Self) -> Duration {
        self.0 - rhs.0
    }
}

impl<R: Runtime> openraft_rt::Instant for Instant<R> {
    fn now() -> Self {
        Instant(R::now(), PhantomData)
    }
}

impl<R: Runtime> AsyncRuntime for RaftRuntime<R> {
    type JoinError = TaskError;
    type JoinHandle<T: OptionalSend + 'static> = JoinHandle<T>;
    type Sleep = R::Sleep;
    type Instant = Instant<R>;
    type TimeoutError = Elapsed;
    type Timeout<O, F: Future<Output = O> + OptionalSend> = Timeout<R::Sleep, F>;
    type ThreadLocalRng = rand_chacha::ChaCha8Rng;
    type Mpsc = Channels;
    type Watch = Channels;
    type Oneshot = Channels;
    type Mutex<T: OptionalSend + 'static> = Mutex<T>;

    fn spawn<T>(future: T) -> JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        let (sender, receiver) = our_oneshot::channel();
        let task: Task<()> = R::spawn("raft", async move {
            let _ = sender.send(future.await);
        });
        task.detach();
        JoinHandle(Some(receiver))
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        R::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        R::sleep_until(deadline.0)
    }

    fn timeout<O, F: Future<Output = O> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<O, F> {
        Self::timeout_at(Instant(R::now() + duration, PhantomData), future)
    }

    fn timeout_at<O, F: Future<Output = O> + OptionalSend>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<O, F> {
        Timeout { future: Box::pin(future), sleep: Box::pin(R::sleep_until(deadline.0)) }
    }

    fn is_panic(_: &TaskError) -> bool {
        // An openraft task is never aborted by us, so one without a result has panicked.
        true
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        R::rng("raft")
    }

    async fn spawn_blocking<F, T>(work: F) -> Result<T, std::io::Error>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        R::spawn_blocking("raft", work).await.map_err(std::io::Error::other)
    }

    fn new(_: usize) -> Self {
        RaftRuntime(PhantomData)
    }

    /// For openraft's conformance suites only: parks this thread while the world runs its tasks on
    /// another.
    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        struct Unpark(std::thread::Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut cx = Context::from_waker(&waker);
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
                return value;
            }
            std::thread::park();
        }
    }
}
