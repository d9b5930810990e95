//! The messages of a client's stream, decoded in place from the connection's own buffer.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http_body::Body;
use prost::Message;
use tonic::Status;

use super::request_body::RequestBody;
use super::unary::{PREFIX_BYTES, broken_off, cut, message_length, unreadable};

/// What a client sends on one stream, each message an `M`.
pub(super) struct Messages<M, B = RequestBody> {
    body: B,
    /// What came and was not read yet.
    bytes: Bytes,
    /// The largest message that is read (M7).
    max_bytes: usize,
    kind: PhantomData<fn() -> M>,
}

impl<M: Message + Default, B: Body<Data = Bytes> + Unpin> Messages<M, B> {
    pub fn new(body: B, max_bytes: usize) -> Self {
        Messages { body, bytes: Bytes::new(), max_bytes, kind: PhantomData }
    }

    /// The next message; `None` at the end of the stream. Not to be called again after an error.
    ///
    /// Errors: as those of [`super::unary::Inbound::read`], but for the deadline, which is the caller's.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<M>, Status>> {
        loop {
            if let Some(message) = self.take()? {
                return Poll::Ready(M::decode(message).map(Some).map_err(unreadable));
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                // Trailers of a request mean nothing.
                Some(Ok(frame)) => frame.into_data().map_or((), |data| self.add(data)),
                Some(Err(_)) => return Poll::Ready(Err(broken_off())),
                None if self.bytes.is_empty() => return Poll::Ready(Ok(None)),
                None => return Poll::Ready(Err(cut())),
            }
        }
    }

    /// The next message's bytes, if all of them are there.
    fn take(&mut self) -> Result<Option<Bytes>, Status> {
        let Some(length) = message_length(&self.bytes, self.max_bytes)? else { return Ok(None) };
        let whole = PREFIX_BYTES + length;
        if self.bytes.len() < whole {
            return Ok(None);
        }
        // Nothing is left behind that would hold the connection's buffer.
        let mut message = match self.bytes.len() == whole {
            true => std::mem::take(&mut self.bytes),
            false => self.bytes.split_to(whole),
        };
        message.advance(PREFIX_BYTES);
        Ok(Some(message))
    }

    fn add(&mut self, data: Bytes) {
        if self.bytes.is_empty() {
            self.bytes = data;
        } else {
            let mut joined = BytesMut::from(std::mem::take(&mut self.bytes));
            joined.extend_from_slice(&data);
            self.bytes = joined.freeze();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use etched_proto::etcdserverpb::LeaseKeepAliveRequest;
    use http_body::Frame;
    use http_body_util::StreamBody;
    use tonic::Code;

    use super::*;
    use crate::server::tests::block_on;

    type Read = Result<Vec<i64>, (Code, String)>;

    /// What is read of `bytes` when they come in pieces of `size`, messages of up to 12 bytes.
    fn read(bytes: &[u8], size: usize) -> Read {
        let pieces: Vec<_> = bytes
            .chunks(size)
            .map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(piece))))
            .collect();
        let body = StreamBody::new(futures_util::stream::iter(pieces));
        let mut messages = Messages::<LeaseKeepAliveRequest, _>::new(body, 12);
        let mut ids = Vec::new();
        block_on(async {
            loop {
                match std::future::poll_fn(|cx| messages.poll_next(cx)).await {
                    Ok(Some(message)) => ids.push(message.id),
                    Ok(None) => return Ok(ids),
                    Err(status) => return Err((status.code(), status.message().to_string())),
                }
            }
        })
    }

    fn message(id: i64) -> Vec<u8> {
        let message = LeaseKeepAliveRequest { id };
        let prefix = super::super::unary::prefix(message.encoded_len());
        [&prefix[..], &message.encode_to_vec()].concat()
    }

    #[test]
    fn messages_are_read_in_any_pieces() {
        let bytes = [message(7), message(0), message(-1), message(1 << 40)].concat();
        for size in 1..=bytes.len() {
            assert_eq!(read(&bytes, size), Ok(vec![7, 0, -1, 1 << 40]), "pieces of {size}");
        }
        assert_eq!(read(&[], 1), Ok(vec![]));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let good = message(7);
        for size in 1..=32 {
            for end in 1..good.len() {
                let (code, text) = read(&[&good[..], &good[..end]].concat(), size).expect_err("cut");
                assert_eq!(code, Code::Internal, "{text}");
            }
            let refused = |bytes: &[u8], code, text: &str| {
                let (refused, said) = read(bytes, size).expect_err(text);
                assert!(refused == code && said.contains(text), "{refused}: {said}");
            };
            refused(&[1, 0, 0, 0, 0], Code::Unimplemented, "Decompressor is not installed");
            refused(&[2, 0, 0, 0, 0], Code::Internal, "unexpected payload format 2");
            refused(&[0, 0, 0, 0, 13], Code::ResourceExhausted, "larger than max (13 vs. 12)");
            refused(&[0, 0, 0, 0, 1, 0xff], Code::Internal, "error unmarshalling request");
        }
    }
}
