//! What it does: sim/src/fuzz/cluster.rs.
#![no_main]

etched_fuzz::fuzz!("cluster");
