//! The hand on the network: cuts, heals, delays, resets.

use std::sync::Arc;

use super::{NetState, with_effects};
use crate::world::streams::Latency;
use crate::world::trace::Kind;
use crate::world::{Inner, NodeId};

/// Counts since the start of the world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetStats {
    /// Connections made.
    pub connections: u64,
    /// Segments delivered.
    pub deliveries: u64,
    /// Bytes delivered.
    pub bytes: u64,
}

/// The hand on the network.
pub struct NetControl {
    pub(in crate::world) inner: Arc<Inner>,
}

impl NetControl {
    fn fault(&self, what: &'static str, nodes: &[&[NodeId]], act: impl FnOnce(&mut NetState)) {
        act(&mut self.inner.net());
        self.inner.trace(Kind::Fault, 0, &(what, nodes), |line| {
            line.push_str(&format!("{what} {nodes:?}"));
        });
    }

    fn revive(&self) {
        with_effects(&self.inner, |net, now, effects| net.revive(now, effects));
    }

    /// Cuts one direction between two machines. A machine is never cut from itself.
    pub fn block(&self, from: NodeId, to: NodeId) {
        self.fault("block", &[&[from], &[to]], |net| set_blocked(net, from, to, true));
    }

    /// Opens one direction again.
    pub fn unblock(&self, from: NodeId, to: NodeId) {
        self.fault("unblock", &[&[from], &[to]], |net| set_blocked(net, from, to, false));
        self.revive();
    }

    /// Cuts both directions between every machine of `a` and every machine of `b`.
    pub fn partition(&self, a: &[NodeId], b: &[NodeId]) {
        self.fault("partition", &[a, b], |net| {
            each_pair(a, b, |a, b| {
                set_blocked(net, a, b, true);
                set_blocked(net, b, a, true);
            });
        });
    }

    /// Cuts only the way from `from` to `to`.
    pub fn partition_one_way(&self, from: &[NodeId], to: &[NodeId]) {
        self.fault("partition one way", &[from, to], |net| {
            each_pair(from, to, |from, to| set_blocked(net, from, to, true));
        });
    }

    /// Cuts one machine from all others, both ways.
    pub fn isolate(&self, node: NodeId) {
        let others = self.machines().into_iter().filter(|other| *other != node).collect::<Vec<_>>();
        self.partition(&[node], &others);
    }

    /// Opens every link.
    pub fn heal(&self) {
        self.fault("heal", &[], |net| {
            net.links.iter_mut().flatten().for_each(|link| link.blocked = false);
        });
        self.revive();
    }

    /// Opens both directions between every machine of `a` and every machine of `b`.
    pub fn heal_between(&self, a: &[NodeId], b: &[NodeId]) {
        self.fault("heal between", &[a, b], |net| {
            each_pair(a, b, |a, b| {
                set_blocked(net, a, b, false);
                set_blocked(net, b, a, false);
            });
        });
        self.revive();
    }

    /// Whether the direction is cut.
    pub fn is_blocked(&self, from: NodeId, to: NodeId) -> bool {
        self.inner.net().link(from.0, to.0).blocked
    }

    /// Sets the one-way delay of one direction; what is on the way keeps its time and its order.
    pub fn set_latency(&self, from: NodeId, to: NodeId, latency: Latency) {
        self.fault("latency", &[&[from], &[to]], |net| net.link(from.0, to.0).latency = latency);
    }

    /// Sets the one-way delay of every link but the loop-backs, also for machines added later.
    pub fn set_latency_all(&self, latency: Latency) {
        self.fault("latency", &[], |net| {
            net.latency = latency;
            each_link(net, |link| link.latency = latency);
        });
    }

    /// Chance that a connection attempt over this direction is lost (and retried after 1 s, 2 s,
    /// ...).
    pub fn set_connect_loss_ppm(&self, from: NodeId, to: NodeId, ppm: u32) {
        self.fault("connect loss", &[&[from], &[to]], |net| net.link(from.0, to.0).connect_loss_ppm = ppm);
    }

    /// The same for every link.
    pub fn set_connect_loss_all_ppm(&self, ppm: u32) {
        self.fault("connect loss", &[], |net| each_link(net, |link| link.connect_loss_ppm = ppm));
    }

    /// Limits one direction to so many bytes a second; `None` lifts the limit.
    pub fn set_bandwidth(&self, from: NodeId, to: NodeId, bytes_per_s: Option<u64>) {
        self.fault("bandwidth", &[&[from], &[to]], |net| net.link(from.0, to.0).bandwidth = bytes_per_s);
    }

    /// Chance that a read gives only a few of the bytes that are there.
    pub fn set_short_reads_ppm(&self, ppm: u32) {
        self.fault("short reads", &[], |net| net.short_reads_ppm = ppm);
    }

    /// Resets every connection between two machines, at both ends, at once. How many there were.
    pub fn reset_connections(&self, a: NodeId, b: NodeId) -> usize {
        with_effects(&self.inner, |net, _, effects| {
            let mut count = 0;
            for slot in 0..net.conns.len() {
                let Some(conn) = net.conns[slot].as_deref_mut() else { continue };
                let ends = (conn.ends[0].node, conn.ends[1].node);
                if ends != (a.0, b.0) && ends != (b.0, a.0) {
                    continue;
                }
                count += 1;
                for side in 0..2 {
                    conn.ends[side].reset = true;
                    conn.pipes[side].purge();
                    effects.wake(&mut conn.pipes[side].read_waker);
                    effects.wake(&mut conn.pipes[side].write_waker);
                }
            }
            effects.traced.push((0, Kind::Fault, [u64::from(a.0), u64::from(b.0), count as u64, 0]));
            count
        })
    }

    /// Connections that have at least one living end.
    pub fn open_connections(&self) -> usize {
        self.inner.net().conns.iter().flatten().count()
    }

    /// Counts since the start.
    pub fn stats(&self) -> NetStats {
        self.inner.net().stats
    }

    fn machines(&self) -> Vec<NodeId> {
        (1..self.inner.net().hosts.len() as u32).map(NodeId).collect()
    }
}

fn set_blocked(net: &mut NetState, from: NodeId, to: NodeId, blocked: bool) {
    if from != to {
        net.link(from.0, to.0).blocked = blocked;
    }
}

fn each_pair(a: &[NodeId], b: &[NodeId], mut act: impl FnMut(NodeId, NodeId)) {
    for a in a {
        for b in b {
            act(*a, *b);
        }
    }
}

fn each_link(net: &mut NetState, act: impl Fn(&mut super::Link)) {
    for (from, row) in net.links.iter_mut().enumerate() {
        row.iter_mut().enumerate().filter(|(to, _)| *to != from).for_each(|(_, link)| act(link));
    }
}
