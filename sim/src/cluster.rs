//! The members of one run: booted with the same calls as `main` makes, restarted when they die.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use etched::node::api::{Header, Status};
use etched::node::{InitialMember, Node, NodeConfig};
use etched::runtime::{Net, Runtime};
use etched::server::{ServerOptions, serve};

use crate::check::digest::EndState;
use crate::scenario::Scenario;
use crate::world::{Cause, NodeId, SimRuntime, World};

/// Port for clients.
pub const CLIENT_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;

type Handles = Arc<Mutex<BTreeMap<NodeId, Node<SimRuntime>>>>;

/// The members.
#[derive(Clone)]
pub struct Cluster {
    world: World,
    pub members: Vec<NodeId>,
    handles: Handles,
    /// Members that must stay down, by the nemesis' will.
    down: Arc<Mutex<BTreeMap<NodeId, u64>>>,
    /// Members that were damaged beyond repair and said so: they stay out.
    refused: Arc<Mutex<BTreeSet<NodeId>>>,
    /// Members that are started with another initial cluster than the rest.
    strangers: Arc<Mutex<BTreeSet<NodeId>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cluster {
    /// Adds `scenario.nodes` machines with their programs; nothing runs yet.
    pub fn new(world: &World, scenario: &Scenario) -> Cluster {
        let members: Vec<NodeId> =
            (1..=scenario.nodes).map(|number| world.add_node(&format!("n{number}"))).collect();
        let handles: Handles = Arc::default();
        let member = |node: &NodeId| InitialMember {
            name: format!("n{}", node.0),
            peer_urls: vec![format!("http://{}", node.address(PEER_PORT))],
        };
        let initial: Vec<InitialMember> = members.iter().map(member).collect();
        let strangers: Arc<Mutex<BTreeSet<NodeId>>> = Arc::default();
        for node in &members {
            let config = NodeConfig {
                listen_peer: vec![node.address(PEER_PORT)],
                advertise_client_urls: vec![format!("http://{}", node.address(CLIENT_PORT))],
                snapshot_count: scenario.snapshot_count,
                catchup_entries: scenario.catchup_entries,
                segment_bytes: 64 * 1024,
                progress_interval_ms: 700,
                bcrypt_cost: 4,
                auth_token_ttl_ms: 3000,
                ..NodeConfig::new(&format!("n{}", node.0), initial.clone())
            };
            let (at, handles, program) = (*node, handles.clone(), world.clone());
            let strangers = strangers.clone();
            world.set_boot(*node, move || {
                let is_stranger = lock(&strangers).contains(&at);
                let config = if is_stranger { differing(config.clone()) } else { config.clone() };
                run(program.clone(), at, config, handles.clone())
            });
        }
        world.atlas().set_voters(members.iter().copied());
        let (down, refused) = (Arc::default(), Arc::default());
        Cluster { world: world.clone(), members, handles, down, refused, strangers }
    }

    /// From the next start on the member is given another initial cluster.
    pub fn estrange(&self, node: NodeId) {
        lock(&self.strangers).insert(node);
    }

    /// Whether the member runs with another initial cluster.
    pub fn is_stranger(&self, node: NodeId) -> bool {
        lock(&self.strangers).contains(&node)
    }

    /// Gives the member an empty disk and the right initial cluster, and starts it.
    pub fn make_right(&self, node: NodeId) {
        self.world.kill(node);
        self.world.disk(node).wipe();
        lock(&self.strangers).remove(&node);
        self.start_at(node, 0);
    }

    /// Members that must converge: all but those that are damaged and refused to start.
    pub fn able(&self) -> Vec<NodeId> {
        let refused = lock(&self.refused);
        self.members.iter().copied().filter(|node| !refused.contains(node)).collect()
    }

    /// Notes that a damaged member refused to start by name, and says so.
    fn has_refused(&self, node: NodeId) -> bool {
        let deaths = self.world.deaths();
        let last = deaths.iter().rev().find(|death| death.node == node);
        let by_name = last.is_some_and(|death| is_refusal(&death.cause));
        let refused = by_name && self.world.atlas().damaged().contains(&node);
        if refused {
            lock(&self.refused).insert(node);
        }
        refused
    }

    /// Starts a dead member at `at_ns` (true time), or at once if that has passed.
    pub fn start_at(&self, node: NodeId, at_ns: u64) {
        lock(&self.down).insert(node, at_ns);
    }

    /// Keeps dead members coming back: those the nemesis took down when their time is over, others
    /// after a moment. Never returns.
    pub async fn keep_alive(self) {
        loop {
            for node in &self.members {
                if self.world.is_alive(*node) || lock(&self.refused).contains(node) {
                    continue;
                }
                if self.has_refused(*node) {
                    continue;
                }
                let now = self.world.now_ns();
                let due = *lock(&self.down).entry(*node).or_insert(now + 300_000_000);
                if now >= due {
                    lock(&self.down).remove(node);
                    self.world.boot(*node);
                }
            }
            self.world.sleep(Duration::from_millis(20)).await;
        }
    }

    /// The handle of a member that is open and alive.
    pub fn node(&self, node: NodeId) -> Option<Node<SimRuntime>> {
        if !self.world.is_alive(node) {
            return None;
        }
        lock(&self.handles).get(&node).cloned()
    }

    /// What an open member says of itself. A leader is one by its own clock.
    fn status(&self, node: NodeId) -> Option<(Status, Header)> {
        let open = self.node(node)?;
        Some(self.world.look(node, || open.status()))
    }

    /// Whoever believes to lead, the newest term first.
    pub fn leader(&self) -> Option<NodeId> {
        let leads = |node: &NodeId| {
            let (status, header) = self.status(*node)?;
            (status.leader == header.member_id).then_some((status.raft_term, *node))
        };
        self.members.iter().filter_map(leads).max().map(|(_, node)| node)
    }

    /// What every open member says of its place in Raft, for messages.
    pub fn places(&self) -> String {
        let place = |node: &NodeId| {
            let (status, header) = self.status(*node)?;
            Some(format!(
                "{node} ({:x}) in term {} knows leader {:x}",
                header.member_id, status.raft_term, status.leader
            ))
        };
        self.members.iter().filter_map(place).collect::<Vec<_>>().join(", ")
    }

    /// How every open member ends.
    pub fn ends(&self) -> Vec<EndState> {
        let end = |node: &NodeId| {
            let open = self.node(*node)?;
            let (status, _) = self.status(*node)?;
            let view = open.view();
            Some(EndState {
                node: node.0,
                applied: status.raft_applied_index.checked_sub(1),
                revision: view.revision(),
                digest: view.digest(),
            })
        };
        self.members.iter().filter_map(end).collect()
    }

    /// Forgets all handles, so that nothing of a member outlives the world.
    pub fn clear(&self) {
        lock(&self.handles).clear();
    }
}

/// Whether a member ended because its data is damaged, and said so.
pub fn is_refusal(cause: &Cause) -> bool {
    matches!(cause, Cause::Crashed(reason) if reason.contains("not usable"))
}

/// The same member with one other left out of its list: another cluster.
fn differing(config: NodeConfig) -> NodeConfig {
    let own = config.name.clone();
    let mut initial_cluster = config.initial_cluster;
    if let Some(other) = initial_cluster.iter().position(|member| member.name != own) {
        initial_cluster.remove(other);
    }
    NodeConfig { initial_cluster, ..config }
}

/// A member's program, as `main` runs it.
async fn run(world: World, at: NodeId, config: NodeConfig, handles: Handles) {
    lock(&handles).remove(&at);
    let net = world.net_of(at);
    let listener = match net.listen(&at.address(CLIENT_PORT)).await {
        Ok(listener) => listener,
        Err(error) => SimRuntime::crash(&format!("cannot listen: {error}")),
    };
    match Node::<SimRuntime>::open(config, net, world.disk_of(at)).await {
        Ok(node) => {
            lock(&handles).insert(at, node.clone());
            serve::<SimRuntime, _>(node, listener, ServerOptions::default()).await;
        }
        Err(error) => SimRuntime::crash(&format!("cannot open: {error}")),
    }
}
