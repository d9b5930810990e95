//! After a sync that failed. The operating system forgets pages that it could not write: it goes on
//! showing them, and a later sync succeeds without them. So the file is marked, and whoever opens it
//! next makes a copy durable before anything relies on it.
//!
//! The mark needs no sync: it lives as long as the cache that it warns of.

use crate::runtime::{BlockFile, Disk, OpenMode, Runtime};

use super::{CheckpointError, FILE, NEXT_FILE};

/// The mark's name.
pub(super) const MARK: &str = "suspect";
/// Bytes that are copied at a time.
const PIECE_BYTES: u64 = 1024 * 1024;

/// Marks the files of `folder`. If that fails as well, the medium takes nothing any more.
pub(super) fn mark<R: Runtime>(folder: &R::Disk) {
    if planted!(FailedSyncTrusted) {
        return;
    }
    if let Err(error) = folder.block_file(MARK, OpenMode::Create) {
        tracing::warn!(%error, "the checkpoint could not be marked after a failed sync");
    }
}

/// Puts a durable copy in the place of the checkpoint; its name is durable after the folder's sync.
pub(super) async fn copy<R: Runtime>(folder: &R::Disk) -> Result<(), CheckpointError> {
    tracing::warn!("a sync of the checkpoint failed before: it is copied first");
    let from = folder.clone();
    let copied = R::spawn_blocking("checkpoint", move || {
        let failed = |error| CheckpointError::io(FILE, error);
        let old = from.block_file(FILE, OpenMode::Read).map_err(failed)?;
        let new = from.block_file(NEXT_FILE, OpenMode::CreateNew).map_err(failed)?;
        let length = old.len().map_err(failed)?;
        new.set_len(length).map_err(failed)?;
        let mut at = 0;
        while at < length {
            let mut piece = vec![0; (length - at).min(PIECE_BYTES) as usize];
            old.read_exact_at(at, &mut piece).map_err(failed)?;
            new.write_all_at(at, &piece).map_err(failed)?;
            at += piece.len() as u64;
        }
        new.sync().map_err(failed)
    });
    copied.await.map_err(|_| CheckpointError::Stopped)??;
    folder.rename(NEXT_FILE, FILE).await.map_err(|error| CheckpointError::io(FILE, error))
}
