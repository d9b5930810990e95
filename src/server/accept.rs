//! The accept loop: looks at a connection's first bytes, HTTP/2 or HTTP/1.1, and serves it.

use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper::service::service_fn;
use tokio::io::AsyncReadExt;

use super::ServerOptions;
use super::doors::Doors;
use super::hyper_io::{Executor, HyperIo, Timer};
use super::plain_http;
use crate::node::Node;
use crate::runtime::{Either, Listener, Runtime, Stream, Task, select, timeout};

/// The first bytes of every HTTP/2 connection; no HTTP/1.1 method begins with them.
const HTTP2: &[u8] = b"PRI";
/// How long a client may take to send its first bytes.
const FIRST_BYTES: Duration = Duration::from_secs(300);
/// How long connections may take to end once the member stops.
const LINGER: Duration = Duration::from_secs(5);
/// Pause after a failed accept, for example when descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// Serves clients on `listener` until the node stops, then ends their connections gracefully.
pub async fn serve<R: Runtime, L: Listener>(node: Node<R>, mut listener: L, options: ServerOptions) {
    let doors = Doors::new(&node);
    let mut connections: FuturesUnordered<Task<()>> = FuturesUnordered::new();
    let mut stopping = pin!(node.stopping());
    loop {
        let accepted = select(listener.accept(), next_or_never(&mut connections));
        match select(stopping.as_mut(), accepted).await {
            Either::First(()) => break,
            Either::Second(Either::Second(())) => {}
            Either::Second(Either::First(Ok(stream))) => {
                let (node, doors) = (node.clone(), doors.clone());
                connections.push(R::spawn("client connection", async move {
                    // A client that breaks off is its own affair.
                    let _ = connection(stream, node, doors, options).await;
                }));
            }
            Either::Second(Either::First(Err(error))) => {
                tracing::warn!(error = %error, "cannot accept a client connection");
                R::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let drained = async { while connections.next().await.is_some() {} };
    timeout::<R, _>(LINGER, drained).await;
}

async fn next_or_never(connections: &mut FuturesUnordered<Task<()>>) {
    if connections.next().await.is_none() {
        std::future::pending::<()>().await;
    }
}

async fn connection<R: Runtime, S: Stream>(
    mut stream: S,
    node: Node<R>,
    doors: Doors<R>,
    options: ServerOptions,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, "the client sent nothing");
    let first =
        timeout::<R, _>(FIRST_BYTES, first_bytes(&mut stream)).await.unwrap_or_else(|| Err(late()))?;
    let is_http2 = first.starts_with(HTTP2);
    let io = HyperIo::new(stream, first);
    let stopping = async {
        node.stopping().await;
    };
    let mut stopping = pin!(stopping);
    if is_http2 {
        let service = service_fn(move |request| doors.clone().call(request));
        let connection = hyper::server::conn::http2::Builder::new(Executor::<R>::new())
            .timer(Timer::<R>::new())
            .max_concurrent_streams(options.max_concurrent_streams)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(1024 * 1024)
            .serve_connection(io, service);
        let mut connection = pin!(connection);
        if let Either::First(ended) = select(connection.as_mut(), stopping.as_mut()).await {
            return Ok(ended?);
        }
        connection.as_mut().graceful_shutdown();
        Ok(connection.await?)
    } else {
        let served = node.clone();
        let service = service_fn(move |request| plain_http::answer(served.clone(), request));
        let connection =
            hyper::server::conn::http1::Builder::new().timer(Timer::<R>::new()).serve_connection(io, service);
        let mut connection = pin!(connection);
        if let Either::First(ended) = select(connection.as_mut(), stopping.as_mut()).await {
            return Ok(ended?);
        }
        connection.as_mut().graceful_shutdown();
        Ok(connection.await?)
    }
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
