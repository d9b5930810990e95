//! Leader: who asks is told who leads at a revision that is not older than what had returned before, or
//! that nobody leads, if that was so at some time meanwhile.

use etched_proto::mvccpb::KeyValue;

use super::super::history::History;
use super::super::violation::{Checked, violation};
use super::leader_at;

/// Who leads `name`?
#[derive(Clone, Debug)]
pub struct Question {
    name: Vec<u8>,
    /// What had returned when it was asked.
    floor: i64,
}

impl Question {
    /// The question, asked now.
    pub fn new(history: &History, name: &[u8]) -> Self {
        Question { name: name.to_vec(), floor: history.floor() }
    }
}

/// The answer is a record and the revision at which it was read, or nothing.
pub(super) fn leads(history: &History, question: &Question, answer: Option<(&KeyValue, i64)>) -> Checked {
    let model = history.model();
    let Question { name, floor } = question;
    let Some((kv, revision)) = answer else {
        let first = floor / 2;
        let nobody = |revision| leader_at(model, name, revision).is_none();
        let mut later = model.changes(first + 1, model.revision());
        if nobody(first) || later.any(|(revision, _)| nobody(revision)) {
            return Ok(());
        }
        violation!("election-leader", "nobody leads {}, it was said", name.escape_ascii());
    };
    if 2 * revision + 1 < *floor || revision > model.revision() {
        violation!(
            "election-leader",
            "the leader of {} was told at revision {revision}, asked after {} had returned",
            name.escape_ascii(),
            floor / 2
        );
    }
    let leader = leader_at(model, name, revision);
    if leader.as_ref() != Some(kv) {
        violation!("election-leader", "{kv:?} leads at revision {revision}, it was said; it is {leader:?}");
    }
    Ok(())
}
