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
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::io::AsyncReadExt;

use super::ServerOptions;
use super::ahead::Ahead;
use super::doors::Doors;
use super::http2;
use super::hyper_io::{HyperIo, Timer};
use super::outbox::Outbox;
use super::request_body::RequestBody;
use crate::node::Node;
use crate::runtime::channel::oneshot;
use crate::runtime::{Either, Listener, Runtime, Stream, Task, select, timeout};

/// The first bytes of every HTTP/2 connection; no HTTP/1.1 method begins with them.
const HTTP2: &[u8] = b"PRI";
/// How long connections may take to end once the member stops: its hand-over, its drain, and the
/// last words to watchers.
const LINGER: Duration = Duration::from_secs(8);
/// Pause after a failed accept, for example when descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

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
    let greeting = options.greeting_timeout();
    let first = match select(timeout::<R, _>(greeting, first_bytes(&mut stream)), &mut stop).await {
        Either::First(Some(first)) => first?,
        Either::First(None) | Either::Second(_) => return Ok(()),
    };
    if first.starts_with(HTTP2) {
        return Ok(http2::serve(outbox.stream(stream), first, doors, options, stop).await?);
    }
    let service =
        service_fn(move |request: Request<Incoming>| doors.clone().call(request.map(RequestBody::Http1)));
    let connection = http1::Builder::new()
        .timer(Timer::<R>::new())
        .header_read_timeout(greeting)
        .serve_connection(HyperIo::new(Ahead::new(stream, first)), service);
    let mut connection = pin!(connection);
    if let Either::First(ended) = select(connection.as_mut(), stop).await {
        return Ok(ended?);
    }
    connection.as_mut().graceful_shutdown();
    Ok(connection.await?)
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
