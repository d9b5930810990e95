//! Whole frames off a byte stream.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::codec::CodecError;
use crate::codec::frame::{self, HEAD_BYTES, Kind, MAX_PAYLOAD_BYTES};

/// Room for one read: many small frames, or a good part of a large one.
const READ_BYTES: usize = 64 * 1024;

/// Reads frames; what is read of the next one stays here, so a pending `next` may be dropped.
pub(super) struct FrameReader<S> {
    stream: S,
    buffer: BytesMut,
}

impl<S: AsyncRead + Unpin> FrameReader<S> {
    pub fn new(stream: S) -> Self {
        FrameReader { stream, buffer: BytesMut::with_capacity(READ_BYTES) }
    }

    /// The next frame's kind and payload. A clean end of the stream is `UnexpectedEof` too: links
    /// end only when something went wrong or somebody stops.
    pub async fn next(&mut self) -> io::Result<(Kind, Bytes)> {
        self.next_within(MAX_PAYLOAD_BYTES).await
    }

    /// The same from somebody who is not known yet: a payload above `limit` bytes is refused before
    /// it is read.
    pub async fn next_within(&mut self, limit: usize) -> io::Result<(Kind, Bytes)> {
        loop {
            if let Some(frame) = self.take(limit)? {
                return Ok(frame);
            }
            self.buffer.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the other side closed the link"));
            }
        }
    }

    fn take(&mut self, limit: usize) -> io::Result<Option<(Kind, Bytes)>> {
        if self.buffer.len() < HEAD_BYTES {
            return Ok(None);
        }
        let bad = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let head = frame::head(&self.buffer).map_err(bad)?;
        if head.length > limit {
            return Err(bad(CodecError::TooLong { what: "peer frame", found: head.length, limit }));
        }
        if self.buffer.len() < HEAD_BYTES + head.length {
            return Ok(None);
        }
        let mut whole = self.buffer.split_to(HEAD_BYTES + head.length).freeze();
        let payload = whole.split_off(HEAD_BYTES);
        head.check(&payload).map_err(bad)?;
        Ok(Some((head.kind, payload)))
    }
}
