//! Load: many clients, each with one request in flight, over a few connections.

use etched::os::{OsNet, OsRuntime};
use etched::runtime::{Instant, Net, Runtime, Task};
use etched_proto::etcdserverpb as pb;
use prost::Message;

use super::http2::{Connection, Method};

/// Keys that puts write and gets read.
pub const KEYS: u64 = 100_000;
const VALUE_BYTES: usize = 256;

/// What every client does.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// A put of the next key.
    Put {
        /// From a count of requests to the number of a key.
        key: fn(u64) -> u64,
    },
    /// A linearizable get of some key.
    Get,
    /// A grant of the next lease, with a TTL that ends about then.
    Grant {
        /// When they all end.
        end: Instant,
    },
    /// A put of the next lease's key.
    Attach,
    /// A keep-alive of the next of so many leases, on a stream that stays.
    KeepAlive {
        /// How many were granted.
        leases: u64,
    },
}

impl Work {
    fn method(self) -> Method {
        let (path, streams) = match self {
            Work::Put { .. } | Work::Attach => ("/etcdserverpb.KV/Put", false),
            Work::Get => ("/etcdserverpb.KV/Range", false),
            Work::Grant { .. } => ("/etcdserverpb.Lease/LeaseGrant", false),
            Work::KeepAlive { .. } => ("/etcdserverpb.Lease/LeaseKeepAlive", true),
        };
        Method { path, streams }
    }

    /// The request number `count` of the whole load, encoded.
    fn message(self, count: u64) -> Vec<u8> {
        match self {
            Work::Put { key: number } => {
                let value = vec![b'v'; VALUE_BYTES].into();
                pb::PutRequest { key: key(number(count)), value, ..Default::default() }.encode_to_vec()
            }
            Work::Get => {
                pb::RangeRequest { key: key(scatter(count) % KEYS), ..Default::default() }.encode_to_vec()
            }
            Work::Grant { end } => {
                let left = (end - OsRuntime::now()).as_secs_f64();
                pb::LeaseGrantRequest { id: lease(count), ttl: left.round() as i64 }.encode_to_vec()
            }
            Work::Attach => {
                let key = format!("{ATTACHED}{count:012}").into();
                pb::PutRequest { key, lease: lease(count), ..Default::default() }.encode_to_vec()
            }
            Work::KeepAlive { leases } => {
                pb::LeaseKeepAliveRequest { id: lease(count % leases) }.encode_to_vec()
            }
        }
    }
}

/// What the keys of leases begin with.
pub const ATTACHED: &str = "lease-";

/// The id of lease number `count`.
pub fn lease(count: u64) -> i64 {
    count as i64 + 1
}

/// A key of 16 bytes.
pub fn key(number: u64) -> bytes::Bytes {
    format!("key-{number:012}").into()
}

/// A number that looks random.
pub fn scatter(count: u64) -> u64 {
    count.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24
}

/// When a load ends, and from when on it counts.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Answers before this are not counted.
    pub from: Instant,
    /// No request begins after this.
    pub to: Instant,
    /// Nor after this many.
    pub requests: u64,
}

/// What a load gave.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Latencies of counted answers, in microseconds, sorted.
    pub latencies: Vec<u32>,
    /// Answers that were errors.
    pub errors: u64,
}

impl Outcome {
    /// The latency below which this part of all answers came, in milliseconds.
    pub fn percentile_ms(&self, part: f64) -> f64 {
        let at = (self.latencies.len() as f64 * part) as usize;
        self.latencies
            .get(at.min(self.latencies.len().saturating_sub(1)))
            .map_or(0.0, |us| f64::from(*us) / 1e3)
    }
}

/// A running load.
pub struct Load(Vec<Task<Outcome>>);

impl Load {
    /// Connects `connections` with `clients` in all, to `addresses` in turn, and starts.
    pub async fn start(work: Work, addresses: &[&str], connections: u64, clients: u64, span: Span) -> Load {
        let mut tasks = Vec::new();
        for n in 0..connections {
            let address = addresses[n as usize % addresses.len()].to_owned();
            let stream = OsNet.dial(&address).await.expect("a connection");
            let slots = (clients / connections) as usize;
            let connection = Connection::new(stream, &address, work.method(), slots);
            tasks.push(OsRuntime::spawn("connection", drive(work, connection, slots, n, connections, span)));
        }
        Load(tasks)
    }

    /// Waits for its end.
    pub async fn outcome(self) -> Outcome {
        let mut outcome = Outcome::default();
        for task in self.0 {
            let part = task.await.expect("the connection holds");
            outcome.latencies.extend(part.latencies);
            outcome.errors += part.errors;
        }
        outcome.latencies.sort_unstable();
        outcome
    }
}

/// One connection's clients, until the load ends; `n` of `connections` takes each so many-th request.
async fn drive<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    work: Work,
    mut connection: Connection<S>,
    slots: usize,
    n: u64,
    connections: u64,
    span: Span,
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut count = n;
    let mut begun = vec![OsRuntime::now(); slots];
    let mut answers = Vec::new();
    let mut in_flight = 0;
    let mut idle: Vec<usize> = (0..slots).collect();
    loop {
        let now = OsRuntime::now();
        for slot in idle.drain(..) {
            if now < span.to && count < span.requests {
                connection.request(slot, &work.message(count));
                begun[slot] = now;
                count += connections;
                in_flight += 1;
            }
        }
        if in_flight == 0 {
            return outcome;
        }
        connection.exchange(&mut answers).await.expect("the server keeps the connection");
        let now = OsRuntime::now();
        for answer in &answers {
            in_flight -= 1;
            idle.push(answer.slot);
            if !answer.is_good {
                outcome.errors += 1;
            } else if begun[answer.slot] >= span.from {
                outcome.latencies.push((now - begun[answer.slot]).as_micros() as u32);
            }
        }
    }
}
