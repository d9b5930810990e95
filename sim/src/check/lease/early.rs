//! Early: no lease ends by itself before the clocks of its leaders have counted its TTL since it
//! began to run anew.

use super::super::violation::{Checked, violation};
use super::Life;
use super::clock::Passed;

impl Life {
    /// It ended by itself at a step of the clock.
    pub(super) fn ran_out(&self, id: i64, now: Passed) -> Checked {
        let Some(start) = self.start else {
            violation!("lease-early", "lease {id} ended before the clock moved after its grant");
        };
        let passed = now.at_most - start.at_most;
        if passed < self.ttl_ns() {
            violation!(
                "lease-early",
                "lease {id} of {} s ended after {:.3} s of its leaders' clocks",
                self.ttl,
                passed as f64 / 1e9
            );
        }
        Ok(())
    }

    pub(super) fn ttl_ns(&self) -> u64 {
        self.ttl.cast_unsigned() * 1_000_000_000
    }
}
