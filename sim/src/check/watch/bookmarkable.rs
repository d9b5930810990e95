//! Bookmarkable: progress at a revision means that all events up to it were delivered, and none
//! comes later (W20).

use super::super::violation::{Checked, violation};
use super::Seen;

impl Seen<'_> {
    /// An event does not come after progress that spoke of it.
    pub(super) fn is_after_bookmark(&self, revision: i64) -> Checked {
        let bookmark = self.watch.bookmark;
        if revision <= bookmark {
            violation!(
                "watch-bookmarkable",
                "{}: revision {revision} comes after the progress at {bookmark}",
                self.name
            );
        }
        Ok(())
    }

    /// Progress at `revision` speaks of nothing that was not delivered.
    pub(super) fn is_bookmark(&self, revision: i64) -> Checked {
        let (name, start) = (self.name, self.watch.start);
        if revision + 1 < start {
            violation!("watch-bookmarkable", "{name}: progress at {revision}, before its start at {start}");
        }
        if let Some(missing) = self.missing(revision) {
            violation!(
                "watch-bookmarkable",
                "{name}: progress at {revision}, but the event at {missing} is missing"
            );
        }
        Ok(())
    }
}
