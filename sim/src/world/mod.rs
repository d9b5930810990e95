//! The world: one seed's universe of nodes, clocks, links and disks on top of madsim's executor.
//!
//! One thread holds one world, made from one seed: run each in a fresh OS thread ([`isolated`]) or
//! process, because std's hash keys are seeded once per thread. All chance comes from labelled
//! [`streams`]; only the order of ready tasks is madsim's own, seeded by the same seed. True time
//! is madsim's clock in nanoseconds since the start of the world; it moves 50–100 ns per poll and
//! jumps to the next event when nothing is ready.

mod atlas;
mod buggify;
mod clock;
mod disk;
mod net;
mod node;
mod observe;
mod runtime;
pub mod streams;
mod timers;
pub mod trace;

pub use atlas::FaultAtlas;
pub use buggify::Site;
pub use clock::ClockControl;
pub use disk::{DiskControl, DiskFaults, SimBlockFile, SimDisk, SimFile, SyncEvent};
pub use net::{NetControl, NetStats, SimListener, SimNet, SimStream};
pub use node::{Boot, Cause, Death};
pub use observe::Seen;
pub use runtime::{SimRuntime, SimSleep};

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use madsim::time::TimeHandle;

use streams::{Latency, Stream};
use trace::{Checkpoint, Kind, Trace};

/// A machine of the world. Number 0 is the supervisor, which has a perfect clock, no network and
/// no disk; the others have the address `10.0.0.N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The place of the code given to [`World::run`].
    pub const SUPERVISOR: NodeId = NodeId(0);

    /// The machine's IP address.
    pub fn ip(self) -> String {
        format!("10.0.{}.{}", self.0 >> 8, self.0 & 0xff)
    }

    /// `ip:port` on this machine.
    pub fn address(self, port: u16) -> String {
        format!("{}:{port}", self.ip())
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// What a world begins with; most can be changed while it runs.
#[derive(Clone, Debug)]
pub struct WorldConfig {
    /// One-way delay of every link.
    pub latency: Latency,
    /// Delays and faults of every disk.
    pub disk: DiskFaults,
    /// Nodes' monotonic clocks start somewhere below this.
    pub clock_offset_max_ns: u64,
    /// Whether buggify sites may fire.
    pub buggify: bool,
    /// Chance that a read from a connection gives fewer bytes than there are.
    pub short_reads_ppm: u32,
    /// Write every traced event as text to this file (slow).
    pub trace_file: Option<PathBuf>,
}

impl Default for WorldConfig {
    fn default() -> Self {
        WorldConfig {
            latency: Latency::uniform_us(100, 500),
            disk: DiskFaults::default(),
            clock_offset_max_ns: 3_600_000_000_000,
            buggify: false,
            short_reads_ppm: 0,
            trace_file: None,
        }
    }
}

thread_local! {
    static WORLD: RefCell<Option<Arc<Inner>>> = const { RefCell::new(None) };
}

type Observer = Box<dyn FnMut(&Seen) + Send>;
type DeathHook = Box<dyn FnMut(&Death) + Send>;
type SyncHook = Box<dyn FnMut(&SyncEvent<'_>) + Send>;

/// Callbacks out of the world. A callback that causes itself again is not called again.
#[derive(Default)]
struct Hooks {
    observer: Option<Observer>,
    death: Option<DeathHook>,
    sync: Option<SyncHook>,
}

pub(crate) struct Inner {
    seed: u64,
    config: WorldConfig,
    handle: madsim::runtime::Handle,
    time: TimeHandle,
    timers: Mutex<timers::Timers>,
    nodes: Mutex<Vec<node::Node>>,
    net: Mutex<net::NetState>,
    disks: Mutex<Vec<Arc<disk::DiskNode>>>,
    atlas: Mutex<FaultAtlas>,
    trace: Mutex<Trace>,
    hooks: Mutex<Hooks>,
    deaths: Mutex<Vec<Death>>,
    draws: Mutex<BTreeMap<(u32, u32, u64), u64>>,
    buggify: Mutex<buggify::Buggify>,
    spawned: AtomicU64,
    ended: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic of one node must not poison the world.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    fn current() -> Arc<Inner> {
        WORLD.with_borrow(|world| world.clone()).expect("no world runs on this thread")
    }

    fn with_current<T>(use_it: impl FnOnce(&Arc<Inner>) -> T) -> T {
        WORLD.with_borrow(|world| use_it(world.as_ref().expect("no world runs on this thread")))
    }

    fn timers(&self) -> MutexGuard<'_, timers::Timers> {
        lock(&self.timers)
    }

    fn nodes(&self) -> MutexGuard<'_, Vec<node::Node>> {
        lock(&self.nodes)
    }

    fn net(&self) -> MutexGuard<'_, net::NetState> {
        lock(&self.net)
    }

    fn disks(&self) -> MutexGuard<'_, Vec<Arc<disk::DiskNode>>> {
        lock(&self.disks)
    }

    fn disk(&self, node: u32) -> Arc<disk::DiskNode> {
        self.disks()[node as usize].clone()
    }

    fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    fn true_now(&self) -> u64 {
        self.time.elapsed().as_nanos() as u64
    }

    fn local_now(&self, node: u32) -> u64 {
        self.timers().local_now(node)
    }

    fn call_at(&self, at_ns: u64, call: impl FnOnce(&Arc<Inner>) + Send + 'static) {
        self.timers().add(at_ns, timers::Event::Call(Box::new(call)));
    }

    fn stream(&self, label: &str, node: u32, incarnation: u32, counter: u64) -> Stream {
        Stream::new(self.seed, label, node, incarnation, counter)
    }

    fn trace<V: Hash + ?Sized>(&self, kind: Kind, node: u32, value: &V, text: impl FnOnce(&mut String)) {
        lock(&self.trace).event(self.true_now(), kind, node, value, text);
    }
}

