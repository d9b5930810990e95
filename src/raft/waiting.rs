//! Which appends of a stream wait for their answers, and whether an answer may be told yet.
//!
//! openraft remembers when it sent each append by the last entry that it covers. An append without
//! entries, which only tells of a newer commit, covers what the one before it covers: the answer to the
//! older then counts for the younger as well, with the time at which that was sent. A leader that was
//! paused between the two would take itself for confirmed by a quorum now, and answer a read by what it
//! knew before the pause. Therefore such an answer is left out: the next one tells the same and more.

use crate::runtime::lock;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

/// The last entries of the appends that were sent and not answered, oldest first.
#[derive(Clone, Debug)]
pub(super) struct Waiting<T>(Arc<Mutex<VecDeque<T>>>);

impl<T: PartialOrd> Waiting<T> {
    pub fn new() -> Self {
        Waiting(Arc::default())
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        lock(&self.0)
    }

    /// One more was sent, which covers the log up to `last`.
    pub fn sent(&self, last: T) {
        self.lock().push_back(last);
    }

    /// The oldest was answered, and the other side has the log up to `upto`. Whether one that was sent
    /// later covers no more than that.
    pub fn answered(&self, upto: Option<&T>) -> bool {
        let mut waiting = self.lock();
        waiting.pop_front();
        upto.is_some_and(|upto| waiting.front().is_some_and(|next| next <= upto))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_waits_for_that_of_an_append_that_covers_no_more() {
        let waiting = Waiting::new();
        [5, 5, 7, 7].into_iter().for_each(|last| waiting.sent(last));
        // The second, a commit only, covers what the first does.
        assert!(waiting.answered(Some(&5)));
        assert!(!waiting.answered(Some(&5)));
        assert!(waiting.answered(Some(&7)));
        assert!(!waiting.answered(Some(&7)));
        // Neither a failure nor an empty queue covers anything.
        [8, 8].into_iter().for_each(|last| waiting.sent(last));
        assert!(!waiting.answered(None));
        assert!(!waiting.answered(Some(&8)));
        assert!(!waiting.answered(Some(&8)));
    }
}
