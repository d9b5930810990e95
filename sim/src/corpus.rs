//! Bugs that were found: explicit plans in `scenarios/corpus/`, which last longer than seeds, since
//! a seed means another run after every change of what is drawn from it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::Arguments;
use crate::plan::Plan;
use crate::{one, parent, scenario};

/// One found bug.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What went wrong, in a sentence.
    pub about: String,
    /// The scenario whose members, clients and deadlines are used.
    pub scenario: String,
    /// For what the plan leaves open: delays, the workload's draws.
    pub seed: u64,
    /// The planted bug that brings it back, if there is one.
    #[serde(default)]
    pub plant: Option<String>,
    /// The faults.
    pub plan: Plan,
}

/// Reads one entry; a failure folder's `plan.json` is one as well.
pub fn read(path: &Path) -> Result<Entry, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("{shown}: {error}"))
}

fn files() -> Result<Vec<PathBuf>, String> {
    let folder = scenario::folder().join("corpus");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>();
    if let Ok(paths) = &mut paths {
        paths.sort();
    }
    paths.map_err(|error| error.to_string())
}

/// `cargo sim corpus`: every entry must run well; with a planted bug, the entries of that bug must
/// fail.
pub(crate) fn run(arguments: &Arguments) -> Result<i32, String> {
    let mut worst = one::GOOD;
    let (mut good, mut bad) = (0, 0);
    for path in files()? {
        let entry = read(&path)?;
        let plant = arguments.plant;
        if plant.is_some_and(|plant| entry.plant.as_deref() != Some(plant.id())) {
            continue;
        }
        let plan = path.display().to_string();
        let running = parent::start(&entry.scenario, entry.seed, plant, &["--plan", &plan])?;
        let verdict = parent::wait(&entry.scenario, running)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let outcome = match verdict.code {
            one::GOOD => "good".to_string(),
            _ => format!("{}: {}", verdict.checker, verdict.message),
        };
        println!("{name:30} {outcome}");
        let is_right = (verdict.code == one::GOOD) == plant.is_none();
        good += u32::from(is_right);
        bad += u32::from(!is_right);
        if !is_right {
            println!("  cargo sim replay {} {} --plan {plan} --trace", entry.seed, entry.scenario);
            worst = worst.max(verdict.code.max(one::INVARIANT));
        }
    }
    println!("corpus: {good} as expected, {bad} not");
    Ok(worst)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_reads_and_names_what_exists() {
        for path in files().expect("a folder") {
            let entry = read(&path).expect("valid");
            scenario::load(&entry.scenario).expect("its scenario");
            let known = |id: &String| etched::planted::Plant::ALL.iter().any(|plant| plant.id() == id);
            assert!(entry.plant.as_ref().is_none_or(known), "{}", path.display());
        }
    }
}
