//! The bytes that answers of reads may take in memory, over all requests of a member.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::types::Error;

/// Counts the bytes that are taken, up to a bound.
#[derive(Clone, Debug)]
pub(super) struct ReadBudget {
    taken: Arc<AtomicUsize>,
    bound: usize,
}

/// A part of the budget; dropping it gives it back.
#[derive(Debug)]
pub struct ReadPermit {
    taken: Arc<AtomicUsize>,
    bytes: usize,
}

impl ReadBudget {
    /// A budget of `bound` bytes.
    pub fn new(bound: usize) -> Self {
        ReadBudget { taken: Arc::default(), bound }
    }

    /// Takes `bytes`. A single request that is larger than the whole budget still gets through
    /// alone. Errors: ReadBudgetExhausted.
    pub fn take(&self, bytes: usize) -> Result<ReadPermit, Error> {
        let before = self.taken.fetch_add(bytes, Ordering::Relaxed);
        let permit = ReadPermit { taken: self.taken.clone(), bytes };
        if before > 0 && before.saturating_add(bytes) > self.bound {
            return Err(Error::ReadBudgetExhausted);
        }
        Ok(permit)
    }
}

impl Drop for ReadPermit {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let budget = ReadBudget::new(100);
        let first = budget.take(60).expect("room");
        assert_eq!(budget.take(41).expect_err("full"), Error::ReadBudgetExhausted);
        let second = budget.take(40).expect("room");
        drop((first, second));
        drop(budget.take(1000).expect("one alone"));
        assert_eq!(budget.taken.load(Ordering::Relaxed), 0);
    }
}
