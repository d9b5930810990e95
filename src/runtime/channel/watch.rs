//! A single value that many receivers follow; they wake in the order in which they began to wait.

use crate::runtime::lock;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::task::{Poll, Waker};

struct Shared<T> {
    value: RwLock<T>,
    /// Grows by one with each send, while `value` is locked for writing.
    version: AtomicU64,
    receivers: AtomicUsize,
    waiting: Mutex<Waiting>,
}

struct Waiting {
    senders: usize,
    /// In order of waiting; the key identifies a receiver so that it waits at most once.
    waiters: VecDeque<(u64, Waker)>,
    next_receiver: u64,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.waiting)
    }

    fn read(&self) -> RwLockReadGuard<'_, T> {
        self.value.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Changes the value; wakes all who wait if `modify` says that it changed.
    fn change(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        {
            let mut value = self.value.write().unwrap_or_else(PoisonError::into_inner);
            if !modify(&mut value) {
                return false;
            }
            self.version.fetch_add(1, Ordering::Release);
        }
        let waiters = std::mem::take(&mut self.lock().waiters);
        for (_, waker) in waiters {
            waker.wake();
        }
        true
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
    let shared = Arc::new(Shared {
        value: RwLock::new(value),
        version: AtomicU64::new(0),
        receivers: AtomicUsize::new(1),
        waiting: Mutex::new(Waiting { senders: 1, waiters: VecDeque::new(), next_receiver: 1 }),
    });
    (Sender(shared.clone()), Receiver { shared, id: 0, seen: 0 })
}

impl<T> Sender<T> {
    /// Replaces the value and wakes all receivers. Gives the value back when no receiver is left.
    pub fn send(&self, value: T) -> Result<(), T> {
        if self.0.receivers.load(Ordering::Acquire) == 0 {
            return Err(value);
        }
        let mut value = value;
        self.0.change(|current| {
            std::mem::swap(current, &mut value);
            true
        });
        Ok(())
    }

    /// Changes the value in place and wakes all receivers if `modify` returns true.
    pub fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        self.0.change(modify)
    }

    /// Reads the current value.
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref(self.0.read())
    }

    /// A new receiver that has seen the current value.
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver::join(&self.0, None)
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
        let mut waiting = self.0.lock();
        waiting.senders -= 1;
        if waiting.senders == 0 {
            let waiters = std::mem::take(&mut waiting.waiters);
            drop(waiting);
            for (_, waker) in waiters {
                waker.wake();
            }
        }
    }
}

/// A borrowed value, among others; keep it for a moment only, senders wait meanwhile.
pub struct Ref<'a, T>(RwLockReadGuard<'a, T>);

impl<T> std::ops::Deref for Ref<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Receiver<T> {
    fn join(shared: &Arc<Shared<T>>, seen: Option<u64>) -> Self {
        let mut waiting = shared.lock();
        let id = waiting.next_receiver;
        waiting.next_receiver += 1;
        drop(waiting);
        shared.receivers.fetch_add(1, Ordering::AcqRel);
        let seen = seen.unwrap_or_else(|| shared.version());
        Receiver { shared: shared.clone(), id, seen }
    }

    /// Waits for a value not yet seen and marks it as seen. Fails when all senders are gone and
    /// nothing new is left.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        let Receiver { shared, id, seen } = self;
        poll_fn(move |cx| {
            // Held while looking, so that a send after the look finds the waiter.
            let mut waiting = shared.lock();
            let version = shared.version();
            if version != *seen {
                *seen = version;
                return Poll::Ready(Ok(()));
            }
            if waiting.senders == 0 {
                return Poll::Ready(Err(Closed));
            }
            match waiting.waiters.iter_mut().find(|(waiter, _)| waiter == id) {
                Some((_, waker)) => waker.clone_from(cx.waker()),
                None => waiting.waiters.push_back((*id, cx.waker().clone())),
            }
            Poll::Pending
        })
        .await
    }

    /// Reads the current value without marking it as seen.
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref(self.shared.read())
    }

    /// Reads the current value and marks it as seen.
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let value = self.shared.read();
        self.seen = self.shared.version();
        Ref(value)
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
        self.shared.receivers.fetch_sub(1, Ordering::AcqRel);
        self.shared.lock().waiters.retain(|(waiter, _)| *waiter != self.id);
    }
}