/// The handle of a world. Cheap to clone.
#[derive(Clone)]
pub struct World {
    inner: Arc<Inner>,
    runtime: Arc<Mutex<Option<madsim::runtime::Runtime>>>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "World(seed {:#x})", self.inner.seed)
    }
}

/// Runs `work` in a fresh OS thread, as every world wants it, and passes a panic on.
pub fn isolated<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    #[expect(clippy::disallowed_methods, reason = "a world needs a thread of its own")]
    let thread = std::thread::spawn(work);
    thread.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload))
}

impl World {
    /// A new world of `seed`, installed on this thread.
    ///
    /// # Panics
    /// When the trace file cannot be created.
    pub fn new(seed: u64, config: WorldConfig) -> World {
        node::install_panic_hook();
        let runtime = madsim::runtime::Runtime::with_seed_and_config(seed, madsim::Config::default());
        let time = runtime.block_on(async { TimeHandle::current() });
        let mut trace = Trace::default();
        if let Some(path) = &config.trace_file {
            trace
                .write_text_to(path)
                .unwrap_or_else(|e| panic!("cannot create trace file {}: {e}", path.display()));
        }
        let inner = Arc::new(Inner {
            seed,
            handle: runtime.handle().clone(),
            timers: Mutex::new(timers::Timers::new(time.clone())),
            time,
            nodes: Mutex::new(Vec::new()),
            net: Mutex::new(net::NetState::new(seed, &config)),
            disks: Mutex::new(Vec::new()),
            atlas: Mutex::new(FaultAtlas::default()),
            trace: Mutex::new(trace),
            hooks: Mutex::new(Hooks::default()),
            deaths: Mutex::new(Vec::new()),
            draws: Mutex::new(BTreeMap::new()),
            buggify: Mutex::new(buggify::Buggify::new(seed, config.buggify)),
            spawned: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            config,
        });
        WORLD.set(Some(inner.clone()));
        buggify::install();
        let world = World { inner, runtime: Arc::new(Mutex::new(Some(runtime))) };
        world.add_node("supervisor");
        world
    }

    /// The world that runs on this thread.
    ///
    /// # Panics
    /// When there is none.
    pub fn current() -> World {
        World { inner: Inner::current(), runtime: Arc::default() }
    }

    /// Runs the supervisor's `main` in virtual time until it returns; then the world is over:
    /// everything that still runs is dropped without effect.
    ///
    /// # Panics
    /// When called twice, when `main` panics, and when nothing can ever happen any more.
    pub fn run<F: Future>(&self, main: F) -> F::Output {
        let runtime = lock(&self.runtime).take().expect("a world runs once");
        let inner = self.inner.clone();
        let result = runtime.block_on(async move {
            madsim::task::spawn(timers::drive(inner));
            main.await
        });
        self.inner.ended.store(true, Ordering::Relaxed);
        lock(&self.inner.trace).flush();
        drop(runtime);
        result
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.inner.seed
    }

