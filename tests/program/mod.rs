//! The `etched` binary as a child process: run to its end, or running with its addresses.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A folder of its own, gone with the value.
pub struct Folder(pub PathBuf);

impl Folder {
    /// An empty folder.
    pub fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("etched-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder for tests");
        Folder(path)
    }

    /// A path inside, as text.
    pub fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const BINARY: &str = env!("CARGO_BIN_EXE_etched");

fn command(program: &str, arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code.
    pub code: Option<i32>,
    /// What it printed.
    pub out: String,
    /// What it said on standard error.
    pub err: String,
}

/// Runs the program to its end; one that serves instead is ended after a while.
pub fn run(arguments: &[&str], variables: &[(&str, &str)], folder: &Path) -> Ended {
    let limited = [&["-s", "KILL", "60", BINARY], arguments].concat();
    let ended = command("timeout", &limited, folder).envs(variables.iter().copied()).output();
    let ended = ended.expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Ended { code: ended.status.code(), out: text(ended.stdout), err: text(ended.stderr) }
}

/// A member that serves.
pub struct Member {
    child: Child,
    /// Where clients are served.
    pub clients: SocketAddr,
    /// Where other members are served.
    pub peers: SocketAddr,
}

impl Member {
    /// A single member on free ports with its data in `data_dir`, once it serves.
    pub fn start(data_dir: &str, more: &[&str]) -> Member {
        let mut arguments = vec![
            "--data-dir",
            data_dir,
            "--listen-client-urls=http://127.0.0.1:0",
            "--listen-peer-urls=http://127.0.0.1:0",
        ];
        arguments.extend(more);
        let folder = std::env::temp_dir();
        let mut child = command(BINARY, &arguments, &folder).spawn().expect("the binary starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped"));
        let (mut clients, mut peers, mut said) = (None, None, String::new());
        while clients.is_none() || peers.is_none() {
            let mut line = String::new();
            let read = lines.read_line(&mut line).expect("text");
            assert!(read > 0, "it ended before it served: {said}");
            said.push_str(&line);
            let line: Value = serde_json::from_str(&line).expect("log lines are JSON");
            let address = || line["address"].as_str().and_then(|address| address.parse().ok());
            match line["msg"].as_str() {
                Some("ready to serve client requests") => clients = address(),
                Some("serving peer traffic") => peers = address(),
                _ => {}
            }
        }
        child.stderr = Some(lines.into_inner());
        Member { child, clients: clients.expect("checked"), peers: peers.expect("checked") }
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Asks it to stop with SIGTERM; what it said since it served, and its exit code.
    pub fn stop(mut self) -> Output {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(sent.success());
        let mut stderr = Vec::new();
        self.child.stderr.take().expect("piped").read_to_end(&mut stderr).expect("readable");
        let status = self.child.wait().expect("it ends");
        Output { status, stdout: Vec::new(), stderr }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
