//! Atomic: all events of a revision come in one response, in their order (W14, W25).

use etched_proto::mvccpb::Event;
use etched_testkit::model::Change;

use super::super::violation::{Checked, violation};
use super::{DELETE, Seen, key_of};

impl Seen<'_> {
    /// The delivered events of a revision are the model's; each one's content is judged by the rules
    /// for content.
    pub(super) fn is_whole(&self, revision: i64, events: &[Event]) -> Checked {
        let name = self.name;
        let expected: Vec<&Change> = self.expected(self.model.events(revision)).collect();
        let mut next = 0;
        for event in events {
            let Some(at) = expected[next..].iter().position(|change| is_same(event, change)) else {
                return self.unexpected(revision, events, event, &expected, next);
            };
            let at = at + next;
            if let Some(skipped) = self.first_that_must_be(revision, &expected[next..at]) {
                let later = events.iter().any(|event| key_of(event) == skipped.kv.key.as_ref() as &[u8]);
                let checker = if later { "watch-ordered" } else { "watch-atomic" };
                violation!(checker, "{name}: {event:?} comes without {skipped:?} before it");
            }
            self.is_rightly_a_create(event, expected[at])?;
            self.is_what_happened(event, expected[at])?;
            self.has_right_previous(event, expected[at])?;
            next = at + 1;
        }
        if let Some(left) = self.first_that_must_be(revision, &expected[next..]) {
            violation!("watch-atomic", "{name}: revision {revision} comes without {left:?}");
        }
        Ok(())
    }

    /// The first of `changes` that is not allowed to be gone: at the compact revision itself only the
    /// last change of each key is kept (C2).
    fn first_that_must_be<'c>(&self, revision: i64, changes: &[&'c Change]) -> Option<&'c Change> {
        let may_be_gone = |change: &Change| {
            let same_key = |other: &&Change| other.kv.key == change.kv.key;
            let last = self.model.events(revision).iter().rfind(same_key);
            revision <= self.model.compact_revision() && !last.is_some_and(|last| std::ptr::eq(last, change))
        };
        changes.iter().copied().find(|change| !may_be_gone(change))
    }
}

pub(super) fn is_same(event: &Event, change: &Change) -> bool {
    key_of(event) == change.kv.key.as_ref() as &[u8] && (event.r#type == DELETE) == change.is_delete
}
