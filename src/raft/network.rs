//! openraft's network over our links.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{AnyError, OptionalSend, RaftNetworkFactory, RaftNetworkV2};

use super::config::{self, RaftVote, TypeConfig};
use super::peer::{LinkError, Peers};
use super::snapshot::{Snapshot, SnapshotData};
use super::waiting::Waiting;
use crate::codec::meta::Meta;
use crate::codec::peer::{Purpose, Reply, Request};
use crate::codec::snapshot;
use crate::runtime::{Either, Runtime, select};

/// Appends of one stream that may be on their way.
const PIPELINE: usize = 64;

/// Makes a client for each peer.
pub(super) struct Network<R: Runtime> {
    pub peers: Arc<Peers<R>>,
    /// How long an append may take: the disk of the other side is in it.
    pub append_patience: Duration,
}

/// Talks to one peer.
pub(super) struct Client<R: Runtime> {
    peers: Arc<Peers<R>>,
    target: u64,
    append_patience: Duration,
    /// Heartbeats go by the control link, so that they do not wait behind appends.
    purpose: Purpose,
}

impl<R: Runtime> RaftNetworkFactory<TypeConfig<R>> for Network<R> {
    type Network = Client<R>;

    async fn new_client(&mut self, target: u64, _: &()) -> Client<R> {
        self.client(target, Purpose::Appends)
    }

    async fn new_heartbeat_client(&mut self, target: u64, _: &()) -> Client<R> {
        self.client(target, Purpose::Control)
    }
}

impl<R: Runtime> Network<R> {
    fn client(&self, target: u64, purpose: Purpose) -> Client<R> {
        let (peers, append_patience) = (self.peers.clone(), self.append_patience);
        Client { peers, target, append_patience, purpose }
    }
}

type RpcError<R> = RPCError<TypeConfig<R>>;
type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
type BoxStream<'a, T> = Pin<Box<dyn Stream<Item = T> + Send + 'a>>;

fn link_error<R: Runtime>(error: LinkError) -> RpcError<R> {
    match error {
        LinkError::Unreachable(why) => RPCError::Unreachable(Unreachable::new(&AnyError::error(why))),
        LinkError::Broken(why) => RPCError::Network(NetworkError::new(&AnyError::error(why))),
    }
}

fn unexpected<R: Runtime>(reply: &Reply) -> RpcError<R> {
    let why = match reply {
        Reply::Failed(why) => why.clone(),
        other => format!("a reply of another kind: {other:?}"),
    };
    RPCError::Network(NetworkError::new(&AnyError::error(why)))
}

fn append_request<R: Runtime>(rpc: AppendEntriesRequest<TypeConfig<R>>) -> Request {
    Request::Append {
        vote: config::vote(&rpc.vote),
        previous: rpc.prev_log_id.as_ref().map(config::position),
        entries: rpc.entries.into_iter().map(config::log_entry).collect(),
        commit: rpc.leader_commit.as_ref().map(config::position),
    }
}

fn append_response<R: Runtime>(reply: Reply) -> Result<AppendEntriesResponse<TypeConfig<R>>, RpcError<R>> {
    Ok(match reply {
        Reply::Appended => AppendEntriesResponse::Success,
        Reply::AppendedUpTo(last) => AppendEntriesResponse::PartialSuccess(last.map(config::log_id)),
        Reply::Conflict => AppendEntriesResponse::Conflict,
        Reply::HigherVote(vote) => match config::raft_vote(vote) {
            Some(vote) => AppendEntriesResponse::HigherVote(vote),
            None => return Err(unexpected(&reply)),
        },
        other => return Err(unexpected(&other)),
    })
}

impl<R: Runtime> Client<R> {
    async fn call(
        &self,
        purpose: Purpose,
        request: Request,
        patience: Duration,
    ) -> Result<Reply, RpcError<R>> {
        let link = self.peers.link(self.target, purpose).map_err(link_error)?;
        link.call::<R>(request, patience).await.map_err(link_error)
    }

    async fn ask_for_vote(
        &self,
        rpc: VoteRequest<TypeConfig<R>>,
        pre: bool,
        option: &RPCOption,
    ) -> Result<VoteResponse<TypeConfig<R>>, RpcError<R>> {
        let request = Request::Vote {
            vote: config::vote(&rpc.vote),
            last: rpc.last_log_id.as_ref().map(config::position),
            transfer: rpc.leadership_transfer,
            pre,
        };
        let reply = self.call(Purpose::Control, request, option.hard_ttl()).await?;
        let Reply::Vote { vote, granted, last } = reply else { return Err(unexpected(&reply)) };
        let Some(vote) = config::raft_vote(vote) else { return Err(unexpected(&reply)) };
        Ok(VoteResponse::new(vote, last.map(config::log_id), granted))
    }

