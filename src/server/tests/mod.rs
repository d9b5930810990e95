//! The doors of whole members over real sockets, seen with the generated clients.

mod auth;
mod coordination;
mod floods;
mod kubernetes;
mod lease;
mod pings;
mod plain;
mod ranges;
mod retries;
mod unary;
mod watch;

use std::future::Future;
use std::time::Duration;

use etched_proto::etcdserverpb as pb;
use etched_proto::etcdserverpb::kv_client::KvClient;
use tonic::{Code, Status};

use super::{GrpcChannel, ServerOptions, serve};
use crate::node::{InitialMember, Node, NodeConfig};
use crate::os::{OsDisk, OsNet, OsRuntime};
use crate::runtime::{Listener, Net, Runtime, Task, timeout};

/// Within a minute.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(timeout::<OsRuntime, _>(Duration::from_secs(60), future))
        .expect("the test ends in time")
}

/// The first of `members` members with its doors open.
struct Member {
    node: Node<OsRuntime>,
    address: String,
    doors: Task<()>,
    root: std::path::PathBuf,
}

impl Member {
    async fn start(name: &str, members: usize) -> Member {
        Member::with(name, members, |_| {}, ServerOptions::default()).await
    }

    async fn with(
        name: &str,
        members: usize,
        change: impl FnOnce(&mut NodeConfig),
        options: ServerOptions,
    ) -> Member {
        let initial = initial_members(members).await;
        let mut config = NodeConfig { segment_bytes: 8 << 20, ..NodeConfig::new("n0", initial) };
        change(&mut config);
        Member::open(name, config, options).await
    }

    /// Three members of one cluster.
    async fn cluster(name: &str) -> Vec<Member> {
        let initial = initial_members(3).await;
        let mut members = Vec::new();
        for n in 0..3 {
            let config =
                NodeConfig { segment_bytes: 8 << 20, ..NodeConfig::new(&format!("n{n}"), initial.clone()) };
            members.push(Member::open(&format!("{name}-{n}"), config, ServerOptions::default()).await);
        }
        members
    }

    async fn open(place: &str, mut config: NodeConfig, options: ServerOptions) -> Member {
        let root = std::env::temp_dir().join(format!("etched-doors-{}-{place}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        let own = config.initial_cluster.iter().find(|member| member.name == config.name);
        config.listen_peer = vec![own.expect("a member").peer_urls[0].replace("http://", "")];
        let disk = OsDisk::open(&root, true).expect("a directory");
        let node = Node::<OsRuntime>::open(config, OsNet, disk).await.expect("the node opens");
        let listener = OsNet.listen("127.0.0.1:0").await.expect("a port");
        let address = listener.local_address();
        let doors = OsRuntime::spawn("doors", serve(node.clone(), listener, options));
        Member { node, address, doors, root }
    }

    async fn channel(&self) -> GrpcChannel {
        GrpcChannel::connect::<OsRuntime>(&OsNet, &self.address).await.expect("a connection")
    }

    async fn kv(&self) -> KvClient<GrpcChannel> {
        KvClient::new(self.channel().await)
    }

    /// Stops the node; the doors end by themselves.
    async fn stop(self) {
        self.node.stop().await;
        self.doors.await.expect("the doors end");
        let _ = std::fs::remove_dir_all(self.root);
    }
}

/// Members `n0`, `n1` ... on free ports.
async fn initial_members(count: usize) -> Vec<InitialMember> {
    let mut listeners = Vec::new();
    for _ in 0..count {
        listeners.push(OsNet.listen("127.0.0.1:0").await.expect("a port"));
    }
    let urls = listeners.iter().map(|listener| vec![format!("http://{}", listener.local_address())]);
    urls.enumerate().map(|(n, peer_urls)| InitialMember { name: format!("n{n}"), peer_urls }).collect()
}

fn put(key: &str, value: &str) -> pb::PutRequest {
    let (key, value) = (key.to_string().into(), value.to_string().into());
    pb::PutRequest { key, value, ..Default::default() }
}

fn get(key: &str) -> pb::RangeRequest {
    pb::RangeRequest { key: key.to_string().into(), ..Default::default() }
}

fn refusal<T: std::fmt::Debug>(result: Result<T, Status>) -> (Code, String) {
    let status = result.expect_err("a refusal");
    (status.code(), status.message().to_string())
}

fn told(code: Code, text: &str) -> (Code, String) {
    (code, text.to_string())
}
