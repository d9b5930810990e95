//! One file's bytes: what is durable, what is there now, and what lies between.

use std::sync::Arc;

use crate::world::streams::Stream;

const SECTOR_BYTES: usize = 512;

/// What happens to unsynced changes when the power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// All are lost.
    All,
    /// All are kept.
    None,
    /// Each sector of each write, and each change of length, is lost or kept.
    Some,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, length: usize },
    Length(usize),
}

/// A file.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    /// Shared with whoever looks at it during a sync, and with nobody otherwise.
    durable: Arc<Vec<u8>>,
    now: Vec<u8>,
    pending: Vec<(Change, Vec<u8>)>,
}

impl Content {
    pub fn length(&self) -> u64 {
        self.now.len() as u64
    }

    pub fn durable(&self) -> &Arc<Vec<u8>> {
        &self.durable
    }

    /// Damages durable bytes at rest.
    pub fn rot(&mut self, offset: usize, mask: u8) {
        for bytes in [Arc::make_mut(&mut self.durable), &mut self.now] {
            if let Some(byte) = bytes.get_mut(offset) {
                *byte ^= mask;
            }
        }
    }

    pub fn read(&self, offset: u64, length: usize) -> &[u8] {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.now.len());
        &self.now[start..self.now.len().min(start.saturating_add(length))]
    }

    pub fn write(&mut self, offset: u64, data: &[u8]) {
        let offset = usize::try_from(offset).expect("simulated files are small");
        write(&mut self.now, offset, data);
        self.pending.push((Change::Write { offset, length: data.len() }, data.to_vec()));
    }

    pub fn set_length(&mut self, length: u64) {
        let length = usize::try_from(length).expect("simulated files are small");
        self.now.resize(length, 0);
        self.pending.push((Change::Length(length), Vec::new()));
    }

    pub fn sync(&mut self) {
        let durable = Arc::make_mut(&mut self.durable);
        for (change, data) in std::mem::take(&mut self.pending) {
            match change {
                Change::Write { offset, .. } => write(durable, offset, &data),
                Change::Length(length) => durable.resize(length, 0),
            }
        }
    }

    /// A sync failed: each sector was written or not, and nothing is left to write. What was not is
    /// still shown, until the power is cut. The length is the file system's own affair and is kept.
    pub fn fail_sync(&mut self, stream: &mut Stream) {
        self.settle(Loss::Some, true, stream);
    }

    /// The power is cut.
    pub fn lose(&mut self, loss: Loss, stream: &mut Stream) {
        self.settle(loss, false, stream);
        self.now.clone_from(&self.durable);
    }

    /// Whether nothing was ever written to it but zeros.
    pub fn is_blank(&self) -> bool {
        self.now.iter().all(|byte| *byte == 0)
    }

    /// Whether a power cut would leave what is shown now.
    pub fn is_durable(&self) -> bool {
        self.pending.is_empty() && self.now == *self.durable
    }

    fn settle(&mut self, loss: Loss, keeps_length: bool, stream: &mut Stream) {
        let durable = Arc::make_mut(&mut self.durable);
        for (change, data) in std::mem::take(&mut self.pending) {
            let keep = |stream: &mut Stream| match loss {
                Loss::All => false,
                Loss::None => true,
                Loss::Some => stream.coin(),
            };
            match change {
                Change::Length(length) => {
                    if keeps_length || keep(stream) {
                        durable.resize(length, 0);
                    }
                }
                Change::Write { offset, length } => {
                    let mut at = 0;
                    while at < length {
                        // Sectors begin at multiples of their size in the file.
                        let end = length.min(at + SECTOR_BYTES - (offset + at) % SECTOR_BYTES);
                        if keep(stream) {
                            write(durable, offset + at, &data[at..end]);
                        }
                        at = end;
                    }
                }
            }
        }
    }
}

fn write(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if bytes.len() < offset + data.len() {
        bytes.resize(offset + data.len(), 0);
    }
    bytes[offset..offset + data.len()].copy_from_slice(data);
}
