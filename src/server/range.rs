//! KV.Range and KV.RangeStream: records go from a view to the connection in pieces.

use http::Response;
use tonic::Status;
use tonic::body::Body;

use super::encode::{self, Shown, record_bytes};
use super::pieces::{Found, Messages, answer_in_pieces, answer_stream};
use super::status::status;
use super::unary::{answer_bytes, prefix};
use crate::node::api::{Header, RequestContext};
use crate::node::{Node, Scan};
use crate::runtime::Runtime;
use crate::types::{KeyValue, RangeRequest, SortOrder, SortTarget};

/// Answers up to this size are written at once and not charged to the budget: the bound on a
/// stream's unsent bytes is enough.
const SMALL_BYTES: usize = 4096;
/// Keys of a stream's first chunk, so that it comes soon (RS2).
const FIRST_CHUNK_KEYS: usize = 10;

/// KV.Range.
pub(super) async fn range<R: Runtime>(
    node: &Node<R>,
    request: RangeRequest,
    context: RequestContext,
) -> Result<Response<Body>, Status> {
    let shown = Shown::of(&request);
    let listing = node.list(&request, context, |record| record_bytes(record, shown)).await;
    let (mut listing, header) = listing.map_err(status)?;
    if let Some(bytes) = encode::small_listing(&header, shown, &mut listing, SMALL_BYTES, prefix) {
        return Ok(answer_bytes(bytes));
    }
    answer_in_pieces(node, encode::listing(&header, shown, listing))
}

/// KV.RangeStream (RS1–RS6). The revision is pinned by the view.
pub(super) async fn range_stream<R: Runtime>(
    node: &Node<R>,
    request: RangeRequest,
    context: RequestContext,
) -> Result<Response<Body>, Status> {
    check_streamable(&request)?;
    let (scan, header) = node.scan(&request, context).await.map_err(status)?;
    let shown = Shown::of(&request);
    let target = node.config().max_request_bytes;
    let chunk = Chunk { keys: FIRST_CHUNK_KEYS, ..Chunk::new() };
    let held_bytes = scan.held_bytes();
    answer_stream(node, Chunks { scan: Some(scan), header, shown, target, chunk }, held_bytes)
}

/// RS5. An order of NONE is no order that somebody asked for, whatever the target; as in a unary range (R14)
/// it is ascending by the target.
fn check_streamable(request: &RangeRequest) -> Result<(), Status> {
    let natural = match request.sort_order {
        SortOrder::None => true,
        SortOrder::Ascend => request.sort_target == SortTarget::Key,
        SortOrder::Descend => false,
    };
    if !natural {
        return Err(Status::unimplemented("RangeStream does not support custom sort orders"));
    }
    let bounds = [
        request.min_mod_revision,
        request.max_mod_revision,
        request.min_create_revision,
        request.max_create_revision,
    ];
    if bounds.iter().any(|bound| *bound != 0) {
        return Err(Status::unimplemented("RangeStream does not support revision filters"));
    }
    Ok(())
}

/// The records of one message of the stream, as many as make about `max-request-bytes` (RS2).
struct Chunk {
    records: Vec<KeyValue>,
    bytes: usize,
    keys: usize,
}

impl Chunk {
    fn new() -> Self {
        Chunk { records: Vec::new(), bytes: 0, keys: usize::MAX }
    }

    fn is_full(&self, target: usize) -> bool {
        self.bytes >= target || self.records.len() >= self.keys
    }
}

struct Chunks {
    /// None once the last chunk was given.
    scan: Option<Scan>,
    header: Header,
    shown: Shown,
    target: usize,
    chunk: Chunk,
}

impl Messages for Chunks {
    fn step(&mut self) -> Found {
        let Some(scan) = &mut self.scan else { return Found::End };
        let (chunk, shown, target) = (&mut self.chunk, self.shown, self.target);
        scan.step(|record| {
            chunk.bytes += record_bytes(record, shown);
            chunk.records.push(record.clone());
            !chunk.is_full(target)
        });
        // RS3: header, more and count are in the last chunk only.
        let end = scan.is_done().then(|| (self.header, scan.more(), scan.count()));
        if end.is_none() && !chunk.is_full(target) {
            return Found::Working;
        }
        let Chunk { records, bytes, .. } = std::mem::replace(chunk, Chunk::new());
        if end.is_some() {
            self.scan = None;
        }
        Found::Message(encode::chunk(records, bytes, shown, end))
    }
}
