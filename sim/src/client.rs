//! Simulated clients: real gRPC bytes over the simulated network, every call and return told to the
//! checks.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use etched::runtime::{Runtime, timeout};
use etched::server::GrpcChannel;
use etched_proto::etcdserverpb::kv_client::KvClient;
use etched_proto::etcdserverpb::lease_client::LeaseClient;
use etched_testkit::generate::{Generator, Hint, Weights};
use etched_testkit::{Failure, Request, Response};
use tonic::{Code, Status};

use crate::check::{Checked, Checks, OpId, Outcome, Violation};
use crate::cluster::CLIENT_PORT;
use crate::world::streams::{Stream, chacha};
use crate::world::{NodeId, SimRuntime, World};

/// What all clients of a run share.
#[derive(Clone)]
pub struct Shared {
    pub world: World,
    pub members: Vec<NodeId>,
    pub checks: Arc<Mutex<Checks>>,
    /// The first violation; the run ends when it is there.
    pub broken: Arc<Mutex<Option<Violation>>>,
    /// Clients stop when true time reaches this.
    pub until_ns: u64,
    pub counts: Arc<Mutex<Counts>>,
    /// Leases that their clients hold, for others to aim at.
    pub leases: Arc<Mutex<BTreeSet<i64>>>,
}

/// What clients did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub operations: u64,
    pub unknown: u64,
    pub events: u64,
    /// Numbered writes that were answered after a retry.
    pub retried: u64,
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Notes a check's verdict.
    pub fn judge(&self, checked: Checked) {
        if let Err(violation) = checked {
            lock(&self.broken).get_or_insert(violation);
        }
    }

    pub fn is_over(&self) -> bool {
        self.world.now_ns() >= self.until_ns || lock(&self.broken).is_some()
    }
}

/// How long a client waits for an answer or a connection.
pub const PATIENCE: Duration = Duration::from_millis(3000);
const DIAL_PATIENCE: Duration = Duration::from_millis(500);

/// One client's connection to one of the members.
pub struct Connection {
    net: crate::world::SimNet,
    members: Vec<NodeId>,
    at: usize,
    channel: Option<GrpcChannel>,
}

impl Connection {
    pub fn new(shared: &Shared, node: NodeId, first: usize) -> Self {
        let net = shared.world.net_of(node);
        Connection { net, members: shared.members.clone(), at: first % shared.members.len(), channel: None }
    }

    /// The channel, dialled if there is none. On failure the next member is next.
    pub async fn channel(&mut self) -> Option<GrpcChannel> {
        if self.channel.is_none() {
            let address = self.members[self.at].address(CLIENT_PORT);
            let dial = GrpcChannel::connect::<SimRuntime>(&self.net, &address);
            match timeout::<SimRuntime, _>(DIAL_PATIENCE, dial).await {
                Some(Ok(channel)) => self.channel = Some(channel),
                _ => self.next_member(),
            }
        }
        self.channel.clone()
    }

    /// The member that it is connected to, or turns to next.
    pub fn member(&self) -> NodeId {
        self.members[self.at]
    }

    /// Gives the channel up and turns to the next member.
    pub fn next_member(&mut self) {
        self.channel = None;
        self.at = (self.at + 1) % self.members.len();
    }
}

