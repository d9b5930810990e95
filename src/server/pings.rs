//! Clients that ping too often are sent away, as grpc-go's servers do it (M9).
//!
//! h2 shows no inbound pings and ends connections without a reason. So this stands between h2
//! and the socket, follows the heads of the frames both ways, and writes the GOAWAY itself where a
//! frame ends. It knows nothing else of HTTP/2.
//!
//! The rule: a ping is a strike if it comes sooner than the minimum time after the last one or, while
//! no stream is open, sooner than two hours after it. Anything the server sends on a stream forgives
//! all strikes and the next ping. The third strike ends the connection.

use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{Frames, Head, Kind};
use super::silence::Heard;
use crate::runtime::{Instant, Runtime};

/// Strikes that are forgiven.
const MAX_STRIKES: u32 = 2;
/// The minimum time between pings while no stream is open.
const IDLE_MIN_TIME: Duration = Duration::from_secs(2 * 3600);
/// How long a client that is sent away may take to hang up; what it still sends is not read by h2.
const LINGER: Duration = Duration::from_secs(1);
/// GOAWAY on stream 0: any stream may have been processed, ENHANCE_YOUR_CALM (11), and why, in the
/// words that grpc-go's clients look for.
const GO_AWAY: &[u8] = b"\x00\x00\x16\x07\x00\x00\x00\x00\x00\x7f\xff\xff\xff\x00\x00\x00\x0btoo_many_pings";

/// A server's end of an HTTP/2 connection.
pub(super) struct Pings<R: Runtime, S> {
    stream: S,
    heard: Heard,
    min_time: Duration,
    inbound: Frames,
    outbound: Frames,
    policy: Policy,
    end: End<R>,
}

/// What is known of the client's pings.
#[derive(Default)]
struct Policy {
    open: BTreeSet<u32>,
    newest: u32,
    last: Option<Instant>,
    strikes: u32,
    forgiven: bool,
}

/// How far the end of the connection is.
enum End<R: Runtime> {
    /// Not at all.
    No,
    /// Bytes of the GOAWAY that are still to be written.
    Writing(&'static [u8]),
    /// Until the client hangs up.
    Lingering(Pin<Box<R::Sleep>>),
}

impl<R: Runtime, S> Pings<R, S> {
    /// Guards `stream` and tells `heard` when something comes.
    pub fn new(stream: S, heard: Heard, min_time: Duration) -> Self {
        Pings {
            stream,
            heard,
            min_time,
            inbound: Frames::behind_preface(),
            outbound: Frames::default(),
            policy: Policy::default(),
            end: End::No,
        }
    }

    fn received(&mut self, bytes: &[u8]) {
        let (policy, min_time) = (&mut self.policy, self.min_time);
        let (mut calm, mut is_heard) = (true, false);
        self.inbound.feed(bytes, |head| {
            is_heard = true;
            if head.kind == Kind::Ping && !head.flag(Head::ACK) {
                calm &= policy.ping(R::now(), min_time);
            } else {
                policy.received(head);
            }
        });
        if is_heard {
            self.heard.set(R::now());
        }
        if !calm && matches!(self.end, End::No) {
            self.end = End::Writing(GO_AWAY);
        }
    }

    fn sent(&mut self, bytes: &[u8]) {
        let policy = &mut self.policy;
        self.outbound.feed(bytes, |head| policy.sent(head));
    }
}

impl Policy {
    /// Whether the ping at `now` may stand.
    fn ping(&mut self, now: Instant, min_time: Duration) -> bool {
        let since = self.last.replace(now).map(|last| now - last);
        if std::mem::take(&mut self.forgiven) {
            self.strikes = 0;
            return true;
        }
        let min_time = if self.open.is_empty() { IDLE_MIN_TIME } else { min_time };
        if since.is_some_and(|since| since < min_time) {
            self.strikes += 1;
        }
        self.strikes <= MAX_STRIKES
    }

    fn received(&mut self, head: Head) {
        match head.kind {
            Kind::Headers if head.stream > self.newest => {
                self.newest = head.stream;
                self.open.insert(head.stream);
            }
            Kind::Reset => drop(self.open.remove(&head.stream)),
            _ => {}
        }
    }

    fn sent(&mut self, head: Head) {
        let is_content = matches!(head.kind, Kind::Headers | Kind::Data);
        self.forgiven |= is_content;
        if head.kind == Kind::Reset || (is_content && head.flag(Head::END_STREAM)) {
            self.open.remove(&head.stream);
        }
    }
}

impl<R: Runtime, S: AsyncRead + AsyncWrite + Unpin> Pings<R, S> {
    /// Writes the GOAWAY, then reads until the client hangs up or its time is over.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match &mut self.end {
                End::No => return Poll::Ready(Ok(())),
                // A frame is being written: h2 ends it first.
                End::Writing(left) if left.len() == GO_AWAY.len() && !self.outbound.is_between() => {
                    return Poll::Pending;
                }
                End::Writing([]) => {
                    self.end = End::Lingering(Box::pin(R::sleep(LINGER)));
                }
                End::Writing(left) => {
                    let written = ready!(Pin::new(&mut self.stream).poll_write(cx, left))?;
                    *left = &left[written..];
                }
                End::Lingering(sleep) => {
                    let mut space = [0; 1024];
                    let mut buffer = ReadBuf::new(&mut space);
                    let over = sleep.as_mut().poll(cx).is_ready();
                    let read = Pin::new(&mut self.stream).poll_read(cx, &mut buffer);
                    if over || matches!(&read, Poll::Ready(Ok(())) if buffer.filled().is_empty()) {
                        return Poll::Ready(Err(io::Error::other("the client pinged too often")));
                    }
                    ready!(read)?;
                }
            }
        }
    }
}

