//! The replicated part of leases: which exist, with which TTL, and which keys each holds.
//!
//! Deadlines and keep-alives are not here: they belong to the leader's keeper, and an expiry
//! comes back as a revoke through the log (L9).

mod leases;
#[cfg(test)]
mod tests;

pub use leases::{Lease, Leases, MAX_TTL_S};
