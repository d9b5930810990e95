//! One simulated disk for each node: what was not synced may be lost, kept or torn when the power
//! is cut; names are lost without a sync of their folder; operations take time and may fail.

mod content;
mod control;
mod face;
#[cfg(test)]
mod tests;

pub use control::{DiskControl, DiskFaults};
pub use face::{SimBlockFile, SimDisk, SimFile};

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::node::Place;
use super::streams::Stream;
use super::trace::Kind;
use super::{Inner, NodeId, lock};
use content::{Content, Loss};

/// A file was synced; `image` is all that is durable of it now.
#[derive(Clone, Copy, Debug)]
pub struct SyncEvent<'a> {
    /// Whose disk.
    pub node: NodeId,
    /// Path in the data directory.
    pub path: &'a str,
    /// Everything durable of the file.
    pub image: &'a [u8],
}

/// A change of a name that its folder's sync has not made durable yet.
#[derive(Clone, Debug)]
enum NameChange {
    Set(String, usize),
    Remove(String),
    Rename(String, String, usize),
}

struct Medium {
    contents: Vec<Content>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    pending_names: Vec<NameChange>,
    faults: DiskFaults,
    operations: u64,
    /// The power goes once this many operations were begun.
    cut_at: Option<u64>,
    /// All operations fail until the node is started again.
    cut: bool,
    /// The incarnation that holds the lock.
    locked: Option<u32>,
    delays: Stream,
    errors: Stream,
    losses: Stream,
}

/// One node's disk.
pub(super) struct DiskNode {
    node: u32,
    medium: Mutex<Medium>,
}

impl DiskNode {
    pub fn new(inner: &Arc<Inner>, node: u32) -> Self {
        let stream = |label| inner.stream(label, node, 0, 0);
        let medium = Medium {
            contents: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            faults: inner.config.disk.clone(),
            operations: 0,
            cut_at: None,
            cut: false,
            locked: None,
            delays: stream("disk.delay"),
            errors: stream("disk.error"),
            losses: stream("disk.loss"),
        };
        DiskNode { node, medium: Mutex::new(medium) }
    }

    fn medium(&self) -> MutexGuard<'_, Medium> {
        lock(&self.medium)
    }

    /// Whether a cut inside an operation waits for the node's next yield.
    pub fn is_cut(&self) -> bool {
        self.medium().cut
    }

    pub fn node_started(&self, incarnation: u32) {
        let mut medium = self.medium();
        medium.cut = false;
        // A cut that was ordered before the first start waits for it.
        if incarnation > 1 {
            medium.cut_at = None;
        }
        medium.locked = None;
    }

    pub fn node_died(&self, power_cut: bool) {
        let mut medium = self.medium();
        medium.locked = None;
        if power_cut {
            medium.lose();
        }
    }

    /// Begins an operation: counts it, and fails it if the disk is cut or its owner is dead.
    fn begin(&self, inner: &Arc<Inner>, owner: Option<Place>, what: &str, path: &str) -> io::Result<()> {
        Self::owned(inner, owner)?;
        let place = inner.acting(self.node);
        let mut medium = self.medium();
        medium.operations += 1;
        if medium.cut_at.is_some_and(|at| medium.operations > at) && !medium.cut {
            medium.cut = true;
            inner.doom(place);
        }
        let dead = !inner.is_alive(place);
        inner.trace(Kind::Disk, self.node, &(what, path), |line| line.push_str(&format!("{what} {path}")));
        if medium.cut || (dead && place != Place::default()) {
            return Err(io::Error::other("the machine has no power"));
        }
        Ok(())
    }

    /// Fails if the program that opened the file is over.
    fn owned(inner: &Inner, owner: Option<Place>) -> io::Result<()> {
        if owner.is_some_and(|owner| !inner.is_alive(owner)) {
            return Err(io::Error::other("the program that opened it is over"));
        }
        Ok(())
    }

    /// The delay of an operation and whether it fails. Nothing is drawn for a program that is over: what
    /// a next incarnation meets does not depend on handles that nobody has let go of.
    fn delay(&self, inner: &Inner, owner: Option<Place>, sync: bool) -> io::Result<(u64, Option<io::Error>)> {
        Self::owned(inner, owner)?;
        let mut medium = self.medium();
        let medium = &mut *medium;
        let latency = if sync { medium.faults.sync } else { medium.faults.operation };
        let mut ns = latency.draw(&mut medium.delays);
        if medium.errors.chance_ppm(medium.faults.stall_ppm) {
            ns += medium.faults.stall_ns;
        }
        let ppm = if sync { medium.faults.sync_error_ppm } else { medium.faults.error_ppm };
        let failed = medium.errors.chance_ppm(ppm);
        Ok((ns, failed.then(|| io::Error::other("simulated I/O error"))))
    }
}

impl Medium {
    fn file(&self, path: &str) -> io::Result<usize> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("{path}: no such file"));
        self.names.get(path).copied().ok_or_else(missing)
    }

    fn used_bytes(&self) -> u64 {
        self.names.values().map(|id| self.contents[*id].length()).sum()
    }

    /// No files, and nothing on its way. Numbers of contents stay, so that old handles write into
    /// nowhere.
    fn wipe(&mut self) {
        self.names.clear();
        self.durable_names.clear();
        self.pending_names.clear();
    }

    fn fail_sync(&mut self, id: usize) {
        self.contents[id].fail_sync(&mut self.losses);
    }

    /// The power is gone: what was not synced meets its fate.
    fn lose(&mut self) {
        let loss = match self.losses.below(4) {
            0 => Loss::All,
            1 => Loss::None,
            _ => Loss::Some,
        };
        for content in &mut self.contents {
            content.lose(loss, &mut self.losses);
        }
        for change in std::mem::take(&mut self.pending_names) {
            let kept = match loss {
                Loss::All => false,
                Loss::None => true,
                Loss::Some => self.losses.coin(),
            };
            if kept {
                apply(&mut self.durable_names, change);
            }
        }
        self.names = self.durable_names.clone();
    }

    /// Makes the names of one folder durable.
    fn sync_names(&mut self, folder: &str) {
        let inside = |path: &str| path.rsplit_once('/').map_or("", |(folder, _)| folder) == folder;
        let (synced, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending_names).into_iter().partition(|change| match change {
                NameChange::Set(path, _) | NameChange::Remove(path) => inside(path),
                NameChange::Rename(from, to, _) => inside(from) || inside(to),
            });
        for change in synced {
            apply(&mut self.durable_names, change);
        }
        self.pending_names = rest;
    }

    fn rename(&mut self, change: NameChange) {
        apply(&mut self.names, change.clone());
        self.pending_names.push(change);
    }
}

fn apply(names: &mut BTreeMap<String, usize>, change: NameChange) {
    match change {
        NameChange::Set(path, id) => drop(names.insert(path, id)),
        NameChange::Remove(path) => drop(names.remove(&path)),
        NameChange::Rename(from, to, id) => {
            names.remove(&from);
            names.insert(to, id);
        }
    }
}
