//! What waits for the next round: questions and who gets their answers.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use crate::runtime::channel::{Notify, oneshot};
use crate::runtime::lock;

/// One that waits: what is asked, and where the answer goes.
pub type Waiting<Q, A> = (Q, oneshot::Sender<A>);

/// Questions in order of arrival, for one who takes them.
pub(super) struct Queue<Q, A> {
    line: Mutex<Line<Q, A>>,
    bell: Notify,
}

struct Line<Q, A> {
    waiting: VecDeque<Waiting<Q, A>>,
    /// How many must wait for the bell to ring.
    enough: usize,
}

impl<Q, A> Line<Q, A> {
    fn join(&mut self, question: Q) -> oneshot::Receiver<A> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.push_back((question, sender));
        receiver
    }
}

impl<Q, A> Default for Queue<Q, A> {
    fn default() -> Self {
        Queue { line: Mutex::new(Line { waiting: VecDeque::new(), enough: 1 }), bell: Notify::new() }
    }
}

impl<Q, A> Queue<Q, A> {
    fn lock(&self) -> MutexGuard<'_, Line<Q, A>> {
        lock(&self.line)
    }

    /// Joins those that wait.
    pub fn join(&self, question: Q) -> oneshot::Receiver<A> {
        let mut line = self.lock();
        let receiver = line.join(question);
        self.ring(line);
        receiver
    }

    /// Joins with many questions at once.
    pub fn join_all(&self, questions: Vec<Q>) -> Vec<oneshot::Receiver<A>> {
        let mut line = self.lock();
        let receivers = questions.into_iter().map(|question| line.join(question)).collect();
        self.ring(line);
        receivers
    }

    fn ring(&self, line: MutexGuard<'_, Line<Q, A>>) {
        let is_enough = line.waiting.len() >= line.enough;
        drop(line);
        if is_enough {
            self.bell.notify_one();
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Completes when `enough` wait; at least one.
    pub async fn wait_for(&self, enough: usize) {
        while !self.has(enough.max(1)) {
            self.bell.notified().await;
        }
    }

    /// Whether `enough` wait; the bell rings from then on.
    fn has(&self, enough: usize) -> bool {
        let mut line = self.lock();
        line.enough = enough;
        line.waiting.len() >= enough
    }

    /// Takes those that wait, at most `limit`.
    pub fn take_some(&self, limit: usize) -> Vec<Waiting<Q, A>> {
        let mut line = self.lock();
        let count = line.waiting.len().min(limit);
        line.waiting.drain(..count).collect()
    }

    /// Waits for the first and takes all that wait then, at most `limit`.
    pub async fn take(&self, limit: usize) -> Vec<Waiting<Q, A>> {
        self.wait_for(1).await;
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

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake, Waker};

    use super::*;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn is_ready(wait: Pin<&mut impl Future<Output = ()>>, woken: &Arc<Woken>) -> bool {
        let waker = Waker::from(Arc::clone(woken));
        wait.poll(&mut Context::from_waker(&waker)).is_ready()
    }

    #[test]
    fn the_bell_rings_once_enough_wait() {
        let (queue, woken) = (Queue::<u8, ()>::default(), Arc::new(Woken::default()));
        let mut wait = pin!(queue.wait_for(3));
        let mut answers = vec![queue.join(1)];
        assert!(!is_ready(wait.as_mut(), &woken));
        answers.push(queue.join(2));
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        answers.extend(queue.join_all(vec![3, 4]));
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(is_ready(wait, &woken));
        let taken: Vec<u8> = queue.take_some(3).into_iter().map(|(question, _)| question).collect();
        assert_eq!((taken, queue.len()), (vec![1, 2, 3], 1));
    }

    #[test]
    fn who_waited_for_many_and_went_away_keeps_nobody_from_one() {
        let (queue, woken) = (Queue::<u8, ()>::default(), Arc::new(Woken::default()));
        assert!(!is_ready(pin!(queue.wait_for(3)), &woken));
        let mut wait = pin!(queue.wait_for(1));
        assert!(!is_ready(wait.as_mut(), &woken));
        let _answer = queue.join(1);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(is_ready(wait, &woken));
        let _answer = queue.join(2);
        assert!(is_ready(pin!(queue.wait_for(0)), &woken));
    }
}
