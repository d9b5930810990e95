//! Etched: an etcd-compatible replicated key-value store whose every failure replays from a seed.
//!
//! The rooms, from the ground up (docs/ARCHITECTURE.md): `types` the words, `runtime` the traits
//! both worlds implement, `codec` bytes, `mvcc`/`lease`/`members`/`auth`/`state` the pure replicated
//! state, `watch` the hub, `wal` and `checkpoint` durability, `raft` the engine, `node` the hall,
//! `server` the doors, `os` production, `cli` the program.

#[macro_use]
mod plant;
#[cfg(planted)]
pub use plant::planted;

pub mod auth;
pub mod checkpoint;
pub mod cli;
pub mod codec;
pub mod lease;
pub mod members;
pub mod mvcc;
pub mod node;
pub mod os;
pub mod raft;
pub mod runtime;
pub mod server;
pub mod state;
pub mod types;
pub mod wal;
pub mod watch;
