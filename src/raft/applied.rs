//! How far this member has applied, and who waits for it to get further.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use crate::runtime::channel::oneshot;
use crate::runtime::lock;

/// The last applied index. Waiters wake in order of what they wait for, then of waiting.
pub(super) struct Applied(Mutex<Inner>);

struct Inner {
    index: Option<u64>,
    /// By the index waited for and a running number.
    waiting: BTreeMap<(u64, u64), oneshot::Sender<()>>,
    next: u64,
}

impl Applied {
    /// Starts at `index`.
    pub fn new(index: Option<u64>) -> Self {
        Applied(Mutex::new(Inner { index, waiting: BTreeMap::new(), next: 0 }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.0)
    }

    /// The last applied index, visible to readers; `None` before the first entry.
    pub fn index(&self) -> Option<u64> {
        self.lock().index
    }

    /// Notes that everything up to `index` is applied and visible.
    pub fn advance(&self, index: u64) {
        let ready = {
            let mut inner = self.lock();
            inner.index = Some(index);
            let later = inner.waiting.split_off(&(index.saturating_add(1), 0));
            std::mem::replace(&mut inner.waiting, later)
        };
        for (_, waiter) in ready {
            // Whoever went away gave up at its deadline.
            let _ = waiter.send(());
        }
    }

    /// What to wait for until `index` is applied; `None` if it is already.
    pub fn wait(&self, index: u64) -> Option<oneshot::Receiver<()>> {
        let mut inner = self.lock();
        if inner.index.is_some_and(|applied| applied >= index) {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let number = inner.next;
        inner.next += 1;
        // Those that gave up would pile up while nothing is applied.
        if inner.waiting.len().is_power_of_two() {
            inner.waiting.retain(|_, waiter| !waiter.is_closed());
        }
        inner.waiting.insert((index, number), sender);
        Some(receiver)
    }
}

#[cfg(test)]
mod tests {
    use super::Applied;

    #[test]
    fn waiters_wake_when_their_index_is_applied() {
        let applied = Applied::new(None);
        let (mut first, mut second) = (applied.wait(3).unwrap(), applied.wait(5).unwrap());
        applied.advance(2);
        assert!(first.try_recv().is_err());
        applied.advance(4);
        assert!(first.try_recv().is_ok());
        assert!(second.try_recv().is_err());
        assert!(applied.wait(4).is_none());
        applied.advance(9);
        assert!(second.try_recv().is_ok());
        assert_eq!(applied.index(), Some(9));
    }

    #[test]
    fn those_who_gave_up_are_forgotten() {
        let applied = Applied::new(Some(0));
        for index in 1..1000 {
            drop(applied.wait(index));
        }
        assert!(applied.lock().waiting.len() < 600);
    }
}
