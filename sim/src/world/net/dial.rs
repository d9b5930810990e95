//! Listening, dialling, accepting.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::task::Poll;

use etched::runtime::{Listener, Net};

use super::stream::SimStream;
use super::{End, ListenerState, NetState, Waiting, with_effects};
use crate::world::node::Place;
use crate::world::trace::Kind;
use crate::world::{Inner, NodeId};

/// Connections that may wait to be accepted; further attempts are dropped and retried.
const BACKLOG: usize = 128;
/// First wait for the answer of a connection attempt; doubles each time.
const SYN_RETRY_NS: u64 = 1_000_000_000;
/// Attempts after the first, as in Linux: about 127 s until `TimedOut`.
const SYN_RETRIES: u32 = 6;

/// The network as one machine's programs see it.
#[derive(Clone)]
pub struct SimNet {
    pub(in crate::world) inner: Arc<Inner>,
    pub(in crate::world) node: u32,
}

impl std::fmt::Debug for SimNet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SimNet({})", NodeId(self.node))
    }
}

fn invalid(address: &str, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("address {address:?}: {why}"))
}

fn dead() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the calling process is dead")
}

/// Splits `host:port`; the host may be an address of this world, a node's name or this machine.
fn resolve(net: &NetState, own: u32, address: &str) -> io::Result<(u32, u16)> {
    let (host, port) = address.rsplit_once(':').ok_or_else(|| invalid(address, "no port"))?;
    let port = port.parse::<u16>().map_err(|_| invalid(address, "the port is no number"))?;
    if matches!(host, "localhost" | "127.0.0.1" | "[::1]" | "0.0.0.0" | "[::]" | "") {
        return Ok((own, port));
    }
    let by_name = net.hosts.iter().position(|known| known.name == host);
    let found = by_name.or_else(|| (0..net.hosts.len()).find(|n| NodeId(*n as u32).ip() == host));
    match found {
        Some(node) if node != 0 => Ok((node as u32, port)),
        _ => Err(io::Error::new(io::ErrorKind::NotFound, format!("unknown host in {address:?}"))),
    }
}

/// What a SYN finds.
enum Attempt {
    Lost,
    Refused,
    Made(SimStream),
}

impl SimNet {
    /// The machine this handle belongs to.
    pub fn node(&self) -> NodeId {
        NodeId(self.node)
    }

    /// The SYN arrives at the other machine.
    fn knock(&self, here: Place, to: u32, port: u16) -> Attempt {
        with_effects(&self.inner, |net, _, effects| {
            let from = here.node;
            let lost = !net.open(from, to) || net.link(from, to).loses_attempt();
            if lost || !net.open(to, from) || net.link(to, from).loses_attempt() {
                return Attempt::Lost;
            }
            let Some(listener) = net.listeners.get(&(to, port)) else {
                effects.traced.push((to, Kind::Connection, [u64::from(from), u64::from(port), 0, 0]));
                return Attempt::Refused;
            };
            if listener.backlog.len() >= BACKLOG {
                return Attempt::Lost;
            }
            let own_port = net.next_port(from);
            let dialler =
                End { node: from, address: NodeId(from).address(own_port), gone: false, reset: false };
            let acceptor = End { node: to, address: NodeId(to).address(port), gone: false, reset: false };
            let (slot, generation) = net.connect(dialler, acceptor);
            if let Some(listener) = net.listeners.get_mut(&(to, port)) {
                listener.backlog.push_back(Waiting { slot, generation });
                effects.wake(&mut listener.waker);
            }
            effects.traced.push((to, Kind::Connection, [u64::from(from), u64::from(port), 1, generation]));
            let peer = NodeId(to).address(port);
            Attempt::Made(SimStream { inner: self.inner.clone(), slot, generation, side: 0, peer })
        })
    }
}

impl NetState {
    fn next_port(&mut self, node: u32) -> u16 {
        let host = &mut self.hosts[node as usize];
        let port = host.next_port;
        host.next_port = if port == u16::MAX { 32768 } else { port + 1 };
        port
    }
}

