//! Previous value: the record one revision before, if it was asked for, there was one and it is not
//! compacted (W17).

use etched_proto::mvccpb::Event;
use etched_testkit::model::Change;

use super::super::violation::{Checked, violation};
use super::Seen;

impl Seen<'_> {
    pub(super) fn has_right_previous(&self, event: &Event, change: &Change) -> Checked {
        let is_create = change.kv.create_revision == change.kv.mod_revision;
        let before = change.prev_kv.as_ref().filter(|_| self.watch.create.prev_kv && !is_create);
        let may_miss = change.kv.mod_revision - 1 < self.model.compact_revision();
        if event.prev_kv.as_ref() != before && !(event.prev_kv.is_none() && may_miss) {
            violation!(
                "watch-prev-kv",
                "{}: {event:?} should have the previous record {before:?}",
                self.name
            );
        }
        Ok(())
    }
}
