//! Value: who wins an election has its value in its key by then.

use super::super::history::History;
use super::super::lock::Wanted;
use super::super::violation::{Checked, violation};

pub(super) fn is_proclaimed(history: &History, wanted: &Wanted, value: &[u8]) -> Checked {
    let model = history.model();
    let created = history.joined(wanted.op()).map_or(i64::MAX, |(created, _)| created);
    let mut changes = model.changes(created, model.revision()).flat_map(|(_, changes)| changes);
    let is_there = changes.any(|change| {
        !change.is_delete
            && change.kv.key == wanted.key()
            && change.kv.create_revision == created
            && change.kv.value == value
    });
    if !is_there {
        violation!("election-value", "{wanted:?} won, but its key never held {}", value.escape_ascii());
    }
    Ok(())
}
