//! Requests with one message each way, by hand where they are hot: the request is decoded in place
//! from the connection's own buffer.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, header};
use http_body::Frame;
use http_body_util::BodyExt;
use prost::Message;
use tonic::Status;
use tonic::body::Body;

use super::request_body::RequestBody;
use super::status::status;
use crate::runtime::{Instant, Runtime, timeout};
use crate::types::Error;

/// Before each message: a byte that says whether it is compressed, and its length.
pub(super) const PREFIX_BYTES: usize = 5;
/// What is made ready for a stream at a time: as much as one HTTP/2 frame holds by default.
pub(super) const FRAME_BYTES: usize = 16 * 1024;
/// The largest message that is sent (M8).
pub(super) const MAX_SENT_BYTES: usize = i32::MAX as usize;

/// Reads the message of a request whose body is `body`.
///
/// Errors: ResourceExhausted above `max_bytes` (M7), before the message itself is read;
/// Unimplemented for a compressed one; Internal for anything that is not one whole message.
async fn read<M: Message + Default>(mut body: RequestBody, max_bytes: usize) -> Result<M, Status> {
    let bytes = read_bytes(&mut body, max_bytes).await?;
    // To the end of the stream: a client that is answered before it has ended is reset.
    if next_data(&mut body).await?.is_some() {
        return Err(Status::internal("the request holds more than one message"));
    }
    M::decode(bytes).map_err(unreadable)
}

/// The refusal of a message that is none of its kind.
pub(super) fn unreadable(error: prost::DecodeError) -> Status {
    Status::internal(format!("grpc: error unmarshalling request: {error}"))
}

/// The refusal of a message that ends too early.
pub(super) fn cut() -> Status {
    Status::internal("the request ended before its message was whole")
}

/// What a request comes to that its client broke off.
pub(super) fn broken_off() -> Status {
    Status::cancelled("the client broke off the request")
}

/// A request's message that is still to be read.
pub(super) struct Inbound {
    pub body: RequestBody,
    pub deadline: Option<Instant>,
    pub max_bytes: usize,
}

impl Inbound {
    /// Reads it while the client's deadline lasts. Errors: DeadlineExceeded; as those of [`read`].
    pub async fn read<R: Runtime, M: Message + Default>(self) -> Result<M, Status> {
        let reading = read(self.body, self.max_bytes);
        let Some(deadline) = self.deadline else { return reading.await };
        let read = timeout::<R, _>(deadline - R::now(), reading).await;
        // What was there already is read in no time: nobody waits for its answer any more.
        read.filter(|_| R::now() < deadline).unwrap_or_else(|| Err(status(Error::DeadlineExceeded)))
    }
}

async fn read_bytes(body: &mut RequestBody, max_bytes: usize) -> Result<Bytes, Status> {
    let mut first = next_data(body).await?.ok_or_else(cut)?;
    if let Some(length) = message_length(&first, max_bytes)?
        && first.len() == PREFIX_BYTES + length
    {
        first.advance(PREFIX_BYTES);
        return Ok(first);
    }
    let mut joined = BytesMut::from(first);
    loop {
        if let Some(length) = message_length(&joined, max_bytes)? {
            let left = (PREFIX_BYTES + length).saturating_sub(joined.len());
            if left == 0 {
                joined.advance(PREFIX_BYTES);
                return match joined.len() == length {
                    true => Ok(joined.freeze()),
                    false => Err(Status::internal("the request holds more than one message")),
                };
            }
            joined.reserve(left);
        }
        joined.put(next_data(body).await?.ok_or_else(cut)?);
    }
}

/// The length of the message that `bytes` begin with, if its prefix is there. Errors: as those of
/// [`read`].
pub(super) fn message_length(mut bytes: &[u8], max_bytes: usize) -> Result<Option<usize>, Status> {
    if bytes.len() < PREFIX_BYTES {
        return Ok(None);
    }
    match bytes.get_u8() {
        0 => {}
        1 => return Err(Status::unimplemented("grpc: Decompressor is not installed for grpc-encoding")),
        other => return Err(Status::internal(format!("grpc: received unexpected payload format {other}"))),
    }
    let length = bytes.get_u32() as usize;
    if length > max_bytes {
        let text = format!("grpc: received message larger than max ({length} vs. {max_bytes})");
        return Err(Status::resource_exhausted(text));
    }
    Ok(Some(length))
}

/// The next bytes of the body, never none; `None` at its end.
async fn next_data(body: &mut RequestBody) -> Result<Option<Bytes>, Status> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| broken_off())?;
        match frame.into_data() {
            Ok(data) if !data.is_empty() => return Ok(Some(data)),
            // Empty frames end streams; trailers of a request mean nothing.
            _ => {}
        }
    }
    Ok(None)
}

/// The answer that holds `message`, in one piece.
pub(super) fn answer(message: &impl Message) -> Response<Body> {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + length);
    bytes.put_slice(&prefix(length));
    message.encode_raw(&mut bytes);
    respond(Whole { bytes: Some(bytes.freeze()), is_ended: false })
}

/// The answer that is `bytes`, prefix and message.
pub(super) fn answer_bytes(bytes: Vec<u8>) -> Response<Body> {
    respond(Whole { bytes: Some(bytes.into()), is_ended: false })
}

/// What stands before a message of `length` bytes, which must not be above `MAX_SENT_BYTES`.
pub(super) fn prefix(length: usize) -> [u8; PREFIX_BYTES] {
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [0, length[0], length[1], length[2], length[3]]
}

/// The refusal of an answer above `MAX_SENT_BYTES`.
pub(super) fn too_large(length: usize) -> Status {
    let text = format!("grpc: trying to send message larger than max ({length} vs. {MAX_SENT_BYTES})");
    Status::resource_exhausted(text)
}

/// A good answer with `body`.
pub(super) fn respond<B>(body: B) -> Response<Body>
where
    B: http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// The last frame of a stream that ends with `end`.
pub(super) fn end_frame(end: &Status) -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    // Our own texts are valid trailers; without one the client sees a broken stream.
    let _ = end.add_header(&mut trailers);
    Frame::trailers(trailers)
}

/// The trailers of a good answer.
pub(super) fn good_trailers() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers
}

/// The body of an answer in one piece.
struct Whole {
    bytes: Option<Bytes>,
    is_ended: bool,
}

impl http_body::Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(match self.bytes.take() {
            Some(bytes) => Some(Ok(Frame::data(bytes))),
            None if self.is_ended => None,
            None => {
                self.is_ended = true;
                Some(Ok(Frame::trailers(good_trailers())))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.is_ended
    }
}
