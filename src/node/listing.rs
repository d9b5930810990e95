//! Ranges of any size in bounded memory: first a walk that counts and measures, then the records in
//! pieces, from the same view. Between steps other tasks run, so that a large list starves nobody.

use super::Node;
use super::api::{Header, RequestContext};
use super::budget::ReadPermit;
use crate::runtime::{Runtime, step_aside};
use crate::state::{RangeWalk, View, is_cut};
use crate::types::{Error, KeyValue, RangeRequest, SortOrder, SortTarget};

/// Keys looked at between two yields: some hundred microseconds.
const STEP_KEYS: usize = 2048;
/// Records (8 bytes each) that are remembered from the first walk, so that a smaller answer needs no
/// second one.
const KEPT: usize = 16_384;

/// A range read whose size is known and whose records are still to be taken.
pub struct Listing {
    source: Source,
    /// Records that are still to be taken.
    left: usize,
    /// Keys in the range (R10).
    pub count: i64,
    /// Whether the limit cut something off (R9).
    pub more: bool,
    /// Sum of what the caller's measure said of each record.
    pub bytes: usize,
}

enum Source {
    Kept(std::vec::IntoIter<KeyValue>),
    Walk(Box<RangeWalk>),
}

impl Listing {
    /// Memory that is held until the last record is taken.
    pub fn held_bytes(&self) -> usize {
        match &self.source {
            Source::Kept(kept) => kept.len() * size_of::<KeyValue>(),
            Source::Walk(_) => 0,
        }
    }

    /// Gives `take` records in order until it says `false`, the step is over, or there are no more;
    /// then it returns `false`.
    pub fn step(&mut self, mut take: impl FnMut(&KeyValue) -> bool) -> bool {
        if self.left == 0 {
            return false;
        }
        let left = &mut self.left;
        let mut take = |record: &KeyValue| {
            *left -= 1;
            take(record) && *left > 0
        };
        match &mut self.source {
            Source::Kept(kept) => while kept.next().is_some_and(|record| take(&record)) {},
            Source::Walk(walk) => {
                assert!(!walk.is_done(), "both walks of a view find the same records");
                walk.step(STEP_KEYS, take);
            }
        }
        self.left > 0
    }
}

impl<R: Runtime> Node<R> {
    /// KV.Range of any size; `measure` says how many bytes a record takes in the answer. A range in
    /// key order needs bounded memory; any other order needs 8 bytes a record to sort.
    pub async fn list(
        &self,
        request: &RangeRequest,
        context: RequestContext,
        measure: impl Fn(&KeyValue) -> usize,
    ) -> Result<(Listing, Header), Error> {
        let before = planted!(PermissionFromOldView).then(|| self.view());
        let view = self.view_for(request.serializable, context).await?;
        before.as_ref().unwrap_or(&view).permit_range(context.login, &request.range)?;
        let header = self.header(view.revision());
        let in_key_order = request.sort_target == SortTarget::Key && request.sort_order != SortOrder::Descend;
        let listing = if in_key_order {
            measured::<R>(&view, request, measure).await?
        } else {
            sorted::<R>(view, request, measure).await?
        };
        Ok((listing, header))
    }

    /// Begins a range whose records come in key order, or by the target that it asks for, ascending. Any
    /// other target than the key needs the memory that [`Node::list`] needs.
    pub async fn scan(
        &self,
        request: &RangeRequest,
        context: RequestContext,
    ) -> Result<(Scan, Header), Error> {
        if request.sort_target != SortTarget::Key {
            let (listing, header) = self.list(request, context, |_| 0).await?;
            return Ok((Scan::Sorted(listing), header));
        }
        let view = self.view_for(request.serializable, context).await?;
        view.permit_range(context.login, &request.range)?;
        let header = self.header(view.revision());
        let walk = Box::new(view.walk(request)?);
        Ok((Scan::Walk { walk, limit: request.limit, found: 0 }, header))
    }

