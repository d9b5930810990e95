//! Observed: an observer sees who leads and all that a leader proclaims from then on, in order and once,
//! unless compaction took it away.

use etched_proto::mvccpb::KeyValue;
use etched_testkit::model::Model;

use super::super::violation::{Checked, violation};
use super::leader_at;

/// What one observer has seen of an election, on one stream.
#[derive(Clone, Debug)]
pub struct Followed {
    name: Vec<u8>,
    last: Option<KeyValue>,
}

impl Followed {
    /// Nothing yet.
    pub fn new(name: &[u8]) -> Self {
        Followed { name: name.to_vec(), last: None }
    }

    pub(super) fn next(&mut self, model: &Model, kv: &KeyValue, revision: i64) -> Checked {
        let leader = leader_at(model, &self.name, revision);
        if leader.as_ref() != Some(kv) {
            violation!(
                "election-observed",
                "{kv:?} leads at revision {revision}, an observer was told; it is {leader:?}"
            );
        }
        let Some(last) = self.last.replace(kv.clone()) else { return Ok(()) };
        let (before, now) =
            ((last.create_revision, last.mod_revision), (kv.create_revision, kv.mod_revision));
        // Who lags behind compaction looks anew.
        let lags = model.compact_revision() > last.mod_revision;
        if now < before || (now == before && !lags) {
            violation!("election-observed", "an observer was told of {kv:?} after {last:?}");
        }
        let is_same = kv.create_revision == last.create_revision;
        let upto = if is_same { kv.mod_revision - 1 } else { revision };
        let between = model.changes(last.mod_revision + 1, upto);
        let of_last = between.flat_map(|(_, changes)| changes).filter(|change| change.kv.key == last.key);
        let missed = of_last.take_while(|change| !change.is_delete).next();
        match missed {
            Some(missed) if !lags => violation!(
                "election-observed",
                "an observer was not told of {missed:?} between {last:?} and {kv:?}"
            ),
            _ => Ok(()),
        }
    }
}
