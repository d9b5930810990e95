//! How late leases end, and that none ends early: by the clock of the client, which counts from the
//! answer to its grant and hears of the end by a watch.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use etched::os::{OsNet, OsRuntime};
use etched::runtime::{Instant, Runtime, Task, timeout};
use etched::server::GrpcChannel;
use etched_proto::etcdserverpb as pb;
use etched_proto::etcdserverpb::kv_client::KvClient;
use etched_proto::etcdserverpb::lease_client::LeaseClient;
use etched_proto::etcdserverpb::watch_client::WatchClient;
use etched_proto::etcdserverpb::watch_request::RequestUnion;
use futures_util::stream::{self, StreamExt};

use super::super::Options;
use super::super::load::{ATTACHED, lease};
use super::super::servers::{Cluster, Product};

const LEASES: usize = 1000;
const TTL: Duration = Duration::from_secs(6);
/// From the last grant to the loss of the leader.
const CALM: Duration = Duration::from_secs(2);
/// By then all have ended.
const PATIENCE: Duration = Duration::from_secs(60);

/// Without a fault and with the leader lost, some times each.
pub async fn run(options: &Options) {
    println!(
        "| leader | program | without a leader for | ended early | late: least | p50 | p99 | most | most without the gap |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for product in &options.products {
        for lost in [false, true] {
            for _ in 0..options.rounds.unwrap_or(3) {
                measure(options, product, lost).await;
            }
        }
    }
}

async fn measure(options: &Options, product: &Product, lost: bool) {
    let mut cluster = Cluster::start(product, 3, &options.dir).await;
    OsRuntime::sleep(Duration::from_secs(1)).await;
    let leader = cluster.leader().await;
    let address = cluster.address((leader + 1) % 3).to_owned();
    let ends = follow(&address).await;
    let granted = grant(&address).await;
    let mut gap = Duration::ZERO;
    if lost {
        OsRuntime::sleep_until(*granted.iter().max().expect("some") + CALM).await;
        let addresses = (0..3).filter(|n| *n != leader).map(|n| cluster.address(n).to_owned()).collect();
        cluster.kill(leader);
        gap = wait_for_leader(addresses).await;
    }
    let ended = timeout::<OsRuntime, _>(PATIENCE, ends).await.expect("all end").expect("the watch");
    let seconds = |from: Instant, to: Instant| {
        if to >= from { (to - from).as_secs_f64() } else { -(from - to).as_secs_f64() }
    };
    let mut late: Vec<f64> = (0..LEASES).map(|n| seconds(granted[n] + TTL, ended[n])).collect();
    late.sort_by(f64::total_cmp);
    let at = |part: f64| late[((LEASES - 1) as f64 * part) as usize];
    println!(
        "| {} | {} | {:.2} s | {} | {:.2} s | {:.2} s | {:.2} s | {:.2} s | {:.2} s |",
        if lost { "lost" } else { "stays" },
        product.name,
        gap.as_secs_f64(),
        late.iter().filter(|late| **late < 0.0).count(),
        at(0.0),
        at(0.5),
        at(0.99),
        at(1.0),
        at(1.0) - gap.as_secs_f64()
    );
}

/// When each lease's key was seen to be deleted.
async fn follow(address: &str) -> Task<Vec<Instant>> {
    let channel = GrpcChannel::connect::<OsRuntime>(&OsNet, address).await.expect("a connection");
    let mut range_end = ATTACHED.as_bytes().to_vec();
    *range_end.last_mut().expect("a prefix") += 1;
    let filters = vec![pb::watch_create_request::FilterType::Noput.into()];
    let create = pb::WatchCreateRequest {
        key: ATTACHED.into(),
        range_end: range_end.into(),
        filters,
        ..Default::default()
    };
    let create = pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    let requests = stream::once(async { create }).chain(stream::pending());
    let mut events = WatchClient::new(channel).watch(requests).await.expect("a watch").into_inner();
    assert!(events.message().await.expect("an answer").expect("an answer").created);
    OsRuntime::spawn("watch", async move {
        let mut ends = vec![None; LEASES];
        while ends.iter().any(Option::is_none) {
            let response = events.message().await.expect("it goes on").expect("it goes on");
            let now = OsRuntime::now();
            for event in response.events {
                let key = event.kv.expect("a record").key;
                let number = std::str::from_utf8(&key[ATTACHED.len()..]).expect("a number");
                let end = &mut ends[number.parse::<usize>().expect("a number")];
                assert!(end.replace(now).is_none(), "a key is deleted once");
            }
        }
        ends.into_iter().flatten().collect()
    })
}

/// Grants all leases, with a key each; when each grant was answered.
async fn grant(address: &str) -> Vec<Instant> {
    let channel = GrpcChannel::connect::<OsRuntime>(&OsNet, address).await.expect("a connection");
    let grants = (0..LEASES).map(|n| {
        let (mut leases, mut kv) = (LeaseClient::new(channel.clone()), KvClient::new(channel.clone()));
        async move {
            let (id, ttl) = (lease(n as u64), TTL.as_secs() as i64);
            let granted = leases.lease_grant(pb::LeaseGrantRequest { id, ttl }).await.expect("a grant");
            let answered = OsRuntime::now();
            assert_eq!(granted.into_inner().ttl, ttl);
            let key = format!("{ATTACHED}{n:012}").into();
            kv.put(pb::PutRequest { key, lease: id, ..Default::default() }).await.expect("a put");
            answered
        }
    });
    stream::iter(grants).buffered(64).collect().await
}

/// How long until a linearizable read that began after now is answered, by whichever member.
async fn wait_for_leader(addresses: Vec<String>) -> Duration {
    let struck = OsRuntime::now();
    let first = Arc::new(Mutex::new(None));
    let mut clients = Vec::new();
    for address in &addresses {
        let channel = GrpcChannel::connect::<OsRuntime>(&OsNet, address).await.expect("it goes on");
        clients.push(KvClient::new(channel));
    }
    loop {
        for client in &clients {
            let (mut kv, first) = (client.clone(), first.clone());
            OsRuntime::spawn("attempt", async move {
                if kv.range(pb::RangeRequest { key: "none".into(), ..Default::default() }).await.is_ok() {
                    let now = OsRuntime::now();
                    first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(now);
                }
            })
            .detach();
        }
        OsRuntime::sleep(Duration::from_millis(5)).await;
        if let Some(first) = *first.lock().unwrap_or_else(PoisonError::into_inner) {
            return first - struck;
        }
    }
}
