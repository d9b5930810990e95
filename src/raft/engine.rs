//! The engine: one Raft member over log, checkpoint, state and peers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openraft::Raft;
use openraft::errors::{InitializeError, RaftError};

use super::background::Removal;
use super::config::{self, StoredMembership, TypeConfig};
use super::forward::Forwards;
use super::handler::Requests;
use super::leases::Desk;
use super::log_store::LogStore;
use super::machine::{ApplySink, Core, Limits, Machine, Shared};
use super::network::{self, Network};
use super::peer::{self, Local, Peers};
use super::rounds::Rounds;
use super::snapshot::SnapshotMeta;
use super::{background, status};
use crate::checkpoint::{Changes, Checkpoint, Loaded};
use crate::runtime::channel::watch as follow;
use crate::runtime::{Instant, Net, Runtime, Task, lock};
use crate::state::State;
use crate::types::Member;
use crate::wal::Wal;

/// Payload bytes applied between checkpoints, at most.
const CHECKPOINT_BYTES: u64 = 64 * 1024 * 1024;

/// What an engine is opened with.
pub struct EngineConfig {
    /// This member.
    pub member_id: u64,
    /// Its cluster.
    pub cluster_id: u64,
    /// Counts the starts of the directory.
    pub incarnation: u64,
    /// The members at bootstrap, with their peer URLs.
    pub members: Vec<Member>,
    /// Whether the directory is new, so that the cluster must be initialized.
    pub bootstrap: bool,
    /// Time between a leader's heartbeats.
    pub heartbeat_ms: u64,
    /// Nobody campaigns before this time without a leader.
    pub election_ms: u64,
    /// Applied entries between checkpoints.
    pub snapshot_count: u64,
    /// Entries kept behind the checkpoint for slow followers.
    pub catchup_entries: u64,
    /// How fast what a compaction left behind is removed.
    pub removal: Removal,
}

/// The engine could not be started; in a sentence.
#[derive(Debug)]
pub struct EngineError(pub String);

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for EngineError {}

/// A running Raft member; clones are handles of the same one.
pub struct Engine<R: Runtime> {
    pub(super) inner: Arc<Inner<R>>,
    tasks: Arc<Mutex<Vec<Task<()>>>>,
}

impl<R: Runtime> Clone for Engine<R> {
    fn clone(&self) -> Self {
        Engine { inner: self.inner.clone(), tasks: self.tasks.clone() }
    }
}

pub(super) struct Inner<R: Runtime> {
    pub raft: Raft<TypeConfig<R>, Machine<R>>,
    pub shared: Arc<Shared<R>>,
    pub peers: Arc<Peers<R>>,
    pub local: Local,
    pub election: Duration,
    pub heard: Mutex<Option<Instant>>,
    pub server: status::Followed<R>,
    pub data: status::FollowedData<R>,
    pub rounds: Rounds<R>,
    pub desk: Desk,
    pub forwards: Forwards,
    pub stopped: follow::Sender<bool>,
    wal: Wal<R>,
}

impl<R: Runtime> Engine<R> {
    /// Starts the member: recovers, serves its peers on `listeners`, and initializes a new cluster.
    pub async fn open(
        settings: EngineConfig,
        net: R::Net,
        listeners: Vec<<R::Net as Net>::Listener>,
        wal: Wal<R>,
        checkpoint: Checkpoint<R>,
        loaded: Option<Loaded>,
        sink: Arc<dyn ApplySink>,
    ) -> Result<Engine<R>, EngineError> {
        let local = Local {
            cluster_id: settings.cluster_id,
            member_id: settings.member_id,
            incarnation: settings.incarnation,
            patience_ms: settings.election_ms / 2,
        };
        let election = Duration::from_millis(settings.election_ms);
        let core = recovered(loaded)?;
        let limits = Limits { entries: settings.snapshot_count.max(1), bytes: CHECKPOINT_BYTES };
        let shared = Shared::new(core, sink, checkpoint, limits);
        let peers = Peers::new(local, net, network::addresses(&settings.members));
        let raft = Raft::build(
            settings.member_id,
            Arc::new(config::settings(settings.heartbeat_ms, settings.election_ms)),
            Network { peers: peers.clone(), append_patience: election },
            LogStore::new(wal.clone(), settings.member_id, shared.durable.subscribe()),
            Machine::new(shared.clone()),
        );
        let raft = raft.await.map_err(|error| EngineError(format!("Raft cannot start: {error}")))?;
        shared.started();
        raft.run();
        let (stopped, _) = follow::channel(false);
        let inner = Arc::new(Inner {
            server: raft.server_metrics(),
            data: raft.data_metrics(),
            raft,
            shared,
            peers,
            local,
            election,
            heard: Mutex::new(None),
            rounds: Rounds::new(),
            desk: Desk::new(),
            forwards: Forwards::default(),
            stopped,
            wal,
        });
        let mut tasks: Vec<Task<()>> = background::start(&inner, settings.catchup_entries, settings.removal);
        for listener in listeners {
            let handler = Arc::new(Requests { engine: inner.clone() });
            tasks.push(R::spawn("peers", peer::serve::<R, _>(listener, local, handler)));
        }
        if settings.bootstrap {
            initialize(&inner, &settings.members).await?;
        }
        Ok(Engine { inner, tasks: Arc::new(Mutex::new(tasks)) })
    }

    /// Stops taking part. The log is synced on return.
    pub async fn stop(&self) {
        if !self.inner.stopped.send_if_modified(|stopped| !std::mem::replace(stopped, true)) {
            return;
        }
        // Errors here mean that a task had already ended, which is what we want.
        let _ = self.inner.raft.shutdown().await;
        let tasks = std::mem::take(&mut *lock(&self.tasks));
        drop(tasks);
        self.inner.peers.close();
        let _ = self.inner.wal.flush().await;
    }
}

/// The state a member starts from: its checkpoint's, or that of a new cluster.
pub(super) fn recovered(loaded: Option<Loaded>) -> Result<Core, EngineError> {
    let (state, applied, membership) = match loaded {
        None => (State::new(), None, StoredMembership::default()),
        Some(Loaded { state, applied, membership }) => {
            let membership = config::decode_stored(&membership)
                .map_err(|error| EngineError(format!("the checkpoint's membership is damaged: {error}")))?;
            (state, Some(applied), membership)
        }
    };
    // Records that a compaction before the last stop left behind are found and removed again.
    let removing = state.compact_revision() > 0;
    let recovered =
        SnapshotMeta { last_log_id: applied.map(config::log_id), last_membership: membership.clone() };
    Ok(Core {
        state,
        applied,
        membership,
        changes: Changes::default(),
        entries_since: 0,
        bytes_since: 0,
        removing,
        recovered: Some(recovered),
    })
}

/// Every member of a new cluster proposes the same first membership; whoever comes late finds it
/// there (`NotAllowed`), which is success.
async fn initialize<R: Runtime>(inner: &Inner<R>, members: &[Member]) -> Result<(), EngineError> {
    let ids: BTreeMap<u64, ()> = members.iter().map(|member| (member.id, ())).collect();
    match inner.raft.initialize(ids).await {
        Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
        Err(error) => Err(EngineError(format!("the cluster cannot be initialized: {error}"))),
    }
}
