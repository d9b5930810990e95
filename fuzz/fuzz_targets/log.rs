//! What it does: sim/src/fuzz/log.rs.
#![no_main]

etched_fuzz::fuzz!("log");
