//! etcdserverpb.Lease. The messages of a keep-alive stream are served side by side and answered in
//! order, so that a client with many leases waits for one round, not for as many.

use std::sync::Arc;

use etched_proto::etcdserverpb as pb;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesOrdered, StreamExt, unfold};
use tonic::{Request, Response, Status, Streaming};

use super::alarm::Alarm;
use super::context::{anonymous, context, identified, requires_leader, token};
use super::status::{in_grpc_words, max_message_bytes, status};
use super::streams::Outgoing;
use super::translate::response_header;
use crate::node::Node;
use crate::node::api::RequestContext;
use crate::runtime::{Either, Runtime, select};
use crate::types::limits::MAX_STREAM_KEEP_ALIVES;

/// The Lease service of one member.
pub(super) struct Lease<R: Runtime>(pub Node<R>);

#[tonic::async_trait]
impl<R: Runtime> pb::lease_server::Lease for Lease<R> {
    type LeaseKeepAliveStream = Outgoing<pb::LeaseKeepAliveResponse>;

    async fn lease_grant(
        &self,
        request: Request<pb::LeaseGrantRequest>,
    ) -> Result<Response<pb::LeaseGrantResponse>, Status> {
        let context = context(&self.0, request.metadata()).await?;
        self.0.permit_any(context).map_err(status)?;
        let pb::LeaseGrantRequest { id, ttl } = request.into_inner();
        let (granted, header) = self.0.lease_grant(id, ttl, context).await.map_err(status)?;
        let header = Some(response_header(&header));
        let error = String::new();
        Ok(Response::new(pb::LeaseGrantResponse { header, id: granted.id, ttl: granted.ttl, error }))
    }

    async fn lease_revoke(
        &self,
        request: Request<pb::LeaseRevokeRequest>,
    ) -> Result<Response<pb::LeaseRevokeResponse>, Status> {
        let context = context(&self.0, request.metadata()).await?;
        self.0.permit_any(context).map_err(status)?;
        let header = self.0.lease_revoke(request.into_inner().id, context).await.map_err(status)?;
        Ok(Response::new(pb::LeaseRevokeResponse { header: Some(response_header(&header)) }))
    }

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<pb::LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let context = anonymous(&self.0, request.metadata())?;
        let alarm = Alarm::new(&self.0, context.deadline, requires_leader(request.metadata()));
        let stream = KeepAlives {
            node: self.0.clone(),
            context,
            token: token(request.metadata()).map(Arc::from),
            requests: request.into_inner(),
            serving: FuturesOrdered::new(),
            alarm,
            is_read: false,
            is_ended: false,
        };
        Ok(Response::new(Box::pin(unfold(stream, |mut stream| async move {
            let item = stream.next().await?;
            Some((item, stream))
        }))))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<pb::LeaseTimeToLiveRequest>,
    ) -> Result<Response<pb::LeaseTimeToLiveResponse>, Status> {
        let context = context(&self.0, request.metadata()).await?;
        self.0.permit_any(context).map_err(status)?;
        let pb::LeaseTimeToLiveRequest { id, keys } = request.into_inner();
        let (found, header) = self.0.lease_time_to_live(id, keys, context).await.map_err(status)?;
        let header = Some(response_header(&header));
        Ok(Response::new(match found {
            Some(lease) => pb::LeaseTimeToLiveResponse {
                header,
                id,
                ttl: lease.ttl,
                granted_ttl: lease.granted_ttl,
                keys: lease.keys,
            },
            None => pb::LeaseTimeToLiveResponse { header, id, ttl: -1, granted_ttl: 0, keys: Vec::new() },
        }))
    }

    async fn lease_leases(
        &self,
        request: Request<pb::LeaseLeasesRequest>,
    ) -> Result<Response<pb::LeaseLeasesResponse>, Status> {
        let context = context(&self.0, request.metadata()).await?;
        let (ids, header) = self.0.leases(context).map_err(status)?;
        let leases = ids.into_iter().map(|id| pb::LeaseStatus { id }).collect();
        Ok(Response::new(pb::LeaseLeasesResponse { header: Some(response_header(&header)), leases }))
    }
}

/// One client's stream.
struct KeepAlives<R: Runtime> {
    node: Node<R>,
    context: RequestContext,
    /// Looked at anew for every message.
    token: Option<Arc<str>>,
    requests: Streaming<pb::LeaseKeepAliveRequest>,
    /// In order of arrival, bounded: a client that sends more is held back.
    serving: FuturesOrdered<BoxFuture<'static, Result<pb::LeaseKeepAliveResponse, Status>>>,
    alarm: Alarm<R>,
    /// The client sends no more.
    is_read: bool,
    is_ended: bool,
}

enum Step {
    Answer(Result<pb::LeaseKeepAliveResponse, Status>),
    Request(Result<Option<pb::LeaseKeepAliveRequest>, Status>),
    Alarm(crate::types::Error),
}

impl<R: Runtime> KeepAlives<R> {
    /// The next message for the client; an error or `None` ends the stream.
    async fn next(&mut self) -> Option<Result<pb::LeaseKeepAliveResponse, Status>> {
        while !self.is_ended && (!self.is_read || !self.serving.is_empty()) {
            let end = match self.step().await {
                Step::Answer(Ok(answer)) => return Some(Ok(answer)),
                Step::Request(Ok(Some(request))) => {
                    self.serving.push_back(Box::pin(serve(
                        self.node.clone(),
                        request.id,
                        self.context,
                        self.token.clone(),
                    )));
                    continue;
                }
                Step::Request(Ok(None)) => {
                    self.is_read = true;
                    continue;
                }
                Step::Answer(Err(error)) => error,
                Step::Request(Err(error)) => in_grpc_words(error, max_message_bytes(&self.node)),
                Step::Alarm(error) => status(error),
            };
            self.is_ended = true;
            return Some(Err(end));
        }
        None
    }

    async fn step(&mut self) -> Step {
        let has_room = !self.is_read && self.serving.len() < MAX_STREAM_KEEP_ALIVES;
        let is_serving = !self.serving.is_empty();
        let answer = async {
            match self.serving.next().await {
                Some(answer) if is_serving => answer,
                _ => std::future::pending().await,
            }
        };
        let request = async {
            match has_room {
                true => self.requests.message().await,
                false => std::future::pending().await,
            }
        };
        // Requests first, so that what a client sent at once is served at once.
        let work = async {
            match select(request, answer).await {
                Either::First(request) => Step::Request(request),
                Either::Second(answer) => Step::Answer(answer),
            }
        };
        match select(work, self.alarm.rings(&self.node)).await {
            Either::First(step) => step,
            Either::Second(error) => Step::Alarm(error),
        }
    }
}

async fn serve<R: Runtime>(
    node: Node<R>,
    id: i64,
    mut context: RequestContext,
    token: Option<Arc<str>>,
) -> Result<pb::LeaseKeepAliveResponse, Status> {
    if let Some(token) = token {
        context = identified(&node, context, &token).await?;
    }
    let (ttl, header) = node.lease_keep_alive(id, context).await.map_err(status)?;
    Ok(pb::LeaseKeepAliveResponse { header: Some(response_header(&header)), id, ttl })
}
