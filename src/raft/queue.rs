//! What waits for the next round: questions and who gets their answers.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::runtime::channel::{Notify, oneshot};

/// One that waits: what is asked, and where the answer goes.
pub type Waiting<Q, A> = (Q, oneshot::Sender<A>);

/// Questions in order of arrival.
pub(super) struct Queue<Q, A> {
    waiting: Mutex<VecDeque<Waiting<Q, A>>>,
    bell: Notify,
}

impl<Q, A> Default for Queue<Q, A> {
    fn default() -> Self {
        Queue { waiting: Mutex::default(), bell: Notify::new() }
    }
}

impl<Q, A> Queue<Q, A> {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Waiting<Q, A>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins those that wait.
    pub fn join(&self, question: Q) -> oneshot::Receiver<A> {
        let (sender, receiver) = oneshot::channel();
        self.lock().push_back((question, sender));
        self.bell.notify_one();
        receiver
    }

    /// Joins with many questions at once.
    pub fn join_all(&self, questions: Vec<Q>) -> Vec<oneshot::Receiver<A>> {
        let mut waiting = self.lock();
        let join = |question| {
            let (sender, receiver) = oneshot::channel();
            waiting.push_back((question, sender));
            receiver
        };
        let receivers = questions.into_iter().map(join).collect();
        drop(waiting);
        self.bell.notify_one();
        receivers
    }

    /// Completes when somebody waits.
    pub async fn wait(&self) {
        while self.lock().is_empty() {
            self.bell.notified().await;
        }
    }

    /// Takes those that wait, at most `limit`.
    pub fn take_some(&self, limit: usize) -> Vec<Waiting<Q, A>> {
        let mut waiting = self.lock();
        let count = waiting.len().min(limit);
        waiting.drain(..count).collect()
    }

    /// Waits for the first and takes all that wait then, at most `limit`.
    pub async fn take(&self, limit: usize) -> Vec<Waiting<Q, A>> {
        self.wait().await;
        self.take_some(limit)
    }
}

/// Gives everybody the same answer.
pub(super) fn answer_all<Q, A: Clone>(waiting: Vec<Waiting<Q, A>>, answer: &A) {
    for (_, one) in waiting {
        // Whoever went away gave up at its deadline.
        let _ = one.send(answer.clone());
    }
}
