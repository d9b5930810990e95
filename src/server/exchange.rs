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
}

impl Sending {
    /// Sends the headers; `None` if nothing follows them.
    fn begin(answer: Response<Body>, reply: &mut SendResponse<Bytes>) -> Option<Sending> {
        let (mut head, body) = answer.into_parts();
        let is_end = body.is_end_stream();
        if !is_end && let Some(length) = body.size_hint().exact() {
            head.headers.entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
        }
        match reply.send_response(Response::from_parts(head, ()), is_end) {
            Ok(to) => (!is_end).then_some(Sending { body, to, next: None }),
            Err(_) => {
                reply.send_reset(Reason::INTERNAL_ERROR);
                None
            }
        }
    }

    /// Sends the rest. No room is reserved before there is something to send: what is reserved is taken
    /// from all other streams of the connection.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
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
            }
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
                return self.to.poll_reset(cx).map_ok(drop);
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
                    if self.to.poll_reset(&mut Context::from_waker(Waker::noop()))?.is_ready() {
                        return Poll::Ready(Ok(()));
                    }
                    self.to.reserve_capacity(1);
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
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures_util::stream::poll_fn;
    use h2::RecvStream;
    use h2::client::ResponseFuture;
    use http::{HeaderMap, Request};
    use http_body::Frame;
    use http_body_util::StreamBody;
    use tokio::io::duplex;

    use super::super::tests::block_on;
    use super::*;
    use crate::os::OsRuntime;
    use crate::runtime::Runtime;
    use crate::runtime::channel::{mpsc, oneshot};

    /// Long enough for everything that can happen by itself.
    const QUIET: Duration = Duration::from_millis(20);

    type Answer = Result<Response<Body>, Infallible>;

    pin_project! {
        struct Counted<F> { #[pin] exchange: F, polls: Arc<AtomicUsize> }
    }

    impl<F: Future> Future for Counted<F> {
        type Output = F::Output;

        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
            self.polls.fetch_add(1, Ordering::Relaxed);
            self.project().exchange.poll(cx)
        }
    }

    /// Asks a server that answers with `answer`, of which it may send `window` bytes ahead. With how often
    /// the exchange was polled.
    async fn ask(
        answer: impl Future<Output = Answer> + Send + 'static,
        window: u32,
    ) -> (ResponseFuture, Arc<AtomicUsize>) {
        let (near, far) = duplex(1 << 16);
        let polls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&polls);
        OsRuntime::spawn_detached("server", async move {
            let mut connection = h2::server::handshake(near).await.expect("a client");
            let (_, reply) = connection.accept().await.expect("a request").expect("whole");
            let exchange = Exchange::new(answer, reply);
            OsRuntime::spawn_detached("exchange", Counted { exchange, polls: counted });
            while connection.accept().await.is_some() {}
        });
        let builder = h2::client::Builder::new().initial_window_size(window).clone();
        let (mut requests, connection) = builder.handshake::<_, Bytes>(far).await.expect("a server");
        OsRuntime::spawn_detached("client", async move { connection.await.expect("a whole connection") });
        let (response, _) = requests.send_request(Request::new(()), true).expect("sent");
        (response, polls)
    }

    /// Puts messages into an answer that ends with trailers, and how many it took.
    fn messages() -> (mpsc::Sender<Bytes>, Arc<AtomicUsize>, Answer) {
        let (sender, mut source) = mpsc::channel(100);
        let taken = Arc::new(AtomicUsize::new(0));
        let (counted, mut is_over) = (Arc::clone(&taken), false);
        let frames = poll_fn(move |cx| {
            if is_over {
                return Poll::Ready(None);
            }
            let message = ready!(source.poll_recv(cx));
            counted.fetch_add(1, Ordering::Relaxed);
            is_over = message.is_none();
            let frame = message.map_or_else(|| Frame::trailers(HeaderMap::new()), Frame::data);
            Poll::Ready(Some(Ok::<_, Infallible>(frame)))
        });
        (sender, taken, Ok(Response::new(Body::new(StreamBody::new(frames)))))
    }

    async fn next(body: &mut RecvStream) -> Option<Bytes> {
        let data = body.data().await?.expect("data");
        body.flow_control().release_capacity(data.len()).expect("released");
        Some(data)
    }

    #[test]
    fn a_message_wakes_its_stream_once() {
        block_on(async {
            let (sender, _, answer) = messages();
            let (response, polls) = ask(async { answer }, 1 << 16).await;
            let mut body = response.await.expect("an answer").into_body();
            for _ in 0..5 {
                OsRuntime::sleep(QUIET).await;
                let before = polls.load(Ordering::Relaxed);
                sender.send(Bytes::from_static(b"word")).await.expect("taken");
                assert_eq!(next(&mut body).await.as_deref(), Some(&b"word"[..]));
                OsRuntime::sleep(QUIET).await;
                assert_eq!(polls.load(Ordering::Relaxed), before + 1);
            }
        });
    }

    #[test]
    fn a_client_that_does_not_read_holds_the_answer_up() {
        block_on(async {
            let (sender, taken, answer) = messages();
            let (response, _) = ask(async { answer }, 10).await;
            let mut body = response.await.expect("an answer").into_body();
            let all: Vec<Bytes> = (0..50u8).map(|n| Bytes::from(vec![n; 4])).collect();
            for message in &all {
                sender.send(message.clone()).await.expect("room for all");
            }
            drop(sender);
            OsRuntime::sleep(QUIET).await;
            // Three, of which the last goes partly, and one that waits.
            assert_eq!(taken.load(Ordering::Relaxed), 4);
            let mut read = Vec::new();
            while let Some(data) = next(&mut body).await {
                read.extend_from_slice(&data);
            }
            assert_eq!(read, all.concat());
            assert!(body.trailers().await.expect("a good end").is_some());
        });
    }

    #[test]
    fn what_the_client_gives_up_is_dropped() {
        block_on(async {
            let (held, dropped) = oneshot::channel::<()>();
            let (response, _) = ask(
                async move {
                    let _held = held;
                    std::future::pending().await
                },
                10,
            )
            .await;
            OsRuntime::sleep(QUIET).await;
            drop(response);
            assert!(dropped.await.is_err());

            // While it waits for more to send, and while it waits for the client to read.
            for count in [0, 5] {
                let (sender, _, answer) = messages();
                let (response, _) = ask(async { answer }, 10).await;
                let body = response.await.expect("an answer").into_body();
                for _ in 0..count {
                    sender.send(Bytes::from_static(b"word")).await.expect("room for all");
                }
                OsRuntime::sleep(QUIET).await;
                assert!(!sender.is_closed());
                drop(body);
                sender.closed().await;
            }
        });
    }
}
