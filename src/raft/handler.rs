//! Serves other members' requests: Raft's messages, snapshots, forwarded proposals, reads and
//! keep-alives.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest};

use super::config::{self, StoredMembership, TypeConfig};
use super::engine::Inner;
use super::peer::{Handler, SnapshotHandler};
use super::snapshot::{Snapshot, SnapshotData, SnapshotMeta};
use crate::codec::envelope;
use crate::codec::peer::{Reply, Request};
use crate::codec::snapshot::Receiver;
use crate::runtime::{Observation, Runtime};
use crate::state::State;
use crate::types::{LogEntry, LogPosition, Vote};

/// Hands requests to the engine.
pub(super) struct Requests<R: Runtime> {
    pub engine: Arc<Inner<R>>,
}

impl<R: Runtime> Handler for Requests<R> {
    fn handle(self: Arc<Self>, _from: u64, request: Request) -> BoxFuture<'static, Reply> {
        Box::pin(async move {
            match request {
                Request::Append { vote, previous, entries, commit } => {
                    self.append(vote, previous, entries, commit).await
                }
                Request::Vote { vote, last, transfer, pre } => self.vote(vote, last, transfer, pre).await,
                Request::TransferLeader { vote, to, last } => self.transfer(vote, to, last).await,
                Request::Forward(envelopes) => self.forward(envelopes).await,
                Request::ReadIndex => Reply::ReadIndex(self.engine.local_read_index().await),
                Request::Ping => Reply::Pong,
                Request::LeaseKeepAlive(ids) => Reply::LeaseKeepAlive(self.engine.local_renew(ids).await),
                Request::LeaseClock => {
                    let moment = self.engine.local_lease_moment().await;
                    Reply::LeaseClock(moment.map(|moment| (moment.index, moment.clock_ms)))
                }
                other => Reply::Failed(format!("{} belongs on the snapshot link", kind(&other))),
            }
        })
    }

    fn snapshot(self: Arc<Self>, _from: u64) -> Box<dyn SnapshotHandler> {
        Box::new(Incoming { engine: self.engine.clone(), begun: None })
    }

    fn level(&self) -> u32 {
        self.engine.shared.core().state.level()
    }
}

fn kind(request: &Request) -> &'static str {
    match request {
        Request::SnapshotBegin { .. } | Request::SnapshotPiece(_) | Request::SnapshotEnd => {
            "a snapshot's piece"
        }
        _ => "the request",
    }
}

fn no_candidate() -> Reply {
    Reply::Failed("a vote that names no candidate".to_string())
}

impl<R: Runtime> Requests<R> {
    async fn append(
        &self,
        vote: Vote,
        previous: Option<LogPosition>,
        entries: Vec<LogEntry>,
        commit: Option<LogPosition>,
    ) -> Reply {
        let Some(vote) = config::raft_vote(vote) else { return no_candidate() };
        let last = entries.last().map(|entry| entry.position);
        let entries = match entries.into_iter().map(config::raft_entry).collect::<Result<Vec<_>, _>>() {
            Ok(entries) => entries,
            Err(error) => return Reply::Failed(error.to_string()),
        };
        let rpc = AppendEntriesRequest::<TypeConfig<R>> {
            vote,
            prev_log_id: previous.map(config::log_id),
            entries,
            leader_commit: commit.map(config::log_id),
        };
        match self.engine.raft.append_entries(rpc).await {
            Ok(AppendEntriesResponse::Success) => {
                self.engine.heard_from_leader();
                if let Some(last) = last {
                    R::observe(Observation::AppendAcknowledged(last));
                }
                Reply::Appended
            }
            Ok(AppendEntriesResponse::PartialSuccess(upto)) => {
                Reply::AppendedUpTo(upto.as_ref().map(config::position))
            }
            Ok(AppendEntriesResponse::Conflict) => {
                self.engine.heard_from_leader();
                Reply::Conflict
            }
            Ok(AppendEntriesResponse::HigherVote(vote)) => Reply::HigherVote(config::vote(&vote)),
            Err(error) => Reply::Failed(error.to_string()),
        }
    }

    async fn vote(&self, vote: Vote, last: Option<LogPosition>, transfer: bool, pre: bool) -> Reply {
        let (term, candidate) = (vote.term, vote.voted_for);
        let Some(vote) = config::raft_vote(vote) else { return no_candidate() };
        let mut rpc = VoteRequest::<TypeConfig<R>>::new(vote, last.map(config::log_id));
        rpc.leadership_transfer = transfer;
        let raft = &self.engine.raft;
        let answer = if pre { raft.pre_vote(rpc).await } else { raft.vote(rpc).await };
        match answer {
            Ok(answer) => {
                if let (true, false, Some(candidate)) = (answer.vote_granted, pre, candidate) {
                    R::observe(Observation::VoteGranted { term, candidate });
                }
                Reply::Vote {
                    vote: config::vote(&answer.vote),
                    granted: answer.vote_granted,
                    last: answer.last_log_id.as_ref().map(config::position),
                }
            }
            Err(error) => Reply::Failed(error.to_string()),
        }
    }

