//! A single value that many receivers follow; they wake in the order in which they began to wait.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

struct Shared<T> {
    state: Mutex<Slot<T>>,
}

struct Slot<T> {
    value: T,
    /// Grows by one with each send.
    version: u64,
    senders: usize,
    receivers: usize,
    /// In order of waiting; the key identifies a receiver so that it waits at most once.
    waiters: VecDeque<(u64, Waker)>,
    next_receiver: u64,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Slot<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sending half; clones send to the same receivers.
pub struct Sender<T>(Arc<Shared<T>>);

/// The receiving half.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    id: u64,
    seen: u64,
}

/// The other side is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

/// Makes a channel that holds `value`.
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let slot =
        Slot { value, version: 0, senders: 1, receivers: 1, waiters: VecDeque::new(), next_receiver: 1 };
    let shared = Arc::new(Shared { state: Mutex::new(slot) });
    (Sender(shared.clone()), Receiver { shared, id: 0, seen: 0 })
}

impl<T> Sender<T> {
    /// Replaces the value and wakes all receivers. Gives the value back when no receiver is left.
    pub fn send(&self, value: T) -> Result<(), T> {
        let mut slot = self.0.lock();
        if slot.receivers == 0 {
            return Err(value);
        }
        slot.value = value;
        Self::notify(slot);
        Ok(())
    }

    /// Changes the value in place and wakes all receivers if `modify` returns true.
    pub fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        let mut slot = self.0.lock();
        let changed = modify(&mut slot.value);
        if changed {
            Self::notify(slot);
        }
        changed
    }

    /// Reads the current value.
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref(self.0.lock())
    }

    /// A new receiver that has seen the current value.
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver::join(&self.0, None)
    }

    fn notify(mut slot: MutexGuard<'_, Slot<T>>) {
        slot.version += 1;
        let waiters = std::mem::take(&mut slot.waiters);
        drop(slot);
        for (_, waker) in waiters {
            waker.wake();
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.lock().senders += 1;
        Sender(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut slot = self.0.lock();
        slot.senders -= 1;
        if slot.senders == 0 {
            let waiters = std::mem::take(&mut slot.waiters);
            drop(slot);
            for (_, waker) in waiters {
                waker.wake();
            }
        }
    }
}

/// A borrowed value; keep it for a moment only, senders wait meanwhile.
pub struct Ref<'a, T>(MutexGuard<'a, Slot<T>>);

impl<T> std::ops::Deref for Ref<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T> Receiver<T> {
    fn join(shared: &Arc<Shared<T>>, seen: Option<u64>) -> Self {
        let mut slot = shared.lock();
        let id = slot.next_receiver;
        slot.next_receiver += 1;
        slot.receivers += 1;
        let seen = seen.unwrap_or(slot.version);
        drop(slot);
        Receiver { shared: shared.clone(), id, seen }
    }

    /// Waits for a value not yet seen and marks it as seen. Fails when all senders are gone and
    /// nothing new is left.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        let (shared, id) = (self.shared.clone(), self.id);
        let seen = &mut self.seen;
        poll_fn(move |cx| {
            let mut slot = shared.lock();
            if slot.version != *seen {
                *seen = slot.version;
                return Poll::Ready(Ok(()));
            }
            if slot.senders == 0 {
                return Poll::Ready(Err(Closed));
            }
            match slot.waiters.iter_mut().find(|(waiting, _)| *waiting == id) {
                Some((_, waker)) => waker.clone_from(cx.waker()),
                None => slot.waiters.push_back((id, cx.waker().clone())),
            }
            Poll::Pending
        })
        .await
    }

    /// Reads the current value without marking it as seen.
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref(self.shared.lock())
    }

    /// Reads the current value and marks it as seen.
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let slot = self.shared.lock();
        self.seen = slot.version;
        Ref(slot)
    }

    /// Waits until `accept` holds for the value. Fails when all senders are gone before that.
    pub async fn wait_for(&mut self, mut accept: impl FnMut(&T) -> bool) -> Result<(), Closed> {
        loop {
            if accept(&self.borrow()) {
                return Ok(());
            }
            self.changed().await?;
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Receiver::join(&self.shared, Some(self.seen))
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut slot = self.shared.lock();
        slot.receivers -= 1;
        slot.waiters.retain(|(waiting, _)| *waiting != self.id);
    }
}
