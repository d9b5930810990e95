//! What every fuzz target's program does before its first input.

pub use libfuzzer_sys;

/// The program of one target.
#[macro_export]
macro_rules! fuzz {
    ($name:literal) => {
        use $crate::libfuzzer_sys;

        libfuzzer_sys::fuzz_target!(
            init: $crate::begin($name),
            |data: &[u8]| $crate::run($name, data)
        );
    };
}

/// Writes the first corpus if `ETCHED_FUZZ_SEEDS` names a folder for it; activates the planted bug that
/// `ETCHED_FUZZ_PLANT` names.
pub fn begin(name: &str) {
    let target = etched_sim::fuzz::target(name).expect("every target's name is in the table");
    if let Some(folder) = std::env::var_os("ETCHED_FUZZ_SEEDS") {
        for (number, seed) in (target.seeds)().into_iter().enumerate() {
            let path = std::path::Path::new(&folder).join(format!("seed-{number:02}"));
            if let Err(error) = std::fs::write(&path, seed) {
                eprintln!("cannot write {}: {error}", path.display());
                std::process::exit(2);
            }
        }
    }
    if let Ok(plant) = std::env::var("ETCHED_FUZZ_PLANT")
        && let Err(error) = etched_sim::fuzz::plant(&plant)
    {
        eprintln!("{error}");
        std::process::exit(2);
    }
}

/// One input.
pub fn run(name: &str, data: &[u8]) {
    let target = etched_sim::fuzz::target(name).expect("every target's name is in the table");
    (target.run)(data);
}
