//! Bodies of answers of any size: encoded a piece at a time, when the connection has room for it.
//!
//! What a request holds in memory is one piece, what waits for the socket (`SEND_BUFFER_BYTES`) and,
//! for answers of medium size, references to their records. It is charged to the member's budget
//! until the last piece is written or given up. After each piece other tasks run.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::Frame;
use tonic::Status;
use tonic::body::Body;

use super::encode::{Encoded, KVS, Segment, put_record};
use super::http2::SEND_BUFFER_BYTES;
use super::status::status;
use super::unary::{MAX_SENT_BYTES, good_trailers, prefix, respond, too_large};
use crate::node::{Node, ReadPermit};
use crate::runtime::Runtime;

/// Size of a piece; a single larger record makes a larger one.
pub(super) const PIECE_BYTES: usize = 32 * 1024;
/// What the pieces of one answer take at most: one that is made, those that wait.
pub(super) const ANSWER_BYTES: usize = SEND_BUFFER_BYTES + 2 * PIECE_BYTES;

/// Messages that are found while they are sent.
pub(super) trait Messages: Send + Unpin + 'static {
    /// A bounded amount of work.
    fn step(&mut self) -> Found;
}

/// What a step of [`Messages`] gave.
pub(super) enum Found {
    /// Nothing yet.
    Working,
    /// The next message.
    Message(Encoded),
    /// The last message was found before.
    End,
}

/// An answer of a single message.
pub(super) struct Single;

impl Messages for Single {
    fn step(&mut self) -> Found {
        Found::End
    }
}

/// The answer that holds `message`. Errors: too large to send, budget used up.
pub(super) fn answer_in_pieces<R: Runtime>(
    node: &Node<R>,
    message: Encoded,
) -> Result<Response<Body>, Status> {
    if message.length > MAX_SENT_BYTES {
        return Err(too_large(message.length));
    }
    let held = message.held_bytes() + message.length.min(ANSWER_BYTES);
    let permit = node.take_read_budget(held).map_err(status)?;
    Ok(respond(Pieces::<R, _>::new(permit, Some(message), Single)))
}

/// The answer that holds `messages`, which hold `held_bytes` themselves. Errors: budget used up.
pub(super) fn answer_stream<R: Runtime>(
    node: &Node<R>,
    messages: impl Messages,
    held_bytes: usize,
) -> Result<Response<Body>, Status> {
    let permit = node.take_read_budget(held_bytes + ANSWER_BYTES).map_err(status)?;
    Ok(respond(Pieces::<R, _>::new(permit, None, messages)))
}

struct Pieces<R, M> {
    world: PhantomData<fn() -> R>,
    permit: Arc<ReadPermit>,
    segments: std::iter::Peekable<std::vec::IntoIter<Segment>>,
    messages: M,
    /// Others' turn first.
    rest: bool,
    is_ended: bool,
}

/// A piece that keeps its answer's permit until it is written.
struct Piece {
    bytes: Vec<u8>,
    _permit: Arc<ReadPermit>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn parts(message: Encoded) -> std::iter::Peekable<std::vec::IntoIter<Segment>> {
    let mut segments = message.segments;
    let prefix = prefix(message.length);
    match segments.first_mut() {
        Some(Segment::Bytes(bytes)) => drop(bytes.splice(..0, prefix)),
        _ => segments.insert(0, Segment::Bytes(prefix.to_vec())),
    }
    segments.into_iter().peekable()
}

impl<R: Runtime, M: Messages> Pieces<R, M> {
    fn new(permit: ReadPermit, first: Option<Encoded>, messages: M) -> Self {
        let segments = parts_or_none(first);
        Pieces {
            world: PhantomData,
            permit: Arc::new(permit),
            segments,
            messages,
            rest: false,
            is_ended: false,
        }
    }

    /// The next piece; empty when all that was found is written.
    fn piece(&mut self) -> Vec<u8> {
        let mut piece = Vec::new();
        while piece.len() < PIECE_BYTES
            && let Some(segment) = self.segments.peek_mut()
        {
            if !write(segment, &mut piece) {
                self.segments.next();
            }
        }
        piece
    }
}

fn parts_or_none(message: Option<Encoded>) -> std::iter::Peekable<std::vec::IntoIter<Segment>> {
    message.map_or_else(|| Vec::new().into_iter().peekable(), parts)
}

/// Writes from `segment` until the piece is full; whether there is more in it.
fn write(segment: &mut Segment, piece: &mut Vec<u8>) -> bool {
    match segment {
        Segment::Bytes(bytes) => {
            piece.append(bytes);
            false
        }
        Segment::Records(field, shown, records) => {
            while piece.len() < PIECE_BYTES
                && let Some(record) = records.next()
            {
                put_record(*field, &record, *shown, piece);
            }
            records.len() > 0
        }
        Segment::Listing(shown, listing) => listing.step(|record| {
            put_record(KVS, record, *shown, piece);
            piece.len() < PIECE_BYTES
        }),
    }
}

impl<R: Runtime, M: Messages> http_body::Body for Pieces<R, M> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.is_ended {
            return Poll::Ready(None);
        }
        if !std::mem::take(&mut self.rest) {
            let bytes = self.piece();
            if !bytes.is_empty() {
                self.rest = self.segments.peek().is_some();
                let permit = self.permit.clone();
                let piece = Bytes::from_owner(Piece { bytes, _permit: permit });
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            match self.messages.step() {
                Found::Working => {}
                Found::Message(message) => self.segments = parts(message),
                Found::End => {
                    self.is_ended = true;
                    return Poll::Ready(Some(Ok(Frame::trailers(good_trailers()))));
                }
            }
        }
        R::step_aside(cx);
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.is_ended
    }
}
