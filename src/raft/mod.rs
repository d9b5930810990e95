//! The engine: openraft over our log, state machine and peer links. The only room that says
//! openraft.
//!
//! openraft is pinned exactly. What it does differently from etcd is handled here: pre-vote on and
//! answered by real peers, no leader restored after a restart, a fresh leader's refusals retried
//! inside the deadline, purges only behind the durable checkpoint, and a leader shown to clients
//! only while its lease is good.

mod applied;
mod background;
mod channels;
mod config;
mod engine;
mod forward;
mod handler;
mod leases;
mod log_store;
mod machine;
mod network;
mod peer;
mod propose;
mod queue;
mod rounds;
mod runtime;
mod snapshot;
mod status;
mod waiting;

pub use background::Removal;
pub use engine::{Engine, EngineConfig, EngineError};
pub use leases::{LeaseClock, LeaseMoment, Renewals};
pub use machine::{AppliedEntry, ApplySink};
pub use propose::ProposeError;
pub use status::EngineStatus;

#[cfg(test)]
mod tests;
