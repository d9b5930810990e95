//! Handover: a new leader lets the clock run from the last step of the one before, so that no lease
//! is shortened; and once it does, the one before moves it no more.

use super::super::violation::{Checked, violation};
use super::clock::Step;

impl Step {
    /// The step after this one is of the same leader or a later one.
    pub(super) fn gives_way_to(&self, next: &Step) -> Checked {
        if next.term < self.term {
            violation!(
                "lease-handover",
                "the leader of term {} moved the lease clock after that of term {}",
                next.term,
                self.term
            );
        }
        Ok(())
    }

    /// The product's own clock moved by no more than `passed_ns`.
    pub(super) fn is_not_ahead(&self, next: &Step, passed_ns: u64) -> Checked {
        let moved = next.clock_ms.saturating_sub(self.clock_ms);
        if moved > passed_ns / 1_000_000 + 1 {
            let passed = passed_ns as f64 / 1e6;
            if next.term == self.term {
                violation!(
                    "lease-early",
                    "the lease clock moved by {moved} ms while its leader's own advanced by {passed:.1} ms"
                );
            }
            violation!(
                "lease-handover",
                "the lease clock moved by {moved} ms from term {} to {}, whose leader has led for {passed:.1} ms",
                self.term,
                next.term
            );
        }
        Ok(())
    }
}
