//! The doors: one accept loop, the same in both worlds. HTTP/2 carries gRPC, HTTP/1.1 carries
//! `/health` and `/version`, on one port. Translation and limits only, no decisions.

mod accept;
mod client;
mod cluster;
mod context;
mod doors;
mod health;
mod hyper_io;
mod kv;
mod maintenance;
mod plain_http;
mod status;
mod streams;
pub mod translate;
mod watch;

pub use accept::serve;
pub use client::{GrpcChannel, GrpcChannelError};
pub use hyper_io::{Executor, HyperIo, Timer};

/// Knobs of the doors.
#[derive(Clone, Copy, Debug)]
pub struct ServerOptions {
    /// Streams one connection may have open (M10).
    pub max_concurrent_streams: u32,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions { max_concurrent_streams: u32::MAX }
    }
}
