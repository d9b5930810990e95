//! Steady: while nothing is wrong and there are leases, their leader moves the clock at least every
//! second. What passed since the last step is lost with a leader and lengthens leases, so this bounds
//! how late they end after a crash: by the election, a second, and the commit that was under way.

use std::collections::BTreeSet;

use super::super::violation::{Checked, violation};
use super::clock::Step;

/// The longest time between steps, and some for the commit of the one before and for clocks that
/// drift before anybody is told.
const STEADY_NS: u64 = 1_000_000_000 + 500_000_000;
/// How long nothing must have been wrong.
const SETTLE_NS: u64 = 3_000_000_000;

/// Since when nothing is wrong, in true time.
#[derive(Debug, Default)]
pub(super) struct Calm {
    unwell: BTreeSet<u32>,
    poor: BTreeSet<(u32, u32)>,
    changed_ns: u64,
    /// Since when there are leases; `None` while there are none, and nobody has to move the clock.
    pub leases_ns: Option<u64>,
}

impl Calm {
    pub fn node(&mut self, time_ns: u64, node: u32, is_well: bool) {
        self.changed_ns = time_ns;
        if is_well {
            self.unwell.remove(&node)
        } else {
            self.unwell.insert(node)
        };
    }

    pub fn link(&mut self, time_ns: u64, from: u32, to: u32, is_good: bool) {
        self.changed_ns = time_ns;
        if is_good {
            self.poor.remove(&(from, to))
        } else {
            self.poor.insert((from, to))
        };
    }

    /// `next` is the step after `last`, of the same leader.
    pub fn is_steady(&self, last: &Step, next: &Step) -> Checked {
        let Some(leases_ns) = self.leases_ns else { return Ok(()) };
        let is_calm = self.unwell.is_empty() && self.poor.is_empty();
        let since = last.proposed_ns.max(leases_ns);
        let apart = next.proposed_ns.saturating_sub(since);
        if is_calm
            && last.proposed_ns >= self.changed_ns + SETTLE_NS
            && last.term == next.term
            && apart > STEADY_NS
        {
            violation!(
                "lease-steady",
                "the leader of term {} moved the lease clock {:.3} s after the last time",
                next.term,
                apart as f64 / 1e9
            );
        }
        Ok(())
    }
}
