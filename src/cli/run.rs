//! From `main` to a serving member and back.

use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::flags::{self, Given};
use super::logging;
use super::options::{self, Options};
use super::util;
use crate::node::Node;
use crate::os::{OsDisk, OsNet, OsRuntime, set_trace_file};
use crate::runtime::{Either, Listener, Net, Runtime, Task, select};
use crate::server::serve;
use crate::types::limits::ETCD_VERSION;

/// The program. Exit codes: 0 after a graceful stop, 1 for anything that kept it from serving,
/// 2 for a wrong command line.
pub fn main() -> ExitCode {
    // Bytes that are no text stay visible in the errors that refuse them.
    let text = |given: std::ffi::OsString| given.to_string_lossy().into_owned();
    let arguments: Vec<String> = std::env::args_os().skip(1).map(text).collect();
    let variables = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
    if let Some(("util", rest)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return util::run(rest);
    }
    let given = match flags::read(arguments, variables) {
        Ok(given) => given,
        Err(error) => return fail(2, &error),
    };
    if given.values.get("help").is_some_and(|value| value == "true") {
        print!("{}", flags::help());
        return ExitCode::SUCCESS;
    }
    if given.values.get("version").is_some_and(|value| value == "true") {
        print!("{}", version());
        return ExitCode::SUCCESS;
    }
    let options = match options::parse(&given) {
        Ok(options) => options,
        Err(error) => return fail(2, &error),
    };
    start(&given, options)
}

fn fail(code: u8, error: &str) -> ExitCode {
    eprintln!("etched: {error}");
    ExitCode::from(code)
}

/// The lines that clients of `etcd --version` know, and our own.
fn version() -> String {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    format!(
        "etcd Version: {ETCD_VERSION}\nGit SHA: {}\nGo Version: none (Rust)\nGo OS/Arch: {os}/{arch}\n\
         Etched Version: {}\n",
        option_env!("ETCHED_GIT_SHA").unwrap_or("unknown"),
        env!("CARGO_PKG_VERSION")
    )
}

fn start(given: &Given, options: Options) -> ExitCode {
    logging::start(&options.log_level, options.log_json);
    logging::end_on_panic();
    for warning in &given.warnings {
        tracing::warn!("{warning}");
    }
    if let Some(path) = &options.trace_file
        && let Err(error) = set_trace_file(path)
    {
        return fail(1, &format!("cannot write --trace-file {}: {error}", path.display()));
    }
    // One thread for node, Raft, apply and doors; the log and the checkpoint have their own.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &format!("cannot start: {error}")),
    };
    match runtime.block_on(run(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &error),
    }
}

async fn run(options: Options) -> Result<(), String> {
    let listeners = listen(&options.listen_client).await?;
    let place = options.data_dir.display().to_string();
    let disk = OsDisk::open(&options.data_dir, options.sync)
        .map_err(|error| format!("cannot use data directory {place}: {error}; give another --data-dir"))?;
    if !options.sync {
        tracing::warn!("--unsafe-no-fsync is on: acknowledged writes are lost when the machine fails");
    }
    let name = options.node.name.clone();
    let node = Node::<OsRuntime>::open(options.node, OsNet, disk).await.map_err(|error| error.to_string())?;
    // Heard from here on: a stop that is asked for as soon as the member says that it serves is graceful.
    // Until here a signal ends the program at once, which a start survives like any other crash.
    let mut signals = Signals::hear()?;
    let (member, cluster) = (format!("{:x}", node.member_id()), format!("{:x}", node.cluster_id()));
    tracing::info!(name, member_id = member, cluster_id = cluster, data_dir = place, "started member");
    let mut doors: Vec<Task<()>> = Vec::new();
    for listener in listeners {
        let address = listener.local_address();
        let serving = serve::<OsRuntime, _>(node.clone(), listener, options.server);
        doors.push(OsRuntime::spawn("doors", serving));
        tracing::info!(address, "ready to serve client requests");
    }
    let signal = signals.next().await;
    tracing::info!(signal, "received signal; shutting down");
    if let Either::First(again) = select(signals.next(), node.stop()).await {
        return Err(format!("received {again} again; stopped at once"));
    }
    for door in doors {
        // The doors end by themselves once the node stops.
        let _ = door.await;
    }
    tracing::info!("stopped");
    Ok(())
}

async fn listen(addresses: &[String]) -> Result<Vec<<OsNet as Net>::Listener>, String> {
    let mut listeners = Vec::new();
    for address in addresses {
        let listener = OsNet.listen(address).await.map_err(|error| {
            format!(
                "cannot listen for clients on {address}: {error}; stop what uses it or give another \
                 --listen-client-urls"
            )
        })?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// The signals that ask for a graceful stop. Those that come while nobody waits are kept.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn hear() -> Result<Signals, String> {
        let hear = |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
        Ok(Signals { terminate: hear(SignalKind::terminate())?, interrupt: hear(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        match select(self.terminate.recv(), self.interrupt.recv()).await {
            Either::First(_) => "terminated",
            Either::Second(_) => "interrupt",
        }
    }
}
