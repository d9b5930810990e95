//! The dialling side of one connection: a task owns it, redials when it broke, and matches replies
//! to requests by number.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

use super::frames::FrameReader;
use crate::codec::frame::Kind;
use crate::codec::peer::{self, Hello, Reply, Request, Welcome};
use crate::runtime::channel::{mpsc, oneshot};
use crate::runtime::{Either, Instant, Net, Runtime, Task, lock, select, timeout};

/// Requests that may wait for the connection.
const QUEUE: usize = 4096;
/// Bytes written at once.
const WRITE_BYTES: usize = 1024 * 1024;
/// After a failed dial, requests fail at once for this long.
const BACKOFF: Duration = Duration::from_millis(50);
/// A connection on which requests wait and nothing was answered for this long is given up. Pings
/// go out meanwhile, so only silence of the peer counts, not the time that a request takes; and
/// one that reached a rebooted peer, which knows nothing of the connection, is answered by a reset.
const SILENCE: Duration = Duration::from_secs(10);

/// Why a request got no reply. Whether it arrived is unknown unless it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::raft) enum LinkError {
    /// It was never sent.
    Unreachable(String),
    /// The connection broke or time ran out after it may have been sent.
    Broken(String),
}

struct Job {
    request: Request,
    reply: oneshot::Sender<Result<Reply, LinkError>>,
}

/// A link to one member for one purpose. Dropping it closes the connection.
pub(in crate::raft) struct Link {
    jobs: mpsc::Sender<Job>,
    _task: Task<()>,
}

impl Link {
    pub fn open<R: Runtime>(net: R::Net, address: String, hello: Hello, patience_ms: u64) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let patience = Duration::from_millis(patience_ms);
        let dialer = Dialer::<R> { net, address, hello, patience, retry_at: Instant(0), complained: false };
        Link { jobs, _task: R::spawn("peer link", dialer.run(queue)) }
    }

    /// Hands a request over in order of calls; the receiver gets the reply.
    pub fn submit(&self, request: Request) -> oneshot::Receiver<Result<Reply, LinkError>> {
        let (reply, receiver) = oneshot::channel();
        if let Err(error) = self.jobs.try_send(Job { request, reply }) {
            let why = LinkError::Unreachable("too many requests wait for the link".to_string());
            let (mpsc::error::TrySendError::Full(job) | mpsc::error::TrySendError::Closed(job)) = error;
            let _ = job.reply.send(Err(why));
        }
        receiver
    }

    /// Sends a request and waits for its reply, at most `patience`.
    pub async fn call<R: Runtime>(&self, request: Request, patience: Duration) -> Result<Reply, LinkError> {
        within::<R>(self.submit(request), patience).await
    }
}

/// Waits for a submitted request's reply, at most `patience`.
pub(in crate::raft) async fn within<R: Runtime>(
    receiver: oneshot::Receiver<Result<Reply, LinkError>>,
    patience: Duration,
) -> Result<Reply, LinkError> {
    match timeout::<R, _>(patience, receiver).await {
        Some(Ok(result)) => result,
        Some(Err(_)) => Err(LinkError::Broken("the link was closed".to_string())),
        None => Err(LinkError::Broken(format!("no answer within {} ms", patience.as_millis()))),
    }
}

/// Requests that were written and wait for their replies.
#[derive(Default)]
struct Pending {
    next: u64,
    waiting: BTreeMap<u64, oneshot::Sender<Result<Reply, LinkError>>>,
    last_reply: Instant,
    broken: Option<String>,
}

type Shared = Arc<Mutex<Pending>>;

struct Dialer<R: Runtime> {
    net: R::Net,
    address: String,
    hello: Hello,
    patience: Duration,
    retry_at: Instant,
    /// Whether the present outage was logged.
    complained: bool,
}

type StreamOf<R> = <<R as Runtime>::Net as Net>::Stream;

struct Connection<R: Runtime> {
    writer: WriteHalf<StreamOf<R>>,
    pending: Shared,
    _reader: Task<()>,
}

