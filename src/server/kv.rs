//! etcdserverpb.KV.

use etched_proto::etcdserverpb as pb;
use tonic::{Request, Response, Status};

use super::context::context;
use super::status::{not_offered, status};
use super::streams::Outgoing;
use super::translate;
use crate::node::Node;
use crate::runtime::Runtime;

/// The KV service of one member.
pub(super) struct Kv<R: Runtime>(pub Node<R>);

#[tonic::async_trait]
impl<R: Runtime> pb::kv_server::Kv for Kv<R> {
    async fn range(&self, request: Request<pb::RangeRequest>) -> Result<Response<pb::RangeResponse>, Status> {
        let context = context(&self.0, request.metadata())?;
        let request = translate::range(request.into_inner()).map_err(status)?;
        let (response, header) = self.0.range(request, context).await.map_err(status)?;
        Ok(Response::new(translate::range_response(translate::response_header(&header), &response)))
    }

    type RangeStreamStream = Outgoing<pb::RangeStreamResponse>;

    async fn range_stream(
        &self,
        _: Request<pb::RangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        // Clients fall back to Range when they see this code (RS8).
        Err(not_offered("RangeStream"))
    }

    async fn put(&self, request: Request<pb::PutRequest>) -> Result<Response<pb::PutResponse>, Status> {
        let context = context(&self.0, request.metadata())?;
        let request = translate::put(request.into_inner()).map_err(status)?;
        let (response, header) = self.0.put(request, context).await.map_err(status)?;
        Ok(Response::new(translate::put_response(translate::response_header(&header), &response)))
    }

    async fn delete_range(
        &self,
        request: Request<pb::DeleteRangeRequest>,
    ) -> Result<Response<pb::DeleteRangeResponse>, Status> {
        let context = context(&self.0, request.metadata())?;
        let request = translate::delete_range(request.into_inner()).map_err(status)?;
        let (response, header) = self.0.delete_range(request, context).await.map_err(status)?;
        Ok(Response::new(translate::delete_range_response(translate::response_header(&header), &response)))
    }

    async fn txn(&self, request: Request<pb::TxnRequest>) -> Result<Response<pb::TxnResponse>, Status> {
        let context = context(&self.0, request.metadata())?;
        let request = translate::txn(request.into_inner(), self.0.config().max_txn_ops).map_err(status)?;
        let (response, header) = self.0.txn(request, context).await.map_err(status)?;
        Ok(Response::new(translate::txn_response(translate::response_header(&header), &response)))
    }

    async fn compact(
        &self,
        request: Request<pb::CompactionRequest>,
    ) -> Result<Response<pb::CompactionResponse>, Status> {
        let context = context(&self.0, request.metadata())?;
        let request = translate::compaction(request.into_inner());
        let (_, header) = self.0.compact(request, context).await.map_err(status)?;
        Ok(Response::new(translate::compaction_response(translate::response_header(&header))))
    }
}