/// A client that reads and writes until its time is over.
pub async fn run_client(shared: Shared, node: NodeId, number: u64, rate: u32, workload: [u32; 5]) {
    let seed = shared.world.seed();
    let [put, range, delete_range, txn, compact] = workload;
    let weights = Weights { put, range, delete_range, txn, compact, lease: 0, ..Weights::default() };
    let mut generator = Generator::new(chacha(seed, "workload", node.0, 0, 0), weights);
    let mut pace = Stream::new(seed, "pace", node.0, 0, 0);
    let mut connection = Connection::new(&shared, node, number as usize);
    let mut hint = Hint { revision: 1, compact_revision: 0, leases: Vec::new() };
    let mut sequence = 0;
    while !shared.is_over() {
        SimRuntime::sleep(Duration::from_micros(1 + pace.below(2_000_000 / u64::from(rate)))).await;
        let Some(channel) = connection.channel().await else { continue };
        sequence += 1;
        let op: OpId = number << 32 | sequence;
        hint.leases = lock(&shared.leases).iter().copied().collect();
        let request = generator.request(&hint);
        lock(&shared.checks).on_call(op, number, request.clone());
        let answer = timeout::<SimRuntime, _>(PATIENCE, send(channel, request.clone(), op)).await;
        let outcome = match answer {
            Some(Ok(response)) => {
                hint.revision = hint.revision.max(response.revision());
                if let (Request::Compact(request), Response::Compact(_)) = (&request, &response) {
                    hint.compact_revision = hint.compact_revision.max(request.revision);
                }
                Outcome::Answer(response)
            }
            Some(Err(status)) => outcome_of(&status),
            None => Outcome::Unknown,
        };
        let mut counts = lock(&shared.counts);
        counts.operations += 1;
        counts.unknown += u64::from(outcome == Outcome::Unknown);
        drop(counts);
        let lost = match &outcome {
            Outcome::Answer(_) => false,
            Outcome::Failure(failure) => failure.code == Code::Unavailable,
            Outcome::Unknown => true,
        };
        let checked = lock(&shared.checks).on_return(op, outcome);
        shared.judge(checked);
        if lost || pace.below(50) == 0 {
            connection.next_member();
        }
    }
}

/// A status is the member's word if it is spelled like one; anything else is a broken connection.
pub fn outcome_of(status: &Status) -> Outcome {
    let text = status.message();
    let is_spoken = text.starts_with("etcdserver: ") || text == "context deadline exceeded";
    if !is_spoken {
        return Outcome::Unknown;
    }
    Outcome::Failure(Failure { code: status.code(), text: text.to_string() })
}

/// A message with its trace number.
pub fn with_trace<T>(message: T, op: OpId) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let trace = op.to_string().parse().expect("digits are valid metadata");
    request.metadata_mut().insert("etched-trace", trace);
    request
}

/// What a request comes with.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    /// Client and number of a write, for retries.
    pub number: Option<(u64, u64)>,
    /// Of a user.
    pub token: Option<String>,
}

/// A message with its trace number and what else comes with it.
pub fn with_extra<T>(message: T, op: OpId, extra: &Extra) -> tonic::Request<T> {
    let mut request = with_trace(message, op);
    if let Some(token) = &extra.token {
        request.metadata_mut().insert("token", token.parse().expect("letters and digits"));
    }
    if let Some((client, sequence)) = extra.number {
        for (name, number) in [("etched-client-id", client), ("etched-client-sequence", sequence)] {
            let number = number.to_string().parse().expect("digits are valid metadata");
            request.metadata_mut().insert(name, number);
        }
    }
    request
}

/// Sends one request.
pub async fn send(channel: GrpcChannel, request: Request, op: OpId) -> Result<Response, Status> {
    send_with(channel, request, op, Extra::default()).await
}

/// Sends one request with what comes with it.
pub async fn send_with(
    channel: GrpcChannel,
    request: Request,
    op: OpId,
    extra: Extra,
) -> Result<Response, Status> {
    let extra = &extra;
    let mut lease = LeaseClient::new(channel.clone());
    let mut kv = KvClient::new(channel).max_decoding_message_size(usize::MAX);
    Ok(match request {
        Request::Range(request) => {
            Response::Range(kv.range(with_extra(request, op, extra)).await?.into_inner())
        }
        Request::Put(request) => Response::Put(kv.put(with_extra(request, op, extra)).await?.into_inner()),
        Request::DeleteRange(request) => {
            Response::DeleteRange(kv.delete_range(with_extra(request, op, extra)).await?.into_inner())
        }
        Request::Txn(request) => Response::Txn(kv.txn(with_extra(request, op, extra)).await?.into_inner()),
        Request::Compact(request) => {
            Response::Compact(kv.compact(with_trace(request, op)).await?.into_inner())
        }
        Request::LeaseGrant(request) => {
            Response::LeaseGrant(lease.lease_grant(with_trace(request, op)).await?.into_inner())
        }
        Request::LeaseRevoke(request) => {
            Response::LeaseRevoke(lease.lease_revoke(with_trace(request, op)).await?.into_inner())
        }
    })
}
