//! Doctored histories: a clean one passes every checker, each mutation is found by its name.

mod election;
mod history;
mod lease;
mod lock;
mod members;
mod raft;
mod twice;
mod watch;
mod wgl;
