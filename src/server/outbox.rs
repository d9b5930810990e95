//! What many connections have to say is sent in one go.
//!
//! One entry of the log may answer a hundred connections. Their tasks run one after the other, and each
//! would send between two pieces of other work. So what a connection writes is kept until the tasks that
//! can run have had their turn, or until [`TOGETHER`] connections have something; then it is sent for
//! all of them, one right after the other, which costs less (docs/PERFORMANCE.md).
//!
//! A connection sees a stream like any other: what the socket does not take holds it up, and what goes
//! wrong comes out of its next call. Much at a time is not kept but written through.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::runtime::channel::Notify;
use crate::runtime::lock;

/// Connections whose words do not wait for more.
const TOGETHER: usize = 50;
/// What is kept of one connection, at most.
const KEPT_BYTES: usize = 4096;
/// What an idle connection holds on to, at most.
const IDLE_BYTES: usize = 512;

/// The connections that have something to send, in the order in which they wrote.
pub(super) struct Outbox<S> {
    waiting: Mutex<Vec<Shared<S>>>,
    bell: Notify,
}

type Shared<S> = Arc<Mutex<Line<S>>>;

/// One connection.
struct Line<S> {
    stream: S,
    /// Written, and not yet taken by the socket.
    kept: Vec<u8>,
    /// Stands in the outbox, once.
    is_listed: bool,
    /// What went wrong in the outbox.
    error: Option<io::Error>,
    /// Of the task that wrote last. One task at a time writes, flushes and shuts down.
    writer: Option<Waker>,
}

/// A stream whose small writes go through an [`Outbox`].
pub(super) struct OutboxStream<S> {
    line: Shared<S>,
    outbox: Arc<Outbox<S>>,
}

impl<S: AsyncWrite + Unpin> Outbox<S> {
    /// An empty one. Somebody must [`Outbox::run`] it.
    pub fn new() -> Arc<Self> {
        Arc::new(Outbox { waiting: Mutex::default(), bell: Notify::new() })
    }

    /// Lets what is written to `stream` go through this outbox.
    pub fn stream(self: &Arc<Self>, stream: S) -> OutboxStream<S> {
        let line = Line { stream, kept: Vec::new(), is_listed: false, error: None, writer: None };
        OutboxStream { line: Arc::new(Mutex::new(line)), outbox: Arc::clone(self) }
    }

    /// Sends whenever something waits and it is this task's turn.
    pub async fn run(&self) -> Infallible {
        loop {
            self.bell.notified().await;
            self.send();
        }
    }

    fn add(&self, line: Shared<S>) {
        let mut waiting = lock(&self.waiting);
        waiting.push(line);
        let count = waiting.len();
        drop(waiting);
        match count {
            1 => self.bell.notify_one(),
            TOGETHER.. => self.send(),
            _ => {}
        }
    }

    fn send(&self) {
        for line in lock(&self.waiting).drain(..) {
            lock(&line).send_in_turn();
        }
    }
}

impl<S: AsyncWrite + Unpin> Line<S> {
    /// What went wrong in the outbox comes out once.
    fn check(&mut self) -> io::Result<()> {
        self.error.take().map_or(Ok(()), Err)
    }

    /// Whether `length` bytes more can be kept. What the socket did not take in its turn comes first.
    fn has_room(&self, length: usize) -> bool {
        (self.is_listed || self.kept.is_empty()) && self.kept.len() + length <= KEPT_BYTES
    }

    /// Remembers whom to wake; true if the outbox does not know of this line yet.
    fn list(&mut self, writer: &Waker) -> bool {
        match &mut self.writer {
            Some(known) => known.clone_from(writer),
            none => *none = Some(writer.clone()),
        }
        !std::mem::replace(&mut self.is_listed, true)
    }

    /// Sends what is kept; the task of `cx` is woken when the socket takes more.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut sent = 0;
        let outcome = loop {
            if sent == self.kept.len() {
                break Poll::Ready(Ok(()));
            }
            match Pin::new(&mut self.stream).poll_write(cx, &self.kept[sent..]) {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => sent += count,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
        };
        self.kept.drain(..sent);
        if self.kept.is_empty() && self.kept.capacity() > IDLE_BYTES {
            self.kept = Vec::new();
        }
        outcome
    }

    /// The outbox sends, in the name of the task that wrote.
    fn send_in_turn(&mut self) {
        self.is_listed = false;
        let Some(writer) = self.writer.take() else { return };
        if let Poll::Ready(Err(error)) = self.poll_send(&mut Context::from_waker(&writer)) {
            self.kept = Vec::new();
            self.error = Some(error);
            writer.wake_by_ref();
        }
        self.writer = Some(writer);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for OutboxStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut lock(&self.line).stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for OutboxStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut line = lock(&self.line);
        line.check()?;
        let length = buffers.iter().map(|buffer| buffer.len()).sum();
        if !line.has_room(length) {
            ready!(line.poll_send(cx))?;
            return Pin::new(&mut line.stream).poll_write_vectored(cx, buffers);
        }
        buffers.iter().for_each(|buffer| line.kept.extend_from_slice(buffer));
        let is_new = line.list(cx.waker());
        drop(line);
        if is_new {
            self.outbox.add(Arc::clone(&self.line));
        }
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        lock(&self.line).stream.is_write_vectored()
    }

