//! KV.Range over the store, rows R1–R21.

use std::cmp::Ordering;

use super::store::Store;
use crate::types::{Error, KeyValue, RangeRequest, RangeResponse, SortOrder, SortTarget};

impl Store {
    /// Answers `request` when the newest visible revision is `newest` (a transaction sees its own
    /// writes one above the store's). Walks all keys of the range, for the count (R10).
    pub fn range(&self, request: &RangeRequest, newest: i64) -> Result<RangeResponse, Error> {
        let revision = self.readable(request.revision, newest)?;
        let limit = usize::try_from(request.limit).unwrap_or(0);
        let (mut kvs, count) = self.collect(request, revision, limit);
        sort(&mut kvs, request);
        let cut = limit > 0 && kvs.len() > limit;
        if cut {
            kvs.truncate(limit);
        }
        let more = if planted!(MoreOffByOne) { limit > 0 && kvs.len() >= limit } else { cut };
        let by_value = request.sort_target == SortTarget::Value;
        Ok(RangeResponse {
            kvs,
            more,
            count,
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

    /// Records that pass the filters, no more than needed to answer, and how many keys there are.
    fn collect(&self, request: &RangeRequest, revision: i64, limit: usize) -> (Vec<KeyValue>, i64) {
        // R14, R15: only a read in natural order without filters stops at the limit, and a sort
        // target without an order counts as that.
        let pushed_down = limit > 0 && request.sort_order == SortOrder::None && !has_filter(request);
        let wanted = match (request.count_only, pushed_down) {
            (true, _) => 0,
            (false, true) => limit.saturating_add(1),
            (false, false) => usize::MAX,
        };
        let mut kvs = Vec::new();
        let mut count = 0;
        for record in self.index.range(&request.range).filter_map(|newest| self.at(newest, revision)) {
            count += 1;
            if kvs.len() < wanted && passes(request, record) {
                kvs.push(record.clone());
            }
        }
        (kvs, count)
    }
}

fn has_filter(request: &RangeRequest) -> bool {
    let bounds = [
        request.min_mod_revision,
        request.max_mod_revision,
        request.min_create_revision,
        request.max_create_revision,
    ];
    bounds.iter().any(|bound| *bound != 0)
}

/// R16: inclusive bounds, 0 for none.
fn passes(request: &RangeRequest, record: &KeyValue) -> bool {
    let fields = record.fields();
    let within = |at: i64, min: i64, max: i64| (min == 0 || at >= min) && (max == 0 || at <= max);
    within(fields.mod_revision, request.min_mod_revision, request.max_mod_revision)
        && within(fields.create_revision, request.min_create_revision, request.max_create_revision)
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
