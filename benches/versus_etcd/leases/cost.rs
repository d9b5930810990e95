//! What grants and keep-alives cost.

use std::time::Duration;

use etched::os::OsRuntime;
use etched::runtime::Runtime;
use etched_proto::etcdserverpb as pb;

use super::super::Options;
use super::super::load::{Load, Outcome, Span, Work};
use super::super::servers::{Cluster, Product, cpu};

const LEASES: u64 = 1_000_000;
const GRANT_CLIENTS: u64 = 64;
const KEEP_ALIVE_CLIENTS: u64 = 100;
/// None ends meanwhile.
const LONG: Duration = Duration::from_secs(86_400);
/// What is written behind is written.
const SETTLED: Duration = Duration::from_secs(5);
const WARM_UP: Duration = Duration::from_millis(1500);

/// Clients and connections, `clients` of both if nothing else is asked for.
fn shape(options: &Options, clients: u64) -> (u64, u64) {
    let clients = options.clients.map_or(clients, |clients| clients as u64);
    (clients, options.connections.map_or(clients, |connections| connections as u64))
}

/// Many grants, through all members in turn; then all members are killed and start again.
pub async fn grants(options: &Options) {
    let (clients, connections) = shape(options, GRANT_CLIENTS);
    println!("grants by {clients} clients on {connections} connections");
    println!(
        "| members | program | leases | grants /s | p50 ms | p99 ms | server CPU µs/grant | client CPU µs/grant \
         | B a lease and member | leases on each member | after a restart of all | serving again after |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for _ in 0..options.rounds.unwrap_or(1) {
        for product in &options.products {
            grant_all(options, product, clients, connections).await;
        }
    }
}

async fn grant_all(options: &Options, product: &Product, clients: u64, connections: u64) {
    let mut cluster = Cluster::start(product, options.nodes.unwrap_or(3), &options.dir).await;
    let leases = options.leases.map_or(LEASES, |leases| leases as u64);
    let all: Vec<&str> = (0..cluster.size()).map(|n| cluster.address(n)).collect();
    OsRuntime::sleep(Duration::from_secs(1)).await;
    let (before, client) = (cluster.usage(), cpu("/proc/self/stat"));
    let began = OsRuntime::now();
    let work = Work::Grant { end: began + LONG };
    let span = Span { from: began, to: began + LONG, requests: leases };
    let outcome = Load::start(work, &all, connections, clients, span).await.outcome().await;
    let took = (OsRuntime::now() - began).as_secs_f64();
    let (after, client) = (cluster.usage(), cpu("/proc/self/stat") - client);
    assert_eq!(outcome.errors, 0, "every grant is answered");
    OsRuntime::sleep(SETTLED).await;
    let each = leases as f64;
    let bytes = (cluster.usage().resident_kib.saturating_sub(before.resident_kib) * 1024) as f64 / each;
    let counts = counts(&cluster).await;
    cluster.kill_all();
    let began = OsRuntime::now();
    (0..cluster.size()).for_each(|n| cluster.launch(n));
    cluster.ready().await;
    let restarted = OsRuntime::now() - began;
    println!(
        "| {} | {} | {leases} | {:.0} | {:.2} | {:.2} | {:.1} | {:.1} | {:.0} | {counts:?} | {:?} | {:.2} s |",
        cluster.size(),
        product.name,
        each / took,
        outcome.percentile_ms(0.5),
        outcome.percentile_ms(0.99),
        (after.cpu - before.cpu).as_secs_f64() * 1e6 / each,
        client.as_secs_f64() * 1e6 / each,
        bytes / cluster.size() as f64,
        self::counts(&cluster).await,
        restarted.as_secs_f64()
    );
}

/// How many leases each member says there are.
async fn counts(cluster: &Cluster) -> Vec<usize> {
    let mut counts = Vec::new();
    for n in 0..cluster.size() {
        let mut client = cluster.lease(n).await.expect("it serves");
        let answer = client.lease_leases(pb::LeaseLeasesRequest {}).await.expect("the leases");
        counts.push(answer.into_inner().leases.len());
    }
    counts
}

/// Each client keeps one lease, as fast as it is answered.
pub async fn keep_alives(options: &Options) {
    let (clients, connections) = shape(options, KEEP_ALIVE_CLIENTS);
    println!("keep-alives by {clients} clients, a stream each, on {connections} connections");
    println!(
        "| members | program | keep-alives /s | p50 ms | p99 ms | server CPU µs each | client CPU µs each |"
    );
    println!("|---|---|---|---|---|---|---|");
    for _ in 0..options.rounds.unwrap_or(1) {
        for product in &options.products {
            let cluster = Cluster::start(product, options.nodes.unwrap_or(1), &options.dir).await;
            let (outcome, server, client) = keep_all(options, &cluster, clients, connections).await;
            let each = outcome.latencies.len() as f64;
            println!(
                "| {} | {} | {:.0} | {:.2} | {:.2} | {:.1} | {:.1} |",
                cluster.size(),
                product.name,
                each / options.seconds as f64,
                outcome.percentile_ms(0.5),
                outcome.percentile_ms(0.99),
                server.as_secs_f64() * 1e6 / each,
                client.as_secs_f64() * 1e6 / each
            );
        }
    }
}

/// What came of it, and the CPU time of servers and client.
async fn keep_all(
    options: &Options,
    cluster: &Cluster,
    clients: u64,
    connections: u64,
) -> (Outcome, Duration, Duration) {
    let all: Vec<&str> = (0..cluster.size()).map(|n| cluster.address(n)).collect();
    let now = OsRuntime::now();
    let span = Span { from: now, to: now + LONG, requests: clients };
    let granted = Load::start(Work::Grant { end: now + LONG }, &all[..1], 1, 1, span).await.outcome().await;
    assert_eq!(granted.errors, 0, "every grant is answered");
    let from = OsRuntime::now() + WARM_UP;
    let span = Span { from, to: from + Duration::from_secs(options.seconds), requests: u64::MAX };
    let load = Load::start(Work::KeepAlive { leases: clients }, &all, connections, clients, span).await;
    OsRuntime::sleep_until(span.from).await;
    let (server, client) = (cluster.usage().cpu, cpu("/proc/self/stat"));
    OsRuntime::sleep_until(span.to).await;
    let (server, client) = (cluster.usage().cpu - server, cpu("/proc/self/stat") - client);
    let outcome = load.outcome().await;
    assert_eq!(outcome.errors, 0, "no stream ends");
    (outcome, server, client)
}
