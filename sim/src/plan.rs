//! The plan of one seed: every fault with its time, drawn before the run begins and printed with a
//! failure.

use serde::{Deserialize, Serialize};

use crate::scenario::{Faults, Scenario};
use crate::world::streams::{Latency, Stream};

/// One fault at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimedFault {
    /// True time.
    pub at_ms: u64,
    /// How long it lasts.
    pub for_ms: u64,
    /// What happens.
    pub fault: Fault,
}

/// What can happen. Members are numbered from 1; "leader" means whoever leads at that time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Fault {
    /// Members whose bit is set are cut off from the others; clients stay with both sides.
    Partition(u64),
    /// A member is cut off from the other members, not from clients; 0 for the leader.
    Isolate(u32),
    /// Nothing arrives from the first at the second.
    OneWay(u32, u32),
    /// A process is killed; 0 for the leader's.
    Kill(u32),
    /// A machine loses power, at once or after some more disk operations.
    PowerCut(u32, Option<u64>),
    /// All machines lose power.
    PowerCutAll,
    /// A process stands still; 0 for the leader's.
    Pause(u32),
    /// A clock runs faster or slower, in parts per million; member 0 for the leader.
    ClockRate(u32, i64),
    /// A clock runs at a hundredth of its speed for a while; member 0 for the leader.
    ClockFreeze(u32),
    /// A clock jumps forward, and its wall clock by a signed amount, in milliseconds.
    ClockJump(u32, u64, i64),
    /// A disk is slow.
    SlowDisk(u32),
    /// Connections between two members are reset.
    Reset(u32, u32),
    /// The way from the first to the second is slow and loses connection attempts.
    SlowLink(u32, u32),
    /// Operations and syncs of a disk fail now and then.
    DiskError(u32),
    /// A disk takes no more than some bytes.
    FullDisk(u32, u64),
    /// A byte of a member's files rots while the member is down; the number chooses which.
    BitRot(u32, u64),
}

impl Fault {
    /// The kind's name, as in scenario files.
    pub fn kind(&self) -> &'static str {
        match self {
            Fault::Partition(_) => "partition",
            Fault::Isolate(_) => "isolate",
            Fault::OneWay(..) => "one_way",
            Fault::Kill(0) => "kill_leader",
            Fault::Kill(_) => "kill",
            Fault::PowerCut(..) => "power_cut",
            Fault::PowerCutAll => "power_cut_all",
            Fault::Pause(_) => "pause",
            Fault::ClockRate(..) => "clock_rate",
            Fault::ClockFreeze(_) => "clock_freeze",
            Fault::ClockJump(..) => "clock_jump",
            Fault::SlowDisk(_) => "slow_disk",
            Fault::Reset(..) => "reset",
            Fault::SlowLink(..) => "slow_link",
            Fault::DiskError(_) => "disk_error",
            Fault::FullDisk(..) => "full_disk",
            Fault::BitRot(..) => "bit_rot",
        }
    }
}

/// How long messages are on their way when nothing is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weather {
    /// 0.1 to 0.5 ms.
    #[default]
    Rack,
    /// 1 to 10 ms.
    Region,
    /// 0.2 ms and an exponential part of 3 ms, cut at 60 ms.
    LongTail,
}

impl Weather {
    /// The distribution.
    pub fn latency(self) -> Latency {
        match self {
            Weather::Rack => Latency::uniform_us(100, 500),
            Weather::Region => Latency::uniform_us(1000, 10_000),
            Weather::LongTail => Latency::Exponential { min_ns: 200_000, mean_ns: 3_000_000 },
        }
    }
}

/// Rates that a clock may change to, in parts per million from the true one.
pub const CLOCK_RATES_PPM: [i64; 8] =
    [-800_000, -600_000, -500_000, -100_000, -10_000, 10_000, 100_000, 1_000_000];

/// The most that a clock drifts, either way, where it is not meant to be broken.
const MAX_DRIFT_PPM: u64 = 100_000;

/// What a seed will do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Kinds of faults that this seed leaves out.
    pub without: Vec<String>,
    /// Weights of put, range, delete, transaction, compaction.
    pub workload: [u32; 5],
    /// Weights of what becomes of a lease: kept alive, left to expire, kept alive about when it ends,
    /// revoked, used for a lock. Nobody holds leases if all are 0.
    #[serde(default)]
    pub leases: [u32; 5],
    /// Whether some clients number their writes and send them again.
    #[serde(default)]
    pub retries: bool,
    /// Whether some leases stand for elections, and some clients observe them.
    #[serde(default)]
    pub elections: bool,
    /// How long messages are on their way.
    #[serde(default)]
    pub weather: Weather,
    /// Chance that a read from a connection gives fewer bytes than there are.
    #[serde(default)]
    pub short_reads_ppm: u32,
    /// The faults in order of time.
    pub faults: Vec<TimedFault>,
}

