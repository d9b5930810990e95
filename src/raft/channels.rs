//! openraft's channels over ours: bounded, and waking in order of waiting.

use std::future::Future;

use openraft_rt::{Mpsc, MpscReceiver, MpscSender, MpscWeakSender, OneshotSender, OptionalSend};
use openraft_rt::{OptionalSync, SendError, TryRecvError, mutex, oneshot, watch};

use crate::runtime::channel::{mpsc, oneshot as our_oneshot, watch as our_watch};

/// Names the channel family.
pub struct Channels;

/// Sending half of a queue. Messages lie in boxes: openraft's are half a kilobyte, and every future that
/// may send one would have room for it twice over, and be moved with it at each call.
pub struct QueueSender<T>(mpsc::Sender<Box<T>>);
/// Receiving half of a queue.
pub struct QueueReceiver<T>(mpsc::Receiver<Box<T>>);
/// A sender that does not keep the queue open.
pub struct QueueWeakSender<T>(mpsc::WeakSender<Box<T>>);

impl<T> Clone for QueueSender<T> {
    fn clone(&self) -> Self {
        QueueSender(self.0.clone())
    }
}

impl<T> Clone for QueueWeakSender<T> {
    fn clone(&self) -> Self {
        QueueWeakSender(self.0.clone())
    }
}

impl Mpsc for Channels {
    type Sender<T: OptionalSend> = QueueSender<T>;
    type Receiver<T: OptionalSend> = QueueReceiver<T>;
    type WeakSender<T: OptionalSend> = QueueWeakSender<T>;

    fn channel<T: OptionalSend>(buffer: usize) -> (QueueSender<T>, QueueReceiver<T>) {
        let (sender, receiver) = mpsc::channel(buffer);
        (QueueSender(sender), QueueReceiver(receiver))
    }
}

impl<T: OptionalSend> MpscSender<Channels, T> for QueueSender<T> {
    fn send(&self, message: T) -> impl Future<Output = Result<(), SendError<T>>> + OptionalSend {
        let message = Box::new(message);
        async move { self.0.send(message).await.map_err(|error| SendError(*error.0)) }
    }

    fn downgrade(&self) -> QueueWeakSender<T> {
        QueueWeakSender(self.0.downgrade())
    }
}

impl<T: OptionalSend> MpscReceiver<T> for QueueReceiver<T> {
    async fn recv(&mut self) -> Option<T> {
        self.0.recv().await.map(|message| *message)
    }

    fn try_recv(&mut self) -> Result<T, TryRecvError> {
        self.0.try_recv().map(|message| *message).map_err(|error| match error {
            mpsc::error::TryRecvError::Empty => TryRecvError::Empty,
            mpsc::error::TryRecvError::Disconnected => TryRecvError::Disconnected,
        })
    }
}

impl<T: OptionalSend> MpscWeakSender<Channels, T> for QueueWeakSender<T> {
    fn upgrade(&self) -> Option<QueueSender<T>> {
        self.0.upgrade().map(QueueSender)
    }
}

/// Sending half for one value.
pub struct OnceSender<T>(our_oneshot::Sender<T>);

impl oneshot::Oneshot for Channels {
    type Sender<T: OptionalSend> = OnceSender<T>;
    type Receiver<T: OptionalSend> = our_oneshot::Receiver<T>;
    type ReceiverError = our_oneshot::error::RecvError;

    fn channel<T: OptionalSend>() -> (OnceSender<T>, our_oneshot::Receiver<T>) {
        let (sender, receiver) = our_oneshot::channel();
        (OnceSender(sender), receiver)
    }
}

impl<T: OptionalSend> OneshotSender<T> for OnceSender<T> {
    fn send(self, value: T) -> Result<(), T> {
        self.0.send(value)
    }
}

/// Sending half of a followed value.
pub struct FollowSender<T>(our_watch::Sender<T>);
/// Receiving half of a followed value.
pub struct FollowReceiver<T>(our_watch::Receiver<T>);

impl<T> Clone for FollowSender<T> {
    fn clone(&self) -> Self {
        FollowSender(self.0.clone())
    }
}

impl<T> Clone for FollowReceiver<T> {
    fn clone(&self) -> Self {
        FollowReceiver(self.0.clone())
    }
}

impl watch::Watch for Channels {
    type Sender<T: OptionalSend + OptionalSync> = FollowSender<T>;
    type Receiver<T: OptionalSend + OptionalSync> = FollowReceiver<T>;
    type Ref<'a, T: OptionalSend + 'a> = our_watch::Ref<'a, T>;

    fn channel<T: OptionalSend + OptionalSync>(value: T) -> (FollowSender<T>, FollowReceiver<T>) {
        let (sender, receiver) = our_watch::channel(value);
        (FollowSender(sender), FollowReceiver(receiver))
    }
}

impl<T: OptionalSend + OptionalSync> watch::WatchSender<Channels, T> for FollowSender<T> {
    fn send(&self, value: T) -> Result<(), watch::SendError<T>> {
        self.0.send(value).map_err(watch::SendError)
    }

    fn send_if_modified<F>(&self, modify: F) -> bool
    where
        F: FnOnce(&mut T) -> bool,
    {
        self.0.send_if_modified(modify)
    }

    fn borrow_watched(&self) -> our_watch::Ref<'_, T> {
        self.0.borrow()
    }

    fn subscribe(&self) -> FollowReceiver<T> {
        FollowReceiver(self.0.subscribe())
    }
}

impl<T: OptionalSend + OptionalSync> watch::WatchReceiver<Channels, T> for FollowReceiver<T> {
    async fn changed(&mut self) -> Result<(), watch::RecvError> {
        self.0.changed().await.map_err(|_| watch::RecvError(()))
    }

    fn borrow_watched(&self) -> our_watch::Ref<'_, T> {
        self.0.borrow()
    }

    fn borrow_and_update(&mut self) -> our_watch::Ref<'_, T> {
        self.0.borrow_and_update()
    }
}

/// A lock that may be held across an await, as openraft asks for.
pub struct Mutex<T>(tokio::sync::Mutex<T>);

impl<T: OptionalSend + 'static> mutex::Mutex<T> for Mutex<T> {
    type Guard<'a> = tokio::sync::MutexGuard<'a, T>;

    fn new(value: T) -> Self {
        Mutex(tokio::sync::Mutex::new(value))
    }

    fn lock(&self) -> impl Future<Output = Self::Guard<'_>> + OptionalSend {
        self.0.lock()
    }
}
