//! What a client sends behind a request's headers, by either protocol.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body, Frame};
use hyper::body::Incoming;

/// The body of a request. A client that breaks it off is an error.
pub(super) enum RequestBody {
    Http1(Incoming),
    /// Trailers are left out: those of a request mean nothing.
    Http2(RecvStream),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let stream = match self.get_mut() {
            RequestBody::Http1(body) => return Pin::new(body).poll_frame(cx).map_err(Into::into),
            RequestBody::Http2(stream) => stream,
        };
        Poll::Ready(match ready!(stream.poll_data(cx)) {
            Some(Ok(data)) => {
                // Whoever takes it keeps no more than one message.
                let _ = stream.flow_control().release_capacity(data.len());
                Some(Ok(Frame::data(data)))
            }
            Some(Err(error)) => Some(Err(error.into())),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Http1(body) => body.is_end_stream(),
            RequestBody::Http2(stream) => stream.is_end_stream(),
        }
    }
}