/// Draws the plan of `seed`.
pub fn draw(scenario: &Scenario, seed: u64) -> Plan {
    let mut stream = Stream::new(seed, "plan", 0, 0, 0);
    let mut workload = [30, 30, 8, 24, 3];
    let mut without = Vec::new();
    let mut faults = Vec::new();
    if scenario.swarm {
        for weight in &mut workload[1..] {
            if stream.below(4) == 0 {
                *weight = 0;
            }
        }
    }
    for (number, (name, mean_ms)) in kinds(&scenario.faults).into_iter().enumerate() {
        // A stream of its own for each kind, so that one kind does not shift another.
        let mut stream = Stream::new(seed, "plan.fault", 0, 0, number as u64);
        if mean_ms == 0 || (scenario.swarm && stream.coin()) {
            if mean_ms > 0 {
                without.push(name.to_string());
            }
            continue;
        }
        let mut at_ms = 500 + stream.below(2 * mean_ms);
        while at_ms < scenario.duration_ms {
            let fault = fault(name, scenario.nodes, &mut stream);
            let for_ms = 100 + stream.below(3000);
            faults.push(TimedFault { at_ms, for_ms, fault });
            at_ms += 200 + stream.below(2 * mean_ms);
        }
    }
    faults.sort_by_key(|fault| fault.at_ms);
    let mut stream = Stream::new(seed, "plan.weather", 0, 0, 0);
    let (mut weather, mut short_reads_ppm) = (Weather::Rack, 0);
    if scenario.swarm {
        let all = [Weather::Rack, Weather::Rack, Weather::Region, Weather::LongTail];
        weather = *stream.pick(&all).unwrap_or(&Weather::Rack);
        short_reads_ppm = if stream.coin() { 100_000 } else { 0 };
    }
    let leases = draw_leases(scenario, seed);
    let retries =
        scenario.retriers > 0 && (!scenario.swarm || Stream::new(seed, "plan.retries", 0, 0, 0).coin());
    let elections =
        scenario.observers > 0 && (!scenario.swarm || Stream::new(seed, "plan.elections", 0, 0, 0).coin());
    Plan { without, workload, leases, retries, elections, weather, short_reads_ppm, faults }
}

fn draw_leases(scenario: &Scenario, seed: u64) -> [u32; 5] {
    let mut weights = if scenario.lessees == 0 { [0; 5] } else { [4, 4, 4, 2, 5] };
    let mut stream = Stream::new(seed, "plan.leases", 0, 0, 0);
    if scenario.swarm {
        for weight in &mut weights {
            if stream.below(3) == 0 {
                *weight = 0;
            }
        }
        if stream.below(3) == 0 {
            weights = [0; 5];
        }
    }
    weights
}

fn kinds(faults: &Faults) -> [(&'static str, u64); 18] {
    [
        ("partition", faults.partition),
        ("isolate", faults.isolate),
        ("one_way", faults.one_way),
        ("kill", faults.kill),
        ("kill_leader", faults.kill_leader),
        ("power_cut", faults.power_cut),
        ("power_cut_all", faults.power_cut_all),
        ("pause", faults.pause),
        ("clock_rate", faults.clock_rate),
        ("clock_jump", faults.clock_jump),
        ("slow_disk", faults.slow_disk),
        ("reset", faults.reset),
        ("slow_link", faults.slow_link),
        ("disk_error", faults.disk_error),
        ("full_disk", faults.full_disk),
        ("bit_rot", faults.bit_rot),
        ("clock_drift", faults.clock_drift),
        ("clock_freeze", faults.clock_freeze),
    ]
}

fn fault(kind: &str, nodes: u32, stream: &mut Stream) -> Fault {
    let some = |stream: &mut Stream| 1 + stream.below(u64::from(nodes)) as u32;
    let often_leader = |stream: &mut Stream| if stream.coin() { 0 } else { some(stream) };
    match kind {
        "partition" => Fault::Partition(1 + stream.below((1 << nodes) - 2)),
        "isolate" => Fault::Isolate(often_leader(stream)),
        "one_way" => Fault::OneWay(some(stream), some(stream)),
        "kill" => Fault::Kill(some(stream)),
        "kill_leader" => Fault::Kill(0),
        "power_cut" => {
            let inside = stream.coin().then(|| stream.below(40));
            Fault::PowerCut(some(stream), inside)
        }
        "power_cut_all" => Fault::PowerCutAll,
        "pause" => Fault::Pause(often_leader(stream)),
        "clock_rate" => Fault::ClockRate(often_leader(stream), *stream.pick(&CLOCK_RATES_PPM).unwrap_or(&0)),
        "clock_drift" => {
            let ppm = stream.below(2 * MAX_DRIFT_PPM + 1) as i64 - MAX_DRIFT_PPM as i64;
            Fault::ClockRate(often_leader(stream), ppm)
        }
        "clock_freeze" => Fault::ClockFreeze(often_leader(stream)),
        "clock_jump" => {
            let wall = stream.below(20_000) as i64 - 10_000;
            Fault::ClockJump(some(stream), stream.below(3000), wall)
        }
        "slow_disk" => Fault::SlowDisk(some(stream)),
        "slow_link" => Fault::SlowLink(some(stream), some(stream)),
        "disk_error" => Fault::DiskError(some(stream)),
        "full_disk" => Fault::FullDisk(some(stream), stream.below(64 * 1024)),
        "bit_rot" => Fault::BitRot(some(stream), stream.word()),
        _ => Fault::Reset(some(stream), some(stream)),
    }
}
