//! A real member in a process of its own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use etched::os::{OsNet, OsRuntime};
use etched::runtime::{Listener, Net, Runtime};
use etched::server::GrpcChannel;
use etched_proto::etcdserverpb as pb;
use etched_proto::etcdserverpb::kv_client::KvClient;
use etched_proto::etcdserverpb::request_op::Request as Op;

pub const MIB: usize = 1 << 20;

/// The member; its process and directory end with it.
pub struct Server {
    pub child: Child,
    pub address: String,
    dir: PathBuf,
}

impl Server {
    /// Starts it and waits until it takes connections.
    pub async fn start(path: &str) -> Server {
        let client = OsNet.listen("127.0.0.1:0").await.expect("a port").local_address();
        let peer = OsNet.listen("127.0.0.1:0").await.expect("a port").local_address();
        let dir = std::env::temp_dir().join(format!("etched-member-{}", std::process::id()));
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
            .unwrap_or_else(|error| super::give_up(&format!("cannot start {path}: {error}")));
        let server = Server { child, address: client, dir };
        while GrpcChannel::connect::<OsRuntime>(&OsNet, &server.address).await.is_err() {
            OsRuntime::sleep(Duration::from_millis(20)).await;
        }
        server
    }

    /// A new connection.
    pub async fn channel(&self) -> GrpcChannel {
        GrpcChannel::connect::<OsRuntime>(&OsNet, &self.address).await.expect("a connection")
    }

    /// A line of `/proc/PID/status` in MiB.
    pub fn status_mib(&self, name: &str) -> usize {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a status");
        let line = text.lines().find(|line| line.starts_with(name)).expect("the line");
        let kib: usize = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
        kib / 1024
    }

    /// CPU time so far.
    pub fn cpu(&self) -> Duration {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("a stat");
        let fields: Vec<&str> = text.rsplit(')').next().expect("fields").split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().expect("ticks")).sum();
        Duration::from_millis(ticks * 10)
    }

    /// Fills `bytes` of values below `prefix`.
    pub async fn fill(&self, prefix: &str, bytes: usize, value_bytes: usize) {
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
