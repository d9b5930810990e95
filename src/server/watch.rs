//! etcdserverpb.Watch: one session of the hub for each stream.

use std::sync::Arc;
use std::time::Duration;

use etched_proto::etcdserverpb as pb;
use futures_util::stream::unfold;
use prost::Message;
use tonic::{Request, Response, Status, Streaming};

use super::context::requires_leader;
use super::status::status;
use super::streams::Outgoing;
use super::translate;
use crate::node::api::{WatchCreate, WatchFilter, WatchOutput};
use crate::node::{Node, WatchSession};
use crate::runtime::channel::oneshot;
use crate::runtime::{Either, Runtime, Task, select};
use crate::types::limits::GRPC_OVERHEAD_BYTES;
use crate::types::{Error, KeyRange};

/// A stream that requires a leader ends after this many election time-outs without one (M1).
const LEADERLESS_ELECTIONS: u32 = 3;

/// The Watch service of one member.
pub(super) struct Watch<R: Runtime>(pub Node<R>);

/// One stream on its way out.
struct Out<R: Runtime> {
    node: Node<R>,
    session: Arc<WatchSession<R>>,
    /// Resolves when the client sends nothing more.
    ended: oneshot::Receiver<()>,
    requires_leader: bool,
    leaderless: u32,
    /// Pieces of a response that was split.
    pieces: std::vec::IntoIter<pb::WatchResponse>,
    done: bool,
    _incoming: Task<()>,
}

#[tonic::async_trait]
impl<R: Runtime> pb::watch_server::Watch for Watch<R> {
    type WatchStream = Outgoing<pb::WatchResponse>;

    async fn watch(
        &self,
        request: Request<Streaming<pb::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let requires_leader = requires_leader(request.metadata());
        if requires_leader && !self.0.has_leader() {
            return Err(status(Error::NoLeader));
        }
        let session = Arc::new(self.0.watch_session());
        let (end, ended) = oneshot::channel();
        let incoming = R::spawn("watch requests", take_requests(session.clone(), request.into_inner(), end));
        let out = Out {
            node: self.0.clone(),
            session,
            ended,
            requires_leader,
            leaderless: 0,
            pieces: Vec::new().into_iter(),
            done: false,
            _incoming: incoming,
        };
        Ok(Response::new(Box::pin(unfold(out, |mut out| async move {
            let item = out.next().await?;
            Some((item, out))
        }))))
    }
}

/// Carries out what the client asks for, until it ends or breaks off.
async fn take_requests<R: Runtime>(
    session: Arc<WatchSession<R>>,
    mut requests: Streaming<pb::WatchRequest>,
    end: oneshot::Sender<()>,
) {
    use pb::watch_request::RequestUnion;
    while let Ok(Some(request)) = requests.message().await {
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => session.create(watch_create(create)),
            Some(RequestUnion::CancelRequest(cancel)) => session.cancel(cancel.watch_id),
            Some(RequestUnion::ProgressRequest(_)) => session.progress(),
            // Row W24: what is not understood is ignored.
            None => {}
        }
    }
    let _ = end.send(());
}

fn watch_create(request: pb::WatchCreateRequest) -> WatchCreate {
    let filter = |filter: &i32| match filter {
        0 => Some(WatchFilter::NoPut),
        1 => Some(WatchFilter::NoDelete),
        _ => None,
    };
    WatchCreate {
        filters: request.filters.iter().filter_map(filter).collect(),
        range: KeyRange { key: request.key, range_end: request.range_end },
        start_revision: request.start_revision,
        progress_notify: request.progress_notify,
        prev_kv: request.prev_kv,
        watch_id: request.watch_id,
        fragment: request.fragment,
    }
}

impl<R: Runtime> Out<R> {
    async fn next(&mut self) -> Option<Result<pb::WatchResponse, Status>> {
        if let Some(piece) = self.pieces.next() {
            return Some(Ok(piece));
        }
        if self.done {
            return None;
        }
        loop {
            let output = if self.requires_leader {
                let tick = R::sleep(Duration::from_millis(self.node.config().election_timeout_ms));
                match select(select(self.session.next(), &mut self.ended), tick).await {
                    Either::First(step) => step,
                    Either::Second(()) => {
                        self.leaderless = if self.node.has_leader() { 0 } else { self.leaderless + 1 };
                        if self.leaderless >= LEADERLESS_ELECTIONS {
                            self.done = true;
                            return Some(Err(status(Error::NoLeader)));
                        }
                        continue;
                    }
                }
            } else {
                select(self.session.next(), &mut self.ended).await
            };
            return match output {
                Either::First(Some(output)) => Some(Ok(self.response(output))),
                Either::First(None) => {
                    self.done = true;
                    Some(Err(status(Error::WatchCanceled)))
                }
                Either::Second(_) => None,
            };
        }
    }

    /// One response, or the first of its fragments (W15).
    fn response(&mut self, output: WatchOutput) -> pb::WatchResponse {
        let response = watch_response(&self.node, &output);
        let limit = self.node.config().max_request_bytes + GRPC_OVERHEAD_BYTES;
        if !output.fragment || response.encoded_len() < limit {
            return response;
        }
        let mut pieces = split(response, limit).into_iter();
        let first = pieces.next().unwrap_or_default();
        self.pieces = pieces;
        first
    }
}

fn watch_response<R: Runtime>(node: &Node<R>, output: &WatchOutput) -> pb::WatchResponse {
    pb::WatchResponse {
        header: Some(translate::response_header(&node.header(output.header_revision))),
        watch_id: output.watch_id,
        created: output.created,
        canceled: output.canceled,
        compact_revision: output.compact_revision,
        cancel_reason: output.cancel_reason.clone(),
        fragment: false,
        events: output.events.iter().map(translate::event).collect(),
    }
}

/// Splits a large response between events: all pieces but the last say that more follows.
fn split(mut response: pb::WatchResponse, limit: usize) -> Vec<pb::WatchResponse> {
    let events = std::mem::take(&mut response.events);
    let empty = response.encoded_len();
    let mut pieces = vec![response.clone()];
    let mut bytes = empty;
    for event in events {
        let size = event.encoded_len() + 8;
        let last = pieces.len() - 1;
        if !pieces[last].events.is_empty() && bytes + size >= limit {
            pieces[last].fragment = true;
            pieces.push(response.clone());
            bytes = empty;
        }
        bytes += size;
        let last = pieces.len() - 1;
        pieces[last].events.push(event);
    }
    pieces
}
