//! What puts feel of a compaction.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use etched::os::OsRuntime;
use etched::runtime::Runtime;
use etched_proto::etcdserverpb as pb;
use etched_proto::etcdserverpb::kv_client::KvClient;
use etched_proto::etcdserverpb::request_op::Request as Op;

use super::at;
use super::server::Server;

const REVISIONS: usize = 1_000_000;
const KEYS: usize = 50_000;
const CLIENTS: usize = 16;

fn put(n: usize) -> pb::PutRequest {
    let key = format!("key-{:012}", n % KEYS).into();
    pb::PutRequest { key, value: vec![b'v'; 128].into(), ..Default::default() }
}

/// A million revisions, each a request of its own.
async fn load(server: &Server) -> i64 {
    let channel = server.channel().await;
    let clients = (0..64).map(|client| {
        let mut kv = KvClient::new(channel.clone());
        async move {
            for n in (client..REVISIONS).step_by(64) {
                kv.put(put(n)).await.expect("a put");
            }
        }
    });
    futures_util::future::join_all(clients).await;
    let success = vec![pb::RequestOp { request: Some(Op::RequestPut(put(0))) }];
    let mut kv = KvClient::new(channel);
    let answer = kv.txn(pb::TxnRequest { success, ..Default::default() }).await.expect("a put").into_inner();
    answer.header.expect("a header").revision
}

/// Latencies of puts until `end` completes, sorted.
async fn puts(server: &Server, end: impl Future<Output = ()>) -> Vec<Duration> {
    let channel = server.channel().await;
    let ended = AtomicBool::new(false);
    let clients = (0..CLIENTS).map(|client| {
        let mut kv = KvClient::new(channel.clone());
        let ended = &ended;
        async move {
            let mut delays = Vec::new();
            let mut n = client;
            while !ended.load(Ordering::Relaxed) {
                let begin = OsRuntime::now();
                kv.put(put(n)).await.expect("a put");
                delays.push(OsRuntime::now() - begin);
                n += CLIENTS;
                OsRuntime::sleep(Duration::from_millis(2)).await;
            }
            delays
        }
    });
    let stop = async {
        end.await;
        ended.store(true, Ordering::Relaxed);
    };
    let (delays, ()) = futures_util::future::join(futures_util::future::join_all(clients), stop).await;
    let mut delays: Vec<Duration> = delays.into_iter().flatten().collect();
    delays.sort();
    delays
}

/// Puts without and with a compaction of a million revisions under way.
pub async fn run(server: &Server) {
    let newest = load(server).await;
    OsRuntime::sleep(Duration::from_secs(3)).await;
    let show = |name: &str, delays: &[Duration], seconds: f64| {
        println!(
            "{name:>28}: {} puts in {seconds:.1} s, p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
            delays.len(),
            at(delays, 0.5),
            at(delays, 0.99),
            at(delays, 1.0)
        );
    };
    for round in 0..2 {
        let alone = puts(server, OsRuntime::sleep(Duration::from_secs(10))).await;
        show(if round == 0 { "before" } else { "after" }, &alone, 10.0);
        if round == 0 {
            let (begin, cpu) = (OsRuntime::now(), server.cpu());
            let compaction = async {
                let mut kv = KvClient::new(server.channel().await);
                // Answered when nothing is left to remove, or when its time is over: then the next one,
                // of a revision that the puts have made meanwhile, waits on.
                let mut revision = newest;
                while kv.compact(pb::CompactionRequest { revision, physical: true }).await.is_err() {
                    revision += 1;
                }
            };
            let during = puts(server, compaction).await;
            let seconds = (OsRuntime::now() - begin).as_secs_f64();
            show("while 1,000,000 are removed", &during, seconds);
            println!("{:.2} s server CPU meanwhile", (server.cpu() - cpu).as_secs_f64());
        }
    }
}
