//! The checkpoint: the state on disk, written behind, so that the log can be purged.
//!
//! A redb database keyed by revision (`database.rs` has the rules of its rows). It is only ever
//! created whole: built beside under another name, synced, renamed; so a file under its right name
//! is always complete. An installed snapshot takes the same way.

mod database;
mod error;
mod guard;
mod rows;
mod suspect;

pub use error::CheckpointError;
pub use rows::{Row, read_rows};

use std::sync::Arc;

use bytes::Bytes;
use database::Finish;
use guard::{Open, guarded};

use crate::codec::meta::Meta;
use crate::runtime::{Disk, Observation, OpenMode, Runtime};
use crate::state::{State, View};
use crate::types::{LeaseId, LogPosition, Revision};

/// The folder of the checkpoint inside a data directory.
pub const DIRECTORY: &str = "checkpoint";
/// The database in that folder.
pub const FILE: &str = "state.redb";
const NEXT_FILE: &str = "next.redb";

/// The checkpoint of one data directory. After an error the node must stop and recover by opening
/// it again.
#[derive(Debug)]
pub struct Checkpoint<R: Runtime> {
    disk: R::Disk,
    stand: Stand,
}

#[derive(Debug)]
enum Stand {
    /// Nothing was ever saved.
    Empty,
    /// Saved up to and including this main revision.
    Saved(Arc<Open>, i64),
    /// A write was cut off or failed.
    Broken,
}

/// What changed beside new records from the view of the last save up to the view to be saved, and
/// nothing later.
#[derive(Debug, Default)]
pub struct Changes {
    /// All that `State::remove_some` reported.
    pub removed: Vec<Revision>,
    /// All that `State::take_touched_leases` gave, in any order, repeated or not.
    pub leases: Vec<LeaseId>,
}

impl Changes {
    fn against(mut self, view: &View) -> Finish {
        self.removed.sort_unstable();
        self.leases.sort_unstable();
        self.leases.dedup();
        let now = |id: LeaseId| (id, view.leases().get(id).map(|lease| lease.record(id)));
        Finish { removed: self.removed, leases: self.leases.into_iter().map(now).collect() }
    }
}

/// What a checkpoint held when it was opened.
#[derive(Debug)]
pub struct Loaded {
    /// The state.
    pub state: State,
    /// The last entry applied to it.
    pub applied: LogPosition,
    /// The membership in force there, encoded.
    pub membership: Bytes,
}

impl<R: Runtime> Checkpoint<R> {
    /// Opens the checkpoint in folder [`DIRECTORY`] of the data directory `disk` and loads it.
    pub async fn open(disk: R::Disk) -> Result<(Checkpoint<R>, Option<Loaded>), CheckpointError> {
        let folder = disk.subdirectory(DIRECTORY);
        let failed = |error| CheckpointError::io(DIRECTORY, error);
        disk.create_dir(DIRECTORY).await.map_err(failed)?;
        disk.sync_dir("").await.map_err(failed)?;
        let names = folder.list("").await.map_err(failed)?;
        let has = |name: &str| names.iter().any(|other| other == name);
        if has(NEXT_FILE) {
            folder.remove(NEXT_FILE).await.map_err(|error| CheckpointError::io(NEXT_FILE, error))?;
        }
        if !has(FILE) {
            return Ok((Checkpoint { disk: folder, stand: Stand::Empty }, None));
        }
        if has(suspect::MARK) {
            suspect::copy::<R>(&folder).await?;
        }
        // The last program may have ended between the rename and the folder's sync, or because of it.
        if !planted!(RenameTrusted) {
            folder.sync_dir("").await.map_err(failed)?;
        }
        if has(suspect::MARK) {
            folder.remove(suspect::MARK).await.map_err(failed)?;
        }
        let disk = folder.clone();
        let opened = R::spawn_blocking("checkpoint", move || {
            guarded(|| {
                let database = open_file::<R>(&disk, FILE, OpenMode::Write)?;
                Ok((database::load(&database)?, database))
            })
        });
        let (content, database) = opened.await.map_err(|_| CheckpointError::Stopped)??;
        let Some(database::Content { meta, state }) = content else {
            return Err(CheckpointError::Count { recorded: 1, found: 0 });
        };
        let stand = Stand::Saved(Arc::new(database), meta.state.revision);
        let Meta { applied, membership, .. } = meta;
        Ok((Checkpoint { disk: folder, stand }, Some(Loaded { state, applied, membership })))
    }

