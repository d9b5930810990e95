//! The accepting side: handshake, then requests served by a [`Handler`]. On the appends connection
//! replies come in order of requests; elsewhere in order of completion.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesOrdered, FuturesUnordered};
use tokio::io::AsyncWriteExt;

use super::Local;
use super::frames::FrameReader;
use crate::codec::frame::Kind;
use crate::codec::peer::{self, Purpose, Reply, Request, Welcome};
use crate::runtime::{Either, Listener, Runtime, Stream, Task, select, timeout};

/// Requests of one connection that may be served at once.
const IN_FLIGHT: usize = 256;
/// How long a dialler may take to say hello.
const HELLO: Duration = Duration::from_secs(5);
/// What a hello may have.
const HELLO_BYTES: usize = 1024;
/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Serves the requests of other members.
pub(in crate::raft) trait Handler: Send + Sync + 'static {
    /// Serves one request of member `from`. The first poll happens in order of arrival.
    fn handle(self: Arc<Self>, from: u64, request: Request) -> BoxFuture<'static, Reply>;
    /// Serves a connection that carries snapshots: one begin, pieces, one end, and again.
    fn snapshot(self: Arc<Self>, from: u64) -> Box<dyn SnapshotHandler>;
    /// The level of the replicated state machine.
    fn level(&self) -> u32;
}

/// Takes the pieces of snapshots on one connection.
pub(in crate::raft) trait SnapshotHandler: Send {
    /// Takes one request and answers it.
    fn take(&mut self, request: Request) -> BoxFuture<'_, Reply>;
}