    /// Adds a machine, switched on, with an empty disk and no process yet.
    pub fn add_node(&self, name: &str) -> NodeId {
        let inner = &self.inner;
        let id = inner.nodes().len() as u32;
        inner.nodes().push(node::Node::new(name));
        let offset = match id {
            0 => 0,
            _ => inner.stream("clock.offset", id, 0, 0).below(inner.config.clock_offset_max_ns),
        };
        inner.timers().add_node(clock::NodeClock::new(offset));
        inner.net().add_node(name);
        inner.disks().push(Arc::new(disk::DiskNode::new(inner, id)));
        NodeId(id)
    }

    /// All machines but the supervisor.
    pub fn nodes(&self) -> Vec<NodeId> {
        (1..self.inner.nodes().len() as u32).map(NodeId).collect()
    }

    /// The name given to [`World::add_node`].
    pub fn name(&self, node: NodeId) -> String {
        self.inner.nodes()[node.0 as usize].name.clone()
    }

    /// True time in nanoseconds since the start of the world.
    pub fn now_ns(&self) -> u64 {
        self.inner.true_now()
    }

    /// Waits in true time.
    pub async fn sleep(&self, duration: std::time::Duration) {
        self.inner.sleep_true(duration.as_nanos() as u64).await;
    }

    /// A random stream of the runner's own: workload, nemesis, plan.
    pub fn stream(&self, label: &str, counter: u64) -> Stream {
        self.inner.stream(label, 0, 0, counter)
    }

    /// Runs `call` at a true time, outside of any node.
    pub fn call_at(&self, at_ns: u64, call: impl FnOnce(&World) + Send + 'static) {
        self.inner.call_at(at_ns, move |inner| {
            call(&World { inner: inner.clone(), runtime: Arc::default() });
        });
    }

    /// The hand on a node's clock.
    pub fn clock(&self, node: NodeId) -> ClockControl {
        ClockControl { inner: self.inner.clone(), node }
    }

    /// The hand on the network.
    pub fn net(&self) -> NetControl {
        NetControl { inner: self.inner.clone() }
    }

    /// The hand on a node's disk.
    pub fn disk(&self, node: NodeId) -> DiskControl {
        DiskControl { disk: self.inner.disk(node.0), inner: self.inner.clone() }
    }

    /// The network as a program of `node` sees it: give it to `Node::open`.
    pub fn net_of(&self, node: NodeId) -> SimNet {
        SimNet { inner: self.inner.clone(), node: node.0 }
    }

    /// The disk as a program of `node` sees it: give it to `Node::open`.
    pub fn disk_of(&self, node: NodeId) -> SimDisk {
        SimDisk::root(self.inner.clone(), self.inner.disk(node.0))
    }

    /// What faults may still be injected without losing a quorum.
    pub fn atlas(&self) -> MutexGuard<'_, FaultAtlas> {
        lock(&self.inner.atlas)
    }

    /// Adds an event of the runner to the trace hash.
    pub fn note<V: Hash + fmt::Debug + ?Sized>(&self, node: NodeId, value: &V) {
        self.inner.trace(Kind::Note, node.0, value, |line| line.push_str(&format!("{value:?}")));
    }

    /// The trace hash so far.
    pub fn trace_hash(&self) -> u128 {
        lock(&self.inner.trace).hash()
    }

    /// Events in the trace so far.
    pub fn trace_events(&self) -> u64 {
        lock(&self.inner.trace).events()
    }

    /// The trace hash after each thousand events; see [`trace::first_difference`].
    pub fn trace_checkpoints(&self) -> Vec<Checkpoint> {
        lock(&self.inner.trace).checkpoints().to_vec()
    }
}

impl Inner {
    /// Waits in true time, wherever the caller is.
    async fn sleep_true(self: &Arc<Self>, ns: u64) {
        if ns > 0 {
            let deadline = self.true_now() + ns;
            SimSleep::new(self.clone(), NodeId::SUPERVISOR.0, deadline).await;
        }
    }
}
