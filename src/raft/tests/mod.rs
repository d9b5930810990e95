//! The engine from outside: openraft's suites, and members over real sockets and files.

mod cluster;
mod conformance;

use std::path::PathBuf;

use crate::os::OsDisk;
use crate::raft::{AppliedEntry, ApplySink};
use crate::state::View;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// A directory that is gone after the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("etched-raft-{}-{name}", std::process::id()));
        // It is not there, unless a process with the same id left it.
        let _ = std::fs::remove_dir_all(&path);
        Directory(path)
    }

    fn disk(&self) -> OsDisk {
        OsDisk::open(&self.0, true).expect("a directory")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Nobody listens.
struct NoSink;

impl ApplySink for NoSink {
    fn applied(&self, _batch: Vec<AppliedEntry>, _view: View) {}
    fn installed(&self, _view: View) {}
}
