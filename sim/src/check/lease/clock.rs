//! How much time has passed for leases, by the clocks of those who led.
//!
//! Time counts while somebody leads and moves the clock. From one step of a leader to its next,
//! exactly what its own clock has advanced has passed. When the lead changes, the time from the last
//! step of the one to the first of the other counts for nothing at least, and at most for what the
//! new leader's own clock has advanced since it began to lead.

use std::collections::BTreeMap;

use etched::types::RequestId;

use super::super::violation::Checked;
use super::Tick;
use super::steady::Calm;

/// What has passed since the cluster's beginning, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Passed {
    pub at_least: u64,
    pub at_most: u64,
}

/// A step that was applied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub term: u64,
    /// What the product says that its lease clock shows.
    pub clock_ms: u64,
    node: u32,
    incarnation: u64,
    /// The leader's own clock when it made the step.
    local_ns: u64,
    /// True time of that.
    pub proposed_ns: u64,
}

#[derive(Debug, Default)]
pub(super) struct Clock {
    passed: Passed,
    last: Option<Step>,
    /// Where the leader of a term began, by its own clock.
    began: BTreeMap<u64, (u32, u64)>,
    /// Who proposed a request of its own, and when by its own clock and in truth.
    proposed: BTreeMap<RequestId, (u32, u64, u64)>,
}

impl Clock {
    pub fn passed(&self) -> Passed {
        self.passed
    }

    /// What has passed at most by now, if the leader of the last step still leads. `local_ns` tells what a
    /// member's own clock shows.
    pub fn at_most_now(&self, local_ns: impl Fn(u32) -> u64) -> Option<u64> {
        let (last, (newest, _)) = (self.last?, self.began.last_key_value()?);
        let since = local_ns(last.node).saturating_sub(last.local_ns);
        (*newest == last.term).then_some(self.passed.at_most + since)
    }

    pub fn proposed(&mut self, request_id: RequestId, node: u32, local_ns: u64, time_ns: u64) {
        self.proposed.insert(request_id, (node, local_ns, time_ns));
    }

    pub fn forget(&mut self, request_id: Option<RequestId>) {
        if let Some(request_id) = request_id {
            self.proposed.remove(&request_id);
        }
    }

    /// A member leads. A leader that starts again may go on in its term: the first time counts.
    pub fn leads(&mut self, term: u64, node: u32, local_ns: u64) {
        self.began.entry(term).or_insert((node, local_ns));
    }

    /// The step `tick`, logged as `request_id`, was applied.
    pub fn step(&mut self, calm: &Calm, tick: &Tick, request_id: Option<RequestId>) -> Checked {
        let Some(request_id) = request_id else { return Ok(()) };
        let Some((node, local_ns, proposed_ns)) = self.proposed.get(&request_id).copied() else {
            return Ok(());
        };
        let Tick { term, clock_ms, .. } = *tick;
        let step = Step { term, clock_ms, node, incarnation: request_id.incarnation, local_ns, proposed_ns };
        let Some(last) = self.last.replace(step) else { return Ok(()) };
        last.gives_way_to(&step)?;
        calm.is_steady(&last, &step)?;
        let (least, most) = match self.began.get(&term) {
            _ if last.term == term && last.node == node => {
                let between = local_ns.saturating_sub(last.local_ns);
                // Who starts again has lost what its clock showed.
                (if last.incarnation == step.incarnation { between } else { 0 }, between)
            }
            Some((leader, began)) if *leader == node => (0, local_ns.saturating_sub(*began)),
            // Nobody saw it begin: anything may have passed.
            _ => (0, u64::from(u32::MAX) * 1_000_000),
        };
        self.passed.at_least += least;
        self.passed.at_most += most;
        last.is_not_ahead(&step, most)
    }
}
