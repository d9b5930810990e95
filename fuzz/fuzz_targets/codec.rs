//! What it does: sim/src/fuzz/codec.rs.
#![no_main]

etched_fuzz::fuzz!("codec");
