//! The accept loop: looks at a connection's first bytes, HTTP/2 or HTTP/1.1, and serves it.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use tokio::io::AsyncReadExt;

use super::ServerOptions;
use super::doors::Doors;
use super::hyper_io::{Executor, HyperIo, Timer};
use super::outbox::Outbox;
use super::pings::Pings;
use crate::node::Node;
use crate::runtime::channel::oneshot;
use crate::runtime::{Either, Listener, Runtime, Stream, Task, select, timeout};

/// The first bytes of every HTTP/2 connection; no HTTP/1.1 method begins with them.
const HTTP2: &[u8] = b"PRI";
/// How long a client may take to send its first bytes, and an HTTP/1.1 client its headers.
const FIRST_BYTES: Duration = Duration::from_secs(300);
/// How long connections may take to end once the member stops: its hand-over, its drain, and the
/// last words to watchers.
const LINGER: Duration = Duration::from_secs(8);
/// Pause after a failed accept, for example when descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// What one stream may send ahead of its handler: a largest request fits in two windows.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// What one connection may send ahead of all its handlers.
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// What one stream's answer may wait in memory for the socket.
pub(super) const SEND_BUFFER_BYTES: usize = 256 * 1024;

/// Streams that clients may open and reset before they are served. Above it the connection is ended
/// as an attack; clients that cancel many requests at once stay below.
const RESETS: usize = 1024;

/// One served connection. Dropping `go_on` asks it to end gracefully: no new streams, open ones
/// finish. A channel for each, because each connection polls it at every wake.
struct Connection {
    task: Task<()>,
    go_on: Option<oneshot::Sender<()>>,
}

impl Future for Connection {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.task).poll(cx).map(|_| ())
    }
}

/// Serves clients on `listener` until the node stops, then ends their connections gracefully, within
/// `LINGER`.
pub async fn serve<R: Runtime, L: Listener>(node: Node<R>, mut listener: L, options: ServerOptions) {
    let doors = Doors::new(&node);
    let outbox = Outbox::new();
    let sending = Arc::clone(&outbox);
    // Ends with this function, once no connection is left.
    let _sending = R::spawn("outbox", async move { match sending.run().await {} });
    let mut connections: FuturesUnordered<Connection> = FuturesUnordered::new();
    let mut stopping = pin!(node.stopping());
    loop {
        let accepted = select(listener.accept(), next_or_never(&mut connections));
        match select(stopping.as_mut(), accepted).await {
            Either::First(()) => break,
            Either::Second(Either::Second(())) => {}
            Either::Second(Either::First(Ok(stream))) => {
                let (go_on, stop) = oneshot::channel();
                let served = connection(stream, Arc::clone(&outbox), doors.clone(), options, stop);
                let task = R::spawn("client connection", async move {
                    // A client that breaks off is its own affair.
                    let _ = served.await;
                });
                connections.push(Connection { task, go_on: Some(go_on) });
            }
            Either::Second(Either::First(Err(error))) => {
                tracing::warn!(error = %error, "cannot accept a client connection");
                R::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    for connection in connections.iter_mut() {
        connection.go_on = None;
    }
    let drained = async { while connections.next().await.is_some() {} };
    timeout::<R, _>(LINGER, drained).await;
}

async fn next_or_never(connections: &mut FuturesUnordered<Connection>) {
    if connections.next().await.is_none() {
        std::future::pending::<()>().await;
    }
}

type Ended = Result<(), Box<dyn std::error::Error + Send + Sync>>;

async fn connection<R: Runtime, S: Stream>(
    mut stream: S,
    outbox: Arc<Outbox<S>>,
    doors: Doors<R>,
    options: ServerOptions,
    mut stop: oneshot::Receiver<()>,
) -> Ended {
    let first = match select(timeout::<R, _>(FIRST_BYTES, first_bytes(&mut stream)), &mut stop).await {
        Either::First(Some(first)) => first?,
        Either::First(None) | Either::Second(_) => return Ok(()),
    };
    let is_http2 = first.starts_with(HTTP2);
    let service = service_fn(move |request| doors.clone().call(request));
    if is_http2 {
        let min_time = Duration::from_millis(options.keep_alive_min_time_ms);
        let stream = outbox.stream(stream);
        let io = HyperIo::new(Pings::<R, _>::new(stream, first.len(), min_time), first);
        let connection = http2_builder::<R>(options).serve_connection(io, service);
        let mut connection = pin!(connection);
        if let Either::First(ended) = select(connection.as_mut(), stop).await {
            return Ok(ended?);
        }
        connection.as_mut().graceful_shutdown();
        Ok(connection.await?)
    } else {
        let io = HyperIo::new(stream, first);
        let connection = http1::Builder::new()
            .timer(Timer::<R>::new())
            .header_read_timeout(FIRST_BYTES)
            .serve_connection(io, service);
        let mut connection = pin!(connection);
        if let Either::First(ended) = select(connection.as_mut(), stop).await {
            return Ok(ended?);
        }
        connection.as_mut().graceful_shutdown();
        Ok(connection.await?)
    }
}

/// gRPC needs no date header, and hyper's comes from a clock of its own.
fn http2_builder<R: Runtime>(options: ServerOptions) -> http2::Builder<Executor<R>> {
    let mut builder = http2::Builder::new(Executor::<R>::new());
    builder
        .timer(Timer::<R>::new())
        .auto_date_header(false)
        .max_concurrent_streams(options.max_concurrent_streams)
        .keep_alive_interval(Duration::from_millis(options.keep_alive_interval_ms))
        .keep_alive_timeout(Duration::from_millis(options.keep_alive_timeout_ms))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(RESETS);
    builder
}

/// Reads until it is clear which protocol the client speaks.
async fn first_bytes<S: Stream>(stream: &mut S) -> io::Result<Bytes> {
    let mut bytes = BytesMut::with_capacity(HTTP2.len());
    while bytes.len() < HTTP2.len() && HTTP2.starts_with(&bytes) {
        if stream.read_buf(&mut bytes).await? == 0 {
            break;
        }
    }
    Ok(bytes.freeze())
}
