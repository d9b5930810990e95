//! All services of the client port behind one call.

use std::convert::Infallible;

use etched_proto::etcdserverpb::cluster_server::ClusterServer;
use etched_proto::etcdserverpb::kv_server::KvServer;
use etched_proto::etcdserverpb::maintenance_server::MaintenanceServer;
use etched_proto::etcdserverpb::watch_server::WatchServer;
use etched_proto::health::health_server::HealthServer;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service;

use super::cluster::Cluster;
use super::health::Health;
use super::kv::Kv;
use super::maintenance::Maintenance;
use super::watch::Watch;
use crate::node::Node;
use crate::runtime::Runtime;
use crate::types::limits::GRPC_OVERHEAD_BYTES;

/// The services of one member; a clone copies pointers.
pub(super) struct Doors<R: Runtime> {
    kv: KvServer<Kv<R>>,
    watch: WatchServer<Watch<R>>,
    cluster: ClusterServer<Cluster<R>>,
    maintenance: MaintenanceServer<Maintenance<R>>,
    health: HealthServer<Health<R>>,
    max_message_bytes: usize,
}

impl<R: Runtime> Clone for Doors<R> {
    fn clone(&self) -> Self {
        Doors {
            kv: self.kv.clone(),
            watch: self.watch.clone(),
            cluster: self.cluster.clone(),
            maintenance: self.maintenance.clone(),
            health: self.health.clone(),
            max_message_bytes: self.max_message_bytes,
        }
    }
}

impl<R: Runtime> Doors<R> {
    /// The doors of `node`.
    pub fn new(node: &Node<R>) -> Self {
        let max = node.config().max_request_bytes + GRPC_OVERHEAD_BYTES;
        Doors {
            kv: KvServer::new(Kv(node.clone()))
                .max_decoding_message_size(max)
                .max_encoding_message_size(usize::MAX),
            watch: WatchServer::new(Watch(node.clone()))
                .max_decoding_message_size(max)
                .max_encoding_message_size(usize::MAX),
            cluster: ClusterServer::new(Cluster(node.clone())).max_decoding_message_size(max),
            maintenance: MaintenanceServer::new(Maintenance(node.clone())).max_decoding_message_size(max),
            health: HealthServer::new(Health(node.clone())),
            max_message_bytes: max,
        }
    }

    /// Serves one gRPC request.
    pub async fn call(mut self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let path = request.uri().path();
        let service =
            path.strip_prefix('/').and_then(|path| path.split_once('/')).map_or("", |(name, _)| name);
        let response = match service {
            "etcdserverpb.KV" => self.kv.call(request).await?,
            "etcdserverpb.Watch" => self.watch.call(request).await?,
            "etcdserverpb.Cluster" => self.cluster.call(request).await?,
            "etcdserverpb.Maintenance" => self.maintenance.call(request).await?,
            "grpc.health.v1.Health" => self.health.call(request).await?,
            other => Status::unimplemented(format!("unknown service {other}")).into_http(),
        };
        Ok(too_large_as_grpc_says_it(response, self.max_message_bytes))
    }
}

/// A message above the limit is told in grpc-go's words and code (M7), which clients match on.
fn too_large_as_grpc_says_it(mut response: Response<Body>, max: usize) -> Response<Body> {
    const PREFIX: &str = "Error, decoded message length too large: found ";
    let code = HeaderValue::from_static("11");
    if response.headers().get("grpc-status") != Some(&code) {
        return response;
    }
    let Some(status) = Status::from_header_map(response.headers()) else { return response };
    if status.code() != Code::OutOfRange {
        return response;
    }
    let Some(found) = status.message().strip_prefix(PREFIX) else { return response };
    let found: String = found.chars().take_while(char::is_ascii_digit).collect();
    let text = format!("grpc: received message larger than max ({found} vs. {max})");
    response = Status::resource_exhausted(text).into_http();
    response
}
