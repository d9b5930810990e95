//! Is create: an event looks like a create exactly if its key did not exist one revision before.

use etched_proto::mvccpb::{Event, KeyValue};
use etched_testkit::model::Change;

use super::super::violation::{Checked, violation};
use super::Seen;

impl Seen<'_> {
    pub(super) fn is_rightly_a_create(&self, event: &Event, change: &Change) -> Checked {
        let is_create = |kv: &KeyValue| kv.create_revision == kv.mod_revision;
        if event.kv.as_ref().is_some_and(is_create) != is_create(&change.kv) {
            violation!(
                "watch-is-create",
                "{}: {event:?} is wrong about being a create: {change:?}",
                self.name
            );
        }
        Ok(())
    }
}
