//! What is served as plain HTTP (1.1, or 2 without a gRPC content type): `/health` and `/version`.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;

use super::request_body::RequestBody;
use crate::node::Node;
use crate::node::api::RequestContext;
use crate::runtime::Runtime;
use crate::types::limits::ETCD_VERSION;

/// Answers one request.
pub(super) async fn answer<R: Runtime>(
    node: &Node<R>,
    request: &Request<RequestBody>,
) -> Response<Full<Bytes>> {
    let is_get = request.method() == Method::GET;
    match (request.uri().path(), is_get) {
        ("/health" | "/version", false) => {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
            response
        }
        ("/health", true) => health(node, request.uri().query().unwrap_or("")).await,
        ("/version", true) => {
            let version = format!(
                "{{\"etcdserver\":\"{ETCD_VERSION}\",\"etcdcluster\":\"3.7.0\",\"storage\":\"3.7.0\"}}"
            );
            json(StatusCode::OK, version)
        }
        _ => plain(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
}

/// etcd's `/health`: a leader is known and a read works; `serializable=true` asks this member only.
async fn health<R: Runtime>(node: &Node<R>, query: &str) -> Response<Full<Bytes>> {
    let local = query.split('&').any(|pair| pair == "serializable=true");
    let reason = if local {
        String::new()
    } else if !node.has_leader() {
        "RAFT NO LEADER".to_string()
    } else {
        match node.read_barrier(RequestContext::default()).await {
            Ok(_) => String::new(),
            Err(error) => format!("RANGE ERROR:{error}"),
        }
    };
    let healthy = reason.is_empty();
    let code = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(code, format!("{{\"health\":\"{healthy}\",\"reason\":\"{reason}\"}}"))
}

fn json(code: StatusCode, body: String) -> Response<Full<Bytes>> {
    reply(code, "application/json", body)
}

fn plain(code: StatusCode, body: &str) -> Response<Full<Bytes>> {
    reply(code, "text/plain; charset=utf-8", body.to_string())
}

fn reply(code: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
