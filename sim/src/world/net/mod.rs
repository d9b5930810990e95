//! The simulated network: reliable, ordered, bounded byte pipes over links that may be slow, cut
//! one way or both, and lossy for connection attempts.
//!
//! What is modelled of TCP: 64 KiB of unacknowledged bytes per direction, then the writer waits;
//! acknowledgements need the way back; data into a cut stalls, nothing is lost, and it goes on at
//! once after the heal; connects into a cut or to a dead machine retry like SYNs and time out
//! after about two minutes; a connect where nobody listens is refused; a dead process resets its
//! connections if the link is up, otherwise the peer learns it by the reset that answers its next
//! data; closing with unread data resets. Not modelled: retransmission time-outs of established
//! connections, windows that grow, congestion.

mod control;
mod dial;
mod link;
mod pipe;
mod stream;

pub use control::{NetControl, NetStats};
pub use dial::{SimListener, SimNet};
pub use stream::SimStream;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use super::streams::{Latency, Stream};
use super::trace::Kind;
use super::{Inner, WorldConfig};
use link::Link;
use pipe::{Payload, Pipe};

/// One direction of one connection; stale ones name no pipe any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PipeId {
    slot: usize,
    generation: u64,
    /// The side that writes: 0 dialled, 1 accepted.
    side: usize,
}

/// One side of a connection.
#[derive(Debug)]
struct End {
    node: u32,
    address: String,
    /// The socket exists no more: closed, or its process died.
    gone: bool,
    /// A reset arrived here.
    reset: bool,
}

/// A connection: `pipes[s]` carries what side `s` writes.
#[derive(Debug)]
struct Conn {
    generation: u64,
    ends: [End; 2],
    pipes: [Pipe; 2],
}

struct Waiting {
    slot: usize,
    generation: u64,
}

struct ListenerState {
    generation: u64,
    backlog: VecDeque<Waiting>,
    waker: Option<Waker>,
}

struct Host {
    name: String,
    up: bool,
    incarnation: u32,
    next_port: u16,
}

/// Everything the network knows.
pub(super) struct NetState {
    seed: u64,
    latency: Latency,
    short_reads_ppm: u32,
    hosts: Vec<Host>,
    links: Vec<Vec<Link>>,
    listeners: BTreeMap<(u32, u16), ListenerState>,
    conns: Vec<Option<Box<Conn>>>,
    free: Vec<usize>,
    next_generation: u64,
    chance: Stream,
    stats: NetStats,
    /// Room for the next effects.
    spare: Option<Box<Effects>>,
}

/// Wakers to wake and pipes to schedule, once the lock is released.
#[derive(Default)]
struct Effects {
    wake: Vec<Waker>,
    schedule: Vec<(u64, PipeId)>,
    traced: Vec<(u32, Kind, [u64; 4])>,
}

impl Effects {
    fn wake(&mut self, waker: &mut Option<Waker>) {
        self.wake.extend(waker.take());
    }

    fn is_empty(&self) -> bool {
        self.wake.is_empty() && self.schedule.is_empty() && self.traced.is_empty()
    }

    /// Does it all and is empty then.
    fn run(&mut self, inner: &Arc<Inner>) {
        for (node, kind, words) in self.traced.drain(..) {
            inner.trace(kind, node, &words, |line| line.push_str(&format!("{words:x?}")));
        }
        if !self.schedule.is_empty() {
            let mut timers = inner.timers();
            for (at, id) in self.schedule.drain(..) {
                timers.add(at, super::timers::Event::Pipe(id));
            }
        }
        self.wake.drain(..).for_each(Waker::wake);
    }
}

impl NetState {
    pub(super) fn new(seed: u64, config: &WorldConfig) -> NetState {
        NetState {
            seed,
            latency: config.latency,
            short_reads_ppm: config.short_reads_ppm,
            hosts: Vec::new(),
            links: Vec::new(),
            listeners: BTreeMap::new(),
            conns: Vec::new(),
            free: Vec::new(),
            next_generation: 0,
            chance: Stream::new(seed, "net.chance", 0, 0, 0),
            stats: NetStats::default(),
            spare: None,
        }
    }

