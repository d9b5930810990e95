//! A checkpoint from a damaged image is a state that was saved, or a named refusal.
//!
//! Never a panic, never a state that nobody saved; and its dump says what it can.

use std::collections::BTreeMap;

use bytes::Bytes;
use etched::checkpoint::{Changes, Checkpoint, CheckpointError, DIRECTORY, FILE, Loaded, read_rows};
use etched::runtime::memory::{Memory, MemoryDisk};
use etched::runtime::{Disk, OpenMode};
use etched::types::{Digest, LogPosition, Revision};
use etched_testkit::generate::{Generator, Hint, Weights};

use super::Input;
use super::damage::damage;
use super::image::{in_memory, read, write};
use super::store::Store;

/// Digests by applied index.
type Saved = BTreeMap<u64, Digest>;

/// One input: the work that makes a checkpoint, then the damage.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let disk = MemoryDisk::default();
    let saved = in_memory(make(&disk, &mut input));
    let good = in_memory(read(&disk, DIRECTORY));
    let mut bad = good.clone();
    damage(&mut bad, &mut input);
    let (disk, copy) = (MemoryDisk::default(), MemoryDisk::default());
    in_memory(write(&disk, DIRECTORY, &bad));
    in_memory(write(&copy, DIRECTORY, &bad));
    dump(&copy);
    match in_memory(open(&disk)) {
        Ok((_, None)) => assert!(!bad.contains_key(FILE), "a checkpoint that is there was not seen"),
        Ok((_, Some(loaded))) => {
            assert_eq!(saved.get(&loaded.applied.index), Some(&loaded.state.digest()), "nobody saved that");
            assert_eq!(loaded.state.digest(), loaded.state.recompute_digest());
        }
        Err(refusal) => {
            let refusal = refusal.to_string();
            assert!(!refusal.is_empty() && !refusal.contains('\n'), "a refusal is one line: {refusal:?}");
            assert!(good != bad, "a good checkpoint was refused: {refusal}");
        }
    }
}

async fn open(disk: &MemoryDisk) -> Result<(Checkpoint<Memory>, Option<Loaded>), CheckpointError> {
    Checkpoint::<Memory>::open(disk.clone()).await
}

/// Some saves with requests between them.
async fn make(disk: &MemoryDisk, input: &mut Input<'_>) -> Saved {
    let (mut checkpoint, _) = open(disk).await.expect("a new checkpoint opens");
    let weights = Weights { compact: input.below(20) as u32, ..Weights::default() };
    let mut generator = Generator::from_seed(input.half().into(), weights);
    let (mut store, mut saved, mut removed) = (Store::default(), Saved::new(), Vec::<Revision>::new());
    let mut applied = LogPosition::default();
    for _ in 0..1 + input.below(4) {
        for _ in 0..input.below(64) {
            let view = store.state.view();
            let hint = Hint {
                revision: view.revision(),
                compact_revision: view.compact_revision(),
                leases: Vec::new(),
            };
            drop(store.answer(&generator.request(&hint)));
            applied.index += 1;
        }
        removed.extend(store.state.remove_some(input.below(32)).removed);
        let leases = store.state.take_touched_leases().into_iter().collect();
        let gone = Changes { removed: std::mem::take(&mut removed), leases };
        let membership = Bytes::from_static(b"members");
        checkpoint.save(&store.state.view(), applied, membership, gone).await.expect("the disk is good");
        saved.insert(applied.index, store.state.digest());
    }
    saved
}

/// Reads row by row, damaged or not; the database may repair itself in the copy.
fn dump(disk: &MemoryDisk) {
    let folder = disk.subdirectory(DIRECTORY);
    let Ok(file) = folder.block_file(FILE, OpenMode::Read) else { return };
    if let Err(error) = read_rows(file, |_| {}) {
        assert!(!error.to_string().is_empty());
    }
}

/// Work, and one of each kind of damage.
pub fn seeds() -> Vec<Vec<u8>> {
    let work = [3, 1, 2, 2, 40, 9, 30, 20, 50, 5];
    (0..12u8).map(|kind| [&work[..], &[0, 0, kind, 1, 100, 1, 3, 0, 7]].concat()).collect()
}
