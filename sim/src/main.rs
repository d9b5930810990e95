//! `cargo sim`: runs, replays and breaks Etched in simulation.

use std::process::ExitCode;

/// The product's, and faster. Nothing here depends on where memory lies.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    etched_sim::cli::main()
}
