//! grpc.health.v1.Health: only the service "" is set; it stops serving when the member stops.

use etched_proto::health as pb;
use futures_util::stream::unfold;
use pb::health_check_response::ServingStatus;
use tonic::{Request, Response, Status};

use super::streams::Outgoing;
use crate::node::Node;
use crate::runtime::Runtime;

/// The health service of one member.
pub(super) struct Health<R: Runtime>(pub Node<R>);

fn answer(status: ServingStatus) -> pb::HealthCheckResponse {
    pb::HealthCheckResponse { status: status.into() }
}

fn status<R: Runtime>(node: &Node<R>) -> ServingStatus {
    if node.is_stopping() { ServingStatus::NotServing } else { ServingStatus::Serving }
}

#[tonic::async_trait]
impl<R: Runtime> pb::health_server::Health for Health<R> {
    async fn check(
        &self,
        request: Request<pb::HealthCheckRequest>,
    ) -> Result<Response<pb::HealthCheckResponse>, Status> {
        if !request.into_inner().service.is_empty() {
            return Err(Status::not_found("unknown service"));
        }
        Ok(Response::new(answer(status(&self.0))))
    }

    async fn list(
        &self,
        _: Request<pb::HealthListRequest>,
    ) -> Result<Response<pb::HealthListResponse>, Status> {
        let statuses = [(String::new(), answer(status(&self.0)))].into_iter().collect();
        Ok(Response::new(pb::HealthListResponse { statuses }))
    }

    type WatchStream = Outgoing<pb::HealthCheckResponse>;

    async fn watch(
        &self,
        request: Request<pb::HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let known = request.into_inner().service.is_empty();
        let stream = unfold((self.0.clone(), None), move |(node, last)| async move {
            match last {
                None => {}
                Some(ServingStatus::Serving) => node.stopping().await,
                // It does not change any more, but clients expect the stream to stay.
                Some(ServingStatus::ServiceUnknown) => {
                    node.stopping().await;
                    return None;
                }
                Some(_) => return None,
            }
            let next = if known { status(&node) } else { ServingStatus::ServiceUnknown };
            Some((Ok(answer(next)), (node, Some(next))))
        });
        Ok(Response::new(Box::pin(stream)))
    }
}
