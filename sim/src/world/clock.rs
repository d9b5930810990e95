//! Each node's own clock: offset, drift, jumps. It belongs to the hardware, so it is kept across
//! kill, power cut and restart.

use std::sync::Arc;
use std::time::Duration;

use super::trace::Kind;
use super::{Inner, NodeId};

const MILLION: i128 = 1_000_000;

/// 2026-01-01T00:00:00Z in nanoseconds: where every wall clock starts.
const WALL_BASE_NS: i128 = 1_767_225_600_000_000_000;

/// The slowest rate a clock may have: one hundredth of true time.
const MIN_RATE_PPM: i64 = -990_000;
/// The fastest: a hundred times true time.
const MAX_RATE_PPM: i64 = 99_000_000;

/// A linear piece of local time over true time.
#[derive(Clone, Debug)]
pub(super) struct NodeClock {
    base_true_ns: u64,
    base_local_ns: u64,
    rate_ppm: i64,
    wall_offset_ns: i128,
}

impl NodeClock {
    pub(super) fn new(offset_ns: u64) -> NodeClock {
        NodeClock { base_true_ns: 0, base_local_ns: offset_ns, rate_ppm: 0, wall_offset_ns: 0 }
    }

    /// The monotonic clock at true time `now_ns`.
    pub(super) fn local(&self, now_ns: u64) -> u64 {
        let passed = now_ns.saturating_sub(self.base_true_ns);
        if self.rate_ppm == 0 {
            return self.base_local_ns + passed;
        }
        let local = i128::from(passed) * (MILLION + i128::from(self.rate_ppm)) / MILLION;
        self.base_local_ns + local as u64
    }

    /// The first true time at which the monotonic clock shows `local_ns` or more.
    pub(super) fn true_time_of(&self, local_ns: u64) -> u64 {
        let left = local_ns.saturating_sub(self.base_local_ns);
        if self.rate_ppm == 0 {
            return self.base_true_ns.saturating_add(left);
        }
        let rate = MILLION + i128::from(self.rate_ppm);
        let wait = (i128::from(left) * MILLION + rate - 1) / rate;
        self.base_true_ns.saturating_add(u64::try_from(wait).unwrap_or(u64::MAX))
    }

    pub(super) fn wall(&self, now_ns: u64) -> i128 {
        WALL_BASE_NS + i128::from(self.local(now_ns)) + self.wall_offset_ns
    }

    fn rebase(&mut self, now_ns: u64) {
        self.base_local_ns = self.local(now_ns);
        self.base_true_ns = now_ns;
    }
}

/// The hand on one node's clock.
pub struct ClockControl {
    pub(super) inner: Arc<Inner>,
    pub(super) node: NodeId,
}

impl ClockControl {
    fn change(&self, what: &'static str, value: i128, change: impl FnOnce(&mut NodeClock, u64)) {
        self.inner.timers().change_clock(self.node.0, change);
        self.inner.trace(Kind::Clock, self.node.0, &(what, value), |line| {
            line.push_str(&format!("{what} {value}"));
        });
    }

    /// Runs at `1 + rate_ppm / 1,000,000` of true time from now on; -800,000 is −80 %. Cut to
    /// −99 % … ×100.
    pub fn set_rate_ppm(&self, rate_ppm: i64) {
        let rate_ppm = rate_ppm.clamp(MIN_RATE_PPM, MAX_RATE_PPM);
        self.change("rate_ppm", i128::from(rate_ppm), |clock, now| {
            clock.rebase(now);
            clock.rate_ppm = rate_ppm;
        });
    }

    /// Moves monotonic and wall clock forward, as after a suspended machine.
    pub fn jump_forward(&self, by: Duration) {
        let by_ns = by.as_nanos() as u64;
        self.change("jump_ns", i128::from(by_ns), |clock, now| {
            clock.rebase(now);
            clock.base_local_ns = clock.base_local_ns.saturating_add(by_ns);
        });
    }

    /// Moves only the wall clock, in either direction.
    pub fn jump_wall(&self, delta_ns: i64) {
        self.change("wall_jump_ns", i128::from(delta_ns), |clock, _| {
            clock.wall_offset_ns += i128::from(delta_ns);
        });
    }

    /// The node's monotonic clock now, in nanoseconds.
    pub fn now_ns(&self) -> u64 {
        self.inner.local_now(self.node.0)
    }

    /// The node's rate now, in parts per million off true time.
    pub fn rate_ppm(&self) -> i64 {
        self.inner.timers().clock(self.node.0).rate_ppm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn true_time_of_is_the_inverse_of_local() {
        for rate_ppm in [-990_000, -800_000, -1, 0, 1, 333_333, 5_000_000] {
            let mut clock = NodeClock::new(12_345);
            clock.rebase(1_000_003);
            clock.rate_ppm = rate_ppm;
            for local in [clock.base_local_ns + 1, clock.base_local_ns + 999_999_937] {
                let at = clock.true_time_of(local);
                assert!(clock.local(at) >= local, "rate {rate_ppm}: too early");
                assert!(clock.local(at - 1) < local, "rate {rate_ppm}: too late");
            }
        }
    }
}
