//! What watchers cost, measured against a real process:
//! `cargo bench --bench watch [-- [PROGRAM] [--only many|bursts|one-key|slow|floor] [--beside OTHER]]`.
//!
//! `PROGRAM` is another server with etcd's flags, for example `etcd`; without it this build's own is
//! measured. With `--beside` it and `OTHER` get one load in turn, burst by burst. Server CPU comes from
//! `/proc`, so it is steadier than times on a busy machine; the client runs in this process and shares
//! the machine.

mod arguments;
mod floor;
mod in_turn;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arguments::{Arguments, Asked, give_up};
use etched::os::{OsNet, OsRuntime};
use etched::runtime::channel::mpsc;
use etched::runtime::{Instant, Net, Runtime, Task};
use etched::server::GrpcChannel;
use etched_proto::etcdserverpb as pb;
use etched_proto::etcdserverpb::kv_client::KvClient;
use etched_proto::etcdserverpb::watch_client::WatchClient;
use etched_proto::etcdserverpb::watch_request::RequestUnion;
use futures_util::StreamExt;
use futures_util::stream::{iter, poll_fn};
use tonic::Streaming;

/// A server process with a fresh directory.
struct Server {
    child: Child,
    address: String,
    directory: PathBuf,
}

impl Server {
    async fn start(program: &str, name: &str) -> Server {
        let directory = std::env::temp_dir().join(format!("etched-bench-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        let address = free_address().await;
        let (client, peer) = (format!("http://{address}"), format!("http://{}", free_address().await));
        let child = Command::new(program)
            .arg(format!("--data-dir={}", directory.display()))
            .arg(format!("--listen-client-urls={client}"))
            .arg(format!("--advertise-client-urls={client}"))
            .arg(format!("--listen-peer-urls={peer}"))
            .arg(format!("--initial-advertise-peer-urls={peer}"))
            .arg(format!("--initial-cluster=default={peer}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| give_up(&format!("cannot start {program}: {error}")));
        let server = Server { child, address, directory };
        for _ in 0..200 {
            if let Ok(channel) = GrpcChannel::connect::<OsRuntime>(&OsNet, &server.address).await
                && KvClient::new(channel).put(put("ready", "")).await.is_ok()
            {
                return server;
            }
            OsRuntime::sleep(Duration::from_millis(50)).await;
        }
        panic!("the server does not serve");
    }

    async fn channel(&self) -> GrpcChannel {
        GrpcChannel::connect::<OsRuntime>(&OsNet, &self.address).await.expect("a connection")
    }

    async fn watch(&self, creates: Vec<pb::WatchCreateRequest>) -> Stream {
        let (requests, mut receiver) = mpsc::channel(16);
        let outgoing = poll_fn(move |cx| receiver.poll_recv(cx));
        let client = WatchClient::new(self.channel().await).max_decoding_message_size(usize::MAX);
        let count = creates.len();
        let ask = async {
            for create in creates {
                let request_union = Some(RequestUnion::CreateRequest(create));
                requests.send(pb::WatchRequest { request_union }).await.expect("open");
            }
        };
        let read = async {
            // Some servers begin to answer with the first message only.
            let responses = { client }.watch(outgoing).await.expect("a stream").into_inner();
            let mut stream = Stream { _requests: requests.clone(), responses };
            for _ in 0..count {
                assert!(stream.next().await.expect("an answer").created);
            }
            stream
        };
        futures_util::join!(ask, read).1
    }

    /// CPU time so far.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        let fields: Vec<&str> = stat.rsplit(')').next().expect("a name").split_whitespace().collect();
        let ticks: u64 = [11, 12].iter().map(|field| fields[*field].parse::<u64>().expect("ticks")).sum();
        Duration::from_millis(ticks * 10)
    }

    /// Resident bytes.
    fn resident(&self) -> i64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a size");
        let kib: i64 = line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("KiB");
        kib * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

struct Stream {
    _requests: mpsc::Sender<pb::WatchRequest>,
    responses: Streaming<pb::WatchResponse>,
}

impl Stream {
    async fn next(&mut self) -> Option<pb::WatchResponse> {
        self.responses.message().await.ok().flatten()
    }
}

async fn free_address() -> String {
    use etched::runtime::Listener;
    OsNet.listen("127.0.0.1:0").await.expect("a port").local_address()
}

fn put(key: &str, value: &str) -> pb::PutRequest {
    let (key, value) = (key.to_string().into(), value.to_string().into());
    pb::PutRequest { key, value, ..Default::default() }
}

fn on(key: &str) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest { key: key.to_string().into(), ..Default::default() }
}

/// Delays of events whose values begin with the time of their put.
struct Delays {
    begin: Instant,
    counted: Arc<AtomicU64>,
}

impl Delays {
    /// Reads `stream` until it ends.
    fn follow(&self, mut stream: Stream) -> Task<Vec<u64>> {
        let (begin, counted) = (self.begin, self.counted.clone());
        OsRuntime::spawn("reader", async move {
            let mut delays = Vec::new();
            while let Some(response) = stream.next().await {
                let now = (OsRuntime::now() - begin).as_micros() as u64;
                for event in &response.events {
                    let value = &event.kv.as_ref().expect("a record").value;
                    let sent =
                        std::str::from_utf8(&value[..12]).ok().and_then(|text| text.parse::<u64>().ok());
                    delays.push(now.saturating_sub(sent.expect("a time")));
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
            delays
        })
    }

    fn value(&self, bytes: usize) -> String {
        format!("{:012}{}", (OsRuntime::now() - self.begin).as_micros(), "x".repeat(bytes.saturating_sub(12)))
    }

    /// Waits until `count` events came, at most a minute.
    async fn wait_for(&self, count: u64) {
        for _ in 0..6000 {
            if self.counted.load(Ordering::Relaxed) >= count {
                return;
            }
            OsRuntime::sleep(Duration::from_millis(10)).await;
        }
        panic!("only {} of {count} events came", self.counted.load(Ordering::Relaxed));
    }
}

fn percentile(all: &mut [u64], part: f64) -> f64 {
    all.sort_unstable();
    all[((all.len() - 1) as f64 * part) as usize] as f64 / 1000.0
}

/// Put number `n` of a load.
async fn put_one(mut kv: KvClient<GrpcChannel>, delays: &Delays, n: u64) {
    let key = format!("key{:04}", n * 7919 % 1000);
    kv.put(put(&key, &delays.value(256))).await.expect("a put");
}

/// 1,000 puts a second, `burst` at a time.
async fn put_steadily(server: &Server, delays: &Delays, count: u64, burst: u64) {
    let kv = KvClient::new(server.channel().await);
    let begin = OsRuntime::now();
    let puts = (0..count).map(|n| {
        let kv = kv.clone();
        async move {
            let due = Duration::from_millis(n / burst * burst);
            OsRuntime::sleep(due.saturating_sub(OsRuntime::now() - begin)).await;
            put_one(kv, delays, n).await;
        }
    });
    iter(puts).buffered(64).for_each(|()| async {}).await;
}

const WATCHERS: usize = 10_000;
const CONNECTIONS: usize = 100;

/// 10,000 watchers over 100 connections. Ten have an interest in each key, on ten connections if
/// `spread`, else on one.
async fn open_watchers(server: &Server, spread: bool) -> Vec<Stream> {
    let mut streams = Vec::new();
    for connection in 0..CONNECTIONS {
        let key =
            |n: usize| if spread { (n * CONNECTIONS + connection) / 10 } else { connection * 10 + n / 10 };
        let creates = (0..WATCHERS / CONNECTIONS).map(|n| on(&format!("key{:04}", key(n))));
        streams.push(server.watch(creates.collect()).await);
    }
    streams
}

/// 10,000 watchers over 100 connections; 1,000 puts a second, each of interest to ten of them, on
/// ten connections or all on one; one put a millisecond, or bursts of some.
async fn many_watchers(program: &str, spread: bool, burst: u64) {
    const PUTS: u64 = 10_000;
    let server = Server::start(program, "many").await;
    // Code that runs for the first time comes into memory as well.
    let _first = server.watch(vec![on("none")]).await;
    OsRuntime::sleep(Duration::from_millis(500)).await;
    let before = server.resident();
    let streams = open_watchers(&server, spread).await;
    OsRuntime::sleep(Duration::from_millis(500)).await;
    let idle = (server.resident() - before) / WATCHERS as i64;
    let delays = Delays { begin: OsRuntime::now(), counted: Arc::default() };
    let readers: Vec<_> = streams.into_iter().map(|stream| delays.follow(stream)).collect();
    let cpu = server.cpu();
    put_steadily(&server, &delays, PUTS, burst).await;
    delays.wait_for(PUTS * 10).await;
    let spent = server.cpu() - cpu;
    drop(server);
    let mut all = Vec::new();
    for reader in readers {
        all.extend(reader.await.expect("a reader"));
    }
    let server = Server::start(program, "none").await;
    let cpu = server.cpu();
    put_steadily(&server, &delays, PUTS, burst).await;
    let alone = (server.cpu() - cpu).as_secs_f64() * 1e6 / PUTS as f64;
    println!(
        "10,000 watchers, 1,000 puts/s in bursts of {burst} to ten each on {}: p50 {:.1} ms, p99 {:.1} ms, {:.2} µs CPU an \
         event, {idle} B an idle watcher; without watchers {alone:.1} µs CPU a put",
        if spread { "ten connections" } else { "one connection" },
        percentile(&mut all, 0.5),
        percentile(&mut all, 0.99),
        spent.as_secs_f64() * 1e6 / all.len() as f64,
    );
}

/// One key, 1,000 watchers on ten streams, 1,000 puts.
async fn one_key(program: &str) {
    const PUTS: u64 = 1000;
    let server = Server::start(program, "one").await;
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(server.watch((0..100).map(|_| on("key")).collect()).await);
    }
    let delays = Delays { begin: OsRuntime::now(), counted: Arc::default() };
    let readers: Vec<_> = streams.into_iter().map(|stream| delays.follow(stream)).collect();
    let kv = KvClient::new(server.channel().await);
    let (cpu, begin) = (server.cpu(), OsRuntime::now());
    let puts = (0..PUTS).map(|_| {
        let (mut kv, value) = (kv.clone(), delays.value(256));
        async move { kv.put(put("key", &value)).await.expect("a put") }
    });
    iter(puts).buffered(8).for_each(|_| async {}).await;
    delays.wait_for(PUTS * 1000).await;
    let (spent, took) = (server.cpu() - cpu, (OsRuntime::now() - begin));
    drop(server);
    let mut events = 0;
    for reader in readers {
        events += reader.await.expect("a reader").len();
    }
    println!(
        "one key, 1,000 watchers on ten streams, 1,000 puts: {:.3} µs CPU an event, {:.2} M events/s",
        spent.as_secs_f64() * 1e6 / events as f64,
        events as f64 / took.as_secs_f64() / 1e6,
    );
}

/// Streams with previous records that never read, 5,000 puts of 10 KiB, and one that reads.
async fn slow_readers(program: &str, streams: usize) {
    const PUTS: u64 = 5000;
    let server = Server::start(program, "slow").await;
    let create = || pb::WatchCreateRequest { prev_kv: true, range_end: "z".into(), ..on("a") };
    let mut slow = Vec::new();
    for _ in 0..streams {
        slow.push(server.watch(vec![create()]).await);
    }
    let delays = Delays { begin: OsRuntime::now(), counted: Arc::default() };
    let reader = delays.follow(server.watch(vec![create()]).await);
    let kv = KvClient::new(server.channel().await);
    let (before, mut most) = (server.resident(), 0);
    for batch in 0..PUTS / 50 {
        let puts = (0..50).map(|n| {
            let (mut kv, value) = (kv.clone(), delays.value(10 * 1024));
            async move { kv.put(put(&format!("k{}", (batch * 50 + n) % 50), &value)).await.expect("a put") }
        });
        iter(puts).buffered(8).for_each(|_| async {}).await;
        most = most.max(server.resident() - before);
    }
    delays.wait_for(PUTS).await;
    let rises = most.max(server.resident() - before);
    let mut kv = kv;
    if let Some(mut caught_up) = slow.pop() {
        let mut events = 0;
        while events < PUTS {
            events += caught_up.next().await.expect("a response").events.len() as u64;
        }
    }
    let compaction = pb::CompactionRequest { revision: PUTS as i64, physical: false };
    kv.compact(compaction).await.expect("a compaction");
    let mut cancelled = 0;
    for mut stream in slow {
        while let Some(response) = stream.next().await {
            if response.canceled {
                assert_eq!(response.compact_revision, PUTS as i64);
                cancelled += 1;
                break;
            }
        }
    }
    drop(server);
    let mut all = reader.await.expect("the reader");
    println!(
        "{streams} streams that never read, 5,000 puts of 10 KiB: memory rises by {} MiB; the reader's p99 \
         {:.1} ms; of the slow all caught up but {cancelled}, cancelled with the compact revision",
        rises / 1024 / 1024,
        percentile(&mut all, 0.99),
    );
}

fn main() {
    let Arguments { program, only, beside } = match Arguments::read() {
        Asked::Measure(arguments) => arguments,
        Asked::ServeFloor { directory, is_ten_ways } => return floor::serve(&directory, is_ten_ways),
    };
    let wanted = |name: &str| only.as_ref().is_none_or(|only| only == name);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        if let Some(beside) = beside {
            in_turn::measure([&program, &beside], false).await;
            in_turn::measure([&program, &beside], true).await;
            return;
        }
        if wanted("many") {
            many_watchers(&program, true, 1).await;
            many_watchers(&program, false, 1).await;
            many_watchers(&program, true, 10).await;
        }
        if wanted("many") || wanted("bursts") {
            many_watchers(&program, false, 10).await;
        }
        if wanted("floor") {
            floor::measure(true, 1).await;
            floor::measure(false, 1).await;
            floor::measure(true, 10).await;
            floor::measure(false, 10).await;
        }
        if wanted("one-key") {
            one_key(&program).await;
        }
        if wanted("slow") {
            slow_readers(&program, 0).await;
            slow_readers(&program, 100).await;
        }
    });
}