    /// Takes `bytes` of the member's budget for answers of reads. Errors: ReadBudgetExhausted.
    pub fn take_read_budget(&self, bytes: usize) -> Result<ReadPermit, Error> {
        self.inner.read_budget.take(bytes)
    }
}

async fn measured<R: Runtime>(
    view: &View,
    request: &RangeRequest,
    measure: impl Fn(&KeyValue) -> usize,
) -> Result<Listing, Error> {
    let again = view.walk(request)?;
    let mut walk = again.clone();
    let limit = usize::try_from(request.limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let (mut kept, mut found, mut bytes) = (Vec::new(), 0, 0);
    loop {
        walk.step(STEP_KEYS, |record| {
            found += 1;
            if found <= limit {
                bytes += measure(record);
            }
            if found <= limit.min(KEPT) {
                kept.push(record.clone());
            }
            true
        });
        if walk.is_done() {
            break;
        }
        step_aside::<R>().await;
    }
    let left = found.min(limit);
    let source = if left <= KEPT { Source::Kept(kept.into_iter()) } else { Source::Walk(Box::new(again)) };
    Ok(Listing { source, left, count: walk.count(), more: is_cut(request.limit, found), bytes })
}

/// Any other order: a small range here, a large one on a thread for blocking work.
async fn sorted<R: Runtime>(
    view: View,
    request: &RangeRequest,
    measure: impl Fn(&KeyValue) -> usize,
) -> Result<Listing, Error> {
    let mut walk = view.walk(request)?;
    walk.step(STEP_KEYS, |_| true);
    let response = if walk.is_done() {
        view.range(request)?
    } else {
        let request = request.clone();
        let sorting = R::spawn_blocking("sort range", move || view.range(&request));
        sorting.await.map_err(|_| Error::Stopped)??
    };
    let mut bytes = 0;
    for step in response.kvs.chunks(STEP_KEYS) {
        bytes += step.iter().map(&measure).sum::<usize>();
        if step.len() == STEP_KEYS {
            step_aside::<R>().await;
        }
    }
    Ok(Listing {
        left: response.kvs.len(),
        source: Source::Kept(response.kvs.into_iter()),
        count: response.count,
        more: response.more,
        bytes,
    })
}

/// A range read whose records are taken in one go.
pub enum Scan {
    /// In key order, by one walk: its count is known when it is done.
    Walk {
        walk: Box<RangeWalk>,
        limit: i64,
        /// Records so far, those above the limit too.
        found: usize,
    },
    /// By another target.
    Sorted(Listing),
}

impl Scan {
    /// Gives `take` records within the limit until it says `false` or the step is over.
    pub fn step(&mut self, mut take: impl FnMut(&KeyValue) -> bool) {
        match self {
            Scan::Walk { walk, limit, found } => {
                let limit = usize::try_from(*limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
                walk.step(STEP_KEYS, |record| {
                    *found += 1;
                    *found > limit || take(record)
                });
            }
            Scan::Sorted(listing) => drop(listing.step(take)),
        }
    }

    /// Whether all keys were looked at.
    pub fn is_done(&self) -> bool {
        match self {
            Scan::Walk { walk, .. } => walk.is_done(),
            Scan::Sorted(listing) => listing.left == 0,
        }
    }

    /// Keys in the range so far (R10).
    pub fn count(&self) -> i64 {
        match self {
            Scan::Walk { walk, .. } => walk.count(),
            Scan::Sorted(listing) => listing.count,
        }
    }

    /// Whether the limit cut something off so far (R9).
    pub fn more(&self) -> bool {
        match self {
            Scan::Walk { limit, found, .. } => is_cut(*limit, *found),
            Scan::Sorted(listing) => listing.more,
        }
    }

    /// Memory that is held until the last record is taken.
    pub fn held_bytes(&self) -> usize {
        match self {
            Scan::Walk { .. } => 0,
            Scan::Sorted(listing) => listing.held_bytes(),
        }
    }
}
