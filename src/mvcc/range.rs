//! KV.Range over the store, rows R1–R21.

use std::cmp::Ordering;

use super::store::Store;
use super::walk::Walk;
use crate::types::{Error, KeyValue, RangeRequest, RangeResponse, SortOrder, SortTarget};

impl Store {
    /// Answers `request` when the newest visible revision is `newest` (a transaction sees its own
    /// writes one above the store's). Walks all keys of the range, for the count (R10).
    pub fn range(&self, request: &RangeRequest, newest: i64) -> Result<RangeResponse, Error> {
        let mut walk = Walk::new(self, request, newest)?;
        let mut kvs = Vec::new();
        walk.step(self, usize::MAX, |record| {
            kvs.push(record.clone());
            true
        });
        sort(&mut kvs, request);
        let more = is_cut(request.limit, kvs.len());
        let limit = usize::try_from(request.limit).unwrap_or(0);
        if limit > 0 {
            kvs.truncate(limit);
        }
        let by_value = request.sort_target == SortTarget::Value;
        Ok(RangeResponse {
            kvs,
            more,
            count: walk.count(),
            keys_only: request.keys_only,
            keys_only_with_lease: request.keys_only && by_value,
        })
    }

    /// The revision to read at (R5–R7).
    pub(super) fn readable(&self, revision: i64, newest: i64) -> Result<i64, Error> {
        match revision {
            ..=0 => Ok(newest),
            revision if revision > newest => Err(Error::FutureRevision),
            revision if revision < self.compact_revision => Err(Error::Compacted),
            revision => Ok(revision),
        }
    }
}

/// Whether `limit` cuts something off `found` records (R9).
pub fn is_cut(limit: i64, found: usize) -> bool {
    let limit = usize::try_from(limit).unwrap_or(0);
    let cut = limit > 0 && found > limit;
    if planted!(MoreOffByOne) { limit > 0 && found >= limit } else { cut }
}

/// R13, R14: records come in key order, so only another order needs work. Ties stay in key order.
fn sort(kvs: &mut [KeyValue], request: &RangeRequest) {
    let compare = |left: &KeyValue, right: &KeyValue| by_target(request.sort_target, left, right);
    match (request.sort_order, request.sort_target) {
        (SortOrder::None | SortOrder::Ascend, SortTarget::Key) => {}
        (SortOrder::Descend, SortTarget::Key) => kvs.reverse(),
        (SortOrder::None | SortOrder::Ascend, _) => kvs.sort_by(compare),
        (SortOrder::Descend, _) => kvs.sort_by(|left, right| compare(right, left)),
    }
}

fn by_target(target: SortTarget, left: &KeyValue, right: &KeyValue) -> Ordering {
    let (a, b) = (left.fields(), right.fields());
    match target {
        SortTarget::Key => left.key().cmp(right.key()),
        SortTarget::Version => a.version.cmp(&b.version),
        SortTarget::Create => a.create_revision.cmp(&b.create_revision),
        SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
        SortTarget::Value => left.value().cmp(right.value()),
    }
}
