//! Rate, latency and server CPU per operation.

use std::time::Duration;

use etched::os::OsRuntime;
use etched::runtime::Runtime;

use super::Options;
use super::load::{KEYS, Load, Span, Work};
use super::servers::{Cluster, Product, cpu};

/// Before a load is measured.
const WARM_UP: Duration = Duration::from_millis(1500);
/// How long an idle cluster is looked at.
const IDLE: Duration = Duration::from_secs(2);

/// One workload.
struct Cell {
    name: &'static str,
    work: Work,
    connections: u64,
    clients: u64,
}

const PUT: Work = Work::Put { key: |count| count % KEYS };

const CELLS: [Cell; 4] = [
    Cell { name: "put-1", work: PUT, connections: 1, clients: 1 },
    Cell { name: "put-1000", work: PUT, connections: 100, clients: 1000 },
    Cell { name: "get-1", work: Work::Get, connections: 1, clients: 1 },
    Cell { name: "get-1000", work: Work::Get, connections: 100, clients: 1000 },
];

/// What one run of a cell gave.
struct Row {
    cell: String,
    product: &'static str,
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
    server_us: f64,
    client_us: f64,
    resident_mib: u64,
}

/// Runs all cells, Etched and etcd in turn, and prints medians and ratios.
pub async fn run(options: &Options) {
    let mut rows = Vec::new();
    println!(
        "| cell | program | rate /s | p50 ms | p99 ms | server CPU µs/op | client CPU µs/op | RSS MiB |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for _ in 0..options.rounds.unwrap_or(1) {
        for nodes in [1, 3].into_iter().filter(|nodes| options.nodes.is_none_or(|only| only == *nodes)) {
            for product in &options.products {
                rows.extend(measure(options, product, nodes).await);
            }
        }
    }
    summarize(&rows);
}

async fn measure(options: &Options, product: &Product, nodes: usize) -> Vec<Row> {
    let cluster = Cluster::start(product, nodes, &options.dir).await;
    // Gets need keys to find.
    let all: Vec<&str> = (0..nodes).map(|n| cluster.address(n)).collect();
    let leader = [all[cluster.leader().await]];
    let (from, to) = (OsRuntime::now(), OsRuntime::now() + Duration::from_secs(120));
    Load::start(PUT, &all, 20, 200, Span { from, to, requests: KEYS }).await.outcome().await;
    OsRuntime::sleep(Duration::from_secs(1)).await;
    let before = cluster.usage();
    OsRuntime::sleep(IDLE).await;
    let idle = (cluster.usage().cpu - before.cpu).as_secs_f64() / IDLE.as_secs_f64();
    println!(
        "| {nodes} idle | {} | | | | {:.1} % of a core | | {} |",
        product.name,
        idle * 100.0,
        before.resident_mib
    );
    let mut rows = Vec::new();
    for cell in CELLS {
        if !options.cells.is_empty() && !options.cells.iter().any(|wanted| wanted == cell.name) {
            continue;
        }
        let targets = if cell.clients == 1 || !options.spread { &leader[..] } else { &all[..] };
        let row = measure_cell(options, &cluster, product.name, targets, &cell).await;
        row.print();
        rows.push(row);
    }
    rows
}

async fn measure_cell(
    options: &Options,
    cluster: &Cluster,
    product: &'static str,
    targets: &[&str],
    cell: &Cell,
) -> Row {
    let seconds = Duration::from_secs(options.seconds);
    let from = OsRuntime::now() + WARM_UP;
    let span = Span { from, to: from + seconds, requests: u64::MAX };
    let load = Load::start(cell.work, targets, cell.connections, cell.clients, span).await;
    OsRuntime::sleep_until(span.from).await;
    let (server, client) = (cluster.usage().cpu, cpu("/proc/self/stat"));
    let began = OsRuntime::now();
    OsRuntime::sleep_until(span.to).await;
    let (usage, client) = (cluster.usage(), cpu("/proc/self/stat") - client);
    let took = (OsRuntime::now() - began).as_secs_f64();
    let outcome = load.outcome().await;
    if outcome.errors > 0 {
        println!("| {} {} | {product} | {} errors |", cluster.size(), cell.name, outcome.errors);
    }
    let operations = outcome.latencies.len() as f64;
    Row {
        cell: format!("{} {}", cluster.size(), cell.name),
        product,
        rate: operations / took,
        p50_ms: outcome.percentile_ms(0.5),
        p99_ms: outcome.percentile_ms(0.99),
        server_us: (usage.cpu - server).as_secs_f64() * 1e6 / operations,
        client_us: client.as_secs_f64() * 1e6 / operations,
        resident_mib: usage.resident_mib,
    }
}

impl Row {
    fn print(&self) {
        println!(
            "| {} | {} | {:.0} | {:.2} | {:.2} | {:.1} | {:.1} | {} |",
            self.cell,
            self.product,
            self.rate,
            self.p50_ms,
            self.p99_ms,
            self.server_us,
            self.client_us,
            self.resident_mib
        );
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Medians over the rounds, side by side.
fn summarize(rows: &[Row]) {
    let mut cells: Vec<&str> = Vec::new();
    for row in rows {
        if !cells.contains(&row.cell.as_str()) {
            cells.push(&row.cell);
        }
    }
    println!("\n| cell (medians) | etched /s | etcd /s | ratio | etched CPU µs | etcd CPU µs | ratio |");
    println!("|---|---|---|---|---|---|---|");
    for cell in cells {
        let of = |product: &str, what: fn(&Row) -> f64| {
            median(rows.iter().filter(|row| row.cell == cell && row.product == product).map(what).collect())
        };
        let rate = |product| of(product, |row| row.rate);
        let server = |product| of(product, |row| row.server_us);
        println!(
            "| {cell} | {:.0} | {:.0} | {:.2} | {:.1} | {:.1} | {:.2} |",
            rate("etched"),
            rate("etcd"),
            rate("etched") / rate("etcd"),
            server("etched"),
            server("etcd"),
            server("etched") / server("etcd")
        );
    }
}
