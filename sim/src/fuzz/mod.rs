//! What the fuzz targets do with a byte string. They are compiled, tested and linted with the
//! workspace; `fuzz/` only hands them the fuzzer's bytes. A target panics when it found something.

mod checkpoint;
mod cluster;
mod codec;
mod commands;
mod damage;
mod flags;
mod image;
mod input;
mod log;
mod reference;
mod store;
#[cfg(test)]
mod tests;
mod wire;

use etched::planted::{self, Plant};

pub use input::Input;

/// One fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it does with one input.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: [Target; 6] = [
    Target { name: "codec", run: codec::run, seeds: codec::seeds },
    Target { name: "log", run: log::run, seeds: log::seeds },
    Target { name: "checkpoint", run: checkpoint::run, seeds: checkpoint::seeds },
    Target { name: "commands", run: commands::run, seeds: commands::seeds },
    Target { name: "cluster", run: cluster::run, seeds: cluster::seeds },
    Target { name: "flags", run: flags::run, seeds: flags::seeds },
];

/// The target of that name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}

/// Activates a planted bug for this process, to see a target find it.
pub fn plant(id: &str) -> Result<(), String> {
    let plant = Plant::ALL.iter().copied().find(|plant| plant.id() == id);
    planted::activate(Some(plant.ok_or_else(|| format!("no planted bug {id:?}; see cargo sim mutants"))?));
    Ok(())
}