/// Accepts connections of other members until the task is dropped.
pub(in crate::raft) async fn serve<R: Runtime, L: Listener>(
    mut listener: L,
    local: Local,
    handler: Arc<dyn Handler>,
) {
    let mut connections: FuturesUnordered<Task<()>> = FuturesUnordered::new();
    loop {
        let accepted = match select(listener.accept(), next_or_never(&mut connections)).await {
            Either::First(accepted) => accepted,
            Either::Second(()) => continue,
        };
        match accepted {
            Ok(stream) => {
                let handler = handler.clone();
                connections.push(R::spawn("peer connection", async move {
                    let peer = stream.peer_address();
                    if let Err(error) = connection::<R, _>(stream, local, handler).await
                        && error.kind() == io::ErrorKind::InvalidData
                    {
                        tracing::warn!(peer, error = %error, "peer connection ended");
                    }
                }));
            }
            Err(error) => {
                tracing::warn!(error = %error, "cannot accept a peer connection");
                R::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Reaps one finished connection; waits for ever when there is none.
async fn next_or_never(connections: &mut FuturesUnordered<Task<()>>) {
    if connections.next().await.is_none() {
        std::future::pending::<()>().await;
    }
}

async fn connection<R: Runtime, S: Stream>(
    stream: S,
    local: Local,
    handler: Arc<dyn Handler>,
) -> io::Result<()> {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut reader = FrameReader::new(reader);
    let bad = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let late = || io::Error::new(io::ErrorKind::TimedOut, "no hello came");
    let (kind, payload) =
        timeout::<R, _>(HELLO, reader.next_within(HELLO_BYTES)).await.unwrap_or_else(|| Err(late()))?;
    if kind != Kind::PeerHello {
        return Err(bad(format!("a {kind:?} frame came where a hello was due")));
    }
    let hello = peer::decode_hello(&payload).map_err(|error| bad(error.to_string()))?;
    let welcome = local.welcome(&hello, handler.level());
    writer.write_all(&peer::encode_welcome(&welcome)).await?;
    writer.flush().await?;
    if let Welcome::Refused(reason) = welcome {
        return Err(bad(format!("refused: {reason}")));
    }
    let mut requests = Requests { reader, writer };
    match hello.purpose {
        Purpose::Snapshot => requests.one_by_one(handler.snapshot(hello.from)).await,
        Purpose::Appends => requests.many(FuturesOrdered::new(), hello.from, &handler).await,
        Purpose::Control | Purpose::Forward => {
            requests.many(FuturesUnordered::new(), hello.from, &handler).await
        }
    }
}

struct Requests<A, B> {
    reader: FrameReader<A>,
    writer: B,
}

/// What collects requests that are being served.
trait Serving: futures_util::Stream<Item = (u64, Reply)> + Unpin {
    fn add(&mut self, future: BoxFuture<'static, (u64, Reply)>);
    fn in_flight(&self) -> usize;
}

impl Serving for FuturesOrdered<BoxFuture<'static, (u64, Reply)>> {
    fn add(&mut self, future: BoxFuture<'static, (u64, Reply)>) {
        self.push_back(future);
    }
    fn in_flight(&self) -> usize {
        self.len()
    }
}

impl Serving for FuturesUnordered<BoxFuture<'static, (u64, Reply)>> {
    fn add(&mut self, future: BoxFuture<'static, (u64, Reply)>) {
        self.push(future);
    }
    fn in_flight(&self) -> usize {
        self.len()
    }
}

fn request((kind, payload): (Kind, Bytes)) -> io::Result<(u64, Request)> {
    let bad = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    if kind != Kind::PeerRequest {
        return Err(bad(format!("a {kind:?} frame came where a request was due")));
    }
    peer::decode_request(&payload).map_err(|error| bad(error.to_string()))
}

impl<A, B> Requests<A, B>
where
    A: tokio::io::AsyncRead + Unpin,
    B: tokio::io::AsyncWrite + Unpin,
{
    async fn many<Q: Serving>(
        &mut self,
        mut serving: Q,
        from: u64,
        handler: &Arc<dyn Handler>,
    ) -> io::Result<()> {
        loop {
            let step = if serving.in_flight() == 0 {
                Either::Second(self.reader.next().await)
            } else if serving.in_flight() >= IN_FLIGHT {
                Either::First(ready(&mut serving).await)
            } else {
                select(ready(&mut serving), self.reader.next()).await
            };
            match step {
                Either::First(replies) => self.send(&replies).await?,
                Either::Second(frame) => {
                    let (number, request) = request(frame?)?;
                    if request == Request::Ping {
                        self.reply(number, &Reply::Pong).await?;
                        continue;
                    }
                    let served = handler.clone().handle(from, request);
                    serving.add(Box::pin(async move { (number, served.await) }));
                }
            }
        }
    }

    async fn one_by_one(&mut self, mut handler: Box<dyn SnapshotHandler>) -> io::Result<()> {
        let mut early = None;
        loop {
            let (number, request) = match early.take() {
                Some(early) => early,
                None => request(self.reader.next().await?)?,
            };
            let reply = match request {
                Request::Ping => Reply::Pong,
                request => self.while_alive(handler.take(request), &mut early).await?,
            };
            self.reply(number, &reply).await?;
        }
    }

    /// Waits for `taking`, which may last, and answers pings meanwhile. A request that comes too
    /// early is left in `early`; when the connection breaks `taking` still runs to its end.
    async fn while_alive(
        &mut self,
        mut taking: BoxFuture<'_, Reply>,
        early: &mut Option<(u64, Request)>,
    ) -> io::Result<Reply> {
        while early.is_none() {
            let arrived = match select(&mut taking, self.reader.next()).await {
                Either::First(reply) => return Ok(reply),
                Either::Second(frame) => frame.and_then(request),
            };
            let handled = match arrived {
                Ok((number, Request::Ping)) => self.reply(number, &Reply::Pong).await,
                other => other.map(|request| *early = Some(request)),
            };
            if let Err(error) = handled {
                taking.await;
                return Err(error);
            }
        }
        Ok(taking.await)
    }

    async fn reply(&mut self, number: u64, reply: &Reply) -> io::Result<()> {
        self.send(&peer::encode_reply(number, reply)).await
    }

    async fn send(&mut self, replies: &[u8]) -> io::Result<()> {
        self.writer.write_all(replies).await?;
        self.writer.flush().await
    }
}

/// The replies of all requests that are served by now, at least one, to be written in one go.
async fn ready(serving: &mut impl Serving) -> Vec<u8> {
    let mut replies = Vec::new();
    poll_fn(|cx| {
        while let Poll::Ready(Some((number, reply))) = serving.poll_next_unpin(cx) {
            let frame = peer::encode_reply(number, &reply);
            if replies.is_empty() { replies = frame } else { replies.extend_from_slice(&frame) }
        }
        if replies.is_empty() { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    replies
}
