//! Whole members over real sockets and real files.

mod leases;

use std::time::Duration;

use super::api::{RequestContext, WatchCreate, WatchOutput};
use super::*;
use crate::os::{OsDisk, OsNet, OsRuntime};
use crate::types::{KeyRange, PutRequest, RangeRequest};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

struct Cluster {
    configs: Vec<NodeConfig>,
    root: std::path::PathBuf,
}

impl Cluster {
    fn new(name: &str, size: usize) -> Self {
        let root = std::env::temp_dir().join(format!("etched-node-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        let ports: Vec<String> = (0..size).map(|_| free_port()).collect();
        let member = |(n, address): (usize, &String)| InitialMember {
            name: format!("n{n}"),
            peer_urls: vec![format!("http://{address}")],
        };
        let initial: Vec<InitialMember> = ports.iter().enumerate().map(member).collect();
        let config = |n: usize| NodeConfig {
            listen_peer: vec![ports[n].clone()],
            advertise_client_urls: vec![format!("http://n{n}")],
            segment_bytes: 1 << 20,
            ..NodeConfig::new(&format!("n{n}"), initial.clone())
        };
        Cluster { configs: (0..size).map(config).collect(), root }
    }

    async fn start(&self, n: usize) -> Node<OsRuntime> {
        let disk = OsDisk::open(&self.root.join(format!("n{n}")), true).expect("a directory");
        Node::open(self.configs[n].clone(), OsNet, disk).await.expect("the node opens")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

fn free_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

fn put(key: &str, value: &str) -> PutRequest {
    let (key, value) = (key.as_bytes().to_vec().into(), value.as_bytes().to_vec().into());
    PutRequest { key, value, ..PutRequest::default() }
}

async fn get(node: &Node<OsRuntime>, key: &str) -> Option<Vec<u8>> {
    let request = RangeRequest::newest(KeyRange::single(key.as_bytes().to_vec()));
    let (response, _) = node.range(request, RequestContext::default()).await.expect("a read");
    response.kvs.first().map(|kv| kv.value().to_vec())
}

#[test]
fn one_member_keeps_its_puts_across_a_restart() {
    block_on(async {
        let cluster = Cluster::new("single", 1);
        let node = cluster.start(0).await;
        for n in 0..20 {
            node.put(put("a", &n.to_string()), RequestContext::default()).await.expect("a put");
        }
        assert_eq!(get(&node, "a").await.as_deref(), Some(b"19".as_slice()));
        let revision = node.view().revision();
        node.stop().await;
        drop(node);
        tokio::task::yield_now().await;
        let node = cluster.start(0).await;
        assert_eq!(get(&node, "a").await.as_deref(), Some(b"19".as_slice()));
        assert_eq!(node.view().revision(), revision);
        node.stop().await;
    });
}

#[test]
fn three_members_agree_through_any_of_them_and_survive_the_leader() {
    block_on(async {
        let cluster = Cluster::new("three", 3);
        let mut nodes = Vec::new();
        for n in 0..3 {
            nodes.push(cluster.start(n).await);
        }
        for (n, node) in nodes.iter().enumerate() {
            node.put(put(&format!("k{n}"), "v"), RequestContext::default()).await.expect("a put");
            for other in &nodes {
                assert_eq!(get(other, &format!("k{n}")).await.as_deref(), Some(b"v".as_slice()));
            }
        }
        let leader = nodes[0].status().0.leader;
        let at = nodes.iter().position(|node| node.member_id() == leader).expect("a leader");
        let watched = &nodes[(at + 1) % 3];
        let mut session = watched.watch_session();
        let create = WatchCreate {
            range: KeyRange::single(b"after".to_vec()),
            start_revision: 0,
            progress_notify: false,
            filters: Vec::new(),
            prev_kv: false,
            watch_id: 0,
            fragment: false,
        };
        session.create(create, Ok(None));
        let created = session.next(1).await.expect("an answer");
        assert!(matches!(created[..], [WatchOutput::Created { .. }]));
        nodes[at].stop().await;
        let other = &nodes[(at + 2) % 3];
        let stopped = OsRuntime::now();
        other.put(put("after", "x"), RequestContext::default()).await.expect("a put after the leader left");
        assert!(OsRuntime::now() - stopped < Duration::from_secs(5));
        let outputs = session.next(1).await.expect("an event");
        let [WatchOutput::Events { events, .. }] = &outputs[..] else { panic!("{outputs:?}") };
        assert_eq!(events.as_slice()[0].kv().value(), b"x");
        let digests = async || {
            let others = nodes.iter().filter(|node| node.member_id() != leader);
            others.map(|node| node.view().digest()).collect::<Vec<_>>()
        };
        OsRuntime::sleep(Duration::from_millis(300)).await;
        let digests = digests().await;
        assert_eq!(digests[0], digests[1]);
    });
}
