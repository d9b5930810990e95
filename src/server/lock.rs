//! v3lockpb.Lock (E5–E7).

use etched_proto::v3lockpb as pb;
use tonic::{Request, Response, Status};

use super::context::inner_context;
use super::status::inner_status;
use super::translate::response_header;
use crate::node::Node;
use crate::node::api::Header;
use crate::runtime::Runtime;
use crate::types::{DeleteRangeRequest, KeyRange};

/// The Lock service of one member.
pub(super) struct Lock<R: Runtime>(pub Node<R>);

#[tonic::async_trait]
impl<R: Runtime> pb::lock_server::Lock for Lock<R> {
    async fn lock(&self, request: Request<pb::LockRequest>) -> Result<Response<pb::LockResponse>, Status> {
        let context = inner_context(&self.0, request.metadata()).await?;
        let pb::LockRequest { name, lease } = request.into_inner();
        let turn = self.0.lock(name, lease, context).await.map_err(inner_status)?;
        // The fencing token.
        let header = Header { revision: turn.revision, ..turn.header };
        Ok(Response::new(pb::LockResponse { header: Some(response_header(&header)), key: turn.key }))
    }

    async fn unlock(
        &self,
        request: Request<pb::UnlockRequest>,
    ) -> Result<Response<pb::UnlockResponse>, Status> {
        let context = inner_context(&self.0, request.metadata()).await?;
        let key = request.into_inner().key;
        if key.is_empty() {
            return Err(inner_status(crate::types::Error::EmptyKey));
        }
        let delete = DeleteRangeRequest { range: KeyRange::single(key), prev_kv: false };
        let (_, header) = self.0.delete_range(delete, context).await.map_err(inner_status)?;
        Ok(Response::new(pb::UnlockResponse { header: Some(response_header(&header)) }))
    }
}
