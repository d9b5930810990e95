//! Etched beside etcd on this machine, with the same cheap client: speed, memory, restart, fail-over
//! and crashes of real clusters. Figures count only beside those of the same run.
//!
//! `cargo bench --bench versus_etcd -- MODE [--etcd PATH|none] [--rounds N] [--seconds N] [--dir DIR]`

mod faults;
mod http2;
mod leases;
mod load;
mod memory;
mod servers;
mod speed;

use std::path::PathBuf;

use servers::Product;

const HELP: &str = "modes:
  speed     puts and linearizable gets: rate, latency, server CPU per operation (the default)
  memory    a million keys, sequential and random: peak resident size, time of a restart
  failover  three members: kill -9 and SIGTERM of the leader, time until writes are accepted again
  crash     three members: kill -9 of all under load, again and again; nothing acknowledged is lost
  grants    three members: a million leases: rate, server CPU per grant, memory of a lease, a restart
  keep-alives  one member: server CPU per keep-alive
  expiry    three members: 1,000 leases of 6 s, with and without the loss of the leader: how late they end
  crowd     three members: what puts feel of 100,000 leases that end at once
options:
  --etcd PATH    the etcd to compare with; without it the one on PATH, `none` for no comparison
  --only NAME    etched or etcd
  --nodes N      only clusters of this size (speed), or of this instead (grants, keep-alives, crowd)
  --cells A,B    only these workloads (speed): put-1, put-1000, get-1, get-1000
  --spread WHOM  connections of many clients go to `all` members (the default) or to the `leader`
  --clients N    requests in flight (grants, keep-alives)
  --connections N  over so many connections (grants, keep-alives)
  --leases N     so many leases (grants, crowd)
  --rounds N     how often everything is repeated
  --seconds N    how long one load is measured
  --dir DIR      where data directories are made; without it the system's temporary folder";

/// What was asked for.
pub struct Options {
    /// The programs to measure.
    pub products: Vec<Product>,
    /// Only clusters of this size.
    pub nodes: Option<usize>,
    /// Only these workloads; none means all.
    pub cells: Vec<String>,
    /// Whether many clients are spread over all members.
    pub spread: bool,
    /// Requests in flight.
    pub clients: Option<usize>,
    /// Connections that they share.
    pub connections: Option<usize>,
    /// How many leases there are.
    pub leases: Option<usize>,
    /// How often everything is repeated.
    pub rounds: Option<usize>,
    /// How long one load is measured.
    pub seconds: u64,
    /// Where data directories are made.
    pub dir: PathBuf,
}

fn main() {
    let mut mode = None;
    let mut etcd = None;
    let mut only = None;
    let mut options = Options {
        products: Vec::new(),
        nodes: None,
        cells: Vec::new(),
        spread: true,
        clients: None,
        connections: None,
        leases: None,
        rounds: None,
        seconds: 5,
        dir: std::env::temp_dir(),
    };
    // Cargo itself adds `--bench`.
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_else(|| panic!("{argument} needs a value\n{HELP}"));
        match argument.as_str() {
            "--etcd" => etcd = Some(value()),
            "--only" => only = Some(value()),
            "--nodes" => options.nodes = Some(number(&value())),
            "--cells" => options.cells = value().split(',').map(str::to_owned).collect(),
            "--spread" => options.spread = value() == "all",
            "--clients" => options.clients = Some(number(&value())),
            "--connections" => options.connections = Some(number(&value())),
            "--leases" => options.leases = Some(number(&value())),
            "--rounds" => options.rounds = Some(number(&value())),
            "--seconds" => options.seconds = number(&value()) as u64,
            "--dir" => options.dir = PathBuf::from(value()),
            "--help" => {
                println!("{HELP}");
                return;
            }
            _ if !argument.starts_with('-') && mode.is_none() => mode = Some(argument),
            _ => panic!("{argument} is not known\n{HELP}"),
        }
    }
    options.products = Product::find(etcd.as_deref(), only.as_deref());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        match mode.as_deref().unwrap_or("speed") {
            "speed" => speed::run(&options).await,
            "memory" => memory::run(&options).await,
            "failover" => faults::failover(&options).await,
            "crash" => faults::crash(&options).await,
            "grants" => leases::cost::grants(&options).await,
            "keep-alives" => leases::cost::keep_alives(&options).await,
            "expiry" => leases::expiry::run(&options).await,
            "crowd" => leases::crowd::run(&options).await,
            other => panic!("no mode {other}\n{HELP}"),
        }
    });
}

fn number(text: &str) -> usize {
    text.parse().unwrap_or_else(|_| panic!("{text} is not a whole number"))
}
