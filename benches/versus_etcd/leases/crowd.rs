//! What puts feel when very many leases, each with a key, end at once.

use std::time::Duration;

use etched::os::OsRuntime;
use etched::runtime::{Instant, Runtime};
use etched_proto::etcdserverpb as pb;

use super::super::Options;
use super::super::load::{ATTACHED, KEYS, Load, Outcome, Span, Work};
use super::super::servers::{Cluster, Product};

const LEASES: u64 = 100_000;
/// From the first grant to the end of all.
const TTL: Duration = Duration::from_secs(90);
/// Before the end, nothing but puts happens for so long.
const ALONE: Duration = Duration::from_secs(12);
/// One load of puts.
const WINDOW: Duration = Duration::from_secs(1);
const PUT: Work = Work::Put { key: |count| count % KEYS };
/// Of the puts that are measured.
const CLIENTS: u64 = 16;
const CONNECTIONS: u64 = 4;

/// Each program, some times.
pub async fn run(options: &Options) {
    println!("puts of {CLIENTS} clients; times in ms");
    println!(
        "| members | program | leases | before: puts /s | p50 | p99 | most | ended within | meanwhile: puts /s \
         | p50 | p99 | most | p99 of the worst second |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for _ in 0..options.rounds.unwrap_or(1) {
        for product in &options.products {
            measure(options, product).await;
        }
    }
}

async fn measure(options: &Options, product: &Product) {
    let cluster = Cluster::start(product, options.nodes.unwrap_or(3), &options.dir).await;
    let leases = options.leases.map_or(LEASES, |leases| leases as u64);
    let all: Vec<&str> = (0..cluster.size()).map(|n| cluster.address(n)).collect();
    let end = OsRuntime::now() + TTL;
    for work in [Work::Grant { end }, Work::Attach] {
        let span = Span { from: OsRuntime::now(), to: end, requests: leases };
        let outcome = Load::start(work, &all, 12, 600, span).await.outcome().await;
        assert_eq!(outcome.latencies.len() as u64, leases, "every lease is granted and has its key");
    }
    assert!(OsRuntime::now() < end - ALONE, "the leases are there long before they end");
    OsRuntime::sleep_until(end - ALONE).await;
    let mut before = Windows::default();
    while OsRuntime::now() + WINDOW * 2 < end {
        before.add(puts(&all).await);
    }
    OsRuntime::sleep_until(end - WINDOW / 2).await;
    let (mut meanwhile, mut over) = (Windows::default(), end);
    while over == end {
        let (outcome, gone) = futures_util::join!(puts(&all), gone(&cluster));
        meanwhile.add(outcome);
        over = gone.unwrap_or(end);
    }
    println!(
        "| {} | {} | {leases} | {} | {:.1} s | {} | {:.2} |",
        cluster.size(),
        product.name,
        before.text(),
        (over - (end - WINDOW / 2)).as_secs_f64(),
        meanwhile.text(),
        meanwhile.worst
    );
}

/// Puts for one window.
async fn puts(all: &[&str]) -> Outcome {
    let from = OsRuntime::now();
    let span = Span { from, to: from + WINDOW, requests: u64::MAX };
    Load::start(PUT, all, CONNECTIONS, CLIENTS, span).await.outcome().await
}

/// When all leases' keys were gone, if they are within a window.
async fn gone(cluster: &Cluster) -> Option<Instant> {
    let mut kv = cluster.kv(0).await.expect("it serves");
    for _ in 0..4 {
        let mut range_end = ATTACHED.as_bytes().to_vec();
        *range_end.last_mut().expect("a prefix") += 1;
        let request = pb::RangeRequest {
            key: ATTACHED.into(),
            range_end: range_end.into(),
            count_only: true,
            serializable: true,
            ..Default::default()
        };
        if kv.range(request).await.expect("a count").into_inner().count == 0 {
            return Some(OsRuntime::now());
        }
        OsRuntime::sleep(WINDOW / 4).await;
    }
    None
}

/// Loads one after the other.
#[derive(Default)]
struct Windows {
    all: Outcome,
    count: u32,
    /// The largest p99 of any, in milliseconds.
    worst: f64,
}

impl Windows {
    fn add(&mut self, outcome: Outcome) {
        assert_eq!(outcome.errors, 0, "every put is answered");
        self.worst = self.worst.max(outcome.percentile_ms(0.99));
        self.count += 1;
        self.all.latencies.extend(outcome.latencies);
        self.all.latencies.sort_unstable();
    }

    /// Four columns.
    fn text(&self) -> String {
        let rate = self.all.latencies.len() as f64 / (WINDOW * self.count).as_secs_f64();
        let [p50, p99, most] = [0.5, 0.99, 1.0].map(|part| self.all.percentile_ms(part));
        format!("{rate:.0} | {p50:.2} | {p99:.2} | {most:.2}")
    }
}
