//! A small gRPC channel over one HTTP/2 connection, for tests, benchmarks and the simulator's
//! clients: the generated clients run on it in both worlds.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response, Uri, uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use tonic::body::Body;
use tower::Service;

use super::hyper_io::{Executor, HyperIo, Timer};
use crate::runtime::{Net, Runtime};

/// What a member may send ahead on one stream.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// The connection could not be made or broke; in a sentence.
#[derive(Debug)]
pub struct GrpcChannelError(String);

impl fmt::Display for GrpcChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for GrpcChannelError {}

/// One HTTP/2 connection to a member; clones share it.
#[derive(Clone)]
pub struct GrpcChannel {
    sender: SendRequest<Body>,
    authority: uri::Authority,
}

impl GrpcChannel {
    /// Connects to `address` (`host:port`). Put a time-out around it.
    pub async fn connect<R: Runtime>(net: &R::Net, address: &str) -> Result<Self, GrpcChannelError> {
        Self::with_window::<R>(net, address, STREAM_WINDOW_BYTES).await
    }

    /// The same for a client that lets the member send `window` bytes ahead on each stream.
    pub async fn with_window<R: Runtime>(
        net: &R::Net,
        address: &str,
        window: u32,
    ) -> Result<Self, GrpcChannelError> {
        let failed = |why: String| GrpcChannelError(format!("cannot connect to {address}: {why}"));
        let authority: uri::Authority = address.parse().map_err(|error| failed(format!("{error}")))?;
        let stream = net.dial(address).await.map_err(|error| failed(error.to_string()))?;
        let (sender, connection) = Builder::new(Executor::<R>::new())
            .timer(Timer::<R>::new())
            .initial_stream_window_size(window)
            .initial_connection_window_size(4 * 1024 * 1024)
            .handshake(HyperIo::new(stream))
            .await
            .map_err(|error| failed(error.to_string()))?;
        let connection = async move {
            // Its end shows in the requests that fail.
            let _ = connection.await;
        };
        R::spawn_raw("grpc channel", Box::pin(connection)).detach();
        Ok(GrpcChannel { sender, authority })
    }
}

impl Service<Request<Body>> for GrpcChannel {
    type Response = Response<Incoming>;
    type Error = GrpcChannelError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, GrpcChannelError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), GrpcChannelError>> {
        self.sender.poll_ready(cx).map_err(|error| GrpcChannelError(error.to_string()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(uri::Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        let uri = Uri::from_parts(parts);
        let mut sender = self.sender.clone();
        Box::pin(async move {
            *request.uri_mut() = uri.map_err(|error| GrpcChannelError(error.to_string()))?;
            sender.send_request(request).await.map_err(|error| GrpcChannelError(error.to_string()))
        })
    }
}
