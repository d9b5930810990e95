//! The program: flags, logs, start and stop.

mod duration;
mod flags;
mod logging;
mod options;
mod run;
mod util;

pub use flags::{Flag, Given, read};
pub use options::{Options, parse};
pub use run::main;
