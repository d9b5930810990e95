//! What a sweep came to: verdicts, and how often each kind of fault was part of it.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::one::{GOOD, Verdict};
use crate::plan::Plan;
use crate::scenario::Scenario;

/// Counts of one sweep.
#[derive(Clone, Debug, Default)]
pub struct Table {
    seeds: u64,
    failed: BTreeMap<String, Vec<u64>>,
    /// Kind of fault to seeds that had it and times it happened.
    faults: BTreeMap<&'static str, (u64, u64)>,
    simulated_ms: u64,
    operations: u64,
    unknown: u64,
    watch_events: u64,
    leases: [u64; 4],
    locks: u64,
    elections: [u64; 2],
    retried: u64,
    users: [u64; 4],
}

impl Table {
    /// Adds one seed.
    pub fn add(&mut self, plan: &Plan, verdict: &Verdict) {
        self.seeds += 1;
        if verdict.code != GOOD {
            self.failed.entry(verdict.checker.clone()).or_default().push(verdict.seed);
        }
        let mut times: BTreeMap<&'static str, u64> = BTreeMap::new();
        for timed in &plan.faults {
            *times.entry(timed.fault.kind()).or_default() += 1;
        }
        for (kind, count) in times {
            let total = self.faults.entry(kind).or_default();
            *total = (total.0 + 1, total.1 + count);
        }
        self.simulated_ms += verdict.simulated_ms;
        self.operations += verdict.operations;
        self.unknown += verdict.unknown;
        self.watch_events += verdict.watch_events;
        self.locks += verdict.locks;
        self.retried += verdict.retried;
        for (total, count) in self.users.iter_mut().zip(verdict.users) {
            *total += count;
        }
        for (total, count) in self.elections.iter_mut().zip(verdict.elections) {
            *total += count;
        }
        for (total, count) in self.leases.iter_mut().zip(verdict.leases) {
            *total += count;
        }
    }

    /// What happened too seldom for the sweep to prove much, of what `scenario` asks for. A few seeds may
    /// well have none of it.
    pub fn too_seldom(&self, scenario: &Scenario) -> Option<&'static str> {
        let least = |per_seed: f64| (self.seeds as f64 * per_seed) as u64;
        let rare = |wanted: bool, count: u64, per_seed: f64| wanted && count < least(per_seed);
        let (lessees, observers) = (scenario.lessees > 0, scenario.observers > 0);
        let floors = [
            (rare(scenario.clients > 0, self.operations, 20.0), "operations: fewer than 20 a seed"),
            (rare(scenario.watchers > 0, self.watch_events, 5.0), "watch events: fewer than 5 a seed"),
            (
                self.leases.iter().any(|count| rare(lessees, *count, 0.25)),
                "leases: an end that fewer than one in four seeds saw",
            ),
            (
                self.elections.iter().any(|count| rare(observers, *count, 0.1)),
                "elections: fewer than one in ten seeds",
            ),
            (rare(scenario.retriers > 0, self.retried, 0.1), "retries: fewer than one in ten seeds"),
            (
                self.users.iter().any(|count| rare(scenario.guests > 0, *count, 1.0)),
                "users: fewer changes, refusals or writes than seeds",
            ),
        ];
        let is_sweep = self.seeds >= 20;
        floors.into_iter().find_map(|(is_rare, what)| (is_rare && is_sweep).then_some(what))
    }

    /// The table as text.
    pub fn show(&self, name: &str) -> String {
        let failed: usize = self.failed.values().map(Vec::len).sum();
        let mut text = String::new();
        // Writing into a string cannot fail.
        for (kind, (seeds, times)) in &self.faults {
            let _ = writeln!(text, "  {kind:14} in {seeds:5} seeds, {times:6} times");
        }
        for (checker, seeds) in &self.failed {
            let _ = writeln!(text, "  failed {checker:14} {} seeds: {seeds:?}", seeds.len());
        }
        if self.leases != [0; 4] {
            let [granted, kept_alive, revoked, expired] = self.leases;
            let _ = writeln!(
                text,
                "  leases: {granted} granted, {kept_alive} renewals, {revoked} revoked, {expired} expired, {} locks",
                self.locks
            );
        }
        if self.elections != [0; 2] {
            let [won, seen] = self.elections;
            let _ = writeln!(text, "  elections: {won} won, observers were told {seen} times");
        }
        if self.users != [0; 4] {
            let [changed, requests, watches, written] = self.users;
            let _ = writeln!(
                text,
                "  users: {changed} changes, {requests} requests and {watches} watches refused, {written} writes"
            );
        }
        if self.retried > 0 {
            let _ = writeln!(text, "  retries: {} writes answered after a retry", self.retried);
        }
        let _ = write!(
            text,
            "{name}: {} seeds, {failed} failed, {} simulated seconds, {} operations ({} with unknown outcome), \
             {} watch events",
            self.seeds,
            self.simulated_ms / 1000,
            self.operations,
            self.unknown,
            self.watch_events
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{self, Fault};

    #[test]
    fn counts_faults_by_seed_and_failures_by_checker() {
        let scenario = crate::scenario::load("partitions").expect("committed");
        let plan = plan::draw(&scenario, 1);
        let mut table = Table::default();
        table.add(&plan, &Verdict { code: 11, checker: "answer".into(), seed: 1, ..Verdict::default() });
        table.add(&plan, &Verdict::default());
        let text = table.show("partitions");
        assert!(text.contains("failed answer") && text.contains("2 seeds, 1 failed"), "{text}");
        assert!(plan.faults.iter().all(|timed| timed.fault != Fault::PowerCutAll));
        assert!(!text.contains("power_cut_all"), "{text}");
    }

    #[test]
    fn a_sweep_in_which_too_little_happened_says_so() {
        let scenario = crate::scenario::load("leases").expect("committed");
        let plan = plan::draw(&scenario, 1);
        let full = Verdict {
            operations: 100,
            watch_events: 100,
            leases: [1; 4],
            elections: [1; 2],
            retried: 1,
            users: [1; 4],
            ..Verdict::default()
        };
        let sweep = |verdict: &Verdict, seeds: u64| {
            let mut table = Table::default();
            (0..seeds).for_each(|_| table.add(&plan, verdict));
            table.too_seldom(&scenario)
        };
        assert_eq!(sweep(&full, 20), None);
        let poor = Verdict { leases: [1, 1, 1, 0], ..full.clone() };
        assert!(sweep(&poor, 20).is_some_and(|what| what.starts_with("leases")));
        assert_eq!(sweep(&poor, 19), None);
        let idle = Verdict { operations: 3, ..full };
        assert!(sweep(&idle, 20).is_some_and(|what| what.starts_with("operations")));
    }
}
