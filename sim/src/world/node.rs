//! Nodes and their lives: start, kill, power cut, crash, pause. Each incarnation is a madsim node
//! of its own, so that what is left of an old one can never be taken for the new one.

mod task;

pub(super) use task::{Place, crash, install_panic_hook, place, spawn_here};

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};

use etched::runtime::AbortOnDrop;
use futures_util::future::BoxFuture;
use madsim::runtime::NodeHandle;

use super::trace::Kind;
use super::{Inner, NodeId, World};
use task::{NodeTask, enter};

/// Why an incarnation ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Killed by the world, as by SIGKILL: written data stays.
    Killed,
    /// Killed together with its machine: unsynced data is subject to the crash model.
    PowerCut,
    /// The main future returned.
    Exited,
    /// The node called `Runtime::crash` with this reason.
    Crashed(String),
    /// A task panicked; message and place.
    Panicked(String),
}

/// The end of one incarnation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// True time.
    pub time_ns: u64,
    /// Who died.
    pub node: NodeId,
    /// Which of its lives.
    pub incarnation: u32,
    /// Why.
    pub cause: Cause,
}

/// Makes the main future of a node, for every start.
pub type Boot = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

struct Life {
    place: Place,
    alive: AtomicBool,
    doomed: AtomicBool,
}

/// What the world knows of one node.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) incarnation: u32,
    life: Option<(Arc<Life>, NodeHandle)>,
    paused: bool,
    boot: Option<Boot>,
    waiting_for_death: Vec<Waker>,
    spawned: u32,
}

impl Node {
    pub(super) fn new(name: &str) -> Node {
        Node {
            name: name.to_string(),
            incarnation: 0,
            life: None,
            paused: false,
            boot: None,
            waiting_for_death: Vec::new(),
            spawned: 0,
        }
    }

    pub(super) fn alive(&self) -> bool {
        self.life.is_some()
    }
}

impl Inner {
    /// Whether this incarnation still runs.
    pub(super) fn is_alive(&self, place: Place) -> bool {
        let nodes = self.nodes();
        let node = &nodes[place.node as usize];
        node.alive() && node.incarnation == place.incarnation
    }

    /// The incarnation on whose behalf a handle of `node` acts now.
    pub(super) fn acting(&self, node: u32) -> Place {
        let here = place();
        if here.node == node {
            return here;
        }
        Place { node, incarnation: self.nodes()[node as usize].incarnation }
    }

    /// The incarnation of `node` that is running this, if it is one.
    pub(super) fn opener(&self, node: u32) -> Option<Place> {
        Some(place()).filter(|here| here.node == node)
    }

    fn spawn_at(self: &Arc<Self>, place: Place, future: BoxFuture<'static, ()>) -> AbortOnDrop {
        let (life, handle) = {
            let mut nodes = self.nodes();
            let node = &mut nodes[place.node as usize];
            node.spawned = node.spawned.wrapping_add(1);
            match &node.life {
                Some((life, handle)) if life.place == place => (life.clone(), handle.clone()),
                _ => return AbortOnDrop::new(|| ()), // The dead start nothing.
            }
        };
        self.prune_task_lists();
        let task = NodeTask { inner: self.clone(), life, future: Some(future) };
        let abort = handle.spawn(task).abort_handle();
        AbortOnDrop::new(move || abort.abort())
    }

    /// madsim keeps a weak reference to every task ever spawned on a node; counting drops them.
    fn prune_task_lists(&self) {
        let spawned = self.spawned.fetch_add(1, Ordering::Relaxed);
        if spawned % 10_000 == 9_999 {
            self.handle.metrics().num_tasks();
        }
    }

    /// Dooms a node: it loses power at its next yield.
    pub(super) fn doom(self: &Arc<Self>, place: Place) {
        if let Some((life, _)) = &self.nodes()[place.node as usize].life
            && life.place == place
        {
            life.doomed.store(true, Ordering::Relaxed);
        }
        // For disks touched from outside the node's tasks.
        self.call_at(self.true_now(), move |inner| inner.end(place, Cause::PowerCut));
    }

