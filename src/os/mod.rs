//! The production world: tokio's timers and sockets, the operating system's entropy and files.
//! Threads are decided here and in `cli/` alone.

mod disk;
mod net;
mod observe;
mod read_only;
#[cfg(test)]
mod tests;

pub use disk::{OsBlockFile, OsDisk, OsFile};
pub use net::{OsListener, OsNet, OsStream};
pub use observe::set_trace_file;
pub use read_only::{OverlayFile, is_locked};

use std::future::Future;
use std::io::Write;
use std::pin::pin;
use std::sync::OnceLock;
use std::task::Context;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::runtime::{AbortOnDrop, Instant, Observation, Runtime, Task, WallTime, channel::oneshot};

/// Names the production world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct OsRuntime;

/// Time 0 of this process's monotonic clock.
fn start() -> std::time::Instant {
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    *START.get_or_init(std::time::Instant::now)
}

impl Runtime for OsRuntime {
    type Net = OsNet;
    type Disk = OsDisk;
    type Sleep = tokio::time::Sleep;

    fn now() -> Instant {
        // One second ahead, so that no instant lies before time 0 by a small subtraction.
        Instant(u64::try_from(start().elapsed().as_nanos()).unwrap_or(u64::MAX) + 1_000_000_000)
    }

    fn wall() -> WallTime {
        #[expect(clippy::disallowed_methods, reason = "this is the wall clock")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        WallTime(i128::try_from(now.as_nanos()).unwrap_or(i128::MAX))
    }

    fn sleep_until(deadline: Instant) -> tokio::time::Sleep {
        tokio::time::sleep_until(
            (start() + Duration::from_nanos(deadline.0.saturating_sub(1_000_000_000))).into(),
        )
    }

    fn spawn_raw(_name: &'static str, future: BoxFuture<'static, ()>) -> AbortOnDrop {
        #[expect(clippy::disallowed_methods, reason = "this is how tasks are spawned")]
        let handle = tokio::spawn(future).abort_handle();
        AbortOnDrop::new(move || handle.abort())
    }

    fn spawn_detached<F>(_name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        #[expect(clippy::disallowed_methods, reason = "this is how tasks are spawned")]
        drop(tokio::spawn(future));
    }

    fn spawn_blocking<T, F>(_name: &'static str, work: F) -> Task<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        #[expect(clippy::disallowed_methods, reason = "this is how blocking work is run")]
        drop(tokio::task::spawn_blocking(move || {
            // A receiver that went away no longer wants the result.
            let _ = sender.send(work());
        }));
        // Blocking work cannot be aborted; it runs to its end.
        Task::from_parts(receiver, AbortOnDrop::new(|| {}))
    }

    fn step_aside(cx: &mut Context<'_>) {
        // tokio polls the network only every so many tasks as long as any can run. A task that yields
        // in its way waits until the network was polled; the future has done its part then.
        let _ = pin!(tokio::task::yield_now()).poll(cx);
    }

    fn rng(_label: &'static str) -> ChaCha8Rng {
        let mut seed = [0; 32];
        fill_with_entropy(&mut seed);
        ChaCha8Rng::from_seed(seed)
    }

    fn observing() -> bool {
        observe::is_on()
    }

    fn observe(observation: Observation) {
        observe::write(&observation);
    }

    fn crash(reason: &str) -> ! {
        tracing::error!("fatal: {reason}");
        let _ = writeln!(std::io::stderr(), "etched: fatal: {reason}");
        std::process::exit(1)
    }
}

/// Fills `buffer` from the operating system. Ends the process if that is impossible: nothing could
/// be unique or safe then.
fn fill_with_entropy(buffer: &mut [u8]) {
    let mut filled = 0;
    while filled < buffer.len() {
        let rest = &mut buffer[filled..];
        #[expect(unsafe_code, reason = "the system call writes at most rest.len() bytes into rest")]
        let read = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(read) {
            Ok(read) => filled += read,
            Err(_) => OsRuntime::crash("the operating system gives no random numbers"),
        }
    }
}
