//! The input is the plan of a small cluster's run in the simulator, with all of its checks.
//!
//! Consensus under faults that the fuzzer chose. Same bytes, same run.

use crate::plan::{Fault, Plan, TimedFault};
use crate::scenario::{Faults, Scenario};
use crate::world::isolated;
use crate::{one, plan};

use super::Input;

const NODES: u32 = 3;
const MAX_FAULTS: usize = 24;

/// One input: sizes and weights, then faults in order of time.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (scenario, seed, plan) = decode(&mut input);
    // A world lives on a thread of its own, so that no run sees what another left behind.
    let told = plan.clone();
    let verdict = isolated(move || one::run_plan("fuzz", &scenario, seed, &plan, None));
    assert!(verdict.code == one::GOOD, "{}: {} (seed {seed}, {told:?})", verdict.checker, verdict.message);
}

fn decode(input: &mut Input<'_>) -> (Scenario, u64, Plan) {
    let seed = u64::from(input.byte());
    let switches = input.byte();
    // Five fates of leases, numbered writes, elections, watchers in a hurry.
    let coordination = input.byte();
    let bit = |at: u32| u32::from(coordination >> at & 1);
    let leases = [0, 1, 2, 3, 4].map(bit);
    let scenario = Scenario {
        about: "the fuzzer's own".to_string(),
        nodes: NODES,
        clients: 3,
        watchers: u32::from(switches & 1),
        hasty_watchers: bit(7) == 1,
        lessees: 2,
        retriers: 1,
        observers: 1,
        guests: 0,
        rate: 20,
        duration_ms: 3000 + u64::from(switches >> 6) * 500,
        liveness_ms: 40_000,
        swarm: false,
        buggify: switches & 2 != 0,
        snapshot_count: if switches & 4 != 0 { 10 } else { 1000 },
        catchup_entries: if switches & 8 != 0 { 2 } else { 100 },
        stagger_ms: if switches & 16 != 0 { 500 } else { 0 },
        differing_list: false,
        bootstrap_deaths: switches & 32 != 0,
        faults: Faults::default(),
    };
    let mut workload = [30, 30, 8, 24, 3];
    workload[1..].iter_mut().for_each(|weight| *weight *= input.below(4) as u32);
    let mut faults = Vec::new();
    let mut at_ms = 0;
    while !input.is_empty() && faults.len() < MAX_FAULTS {
        let kind = input.byte();
        at_ms += u64::from(input.byte()) * 8;
        let for_ms = 50 + u64::from(input.byte()) * 12;
        faults.push(TimedFault { at_ms, for_ms, fault: fault(kind, input) });
    }
    let (retries, elections) = (bit(5) == 1, bit(6) == 1);
    (scenario, seed, Plan { workload, leases, retries, elections, faults, ..Plan::default() })
}

fn fault(kind: u8, input: &mut Input<'_>) -> Fault {
    let some = |input: &mut Input<'_>| 1 + input.below(NODES as usize) as u32;
    let or_leader = |input: &mut Input<'_>| input.below(NODES as usize + 1) as u32;
    match kind % 11 {
        0 => Fault::Partition(1 + input.below((1 << NODES) - 2) as u64),
        1 => Fault::Isolate(or_leader(input)),
        2 => Fault::OneWay(some(input), some(input)),
        3 => Fault::Kill(or_leader(input)),
        4 => {
            let node = some(input);
            let inside = input.byte();
            Fault::PowerCut(node, (inside & 1 == 1).then_some(u64::from(inside >> 1)))
        }
        5 => Fault::PowerCutAll,
        6 => Fault::Pause(or_leader(input)),
        7 => Fault::ClockRate(or_leader(input), input.pick(&plan::CLOCK_RATES_PPM)),
        8 => {
            let (node, forward_ms) = (some(input), u64::from(input.byte()) * 12);
            Fault::ClockJump(node, forward_ms, i64::from(input.byte()) * 80 - 10_000)
        }
        9 => Fault::SlowDisk(some(input)),
        _ => Fault::Reset(some(input), some(input)),
    }
}

/// A calm run, and one of each kind of fault, every other with all of coordination.
pub fn seeds() -> Vec<Vec<u8>> {
    let calm = vec![1, 1, 0xff, 1, 1, 1, 1];
    let one = |kind: u8| {
        let coordination = if kind.is_multiple_of(2) { 0 } else { 0xff };
        [&[kind, 7, coordination, 1, 1, 1, 1, kind, 150, 90, 0, 40][..], &[kind, 60, 50, 1, 2]].concat()
    };
    std::iter::once(calm).chain((0..11).map(one)).collect()
}
