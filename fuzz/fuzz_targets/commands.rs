//! What it does: sim/src/fuzz/commands.rs.
#![no_main]

etched_fuzz::fuzz!("commands");
