//! Carries out the plan's faults, and takes them back.

use std::time::Duration;

use crate::check::Link;
use crate::check::disk_log::proved;
use crate::client::{Shared, lock};
use crate::cluster::Cluster;
use crate::plan::{Fault, TimedFault};
use crate::world::streams::Latency;
use crate::world::{DiskFaults, NodeId, World};

/// The nemesis of one run.
pub struct Nemesis {
    pub world: World,
    pub cluster: Cluster,
    pub shared: Shared,
    /// The delay of links that nothing is wrong with.
    pub usual: Latency,
}

impl Nemesis {
    /// Carries out all faults in order of time.
    pub async fn run(self, faults: Vec<TimedFault>) {
        for TimedFault { at_ms, for_ms, fault } in faults {
            let wait = (at_ms * 1_000_000).saturating_sub(self.world.now_ns());
            self.world.sleep(Duration::from_nanos(wait)).await;
            if self.shared.is_over() {
                return;
            }
            self.world.note(NodeId::SUPERVISOR, &format!("{fault:?} for {for_ms} ms"));
            self.carry_out(&fault, self.world.now_ns() + for_ms * 1_000_000);
        }
    }

    fn member(&self, number: u32) -> Option<NodeId> {
        if number == 0 { self.cluster.leader() } else { Some(NodeId(number)) }
    }

    fn carry_out(&self, fault: &Fault, until_ns: u64) {
        match *fault {
            Fault::Partition(bits) => {
                let (a, b): (Vec<_>, Vec<_>) =
                    self.cluster.members.iter().partition(|node| bits >> (node.0 - 1) & 1 == 1);
                self.cut(&a, &b, until_ns);
            }
            Fault::Isolate(number) => {
                let Some(one) = self.member(number) else { return };
                let others: Vec<NodeId> =
                    self.cluster.members.iter().copied().filter(|node| *node != one).collect();
                self.cut(&[one], &others, until_ns);
            }
            Fault::OneWay(from, to) if from != to => {
                let (from, to) = (NodeId(from), NodeId(to));
                self.link(from, to, Link::Cut);
                self.world.net().block(from, to);
                let shared = self.shared.clone();
                self.world.call_at(until_ns, move |world| {
                    world.net().unblock(from, to);
                    lock(&shared.checks).on_link(world.now_ns(), from.0, to.0, Link::Good);
                });
            }
            Fault::Kill(number) => {
                if let Some(node) = self.member(number) {
                    self.down(node, until_ns);
                    self.world.kill(node);
                }
            }
            Fault::PowerCut(number, None) => {
                self.down(NodeId(number), until_ns);
                self.world.power_cut(NodeId(number));
            }
            Fault::PowerCut(number, Some(operations)) => {
                self.down(NodeId(number), until_ns);
                self.world.disk(NodeId(number)).cut_after(operations);
            }
            Fault::PowerCutAll => {
                for node in &self.cluster.members {
                    self.down(*node, until_ns);
                    self.world.power_cut(*node);
                }
            }
            Fault::Pause(number) => {
                let Some(node) = self.member(number) else { return };
                self.well(node, false);
                self.world.pause(node);
                let shared = self.shared.clone();
                self.world.call_at(until_ns, move |world| {
                    world.resume(node);
                    lock(&shared.checks).on_node(world.now_ns(), node.0, true);
                });
            }
            Fault::ClockRate(number, ppm) => {
                let Some(node) = self.member(number) else { return };
                self.well(node, false);
                self.world.clock(node).set_rate_ppm(ppm);
            }
            Fault::ClockFreeze(number) => {
                let Some(node) = self.member(number) else { return };
                self.well(node, false);
                self.world.clock(node).set_rate_ppm(-990_000);
                self.world.call_at(until_ns, move |world| world.clock(node).set_rate_ppm(0));
            }
            Fault::ClockJump(number, forward_ms, wall_ms) => {
                let clock = self.world.clock(NodeId(number));
                clock.jump_forward(Duration::from_millis(forward_ms));
                clock.jump_wall(wall_ms * 1_000_000);
            }
            Fault::SlowDisk(number) => {
                let faults = DiskFaults {
                    operation: Latency::Exponential { min_ns: 50_000, mean_ns: 1_000_000 },
                    sync: Latency::Exponential { min_ns: 1_000_000, mean_ns: 30_000_000 },
                    stall_ppm: 5_000,
                    stall_ns: 700_000_000,
                    ..DiskFaults::default()
                };
                self.bad_disk(NodeId(number), faults, until_ns);
            }
            Fault::DiskError(number) => {
                let faults = DiskFaults { error_ppm: 5_000, sync_error_ppm: 20_000, ..DiskFaults::default() };
                self.bad_disk(NodeId(number), faults, until_ns);
            }
            Fault::FullDisk(number, room_bytes) => {
                let used = self.world.disk(NodeId(number)).used_bytes();
                let faults = DiskFaults { capacity_bytes: Some(used + room_bytes), ..DiskFaults::default() };
                self.bad_disk(NodeId(number), faults, until_ns);
            }
            Fault::BitRot(number, choice) => self.rot(NodeId(number), choice, until_ns),
            Fault::SlowLink(from, to) if from != to => {
                let (from, to) = (NodeId(from), NodeId(to));
                self.link(from, to, Link::Cut);
                let slow = Latency::Exponential { min_ns: 5_000_000, mean_ns: 60_000_000 };
                self.world.net().set_latency(from, to, slow);
                self.world.net().set_connect_loss_ppm(from, to, 300_000);
                let (shared, usual) = (self.shared.clone(), self.usual);
                self.world.call_at(until_ns, move |world| {
                    world.net().set_latency(from, to, usual);
                    world.net().set_connect_loss_ppm(from, to, 0);
                    lock(&shared.checks).on_link(world.now_ns(), from.0, to.0, Link::Good);
                });
            }
            Fault::Reset(a, b) => drop(self.world.net().reset_connections(NodeId(a), NodeId(b))),
            Fault::OneWay(..) | Fault::SlowLink(..) => {}
        }
    }

