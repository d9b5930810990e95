//! A range read in steps: the keys of a range one after the other, as many at a time as the caller
//! has time for. A walk knows where it goes on, so nothing of the store is held between steps.

use bytes::Bytes;

use super::store::Store;
use crate::types::{Error, KeyRange, KeyValue, RangeRequest, SortOrder};

/// A range read that is under way. The store must be the same in every step (readers hold a view).
#[derive(Clone, Debug)]
pub struct Walk {
    request: RangeRequest,
    revision: i64,
    /// What is still to be walked.
    rest: Option<KeyRange>,
    /// Records after which no more are given.
    wanted: usize,
    count: i64,
    given: usize,
}

impl Walk {
    /// Begins to answer `request` when the newest visible revision is `newest`. Errors: R6, R7.
    pub fn new(store: &Store, request: &RangeRequest, newest: i64) -> Result<Walk, Error> {
        let revision = store.readable(request.revision, newest)?;
        // R14, R15: only a read in natural order without filters stops at the limit, and a sort
        // target without an order counts as that. One more is given, which says that there is more.
        let limit = usize::try_from(request.limit).unwrap_or(0);
        let pushed_down = limit > 0 && request.sort_order == SortOrder::None && !has_filter(request);
        let wanted = match (request.count_only, pushed_down) {
            (true, _) => 0,
            (false, true) => limit.saturating_add(1),
            (false, false) => usize::MAX,
        };
        let rest = Some(request.range.clone());
        Ok(Walk { request: request.clone(), revision, rest, wanted, count: 0, given: 0 })
    }

    /// Looks at up to `keys` keys and gives `take` the records that belong to the answer, in key
    /// order, until it says `false`. The next step goes on behind the last key looked at.
    pub fn step(&mut self, store: &Store, keys: usize, mut take: impl FnMut(&KeyValue) -> bool) {
        let Some(rest) = self.rest.take() else { return };
        let mut left = keys;
        for newest in store.index.range(&rest) {
            if left == 0 {
                self.rest = Some(KeyRange { key: Bytes::copy_from_slice(newest.key()), ..rest });
                return;
            }
            left -= 1;
            let Some(record) = store.at(newest, self.revision) else { continue };
            self.count += 1;
            if self.given < self.wanted && passes(&self.request, record) {
                self.given += 1;
                if !take(record) {
                    self.rest = behind(rest, newest.key());
                    return;
                }
            }
        }
    }

    /// Whether all keys were looked at.
    pub fn is_done(&self) -> bool {
        self.rest.is_none()
    }

    /// Keys in the range so far, whatever limit and filters (R10).
    pub fn count(&self) -> i64 {
        self.count
    }
}

/// The part of `range` behind `key`.
fn behind(range: KeyRange, key: &[u8]) -> Option<KeyRange> {
    let next = [key, &[0]].concat().into();
    (!range.is_single()).then_some(KeyRange { key: next, ..range })
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
