//! The checks judge whole members in the simulated world: clients, watchers, kills, power cuts and
//! partitions. What they find here is a bug or a false alarm; both must not be.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use etched::node::api::{Header, RequestContext, WatchCreate};
use etched::node::{InitialMember, Node, NodeConfig};
use etched::runtime::Runtime;
use etched::server::translate;
use etched::types::{Command, Error, KeyRange, limits};
use etched_proto::etcdserverpb as pb;
use etched_testkit::generate::{Generator, Hint, Weights};
use etched_testkit::{Failure, Request, Response};

use crate::check::digest::EndState;
use crate::check::{CheckConfig, Checks, Link, Outcome, Violation};
use crate::world::{NodeId, SimRuntime, World, WorldConfig, isolated};

const NODES: u32 = 3;

/// What everybody in the world shares.
struct Shared {
    checks: Checks,
    nodes: BTreeMap<u32, Node<SimRuntime>>,
    next: u64,
}

#[derive(Clone)]
struct Judge(Arc<Mutex<Shared>>, Arc<AtomicBool>);

impl Judge {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.1.load(Ordering::Relaxed)
    }

    fn number(&self) -> u64 {
        let mut shared = self.lock();
        shared.next += 1;
        shared.next
    }
}

fn failure(error: Error) -> Failure {
    Failure::new(tonic::Code::from_i32(error.code() as i32), error.text())
}

/// One request through translation and node, as the doors do it.
async fn answer(node: &Node<SimRuntime>, request: &Request, trace: u64) -> Result<Response, Error> {
    let context = RequestContext { trace: Some(trace), ..RequestContext::default() };
    let header = |revision| pb::ResponseHeader { revision, ..Default::default() };
    Ok(match request.clone() {
        Request::Range(range) => {
            let (response, at) = node.range(translate::range(range)?, context).await?;
            Response::Range(translate::range_response(header(at.revision), &response))
        }
        Request::Put(put) => {
            let (response, at) = node.put(translate::put(put)?, context).await?;
            Response::Put(translate::put_response(header(at.revision), &response))
        }
        Request::DeleteRange(delete) => {
            let (response, at) = node.delete_range(translate::delete_range(delete)?, context).await?;
            Response::DeleteRange(translate::delete_range_response(header(at.revision), &response))
        }
        Request::Txn(txn) => {
            let (response, at) = node.txn(translate::txn(txn, limits::MAX_TXN_OPS)?, context).await?;
            Response::Txn(translate::txn_response(header(at.revision), &response))
        }
        Request::Compact(compact) => {
            let (_, at) = node.compact(translate::compaction(compact), context).await?;
            Response::Compact(translate::compaction_response(header(at.revision)))
        }
        Request::LeaseGrant(grant) if grant.ttl > 9_000_000_000 => return Err(Error::LeaseTtlTooLarge),
        Request::LeaseGrant(grant) => {
            let command = Command::LeaseGrant { id: grant.id, ttl: grant.ttl };
            let (_, at) = node.propose(command, context).await?;
            let header = Some(header(at.revision));
            Response::LeaseGrant(pb::LeaseGrantResponse {
                header,
                id: grant.id,
                ttl: grant.ttl,
                ..Default::default()
            })
        }
        Request::LeaseRevoke(revoke) => {
            let (_, at) = node.propose(Command::LeaseRevoke { id: revoke.id }, context).await?;
            Response::LeaseRevoke(pb::LeaseRevokeResponse { header: Some(header(at.revision)) })
        }
    })
}

async fn client(judge: Judge, node: Node<SimRuntime>, client: u64) {
    let mut generator = Generator::from_seed(client, Weights { compact: 1, ..Weights::default() });
    while !judge.is_over() {
        let op = judge.number();
        let request = {
            let mut shared = judge.lock();
            let model = shared.checks.history().model();
            let (revision, compact_revision) = (model.revision(), model.compact_revision());
            let request =
                generator.request(&Hint { revision, compact_revision, leases: model.leases().collect() });
            shared.checks.on_call(op, client, request.clone());
            request
        };
        let outcome = match answer(&node, &request, op).await {
            Ok(response) => Outcome::Answer(response),
            Err(error) => Outcome::Failure(failure(error)),
        };
        // What fires is kept by the checks.
        let _ = judge.lock().checks.on_return(op, outcome);
        SimRuntime::sleep(Duration::from_millis(60)).await;
    }
}

/// Watches everything from the present revision on, until the node goes away.
async fn watcher(judge: Judge, node: Node<SimRuntime>) {
    let stream = judge.number();
    let mut session = node.watch_session();
    let start_revision = {
        let mut shared = judge.lock();
        let start_revision = (shared.checks.revision() - 5).max(1);
        let create = pb::WatchCreateRequest {
            key: b"\0".as_slice().into(),
            range_end: b"\0".as_slice().into(),
            start_revision,
            prev_kv: true,
            ..Default::default()
        };
        shared.checks.on_watch_create(stream, create);
        start_revision
    };
    let create = WatchCreate {
        range: KeyRange::new(b"\0".as_slice(), b"\0".as_slice()),
        start_revision,
        progress_notify: false,
        filters: Vec::new(),
        prev_kv: true,
        watch_id: 0,
        fragment: false,
    };
    session.create(create, Ok(None));
    let _end = EndOnDrop(judge.clone(), stream);
    while let Some(outputs) = session.next(1).await {
        for output in outputs {
            let response = translate::watch_response(&output, &Header::default());
            let _ = judge.lock().checks.on_watch_response(stream, &response);
            if response.events.len() % 3 == 1 {
                session.progress();
            }
        }
    }
}

