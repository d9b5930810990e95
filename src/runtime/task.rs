//! Handles of spawned tasks: awaitable, and aborted when dropped.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::channel::oneshot;

/// Aborts a task when dropped.
pub struct AbortOnDrop(Option<Box<dyn FnOnce() + Send + Sync>>);

impl AbortOnDrop {
    /// Wraps the world's way to abort one task.
    pub fn new(abort: impl FnOnce() + Send + Sync + 'static) -> Self {
        AbortOnDrop(Some(Box::new(abort)))
    }

    /// Lets the task run on by itself.
    pub fn detach(mut self) {
        self.0 = None;
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(abort) = self.0.take() {
            abort();
        }
    }
}

impl fmt::Debug for AbortOnDrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AbortOnDrop")
    }
}

/// A running task: a future of its result, aborted on drop.
#[derive(Debug)]
pub struct Task<T> {
    result: oneshot::Receiver<T>,
    guard: Option<AbortOnDrop>,
}

/// The task ended without a result: it panicked or was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskError;

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task ended without a result (it panicked or was aborted)")
    }
}

impl std::error::Error for TaskError {}

impl<T> Task<T> {
    pub(crate) fn new(result: oneshot::Receiver<T>, guard: AbortOnDrop) -> Self {
        Task { result, guard: Some(guard) }
    }

    /// A handle for worlds that build their own (for example around blocking work).
    pub fn from_parts(result: oneshot::Receiver<T>, guard: AbortOnDrop) -> Self {
        Task::new(result, guard)
    }

    /// Lets the task run on by itself and forgets its result.
    pub fn detach(mut self) {
        if let Some(guard) = self.guard.take() {
            guard.detach();
        }
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskError>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.result).poll(cx).map(|result| result.map_err(|_| TaskError))
    }
}
