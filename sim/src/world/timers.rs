//! One agenda of everything that will happen, in true time; each node's sleepers wait in a queue of
//! the node's own clock, and only the true time of its head is compared with the agenda.
//!
//! madsim's timers cannot be cancelled and its `Sleep` adds one more on every poll, so it is used
//! for a single purpose: to wake the driver task at the head of the agenda. Deadlines are exact to
//! the nanosecond: `Sleep::reset` has no lower bound, unlike madsim's 1 ms for `sleep`.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use madsim::time::TimeHandle;

use super::Inner;
use super::clock::NodeClock;
use super::net::PipeId;

/// What is done at a time.
type Call = Box<dyn FnOnce(&Arc<Inner>) + Send>;

/// What the agenda holds.
pub(super) enum Event {
    /// The head of a pipe arrives.
    Pipe(PipeId),
    /// Anything else, rare.
    Call(Call),
}

/// What is due.
enum Due {
    Event(Event),
    /// The head of a node's sleepers.
    Sleepers(u32),
}

/// Place in the agenda: true time, then order of insertion.
pub(super) type Key = (u64, u64);

struct NodeQueue {
    clock: NodeClock,
    sleepers: BTreeMap<Key, Waker>,
    /// The place of the head in the order of the agenda.
    armed: Option<Key>,
}

/// The agenda and the clocks.
pub(super) struct Timers {
    time: TimeHandle,
    agenda: BTreeMap<Key, Event>,
    nodes: Vec<NodeQueue>,
    /// The first of the nodes' heads, which `rearm_node` keeps.
    first_sleeper: Option<(Key, u32)>,
    next_seq: u64,
    /// When madsim will still wake the driver. Each is earlier than those before it: a later one would not
    /// have been needed.
    outstanding: Vec<u64>,
    driver: Option<Waker>,
    driving: bool,
}

impl Timers {
    pub(super) fn new(time: TimeHandle) -> Timers {
        Timers {
            time,
            agenda: BTreeMap::new(),
            nodes: Vec::new(),
            first_sleeper: None,
            next_seq: 0,
            outstanding: Vec::new(),
            driver: None,
            driving: false,
        }
    }

