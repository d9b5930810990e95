//! Proclaimed: what a leader proclaims stands in its key at that revision; who is told that it does not
//! lead, or that it has resigned, has no key any more.

use super::super::history::History;
use super::super::violation::{Checked, violation};
use super::is_held;

pub(super) fn is_there(history: &History, key: &[u8], created: i64, value: &[u8], revision: i64) -> Checked {
    let is_there = history.model().events(revision).iter().any(|change| {
        !change.is_delete
            && change.kv.key == key
            && change.kv.create_revision == created
            && change.kv.value == value
    });
    if !is_there {
        violation!(
            "election-proclaimed",
            "{} of {created} proclaimed {} at revision {revision}, which does not say so",
            key.escape_ascii(),
            value.escape_ascii()
        );
    }
    Ok(())
}

pub(super) fn is_over(history: &History, key: &[u8], created: i64) -> Checked {
    if is_held(history.model(), key, created) {
        violation!("election-proclaimed", "{} of {created} does not lead, but is there", key.escape_ascii());
    }
    Ok(())
}
