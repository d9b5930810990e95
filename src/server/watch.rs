//! etcdserverpb.Watch: one session of the hub for each stream.
//!
//! One future drives both directions, and hyper polls it only while the client's window has room. So
//! a client that sends without reading makes nothing grow here, and a lagging one lags in the hub.

use etched_proto::etcdserverpb as pb;
use etched_proto::etcdserverpb::watch_request::RequestUnion;
use futures_util::stream::unfold;
use tonic::{Request, Response, Status, Streaming};

use super::alarm::Alarm;
use super::context::{context, requires_leader};
use super::status::{in_grpc_words, max_message_bytes, status};
use super::streams::Outgoing;
use super::translate;
use crate::node::api::WatchOutput;
use crate::node::{Node, WatchSession};
use crate::runtime::{Either, Runtime, select};
use crate::types::Error;

/// The Watch service of one member.
pub(super) struct Watch<R: Runtime>(pub Node<R>);

#[tonic::async_trait]
impl<R: Runtime> pb::watch_server::Watch for Watch<R> {
    type WatchStream = Outgoing<pb::WatchResponse>;

    async fn watch(
        &self,
        request: Request<Streaming<pb::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let deadline = context(&self.0, request.metadata())?.deadline;
        let alarm = Alarm::new(&self.0, deadline, requires_leader(request.metadata()));
        let stream = WatchStream {
            session: self.0.watch_session(),
            node: self.0.clone(),
            requests: request.into_inner(),
            pieces: Vec::new().into_iter(),
            answer_first: false,
            alarm,
            ended: false,
        };
        Ok(Response::new(Box::pin(unfold(stream, |mut stream| async move {
            let item = stream.next().await?;
            Some((item, stream))
        }))))
    }
}

/// One client's stream.
struct WatchStream<R: Runtime> {
    node: Node<R>,
    session: WatchSession<R>,
    requests: Streaming<pb::WatchRequest>,
    /// What is left of a response that was split.
    pieces: std::vec::IntoIter<pb::WatchResponse>,
    /// A request was just carried out: what it gives goes out before the next one is read. The other
    /// way round a request comes first, so neither direction starves the other.
    answer_first: bool,
    alarm: Alarm<R>,
    ended: bool,
}

/// What happened first.
enum Step {
    Request(Result<Option<pb::WatchRequest>, Status>),
    Output(Option<WatchOutput>),
    Alarm(Error),
}

impl<R: Runtime> WatchStream<R> {
    /// The next message for the client; an error or `None` ends the stream.
    async fn next(&mut self) -> Option<Result<pb::WatchResponse, Status>> {
        if let Some(piece) = self.pieces.next() {
            return Some(Ok(piece));
        }
        while !self.ended {
            let step = self.step().await;
            self.answer_first = matches!(step, Step::Request(_));
            let end = match step {
                Step::Request(Ok(Some(request))) => {
                    self.carry_out(request);
                    continue;
                }
                Step::Output(Some(output)) => return Some(Ok(self.respond(output))),
                Step::Request(Ok(None)) => None,
                Step::Request(Err(error)) => Some(in_grpc_words(error, max_message_bytes(&self.node))),
                Step::Output(None) => Some(status(Error::WatchCanceled)),
                Step::Alarm(error) => Some(status(error)),
            };
            self.ended = true;
            return end.map(Err);
        }
        None
    }

    async fn step(&mut self) -> Step {
        let output = self.session.next();
        let request = self.requests.message();
        let work = async {
            if self.answer_first {
                match select(output, request).await {
                    Either::First(output) => Step::Output(output),
                    Either::Second(request) => Step::Request(request),
                }
            } else {
                match select(request, output).await {
                    Either::First(request) => Step::Request(request),
                    Either::Second(output) => Step::Output(output),
                }
            }
        };
        match select(work, self.alarm.rings(&self.node)).await {
            Either::First(step) => step,
            Either::Second(error) => Step::Alarm(error),
        }
    }

    fn carry_out(&self, request: pb::WatchRequest) {
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => self.session.create(translate::watch_create(create)),
            Some(RequestUnion::CancelRequest(cancel)) => self.session.cancel(cancel.watch_id),
            Some(RequestUnion::ProgressRequest(_)) => self.session.progress(),
            // Row W24: what is not understood is ignored.
            None => {}
        }
    }

    /// One response, or the first of its fragments (W15).
    fn respond(&mut self, output: WatchOutput) -> pb::WatchResponse {
        let header = self.node.header(output.header_revision);
        self.pieces = translate::fragments(output, &header, max_message_bytes(&self.node)).into_iter();
        self.pieces.next().expect("there is always one piece")
    }
}
