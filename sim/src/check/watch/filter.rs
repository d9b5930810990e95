//! Filter: every event is in the watch's range and of a kind that it wants (W2, W16).

use etched_proto::mvccpb::Event;

use super::super::violation::{Checked, violation};
use super::{DELETE, Seen, Watch, key_of};

const NOPUT: i32 = 0;
const NODELETE: i32 = 1;

impl Seen<'_> {
    pub(super) fn is_wanted(&self, events: &[Event]) -> Checked {
        let watch = self.watch;
        match events.iter().find(|event| !watch.matches(event.r#type == DELETE, key_of(event))) {
            Some(event) => {
                violation!("watch-filter", "{}: {event:?} does not match {:?}", self.name, watch.create)
            }
            None => Ok(()),
        }
    }
}

impl Watch {
    pub(super) fn matches(&self, is_delete: bool, key: &[u8]) -> bool {
        let create = &self.create;
        let filtered = create.filters.contains(&if is_delete { NODELETE } else { NOPUT });
        let from: &[u8] = if create.key.is_empty() { &[0] } else { &create.key };
        let inside = match create.range_end.as_ref() as &[u8] {
            [] => key == from,
            [0] => key >= from,
            end => key >= from && key < end,
        };
        inside && !filtered
    }
}
