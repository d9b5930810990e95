//! Gone: a lease that nobody keeps alive ends in time: with the first step of the clock after its
//! deadline, and after a heal, in true time, within its TTL, an election and some slack. And nothing
//! but a client keeps it alive.

use etched::types::limits::LEASE_GRACE_MS;

use super::super::violation::{Checked, violation};
use super::Leases;

/// The product counts whole milliseconds, and rounds down.
const ROUNDING_NS: u64 = 3_000_000;
/// After a heal: for the election (members may have to start and catch up first), for the time
/// between steps of the clock, and for the commit.
const SLACK_NS: u64 = 10_000_000_000;

impl Leases {
    /// The step of the clock at `index` renewed lease `id`.
    pub(super) fn is_asked_for(&self, id: i64, index: u64) -> Checked {
        if self.unanswered.get(&id).copied().unwrap_or(0) == 0 {
            violation!("lease-gone", "entry {index} renewed lease {id}, which no client keeps alive");
        }
        Ok(())
    }

    /// The clock was moved, and everything that was due should have ended.
    pub(super) fn are_not_overdue(&self) -> Checked {
        let now = self.clock.passed().at_least;
        for id in &self.live {
            let Some(life) = self.last(*id) else { continue };
            let Some(start) = life.start else { continue };
            let passed = now - start.at_least;
            if passed > life.ttl_ns() + LEASE_GRACE_MS * 1_000_000 + ROUNDING_NS {
                violation!(
                    "lease-gone",
                    "lease {id} of {} s is there after {:.3} s of its leaders' clocks",
                    life.ttl,
                    passed as f64 / 1e9
                );
            }
        }
        Ok(())
    }

    /// True time moves on after the heal.
    pub fn are_gone(&self, time_ns: u64) -> Checked {
        let Some(healed) = self.healed_ns else { return Ok(()) };
        for id in &self.live {
            let Some(life) = self.last(*id) else { continue };
            let from = healed.max(life.renewed_ns);
            if time_ns > from + life.ttl_ns() + SLACK_NS {
                violation!(
                    "lease-gone",
                    "lease {id} of {} s is there {:.3} s after the heal and its last renewal",
                    life.ttl,
                    (time_ns - from) as f64 / 1e9
                );
            }
        }
        Ok(())
    }
}
