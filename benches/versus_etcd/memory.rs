//! A million keys of 16 B with values of 256 B: peak resident size, and the time of a restart.

use std::time::Duration;

use etched::os::OsRuntime;
use etched::runtime::Runtime;

use super::Options;
use super::load::{Load, Span, Work, scatter};
use super::servers::{Cluster, Product};

const KEYS: u64 = 1_000_000;
const CLIENTS: u64 = 640;
const CONNECTIONS: u64 = 10;

/// Both orders, for each program.
pub async fn run(options: &Options) {
    println!(
        "| order | program | loaded in | peak MiB | resident MiB | serving again after | peak MiB after it |"
    );
    println!("|---|---|---|---|---|---|---|");
    for _ in 0..options.rounds.unwrap_or(1) {
        for product in &options.products {
            measure(options, product, "sequential", |count| count).await;
            measure(options, product, "random", |count| scatter(count) % 1_000_000_000_000).await;
        }
    }
}

async fn measure(options: &Options, product: &Product, order: &str, key: fn(u64) -> u64) {
    let mut cluster = Cluster::start(product, 1, &options.dir).await;
    let began = OsRuntime::now();
    let span = Span { from: began, to: began + Duration::from_secs(600), requests: KEYS };
    let address = cluster.address(0).to_owned();
    let load = Load::start(Work::Put { key }, &[&address], CONNECTIONS, CLIENTS, span).await;
    let outcome = load.outcome().await;
    let loaded = OsRuntime::now() - began;
    assert_eq!(outcome.errors, 0, "every put is answered");
    let usage = cluster.usage();
    cluster.kill(0);
    let began = OsRuntime::now();
    cluster.launch(0);
    cluster.ready_one(0).await;
    let restarted = OsRuntime::now() - began;
    let after = cluster.usage();
    println!(
        "| {order} | {} | {:.1} s | {} | {} | {:.2} s | {} |",
        product.name,
        loaded.as_secs_f64(),
        usage.peak_mib,
        usage.resident_mib,
        restarted.as_secs_f64(),
        after.peak_mib
    );
}
