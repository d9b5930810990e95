//! The plan of one seed: every fault with its time, drawn before the run begins and printed with a
//! failure.

use serde::Serialize;

use crate::scenario::{Faults, Scenario};
use crate::world::streams::Stream;

/// One fault at one time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TimedFault {
    /// True time.
    pub at_ms: u64,
    /// How long it lasts.
    pub for_ms: u64,
    /// What happens.
    pub fault: Fault,
}

/// What can happen. Members are numbered from 1; "leader" means whoever leads at that time.
#[derive(Clone, Debug, PartialEq, Serialize)]
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
    /// A clock jumps forward, and its wall clock by a signed amount, in milliseconds.
    ClockJump(u32, u64, i64),
    /// A disk is slow.
    SlowDisk(u32),
    /// Connections between two members are reset.
    Reset(u32, u32),
}

/// Rates that a clock may change to, in parts per million from the true one.
pub const CLOCK_RATES_PPM: [i64; 8] =
    [-800_000, -600_000, -500_000, -100_000, -10_000, 10_000, 100_000, 1_000_000];

/// What a seed will do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Kinds of faults that this seed leaves out.
    pub without: Vec<&'static str>,
    /// Weights of put, range, delete, transaction, compaction.
    pub workload: [u32; 5],
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
                without.push(name);
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
    Plan { without, workload, faults }
}

fn kinds(faults: &Faults) -> [(&'static str, u64); 12] {
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
        "clock_jump" => {
            let wall = stream.below(20_000) as i64 - 10_000;
            Fault::ClockJump(some(stream), stream.below(3000), wall)
        }
        "slow_disk" => Fault::SlowDisk(some(stream)),
        _ => Fault::Reset(some(stream), some(stream)),
    }
}
