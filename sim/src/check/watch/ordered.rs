//! Ordered: revisions never go back on one watch.

use etched_proto::mvccpb::Event;

use super::super::violation::{Checked, violation};
use super::{Seen, revision_of};

impl Seen<'_> {
    /// Inside one response.
    pub(super) fn is_ordered(&self, events: &[Event]) -> Checked {
        if events.windows(2).any(|pair| revision_of(&pair[0]) > revision_of(&pair[1])) {
            violation!("watch-ordered", "{}: revisions go back inside one response", self.name);
        }
        Ok(())
    }

    /// A header is not older than what was delivered (W21).
    pub(super) fn header_is_ordered(&self, header: i64) -> Checked {
        let (name, last) = (self.name, self.watch.last);
        if header < last {
            violation!("watch-ordered", "{name}: a header names revision {header}, its last event {last}");
        }
        Ok(())
    }
}
