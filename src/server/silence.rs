//! Clients that say nothing are pinged, and dropped if they still say nothing
//! (`--grpc-keepalive-interval`, `--grpc-keepalive-timeout`). One that says nothing behind HTTP/2's
//! preface is dropped without being asked.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::{Ping, PingPong};

use super::ServerOptions;
use crate::runtime::{Instant, Runtime};

/// When a client was heard last, for whoever asks next. Each frame counts that begins.
#[derive(Clone)]
pub(super) struct Heard(Arc<AtomicU64>);

impl Heard {
    /// Not since it was asked last.
    const NOT: u64 = u64::MAX;

    pub fn new() -> Self {
        Heard(Arc::new(AtomicU64::new(Heard::NOT)))
    }

    /// Something came at `now`.
    pub fn set(&self, now: Instant) {
        self.0.store(now.0, Ordering::Relaxed);
    }

    fn take(&self) -> Option<Instant> {
        let at = self.0.swap(Heard::NOT, Ordering::Relaxed);
        (at != Heard::NOT).then_some(Instant(at))
    }
}

/// The watch over one client's silence.
pub(super) struct Silence<R: Runtime> {
    interval: Duration,
    timeout: Duration,
    pings: PingPong,
    heard: Heard,
    /// Until when the client has to have been heard once, if it was not.
    greeting: Option<Instant>,
    last: Instant,
    /// When the client was pinged, if it has said nothing since.
    pinged: Option<Instant>,
    timer: Pin<Box<R::Sleep>>,
}

impl<R: Runtime> Silence<R> {
    /// Watches the client that `pings` pings and `heard` hears.
    pub fn new(pings: PingPong, heard: Heard, options: ServerOptions) -> Self {
        let interval = Duration::from_millis(options.keep_alive_interval_ms.max(1));
        let (now, greeting) = (R::now(), options.greeting_timeout());
        Silence {
            interval,
            timeout: Duration::from_millis(options.keep_alive_timeout_ms),
            pings,
            heard,
            greeting: Some(now + greeting),
            last: now,
            pinged: None,
            timer: Box::pin(R::sleep_until(now + interval.min(greeting))),
        }
    }

    /// Completes when the client is gone. Pings wake the task that drives the connection.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let now = R::now();
            if let Some(heard) = self.heard.take() {
                self.last = heard;
                self.greeting = None;
                self.pinged = None;
            }
            let next = match self.pinged {
                _ if self.greeting.is_some_and(|greeting| now >= greeting) => return Poll::Ready(()),
                Some(pinged) if now >= pinged + self.timeout => return Poll::Ready(()),
                Some(pinged) => pinged + self.timeout,
                None if now < self.last + self.interval => self.last + self.interval,
                None => {
                    // h2 has one ping at a time; whatever else was heard stands for its answer too.
                    let _ = self.pings.poll_pong(cx);
                    let _ = self.pings.send_ping(Ping::opaque());
                    self.pinged = Some(now);
                    now + self.timeout
                }
            };
            let next = self.greeting.map_or(next, |greeting| next.min(greeting));
            self.timer = Box::pin(R::sleep_until(next.min(now + self.interval)));
        }
    }
}