impl<R: Runtime> Dialer<R> {
    async fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut connection: Option<Connection<R>> = None;
        loop {
            let first = match &connection {
                Some(open) if open.is_awaited() => self.next_or_ping(&mut queue).await,
                _ => queue.recv().await,
            };
            let Some(first) = first else { return };
            if connection.as_ref().is_some_and(Connection::is_dead) {
                connection = None;
            }
            if connection.is_none() {
                connection = self.connect(&mut queue).await;
            }
            let Some(open) = &mut connection else {
                self.refuse(first, &mut queue);
                continue;
            };
            if let Err(error) = open.write(first, &mut queue).await {
                open.fail(&error.to_string());
                connection = None;
            }
        }
    }

    /// The next request, or a ping when none comes while others wait for their replies.
    async fn next_or_ping(&self, queue: &mut mpsc::Receiver<Job>) -> Option<Job> {
        if planted!(HalfOpenLink) {
            return queue.recv().await;
        }
        match select(queue.recv(), R::sleep(self.patience)).await {
            Either::First(job) => job,
            // Nobody waits for the pong itself.
            Either::Second(()) => Some(Job { request: Request::Ping, reply: oneshot::channel().0 }),
        }
    }

    /// Dials and shakes hands, or says why not; requests that wait meanwhile share the outcome.
    async fn connect(&mut self, _queue: &mut mpsc::Receiver<Job>) -> Option<Connection<R>> {
        if R::now() < self.retry_at {
            return None;
        }
        let dialled = timeout::<R, _>(self.patience, self.dial()).await;
        let error = match dialled {
            Some(Ok(connection)) => {
                self.complained = false;
                return Some(connection);
            }
            Some(Err(error)) => error,
            None => io::Error::new(io::ErrorKind::TimedOut, "no answer to the dial"),
        };
        if !std::mem::replace(&mut self.complained, true) {
            let (to, address) = (format!("{:x}", self.hello.to), &self.address);
            tracing::warn!(to, address, error = %error, "cannot reach peer");
        }
        self.retry_at = R::now() + BACKOFF;
        None
    }

    async fn dial(&self) -> io::Result<Connection<R>> {
        let stream = self.net.dial(&self.address).await?;
        let (reader, mut writer) = tokio::io::split(stream);
        writer.write_all(&peer::encode_hello(&self.hello)).await?;
        writer.flush().await?;
        let mut reader = FrameReader::new(reader);
        let bad = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        let (kind, payload) = reader.next().await?;
        if kind != Kind::PeerWelcome {
            return Err(bad(format!("a {kind:?} frame came where a welcome was due")));
        }
        match peer::decode_welcome(&payload).map_err(|error| bad(error.to_string()))? {
            Welcome::Accepted { .. } => {}
            Welcome::Refused(reason) => {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
            }
        }
        let pending = Shared::default();
        lock(&pending).last_reply = R::now();
        let task = R::spawn("peer replies", read_replies::<R>(reader, pending.clone()));
        Ok(Connection { writer, pending, _reader: task })
    }

    /// Fails a request and all that wait behind it: none was sent.
    fn refuse(&self, first: Job, queue: &mut mpsc::Receiver<Job>) {
        let mut next = Some(first);
        while let Some(job) = next {
            let why = format!("peer {:x} at {} cannot be reached", self.hello.to, self.address);
            let _ = job.reply.send(Err(LinkError::Unreachable(why)));
            next = queue.try_recv().ok();
        }
    }
}

impl<R: Runtime> Connection<R> {
    /// Whether a request waits for its reply.
    fn is_awaited(&self) -> bool {
        !lock(&self.pending).waiting.is_empty()
    }

    fn is_dead(&self) -> bool {
        let mut pending = lock(&self.pending);
        let silent = R::now() - pending.last_reply > SILENCE;
        if silent && !pending.waiting.is_empty() {
            pending.fail("the peer went silent");
        }
        if pending.waiting.is_empty() {
            pending.last_reply = R::now();
        }
        pending.broken.is_some()
    }

    fn fail(&self, why: &str) {
        lock(&self.pending).fail(why);
    }

    /// Writes a request and those that wait behind it, in one go.
    async fn write(&mut self, first: Job, queue: &mut mpsc::Receiver<Job>) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut next = Some(first);
        while let Some(job) = next {
            let mut pending = lock(&self.pending);
            if let Some(why) = &pending.broken {
                let _ = job.reply.send(Err(LinkError::Unreachable(why.clone())));
            } else {
                let number = pending.next;
                pending.next += 1;
                let frame = peer::encode_request(number, &job.request);
                if bytes.is_empty() {
                    bytes = frame
                } else {
                    bytes.extend_from_slice(&frame)
                }
                pending.waiting.insert(number, job.reply);
            }
            drop(pending);
            next = if bytes.len() < WRITE_BYTES { queue.try_recv().ok() } else { None };
        }
        write_within::<R, _>(&mut self.writer, &bytes).await
    }
}

/// Writes all, or gives up after [`SILENCE`].
async fn write_within<R: Runtime, W: AsyncWrite + Unpin>(writer: &mut W, bytes: &[u8]) -> io::Result<()> {
    let write = async {
        writer.write_all(bytes).await?;
        writer.flush().await
    };
    let stuck = || io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing");
    timeout::<R, _>(SILENCE, write).await.unwrap_or_else(|| Err(stuck()))
}

impl Pending {
    fn fail(&mut self, why: &str) {
        self.broken.get_or_insert_with(|| why.to_string());
        for (_, reply) in std::mem::take(&mut self.waiting) {
            let _ = reply.send(Err(LinkError::Broken(why.to_string())));
        }
    }
}

async fn read_replies<R: Runtime>(mut reader: FrameReader<ReadHalf<StreamOf<R>>>, pending: Shared) {
    let error = loop {
        let (kind, payload) = match reader.next().await {
            Ok(frame) => frame,
            Err(error) => break error.to_string(),
        };
        let decoded = match kind {
            Kind::PeerReply => peer::decode_reply(&payload).map_err(|error| error.to_string()),
            other => Err(format!("a {other:?} frame came where a reply was due")),
        };
        let (number, reply) = match decoded {
            Ok(reply) => reply,
            Err(error) => break error,
        };
        let mut pending = lock(&pending);
        pending.last_reply = R::now();
        match pending.waiting.remove(&number) {
            Some(waiting) => drop(waiting.send(Ok(reply))),
            None => {
                drop(pending);
                break format!("a reply to request {number}, which does not wait");
            }
        }
    };
    lock(&pending).fail(&error);
}
