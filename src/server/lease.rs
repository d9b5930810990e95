//! etcdserverpb.Lease, without tonic's generated server.

use etched_proto::etcdserverpb as pb;
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::MetadataMap;

use super::context::context;
use super::keep_alives;
use super::request_body::RequestBody;
use super::status::{max_message_bytes, status, unknown_method};
use super::translate::response_header;
use super::unary::{Inbound, answer};
use crate::node::Node;
use crate::node::api::RequestContext;
use crate::runtime::Runtime;

/// Serves one request of the service.
pub(super) async fn call<R: Runtime>(
    node: &Node<R>,
    request: Request<RequestBody>,
) -> Result<Response<Body>, Status> {
    let (parts, body) = request.into_parts();
    let metadata = MetadataMap::from_headers(parts.headers);
    let method = match parts.uri.path() {
        "/etcdserverpb.Lease/LeaseKeepAlive" => return keep_alives::call(node, &metadata, body),
        "/etcdserverpb.Lease/LeaseGrant" => Method::Grant,
        "/etcdserverpb.Lease/LeaseRevoke" => Method::Revoke,
        "/etcdserverpb.Lease/LeaseTimeToLive" => Method::TimeToLive,
        "/etcdserverpb.Lease/LeaseLeases" => Method::Leases,
        other => return Err(unknown_method(other)),
    };
    let context = context(node, &metadata).await?;
    let body = Inbound { body, deadline: context.deadline, max_bytes: max_message_bytes(node) };
    match method {
        Method::Grant => grant(node, body.read::<R, _>().await?, context).await,
        Method::Revoke => revoke(node, body.read::<R, _>().await?, context).await,
        Method::TimeToLive => time_to_live(node, body.read::<R, _>().await?, context).await,
        Method::Leases => {
            let pb::LeaseLeasesRequest {} = body.read::<R, _>().await?;
            let (ids, header) = node.leases(context).map_err(status)?;
            let leases = ids.into_iter().map(|id| pb::LeaseStatus { id }).collect();
            Ok(answer(&pb::LeaseLeasesResponse { header: Some(response_header(&header)), leases }))
        }
    }
}

/// What a request with one message asks for, as its path says.
enum Method {
    Grant,
    Revoke,
    TimeToLive,
    Leases,
}

async fn grant<R: Runtime>(
    node: &Node<R>,
    request: pb::LeaseGrantRequest,
    context: RequestContext,
) -> Result<Response<Body>, Status> {
    node.permit_any(context).map_err(status)?;
    let (granted, header) = node.lease_grant(request.id, request.ttl, context).await.map_err(status)?;
    let (header, error) = (Some(response_header(&header)), String::new());
    Ok(answer(&pb::LeaseGrantResponse { header, id: granted.id, ttl: granted.ttl, error }))
}

async fn revoke<R: Runtime>(
    node: &Node<R>,
    request: pb::LeaseRevokeRequest,
    context: RequestContext,
) -> Result<Response<Body>, Status> {
    node.permit_any(context).map_err(status)?;
    let header = node.lease_revoke(request.id, context).await.map_err(status)?;
    Ok(answer(&pb::LeaseRevokeResponse { header: Some(response_header(&header)) }))
}

async fn time_to_live<R: Runtime>(
    node: &Node<R>,
    request: pb::LeaseTimeToLiveRequest,
    context: RequestContext,
) -> Result<Response<Body>, Status> {
    node.permit_any(context).map_err(status)?;
    let pb::LeaseTimeToLiveRequest { id, keys } = request;
    let (found, header) = node.lease_time_to_live(id, keys, context).await.map_err(status)?;
    let header = Some(response_header(&header));
    Ok(answer(&match found {
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
