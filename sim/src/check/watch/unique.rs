//! Unique: no event comes twice.

use etched_proto::mvccpb::Event;
use etched_testkit::model::Change;

use super::super::violation::{Checked, violation};
use super::atomic::is_same;
use super::{Seen, key_of};

impl Seen<'_> {
    /// A revision below the cursor comes again, or late.
    pub(super) fn is_new(&self, revision: i64, events: &[Event]) -> Checked {
        let (name, last) = (self.name, self.watch.last);
        if revision >= self.watch.next {
            return Ok(());
        }
        let is_known = |event: &Event| {
            let mut changes = self.model.events(revision).iter();
            changes.any(|change| key_of(event) == change.kv.key.as_ref() as &[u8])
        };
        if events.iter().all(is_known) && revision == last {
            violation!("watch-unique", "{name}: revision {revision} comes again");
        }
        violation!("watch-ordered", "{name}: revision {revision} comes after {last}");
    }

    /// Why `event` is not among those of `expected` that are still to come.
    pub(super) fn unexpected(
        &self,
        revision: i64,
        events: &[Event],
        event: &Event,
        expected: &[&Change],
        next: usize,
    ) -> Checked {
        let name = self.name;
        if !expected.iter().any(|change| is_same(event, change)) {
            violation!("watch-reliable", "{name}: {event:?} never happened");
        }
        let happened = expected[..next].iter().filter(|change| is_same(event, change)).count();
        if happened < events.iter().filter(|other| *other == event).count() {
            violation!("watch-unique", "{name}: {event:?} comes twice");
        }
        violation!("watch-ordered", "{name}: {event:?} is out of order in revision {revision}");
    }
}
