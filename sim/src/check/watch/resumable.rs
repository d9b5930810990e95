//! Resumable: a watch begins with the first matching event at or after its start (W6, W7).

use super::super::violation::{Checked, violation};
use super::Seen;

impl Seen<'_> {
    /// Nothing comes from before the start.
    pub(super) fn is_after_start(&self, revision: i64) -> Checked {
        let start = self.watch.start;
        if revision < start {
            violation!(
                "watch-resumable",
                "{}: revision {revision} comes before the start at {start}",
                self.name
            );
        }
        Ok(())
    }

    /// The rule that a missing revision breaks: before the first event a watch did not resume where
    /// it was asked to.
    pub(super) fn rule_of_a_gap(&self) -> &'static str {
        let has_begun = self.watch.last != 0 || self.watch.bookmark != 0;
        if has_begun { "watch-reliable" } else { "watch-resumable" }
    }
}
