//! Real clusters of three that lose members: how soon writes are accepted again, and whether
//! everything acknowledged is still there.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use etched::os::{OsNet, OsRuntime};
use etched::runtime::{Instant, Runtime, Task, timeout};
use etched::server::GrpcChannel;
use etched_proto::etcdserverpb as pb;
use etched_proto::etcdserverpb::kv_client::KvClient;

use super::Options;
use super::servers::{Cluster, Product};

/// A new attempt to write begins this often in fail-over runs.
const ATTEMPT: Duration = Duration::from_millis(2);
/// An attempt is given up after this.
const PATIENCE: Duration = Duration::from_secs(10);
/// Before a fault.
const CALM: Duration = Duration::from_millis(800);
/// Writers under which all members are killed.
const WRITERS: u64 = 60;
const CRASHES: usize = 20;

/// What was acknowledged, and when its attempt began and ended.
#[derive(Default)]
struct Journal {
    next: AtomicU64,
    acknowledged: Mutex<Vec<(u64, Instant, Instant)>>,
}

impl Journal {
    fn all(&self) -> Vec<(u64, Instant, Instant)> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tries one write of a new key.
    async fn write(&self, kv: &mut KvClient<GrpcChannel>) -> bool {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let key = key(number);
        let request = pb::PutRequest { value: key.clone(), key, ..Default::default() };
        let began = OsRuntime::now();
        let answer = timeout::<OsRuntime, _>(PATIENCE, kv.put(request)).await;
        let good = matches!(answer, Some(Ok(_)));
        if good {
            let row = (number, began, OsRuntime::now());
            self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).push(row);
        }
        good
    }
}

fn key(number: u64) -> bytes::Bytes {
    format!("w{number:012}").into()
}

/// A channel that is dialled again when it broke.
async fn dial(address: &str) -> KvClient<GrpcChannel> {
    loop {
        if let Ok(channel) = GrpcChannel::connect::<OsRuntime>(&OsNet, address).await {
            return KvClient::new(channel);
        }
        OsRuntime::sleep(Duration::from_millis(1)).await;
    }
}

/// Begins a write every [`ATTEMPT`], whatever becomes of the ones before.
async fn attempt_steadily(journal: Arc<Journal>, address: String) {
    let kv = dial(&address).await;
    loop {
        let (journal, mut kv) = (journal.clone(), kv.clone());
        OsRuntime::spawn("attempt", async move { journal.write(&mut kv).await }).detach();
        OsRuntime::sleep(ATTEMPT).await;
    }
}

/// The leader goes, by `kill -9` and by SIGTERM, some times each.
pub async fn failover(options: &Options) {
    println!(
        "| fault | program | first new write accepted after | longest wait of an acknowledged write | lost |"
    );
    println!("|---|---|---|---|---|");
    for product in &options.products {
        for fault in ["kill -9", "SIGTERM"] {
            for _ in 0..options.rounds.unwrap_or(5) {
                lose_leader(options, product, fault).await;
            }
        }
    }
}

async fn lose_leader(options: &Options, product: &Product, fault: &str) {
    let mut cluster = Cluster::start(product, 3, &options.dir).await;
    // A new cluster has just elected; its followers know their leader for a while.
    OsRuntime::sleep(Duration::from_secs(1)).await;
    let leader = cluster.leader().await;
    let journal = Arc::new(Journal::default());
    let others = (0..3).filter(|n| *n != leader).map(|n| cluster.address(n).to_owned());
    let start = |address| OsRuntime::spawn("writer", attempt_steadily(journal.clone(), address));
    let writers: Vec<Task<()>> = others.map(start).collect();
    OsRuntime::sleep(CALM).await;
    let struck = OsRuntime::now();
    if fault == "SIGTERM" {
        cluster.terminate(leader);
    } else {
        cluster.kill(leader);
    }
    OsRuntime::sleep(Duration::from_secs(4)).await;
    drop(writers);
    let rows = journal.all();
    let after = rows.iter().filter(|(_, began, _)| *began > struck);
    let first = after.map(|(_, _, ended)| *ended - struck).min();
    let longest = rows.iter().map(|(_, began, ended)| *ended - *began).max();
    let ending = if fault == "SIGTERM" { cluster.ended(leader).await } else { "killed".to_owned() };
    let lost = missing(&cluster, (leader + 1) % 3, &rows).await;
    println!(
        "| {fault} ({ending}) | {} | {} | {} | {} of {} |",
        product.name,
        milliseconds(first),
        milliseconds(longest),
        lost.len(),
        rows.len()
    );
    assert!(lost.is_empty(), "acknowledged writes are gone: {lost:?}");
}

