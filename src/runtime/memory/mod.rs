//! A floor for tests: everything on one thread, in memory, with power cuts at a chosen step.

mod disk;

pub use disk::{Loss, MemoryDisk, draw};

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use futures_util::future::BoxFuture;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::channel::oneshot;
use super::{AbortOnDrop, Instant, Listener, Net, Observation, Runtime, Stream, Task, WallTime};

/// The world of these tests. It has no network and its clock stands still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Memory;

/// The node crashed itself ([`Runtime::crash`]).
#[derive(Debug, PartialEq, Eq)]
pub struct Crashed(pub String);

type Queue = Rc<RefCell<Vec<(Arc<AtomicBool>, BoxFuture<'static, ()>)>>>;

thread_local! {
    static TASKS: Queue = Rc::default();
    static SEEN: RefCell<Vec<Observation>> = const { RefCell::new(Vec::new()) };
}

/// Runs `main` and all it spawns until it ends or the node crashes. What is left is dropped.
pub fn run<T>(main: impl Future<Output = T>) -> Result<T, Crashed> {
    let mut main = Box::pin(main);
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(value) = main.as_mut().poll(&mut cx) {
                return value;
            }
            poll_tasks(&mut cx);
        }
    }));
    drop(main);
    TASKS.with(|tasks| drop(std::mem::take(&mut *tasks.borrow_mut())));
    result.map_err(|panic| match panic.downcast::<Crashed>() {
        Ok(crashed) => *crashed,
        Err(other) => resume_unwind(other),
    })
}

fn poll_tasks(cx: &mut Context<'_>) {
    let tasks = TASKS.with(Rc::clone);
    let mut running = std::mem::take(&mut *tasks.borrow_mut());
    running.retain_mut(|(aborted, task)| {
        !aborted.load(Ordering::Relaxed) && task.as_mut().poll(cx).is_pending()
    });
    running.append(&mut tasks.borrow_mut());
    *tasks.borrow_mut() = running;
}

/// What was observed since the last call.
pub fn observations() -> Vec<Observation> {
    SEEN.with(|seen| std::mem::take(&mut *seen.borrow_mut()))
}

/// A future that is ready when polled the second time: lets the other tasks run.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(
        |_| if std::mem::replace(&mut yielded, true) { Poll::Ready(()) } else { Poll::Pending },
    )
    .await;
}

impl Runtime for Memory {
    type Net = NoNet;
    type Disk = MemoryDisk;
    type Sleep = std::future::Pending<()>;

    fn now() -> Instant {
        Instant::default()
    }

    fn wall() -> WallTime {
        WallTime::default()
    }

    fn sleep_until(_deadline: Instant) -> Self::Sleep {
        std::future::pending()
    }

    fn spawn_raw(_name: &'static str, future: BoxFuture<'static, ()>) -> AbortOnDrop {
        let aborted = Arc::new(AtomicBool::new(false));
        TASKS.with(|tasks| tasks.borrow_mut().push((aborted.clone(), future)));
        AbortOnDrop::new(move || aborted.store(true, Ordering::Relaxed))
    }

    fn spawn_blocking<T, F>(_name: &'static str, work: F) -> Task<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let _ = sender.send(work());
        Task::from_parts(receiver, AbortOnDrop::new(|| {}))
    }

    fn rng(label: &'static str) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(label.len() as u64)
    }

    fn observing() -> bool {
        true
    }

    fn observe(observation: Observation) {
        SEEN.with(|seen| seen.borrow_mut().push(observation));
    }

    fn crash(reason: &str) -> ! {
        resume_unwind(Box::new(Crashed(reason.to_owned())))
    }
}

/// There is no network here.
#[derive(Clone)]
pub struct NoNet;

impl Net for NoNet {
    type Stream = NoStream;
    type Listener = NoListener;
    async fn listen(&self, _address: &str) -> io::Result<NoListener> {
        Err(io::ErrorKind::Unsupported.into())
    }
    async fn dial(&self, _address: &str) -> io::Result<NoStream> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

pub struct NoListener;

impl Listener for NoListener {
    type Stream = NoStream;
    async fn accept(&mut self) -> io::Result<NoStream> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn local_address(&self) -> String {
        String::new()
    }
}

pub struct NoStream;

impl Stream for NoStream {
    fn peer_address(&self) -> String {
        String::new()
    }
}

impl tokio::io::AsyncRead for NoStream {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        _buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl tokio::io::AsyncWrite for NoStream {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, _data: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(0))
    }
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
