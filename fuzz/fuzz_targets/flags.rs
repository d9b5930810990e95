//! What it does: sim/src/fuzz/flags.rs.
#![no_main]

etched_fuzz::fuzz!("flags");
