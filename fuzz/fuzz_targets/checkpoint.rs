//! What it does: sim/src/fuzz/checkpoint.rs.
#![no_main]

etched_fuzz::fuzz!("checkpoint");
