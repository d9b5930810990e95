//! Online checkers: pure, fed by the runner with what clients, members and disks do.

mod checks;
pub mod digest;
pub mod disk_log;
mod election;
mod history;
mod lease;
mod lock;
mod permission;
mod pre_vote;
mod raft;
mod ranges;
mod violation;
mod watch;
pub mod wgl;

pub use checks::{CheckConfig, Checks};
pub use disk_log::DiskLog;
pub use election::{Elections, Followed, Question};
pub use history::{Again, History, LeaseChange, OpId, Outcome};
pub use lease::{Asked, LeaseCounts, Leases};
pub use lock::{Locks, Wanted, created_at};
pub use permission::{Asker, Permissions};
pub use pre_vote::{Link, PreVote};
pub use raft::Raft;
pub use violation::{Checked, Violation};
pub use watch::Watches;

#[cfg(test)]
mod tests;
