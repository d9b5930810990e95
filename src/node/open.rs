//! From a directory and a configuration to a running member.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::api::RequestContext;
use super::auth::{Hashing, Tokens};
use super::budget::ReadBudget;
use super::identity::{self, OpenError};
use super::pending::Pending;
use super::sink::Sink;
use super::visible::Visible;
use super::{Inner, Node, NodeConfig, auto_compaction, lease};
use crate::checkpoint::Checkpoint;
use crate::raft::{Engine, EngineConfig, Removal};
use crate::runtime::channel::{Notify, watch as follow};
use crate::runtime::{Disk, Listener, Net, Observation, Runtime, select};
use crate::state::State;
use crate::types::{Command, Member};
use crate::wal::{Wal, WalOptions};

/// Between attempts to publish this member's name and client URLs.
const PUBLISH_RETRY: Duration = Duration::from_millis(500);

impl<R: Runtime> Node<R> {
    /// Opens the member that `disk` holds, or makes a new one, and starts it. It may take requests
    /// at once; they wait for a leader.
    pub async fn open(config: NodeConfig, net: R::Net, disk: R::Disk) -> Result<Node<R>, OpenError> {
        let place = disk.display();
        let known = identity::establish(&disk, &config).await?;
        let listeners = listen::<R>(&config, &net).await?;
        let options = WalOptions {
            segment_bytes: config.segment_bytes,
            max_wals: usize::try_from(config.max_wals).unwrap_or(usize::MAX),
            ..WalOptions::default()
        };
        let unusable = |what: &str, error: String, remedy: &str, by_medium: bool| {
            if by_medium {
                let why = format!("cannot open {what} in data directory {place}: {error}; check the disk");
                return OpenError::Disk(why);
            }
            OpenError::Damaged(format!("{what} in data directory {place} is not usable: {error}; {remedy}"))
        };
        let (wal, recovered) = Wal::<R>::open(disk.clone(), options).await.map_err(|error| {
            unusable("the log", error.to_string(), remedy(error.is_newer_format()), error.is_medium())
        })?;
        let (checkpoint, loaded) = Checkpoint::<R>::open(disk.clone()).await.map_err(|error| {
            unusable("the checkpoint", error.to_string(), remedy(error.is_newer_format()), error.is_medium())
        })?;
        let state = loaded.as_ref().map_or_else(State::new, |loaded| loaded.state.clone());
        R::observe(Observation::Recovered {
            member: known.identity.member_id,
            incarnation: recovered.incarnation,
            applied: loaded.as_ref().map(|loaded| loaded.applied),
            digest: state.digest(),
            last_log: recovered.last,
            vote: recovered.vote,
        });
        let pending = Pending::new(known.identity.member_id, recovered.incarnation);
        let visible = Arc::new(Visible::new(state.view(), pending));
        drop(state);
        let settings = EngineConfig {
            member_id: known.identity.member_id,
            cluster_id: known.identity.cluster_id,
            incarnation: recovered.incarnation,
            members: known.members.clone(),
            bootstrap: known.is_new || (recovered.last.is_none() && loaded.is_none()),
            heartbeat_ms: config.heartbeat_interval_ms,
            election_ms: config.election_timeout_ms,
            snapshot_count: config.snapshot_count,
            catchup_entries: config.catchup_entries,
            removal: Removal {
                step: config.compaction_batch_limit,
                pause: Duration::from_millis(config.compaction_sleep_ms),
            },
        };
        let granted = Arc::new(Notify::new());
        let ttl = Duration::from_millis(config.auth_token_ttl_ms);
        let tokens = Arc::new(Mutex::new(Tokens::new(ttl, recovered.last)));
        let sink = Arc::new(Sink::<R>::new(visible.clone(), granted.clone(), tokens.clone()));
        let engine = Engine::open(settings, net, listeners, wal, checkpoint, loaded, sink)
            .await
            .map_err(|error| OpenError::Damaged(error.to_string()))?;
        let (stopping, _) = follow::channel(false);
        let hashing = Hashing::new(config.hashes_at_a_time);
        let read_budget = ReadBudget::new(config.read_budget_bytes);
        let node = Node {
            inner: Arc::new(Inner {
                config,
                cluster_id: known.identity.cluster_id,
                member_id: known.identity.member_id,
                members: known.members,
                visible,
                engine,
                read_budget,
                lease_ids: Mutex::new(R::rng("lease ids")),
                tokens,
                hashing,
                secrets: Mutex::new(R::rng("secrets")),
                granted,
                _disk: disk,
                stopping,
                queued: Arc::new(()),
            }),
        };
        R::spawn("publish", publish(node.clone())).detach();
        R::spawn("auto compaction", auto_compaction::run(node.clone())).detach();
        R::spawn("leases", lease::keep(node.clone())).detach();
        Ok(node)
    }
}

/// What a person can do about a part of the directory that cannot be used.
pub(super) fn remedy(is_newer_format: bool) -> &'static str {
    if is_newer_format {
        "start it with the newer build that wrote it"
    } else {
        "restore the member from its peers"
    }
}

async fn listen<R: Runtime>(
    config: &NodeConfig,
    net: &R::Net,
) -> Result<Vec<<R::Net as Net>::Listener>, OpenError> {
    let mut listeners = Vec::new();
    for address in &config.listen_peer {
        let listener = net.listen(address).await.map_err(|error| {
            OpenError::Listen(format!(
                "cannot listen for peers on {address}: {error}; stop what uses it or give another \
                 --listen-peer-urls"
            ))
        })?;
        tracing::info!(address = listener.local_address(), "serving peer traffic");
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Publishes this member's name and client URLs by consensus, until it worked once (CL11).
async fn publish<R: Runtime>(node: Node<R>) {
    let own = node.inner.members.iter().find(|member| member.id == node.inner.member_id);
    let Some(own) = own else { return };
    let member = Member { client_urls: node.inner.config.advertise_client_urls.clone(), ..own.clone() };
    while !node.is_stopping() {
        if node.view().members().contains(&member) {
            return;
        }
        let command = Command::Publish(member.clone());
        if node.propose(command, RequestContext::default()).await.is_ok() {
            return;
        }
        select(node.stopping(), R::sleep(PUBLISH_RETRY)).await;
    }
}
