//! The state machine as the tests of the workspace's root drive it, over the simulator's compilation.

#[path = "../../../tests/store/mod.rs"]
mod shared;

pub use shared::{Store, command, failure, same_history, shown};
