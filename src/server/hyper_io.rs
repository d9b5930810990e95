//! hyper's executor, timer and I/O traits over the world's.

use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use hyper::rt::ReadBufCursor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::runtime::Runtime;

/// Runs hyper's futures as tasks of the node.
#[derive(Debug, Default)]
pub struct Executor<R>(PhantomData<fn() -> R>);

impl<R> Executor<R> {
    /// The executor of the world `R`.
    pub fn new() -> Self {
        Executor(PhantomData)
    }
}

impl<R> Clone for Executor<R> {
    fn clone(&self) -> Self {
        Executor(PhantomData)
    }
}

impl<R: Runtime, F> hyper::rt::Executor<F> for Executor<R>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        R::spawn_detached("http", future.map(drop));
    }
}

/// hyper's timer on the node's clock.
#[derive(Debug, Default)]
pub struct Timer<R>(PhantomData<fn() -> R>);

impl<R> Timer<R> {
    /// The timer of the world `R`.
    pub fn new() -> Self {
        Timer(PhantomData)
    }
}

impl<R> Clone for Timer<R> {
    fn clone(&self) -> Self {
        Timer(PhantomData)
    }
}

struct Sleep<S>(Pin<Box<S>>);

impl<S: Future<Output = ()>> Future for Sleep<S> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl<S: Future<Output = ()> + Send + Sync> hyper::rt::Sleep for Sleep<S> {}

impl<R: Runtime> hyper::rt::Timer for Timer<R> {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep(Box::pin(R::sleep(duration))))
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep(deadline.saturating_duration_since(self.now()))
    }
}

/// Bytes read from a stream at a time.
const READ_BYTES: usize = 16 * 1024;

/// A stream for hyper.
pub struct HyperIo<S>(S);

impl<S> HyperIo<S> {
    /// `stream` in hyper's words.
    pub fn new(stream: S) -> Self {
        HyperIo(stream)
    }
}

impl<S: AsyncRead + Unpin> hyper::rt::Read for HyperIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // hyper's cursor can only be filled directly with unsafe code. The detour is on the stack:
        // most connections are idle.
        let mut space = [const { MaybeUninit::uninit() }; READ_BYTES];
        let length = READ_BYTES.min(cursor.remaining());
        let mut buffer = ReadBuf::uninit(&mut space[..length]);
        let read = Pin::new(&mut self.0).poll_read(cx, &mut buffer);
        cursor.put_slice(buffer.filled());
        read
    }
}

impl<S: AsyncWrite + Unpin> hyper::rt::Write for HyperIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, buffers)
    }
}
