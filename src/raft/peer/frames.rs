//! Whole frames off a byte stream.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::codec::CodecError;
use crate::codec::frame::{self, HEAD_BYTES, Kind, MAX_PAYLOAD_BYTES};

/// Room for one read: many small frames, or a good part of a large one.
const READ_BYTES: usize = 64 * 1024;
/// Payloads up to this long are copied out of the buffer. An entry lives as long as the log remembers
/// it and would keep the whole buffer alive: 64 KiB for one put of a lonely client.
const COPIED_BYTES: usize = 16 * 1024;

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
            if self.buffer.capacity() - self.buffer.len() < READ_BYTES / 2 {
                self.buffer.reserve(READ_BYTES);
            }
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
        self.buffer.advance(HEAD_BYTES);
        let payload = if head.length <= COPIED_BYTES {
            let copy = Bytes::copy_from_slice(&self.buffer[..head.length]);
            self.buffer.advance(head.length);
            copy
        } else {
            self.buffer.split_to(head.length).freeze()
        };
        head.check(&payload).map_err(bad)?;
        Ok(Some((head.kind, payload)))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// Frames one by one, all payloads held: whether each shares the memory it was read into.
    fn shared(lengths: &[usize]) -> Vec<bool> {
        let (mut from, to) = tokio::io::duplex(1024 * 1024);
        let mut reader = FrameReader::new(to);
        let mut next = |length: usize| {
            use tokio::io::AsyncWriteExt;
            let frame = frame::encode(Kind::PeerReply, &vec![7; length]);
            from.write_all(&frame).now_or_never().expect("room").expect("open");
            let (kind, payload) = reader.next().now_or_never().expect("it is there").expect("a frame");
            assert_eq!((kind, payload.len()), (Kind::PeerReply, length));
            payload
        };
        let held: Vec<Bytes> = lengths.iter().map(|length| next(*length)).collect();
        held.iter().map(|payload| !payload.is_unique()).collect()
    }

    #[test]
    fn a_small_payload_does_not_keep_the_buffer() {
        assert_eq!(shared(&[300, 1, 20_000, 400, COPIED_BYTES]), [false, false, true, false, false]);
    }
}
