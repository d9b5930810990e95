//! Large reads of a real member: what they cost it, and what a watch feels of them.
//!
//! `cargo bench --bench lists -- [memory|watch|all] [--value-bytes N] [--seconds N] [--server PATH]`
//!
//! `memory`: 256 MiB of keys listed at once by 4 clients, in one message and as streams: how much the
//! server's resident size rises, and its CPU. `watch`: 10 readers list 5 MB each in a loop, on the
//! connection of a watch and on another one: how late its events are. The clients count bytes and
//! decode nothing.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use etched::os::{OsNet, OsRuntime};
use etched::runtime::{Listener, Net, Runtime, timeout};
use etched::server::GrpcChannel;
use etched_proto::etcdserverpb as pb;
use etched_proto::etcdserverpb::kv_client::KvClient;
use etched_proto::etcdserverpb::request_op::Request as Op;
use etched_proto::etcdserverpb::watch_client::WatchClient;
use etched_proto::etcdserverpb::watch_request::RequestUnion;
use http_body_util::BodyExt;
use prost::Message;
use tower::Service;

const MIB: usize = 1 << 20;

struct Server {
    child: Child,
    address: String,
    dir: PathBuf,
}

impl Server {
    async fn start(path: &str) -> Server {
        let client = OsNet.listen("127.0.0.1:0").await.expect("a port").local_address();
        let peer = OsNet.listen("127.0.0.1:0").await.expect("a port").local_address();
        let dir = std::env::temp_dir().join(format!("etched-lists-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let (client_url, peer_url) = (format!("http://{client}"), format!("http://{peer}"));
        let child = Command::new(path)
            .arg(format!("--data-dir={}", dir.display()))
            .args([
                format!("--listen-client-urls={client_url}"),
                format!("--advertise-client-urls={client_url}"),
            ])
            .args([
                format!("--listen-peer-urls={peer_url}"),
                format!("--initial-advertise-peer-urls={peer_url}"),
            ])
            .arg(format!("--initial-cluster=default={peer_url}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let server = Server { child, address: client, dir };
        while GrpcChannel::connect::<OsRuntime>(&OsNet, &server.address).await.is_err() {
            OsRuntime::sleep(Duration::from_millis(20)).await;
        }
        server
    }

    async fn channel(&self) -> GrpcChannel {
        GrpcChannel::connect::<OsRuntime>(&OsNet, &self.address).await.expect("a connection")
    }

    /// A line of `/proc/PID/status` in MiB.
    fn status_mib(&self, name: &str) -> usize {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a status");
        let line = text.lines().find(|line| line.starts_with(name)).expect("the line");
        let kib: usize = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
        kib / 1024
    }

    /// CPU time so far.
    fn cpu(&self) -> Duration {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("a stat");
        let fields: Vec<&str> = text.rsplit(')').next().expect("fields").split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().expect("ticks")).sum();
        Duration::from_millis(ticks * 10)
    }

    /// Fills `mib` MiB of keys below `prefix`.
    async fn fill(&self, prefix: &str, bytes: usize, value_bytes: usize) {
        let mut kv = KvClient::new(self.channel().await);
        let keys: Vec<usize> = (0..bytes / value_bytes).collect();
        let value = bytes::Bytes::from(vec![b'v'; value_bytes]);
        for part in keys.chunks((MIB / value_bytes).clamp(1, 128)) {
            let put = |n: &usize| pb::PutRequest {
                key: format!("{prefix}{n:09}").into(),
                value: value.clone(),
                ..Default::default()
            };
            let success =
                part.iter().map(|n| pb::RequestOp { request: Some(Op::RequestPut(put(n))) }).collect();
            kv.txn(pb::TxnRequest { success, ..Default::default() }).await.expect("puts");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Lists all keys below `prefix` and counts the bytes of the answer.
async fn list(mut channel: GrpcChannel, method: &str, prefix: &str) -> usize {
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
    let mut answer = channel.call(request).await.expect("an answer").into_body();
    let (mut bytes, mut ended) = (0, false);
    while let Some(frame) = answer.frame().await {
        let frame = frame.expect("a frame");
        bytes += frame.data_ref().map_or(0, bytes::Bytes::len);
        ended |= frame.trailers_ref().is_some_and(|trailers| trailers["grpc-status"] == "0");
    }
    assert!(ended, "the answer is whole");
    bytes
}

async fn memory(server: &Server, value_bytes: usize) {
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
        let bytes: usize = futures_util::future::join_all(clients).await.into_iter().sum();
        println!(
            "{method:>12}: {} MiB sent in {:.2} s, memory rose by {} MiB (from {before}), {:.2} s server CPU",
            bytes / MIB,
            (OsRuntime::now() - begin).as_secs_f64(),
            server.status_mib("VmHWM").saturating_sub(before),
            (server.cpu() - cpu).as_secs_f64(),
        );
    }
}

/// Watches a key that is put every few milliseconds while `readers` list; the delays, sorted.
async fn delays(server: &Server, same: bool, readers: usize, seconds: u64) -> (Vec<Duration>, usize) {
    let watching = server.channel().await;
    let listing = if same { watching.clone() } else { server.channel().await };
    let create = pb::WatchCreateRequest { key: "tick".into(), ..Default::default() };
    let create = pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    let (hold, rest) = etched::runtime::channel::oneshot::channel::<pb::WatchRequest>();
    let requests = futures_util::stream::once(async { create });
    let rest = futures_util::stream::once(async { rest.await.expect("never sent") });
    let requests = futures_util::StreamExt::chain(requests, rest);
    let mut events = WatchClient::new(watching).watch(requests).await.expect("a watch").into_inner();
    assert!(events.message().await.expect("an answer").expect("an answer").created);
    let loops = (0..readers).map(|_| {
        let listing = listing.clone();
        OsRuntime::spawn("reader", async move {
            loop {
                list(listing.clone(), "Range", "five/").await;
            }
        })
    });
    let _loops: Vec<_> = loops.collect();
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
    drop(hold);
    delays.sort();
    (delays, count)
}

async fn watch(server: &Server, seconds: u64) {
    server.fill("five/", 5_000_000, 1000).await;
    for (name, same, readers) in
        [("alone", false, 0), ("10 readers, same connection", true, 10), ("10 readers, another", false, 10)]
    {
        let cpu = server.cpu();
        let (delays, puts) = delays(server, same, readers, seconds).await;
        assert_eq!(delays.len(), puts, "every put is seen");
        let at = |part: f64| delays[((delays.len() - 1) as f64 * part) as usize].as_secs_f64() * 1000.0;
        println!(
            "{name:>28}: {puts} events, from put to event p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms; {:.1} s server CPU",
            at(0.5),
            at(0.99),
            at(1.0),
            (server.cpu() - cpu).as_secs_f64()
        );
    }
}

fn main() {
    let (mut mode, mut value_bytes, mut seconds) = ("all".to_owned(), 1024, 10);
    let mut path = env!("CARGO_BIN_EXE_etched").to_owned();
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().expect("the option needs a value");
        match argument.as_str() {
            "--value-bytes" => value_bytes = value().parse().expect("a number"),
            "--seconds" => seconds = value().parse().expect("a number"),
            "--server" => path = value(),
            _ => mode = argument,
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        if mode != "watch" {
            memory(&Server::start(&path).await, value_bytes).await;
        }
        if mode != "memory" {
            let server = Server::start(&path).await;
            let whole = timeout::<OsRuntime, _>(Duration::from_secs(600), watch(&server, seconds));
            whole.await.expect("in time");
        }
    });
}