    fn seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq
    }

    /// True time in nanoseconds since the start of the world.
    fn true_now(&self) -> u64 {
        self.time.elapsed().as_nanos() as u64
    }

    pub(super) fn add_node(&mut self, clock: NodeClock) {
        self.nodes.push(NodeQueue { clock, sleepers: BTreeMap::new(), armed: None });
    }

    pub(super) fn clock(&self, node: u32) -> &NodeClock {
        &self.nodes[node as usize].clock
    }

    /// The clock of `node` now, in nanoseconds.
    pub(super) fn local_now(&self, node: u32) -> u64 {
        self.clock(node).local(self.true_now())
    }

    /// Adds an event; past times mean "as soon as possible".
    pub(super) fn add(&mut self, at_ns: u64, event: Event) {
        let key = (at_ns, self.seq());
        self.agenda.insert(key, event);
        self.arm();
    }

    /// What comes first: of the agenda, or of a node's sleepers.
    fn head(&self) -> Option<(Key, Option<u32>)> {
        let event = self.agenda.first_key_value().map(|(key, _)| *key);
        match (event, self.first_sleeper) {
            (Some(event), Some((first, _))) if event < first => Some((event, None)),
            (_, Some((first, node))) => Some((first, Some(node))),
            (event, None) => event.map(|event| (event, None)),
        }
    }

    /// Registers a sleeper at `deadline_ns` of the node's own clock.
    pub(super) fn add_sleeper(&mut self, node: u32, deadline_ns: u64, waker: Waker) -> Key {
        let key = (deadline_ns, self.seq());
        let queue = &mut self.nodes[node as usize];
        let is_head = queue.sleepers.first_key_value().is_none_or(|(head, _)| key < *head);
        queue.sleepers.insert(key, waker);
        if is_head {
            self.rearm_node(node);
        }
        key
    }

    pub(super) fn update_sleeper(&mut self, node: u32, key: Key, waker: &Waker) {
        if let Some(held) = self.nodes[node as usize].sleepers.get_mut(&key)
            && !held.will_wake(waker)
        {
            *held = waker.clone();
        }
    }

    pub(super) fn remove_sleeper(&mut self, node: u32, key: Key) -> Option<Waker> {
        self.nodes[node as usize].sleepers.remove(&key)
    }

    /// Changes a clock and re-bases the head of the node's sleepers.
    pub(super) fn change_clock(&mut self, node: u32, change: impl FnOnce(&mut NodeClock, u64)) {
        let now = self.true_now();
        change(&mut self.nodes[node as usize].clock, now);
        self.rearm_node(node);
    }

    fn rearm_node(&mut self, node: u32) {
        let queue = &self.nodes[node as usize];
        let at = queue.sleepers.first_key_value().map(|(head, _)| queue.clock.true_time_of(head.0));
        self.nodes[node as usize].armed = at.map(|at| (at, self.seq()));
        let nodes = self.nodes.iter().zip(0..);
        self.first_sleeper = nodes.filter_map(|(queue, node)| Some((queue.armed?, node))).min();
        self.arm();
    }

    /// Moves the sleepers of `node` that are due now to `due`.
    fn due_sleepers(&mut self, node: u32, due: &mut Vec<Waker>) {
        let now = self.true_now();
        let queue = &mut self.nodes[node as usize];
        let local = queue.clock.local(now);
        while let Some(entry) = queue.sleepers.first_entry()
            && entry.key().0 <= local
        {
            due.push(entry.remove());
        }
        self.rearm_node(node);
    }

    /// Forgets which timers of madsim have fired.
    fn woken(&mut self) {
        let now = self.true_now();
        while self.outstanding.pop_if(|at| *at <= now).is_some() {}
    }

    fn due(&mut self) -> Option<Due> {
        let now = self.true_now();
        match self.head()? {
            (key, _) if key.0 > now => None,
            (_, Some(node)) => Some(Due::Sleepers(node)),
            (_, None) => self.agenda.pop_first().map(|(_, event)| Due::Event(event)),
        }
    }

    /// Makes sure that madsim wakes the driver no later than what comes first. The driver does so itself
    /// when it is done.
    fn arm(&mut self) {
        if self.driving {
            return;
        }
        let (Some(waker), Some(((at, _), _))) = (&self.driver, self.head()) else { return };
        if self.outstanding.last().is_some_and(|earliest| *earliest <= at) {
            return;
        }
        let instant = self.time.now_instant();
        let mut sleep = pin!(self.time.sleep_until(instant));
        let wait = Duration::from_nanos(at.saturating_sub(self.true_now()));
        sleep.as_mut().reset(instant + wait);
        if sleep.poll(&mut Context::from_waker(waker)).is_ready() {
            waker.wake_by_ref();
        } else {
            self.outstanding.push(at);
        }
    }
}

/// Runs the agenda. The world has exactly one such task.
pub(super) async fn drive(inner: Arc<Inner>) {
    let mut sleepers = Vec::new();
    std::future::poll_fn(|cx| {
        {
            let mut timers = inner.timers();
            timers.driving = true;
            if !timers.driver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                timers.driver = Some(cx.waker().clone());
            }
            timers.woken();
        }
        loop {
            let event = inner.timers().due();
            match event {
                None => break,
                Some(Due::Sleepers(node)) => {
                    inner.timers().due_sleepers(node, &mut sleepers);
                    sleepers.drain(..).for_each(Waker::wake);
                }
                Some(Due::Event(Event::Pipe(id))) => super::net::deliver(&inner, id),
                Some(Due::Event(Event::Call(call))) => call(&inner),
            }
        }
        let mut timers = inner.timers();
        timers.driving = false;
        timers.arm();
        Poll::<()>::Pending
    })
    .await;
}
