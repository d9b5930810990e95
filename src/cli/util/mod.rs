//! `etched util log dump DIR` and `etched util checkpoint dump DIR`: what a data directory holds,
//! one JSON object a line, without changing it. Damage is a line of its own, and the exit code is 1.

mod auth_words;
mod checkpoint;
mod log;
#[cfg(test)]
mod tests;
mod words;

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value;

const USAGE: &str = "use: etched util log dump DIR, or etched util checkpoint dump DIR";

/// Why a dump ended early.
#[derive(Debug)]
enum DumpError {
    /// The output was closed or is full.
    Output(io::Error),
    /// Nothing could be read; one line that says what to do.
    Input(String),
}

impl From<io::Error> for DumpError {
    fn from(error: io::Error) -> Self {
        DumpError::Output(error)
    }
}

/// Where lines go, and whether any of them told of damage.
struct Lines<W: Write> {
    out: W,
    damaged: bool,
}

impl<W: Write> Lines<W> {
    fn put(&mut self, line: &Value) -> io::Result<()> {
        writeln!(self.out, "{line}")
    }

    fn damage(&mut self, line: &Value) -> io::Result<()> {
        self.damaged = true;
        self.put(line)
    }
}

/// Runs `etched util ...` with the arguments after `util`.
pub(super) fn run(arguments: &[String]) -> ExitCode {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut lines = Lines { out: BufWriter::new(io::stdout().lock()), damaged: false };
    let dumped = match words.as_slice() {
        ["log", "dump", directory] => log::dump(Path::new(directory), &mut lines),
        ["checkpoint", "dump", directory] => checkpoint::dump(Path::new(directory), &mut lines),
        _ => {
            eprintln!("etched util: {USAGE}");
            return ExitCode::from(2);
        }
    };
    match dumped.and_then(|()| Ok(lines.out.flush()?)) {
        Ok(()) => ExitCode::from(u8::from(lines.damaged)),
        // The reader has seen enough.
        Err(DumpError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(DumpError::Output(error)) => {
            eprintln!("etched util: cannot write the dump: {error}");
            ExitCode::from(1)
        }
        Err(DumpError::Input(error)) => {
            eprintln!("etched util: {error}");
            ExitCode::from(1)
        }
    }
}

/// The folder `name` of a data directory; `directory` may also be that folder itself.
fn folder(directory: &Path, name: &str) -> PathBuf {
    let inside = directory.join(name);
    if inside.is_dir() { inside } else { directory.to_path_buf() }
}
