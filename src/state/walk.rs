//! A range of one view read in steps.

use super::view::View;
use crate::mvcc::Walk;
use crate::types::{Error, KeyValue, RangeRequest};

/// A read of KV.Range in steps, in key order; it holds its view.
#[derive(Clone, Debug)]
pub struct RangeWalk {
    view: View,
    walk: Walk,
}

impl View {
    /// Begins to read `request`, whose sort is left to the caller. Errors: R6, R7.
    pub fn walk(&self, request: &RangeRequest) -> Result<RangeWalk, Error> {
        let walk = Walk::new(&self.0.store, request, self.revision())?;
        Ok(RangeWalk { view: self.clone(), walk })
    }
}

impl RangeWalk {
    /// Looks at up to `keys` keys and gives `take` the records of the answer until it says `false`.
    pub fn step(&mut self, keys: usize, take: impl FnMut(&KeyValue) -> bool) {
        self.walk.step(&self.view.0.store, keys, take);
    }

    /// Whether all keys were looked at.
    pub fn is_done(&self) -> bool {
        self.walk.is_done()
    }

    /// Keys in the range so far (R10).
    pub fn count(&self) -> i64 {
        self.walk.count()
    }

    /// The view that is read.
    pub fn view(&self) -> &View {
        &self.view
    }
}
