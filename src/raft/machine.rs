//! openraft's state machine over ours: applies committed batches in log order, and is the one owner
//! of the state.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend};

use super::applied::Applied as AppliedIndex;
use super::config::{self, Entry, LogId, Nothing, StoredMembership, TypeConfig};
use super::snapshot::{Builder, Snapshot, SnapshotData, SnapshotMeta};
use crate::checkpoint::{Changes, Checkpoint};
use crate::codec::envelope;
use crate::codec::log::fingerprint;
use crate::runtime::channel::{Notify, watch as follow};
use crate::runtime::{Observation, Runtime, catch, lock, yield_now};
use crate::state::{Applied, State, View};
use crate::types::{Command, Envelope, Error, LogPosition, RequestId, Response};

/// One applied command.
#[derive(Debug)]
pub struct AppliedEntry {
    /// Its place in the log.
    pub position: LogPosition,
    /// The request it answers.
    pub request_id: RequestId,
    /// What it did.
    pub applied: Applied,
}

/// Who hears of applied batches: the node. Called in log order, from one task at a time.
pub trait ApplySink: Send + Sync + 'static {
    /// A batch was applied and `view` is the state after it.
    fn applied(&self, batch: Vec<AppliedEntry>, view: View);
    /// A snapshot replaced the state, or removal freed some of it: `view` is what it is now.
    fn installed(&self, view: View);
}

/// Entries applied before a view is published.
const BATCH: usize = 1024;

/// When a checkpoint is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Applied entries since the last.
    pub entries: u64,
    /// Payload bytes applied since the last.
    pub bytes: u64,
}

/// What machine, checkpoints, snapshots and removal share.
pub(super) struct Core {
    pub state: State,
    pub applied: Option<LogPosition>,
    pub membership: StoredMembership,
    /// Records removed and leases touched since the last checkpoint.
    pub changes: Changes,
    /// Entries and payload bytes applied since the last checkpoint.
    pub entries_since: u64,
    pub bytes_since: u64,
    /// Whether compaction left records to remove.
    pub removing: bool,
    /// What the checkpoint held at the start, until openraft runs: entries that are applied again
    /// during recovery are not in it, and must not be purged as if they were.
    pub recovered: Option<SnapshotMeta>,
}

/// The machine's shared part; clones are handles.
pub(super) struct Shared<R: Runtime> {
    core: Mutex<Core>,
    /// Held from a change of the state until the sink has it, so that no older view can follow a
    /// newer one. Locked before `core`.
    publishing: Mutex<()>,
    pub sink: Arc<dyn ApplySink>,
    /// Locked before `core`, and across a save: one writer at a time.
    pub checkpoint: tokio::sync::Mutex<Checkpoint<R>>,
    /// Rings when a checkpoint is due.
    pub due: Notify,
    /// Rings when there is something to remove.
    pub compacted: Notify,
    limits: Limits,
    /// Index of the last applied entry, after it became visible.
    pub applied: AppliedIndex,
    /// The last position that a durable checkpoint holds; the log is purged only up to there.
    pub durable: follow::Sender<Option<LogPosition>>,
}

impl<R: Runtime> Shared<R> {
    pub fn new(core: Core, sink: Arc<dyn ApplySink>, checkpoint: Checkpoint<R>, limits: Limits) -> Arc<Self> {
        let applied = AppliedIndex::new(core.applied.map(|position| position.index));
        let (durable, _) = follow::channel(core.applied);
        Arc::new(Shared {
            core: Mutex::new(core),
            publishing: Mutex::new(()),
            sink,
            checkpoint: tokio::sync::Mutex::new(checkpoint),
            due: Notify::new(),
            compacted: Notify::new(),
            limits,
            applied,
            durable,
        })
    }

    /// openraft runs from here on: the state as it is now counts as a snapshot.
    pub fn started(&self) {
        self.core().recovered = None;
    }

    /// Notes that a checkpoint up to `position` is durable.
    pub fn saved(&self, position: LogPosition) {
        self.durable.send_if_modified(|durable| {
            let later = durable.is_none_or(|durable| durable.index < position.index);
            if later {
                *durable = Some(position);
            }
            later
        });
    }

