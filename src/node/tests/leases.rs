//! Leases of whole members.

use std::future::poll_fn;

use super::*;
use crate::node::{KeepAliveSession, KeptAlive};
use crate::runtime::timeout;
use crate::types::{Error, LeaseId};

/// The least TTL at the time-outs below.
const TTL: i64 = 1;

async fn members(cluster: &mut Cluster) -> Vec<Node<OsRuntime>> {
    let mut nodes = Vec::new();
    for config in &mut cluster.configs {
        (config.election_timeout_ms, config.heartbeat_interval_ms) = (600, 60);
    }
    for n in 0..cluster.configs.len() {
        nodes.push(cluster.start(n).await);
    }
    nodes
}

async fn attach(node: &Node<OsRuntime>, key: &str, lease: LeaseId) {
    let request = PutRequest { lease, ..put(key, "v") };
    node.put(request, RequestContext::default()).await.expect("a put");
}

async fn gone(node: &Node<OsRuntime>, key: &str) {
    while get(node, key).await.is_some() {
        OsRuntime::sleep(Duration::from_millis(10)).await;
    }
}

async fn leader(nodes: &[Node<OsRuntime>]) -> usize {
    loop {
        let leader = nodes[0].status().0.leader;
        if let Some(at) = nodes.iter().position(|node| node.member_id() == leader) {
            return at;
        }
        OsRuntime::sleep(Duration::from_millis(10)).await;
    }
}

/// Three members, which of them leads, and a lease 7 of a thousand seconds.
async fn three_with_a_lease(name: &str) -> (Cluster, Vec<Node<OsRuntime>>, usize) {
    let mut cluster = Cluster::new(name, 3);
    let nodes = members(&mut cluster).await;
    let at = leader(&nodes).await;
    nodes[at].lease_grant(7, 1000, RequestContext::default()).await.expect("a grant");
    (cluster, nodes, at)
}

async fn answer(stream: &mut KeepAliveSession<OsRuntime>) -> Result<KeptAlive, Error> {
    let answer = poll_fn(|cx| stream.poll_answer(cx));
    timeout::<OsRuntime, _>(Duration::from_secs(20), answer).await.expect("no stream hangs")
}

#[test]
fn l1_l3_l4_l6_l7_on_one_member() {
    block_on(async {
        let mut cluster = Cluster::new("lease-one", 1);
        let nodes = members(&mut cluster).await;
        let (node, context) = (&nodes[0], RequestContext::default());
        let (granted, header) = node.lease_grant(0, 100, context).await.expect("a grant");
        assert!(granted.id > 0 && granted.ttl == 100 && header.revision == 1);
        let (raised, _) = node.lease_grant(-5, -1, context).await.expect("a grant");
        assert_eq!((raised.id, raised.ttl), (-5, TTL));
        assert_eq!(node.lease_grant(-5, 9, context).await.err(), Some(Error::LeaseExists));
        assert_eq!(node.lease_grant(6, 9_000_000_001, context).await.err(), Some(Error::LeaseTtlTooLarge));
        assert_eq!(node.leases(context).expect("a list").0, [-5, granted.id]);
        attach(node, "b", granted.id).await;
        attach(node, "a", granted.id).await;
        let (found, _) = node.lease_time_to_live(granted.id, true, context).await.expect("an answer");
        let found = found.expect("it exists");
        assert!((98..=100).contains(&found.ttl) && found.granted_ttl == 100);
        assert_eq!(found.keys, ["a", "b"]);
        assert_eq!(node.lease_time_to_live(77, true, context).await.expect("an answer").0, None);
        let header = node.lease_revoke(granted.id, context).await.expect("a revoke");
        assert_eq!(header.revision, 4);
        assert_eq!(get(node, "a").await, None);
        assert_eq!(node.lease_revoke(granted.id, context).await.err(), Some(Error::LeaseNotFound));
        assert_eq!(node.lease_keep_alive(granted.id, context).await.expect("an answer").0, 0);
        node.stop().await;
    });
}

#[test]
fn l5_l8_kept_alive_through_a_follower_and_never_early() {
    block_on(async {
        let mut cluster = Cluster::new("lease-follower", 3);
        let nodes = members(&mut cluster).await;
        let context = RequestContext::default();
        let follower = &nodes[(leader(&nodes).await + 1) % 3];
        let (granted, _) = follower.lease_grant(7, TTL, context).await.expect("a grant");
        attach(follower, "k", granted.id).await;
        let begun = OsRuntime::now();
        let mut asked = begun;
        while OsRuntime::now() - begun < Duration::from_millis(2500) {
            asked = OsRuntime::now();
            let (ttl, _) = follower.lease_keep_alive(7, context).await.expect("an answer");
            // On a starved machine the lease may be over before it is asked for again.
            if ttl == 0 {
                assert!(OsRuntime::now() - begun > Duration::from_secs(1));
                return;
            }
            assert_eq!(ttl, TTL);
            let (found, _) = follower.lease_time_to_live(7, false, context).await.expect("an answer");
            assert!(found.is_none_or(|found| found.ttl <= TTL));
            OsRuntime::sleep(Duration::from_millis(300)).await;
        }
        gone(follower, "k").await;
        assert!(OsRuntime::now() - asked >= Duration::from_secs(1));
        for node in &nodes {
            node.stop().await;
        }
    });
}

