//! Reliable: no gap, and nothing that did not happen.

use etched_proto::mvccpb::Event;
use etched_testkit::model::Change;

use super::super::violation::{Checked, violation};
use super::Seen;

impl Seen<'_> {
    /// Everything before `revision` was delivered.
    pub(super) fn is_without_gap(&self, revision: i64) -> Checked {
        if let Some(missing) = self.missing(revision - 1) {
            let checker = self.rule_of_a_gap();
            violation!(checker, "{}: revision {revision} comes, but that at {missing} is missing", self.name);
        }
        Ok(())
    }

    /// The run is over: everything was delivered.
    pub(super) fn is_complete(&self) -> Checked {
        if let Some(missing) = self.missing(self.model.revision()) {
            violation!("watch-reliable", "{}: the event at revision {missing} never came", self.name);
        }
        Ok(())
    }

    /// An event has the content of the change.
    pub(super) fn is_what_happened(&self, event: &Event, change: &Change) -> Checked {
        if event.kv.as_ref() != Some(&change.kv) {
            violation!("watch-reliable", "{}: {event:?} is not what happened: {change:?}", self.name);
        }
        Ok(())
    }
}