    fn publishing(&self) -> MutexGuard<'_, ()> {
        lock(&self.publishing)
    }

    pub fn core(&self) -> MutexGuard<'_, Core> {
        lock(&self.core)
    }

    /// One step of background compaction over `records`; says whether more is left.
    pub fn remove_some(&self, records: usize) -> bool {
        let _publishing = self.publishing();
        let (view, more) = {
            let mut core = self.core();
            if !core.removing {
                return false;
            }
            let removal = core.state.remove_some(records);
            core.changes.removed.extend(removal.removed);
            core.removing = removal.more;
            (core.state.view(), removal.more)
        };
        // Readers let go of what was removed.
        self.sink.installed(view);
        more
    }
}

/// The state machine given to openraft.
pub(super) struct Machine<R: Runtime> {
    shared: Arc<Shared<R>>,
}

impl<R: Runtime> Machine<R> {
    pub fn new(shared: Arc<Shared<R>>) -> Self {
        Machine { shared }
    }

    /// Applies a few entries, shows them, and tells openraft.
    fn apply_batch(&self, batch: Vec<EntryResponder<TypeConfig<R>>>) {
        let _publishing = self.shared.publishing();
        let mut done = Vec::with_capacity(batch.len());
        let mut responders = Vec::with_capacity(batch.len());
        let mut observations = Vec::new();
        let (view, last) = {
            let mut core = self.shared.core();
            let compact_revision = core.state.compact_revision();
            for (entry, responder) in batch {
                responders.extend(responder);
                let hash = if R::observing() { hash_of(&entry) } else { 0 };
                let (position, applied) = apply::<R>(&mut core, entry);
                observations.push((
                    position,
                    hash,
                    applied.as_ref().map(|entry| entry.request_id),
                    core.state.revision(),
                ));
                done.extend(applied);
            }
            core.removing |= core.state.compact_revision() != compact_revision;
            let touched = core.state.take_touched_leases();
            core.changes.leases.extend(touched);
            self.ring(&core);
            (core.state.view(), core.applied)
        };
        if let Some(position) = last {
            R::observe(Observation::Committed(position));
        }
        self.observe(observations, &view);
        self.shared.sink.applied(done, view);
        if let Some(position) = last {
            self.shared.applied.advance(position.index);
        }
        for responder in responders {
            responder.send(Nothing);
        }
    }

    /// Wakes who has work after a batch.
    fn ring(&self, core: &Core) {
        let limits = self.shared.limits;
        if core.entries_since >= limits.entries || core.bytes_since >= limits.bytes {
            self.shared.due.notify_one();
        }
        if core.removing {
            self.shared.compacted.notify_one();
        }
    }

    fn observe(&self, applied: Vec<(LogPosition, u64, Option<RequestId>, i64)>, view: &View) {
        if !R::observing() {
            return;
        }
        let last = applied.len().saturating_sub(1);
        for (at, (position, hash, request_id, revision)) in applied.into_iter().enumerate() {
            let digest = (at == last).then(|| view.digest());
            R::observe(Observation::Applied { position, hash, request_id, revision, digest });
        }
    }
}

/// Applies one entry. Bytes that cannot be decoded were never proposed by this software, and a
/// panic means a state nobody knows: the node must not go on, and nothing of the batch is shown.
fn apply<R: Runtime>(core: &mut Core, entry: Entry) -> (LogPosition, Option<AppliedEntry>) {
    let position = config::position(&entry.log_id);
    let mut done = None;
    match entry.payload {
        EntryPayload::Blank => {}
        EntryPayload::Membership(membership) => {
            core.membership = StoredMembership::new(Some(entry.log_id), membership);
        }
        EntryPayload::Normal(proposal) => {
            let place = || format!("log entry {} of term {}", position.index, position.term);
            let decoded = envelope::decode(&proposal.0)
                .unwrap_or_else(|error| R::crash(&format!("{} cannot be applied: {error}", place())));
            let request_id = decoded.request_id;
            let compact_revision = core.state.compact_revision();
            let applied = catch(|| core.state.apply(&decoded))
                .unwrap_or_else(|_| R::crash(&format!("applying {} panicked ({request_id:?})", place())));
            if core.state.compact_revision() != compact_revision {
                R::observe(Observation::Compacted { revision: core.state.compact_revision() });
            }
            if R::observing() {
                observe_more::<R>(position, &decoded, &applied);
            }
            core.bytes_since += proposal.0.len() as u64;
            done = Some(AppliedEntry { position, request_id, applied });
        }
    }
    core.applied = Some(position);
    core.entries_since += 1;
    (position, done)
}

