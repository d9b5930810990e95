//! The replicated state machine: `apply` a command, get the answer, the revision and the events.
//!
//! Pure and synchronous: no time, no I/O, no randomness. `apply` is total: any envelope that can be
//! decoded gives a response or an error, and nothing but the envelope and the state decides which.

mod apply;
mod auth;
mod digest;
mod machine;
mod permit;
mod restore;
mod retries;
mod tick;
mod txn;
mod view;
mod walk;

#[cfg(test)]
mod tests;

pub use crate::mvcc::{HashKv, Removal, is_cut};
pub use machine::{Applied, State, StateMeta};
pub use restore::RestoreError;
pub use view::View;
pub use walk::RangeWalk;
