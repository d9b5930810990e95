//! Future start: a watch from a revision that is still to come gets neither events nor progress
//! before it (W8, etcd #20221).

use super::super::violation::{Checked, violation};
use super::Seen;

impl Seen<'_> {
    /// What speaks of `revision` does not come too early.
    pub(super) fn is_not_early(&self, revision: i64) -> Checked {
        let asked = self.watch.create.start_revision;
        let has_begun = self.watch.last != 0 || self.watch.bookmark != 0;
        if !has_begun && revision < asked && self.watch.was_in_the_future {
            violation!(
                "watch-future-start",
                "{}: revision {revision} comes, but it begins only at {asked}",
                self.name
            );
        }
        Ok(())
    }
}