    pub(super) fn add_node(&mut self, name: &str) {
        let new = self.hosts.len() as u32;
        self.hosts.push(Host { name: name.to_string(), up: true, incarnation: 0, next_port: 32768 });
        for (from, row) in self.links.iter_mut().enumerate() {
            row.push(Link::new(self.seed, from as u32, new, self.latency));
        }
        let row = (0..=new).map(|to| Link::new(self.seed, new, to, self.latency)).collect();
        self.links.push(row);
    }

    fn link(&mut self, from: u32, to: u32) -> &mut Link {
        &mut self.links[from as usize][to as usize]
    }

    /// Whether packets sent by `from` reach the machine `to` now.
    fn open(&self, from: u32, to: u32) -> bool {
        self.hosts[to as usize].up
            && self.hosts[from as usize].up
            && !self.links[from as usize][to as usize].blocked
    }

    fn conn(&mut self, slot: usize, generation: u64) -> Option<&mut Conn> {
        self.conns.get_mut(slot)?.as_deref_mut().filter(|conn| conn.generation == generation)
    }

    /// Makes a connection whose both ends exist.
    fn connect(&mut self, dialler: End, acceptor: End) -> (usize, u64) {
        self.next_generation += 1;
        let generation = self.next_generation;
        let pipes = [Pipe::default(), Pipe::default()];
        let conn = Box::new(Conn { generation, ends: [dialler, acceptor], pipes });
        let slot = self.free.pop().unwrap_or_else(|| {
            self.conns.push(None);
            self.conns.len() - 1
        });
        self.conns[slot] = Some(conn);
        self.stats.connections += 1;
        (slot, generation)
    }

    /// Queues a payload on the way from `side`, behind what is there.
    fn send(&mut self, slot: usize, side: usize, payload: Payload, now: u64, effects: &mut Effects) {
        let Some(conn) = self.conns[slot].as_deref_mut() else { return };
        let (from, to) = (conn.ends[side].node, conn.ends[1 - side].node);
        let link = &mut self.links[from as usize][to as usize];
        let pipe = &mut conn.pipes[side];
        if let Payload::Data(data) = &payload
            && pipe.extend_last(data, now)
        {
            return;
        }
        let at = link.arrival(now, payload.len());
        let generation = conn.generation;
        if let Some(at) = pipe.push(payload, now, at) {
            effects.schedule.push((at, PipeId { slot, generation, side }));
        }
    }

    /// Answers data for a socket that is gone: a reset from `side`, lost when the link is cut.
    fn send_reset(&mut self, slot: usize, side: usize, now: u64, effects: &mut Effects) {
        let Some(conn) = self.conns[slot].as_deref_mut() else { return };
        let (from, to) = (conn.ends[side].node, conn.ends[1 - side].node);
        if conn.ends[1 - side].gone || conn.ends[1 - side].reset || conn.pipes[side].reset_queued {
            return;
        }
        if self.open(from, to) {
            self.send(slot, side, Payload::Reset, now, effects);
        }
    }

    /// Frees a connection that nobody can see any more.
    fn reap(&mut self, slot: usize) {
        let seen = self.conns[slot].as_ref().is_some_and(|conn| conn.ends.iter().all(|end| end.gone));
        if seen {
            self.conns[slot] = None;
            self.free.push(slot);
        }
    }

    /// The head of a pipe is due: moves what has arrived to the reader.
    fn deliver(&mut self, id: PipeId, now: u64, effects: &mut Effects) {
        let PipeId { slot, generation, side } = id;
        let Some(conn) = self.conn(slot, generation) else { return };
        conn.pipes[side].armed = false;
        let (from, to) = (conn.ends[side].node, conn.ends[1 - side].node);
        if !self.open(from, to) {
            // Data waits for the heal; a reset is sent once and is lost.
            if let Some(conn) = self.conn(slot, generation) {
                conn.pipes[side].lose_reset();
            }
            return;
        }
        let Some(conn) = self.conns[slot].as_deref_mut() else { return };
        let mut answer_with_reset = false;
        while let Some(payload) = conn.pipes[side].arrived(now) {
            let mut words = [u64::from(from), generation << 1 | side as u64, 0, 0];
            match payload {
                Payload::Data(data) => {
                    words[2] = data.len() as u64;
                    words[3] = u64::from(crc32c::crc32c(&data));
                    self.stats.deliveries += 1;
                    self.stats.bytes += data.len() as u64;
                    if conn.ends[1 - side].gone {
                        answer_with_reset = true;
                    } else {
                        conn.pipes[side].inbox_push(data);
                    }
                }
                Payload::Finish => {
                    words[2] = u64::MAX;
                    conn.pipes[side].finish_received = true;
                }
                Payload::Reset => {
                    words[2] = u64::MAX - 1;
                    conn.pipes[side].reset_queued = false;
                    conn.ends[1 - side].reset = true;
                    conn.pipes[1 - side].purge();
                    effects.wake(&mut conn.pipes[1 - side].write_waker);
                }
            }
            effects.traced.push((to, Kind::Delivery, words));
        }
        effects.wake(&mut conn.pipes[side].read_waker);
        if let Some(at) = conn.pipes[side].arm() {
            effects.schedule.push((at, id));
        }
        if answer_with_reset {
            self.send_reset(slot, 1 - side, now, effects);
        }
    }

