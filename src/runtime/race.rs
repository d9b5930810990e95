//! Two futures, or a future and a time, of which one comes first. Structs rather than async blocks: an
//! async block keeps its arguments twice, once as they came and once pinned, and requests nest these.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::Runtime;

/// Which of two futures finished first; the first one given wins a tie.
pub enum Either<A, B> {
    /// The first future finished.
    First(A),
    /// The second future finished.
    Second(B),
}

pin_project! {
    /// See [`select`].
    pub struct Select<A, B> {
        #[pin]
        a: A,
        #[pin]
        b: B,
    }
}

impl<A: Future, B: Future> Future for Select<A, B> {
    type Output = Either<A::Output, B::Output>;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(value) = this.a.poll(cx) {
            return Poll::Ready(Either::First(value));
        }
        this.b.poll(cx).map(Either::Second)
    }
}

/// A biased select over two futures: `a` is polled first, always.
pub fn select<A: Future, B: Future>(a: A, b: B) -> Select<A, B> {
    Select { a, b }
}

pin_project! {
    /// See [`timeout`].
    pub struct Timeout<R: Runtime, F> {
        #[pin]
        future: F,
        duration: Duration,
        // Nothing before the future was first found unready: many never need it.
        #[pin]
        sleep: Option<R::Sleep>,
    }
}

impl<R: Runtime, F: Future> Future for Timeout<R, F> {
    type Output = Option<F::Output>;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Poll::Ready(value) = this.future.poll(cx) {
            return Poll::Ready(Some(value));
        }
        if this.sleep.is_none() {
            this.sleep.set(Some(R::sleep(*this.duration)));
        }
        match this.sleep.as_pin_mut() {
            Some(sleep) => sleep.poll(cx).map(|()| None),
            None => Poll::Pending,
        }
    }
}

/// Runs `future` for at most `duration` of the node's own clock from when it is first polled. `None`
/// means that time ran out. The future is polled first, so a result that is ready always wins.
pub fn timeout<R: Runtime, F: Future>(duration: Duration, future: F) -> Timeout<R, F> {
    Timeout { future, duration, sleep: None }
}