fn milliseconds(duration: Option<Duration>) -> String {
    duration.map_or_else(|| "never".to_owned(), |duration| format!("{:.0} ms", duration.as_secs_f64() * 1e3))
}

/// Acknowledged writes that member `n` does not have.
async fn missing(cluster: &Cluster, n: usize, rows: &[(u64, Instant, Instant)]) -> Vec<u64> {
    let mut kv = cluster.kv(n).await.expect("it serves");
    let mut found = BTreeSet::new();
    let mut from: bytes::Bytes = "w".into();
    loop {
        let request =
            pb::RangeRequest { key: from, range_end: "x".into(), limit: 10_000, ..Default::default() };
        let page = kv.range(request).await.expect("a range").into_inner();
        found.extend(page.kvs.iter().map(|kv| kv.key.clone()));
        match page.kvs.last() {
            Some(last) if page.more => from = [last.key.as_ref(), &[0]].concat().into(),
            _ => break,
        }
    }
    rows.iter().map(|(number, _, _)| *number).filter(|number| !found.contains(&key(*number))).collect()
}

/// Writes until the connection breaks.
async fn write_until_broken(journal: Arc<Journal>, address: String) {
    let mut kv = dial(&address).await;
    while journal.write(&mut kv).await {}
}

/// All members are killed under load, again and again, in the same directories.
pub async fn crash(options: &Options) {
    println!("| program | crash | acknowledged so far | lost | hashes at revision | serving again after |");
    println!("|---|---|---|---|---|---|");
    for product in &options.products {
        let mut cluster = Cluster::start(product, 3, &options.dir).await;
        let journal = Arc::new(Journal::default());
        for crash in 1..=options.rounds.unwrap_or(CRASHES) {
            let address = |n: u64| cluster.address(n as usize % 3).to_owned();
            let start = |n| OsRuntime::spawn("writer", write_until_broken(journal.clone(), address(n)));
            let writers: Vec<Task<()>> = (0..WRITERS).map(start).collect();
            // A different moment each time.
            OsRuntime::sleep(CALM + Duration::from_micros(7919 * crash as u64)).await;
            cluster.kill_all();
            drop(writers);
            let began = OsRuntime::now();
            (0..3).for_each(|n| cluster.launch(n));
            cluster.ready().await;
            let restarted = OsRuntime::now() - began;
            let rows = journal.all();
            let lost = missing(&cluster, crash % 3, &rows).await;
            let (revision, hashes) = hashes(&cluster).await;
            println!(
                "| {} | {crash} | {} | {} | {hashes:x?} at {revision} | {} |",
                product.name,
                rows.len(),
                lost.len(),
                milliseconds(Some(restarted))
            );
            assert!(lost.is_empty(), "acknowledged writes are gone: {lost:?}");
            assert!(hashes.iter().all(|hash| *hash == hashes[0]), "members differ: {hashes:x?}");
        }
    }
}

/// What each member hashes to at the newest revision that all have.
async fn hashes(cluster: &Cluster) -> (i64, Vec<u32>) {
    let mut revision = i64::MAX;
    for n in 0..cluster.size() {
        let mut kv = cluster.kv(n).await.expect("it serves");
        let answer = kv.range(pb::RangeRequest { key: "w".into(), ..Default::default() }).await;
        let header = answer.expect("a read").into_inner().header.expect("a header");
        revision = revision.min(header.revision);
    }
    let mut hashes = Vec::new();
    for n in 0..cluster.size() {
        let mut maintenance = cluster.maintenance(n).await.expect("it serves");
        let answer = maintenance.hash_kv(pb::HashKvRequest { revision }).await.expect("a hash");
        hashes.push(answer.into_inner().hash);
    }
    (revision, hashes)
}