    /// After a heal or a boot: everything that can move again, moves.
    fn revive(&mut self, now: u64, effects: &mut Effects) {
        for slot in 0..self.conns.len() {
            for side in 0..2 {
                let Some(conn) = self.conns[slot].as_deref() else { continue };
                let (from, to) = (conn.ends[side].node, conn.ends[1 - side].node);
                let (way, back) = (self.open(from, to), self.open(to, from));
                let link = &mut self.links[from as usize][to as usize];
                let Some(conn) = self.conns[slot].as_deref_mut() else { continue };
                let pipe = &mut conn.pipes[side];
                if back && pipe.acknowledge() {
                    effects.wake(&mut pipe.write_waker);
                }
                if way && pipe.stalled() {
                    let at = pipe.restart(link.arrival(now, 0));
                    effects.schedule.push((at, PipeId { slot, generation: conn.generation, side }));
                }
            }
        }
    }

    /// The process on `node` is dead; `silent`: its machine is off as well.
    fn node_died(&mut self, node: u32, silent: bool, now: u64, effects: &mut Effects) {
        self.listeners.retain(|(owner, _), _| *owner != node);
        for slot in 0..self.conns.len() {
            for side in 0..2 {
                let Some(conn) = self.conns[slot].as_deref() else { continue };
                if conn.ends[side].node != node || conn.ends[side].gone {
                    continue;
                }
                let open = self.open(node, conn.ends[1 - side].node);
                let Some(conn) = self.conns[slot].as_deref_mut() else { continue };
                conn.ends[side].gone = true;
                conn.pipes[1 - side].forget_inbox();
                if !open {
                    conn.pipes[side].purge();
                } else if !silent {
                    self.send_reset(slot, side, now, effects);
                }
                self.reap(slot);
            }
        }
        if silent {
            self.hosts[node as usize].up = false;
        }
    }

    /// Whether a handle of an old incarnation speaks.
    fn is_stale(&self, node: u32, incarnation: u32) -> bool {
        let host = &self.hosts[node as usize];
        !host.up || host.incarnation != incarnation
    }
}

fn with_effects<T>(inner: &Arc<Inner>, act: impl FnOnce(&mut NetState, u64, &mut Effects) -> T) -> T {
    let now = inner.true_now();
    let (value, mut effects) = {
        let mut net = inner.net();
        let mut effects = net.spare.take().unwrap_or_default();
        let value = act(&mut net, now, &mut effects);
        if effects.is_empty() {
            net.spare = Some(effects);
            return value;
        }
        (value, effects)
    };
    effects.run(inner);
    inner.net().spare = Some(effects);
    value
}

/// The agenda says that a pipe's head is due.
pub(super) fn deliver(inner: &Arc<Inner>, id: PipeId) {
    with_effects(inner, |net, now, effects| net.deliver(id, now, effects));
}

/// A node's process (and with `power_cut` its machine) is dead.
pub(super) fn node_died(inner: &Arc<Inner>, node: u32, power_cut: bool) {
    with_effects(inner, |net, now, effects| net.node_died(node, power_cut, now, effects));
}

/// A node's machine is on and a new process runs.
pub(super) fn node_started(inner: &Arc<Inner>, node: u32, incarnation: u32) {
    with_effects(inner, |net, now, effects| {
        let host = &mut net.hosts[node as usize];
        host.incarnation = incarnation;
        let was_down = !std::mem::replace(&mut host.up, true);
        if was_down {
            net.revive(now, effects);
        }
    });
}