/// What checks cannot know from outside.
fn observe_more<R: Runtime>(position: LogPosition, envelope: &Envelope, applied: &Applied) {
    match (&envelope.command, &applied.response) {
        (Command::LeaseGrant { id, .. }, Ok(_)) => {
            R::observe(Observation::LeaseGranted { index: position.index, id: *id });
        }
        (_, Err(error @ (Error::AuthOldRevision | Error::UserEmpty))) => {
            R::observe(Observation::CallerRefused { index: position.index, error: *error });
        }
        (Command::LeaseTick(tick), Ok(Response::LeaseTick(response))) => {
            let known = tick.renewed.iter().zip(&response.ttls).filter(|(_, ttl)| **ttl > 0);
            R::observe(Observation::LeaseTicked {
                index: position.index,
                term: tick.term,
                clock_ms: tick.clock_ms,
                renewed: known.map(|(id, _)| *id).collect(),
                expired: response.expired.clone(),
            });
        }
        _ => {}
    }
}

impl Core {
    pub fn snapshot_meta(&self) -> SnapshotMeta {
        SnapshotMeta {
            last_log_id: self.applied.map(config::log_id),
            last_membership: self.membership.clone(),
        }
    }
}

fn hash_of(entry: &Entry) -> u64 {
    fingerprint(&config::log_entry(entry.clone())).hash
}

impl<R: Runtime> RaftStateMachine<TypeConfig<R>> for Machine<R> {
    type SnapshotData = Box<SnapshotData>;
    type SnapshotBuilder = Builder<R>;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let core = self.shared.core();
        Ok((core.applied.map(config::log_id), core.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig<R>>, io::Error>> + Unpin + OptionalSend,
    {
        let mut batch = Vec::new();
        while let Some(entry) = entries.next().await {
            batch.push(entry?);
            if batch.len() == BATCH {
                self.apply_batch(std::mem::take(&mut batch));
                // A long way to catch up must not keep everybody else waiting.
                yield_now().await;
            }
        }
        if !batch.is_empty() {
            self.apply_batch(batch);
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder<R> {
        Builder::new(self.shared.clone())
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, data: Box<SnapshotData>) -> io::Result<()> {
        let Some(state) = data.received else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a snapshot without a state"));
        };
        let Some(position) = meta.last_log_id.as_ref().map(config::position) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a snapshot of nothing"));
        };
        let (view, digest) = (state.view(), state.digest());
        let membership = config::encode_stored(&meta.last_membership);
        let mut checkpoint = self.shared.checkpoint.lock().await;
        if let Err(error) = checkpoint.replace(&view, position, membership).await {
            R::crash(&format!("the checkpoint cannot take the snapshot at {}: {error}", position.index));
        }
        self.shared.saved(position);
        let _publishing = self.shared.publishing();
        {
            let mut core = self.shared.core();
            core.state = state;
            core.applied = Some(position);
            core.membership = meta.last_membership.clone();
            core.changes = Changes::default();
            (core.entries_since, core.bytes_since) = (0, 0);
            core.removing = false;
        }
        R::observe(Observation::SnapshotInstalled { position, digest });
        self.shared.sink.installed(view);
        self.shared.applied.advance(position.index);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        let core = self.shared.core();
        if core.applied.is_none() {
            return Ok(None);
        }
        let meta = core.recovered.clone().unwrap_or_else(|| core.snapshot_meta());
        if meta.last_log_id.is_none() {
            return Ok(None);
        }
        Ok(Some(Snapshot { meta, snapshot: SnapshotData::to_send(core.state.view()) }))
    }
}