/// A stream whose node died is over.
struct EndOnDrop(Judge, u64);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        if !self.0.is_over() {
            self.0.lock().checks.on_watch_end(self.1);
        }
    }
}

fn config(node: NodeId) -> NodeConfig {
    let member = |n: u32| InitialMember {
        name: format!("n{n}"),
        peer_urls: vec![format!("http://{}", NodeId(n).address(2380))],
    };
    NodeConfig {
        listen_peer: vec![node.address(2380)],
        advertise_client_urls: vec![format!("http://{}", node.address(2379))],
        segment_bytes: 1 << 15,
        snapshot_count: 60,
        catchup_entries: 20,
        ..NodeConfig::new(&format!("n{}", node.0), (1..=NODES).map(member).collect())
    }
}

async fn life(judge: Judge, node: NodeId) {
    let world = World::current();
    let opened = Node::<SimRuntime>::open(config(node), world.net_of(node), world.disk_of(node)).await;
    let opened = opened.expect("the member opens");
    let before = judge.lock().nodes.insert(node.0, opened.clone());
    drop(before);
    let _watch = SimRuntime::spawn("watcher", watcher(judge.clone(), opened.clone()));
    let first = judge.number();
    let clients = (0..3).map(|n| client(judge.clone(), opened.clone(), first * 10 + n));
    futures_util::future::join_all(clients).await;
    SimRuntime::sleep(Duration::from_secs(1000)).await;
}

/// One run: what the checks found, and how many revisions there were.
fn run(seed: u64) -> (Vec<Violation>, i64) {
    let world = World::new(seed, WorldConfig::default());
    let check = CheckConfig {
        voters: (1..=NODES).collect(),
        pre_vote_settle_ns: Some(4_000_000_000),
        cross_check: true,
    };
    let shared = Shared { checks: Checks::new(&check), nodes: BTreeMap::new(), next: 0 };
    let judge = Judge(Arc::new(Mutex::new(shared)), Arc::default());
    let (observer, clocks) = (judge.clone(), world.clone());
    world.set_observer(Box::new(move |seen| {
        let local_ns = clocks.clock(seen.node).now_ns();
        let checks = &mut observer.lock().checks;
        checks.on_clock(seen.node.0, local_ns);
        let _ = checks.on_observation(seen.time_ns, seen.node.0, &seen.observation);
    }));
    let syncs = judge.clone();
    world.set_sync_hook(Box::new(move |event| {
        syncs.lock().checks.on_sync(event.node.0, event.path, event.image)
    }));
    let deaths = judge.clone();
    world.set_death_hook(Box::new(move |death| {
        deaths.lock().checks.on_node(death.time_ns, death.node.0, false)
    }));
    for n in 1..=NODES {
        let node = world.add_node(&format!("n{n}"));
        let judge = judge.clone();
        world.set_boot(node, move || life(judge.clone(), node));
    }
    world.run(drive(world.clone(), judge.clone(), seed));
    let nodes = std::mem::take(&mut judge.lock().nodes);
    let ends: Vec<EndState> = nodes
        .iter()
        .map(|(node, opened)| {
            let view = opened.view();
            EndState { node: *node, applied: None, revision: view.revision(), digest: view.digest() }
        })
        .collect();
    drop(nodes);
    let checks = std::mem::replace(&mut judge.lock().checks, Checks::new(&check));
    let revision = checks.revision();
    (checks.finish(&ends), revision)
}

/// Faults, heal, quiet.
async fn drive(world: World, judge: Judge, seed: u64) {
    for node in world.nodes() {
        world.boot(node);
    }
    world.sleep(Duration::from_secs(3)).await;
    for round in 0..3u64 {
        let victim = NodeId(1 + (seed.wrapping_mul(7).wrapping_add(round * 5) % u64::from(NODES)) as u32);
        match (seed + round) % 3 {
            0 => world.kill(victim),
            1 => world.power_cut(victim),
            _ => cut(&world, &judge, victim, Link::Cut),
        }
        world.sleep(Duration::from_secs(6)).await;
        cut(&world, &judge, victim, Link::Good);
        if !world.is_alive(victim) {
            judge.lock().checks.on_node(world.now_ns(), victim.0, true);
            world.boot(victim);
        }
        world.sleep(Duration::from_secs(3)).await;
    }
    judge.1.store(true, Ordering::Relaxed);
    world.sleep(Duration::from_secs(15)).await;
}

fn cut(world: &World, judge: &Judge, victim: NodeId, link: Link) {
    match link {
        Link::Cut => world.net().isolate(victim),
        _ => world.net().heal(),
    }
    for other in (1..=NODES).filter(|other| *other != victim.0) {
        for (from, to) in [(victim.0, other), (other, victim.0)] {
            judge.lock().checks.on_link(world.now_ns(), from, to, link);
        }
    }
}

#[test]
fn no_alarm_on_whole_members() {
    for seed in 1..=3 {
        let (violations, revision) = isolated(move || run(seed));
        assert_eq!(violations, [], "seed {seed}");
        assert!(revision > 300, "seed {seed}: only {revision} revisions");
    }
}
