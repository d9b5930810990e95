//! Atomic: the keys of a lease are its keys until they vanish together, at one revision. What an end
//! does to the store the model says ([`super::super::history`]); what a time-to-live lists is held
//! against it here.

use super::super::history::History;
use super::super::violation::{Checked, violation};

/// `keys` were listed as those of lease `id` at `revision`.
pub(super) fn are_its_keys(history: &History, id: i64, revision: i64, keys: &[bytes::Bytes]) -> Checked {
    let expected: Vec<&[u8]> = history.model().keys_of(id, revision).collect();
    if keys != expected {
        violation!("lease-atomic", "lease {id} lists {keys:?} at revision {revision}, it has {expected:?}");
    }
    Ok(())
}