#[test]
fn l5_a_stream_outlives_its_leader_and_answers_in_order() {
    block_on(async {
        let (_cluster, nodes, at) = three_with_a_lease("lease-stream").await;
        let context = RequestContext::default();
        let mut streams: Vec<_> = nodes.iter().map(|node| node.keep_alive_session(context, None)).collect();
        drop(streams.remove(at));
        for stream in &mut streams {
            stream.ask(7);
            assert_eq!(answer(stream).await.expect("an answer").ttl, 1000);
            (1..=20).for_each(|id| stream.ask(id));
        }
        nodes[at].stop().await;
        for stream in &mut streams {
            (21..=40).for_each(|id| stream.ask(id));
            for id in 1..=40 {
                let kept = answer(stream).await.expect("an answer");
                assert_eq!((kept.id, kept.ttl), (id, if id == 7 { 1000 } else { 0 }));
            }
            assert!(stream.is_empty());
        }
        for node in &nodes {
            node.stop().await;
        }
    });
}

#[test]
fn l5_what_nobody_answers_runs_out_of_time() {
    block_on(async {
        let (_cluster, nodes, at) = three_with_a_lease("lease-alone").await;
        for other in [1, 2] {
            nodes[(at + other) % 3].stop().await;
        }
        let begun = OsRuntime::now();
        let deadline = Some(begun + Duration::from_millis(400));
        let mut stream =
            nodes[at].keep_alive_session(RequestContext { deadline, ..RequestContext::default() }, None);
        (0..3).for_each(|_| stream.ask(7));
        for _ in 0..3 {
            assert_eq!(answer(&mut stream).await.err(), Some(Error::DeadlineExceeded));
        }
        assert!(OsRuntime::now() - begun >= Duration::from_millis(400));
        nodes[at].stop().await;
    });
}

#[test]
fn l5_a_member_that_stops_answers_at_once() {
    block_on(async {
        let (_cluster, nodes, at) = three_with_a_lease("lease-stop").await;
        for other in [1, 2] {
            nodes[(at + other) % 3].stop().await;
        }
        let mut stream = nodes[at].keep_alive_session(RequestContext::default(), None);
        stream.ask(7);
        nodes[at].stop().await;
        let begun = OsRuntime::now();
        stream.ask(8);
        for _ in 0..2 {
            assert_eq!(answer(&mut stream).await.err(), Some(Error::Stopped));
        }
        assert!(OsRuntime::now() - begun < Duration::from_secs(2));
    });
}

#[test]
fn l10_a_leader_change_shortens_nothing_and_expiry_goes_on() {
    block_on(async {
        let mut cluster = Cluster::new("lease-leader", 3);
        let nodes = members(&mut cluster).await;
        let context = RequestContext::default();
        let at = leader(&nodes).await;
        let other = &nodes[(at + 1) % 3];
        let called = OsRuntime::now();
        other.lease_grant(7, 2, context).await.expect("a grant");
        attach(other, "k", 7).await;
        other.lease_grant(8, 1000, context).await.expect("a grant");
        nodes[at].stop().await;
        gone(other, "k").await;
        assert!(OsRuntime::now() - called >= Duration::from_secs(2));
        let (found, _) = other.lease_time_to_live(8, false, context).await.expect("an answer");
        assert!(found.expect("it exists").ttl > 900);
        for node in &nodes {
            node.stop().await;
        }
    });
}

#[test]
fn leases_survive_a_restart_with_what_they_had_left() {
    block_on(async {
        let mut cluster = Cluster::new("lease-restart", 1);
        cluster.configs[0].snapshot_count = 3;
        let nodes = members(&mut cluster).await;
        let context = RequestContext::default();
        nodes[0].lease_grant(-7, 1000, context).await.expect("a grant");
        attach(&nodes[0], "k", -7).await;
        nodes[0].lease_grant(8, 2000, context).await.expect("a grant");
        nodes[0].lease_revoke(8, context).await.expect("a revoke");
        nodes[0].stop().await;
        drop(nodes);
        // A checkpoint that was being written holds the directory a little longer.
        let node = loop {
            let disk = OsDisk::open(&cluster.root.join("n0"), true).expect("a directory");
            match Node::<OsRuntime>::open(cluster.configs[0].clone(), OsNet, disk).await {
                Ok(node) => break node,
                Err(OpenError::Disk(_)) => OsRuntime::sleep(Duration::from_millis(10)).await,
                Err(error) => panic!("{error}"),
            }
        };
        let (found, _) = node.lease_time_to_live(-7, true, context).await.expect("an answer");
        let found = found.expect("it exists");
        assert!((900..=1000).contains(&found.ttl), "{found:?}");
        assert_eq!(found.keys, ["k"]);
        assert_eq!(node.leases(context).expect("a list").0, [-7]);
        node.stop().await;
    });
}
