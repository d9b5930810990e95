//! Observations into a trace file, one a line, if one was asked for.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::runtime::{Observation, Runtime, lock};

#[expect(clippy::disallowed_types, reason = "the trace is written outside the data directory")]
type Trace = BufWriter<std::fs::File>;

static ON: AtomicBool = AtomicBool::new(false);
static TRACE: Mutex<Option<Trace>> = Mutex::new(None);

/// Writes all observations of this process to `path`, which is replaced.
pub fn set_trace_file(path: &Path) -> std::io::Result<()> {
    #[expect(clippy::disallowed_types, reason = "the trace is written outside the data directory")]
    let file = std::fs::File::create(path)?;
    *lock(&TRACE) = Some(BufWriter::new(file));
    ON.store(true, Ordering::Release);
    Ok(())
}

pub(super) fn is_on() -> bool {
    ON.load(Ordering::Acquire)
}

pub(super) fn write(observation: &Observation) {
    if !is_on() {
        return;
    }
    let at = super::OsRuntime::now().0;
    let mut trace = lock(&TRACE);
    if let Some(file) = trace.as_mut() {
        // A trace that cannot be written is no reason to stop serving.
        let _ = writeln!(file, "{at} {observation:?}").and_then(|()| file.flush());
    }
}
