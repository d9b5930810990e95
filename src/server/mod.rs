//! The doors: one accept loop, the same in both worlds. HTTP/2 carries gRPC, HTTP/1.1 carries
//! `/health` and `/version`, on one port. Translation and limits only, no decisions.

mod accept;
mod ahead;
mod alarm;
mod auth;
mod client;
mod cluster;
mod context;
mod doors;
mod election;
mod encode;
mod exchange;
mod frames;
mod health;
mod http2;
mod hyper_io;
mod incoming;
mod keep_alives;
mod kv;
mod lease;
mod lock;
mod maintenance;
mod outbox;
mod pieces;
mod pings;
mod plain_http;
mod range;
mod request_body;
mod rest;
mod silence;
mod status;
mod streams;
#[cfg(test)]
mod tests;
pub mod translate;
mod unary;
mod watch;
mod watch_messages;

pub use accept::serve;
pub use client::{GrpcChannel, GrpcChannelError};
pub use hyper_io::{Executor, HyperIo, Timer};

/// Knobs of the doors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerOptions {
    /// Streams one connection may have open (M10).
    pub max_concurrent_streams: u32,
    /// Time that clients leave between pings (`--grpc-keepalive-min-time`, M9).
    pub keep_alive_min_time_ms: u64,
    /// Time without a word from a client after which it is pinged (`--grpc-keepalive-interval`).
    pub keep_alive_interval_ms: u64,
    /// Time after which a client that was pinged and said nothing is dropped (`--grpc-keepalive-timeout`).
    pub keep_alive_timeout_ms: u64,
    /// Time for a client's first bytes, and then for the rest of its greeting: by HTTP/2 the preface and
    /// the head of its first frame, by HTTP/1.1 its headers.
    pub greeting_timeout_ms: u64,
}

impl ServerOptions {
    fn greeting_timeout(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.greeting_timeout_ms)
    }
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            max_concurrent_streams: u32::MAX,
            keep_alive_min_time_ms: 5000,
            keep_alive_interval_ms: 2 * 3600 * 1000,
            keep_alive_timeout_ms: 20_000,
            greeting_timeout_ms: 300_000,
        }
    }
}
