//! `cargo sim`: runs, replays and breaks Etched in simulation.

use std::process::ExitCode;

fn main() -> ExitCode {
    etched_sim::cli::main()
}
