//! Byte streams between addresses. The same framing and HTTP code runs on both worlds' streams.

use std::future::Future;
use std::io;

/// A connected, ordered, reliable byte stream. The vocabulary is tokio's I/O traits (no runtime).
pub trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Sync + Unpin + 'static {
    /// The other end, as `ip:port`, for logs.
    fn peer_address(&self) -> String;
}

/// A bound listening address.
pub trait Listener: Send + Sync + 'static {
    /// What an accepted connection is.
    type Stream: Stream;

    /// Waits for the next connection.
    fn accept(&mut self) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// The bound address, as `ip:port` (useful after binding port 0).
    fn local_address(&self) -> String;
}

/// The network a node is attached to.
pub trait Net: Clone + Send + Sync + 'static {
    /// What a connection is.
    type Stream: Stream;
    /// What a bound address is.
    type Listener: Listener<Stream = Self::Stream>;

    /// Binds `address` (`ip:port` or `localhost:port`).
    fn listen(&self, address: &str) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// Connects to `address` (`host:port`). May hang for as long as the network does: put a
    /// timeout around it.
    fn dial(&self, address: &str) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}
