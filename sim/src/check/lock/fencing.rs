//! Fencing: the token is the create revision of the key, each later holder's is larger, and what is
//! written under guard of a token is never followed by what is written under guard of a smaller one.

use super::super::history::History;
use super::super::violation::{Checked, violation};
use super::{Locks, Wanted};

impl Locks {
    pub(super) fn is_its_token(&self, history: &History, wanted: &Wanted, key: &[u8], token: i64) -> Checked {
        let created = history.joined(wanted.op).map_or(token, |(created, _)| created);
        if key != wanted.key || token != created {
            violation!(
                "lock-fencing",
                "{wanted:?} was answered key {key:?} and token {token}, not {created}"
            );
        }
        if token < wanted.floor {
            violation!("lock-fencing", "{wanted:?} holds with token {token}, after one with a larger token");
        }
        Ok(())
    }

    /// A write that is guarded by `token` of the lock `name` was carried out at `revision`.
    pub fn guarded(&mut self, name: &[u8], token: i64, revision: i64) -> Checked {
        let writes = self.guarded.entry(name.to_vec()).or_default();
        let before = writes.range(..revision).next_back().filter(|(_, other)| **other > token);
        let after = writes.range(revision..).next().filter(|(_, other)| **other < token);
        if let Some((at, other)) = before.or(after) {
            violation!(
                "lock-fencing",
                "a write of revision {revision} was guarded by token {token}, that of {at} by {other}"
            );
        }
        writes.insert(revision, token);
        Ok(())
    }
}
