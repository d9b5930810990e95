//! Which clients a run has.

use crate::client::{Shared, run_client};
use crate::guest::run_guest;
use crate::host::run_host;
use crate::lessee::{Habits, run_lessee};
use crate::observer::run_observer;
use crate::plan::Plan;
use crate::retrier::run_retrier;
use crate::scenario::Scenario;
use crate::watcher::run_watcher;

/// Starts all clients, each on a machine of its own: those that read and write, that watch, that hold
/// leases, that number their writes, that observe elections, that have users.
pub fn start_clients(shared: &Shared, scenario: &Scenario, plan: &Plan) {
    let world = &shared.world;
    let (rate, workload) = (scenario.rate, plan.workload);
    let habits =
        Habits { weights: plan.leases, elections: plan.elections, renews_while_asking: scenario.buggify };
    let lessees = if plan.leases == [0; 5] { 0 } else { scenario.lessees };
    let retriers = if plan.retries { scenario.retriers } else { 0 };
    let observers = if plan.elections { scenario.observers } else { 0 };
    let hasty = scenario.hasty_watchers;
    // The guests come last, and behind them who keeps the users.
    let guests = scenario.guests + u32::from(scenario.guests > 0);
    let kinds = [scenario.clients, scenario.watchers, lessees, retriers, observers, guests].map(u64::from);
    let last = [1, 2, 3, 4, 5, 6].map(|upto| kinds[..upto].iter().sum::<u64>());
    for number in 1..=last[5] {
        let node = world.add_node(&format!("c{number}"));
        let told = shared.clone();
        if number <= last[0] {
            world.start(node, async move { run_client(told, node, number, rate, workload).await });
        } else if number <= last[1] {
            world.start(node, async move { run_watcher(told, node, number, hasty).await });
        } else if number <= last[2] {
            world.start(node, async move { run_lessee(told, node, number, habits).await });
        } else if number <= last[3] {
            world.start(node, async move { run_retrier(told, node, number).await });
        } else if number <= last[4] {
            world.start(node, async move { run_observer(told, node, number).await });
        } else if number < last[5] {
            world.start(node, async move { run_guest(told, node, number).await });
        } else {
            let guests = (last[4] + 1..number).collect();
            world.start(node, async move { run_host(told, node, number, guests).await });
        }
    }
}
