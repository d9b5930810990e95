//! The tasks of a node: each runs in its node's place, and a panic ends the node instead of the run.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use etched::runtime::AbortOnDrop;
use futures_util::future::BoxFuture;

use super::super::Inner;
use super::{Cause, Life};

/// Where the running code is: node and incarnation. The supervisor is node 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::world) struct Place {
    pub(in crate::world) node: u32,
    pub(in crate::world) incarnation: u32,
}

thread_local! {
    static PLACE: Cell<Place> = const { Cell::new(Place { node: 0, incarnation: 0 }) };
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

pub(in crate::world) fn place() -> Place {
    PLACE.get()
}

pub(super) struct Enter(Place);

/// The running code is at `place` until the answer is dropped.
pub(super) fn enter(place: Place) -> Enter {
    Enter(PLACE.replace(place))
}

impl Drop for Enter {
    fn drop(&mut self) {
        PLACE.set(self.0);
    }
}

/// A task of a node: runs in its place, and a panic ends the node instead of the run.
pub(super) struct NodeTask {
    pub(super) inner: Arc<Inner>,
    pub(super) life: Arc<Life>,
    pub(super) future: Option<BoxFuture<'static, ()>>,
}

impl Future for NodeTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let task = &mut *self;
        if !task.life.alive.load(Ordering::Relaxed) {
            return Poll::Ready(());
        }
        let _enter = enter(task.life.place);
        let Some(future) = task.future.as_mut() else { return Poll::Ready(()) };
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        let poll = polled.unwrap_or_else(|payload| {
            task.inner.task_panicked(task.life.place, payload);
            Poll::Ready(())
        });
        if task.life.doomed.load(Ordering::Relaxed) {
            task.inner.end(task.life.place, Cause::PowerCut);
        }
        if poll.is_ready() {
            task.drop_future();
        }
        poll
    }
}

impl NodeTask {
    fn drop_future(&mut self) {
        let future = self.future.take();
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(future))) {
            self.inner.task_panicked(self.life.place, payload);
        }
    }
}

impl Drop for NodeTask {
    fn drop(&mut self) {
        let _enter = enter(self.life.place);
        self.drop_future();
    }
}

/// The payload with which a crashing node unwinds its task.
struct CrashPayload;

/// Spawns on the node where the running code is.
pub(in crate::world) fn spawn_here(inner: &Arc<Inner>, future: BoxFuture<'static, ()>) -> AbortOnDrop {
    let place = place();
    if inner.ended() {
        return AbortOnDrop::new(|| ());
    }
    if place.node == 0 {
        let abort = madsim::task::spawn(future).abort_handle();
        return AbortOnDrop::new(move || abort.abort());
    }
    inner.spawn_at(place, future)
}

/// Ends the calling node; see `Runtime::crash`.
pub(in crate::world) fn crash(inner: &Arc<Inner>, reason: &str) -> ! {
    let place = place();
    if place.node == 0 {
        panic!("the supervisor crashed: {reason}");
    }
    inner.end(place, Cause::Crashed(reason.to_string()));
    std::panic::resume_unwind(Box::new(CrashPayload));
}

/// Remembers where and why the last panic was, once per process.
pub(in crate::world) fn install_panic_hook() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            LAST_PANIC.with_borrow_mut(|last| *last = Some(info.to_string()));
            previous(info);
        }));
    });
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_string())
        .or_else(|| payload.downcast_ref::<String>().cloned());
    LAST_PANIC.take().or(text).unwrap_or_else(|| "a panic without a message".to_string())
}

impl Inner {
    fn task_panicked(self: &Arc<Self>, place: Place, payload: Box<dyn Any + Send>) {
        if payload.is::<CrashPayload>() {
            return; // `crash` has ended the node already.
        }
        let text = panic_text(&*payload);
        self.end(place, Cause::Panicked(text));
    }
}
