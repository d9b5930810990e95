//! etcdserverpb.Maintenance: Status and HashKV; the rest is not offered yet.

use etched_proto::etcdserverpb as pb;
use tonic::{Request, Response, Status};

use super::context::context;
use super::status::{not_offered, status};
use super::streams::Outgoing;
use super::translate;
use crate::node::Node;
use crate::runtime::Runtime;

/// The Maintenance service of one member.
pub(super) struct Maintenance<R: Runtime>(pub Node<R>);

impl<R: Runtime> Maintenance<R> {
    /// MA14: for whoever has a token.
    async fn anybody<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let context = context(&self.0, request.metadata()).await?;
        self.0.permit_any(context).map_err(status)
    }

    /// MA14: for root alone.
    async fn admin<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let context = context(&self.0, request.metadata()).await?;
        self.0.permit_admin(context).map_err(status)
    }
}

#[tonic::async_trait]
impl<R: Runtime> pb::maintenance_server::Maintenance for Maintenance<R> {
    async fn status(
        &self,
        request: Request<pb::StatusRequest>,
    ) -> Result<Response<pb::StatusResponse>, Status> {
        self.anybody(&request).await?;
        let (status, header) = self.0.status();
        Ok(Response::new(pb::StatusResponse {
            header: Some(translate::response_header(&header)),
            version: status.version,
            db_size: status.db_size,
            leader: status.leader,
            raft_index: status.raft_index,
            raft_term: status.raft_term,
            raft_applied_index: status.raft_applied_index,
            errors: status.errors,
            db_size_in_use: status.db_size_in_use,
            is_learner: status.is_learner,
            storage_version: "3.7.0".to_string(),
            db_size_quota: status.db_size_quota,
            downgrade_info: Some(pb::DowngradeInfo::default()),
        }))
    }

    async fn hash_kv(
        &self,
        request: Request<pb::HashKvRequest>,
    ) -> Result<Response<pb::HashKvResponse>, Status> {
        self.admin(&request).await?;
        let (hash, header) = self.0.hash_kv(request.into_inner().revision).await.map_err(status)?;
        Ok(Response::new(pb::HashKvResponse {
            header: Some(translate::response_header(&header)),
            hash: hash.hash,
            compact_revision: hash.compact_revision,
            hash_revision: hash.hash_revision,
        }))
    }

    async fn alarm(&self, request: Request<pb::AlarmRequest>) -> Result<Response<pb::AlarmResponse>, Status> {
        // There are no alarms yet, so a list of them is empty; raising one is not offered.
        if request.get_ref().action != 0 {
            self.admin(&request).await?;
            return Err(not_offered("Alarm"));
        }
        self.anybody(&request).await?;
        let header = self.0.header(self.0.view().revision());
        let header = Some(translate::response_header(&header));
        Ok(Response::new(pb::AlarmResponse { header, alarms: Vec::new() }))
    }

    async fn defragment(
        &self,
        request: Request<pb::DefragmentRequest>,
    ) -> Result<Response<pb::DefragmentResponse>, Status> {
        self.admin(&request).await?;
        // Space is given back without an operator's step (D5), so this has nothing to do (M6).
        Ok(Response::new(pb::DefragmentResponse::default()))
    }

    async fn hash(&self, request: Request<pb::HashRequest>) -> Result<Response<pb::HashResponse>, Status> {
        self.admin(&request).await?;
        Err(not_offered("Hash"))
    }

    type SnapshotStream = Outgoing<pb::SnapshotResponse>;

    async fn snapshot(
        &self,
        request: Request<pb::SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        self.admin(&request).await?;
        Err(not_offered("Snapshot"))
    }

    async fn move_leader(
        &self,
        request: Request<pb::MoveLeaderRequest>,
    ) -> Result<Response<pb::MoveLeaderResponse>, Status> {
        self.admin(&request).await?;
        Err(not_offered("MoveLeader"))
    }

    async fn downgrade(
        &self,
        request: Request<pb::DowngradeRequest>,
    ) -> Result<Response<pb::DowngradeResponse>, Status> {
        self.admin(&request).await?;
        Err(not_offered("Downgrade"))
    }
}