    /// What stands in the outbox is as good as sent: somebody does it.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut line = lock(&self.line);
        line.check()?;
        if line.is_listed {
            return Poll::Ready(Ok(()));
        }
        ready!(line.poll_send(cx))?;
        Pin::new(&mut line.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut line = lock(&self.line);
        line.check()?;
        ready!(line.poll_send(cx))?;
        Pin::new(&mut line.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::super::tests::block_on;
    use super::*;
    use crate::runtime::{Either, select};

    /// Both ends of a connection of which `space` bytes are on the way at most, and its outbox.
    fn connected(space: usize) -> (OutboxStream<DuplexStream>, DuplexStream, Arc<Outbox<DuplexStream>>) {
        let (near, far) = duplex(space);
        let outbox = Outbox::new();
        (outbox.stream(near), far, outbox)
    }

    /// Runs `work` beside the outbox.
    async fn beside<T>(outbox: &Outbox<DuplexStream>, work: impl Future<Output = T>) -> T {
        match select(outbox.run(), work).await {
            Either::First(never) => match never {},
            Either::Second(done) => done,
        }
    }

    /// What can be read of `far` without waiting.
    fn ready_bytes(far: &mut DuplexStream) -> usize {
        let mut space = [0; 1024];
        let mut buffer = ReadBuf::new(&mut space);
        let _ = Pin::new(far).poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer);
        buffer.filled().len()
    }

    #[test]
    fn the_words_of_many_go_together() {
        block_on(async {
            let outbox = Outbox::new();
            let mut ends: Vec<_> = (0..TOGETHER)
                .map(|_| {
                    let (near, far) = duplex(1024);
                    (outbox.stream(near), far)
                })
                .collect();
            for n in 0..TOGETHER {
                assert!(ends.iter_mut().all(|(_, far)| ready_bytes(far) == 0), "sent after {n}");
                ends[n].0.write_all(b"word").await.expect("kept");
                ends[n].0.flush().await.expect("kept");
            }
            assert!(ends.iter_mut().all(|(_, far)| ready_bytes(far) == 4));
        });
    }

    #[test]
    fn a_few_are_sent_in_their_turn() {
        block_on(async {
            let (mut near, mut far, outbox) = connected(1024);
            near.write_all(b"one").await.expect("kept");
            near.write_all(b"two").await.expect("kept");
            assert_eq!(ready_bytes(&mut far), 0);
            let mut read = [0; 6];
            beside(&outbox, far.read_exact(&mut read)).await.expect("six bytes");
            assert_eq!(&read, b"onetwo");
        });
    }

    #[test]
    fn what_went_wrong_comes_out_of_the_next_call() {
        block_on(async {
            let (mut near, far, outbox) = connected(1024);
            drop(far);
            near.write_all(b"word").await.expect("kept");
            near.flush().await.expect("listed");
            outbox.send();
            assert!(near.flush().await.is_err());
        });
    }

    #[test]
    fn a_full_socket_holds_the_writer_up() {
        block_on(async {
            let (mut near, mut far, outbox) = connected(4);
            near.write_all(b"0123456789").await.expect("kept");
            outbox.send();
            let mut cx = Context::from_waker(Waker::noop());
            assert!(Pin::new(&mut near).poll_write(&mut cx, b"x").is_pending());
            assert!(Pin::new(&mut near).poll_flush(&mut cx).is_pending());
            assert!(Pin::new(&mut near).poll_shutdown(&mut cx).is_pending());
            let mut read = Vec::new();
            let rest = async {
                near.write_all(b"x").await.expect("taken");
                near.shutdown().await.expect("all is sent");
            };
            let (_, all) = futures_util::join!(rest, far.read_to_end(&mut read));
            all.expect("the end");
            assert_eq!(read, b"0123456789x");
        });
    }

    proptest! {
        /// Whatever is written, in whatever pieces and with whatever turns between.
        #[test]
        fn all_arrives_in_order(
            space in 1usize..9000,
            pieces in proptest::collection::vec((0usize..6000, any::<bool>()), 1..20),
        ) {
            let mut all = Vec::new();
            pieces.iter().enumerate().for_each(|(n, (length, _))| all.extend(vec![n as u8; *length]));
            let read = block_on(async {
                let (mut near, mut far, outbox) = connected(space);
                let writing = async {
                    for (n, (length, flushes)) in pieces.iter().enumerate() {
                        near.write_all(&vec![n as u8; *length]).await.expect("taken");
                        if *flushes {
                            near.flush().await.expect("taken");
                            tokio::task::yield_now().await;
                        }
                    }
                    near.shutdown().await.expect("all is sent");
                };
                let mut read = Vec::new();
                let both = async { futures_util::join!(writing, far.read_to_end(&mut read)).1 };
                beside(&outbox, both).await.expect("the end");
                read
            });
            prop_assert_eq!(read, all);
        }
    }
}