impl<R: Runtime, S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Pings<R, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let me = &mut *self;
        ready!(me.poll_end(cx))?;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut me.stream).poll_read(cx, buffer))?;
        me.received(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<R: Runtime, S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Pings<R, S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let me = &mut *self;
        let bytes = match &me.end {
            End::No => bytes,
            // Only what is left of the frame.
            End::Writing(left) if left.len() == GO_AWAY.len() && !me.outbound.is_between() => {
                &bytes[..me.outbound.left_of_frame().min(bytes.len())]
            }
            End::Writing(_) | End::Lingering(_) => {
                // What comes behind the GOAWAY goes nowhere.
                if let Poll::Ready(Err(error)) = me.poll_end(cx) {
                    return Poll::Ready(Err(error));
                }
                return Poll::Ready(Ok(bytes.len()));
            }
        };
        let written = ready!(Pin::new(&mut me.stream).poll_write(cx, bytes))?;
        me.sent(&bytes[..written]);
        if !matches!(me.end, End::No) {
            // Reading waits for the end of this frame.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !matches!(self.end, End::No) {
            let first = buffers.iter().find(|buffer| !buffer.is_empty());
            return self.poll_write(cx, first.map_or(&[], |buffer| buffer));
        }
        let me = &mut *self;
        let written = ready!(Pin::new(&mut me.stream).poll_write_vectored(cx, buffers))?;
        let mut left = written;
        for buffer in buffers {
            let part = &buffer[..left.min(buffer.len())];
            me.sent(part);
            left -= part.len();
        }
        Poll::Ready(Ok(written))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::tests::block_on;
    use super::*;
    use crate::os::OsRuntime;

    fn at(seconds: u64) -> Instant {
        Instant(0) + Duration::from_secs(seconds)
    }

    fn opened() -> Policy {
        let mut policy = Policy::default();
        policy.received(Head { kind: Kind::Headers, flags: 4, stream: 1 });
        policy
    }

    #[test]
    fn the_third_strike_ends_it() {
        let mut policy = opened();
        let pings: Vec<bool> = (0..4).map(|n| policy.ping(at(4 * n), Duration::from_secs(5))).collect();
        assert_eq!(pings, [true, true, true, false]);
        let mut policy = opened();
        assert!((0..100).all(|n| policy.ping(at(5 * n), Duration::from_secs(5))));
    }

    #[test]
    fn what_the_server_sends_forgives() {
        let mut policy = opened();
        for n in 0..100 {
            assert!(policy.ping(at(n), Duration::from_secs(5)));
            if n % 3 == 2 {
                policy.sent(Head { kind: Kind::Data, flags: 0, stream: 1 });
            }
        }
    }

    #[test]
    fn without_a_stream_hardly_any_ping_is_allowed() {
        let mut policy = opened();
        policy.sent(Head { kind: Kind::Headers, flags: Head::END_STREAM, stream: 1 });
        // The answer forgave one.
        let pings: Vec<bool> = (0..5).map(|n| policy.ping(at(60 * n), Duration::from_secs(5))).collect();
        assert_eq!(pings, [true, true, true, false, false]);
    }

    #[test]
    fn the_words_of_the_end() {
        assert_eq!(GO_AWAY.len(), 9 + 0x16);
        assert_eq!(GO_AWAY[3], 7);
    }

    #[test]
    fn the_end_waits_for_a_frame_that_is_being_written() {
        block_on(async {
            let (near, mut far) = tokio::io::duplex(4096);
            let mut pings = Pings::<OsRuntime, _>::new(near, Heard::new(), Duration::from_secs(5));
            let data = b"\x00\x00\x04\x00\x00\x00\x00\x00\x01word";
            pings.write_all(&data[..10]).await.expect("room");
            far.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("room");
            far.write_all(&b"\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678".repeat(9)).await.expect("room");
            let mut pings = Some(pings);
            let mut heard = Vec::new();
            // Reads until it has to wait, then goes on writing, and is polled again only if that wakes it.
            let serving = async {
                let mut is_written = false;
                poll_fn(|cx| {
                    loop {
                        let mut space = [0; 1024];
                        let stream = Pin::new(pings.as_mut().expect("served"));
                        match stream.poll_read(cx, &mut ReadBuf::new(&mut space)) {
                            Poll::Ready(Ok(())) => {}
                            Poll::Ready(Err(_)) => return Poll::Ready(()),
                            Poll::Pending if is_written => return Poll::Pending,
                            Poll::Pending => {
                                is_written = true;
                                let stream = Pin::new(pings.as_mut().expect("served"));
                                assert!(matches!(stream.poll_write(cx, &data[10..]), Poll::Ready(Ok(3))));
                                return Poll::Pending;
                            }
                        }
                    }
                })
                .await;
                drop(pings.take());
            };
            let hearing = async {
                let mut space = vec![0; data.len() + GO_AWAY.len()];
                far.read_exact(&mut space).await.expect("all of it");
                heard = space;
                drop(far);
            };
            futures_util::join!(serving, hearing);
            assert_eq!(heard, [&data[..], GO_AWAY].concat());
        });
    }
}
