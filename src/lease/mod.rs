//! The replicated part of leases: which exist, with which TTL, when they end, and which keys each
//! holds.
//!
//! Deadlines are in a replicated clock, which the leader moves by ticks through the log (`LeaseTick`)
//! and which stands still while nobody leads. A lease granted since the last tick is settled by the
//! next: it runs from that tick's clock. So no real clock is read here, and what is due is the same
//! on every member.

mod keys;
mod leases;
#[cfg(test)]
mod tests;

pub use leases::{Lease, Leases};