    /// Saves what changed since the last save: the records of `view` after the last saved revision,
    /// without `changes.removed`, and `changes.leases`. Durable on return, and atomic: after a crash it
    /// is there or not.
    pub async fn save(
        &mut self,
        view: &View,
        applied: LogPosition,
        membership: Bytes,
        changes: Changes,
    ) -> Result<(), CheckpointError> {
        let (database, saved) = match std::mem::replace(&mut self.stand, Stand::Broken) {
            Stand::Empty => return self.rebuild(view, applied, membership).await,
            Stand::Saved(database, saved) => (database, saved),
            Stand::Broken => return Err(CheckpointError::Stopped),
        };
        let meta = Meta { applied, membership, state: view.meta(), rows: 0 };
        let (writer, from) = (database.clone(), view.clone());
        let work = R::spawn_blocking("checkpoint", move || {
            guarded(|| {
                if planted!(AppliedIndexApart) {
                    database::save_applied_apart(&writer, &meta)?;
                }
                let finish = changes.against(&from);
                database::save(&writer, from.held(saved.saturating_add(1)), &finish, meta)
            })
        });
        work.await.map_err(|_| CheckpointError::Stopped)??;
        self.stand = Stand::Saved(database, view.revision());
        observe::<R>(view, applied);
        Ok(())
    }

    /// Replaces everything by `view`, for example by an installed snapshot. Durable on return, and
    /// atomic: after a crash there is the old checkpoint or the new one.
    pub async fn replace(
        &mut self,
        view: &View,
        applied: LogPosition,
        membership: Bytes,
    ) -> Result<(), CheckpointError> {
        match std::mem::replace(&mut self.stand, Stand::Broken) {
            Stand::Empty => {}
            Stand::Saved(old, _) => {
                // Closed before its name is taken over.
                let closed = R::spawn_blocking("checkpoint", move || drop(old));
                closed.await.map_err(|_| CheckpointError::Stopped)?;
            }
            Stand::Broken => return Err(CheckpointError::Stopped),
        }
        self.rebuild(view, applied, membership).await
    }

    /// Builds a whole database beside the old one and takes over its name.
    async fn rebuild(
        &mut self,
        view: &View,
        applied: LogPosition,
        membership: Bytes,
    ) -> Result<(), CheckpointError> {
        let meta = Meta { applied, membership, state: view.meta(), rows: 0 };
        let (disk, from) = (self.disk.clone(), view.clone());
        let built = R::spawn_blocking("checkpoint", move || {
            let database = open_file::<R>(&disk, NEXT_FILE, OpenMode::CreateNew)?;
            let leases = from.lease_records().map(|lease| (lease.id, Some(lease))).collect();
            database::save(&database, from.held(0), &Finish { leases, ..Finish::default() }, meta)
        });
        built.await.map_err(|_| CheckpointError::Stopped)??;
        let failed = |error| CheckpointError::io(FILE, error);
        self.disk.rename(NEXT_FILE, FILE).await.map_err(failed)?;
        self.disk.sync_dir("").await.map_err(failed)?;
        let disk = self.disk.clone();
        let opened = R::spawn_blocking("checkpoint", move || open_file::<R>(&disk, FILE, OpenMode::Write));
        let database = opened.await.map_err(|_| CheckpointError::Stopped)??;
        self.stand = Stand::Saved(Arc::new(database), view.revision());
        observe::<R>(view, applied);
        Ok(())
    }
}

fn open_file<R: Runtime>(disk: &R::Disk, name: &str, mode: OpenMode) -> Result<Open, CheckpointError> {
    let file = disk.block_file(name, mode).map_err(|error| CheckpointError::io(name, error))?;
    let folder = disk.clone();
    database::open(file, move || suspect::mark::<R>(&folder)).map(Open::new)
}

fn observe<R: Runtime>(view: &View, position: LogPosition) {
    if R::observing() {
        R::observe(Observation::Checkpointed { position, digest: view.digest() });
    }
}

#[cfg(test)]
mod tests;
