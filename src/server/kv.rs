//! etcdserverpb.KV: the hot service, without tonic's generated server.

use std::future::{Future, ready};

use futures_util::future::Either;
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::MetadataMap;

use super::context::{anonymous, client, identified, token};
use super::encode;
use super::pieces::answer_in_pieces;
use super::range;
use super::request_body::RequestBody;
use super::status::{max_message_bytes, status, unknown_method};
use super::translate::{self, response_header};
use super::unary::{Inbound, answer};
use crate::node::Node;
use crate::node::api::RequestContext;
use crate::runtime::Runtime;
use crate::types::{Error, RequestOp};

/// What a request asks for, as its path says.
#[derive(Clone, Copy)]
enum Method {
    Range,
    RangeStream,
    Put,
    DeleteRange,
    Txn,
    Compact,
}

/// All that is needed of a request's head, so that the head itself need not live as long as the request.
struct Asked {
    method: Method,
    /// With the number that the client gave its write, if it numbers them.
    context: RequestContext,
    /// Whom it names is still to be looked up.
    token: Option<String>,
    body: Inbound,
}

impl Asked {
    fn of<R: Runtime>(node: &Node<R>, request: Request<RequestBody>) -> Result<Asked, Status> {
        let (parts, body) = request.into_parts();
        let method = match parts.uri.path() {
            "/etcdserverpb.KV/Range" => Method::Range,
            "/etcdserverpb.KV/RangeStream" => Method::RangeStream,
            "/etcdserverpb.KV/Put" => Method::Put,
            "/etcdserverpb.KV/DeleteRange" => Method::DeleteRange,
            "/etcdserverpb.KV/Txn" => Method::Txn,
            "/etcdserverpb.KV/Compact" => Method::Compact,
            other => return Err(unknown_method(other)),
        };
        let metadata = MetadataMap::from_headers(parts.headers);
        let context =
            RequestContext { client: client(&metadata).map_err(status)?, ..anonymous(node, &metadata)? };
        let body = Inbound { body, deadline: context.deadline, max_bytes: max_message_bytes(node) };
        Ok(Asked { method, context, token: token(&metadata), body })
    }
}

/// Serves one request of the service. An `async fn` would keep the whole request, and each part of it
/// that was given another name a second time.
pub(super) fn call<R: Runtime>(
    node: Node<R>,
    request: Request<RequestBody>,
) -> impl Future<Output = Result<Response<Body>, Status>> + Send {
    let mut asked = match Asked::of(&node, request) {
        Ok(asked) => asked,
        Err(refused) => return Either::Left(ready(Err(refused))),
    };
    Either::Right(async move {
        if let Some(token) = asked.token.take() {
            asked.context = Box::pin(identified(&node, asked.context, &token)).await?;
        }
        match asked.method {
            Method::Range => {
                let request = translate::range(asked.body.read::<R, _>().await?).map_err(status)?;
                range::range(&node, request, asked.context).await
            }
            Method::RangeStream => {
                let request = translate::range(asked.body.read::<R, _>().await?).map_err(status)?;
                range::range_stream(&node, request, asked.context).await
            }
            Method::Put => {
                let request = translate::put(asked.body.read::<R, _>().await?).map_err(status)?;
                check_numbered(asked.context, request.prev_kv)?;
                let (response, header) = node.put(request, asked.context).await.map_err(status)?;
                Ok(answer(&translate::put_response(response_header(&header), &response)))
            }
            Method::DeleteRange => {
                let request = translate::delete_range(asked.body.read::<R, _>().await?).map_err(status)?;
                check_numbered(asked.context, request.prev_kv)?;
                let (response, header) = node.delete_range(request, asked.context).await.map_err(status)?;
                answer_in_pieces(&node, encode::delete_range(&header, response))
            }
            Method::Txn => {
                let max_ops = node.config().max_txn_ops;
                let request = translate::txn(asked.body.read::<R, _>().await?, max_ops).map_err(status)?;
                check_numbered(
                    asked.context,
                    request.success.iter().chain(&request.failure).any(asks_for_records),
                )?;
                let (response, header) = node.txn(request, asked.context).await.map_err(status)?;
                answer_in_pieces(&node, encode::txn(&header, response))
            }
            Method::Compact => {
                let request = translate::compaction(asked.body.read::<R, _>().await?);
                // C6.
                node.permit_admin(asked.context).map_err(status)?;
                // A compaction is no write: its number, if it has one, means nothing.
                let context = RequestContext { client: None, ..asked.context };
                let (_, header) = node.compact(request, context).await.map_err(status)?;
                Ok(answer(&translate::compaction_response(response_header(&header))))
            }
        }
    })
}

/// What is remembered for a retry has no records.
fn check_numbered(context: RequestContext, asks_for_records: bool) -> Result<(), Status> {
    let refused = context.client.is_some() && asks_for_records;
    if refused { Err(status(Error::RetryWithRecords)) } else { Ok(()) }
}

fn asks_for_records(op: &RequestOp) -> bool {
    match op {
        RequestOp::Put(request) => request.prev_kv,
        RequestOp::DeleteRange(request) => request.prev_kv,
        RequestOp::Range(_) | RequestOp::Txn(_) => true,
    }
}
