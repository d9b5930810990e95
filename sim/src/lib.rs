//! The simulator.

pub mod check;
