//! Exchanges over a connection in memory.

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
use crate::runtime::channel::{mpsc, oneshot};
use crate::runtime::{Runtime, timeout};

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
    let (response, _, polls) = talk(|_| answer, window).await;
    (response, polls)
}

/// The same with a client that may go on talking.
async fn talk<F: Future<Output = Answer> + Send + 'static>(
    answer: impl FnOnce(RecvStream) -> F + Send + 'static,
    window: u32,
) -> (ResponseFuture, SendStream<Bytes>, Arc<AtomicUsize>) {
    let (near, far) = duplex(1 << 16);
    let polls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&polls);
    OsRuntime::spawn_detached("server", async move {
        let mut connection = h2::server::handshake(near).await.expect("a client");
        let (request, reply) = connection.accept().await.expect("a request").expect("whole");
        let exchange = Exchange::new(answer(request.into_body()), reply);
        OsRuntime::spawn_detached("exchange", Counted { exchange, polls: counted });
        while connection.accept().await.is_some() {}
    });
    let builder = h2::client::Builder::new().initial_window_size(window).clone();
    let (mut requests, connection) = builder.handshake::<_, Bytes>(far).await.expect("a server");
    OsRuntime::spawn_detached("client", async move { connection.await.expect("a whole connection") });
    let (response, more) = requests.send_request(Request::new(()), false).expect("sent");
    (response, more, polls)
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

/// Says what it hears, and is at rest between.
struct Echo {
    requests: RecvStream,
    rest: Rest,
    polls: Arc<AtomicUsize>,
    _held: oneshot::Sender<()>,
}

impl http_body::Body for Echo {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        this.polls.fetch_add(1, Ordering::Relaxed);
        this.rest.set(false);
        let mut heard = Vec::new();
        while let Poll::Ready(data) = this.requests.poll_data(cx) {
            let Some(Ok(data)) = data else { return Poll::Ready(None) };
            heard.extend_from_slice(&data);
        }
        this.rest.set(true);
        match heard.is_empty() {
            true => Poll::Pending,
            false => Poll::Ready(Some(Ok(Frame::data(heard.into())))),
        }
    }
}

#[test]
fn a_body_at_rest_is_polled_when_it_is_woken_and_only_then() {
    block_on(async {
        let (held, dropped) = oneshot::channel::<()>();
        let polls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&polls);
        let echo = |requests| async move {
            let rest = Rest::default();
            let echo = Echo { requests, rest: rest.clone(), polls: counted, _held: held };
            let mut response = Response::new(Body::new(echo));
            response.extensions_mut().insert(rest);
            Ok(response)
        };
        let (response, mut requests, _) = talk(echo, 4).await;
        let mut say = |word: &'static str| requests.send_data(word.into(), false).expect("sent");
        let mut body = response.await.expect("an answer").into_body();
        for word in ["some", "more"] {
            OsRuntime::sleep(QUIET).await;
            let before = polls.load(Ordering::Relaxed);
            say(word);
            assert_eq!(next(&mut body).await.as_deref(), Some(word.as_bytes()));
            OsRuntime::sleep(QUIET).await;
            assert_eq!(polls.load(Ordering::Relaxed), before + 1);
        }
        // What is said while an answer is held up by its client is heard when that is sent.
        for word in ["this", "that", "then"] {
            say(word);
            OsRuntime::sleep(QUIET).await;
        }
        for word in ["this", "that", "then"] {
            let answer = timeout::<OsRuntime, _>(Duration::from_secs(9), next(&mut body)).await;
            assert_eq!(answer.expect("heard").as_deref(), Some(word.as_bytes()));
        }
        drop((body, requests));
        assert!(timeout::<OsRuntime, _>(Duration::from_secs(9), dropped).await.is_some());
    });
}
