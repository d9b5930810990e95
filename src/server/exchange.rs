//! One request of an HTTP/2 connection and its answer.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{HeaderValue, Response, header};
use http_body::Body as _;
use pin_project_lite::pin_project;
use tonic::body::Body;

use super::rest::Rest;

/// What a stream reserves of its connection's window before it sends, at most: a small message needs no
/// second step then, and no stream takes much from the others before it is its turn.
const RESERVED_BYTES: usize = 1024;

pin_project! {
    /// Answers one request with what `F` comes to. Ends early, and drops the work, when the client gives
    /// the request up.
    pub(super) struct Exchange<F> {
        reply: SendResponse<Bytes>,
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateOf]
    enum State<F> {
        Working { #[pin] answer: F },
        Sending { sending: Sending },
    }
}

impl<F: Future<Output = Result<Response<Body>, Infallible>>> Exchange<F> {
    /// Sends `answer`, once it is there, by `reply`.
    pub fn new(answer: F, reply: SendResponse<Bytes>) -> Self {
        Exchange { reply, state: State::Working { answer } }
    }
}

impl<F: Future<Output = Result<Response<Body>, Infallible>>> Future for Exchange<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateOf::Working { answer } => {
                    let Poll::Ready(Ok(answer)) = answer.poll(cx) else {
                        return this.reply.poll_reset(cx).map(drop);
                    };
                    match Sending::begin(answer, this.reply) {
                        Some(sending) => this.state.set(State::Sending { sending }),
                        None => return Poll::Ready(()),
                    }
                }
                // What goes wrong is the client's own affair.
                StateOf::Sending { sending } => return sending.poll(cx).map(drop),
            }
        }
    }
}

/// An answer whose headers are sent.
struct Sending {
    body: Body,
    to: SendStream<Bytes>,
    /// Waits until the client takes more.
    next: Option<Bytes>,
    /// Of `body`, if it says so.
    rest: Option<Rest>,
}

impl Sending {
    /// Sends the headers; `None` if nothing follows them.
    fn begin(answer: Response<Body>, reply: &mut SendResponse<Bytes>) -> Option<Sending> {
        let (mut head, body) = answer.into_parts();
        let is_end = body.is_end_stream();
        if !is_end && let Some(length) = body.size_hint().exact() {
            head.headers.entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
        }
        let rest = head.extensions.remove();
        match reply.send_response(Response::from_parts(head, ()), is_end) {
            Ok(to) => (!is_end).then_some(Sending { body, to, next: None, rest }),
            Err(_) => {
                reply.send_reset(Reason::INTERNAL_ERROR);
                None
            }
        }
    }

    fn is_at_rest(&self) -> bool {
        self.rest.as_ref().is_some_and(Rest::get)
    }

    /// Sends the rest. No room is reserved before there is something to send: what is reserved is taken
    /// from all other streams of the connection.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        // Since the body was polled it may have been woken.
        let mut is_old = self.next.is_some();
        loop {
            if self.next.is_some() {
                while self.to.capacity() == 0 {
                    match ready!(self.to.poll_capacity(cx)) {
                        Some(more) => drop(more?),
                        None => return Poll::Ready(Ok(())),
                    }
                }
                let is_end = self.body.is_end_stream();
                self.to.send_data(self.next.take().unwrap_or_default(), is_end)?;
                if is_end {
                    return Poll::Ready(Ok(()));
                }
                if self.is_at_rest() && !is_old {
                    return Poll::Pending;
                }
                is_old = false;
            }
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
                return match self.is_at_rest() {
                    true => Poll::Pending,
                    false => self.to.poll_reset(cx).map_ok(drop),
                };
            };
            let Some(frame) = frame else { return Poll::Ready(self.to.send_data(Bytes::new(), true)) };
            let Ok(frame) = frame else {
                self.to.send_reset(Reason::INTERNAL_ERROR);
                return Poll::Ready(Ok(()));
            };
            match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => {
                    // h2 wakes whom it knows when there is room; this task need not be woken by itself.
                    if !self.is_at_rest()
                        && self.to.poll_reset(&mut Context::from_waker(Waker::noop()))?.is_ready()
                    {
                        return Poll::Ready(Ok(()));
                    }
                    self.to.reserve_capacity(data.len().min(RESERVED_BYTES));
                    self.next = Some(data);
                }
                Err(frame) => {
                    let Ok(trailers) = frame.into_trailers() else { continue };
                    return Poll::Ready(self.to.send_trailers(trailers));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