    fn bad_disk(&self, node: NodeId, faults: DiskFaults, until_ns: u64) {
        self.well(node, false);
        self.world.disk(node).set_faults(faults);
        let shared = self.shared.clone();
        self.world.call_at(until_ns, move |world| {
            world.disk(node).set_faults(DiskFaults::default());
            lock(&shared.checks).on_node(world.now_ns(), node.0, true);
        });
    }

    /// Damages bytes of one file that are proved durable, while the member is down. Where it may be taken
    /// for a torn tail it is left alone: that is beyond what a member can tell (docs/FORMAT.md).
    fn rot(&self, node: NodeId, choice: u64, until_ns: u64) {
        if !self.world.atlas().claim(node) {
            return;
        }
        // It may refuse to start, and so be unwell for good.
        self.well(node, false);
        self.cluster.start_at(node, until_ns);
        self.world.kill(node);
        let disk = self.world.disk(node);
        let files = disk.files();
        let Some(path) = files.get(choice as usize % files.len().max(1)) else { return };
        let Some(image) = disk.synced_image(path) else { return };
        let end = if path.ends_with(".log") { proved(path, &image) } else { image.len() };
        // Most of a small database's pages are free: one spot would rarely matter.
        let spots = if path.ends_with(".redb") { 64 } else { 1 };
        for spot in 0..spots {
            if end > 0 {
                let offset = (choice >> 16).wrapping_add(spot * 9973) % end as u64;
                self.world.note(node, &format!("a byte of {path} at {offset} rots"));
                disk.rot(path, offset, 1 << (choice >> 8 & 7));
            }
        }
    }

    fn link(&self, from: NodeId, to: NodeId, link: Link) {
        lock(&self.shared.checks).on_link(self.world.now_ns(), from.0, to.0, link);
    }

    fn well(&self, node: NodeId, is_well: bool) {
        lock(&self.shared.checks).on_node(self.world.now_ns(), node.0, is_well);
    }

    /// The member comes back at `until_ns`.
    fn down(&self, node: NodeId, until_ns: u64) {
        self.well(node, false);
        self.cluster.start_at(node, until_ns);
        let shared = self.shared.clone();
        self.world.call_at(until_ns, move |world| {
            lock(&shared.checks).on_node(world.now_ns(), node.0, true);
        });
    }

    fn cut(&self, a: &[NodeId], b: &[NodeId], until_ns: u64) {
        let pairs: Vec<(NodeId, NodeId)> =
            a.iter().flat_map(|a| b.iter().flat_map(move |b| [(*a, *b), (*b, *a)])).collect();
        for (from, to) in &pairs {
            self.link(*from, *to, Link::Cut);
        }
        self.world.net().partition(a, b);
        let (a, b, shared) = (a.to_vec(), b.to_vec(), self.shared.clone());
        self.world.call_at(until_ns, move |world| {
            world.net().heal_between(&a, &b);
            for (from, to) in &pairs {
                lock(&shared.checks).on_link(world.now_ns(), from.0, to.0, Link::Good);
            }
        });
    }
}

/// Takes back everything: links, clocks, disks, pauses. Dead members come back by themselves.
pub fn heal(shared: &Shared, cluster: &Cluster, usual: Latency) {
    let world = &shared.world;
    world.net().heal();
    // Faults that would have lasted longer tell of their end when it is over for long.
    for from in &cluster.members {
        for to in cluster.members.iter().filter(|to| *to != from) {
            lock(&shared.checks).on_link(world.now_ns(), from.0, to.0, Link::Good);
        }
    }
    world.net().set_latency_all(usual);
    world.net().set_connect_loss_all_ppm(0);
    world.set_buggify(false);
    for node in &cluster.members {
        world.resume(*node);
        world.clock(*node).set_rate_ppm(0);
        world.disk(*node).set_faults(DiskFaults::default());
        cluster.start_at(*node, 0);
    }
}