    async fn send_snapshot(
        &self,
        vote: RaftVote,
        snapshot: Snapshot,
        patience: Duration,
    ) -> Result<RaftVote, RpcError<R>> {
        let begin = Request::SnapshotBegin {
            vote: config::vote(&vote),
            last: snapshot.meta.last_log_id.as_ref().map(config::position),
            membership: config::encode_stored(&snapshot.meta.last_membership),
        };
        let view = snapshot.snapshot.view;
        let meta = Meta {
            applied: snapshot.meta.last_log_id.as_ref().map(config::position).unwrap_or_default(),
            membership: config::encode_stored(&snapshot.meta.last_membership),
            state: view.meta(),
            rows: 0,
        };
        let reply = self.call(Purpose::Snapshot, begin, patience).await?;
        if reply != Reply::PieceTaken {
            return Err(unexpected(&reply));
        }
        for piece in snapshot::chunks(&meta, view.digest(), view.lease_records(), view.records()) {
            let request = Request::SnapshotPiece(piece);
            let reply = self.call(Purpose::Snapshot, request, patience).await?;
            if reply != Reply::PieceTaken {
                return Err(unexpected(&reply));
            }
        }
        let reply = self.call(Purpose::Snapshot, Request::SnapshotEnd, patience).await?;
        let Reply::Installed(vote) = reply else { return Err(unexpected(&reply)) };
        config::raft_vote(vote).ok_or_else(|| unexpected(&reply))
    }
}

impl<R: Runtime> RaftNetworkV2<TypeConfig<R>> for Client<R> {
    type SnapshotData = Box<SnapshotData>;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig<R>>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig<R>>, RpcError<R>> {
        let patience = option.hard_ttl().max(self.append_patience);
        let reply = self.call(self.purpose, append_request(rpc), patience).await?;
        append_response(reply)
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<
        's,
        Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig<R>>, RpcError<R>>>, RpcError<R>>,
    >
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig<R>>> + OptionalSend + Unpin + 'static,
    {
        let patience = option.hard_ttl().max(self.append_patience);
        Box::pin(async move {
            let link = self.peers.link(self.target, self.purpose).map_err(link_error)?;
            let waiting = Waiting::new();
            let sent = waiting.clone();
            let replies = input.map(move |rpc| {
                let previous = rpc.prev_log_id;
                let last = rpc.entries.last().map(|entry| entry.log_id).or(previous);
                sent.sent(last);
                let receiver = link.submit(append_request(rpc));
                async move {
                    let reply = super::peer::within::<R>(receiver, patience).await.map_err(link_error)?;
                    let response = append_response::<R>(reply)?;
                    if response.is_conflict() && previous.is_none() {
                        return Err(unexpected(&Reply::Conflict));
                    }
                    let partial =
                        matches!(&response, AppendEntriesResponse::PartialSuccess(upto) if *upto != last);
                    Ok((response.into_stream_result(previous, last), partial))
                }
            });
            // The first failure ends the stream: what was sent behind it will be sent again.
            let replies = Box::pin(replies.buffered(PIPELINE));
            let stream = futures_util::stream::unfold(Some((replies, waiting)), |state| async move {
                let (mut replies, waiting) = state?;
                loop {
                    let item: Result<(StreamAppendResult<TypeConfig<R>>, bool), RpcError<R>> =
                        replies.next().await?;
                    let upto = item.as_ref().ok().and_then(|(result, _)| result.as_ref().ok());
                    if waiting.answered(upto) && !planted!(AnswerCoversLaterAppends) {
                        continue;
                    }
                    let goes_on = matches!(&item, Ok((Ok(_), false)));
                    return Some((item.map(|(result, _)| result), goes_on.then_some((replies, waiting))));
                }
            });
            Ok(Box::pin(stream) as BoxStream<'s, _>)
        })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig<R>>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig<R>>, RpcError<R>> {
        self.ask_for_vote(rpc, false, &option).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig<R>>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig<R>>, RpcError<R>> {
        if planted!(GrantingPreVote) {
            return Ok(VoteResponse::new(rpc.vote, None, true));
        }
        self.ask_for_vote(rpc, true, &option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: RaftVote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig<R>>, StreamingError<TypeConfig<R>>> {
        match select(cancel, self.send_snapshot(vote, snapshot, option.hard_ttl())).await {
            Either::First(closed) => Err(StreamingError::Closed(closed)),
            Either::Second(Ok(vote)) => Ok(SnapshotResponse::new(vote)),
            Either::Second(Err(RPCError::Timeout(error))) => Err(StreamingError::Timeout(error)),
            Either::Second(Err(RPCError::Unreachable(error))) => Err(StreamingError::Unreachable(error)),
            Either::Second(Err(RPCError::Network(error))) => Err(StreamingError::Network(error)),
            Either::Second(Err(RPCError::RemoteError(error))) => {
                Err(StreamingError::Network(NetworkError::new(&AnyError::error(error.to_string()))))
            }
        }
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<TypeConfig<R>>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig<R>>, RpcError<R>> {
        let request = Request::TransferLeader {
            vote: config::vote(rpc.from_leader()),
            to: *rpc.to_node_id(),
            last: rpc.last_log_id().map(config::position),
        };
        match self.call(Purpose::Control, request, option.hard_ttl()).await? {
            Reply::Transfer(Ok(())) => Ok(Ok(())),
            other => Err(unexpected(&other)),
        }
    }
}

/// Addresses (`host:port`) of members by id, from their first peer URL.
pub(super) fn addresses(members: &[crate::types::Member]) -> BTreeMap<u64, String> {
    let address = |url: &String| url.split_once("://").map_or(url.as_str(), |(_, rest)| rest).to_string();
    members.iter().filter_map(|member| Some((member.id, member.peer_urls.first().map(address)?))).collect()
}