    /// Ends an incarnation, unless it has ended already.
    pub(super) fn end(self: &Arc<Self>, place: Place, cause: Cause) {
        let (handle, waiting, paused) = {
            let mut nodes = self.nodes();
            let node = &mut nodes[place.node as usize];
            if node.incarnation != place.incarnation {
                return;
            }
            let Some((life, handle)) = node.life.take() else { return };
            life.alive.store(false, Ordering::Relaxed);
            let paused = std::mem::take(&mut node.paused);
            (handle, std::mem::take(&mut node.waiting_for_death), paused)
        };
        let doomed_by_disk = self.disks()[place.node as usize].is_cut();
        let cause = if doomed_by_disk { Cause::PowerCut } else { cause };
        let power_cut = cause == Cause::PowerCut;
        super::net::node_died(self, place.node, power_cut);
        self.disk(place.node).node_died(power_cut);
        self.trace(Kind::Node, place.node, &(place.incarnation, &cause), |line| {
            line.push_str(&format!("life {} ended: {cause:?}", place.incarnation));
        });
        if paused {
            // A paused node's tasks must be scheduled once more to be dropped.
            self.handle.resume(handle.id());
        }
        self.handle.kill(handle.id());
        let time_ns = self.true_now();
        let incarnation = place.incarnation;
        self.record_death(Death { time_ns, node: NodeId(place.node), incarnation, cause });
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl World {
    /// Starts the next life of a dead (or new) node with `main` as its program; when `main`
    /// returns, the node exits.
    ///
    /// # Panics
    /// When the node is alive.
    pub fn start(&self, node: NodeId, main: impl Future<Output = ()> + Send + 'static) -> u32 {
        let inner = &self.inner;
        let place = {
            let mut nodes = inner.nodes();
            let state = &mut nodes[node.0 as usize];
            assert!(!state.alive(), "{node} is alive: kill it before starting it again");
            state.incarnation += 1;
            Place { node: node.0, incarnation: state.incarnation }
        };
        let name = format!("{}#{}", inner.nodes()[node.0 as usize].name, place.incarnation);
        let handle = inner.handle.create_node().name(name).build();
        let life = Arc::new(Life { place, alive: AtomicBool::new(true), doomed: AtomicBool::new(false) });
        inner.nodes()[node.0 as usize].life = Some((life, handle));
        inner.disk(node.0).node_started(place.incarnation);
        super::net::node_started(inner, node.0, place.incarnation);
        inner.trace(Kind::Node, node.0, &place.incarnation, |line| {
            line.push_str(&format!("life {} started", place.incarnation));
        });
        let exits = inner.clone();
        let main = async move {
            main.await;
            exits.end(place, Cause::Exited);
        };
        inner.spawn_at(place, Box::pin(main)).detach();
        place.incarnation
    }

    /// Sets the program that [`World::boot`] and [`World::restart`] start.
    pub fn set_boot<F>(&self, node: NodeId, boot: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let boot: Boot = Arc::new(move || Box::pin(boot()));
        self.inner.nodes()[node.0 as usize].boot = Some(boot);
    }

    /// Starts a dead node with the program of [`World::set_boot`].
    ///
    /// # Panics
    /// When the node is alive or has no program.
    pub fn boot(&self, node: NodeId) -> u32 {
        let boot = self.inner.nodes()[node.0 as usize].boot.clone();
        let boot = boot.unwrap_or_else(|| panic!("{node} has no program: call set_boot first"));
        self.start(node, async move { boot().await })
    }

    /// Kills the node if it is alive, as by SIGKILL, and boots it again.
    pub fn restart(&self, node: NodeId) -> u32 {
        self.kill(node);
        self.boot(node)
    }

    /// Kills the process: tasks dropped, connections reset where the link is up, written data
    /// stays. No effect on a dead node.
    pub fn kill(&self, node: NodeId) {
        self.inner.end(self.inner.acting_latest(node.0), Cause::Killed);
    }

    /// Cuts the machine's power: nothing is sent, unsynced data is subject to the crash model, and
    /// the machine does not answer until the node is started again. On a dead node only the
    /// second and third.
    pub fn power_cut(&self, node: NodeId) {
        if self.is_alive(node) {
            self.inner.end(self.inner.acting_latest(node.0), Cause::PowerCut);
        } else {
            super::net::node_died(&self.inner, node.0, true);
            self.inner.disk(node.0).node_died(true);
        }
    }

    /// Stops all tasks of the node; its clock, its kernel and the network go on.
    pub fn pause(&self, node: NodeId) {
        self.set_paused(node, true);
    }

    /// Lets a paused node run on.
    pub fn resume(&self, node: NodeId) {
        self.set_paused(node, false);
    }

    fn set_paused(&self, node: NodeId, paused: bool) {
        let id = {
            let mut nodes = self.inner.nodes();
            let state = &mut nodes[node.0 as usize];
            let Some((_, handle)) = &state.life else { return };
            if state.paused == paused {
                return;
            }
            let id = handle.id();
            state.paused = paused;
            id
        };
        if paused {
            self.inner.handle.pause(id);
        } else {
            self.inner.handle.resume(id);
        }
        self.inner.trace(Kind::Node, node.0, &paused, |line| {
            line.push_str(if paused { "paused" } else { "resumed" });
        });
    }

    /// Runs a task on a living node from outside it; nothing happens when it is dead.
    pub fn spawn_on(&self, node: NodeId, future: impl Future<Output = ()> + Send + 'static) {
        let place = self.inner.acting_latest(node.0);
        self.inner.spawn_at(place, Box::pin(future)).detach();
    }

    /// Looks at a handle that was taken out of the node as its own code would: by its clock.
    pub fn look<T>(&self, node: NodeId, look: impl FnOnce() -> T) -> T {
        let _enter = enter(self.inner.acting_latest(node.0));
        look()
    }

    /// Whether the node has a living process (paused ones live).
    pub fn is_alive(&self, node: NodeId) -> bool {
        self.inner.nodes()[node.0 as usize].alive()
    }

    /// Whether the node is paused.
    pub fn is_paused(&self, node: NodeId) -> bool {
        self.inner.nodes()[node.0 as usize].paused
    }

    /// How often the node was started.
    pub fn incarnation(&self, node: NodeId) -> u32 {
        self.inner.nodes()[node.0 as usize].incarnation
    }

    /// Waits until the node's process is dead.
    pub async fn wait_dead(&self, node: NodeId) {
        std::future::poll_fn(|cx| {
            let mut nodes = self.inner.nodes();
            let state = &mut nodes[node.0 as usize];
            if !state.alive() {
                return Poll::Ready(());
            }
            state.waiting_for_death.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Inner {
    fn acting_latest(&self, node: u32) -> Place {
        Place { node, incarnation: self.nodes()[node as usize].incarnation }
    }
}
