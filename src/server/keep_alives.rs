//! Lease.LeaseKeepAlive. The messages of a stream are served side by side and answered in order, so that
//! a client with many leases waits for one round, not for as many.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use etched_proto::etcdserverpb as pb;
use http::Response;
use http_body::Frame;
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::MetadataMap;

use super::alarm::Alarm;
use super::context::{anonymous, requires_leader, token};
use super::encode::{number_bytes, put_header, put_number};
use super::incoming::Messages;
use super::request_body::RequestBody;
use super::rest::Rest;
use super::status::{max_message_bytes, status};
use super::unary::{FRAME_BYTES, PREFIX_BYTES, end_frame, prefix, respond};
use crate::node::api::Header;
use crate::node::{KeepAliveSession, KeptAlive, Node};
use crate::runtime::Runtime;
use crate::types::limits::MAX_STREAM_KEEP_ALIVES;

/// Serves one stream.
pub(super) fn call<R: Runtime>(
    node: &Node<R>,
    metadata: &MetadataMap,
    body: RequestBody,
) -> Result<Response<Body>, Status> {
    let context = anonymous(node, metadata)?;
    let rest = Rest::default();
    let mut response = respond(KeepAlives {
        session: node.keep_alive_session(context, token(metadata).map(Arc::from)),
        answers: Answers::default(),
        requests: Messages::new(body, max_message_bytes(node)),
        alarm: Alarm::new(node, context.deadline, requires_leader(metadata)),
        node: node.clone(),
        last: None,
        end: None,
        failure: None,
        is_ended: false,
        rest: rest.clone(),
    });
    response.extensions_mut().insert(rest);
    Ok(response)
}

/// The answers of one stream. It is polled for every message that comes and for every answer, so it asks
/// for nothing twice.
struct KeepAlives<R: Runtime> {
    node: Node<R>,
    /// Bounded: a client that sends more is held back.
    session: KeepAliveSession<R>,
    answers: Answers,
    requests: Messages<pb::LeaseKeepAliveRequest>,
    alarm: Alarm<R>,
    /// How the stream ends once all that was asked is answered: the client sends no more, or what it sent
    /// cannot be read.
    last: Option<Status>,
    /// How it ends once all that is ready is answered.
    end: Option<Status>,
    /// How it ends in place of an answer.
    failure: Option<Status>,
    is_ended: bool,
    rest: Rest,
}

impl<R: Runtime> http_body::Body for KeepAlives<R> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        this.rest.set(false);
        if this.is_ended {
            return Poll::Ready(None);
        }
        // First, so that nothing is left to look at after an answer.
        let hears = this.read(cx);
        let answers = this.take_answers(cx);
        if this.end.is_none() && this.session.is_empty() {
            this.end = this.last.take();
        }
        if this.end.is_none()
            && let Poll::Ready(error) = this.alarm.poll_rings(&this.node, cx)
        {
            this.end = Some(status(error));
        }
        if !answers.is_empty() {
            let is_ending = this.end.is_some() || this.failure.is_some();
            this.rest.set(hears && !is_ending && answers.len() < FRAME_BYTES);
            return Poll::Ready(Some(Ok(Frame::data(answers))));
        }
        let Some(end) = this.failure.take().or_else(|| this.end.take()) else {
            this.rest.set(hears);
            return Poll::Pending;
        };
        this.is_ended = true;
        Poll::Ready(Some(Ok(end_frame(&end))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_ended
    }
}

impl<R: Runtime> KeepAlives<R> {
    /// Reads what the client sent. True if it is told when more comes.
    fn read(&mut self, cx: &mut Context<'_>) -> bool {
        while self.last.is_none() && self.end.is_none() && self.session.len() < MAX_STREAM_KEEP_ALIVES {
            match self.requests.poll_next(cx) {
                Poll::Ready(Ok(Some(request))) => self.session.ask(request.id),
                Poll::Ready(Ok(None)) => self.last = Some(Status::ok("")),
                Poll::Ready(Err(error)) => self.last = Some(error),
                Poll::Pending => return true,
            }
        }
        false
    }

    /// The answers that are there, in one frame, up to one that failed. Less than a frame's bytes are all
    /// of them.
    fn take_answers(&mut self, cx: &mut Context<'_>) -> Bytes {
        let mut bytes = Vec::new();
        while self.failure.is_none() && !self.session.is_empty() && bytes.len() < FRAME_BYTES {
            match self.session.poll_answer(cx) {
                Poll::Ready(Ok(kept)) => self.answers.write(kept, &mut bytes),
                Poll::Ready(Err(error)) => self.failure = Some(status(error)),
                Poll::Pending => break,
            }
        }
        bytes.into()
    }
}

/// The answers as messages. Most of one is a header that the last one had too.
#[derive(Default)]
struct Answers {
    header: Option<Header>,
    /// `header` as a field.
    field: Vec<u8>,
}

impl Answers {
    fn write(&mut self, KeptAlive { id, ttl, header }: KeptAlive, into: &mut Vec<u8>) {
        if self.header != Some(header) {
            self.header = Some(header);
            self.field.clear();
            put_header(&header, &mut self.field);
        }
        let length = self.field.len() + number_bytes(id) + number_bytes(ttl);
        into.reserve(PREFIX_BYTES + length);
        into.extend_from_slice(&prefix(length));
        into.extend_from_slice(&self.field);
        put_number(2, id, into);
        put_number(3, ttl, into);
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::server::translate::response_header;

    #[test]
    fn answers_are_what_prost_makes_of_them() {
        let header = |revision| Header { cluster_id: 1 << 60, member_id: 3, revision, raft_term: 300 };
        let mut answers = Answers::default();
        for (id, ttl, revision) in [(7, 60, 1), (7, 0, 1), (i64::MIN, 1 << 40, 2), (1, 0, 0), (2, 9, 1)] {
            let kept = KeptAlive { id, ttl, header: header(revision) };
            let mut bytes = vec![1, 2, 3];
            answers.write(kept, &mut bytes);
            let header = Some(response_header(&header(revision)));
            let message = pb::LeaseKeepAliveResponse { header, id, ttl }.encode_to_vec();
            assert_eq!(bytes, [&[1, 2, 3], &prefix(message.len())[..], &message].concat());
        }
    }
}
