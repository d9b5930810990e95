//! Snapshots: an O(1) view to send, and the durable checkpoint that openraft's "build" makes.

use std::io;
use std::sync::Arc;

use openraft::RaftSnapshotBuilder;

use super::config::{self, CommittedLeaderId, TypeConfig};
use super::machine::Shared;
use crate::runtime::Runtime;
use crate::state::{State, View};

pub(super) type SnapshotMeta = openraft::SnapshotMeta<CommittedLeaderId, u64, ()>;
pub(super) type Snapshot = openraft::Snapshot<CommittedLeaderId, u64, (), Box<SnapshotData>>;

/// The content of a snapshot. openraft gets it in a box: it is the largest thing in any of its commands, and
/// each of the many others would be moved about in as much room.
#[derive(Clone)]
pub struct SnapshotData {
    /// What is sent.
    pub(super) view: View,
    /// What was received, whole and verified, to be installed.
    pub(super) received: Option<State>,
}

impl SnapshotData {
    /// One to send, of which nothing is to be installed here.
    pub(super) fn to_send(view: View) -> Box<SnapshotData> {
        Box::new(SnapshotData { view, received: None })
    }
}

/// Makes the state durable: openraft's snapshot is our checkpoint, so nothing is purged that it
/// does not hold.
pub(super) struct Builder<R: Runtime> {
    shared: Arc<Shared<R>>,
}

impl<R: Runtime> Builder<R> {
    pub fn new(shared: Arc<Shared<R>>) -> Self {
        Builder { shared }
    }
}

impl<R: Runtime> RaftSnapshotBuilder<TypeConfig<R>> for Builder<R> {
    type SnapshotData = Box<SnapshotData>;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        // The lock comes first: a snapshot installed meanwhile must not be overwritten by an older view.
        let mut checkpoint = self.shared.checkpoint.lock().await;
        let (view, applied, meta, changes) = {
            let mut core = self.shared.core();
            (core.entries_since, core.bytes_since) = (0, 0);
            (core.state.view(), core.applied, core.snapshot_meta(), std::mem::take(&mut core.changes))
        };
        let Some(position) = applied else {
            // Nothing was ever applied, so nothing needs to be saved.
            return Ok(Snapshot { meta, snapshot: SnapshotData::to_send(view) });
        };
        let membership = config::encode_stored(&meta.last_membership);
        if planted!(PurgeBeforeCheckpoint) {
            self.shared.saved(position);
            return Ok(Snapshot { meta, snapshot: SnapshotData::to_send(view) });
        }
        if let Err(error) = checkpoint.save(&view, position, membership, changes).await {
            R::crash(&format!("the checkpoint at log index {} failed: {error}", position.index));
        }
        self.shared.saved(position);
        Ok(Snapshot { meta, snapshot: SnapshotData::to_send(view) })
    }
}