    async fn transfer(&self, vote: Vote, to: u64, last: Option<LogPosition>) -> Reply {
        let Some(vote) = config::raft_vote(vote) else { return no_candidate() };
        let rpc = TransferLeaderRequest::<TypeConfig<R>>::new(vote, to, last.map(config::log_id));
        match self.engine.raft.handle_transfer_leader(rpc).await {
            Ok(answer) => Reply::Transfer(answer.map_err(|error| error.to_string())),
            Err(error) => Reply::Failed(error.to_string()),
        }
    }

    /// Proposes what another member's clients sent; a member that does not lead refuses, because a
    /// proposal is forwarded by one hop only.
    async fn forward(&self, envelopes: Vec<Bytes>) -> Reply {
        // Once committed, bytes that do not decode would end every member.
        if let Some(error) = envelopes.iter().find_map(|bytes| envelope::decode(bytes).err()) {
            return Reply::Failed(format!("a forwarded proposal does not decode: {error}"));
        }
        Reply::Forwarded(self.engine.propose_many(envelopes).await)
    }
}

/// A snapshot on its way in, on one connection.
struct Incoming<R: Runtime> {
    engine: Arc<Inner<R>>,
    begun: Option<Begun>,
}

struct Begun {
    vote: Vote,
    last: Option<LogPosition>,
    membership: StoredMembership,
    receiver: Receiver,
    whole: Option<crate::codec::snapshot::Snapshot>,
}

impl<R: Runtime> SnapshotHandler for Incoming<R> {
    fn take(&mut self, request: Request) -> BoxFuture<'_, Reply> {
        Box::pin(async move {
            let taken = match request {
                Request::SnapshotBegin { vote, last, membership } => self.begin(vote, last, &membership),
                Request::SnapshotPiece(piece) => self.piece(&piece),
                Request::SnapshotEnd => return self.end().await.unwrap_or_else(Reply::Failed),
                _ => Err("only snapshots belong on this link".to_string()),
            };
            taken.map_or_else(Reply::Failed, |()| Reply::PieceTaken)
        })
    }
}

impl<R: Runtime> Incoming<R> {
    fn begin(&mut self, vote: Vote, last: Option<LogPosition>, membership: &[u8]) -> Result<(), String> {
        let membership = config::decode_stored(membership).map_err(|error| error.to_string())?;
        let (receiver, whole) = (Receiver::default(), None);
        self.begun = Some(Begun { vote, last, membership, receiver, whole });
        Ok(())
    }

    fn piece(&mut self, piece: &[u8]) -> Result<(), String> {
        let Some(begun) = &mut self.begun else {
            return Err("a piece of a snapshot that did not begin".to_string());
        };
        let taken = begun.receiver.chunk(piece).map_err(|error| error.to_string())?;
        begun.whole = taken.or(begun.whole.take());
        Ok(())
    }

    /// Verifies the whole and installs it.
    async fn end(&mut self) -> Result<Reply, String> {
        let begun = self.begun.take().ok_or("the end of a snapshot that did not begin")?;
        let whole = begun.whole.ok_or("the snapshot ended before its last piece")?;
        let (digest, leases, records) = (whole.digest, whole.leases, whole.records);
        if Some(whole.meta.applied) != begun.last {
            let (found, said) = (whole.meta.applied, begun.last);
            return Err(format!("the snapshot is of {found:?}, but began as one of {said:?}"));
        }
        let meta = whole.meta.state;
        let restored = R::spawn_blocking("restore snapshot", move || {
            State::restore(meta, leases, records.into_iter()).map_err(|error| error.to_string())
        });
        let state = restored.await.map_err(|error| error.to_string())??;
        if state.digest() != digest {
            return Err(format!("the snapshot has digest {:032x}, not {digest:032x}", state.digest()));
        }
        let vote = config::raft_vote(begun.vote).ok_or("a vote that names no candidate")?;
        let meta =
            SnapshotMeta { last_log_id: begun.last.map(config::log_id), last_membership: begun.membership };
        let data = Box::new(SnapshotData { view: state.view(), received: Some(state) });
        let installed = self.engine.raft.install_full_snapshot(vote, Snapshot { meta, snapshot: data }).await;
        self.engine.heard_from_leader();
        match installed {
            Ok(response) => Ok(Reply::Installed(config::vote(&response.vote))),
            Err(error) => Err(error.to_string()),
        }
    }
}
