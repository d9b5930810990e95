//! One HTTP/2 connection: each of its requests becomes a task.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use h2::server::{Builder, Connection};

use super::ServerOptions;
use super::ahead::Ahead;
use super::doors::Doors;
use super::exchange::Exchange;
use super::outbox::OutboxStream;
use super::pings::Pings;
use super::request_body::RequestBody;
use super::silence::{Heard, Silence};
use crate::runtime::channel::oneshot;
use crate::runtime::{Either, Runtime, Stream, select, timeout};

/// What one stream may send ahead of its handler: a largest request fits in four windows.
const STREAM_WINDOW_BYTES: u32 = 512 * 1024;
/// What one connection may send ahead of all its handlers.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// A small message and its frame take about this much memory while nobody has read them.
const FRAME_COST_BYTES: usize = 256;
/// The smallest messages that clients send on streams: a prefix and one small field.
const SMALL_MESSAGE_BYTES: usize = 7;
/// Memory for small frames that nobody has read: a connection's window full of small messages fits, so
/// that whoever sends them ahead is held back by the window. Above it, with frames smaller than any message,
/// the connection is ended as an attack.
const SMALL_FRAMES_BYTES: usize = CONNECTION_WINDOW_BYTES as usize / SMALL_MESSAGE_BYTES * FRAME_COST_BYTES;
/// What one stream's answer may wait in memory for the socket.
pub(super) const SEND_BUFFER_BYTES: usize = 256 * 1024;
/// All headers of a request, as counted by RFC 9113, section 6.5.2.
const HEADERS_BYTES: u32 = 16 * 1024;
/// Streams that clients may open and reset before they are served. Above it the connection is ended
/// as an attack; clients that cancel many requests at once stay below.
const RESETS: usize = 1024;

/// Serves the connection `stream`, of which `first` was read, until it ends. `stop` asks it to end
/// gracefully: no new streams, open ones finish.
pub(super) async fn serve<R: Runtime, S: Stream>(
    stream: OutboxStream<S>,
    first: Bytes,
    doors: Doors<R>,
    options: ServerOptions,
    mut stop: oneshot::Receiver<()>,
) -> Result<(), h2::Error> {
    let min_time = Duration::from_millis(options.keep_alive_min_time_ms);
    let heard = Heard::new();
    let io = Pings::new(Ahead::new(stream, first), heard.clone(), min_time);
    let handshake = builder(options).handshake(io);
    let mut connection = match select(timeout::<R, _>(options.greeting_timeout(), handshake), &mut stop).await
    {
        Either::First(Some(connection)) => connection?,
        Either::First(None) | Either::Second(_) => return Ok(()),
    };
    let orders = FuturesUnordered::<BoxFuture<'static, Order>>::new();
    orders.push(Box::pin(async move {
        // Whoever may give the order and is gone has stopped the server.
        let _ = stop.await;
        Order::GoAway
    }));
    if let Some(pings) = connection.ping_pong() {
        let mut silence = Silence::<R>::new(pings, heard, options);
        orders.push(Box::pin(async move {
            poll_fn(|cx| silence.poll_gone(cx)).await;
            Order::Drop
        }));
    }
    Serving { connection, doors, orders }.await
}

fn builder(options: ServerOptions) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(options.max_concurrent_streams)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEADERS_BYTES)
        .data_frame_budget(SMALL_FRAMES_BYTES)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(RESETS);
    builder
}

/// How a connection ends from this side.
enum Order {
    /// No new streams, open ones finish.
    GoAway,
    /// At once: nobody is there.
    Drop,
}

/// A connection once the client has said hello.
struct Serving<R: Runtime, S> {
    connection: Connection<Pings<R, Ahead<OutboxStream<S>>>, Bytes>,
    doors: Doors<R>,
    /// Polled only when one of them is woken, not whenever the connection is.
    orders: FuturesUnordered<BoxFuture<'static, Order>>,
}

impl<R: Runtime, S: Stream> Future for Serving<R, S> {
    type Output = Result<(), h2::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            while let Poll::Ready(accepted) = this.connection.poll_accept(cx) {
                let Some(accepted) = accepted else { return Poll::Ready(Ok(())) };
                let (request, reply) = accepted?;
                let answer = this.doors.clone().call(request.map(RequestBody::Http2));
                R::spawn_detached("http", Exchange::new(answer, reply));
            }
            // Only now: what a client said may have been waiting here for longer than the client may be silent.
            match ready!(this.orders.poll_next_unpin(cx)) {
                Some(Order::GoAway) => this.connection.graceful_shutdown(),
                Some(Order::Drop) => return Poll::Ready(Ok(())),
                None => return Poll::Pending,
            }
        }
    }
}