impl Net for SimNet {
    type Stream = SimStream;
    type Listener = SimListener;

    async fn listen(&self, address: &str) -> io::Result<SimListener> {
        let here = self.inner.acting(self.node);
        let mut net = self.inner.net();
        if net.is_stale(here.node, here.incarnation) {
            return Err(dead());
        }
        let (node, mut port) = resolve(&net, self.node, address)?;
        if node != self.node {
            let why = format!("{address} is not an address of {}", NodeId(self.node));
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, why));
        }
        while port == 0 || (address.ends_with(":0") && net.listeners.contains_key(&(node, port))) {
            port = net.next_port(node);
        }
        if net.listeners.contains_key(&(node, port)) {
            let why = format!("{address} is already in use");
            return Err(io::Error::new(io::ErrorKind::AddrInUse, why));
        }
        net.next_generation += 1;
        let generation = net.next_generation;
        let state = ListenerState { generation, backlog: VecDeque::new(), waker: None };
        net.listeners.insert((node, port), state);
        drop(net);
        Ok(SimListener { inner: self.inner.clone(), node, port, generation })
    }

    async fn dial(&self, address: &str) -> io::Result<SimStream> {
        let here = self.inner.acting(self.node);
        let (to, port) = {
            let net = self.inner.net();
            if net.is_stale(here.node, here.incarnation) {
                return Err(dead());
            }
            resolve(&net, self.node, address)?
        };
        for attempt in 0..=SYN_RETRIES {
            let now = self.inner.true_now();
            let way = self.inner.net().link(here.node, to).arrival(now, 0) - now;
            self.inner.sleep_true(way).await;
            let outcome = self.knock(here, to, port);
            if matches!(outcome, Attempt::Lost) {
                self.inner.sleep_true(SYN_RETRY_NS << attempt).await;
                continue;
            }
            let now = self.inner.true_now();
            let back = self.inner.net().link(to, here.node).arrival(now, 0) - now;
            self.inner.sleep_true(back).await;
            return match outcome {
                Attempt::Made(stream) => Ok(stream),
                _ => {
                    let why = format!("{address} refused the connection");
                    Err(io::Error::new(io::ErrorKind::ConnectionRefused, why))
                }
            };
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("{address} did not answer")))
    }
}

/// A bound port. Dropping it closes the port and resets what was not accepted.
pub struct SimListener {
    inner: Arc<Inner>,
    node: u32,
    port: u16,
    generation: u64,
}

impl std::fmt::Debug for SimListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SimListener({})", NodeId(self.node).address(self.port))
    }
}

impl Listener for SimListener {
    type Stream = SimStream;

    async fn accept(&mut self) -> io::Result<SimStream> {
        std::future::poll_fn(|cx| {
            let mut net = self.inner.net();
            let state = net.listeners.get_mut(&(self.node, self.port));
            let Some(state) = state.filter(|state| state.generation == self.generation) else {
                return Poll::Ready(Err(dead()));
            };
            let Some(Waiting { slot, generation }) = state.backlog.pop_front() else {
                state.waker = Some(cx.waker().clone());
                return Poll::Pending;
            };
            let peer = net.conn(slot, generation).map(|conn| conn.ends[0].address.clone());
            let peer = peer.unwrap_or_default();
            let inner = self.inner.clone();
            Poll::Ready(Ok(SimStream { inner, slot, generation, side: 1, peer }))
        })
        .await
    }

    fn local_address(&self) -> String {
        NodeId(self.node).address(self.port)
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        with_effects(&self.inner, |net, now, effects| {
            let key = (self.node, self.port);
            if net.listeners.get(&key).is_none_or(|state| state.generation != self.generation) {
                return;
            }
            let Some(state) = net.listeners.remove(&key) else { return };
            for Waiting { slot, generation } in state.backlog {
                if let Some(conn) = net.conn(slot, generation) {
                    conn.ends[1].gone = true;
                    net.send_reset(slot, 1, now, effects);
                    net.reap(slot);
                }
            }
        });
    }
}
