//! etcdserverpb.Cluster: MemberList; changes of the membership are not offered yet.

use etched_proto::etcdserverpb as pb;
use tonic::{Request, Response, Status};

use super::context::context;
use super::status::{not_offered, status};
use super::translate;
use crate::node::Node;
use crate::runtime::Runtime;

/// The Cluster service of one member.
pub(super) struct Cluster<R: Runtime>(pub Node<R>);

#[tonic::async_trait]
impl<R: Runtime> pb::cluster_server::Cluster for Cluster<R> {
    async fn member_list(
        &self,
        request: Request<pb::MemberListRequest>,
    ) -> Result<Response<pb::MemberListResponse>, Status> {
        let context = context(&self.0, request.metadata()).await?;
        self.0.permit_any(context).map_err(status)?;
        let linearizable = request.into_inner().linearizable;
        let (members, header) = self.0.member_list(linearizable, context).await.map_err(status)?;
        Ok(Response::new(pb::MemberListResponse {
            header: Some(translate::response_header(&header)),
            members: members.iter().map(translate::member).collect(),
        }))
    }

    async fn member_add(
        &self,
        _: Request<pb::MemberAddRequest>,
    ) -> Result<Response<pb::MemberAddResponse>, Status> {
        Err(not_offered("MemberAdd"))
    }

    async fn member_remove(
        &self,
        _: Request<pb::MemberRemoveRequest>,
    ) -> Result<Response<pb::MemberRemoveResponse>, Status> {
        Err(not_offered("MemberRemove"))
    }

    async fn member_update(
        &self,
        _: Request<pb::MemberUpdateRequest>,
    ) -> Result<Response<pb::MemberUpdateResponse>, Status> {
        Err(not_offered("MemberUpdate"))
    }

    async fn member_promote(
        &self,
        _: Request<pb::MemberPromoteRequest>,
    ) -> Result<Response<pb::MemberPromoteResponse>, Status> {
        Err(not_offered("MemberPromote"))
    }
}
