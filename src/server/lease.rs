//! etcdserverpb.Lease. The messages of a keep-alive stream are served side by side and answered in
//! order, so that a client with many leases waits for one round, not for as many.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use etched_proto::etcdserverpb as pb;
use futures_util::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use super::alarm::Alarm;
use super::context::{anonymous, context, requires_leader, token};
use super::status::{in_grpc_words, max_message_bytes, status};
use super::translate::response_header;
use crate::node::{KeepAliveSession, KeptAlive, Node};
use crate::runtime::Runtime;
use crate::types::limits::MAX_STREAM_KEEP_ALIVES;

/// The Lease service of one member.
pub(super) struct Lease<R: Runtime>(pub Node<R>);

#[tonic::async_trait]
impl<R: Runtime> pb::lease_server::Lease for Lease<R> {
    type LeaseKeepAliveStream = KeepAlives<R>;

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
        let session = self.0.keep_alive_session(context, token(request.metadata()).map(Arc::from));
        Ok(Response::new(KeepAlives {
            node: self.0.clone(),
            session,
            requests: request.into_inner(),
            alarm,
            is_read: false,
            is_ended: false,
        }))
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
pub(super) struct KeepAlives<R: Runtime> {
    node: Node<R>,
    /// Bounded: a client that sends more is held back.
    session: KeepAliveSession<R>,
    requests: Streaming<pb::LeaseKeepAliveRequest>,
    alarm: Alarm<R>,
    /// The client sends no more.
    is_read: bool,
    is_ended: bool,
}

impl<R: Runtime> Stream for KeepAlives<R> {
    type Item = Result<pb::LeaseKeepAliveResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_ended {
            return Poll::Ready(None);
        }
        let next = ready!(self.poll_step(cx)).transpose();
        self.is_ended = !matches!(next, Some(Ok(_)));
        Poll::Ready(next)
    }
}

impl<R: Runtime> KeepAlives<R> {
    /// The next message for the client; an error or `None` ends the stream. Requests come first, so that
    /// what a client sent at once is served at once.
    fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<pb::LeaseKeepAliveResponse>, Status>> {
        while !self.is_read && self.session.len() < MAX_STREAM_KEEP_ALIVES {
            match self.requests.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(request))) => self.session.ask(request.id),
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Err(in_grpc_words(error, max_message_bytes(&self.node))));
                }
                Poll::Ready(None) => self.is_read = true,
                Poll::Pending => break,
            }
        }
        if self.is_read && self.session.is_empty() {
            return Poll::Ready(Ok(None));
        }
        if let Poll::Ready(answer) = self.session.poll_answer(cx) {
            let KeptAlive { id, ttl, header } = answer.map_err(status)?;
            let header = Some(response_header(&header));
            return Poll::Ready(Ok(Some(pb::LeaseKeepAliveResponse { header, id, ttl })));
        }
        self.alarm.poll_rings(&self.node, cx).map(|error| Err(status(error)))
    }
}
