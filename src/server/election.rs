//! v3electionpb.Election (E1–E4, E6, E7).

use etched_proto::v3electionpb as pb;
use futures_util::stream::{empty, unfold};
use tonic::{Request, Response, Status};

use super::context::inner_context;
use super::status::inner_status;
use super::streams::Outgoing;
use super::translate::{key_value, response_header};
use crate::node::api::Header;
use crate::node::{Leading, Node};
use crate::runtime::{Runtime, timeout};
use crate::types::{Error, KeyValue};

/// The Election service of one member.
pub(super) struct Election<R: Runtime>(pub Node<R>);

/// E3.
fn leading(leader: Option<pb::LeaderKey>) -> Result<Leading, Status> {
    let leader = leader.ok_or_else(|| inner_status(Error::LeaderKeyMissing))?;
    if leader.key.is_empty() {
        return Err(inner_status(Error::EmptyKey));
    }
    Ok(Leading { key: leader.key, revision: leader.rev, lease: leader.lease })
}

fn leader_response((kv, header): (KeyValue, Header)) -> pb::LeaderResponse {
    pb::LeaderResponse { header: Some(response_header(&header)), kv: Some(key_value(&kv)) }
}

#[tonic::async_trait]
impl<R: Runtime> pb::election_server::Election for Election<R> {
    async fn campaign(
        &self,
        request: Request<pb::CampaignRequest>,
    ) -> Result<Response<pb::CampaignResponse>, Status> {
        let context = inner_context(&self.0, request.metadata()).await?;
        let pb::CampaignRequest { name, lease, value } = request.into_inner();
        let turn = self.0.campaign(name.clone(), lease, value, context).await.map_err(inner_status)?;
        let leader = pb::LeaderKey { name, key: turn.key, rev: turn.revision, lease: turn.lease };
        let header = Some(response_header(&turn.header));
        Ok(Response::new(pb::CampaignResponse { header, leader: Some(leader) }))
    }

    async fn proclaim(
        &self,
        request: Request<pb::ProclaimRequest>,
    ) -> Result<Response<pb::ProclaimResponse>, Status> {
        let context = inner_context(&self.0, request.metadata()).await?;
        let pb::ProclaimRequest { leader, value } = request.into_inner();
        let header = self.0.proclaim(leading(leader)?, value, context).await.map_err(inner_status)?;
        Ok(Response::new(pb::ProclaimResponse { header: Some(response_header(&header)) }))
    }

    async fn leader(
        &self,
        request: Request<pb::LeaderRequest>,
    ) -> Result<Response<pb::LeaderResponse>, Status> {
        let context = inner_context(&self.0, request.metadata()).await?;
        let leader = self.0.election_leader(&request.into_inner().name, context).await;
        Ok(Response::new(leader_response(leader.map_err(inner_status)?)))
    }

    type ObserveStream = Outgoing<pb::LeaderResponse>;

    async fn observe(
        &self,
        request: Request<pb::LeaderRequest>,
    ) -> Result<Response<Self::ObserveStream>, Status> {
        let context = match inner_context(&self.0, request.metadata()).await {
            Err(refused) if refused.message() == Error::InvalidAuthToken.text() => {
                return Ok(Response::new(Box::pin(empty())));
            }
            given => given?,
        };
        let observed = self.0.observe_election(request.into_inner().name, context);
        let stream = unfold(Some(observed), move |observed| async move {
            let mut observed = observed?;
            let next = match context.deadline {
                None => observed.next().await,
                Some(deadline) => timeout::<R, _>(deadline - R::now(), observed.next())
                    .await
                    .unwrap_or(Err(Error::DeadlineExceeded)),
            };
            match next {
                Ok(leader) => Some((Ok(leader_response(leader)), Some(observed))),
                // As in etcd: who may not hears nothing.
                Err(Error::PermissionDenied | Error::UserEmpty | Error::InvalidAuthToken) => None,
                Err(error) => Some((Err(inner_status(error)), None)),
            }
        });
        Ok(Response::new(Box::pin(stream)))
    }

    async fn resign(
        &self,
        request: Request<pb::ResignRequest>,
    ) -> Result<Response<pb::ResignResponse>, Status> {
        let context = inner_context(&self.0, request.metadata()).await?;
        let leading = leading(request.into_inner().leader)?;
        let header = self.0.resign(leading, context).await.map_err(inner_status)?;
        Ok(Response::new(pb::ResignResponse { header: Some(response_header(&header)) }))
    }
}
