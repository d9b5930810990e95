//! All services of the client port, and its plain HTTP, behind one call.

use std::convert::Infallible;
use std::sync::Arc;

use etched_proto::etcdserverpb::auth_server::AuthServer;
use etched_proto::etcdserverpb::cluster_server::ClusterServer;
use etched_proto::etcdserverpb::maintenance_server::MaintenanceServer;
use etched_proto::health::health_server::HealthServer;
use etched_proto::v3electionpb::election_server::ElectionServer;
use etched_proto::v3lockpb::lock_server::LockServer;
use futures_util::FutureExt;
use futures_util::future::Either;
use http::{Method, Request, Response, StatusCode, header};
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use super::auth::Auth;
use super::cluster::Cluster;
use super::election::Election;
use super::health::Health;
use super::kv;
use super::lease;
use super::lock::Lock;
use super::maintenance::Maintenance;
use super::plain_http;
use super::request_body::RequestBody;
use super::status::{max_message_bytes, response_in_grpc_words};
use super::watch;
use crate::node::Node;
use crate::runtime::Runtime;

/// The services of one member; a clone copies a pointer.
pub(super) struct Doors<R: Runtime>(Arc<Services<R>>);

struct Services<R: Runtime> {
    auth: AuthServer<Auth<R>>,
    cluster: ClusterServer<Cluster<R>>,
    maintenance: MaintenanceServer<Maintenance<R>>,
    health: HealthServer<Health<R>>,
    lock: LockServer<Lock<R>>,
    election: ElectionServer<Election<R>>,
    node: Node<R>,
}

impl<R: Runtime> Clone for Doors<R> {
    fn clone(&self) -> Self {
        Doors(self.0.clone())
    }
}

impl<R: Runtime> Doors<R> {
    /// The doors of `node`.
    pub fn new(node: &Node<R>) -> Self {
        let max = max_message_bytes(node);
        let of = || node.clone();
        Doors(Arc::new(Services {
            auth: AuthServer::new(Auth(of())).max_decoding_message_size(max),
            cluster: ClusterServer::new(Cluster(of())).max_decoding_message_size(max),
            maintenance: MaintenanceServer::new(Maintenance(of())).max_decoding_message_size(max),
            health: HealthServer::new(Health(of())).max_decoding_message_size(max),
            lock: LockServer::new(Lock(of())).max_decoding_message_size(max),
            election: ElectionServer::new(Election(of())).max_decoding_message_size(max),
            node: of(),
        }))
    }

    /// Serves one request of either kind: gRPC by its content type, else plain HTTP. The hot service
    /// is served in place; the futures of the others, which are larger, have boxes of their own.
    pub fn call(
        self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> + Send {
        let node = self.0.node.clone();
        let (is_grpc, is_post) = (is_grpc(&request), request.method() == Method::POST);
        if is_grpc && is_post && service(request.uri().path()) == "etcdserverpb.KV" {
            let served = kv::call(node, request);
            return Either::Left(served.map(|served| Ok(served.unwrap_or_else(Status::into_http))));
        }
        Either::Right(Box::pin(async move {
            if !is_grpc {
                return Ok(plain_http::answer(&node, &request).await.map(Body::new));
            }
            if !is_post {
                return Ok(not_post(request.method()));
            }
            match service(request.uri().path()) {
                "etcdserverpb.Watch" => Ok(watch::call(&node, request).unwrap_or_else(Status::into_http)),
                "etcdserverpb.Lease" => {
                    Ok(lease::call(&node, request).await.unwrap_or_else(Status::into_http))
                }
                _ => self.call_generated(request).await,
            }
        }))
    }

    /// Serves one request of a service behind tonic's generated code.
    async fn call_generated(&self, request: Request<RequestBody>) -> Result<Response<Body>, Infallible> {
        let path = request.uri().path().to_string();
        let services = &self.0;
        let response = match service(&path) {
            "etcdserverpb.Auth" => services.auth.clone().call(request).await?,
            "etcdserverpb.Cluster" => services.cluster.clone().call(request).await?,
            "etcdserverpb.Maintenance" => services.maintenance.clone().call(request).await?,
            "grpc.health.v1.Health" => services.health.clone().call(request).await?,
            "v3lockpb.Lock" => services.lock.clone().call(request).await?,
            "v3electionpb.Election" => services.election.clone().call(request).await?,
            other => Status::unimplemented(format!("unknown service {other}")).into_http(),
        };
        Ok(response_in_grpc_words(response, &path, max_message_bytes(&services.node)))
    }
}

/// Whether it says that it is gRPC, perhaps with a subtype or parameters.
fn is_grpc(request: &Request<RequestBody>) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE).map(|kind| kind.as_bytes());
    let rest = kind.and_then(|kind| kind.strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// The refusal of a gRPC request by another method.
fn not_post(method: &Method) -> Response<Body> {
    let text = format!("Received a HEADERS frame with :method \"{method}\" which should be POST");
    let mut response = Status::internal(text).into_http();
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response
}

/// The service that a path names.
fn service(path: &str) -> &str {
    path.trim_start_matches('/').rsplit_once('/').map_or("", |(service, _)| service)
}
