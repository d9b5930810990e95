//! One side of a connection as tokio's I/O traits.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use etched::runtime::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pipe::Payload;
use super::{Conn, with_effects};
use crate::world::Inner;

/// A connected byte stream. Dropping it closes the socket.
pub struct SimStream {
    pub(super) inner: Arc<Inner>,
    pub(super) slot: usize,
    pub(super) generation: u64,
    pub(super) side: usize,
    pub(super) peer: String,
}

impl std::fmt::Debug for SimStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SimStream(to {})", self.peer)
    }
}

impl Stream for SimStream {
    fn peer_address(&self) -> String {
        self.peer.clone()
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the process of this connection is dead")
}

fn reset() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "connection reset by peer")
}

fn keep(held: &mut Option<Waker>, waker: &Waker) {
    if !held.as_ref().is_some_and(|held| held.will_wake(waker)) {
        *held = Some(waker.clone());
    }
}

impl SimStream {
    fn write(&self, cx: &mut Context<'_>, pieces: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let (slot, side) = (self.slot, self.side);
        with_effects(&self.inner, |net, now, effects| {
            let Some(conn) = net.conn(slot, self.generation) else { return Poll::Ready(Err(gone())) };
            match Self::writable(conn, side) {
                Err(error) => Poll::Ready(Err(error)),
                Ok(0) => {
                    keep(&mut conn.pipes[side].write_waker, cx.waker());
                    Poll::Pending
                }
                Ok(space) => {
                    let total = pieces.iter().map(|piece| piece.len()).sum::<usize>().min(space);
                    let mut data = Vec::with_capacity(total);
                    for piece in pieces {
                        let take = piece.len().min(total - data.len());
                        data.extend_from_slice(&piece[..take]);
                    }
                    if total > 0 {
                        net.send(slot, side, Payload::Data(data), now, effects);
                    }
                    Poll::Ready(Ok(total))
                }
            }
        })
    }

    fn writable(conn: &Conn, side: usize) -> io::Result<usize> {
        if conn.ends[side].gone {
            return Err(gone());
        }
        if conn.ends[side].reset {
            return Err(reset());
        }
        if conn.pipes[side].finish_sent {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "written after shutdown"));
        }
        Ok(conn.pipes[side].space())
    }
}

impl AsyncRead for SimStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let side = self.side;
        with_effects(&self.inner, |net, _, effects| {
            let limit = match net.short_reads_ppm {
                0 => usize::MAX,
                ppm if net.chance.chance_ppm(ppm) => 1 + net.chance.below(16) as usize,
                _ => usize::MAX,
            };
            let Some(conn) = net.conn(self.slot, self.generation) else { return Poll::Ready(Err(gone())) };
            if conn.ends[side].gone {
                return Poll::Ready(Err(gone()));
            }
            let (me, peer) = (conn.ends[side].node, conn.ends[1 - side].node);
            let was_reset = conn.ends[side].reset;
            let pipe = &mut conn.pipes[1 - side];
            if !pipe.has_unread() {
                if was_reset {
                    return Poll::Ready(Err(reset()));
                }
                if pipe.finish_received || out.remaining() == 0 {
                    return Poll::Ready(Ok(()));
                }
                keep(&mut pipe.read_waker, cx.waker());
                return Poll::Pending;
            }
            pipe.read_into(out, limit);
            if net.open(me, peer)
                && let Some(conn) = net.conn(self.slot, self.generation)
                && conn.pipes[1 - side].acknowledge()
            {
                effects.wake(&mut conn.pipes[1 - side].write_waker);
            }
            Poll::Ready(Ok(()))
        })
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, &[io::IoSlice::new(data)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing to do: what is written is on its way. (Waking anybody here would start an echo
    /// between two ends that flush on every poll.)
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (slot, side) = (self.slot, self.side);
        with_effects(&self.inner, |net, now, effects| {
            if let Some(conn) = net.conn(slot, self.generation)
                && Self::writable(conn, side).is_ok()
            {
                net.send(slot, side, Payload::Finish, now, effects);
            }
        });
        Poll::Ready(Ok(()))
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        let (slot, side) = (self.slot, self.side);
        with_effects(&self.inner, |net, now, effects| {
            let Some(conn) = net.conn(slot, self.generation) else { return };
            if conn.ends[side].gone {
                return;
            }
            conn.ends[side].gone = true;
            let unread = conn.pipes[1 - side].has_unread();
            conn.pipes[1 - side].forget_inbox();
            let finished = conn.ends[side].reset || conn.pipes[side].finish_sent;
            if unread {
                net.send_reset(slot, side, now, effects);
            } else if !finished {
                net.send(slot, side, Payload::Finish, now, effects);
            }
            net.reap(slot);
        });
    }
}
