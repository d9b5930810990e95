//! The simulator: the madsim world in which unchanged Etched nodes run, and all that drives and
//! judges them.

#[cfg(not(madsim))]
compile_error!(
    "the simulator needs `--cfg madsim`. The committed .cargo/config.toml sets it: run cargo \
     inside the repository (not with --manifest-path from elsewhere), and do not set RUSTFLAGS, \
     which replaces the committed flags (or add `--cfg madsim` to it)."
);

mod candidate;
pub mod check;
pub mod cli;
mod client;
mod clients;
mod cluster;
mod corpus;
pub mod fuzz;
mod guest;
mod host;
mod lessee;
mod locker;
mod nemesis;
mod observer;
mod one;
mod parent;
mod plan;
mod retrier;
mod scenario;
mod stranger;
mod table;
mod watcher;
pub mod world;
