//! The world's hand on a disk: delays, errors, cuts, rot, and what is durable.

use std::sync::Arc;

use super::DiskNode;
use crate::world::Inner;
use crate::world::streams::Latency;

/// Delays and faults of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskFaults {
    /// Time of reads, writes and operations on names.
    pub operation: Latency,
    /// Time of a sync.
    pub sync: Latency,
    /// Chance that an operation other than a sync fails.
    pub error_ppm: u32,
    /// Chance that a sync fails.
    pub sync_error_ppm: u32,
    /// Chance that an operation takes `stall_ns` longer.
    pub stall_ppm: u32,
    /// Length of a stall.
    pub stall_ns: u64,
    /// Writes beyond this many bytes fail: the disk is full.
    pub capacity_bytes: Option<u64>,
}

impl Default for DiskFaults {
    fn default() -> Self {
        DiskFaults {
            operation: Latency::uniform_us(5, 50),
            sync: Latency::uniform_us(100, 2000),
            error_ppm: 0,
            sync_error_ppm: 0,
            stall_ppm: 0,
            stall_ns: 0,
            capacity_bytes: None,
        }
    }
}

/// The hand on one node's disk.
pub struct DiskControl {
    pub(in crate::world) disk: Arc<DiskNode>,
    pub(in crate::world) inner: Arc<Inner>,
}

impl DiskControl {
    /// Replaces delays and faults.
    pub fn set_faults(&self, faults: DiskFaults) {
        self.disk.medium().faults = faults;
    }

    /// Delays and faults now.
    pub fn faults(&self) -> DiskFaults {
        self.disk.medium().faults.clone()
    }

    /// Cuts the machine's power once `operations` more were begun.
    pub fn cut_after(&self, operations: u64) {
        let mut medium = self.disk.medium();
        medium.cut_at = Some(medium.operations + operations);
    }

    /// Operations begun so far.
    pub fn operations(&self) -> u64 {
        self.disk.medium().operations
    }

    /// What is durable of a file, if its name is.
    pub fn synced_image(&self, path: &str) -> Option<Vec<u8>> {
        let medium = self.disk.medium();
        let id = medium.durable_names.get(path)?;
        Some(medium.contents[*id].durable().to_vec())
    }

    /// The files there are now.
    pub fn files(&self) -> Vec<String> {
        self.disk.medium().names.keys().cloned().collect()
    }

    /// The files that a power cut would change now: their name or their bytes. Files that hold nothing
    /// have nothing to lose.
    pub fn at_risk(&self) -> Vec<String> {
        let medium = self.disk.medium();
        let kept = |(name, id): &(&String, &usize)| {
            let content = &medium.contents[**id];
            content.is_blank() || (medium.durable_names.get(*name) == Some(*id) && content.is_durable())
        };
        medium.names.iter().filter(|file| !kept(file)).map(|(name, _)| name.clone()).collect()
    }

    /// Bytes of all files there are now.
    pub fn used_bytes(&self) -> u64 {
        self.disk.medium().used_bytes()
    }

    /// A new disk in the place of the old one: no files.
    pub fn wipe(&self) {
        self.disk.medium().wipe();
    }

    /// Flips bits of one byte at rest. False when there is no such file.
    pub fn rot(&self, path: &str, offset: u64, mask: u8) -> bool {
        let mut medium = self.disk.medium();
        let Some(id) = medium.names.get(path).copied() else { return false };
        medium.contents[id].rot(usize::try_from(offset).unwrap_or(usize::MAX), mask);
        true
    }

    /// The seed of the world this disk belongs to.
    pub fn seed(&self) -> u64 {
        self.inner.seed
    }
}
