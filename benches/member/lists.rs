//! Large reads: what they cost, and what a watch feels of them. The clients count bytes and decode
//! nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use etched::os::{OsNet, OsRuntime};
use etched::runtime::Runtime;
use etched::server::GrpcChannel;
use etched_proto::etcdserverpb as pb;
use etched_proto::etcdserverpb::kv_client::KvClient;
use etched_proto::etcdserverpb::watch_client::WatchClient;
use etched_proto::etcdserverpb::watch_request::RequestUnion;
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use prost::Message;
use tower::Service;

use super::at;
use super::server::{MIB, Server};

/// Lists all keys below `prefix` and counts the bytes of the answer; none if it is not whole.
async fn list(mut channel: GrpcChannel, method: &str, prefix: &str) -> Option<usize> {
    let mut range_end = prefix.as_bytes().to_vec();
    *range_end.last_mut().expect("a prefix") += 1;
    let request =
        pb::RangeRequest { key: prefix.to_owned().into(), range_end: range_end.into(), ..Default::default() };
    let message = request.encode_to_vec();
    let framed = [&[0, 0, 0, 0, message.len() as u8], message.as_slice()].concat();
    let body = tonic::body::Body::new(http_body_util::Full::new(bytes::Bytes::from(framed)));
    let request = http::Request::post(format!("/etcdserverpb.KV/{method}"))
        .header("content-type", "application/grpc")
        .body(body)
        .expect("a request");
    let mut answer = channel.call(request).await.ok()?.into_body();
    let (mut bytes, mut ended) = (0, false);
    while let Some(frame) = answer.frame().await {
        let frame = frame.ok()?;
        bytes += frame.data_ref().map_or(0, bytes::Bytes::len);
        ended |= frame.trailers_ref().is_some_and(|trailers| trailers["grpc-status"] == "0");
    }
    ended.then_some(bytes)
}

/// 256 MiB of keys listed at once by 4 clients, in one message and as streams.
pub async fn memory(server: &Server, value_bytes: usize) {
    println!("256 MiB of keys with values of {value_bytes} B, 4 clients at once");
    server.fill("big/", 256 * MIB, value_bytes).await;
    OsRuntime::sleep(Duration::from_secs(2)).await;
    for method in ["Range", "RangeStream"] {
        std::fs::write(format!("/proc/{}/clear_refs", server.child.id()), "5").expect("the peak is reset");
        let (before, cpu, begin) = (server.status_mib("VmRSS"), server.cpu(), OsRuntime::now());
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(list(server.channel().await, method, "big/"));
        }
        let answers = futures_util::future::join_all(clients).await;
        let Some(bytes) = answers.into_iter().sum::<Option<usize>>() else {
            println!("{method:>12}: no whole answer");
            continue;
        };
        println!(
            "{method:>12}: {} MiB sent in {:.2} s, memory rose by {} MiB (from {before}), {:.2} s server CPU",
            bytes / MIB,
            (OsRuntime::now() - begin).as_secs_f64(),
            server.status_mib("VmHWM").saturating_sub(before),
            (server.cpu() - cpu).as_secs_f64(),
        );
    }
}

/// Ends loops of readers.
struct Readers(Arc<AtomicBool>);

impl Drop for Readers {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// `readers` loops of lists on one connection: on that of `channel`, or on one and a thread of their
/// own.
fn read(address: &str, channel: Option<&GrpcChannel>, readers: usize) -> Readers {
    let ended = Arc::new(AtomicBool::new(false));
    let run = |channel: &GrpcChannel, ended: &Arc<AtomicBool>| {
        let (channel, ended) = (channel.clone(), ended.clone());
        async move {
            // The server may end first.
            while !ended.load(Ordering::Relaxed) && list(channel.clone(), "Range", "five/").await.is_some() {}
        }
    };
    if let Some(channel) = channel {
        (0..readers).for_each(|_| OsRuntime::spawn("reader", run(channel, &ended)).detach());
        return Readers(ended);
    }
    let (address, flag) = (address.to_owned(), ended.clone());
    OsRuntime::spawn_blocking("readers", move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let channel = GrpcChannel::connect::<OsRuntime>(&OsNet, &address).await.expect("a connection");
            futures_util::future::join_all((0..readers).map(|_| run(&channel, &flag))).await;
        });
    })
    .detach();
    Readers(ended)
}

/// Watches a key that is put every few milliseconds while `readers` list; the delays, sorted, and how
/// many puts there were.
async fn delays(server: &Server, same: bool, readers: usize, seconds: u64) -> (Vec<Duration>, usize) {
    let watching = server.channel().await;
    let create = pb::WatchCreateRequest { key: "tick".into(), ..Default::default() };
    let create = pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    let requests = stream::once(async { create }).chain(stream::pending());
    let mut events = WatchClient::new(watching.clone()).watch(requests).await.expect("a watch").into_inner();
    assert!(events.message().await.expect("an answer").expect("an answer").created);
    let _readers = read(&server.address, same.then_some(&watching), readers);
    let mut kv = KvClient::new(server.channel().await);
    let end = OsRuntime::now() + Duration::from_secs(seconds);
    let mut delays = Vec::new();
    let received = async {
        while let Ok(Some(response)) = events.message().await {
            for event in response.events {
                let sent = event.kv.expect("a record").value;
                let sent = u64::from_be_bytes(sent.as_ref().try_into().expect("a time"));
                delays.push(Duration::from_nanos(OsRuntime::now().0 - sent));
            }
        }
    };
    let puts = async {
        let mut count = 0;
        while OsRuntime::now() < end {
            let value = OsRuntime::now().0.to_be_bytes().to_vec();
            let put = pb::PutRequest { key: "tick".into(), value: value.into(), ..Default::default() };
            kv.put(put).await.expect("a put");
            count += 1;
            OsRuntime::sleep(Duration::from_millis(5)).await;
        }
        OsRuntime::sleep(Duration::from_secs(1)).await;
        count
    };
    let count = match etched::runtime::select(puts, received).await {
        etched::runtime::Either::First(count) => count,
        etched::runtime::Either::Second(()) => panic!("the watch ended"),
    };
    delays.sort();
    (delays, count)
}

/// 10 readers list 5 MB each in a loop, on the connection of a watch and on another one.
pub async fn watch(server: &Server, seconds: u64) {
    server.fill("five/", 5_000_000, 1000).await;
    for (name, same, readers) in
        [("alone", false, 0), ("10 readers, same connection", true, 10), ("10 readers, another", false, 10)]
    {
        let cpu = server.cpu();
        let (delays, puts) = delays(server, same, readers, seconds).await;
        assert_eq!(delays.len(), puts, "every put is seen");
        println!(
            "{name:>28}: {puts} events, from put to event p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms; {:.1} s server CPU",
            at(&delays, 0.5),
            at(&delays, 0.99),
            at(&delays, 1.0),
            (server.cpu() - cpu).as_secs_f64()
        );
    }
}
