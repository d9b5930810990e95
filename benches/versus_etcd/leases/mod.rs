//! Leases: what they cost, how late they end, and what others feel of it.

pub mod cost;
pub mod crowd;
pub mod expiry;
