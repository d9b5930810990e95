//! The deterministic channels: bounded, and waking in order of waiting.
//!
//! `mpsc`, `oneshot`, `Notify` and `Semaphore` are tokio's (measured deterministic, no runtime
//! needed). `tokio::sync::watch` wakes in a random order, so `watch` is our own.

pub mod watch;

pub use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
