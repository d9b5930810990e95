//! Scenarios: strict TOML files in `scenarios/`. An unknown key is an error that names its line.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// One scenario. Times are milliseconds of true (virtual) time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// One line for `cargo sim list`.
    pub about: String,
    /// Members.
    pub nodes: u32,
    /// Clients that read and write.
    pub clients: u32,
    /// Clients that watch.
    pub watchers: u32,
    /// Whether some watchers ask for progress and cancel in one breath, while events come.
    #[serde(default)]
    pub hasty_watchers: bool,
    /// Clients that hold leases.
    #[serde(default)]
    pub lessees: u32,
    /// Clients that number their writes and send them again when they do not know what became of them.
    #[serde(default)]
    pub retriers: u32,
    /// Clients that observe elections; without one nobody stands for any.
    #[serde(default)]
    pub observers: u32,
    /// Clients with users, beside the one that keeps the users; without any nothing is checked.
    #[serde(default)]
    pub guests: u32,
    /// Operations a second of each client.
    pub rate: u32,
    /// Length of the phase with faults.
    pub duration_ms: u64,
    /// Deadline of the phase after them.
    pub liveness_ms: u64,
    /// Whether each seed switches some faults and operations off.
    #[serde(default)]
    pub swarm: bool,
    /// Whether the product's odd-but-legal sites may fire.
    #[serde(default)]
    pub buggify: bool,
    /// Applied entries between checkpoints.
    #[serde(default = "default_snapshot_count")]
    pub snapshot_count: u64,
    /// Entries kept behind a checkpoint.
    #[serde(default = "default_catchup_entries")]
    pub catchup_entries: u64,
    /// Largest delay of a member's first start.
    #[serde(default)]
    pub stagger_ms: u64,
    /// Whether, in half of the seeds, one member is first started with another initial cluster.
    #[serde(default)]
    pub differing_list: bool,
    /// Whether members die between their identity file and their first vote.
    #[serde(default)]
    pub bootstrap_deaths: bool,
    /// Mean time between faults of each kind; absent for never.
    #[serde(default)]
    pub faults: Faults,
}

/// Mean time between two faults of a kind, in milliseconds; 0 for never.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// Random split of members and clients.
    pub partition: u64,
    /// One member (often the leader) is cut off from the other members only.
    pub isolate: u64,
    /// Messages from one member to another are held back, one way.
    pub one_way: u64,
    /// One process is killed.
    pub kill: u64,
    /// The leader's process is killed.
    pub kill_leader: u64,
    /// One machine loses power, sometimes inside a disk operation.
    pub power_cut: u64,
    /// All machines lose power.
    pub power_cut_all: u64,
    /// One member stands still.
    pub pause: u64,
    /// One clock changes its rate.
    pub clock_rate: u64,
    /// One clock drifts by up to a tenth.
    pub clock_drift: u64,
    /// One clock all but stands still for a while.
    pub clock_freeze: u64,
    /// One clock jumps.
    pub clock_jump: u64,
    /// One disk is slow and stalls.
    pub slow_disk: u64,
    /// Connections between two machines are reset.
    pub reset: u64,
    /// The way between two machines is slow and loses connection attempts.
    pub slow_link: u64,
    /// One disk's operations and syncs sometimes fail.
    pub disk_error: u64,
    /// One disk is full.
    pub full_disk: u64,
    /// One byte of one member rots while it is down, as often as the fault atlas allows.
    pub bit_rot: u64,
}

fn default_snapshot_count() -> u64 {
    100
}

fn default_catchup_entries() -> u64 {
    20
}

/// The folder of the scenario files: `scenarios/` beside the workspace's manifest.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

/// Reads one scenario by name.
pub fn load(name: &str) -> Result<Scenario, String> {
    let path = folder().join(format!("{name}.toml"));
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("no scenario {name:?} ({}: {error}); see cargo sim list", path.display()))?;
    parse(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Checks a scenario's text.
pub fn parse(text: &str) -> Result<Scenario, String> {
    let scenario: Scenario = toml::from_str(text).map_err(|error| error.to_string())?;
    if scenario.nodes == 0
        || scenario.nodes > 9
        || scenario.clients + scenario.guests == 0
        || scenario.rate == 0
    {
        return Err("nodes must be 1 to 9, clients or guests and rate at least 1".to_string());
    }
    Ok(scenario)
}

/// All scenarios by name.
pub fn all() -> Result<Vec<(String, Scenario)>, String> {
    let entries = std::fs::read_dir(folder()).map_err(|error| error.to_string())?;
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(|error| error.to_string())?.file_name().to_string_lossy().into_owned();
        if let Some(name) = name.strip_suffix(".toml") {
            names.push(name.to_string());
        }
    }
    names.sort();
    names.into_iter().map(|name| load(&name).map(|scenario| (name, scenario))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_committed_scenario_is_valid() {
        assert!(all().expect("valid").len() >= 8);
    }

    #[test]
    fn an_unknown_key_names_its_line() {
        let text = "about = \"x\"\nnodes = 3\nclients = 1\nwatchers = 0\nrate = 1\nduration_ms = 1\n\
                    liveness_ms = 1\nnodez = 4\n";
        let error = parse(text).expect_err("unknown key");
        assert!(error.contains("nodez") && error.contains("line 8"), "{error}");
        let error = parse(&text.replace("nodez = 4", "[faults]\nflood = 3")).expect_err("unknown fault");
        assert!(error.contains("flood"), "{error}");
    }
}
