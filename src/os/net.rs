//! TCP.
#![expect(clippy::disallowed_types, reason = "this is the network")]

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::runtime::{Listener, Net, Stream};

mod tcp {
    pub use tokio::net::{TcpListener, TcpStream};
}

/// The machine's network.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsNet;

/// A TCP connection without Nagle's delay.
pub struct OsStream {
    inner: tcp::TcpStream,
    peer: String,
}

/// A listening TCP socket.
pub struct OsListener(tcp::TcpListener);

fn stream(inner: tcp::TcpStream) -> io::Result<OsStream> {
    inner.set_nodelay(true)?;
    let peer = inner.peer_addr().map(|address| address.to_string()).unwrap_or_default();
    Ok(OsStream { inner, peer })
}

impl Net for OsNet {
    type Stream = OsStream;
    type Listener = OsListener;

    async fn listen(&self, address: &str) -> io::Result<OsListener> {
        // tokio sets SO_REUSEADDR and not SO_REUSEPORT: a second process on the port fails.
        tcp::TcpListener::bind(address).await.map(OsListener)
    }

    async fn dial(&self, address: &str) -> io::Result<OsStream> {
        stream(tcp::TcpStream::connect(address).await?)
    }
}

impl Listener for OsListener {
    type Stream = OsStream;

    async fn accept(&mut self) -> io::Result<OsStream> {
        let (inner, _) = self.0.accept().await?;
        stream(inner)
    }

    fn local_address(&self) -> String {
        self.0.local_addr().map(|address| address.to_string()).unwrap_or_default()
    }
}

impl Stream for OsStream {
    fn peer_address(&self) -> String {
        self.peer.clone()
    }
}

impl AsyncRead for OsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for OsStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Most writes are of one buffer, and the system call for one does less.
        match buffers {
            [one] => Pin::new(&mut self.inner).poll_write(cx, one),
            many => Pin::new(&mut self.inner).poll_write_vectored(cx, many),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
