//! etcdserverpb.Watch: one session of the hub for each stream.
//!
//! One future drives both directions, and is polled only once the client's window had room for what it
//! gave before. So a client that sends without reading makes nothing grow here, and a lagging one lags
//! in the hub.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use etched_proto::etcdserverpb as pb;
use etched_proto::etcdserverpb::watch_request::RequestUnion;
use futures_util::Stream;
use futures_util::stream::unfold;
use http::{Request, Response};
use http_body::Frame;
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::MetadataMap;

use super::alarm::Alarm;
use super::context::{anonymous, requires_leader, token};
use super::incoming;
use super::request_body::RequestBody;
use super::status::{max_message_bytes, status, unknown_method};
use super::translate;
use super::unary::{FRAME_BYTES, end_frame, respond};
use super::watch_messages::Messages;
use crate::node::api::{Header, RequestContext, WatchOutput};
use crate::node::{Node, WatchSession};
use crate::runtime::{Either, Runtime, select};
use crate::types::Error;

/// Serves one request of the service.
pub(super) fn call<R: Runtime>(
    node: &Node<R>,
    request: Request<RequestBody>,
) -> Result<Response<Body>, Status> {
    let (parts, body) = request.into_parts();
    if parts.uri.path() != "/etcdserverpb.Watch/Watch" {
        return Err(unknown_method(parts.uri.path()));
    }
    let metadata = MetadataMap::from_headers(parts.headers);
    let context = anonymous(node, &metadata)?;
    let deadline = context.deadline;
    let stream = WatchStream {
        session: node.watch_session(),
        node: node.clone(),
        context,
        token: token(&metadata),
        requests: incoming::Messages::new(body, max_message_bytes(node)),
        answer_first: false,
        alarm: Alarm::new(node, deadline, requires_leader(&metadata)),
        is_half_closed: false,
        ended: false,
    };
    let batches = unfold(stream, |mut stream| async move {
        let batch = stream.next().await?;
        Some((batch, stream))
    });
    Ok(respond(WatchBody {
        batches: Box::pin(batches),
        messages: Messages::new(if buggify!("small fragments") { 100 } else { max_message_bytes(node) }),
        end: None,
        is_ended: false,
    }))
}

/// What a stream gets at a time, with the header of its responses.
type Batch = Result<(Vec<WatchOutput>, Header), Status>;

/// The responses of one stream as HTTP frames: all that is ready goes into one.
struct WatchBody {
    batches: Pin<Box<dyn Stream<Item = Batch> + Send>>,
    messages: Messages,
    /// How the stream ends, once that is known.
    end: Option<Status>,
    is_ended: bool,
}

impl http_body::Body for WatchBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut is_pending = false;
        while self.end.is_none() && !self.is_ended && !is_pending && self.messages.bytes() < FRAME_BYTES {
            match self.batches.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok((outputs, header)))) => self.messages.write(&outputs, header),
                Poll::Ready(Some(Err(status))) => self.end = Some(status),
                Poll::Ready(None) => self.end = Some(Status::ok("")),
                Poll::Pending => is_pending = true,
            }
        }
        if let Some(frame) = self.messages.pop() {
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
        let Some(end) = self.end.take() else {
            return if self.is_ended { Poll::Ready(None) } else { Poll::Pending };
        };
        self.is_ended = true;
        Poll::Ready(Some(Ok(end_frame(&end))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_ended
    }
}

/// One client's stream.
struct WatchStream<R: Runtime> {
    node: Node<R>,
    context: RequestContext,
    /// Looked at anew for every watcher.
    token: Option<String>,
    session: WatchSession<R>,
    requests: incoming::Messages<pb::WatchRequest>,
    /// A request was just carried out: what it gives goes out before the next one is read. The other
    /// way round a request comes first, so neither direction starves the other.
    answer_first: bool,
    alarm: Alarm<R>,
    /// The client has said all; what it watches goes on.
    is_half_closed: bool,
    ended: bool,
}

/// What happened first.
enum Step {
    Request(Result<Option<pb::WatchRequest>, Status>),
    Outputs(Option<Vec<WatchOutput>>),
    Alarm(Error),
}

impl<R: Runtime> WatchStream<R> {
    /// The next messages for the client; an error is the last, then comes `None`.
    async fn next(&mut self) -> Option<Batch> {
        while !self.ended {
            let step = self.step().await;
            self.answer_first = matches!(step, Step::Request(_));
            let end = match step {
                Step::Request(Ok(Some(request))) => {
                    self.carry_out(request).await;
                    continue;
                }
                Step::Outputs(Some(outputs)) => {
                    return Some(Ok((outputs, self.node.header(0))));
                }
                Step::Request(Ok(None)) => {
                    self.is_half_closed = true;
                    continue;
                }
                Step::Request(Err(error)) => error,
                // A code that clients take for a reason to go on elsewhere, as they do when etcd breaks off.
                Step::Outputs(None) => status(Error::Stopped),
                Step::Alarm(error) => status(error),
            };
            self.ended = true;
            return Some(Err(end));
        }
        None
    }

    async fn step(&mut self) -> Step {
        let outputs = self.session.next(FRAME_BYTES);
        let is_half_closed = self.is_half_closed;
        let request = poll_fn(|cx| match is_half_closed {
            true => Poll::Pending,
            false => self.requests.poll_next(cx),
        });
        let work = async {
            if self.answer_first {
                match select(outputs, request).await {
                    Either::First(outputs) => Step::Outputs(outputs),
                    Either::Second(request) => Step::Request(request),
                }
            } else {
                match select(request, outputs).await {
                    Either::First(request) => Step::Request(request),
                    Either::Second(outputs) => Step::Outputs(outputs),
                }
            }
        };
        match select(work, self.alarm.rings(&self.node)).await {
            Either::First(step) => step,
            Either::Second(error) => Step::Alarm(error),
        }
    }

    async fn carry_out(&mut self, request: pb::WatchRequest) {
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => {
                let login = match &self.token {
                    None => Ok(None),
                    Some(token) => Box::pin(self.node.identify(token, self.context)).await,
                };
                self.session.create(translate::watch_create(create), login);
            }
            Some(RequestUnion::CancelRequest(cancel)) => self.session.cancel(cancel.watch_id),
            Some(RequestUnion::ProgressRequest(_)) => self.session.progress(),
            // Row W24: what is not understood is ignored.
            None => {}
        }
    }
}
