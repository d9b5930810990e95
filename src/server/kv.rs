//! etcdserverpb.KV: the hot service, without tonic's generated server.

use bytes::Bytes;
use etched_proto::etcdserverpb as pb;
use http::{Request, Response};
use hyper::body::Incoming;
use prost::Message;
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::MetadataMap;

use super::context::context;
use super::status::{max_message_bytes, status, unknown_method};
use super::translate::{self, response_header};
use super::unary::{answer, answer_in_pieces, read};
use crate::node::Node;
use crate::node::api::Header;
use crate::runtime::{Instant, Runtime, timeout};
use crate::types::{Error, RangeResponse};

/// Answers of ranges above this size are encoded off the thread of node and doors.
const INLINE_BYTES: usize = 256 * 1024;
/// Size of the pieces in which larger ones are encoded.
const PIECE_BYTES: usize = 1024 * 1024;

/// Serves one request of the service. RangeStream is not offered: clients fall back to Range when
/// they see its code (RS8).
pub(super) async fn call<R: Runtime>(
    node: &Node<R>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Status> {
    let (parts, body) = request.into_parts();
    let context = context(node, &MetadataMap::from_headers(parts.headers))?;
    let body = Inbound { body, deadline: context.deadline, max_bytes: max_message_bytes(node) };
    match parts.uri.path() {
        "/etcdserverpb.KV/Range" => {
            let request = translate::range(body.read::<R, _>().await?).map_err(status)?;
            let (response, header) = node.range(request, context).await.map_err(status)?;
            range_answer::<R>(response, header).await
        }
        "/etcdserverpb.KV/Put" => {
            let request = translate::put(body.read::<R, _>().await?).map_err(status)?;
            let (response, header) = node.put(request, context).await.map_err(status)?;
            Ok(answer(&translate::put_response(response_header(&header), &response)))
        }
        "/etcdserverpb.KV/DeleteRange" => {
            let request = translate::delete_range(body.read::<R, _>().await?).map_err(status)?;
            let (response, header) = node.delete_range(request, context).await.map_err(status)?;
            Ok(answer(&translate::delete_range_response(response_header(&header), &response)))
        }
        "/etcdserverpb.KV/Txn" => {
            let max_ops = node.config().max_txn_ops;
            let request = translate::txn(body.read::<R, _>().await?, max_ops).map_err(status)?;
            let (response, header) = node.txn(request, context).await.map_err(status)?;
            Ok(answer(&translate::txn_response(response_header(&header), &response)))
        }
        "/etcdserverpb.KV/Compact" => {
            let request = translate::compaction(body.read::<R, _>().await?);
            let (_, header) = node.compact(request, context).await.map_err(status)?;
            Ok(answer(&translate::compaction_response(response_header(&header))))
        }
        other => Err(unknown_method(other)),
    }
}

/// A request's message that is still to be read.
struct Inbound {
    body: Incoming,
    deadline: Option<Instant>,
    max_bytes: usize,
}

impl Inbound {
    /// Reads it while the client's deadline lasts.
    async fn read<R: Runtime, M: Message + Default>(self) -> Result<M, Status> {
        let reading = read(self.body, self.max_bytes);
        match self.deadline {
            None => reading.await,
            Some(deadline) => timeout::<R, _>(deadline - R::now(), reading)
                .await
                .unwrap_or_else(|| Err(status(Error::DeadlineExceeded))),
        }
    }
}

/// A small range is encoded here and now; a large one elsewhere, so that neither other clients nor
/// heartbeats wait for it.
async fn range_answer<R: Runtime>(response: RangeResponse, header: Header) -> Result<Response<Body>, Status> {
    let bytes: usize = response.kvs.iter().map(|kv| kv.data_bytes()).sum();
    if bytes <= INLINE_BYTES {
        return Ok(answer(&translate::range_response(response_header(&header), &response)));
    }
    let pieces = R::spawn_blocking("encode range", move || range_pieces(response, &header)).await;
    pieces.map(answer_in_pieces).map_err(|_| status(Error::Stopped))
}

/// The encoded answer in pieces: messages of this type one after the other are one message with all
/// their records.
fn range_pieces(mut response: RangeResponse, header: &Header) -> Vec<Bytes> {
    let mut left = std::mem::take(&mut response.kvs).into_iter().peekable();
    let mut pieces =
        vec![translate::range_response(response_header(header), &response).encode_to_vec().into()];
    while left.peek().is_some() {
        let mut bytes = 0;
        let mut kvs = Vec::new();
        while bytes < PIECE_BYTES
            && let Some(kv) = left.next()
        {
            bytes += kv.data_bytes();
            kvs.push(kv);
        }
        let piece = RangeResponse { kvs, more: false, count: 0, ..response };
        let message = translate::range_response(Default::default(), &piece);
        pieces.push(pb::RangeResponse { header: None, ..message }.encode_to_vec().into());
    }
    pieces
}
