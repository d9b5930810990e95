//! Online checkers: pure, fed by the runner with what clients, members and disks do.

pub mod digest;
mod disk_log;
mod pre_vote;
mod raft;
mod violation;

pub use disk_log::DiskLog;
pub use pre_vote::{Link, PreVote};
pub use raft::Raft;
pub use violation::{Checked, Violation};

#[cfg(test)]
mod tests;
