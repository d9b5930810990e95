//! Simulated clients that hold leases: one at a time from its grant to its end, kept alive, left to
//! expire, kept alive about when it ends, or revoked, with several keys attached; meanwhile they ask
//! what it has left.

use std::time::Duration;

use etched::runtime::channel::mpsc;
use etched::runtime::{Runtime, timeout};
use etched_proto::etcdserverpb as pb;
use etched_proto::etcdserverpb::lease_client::LeaseClient;
use etched_testkit::{Request, Response};
use futures_util::future::join;
use futures_util::stream::poll_fn;
use tonic::Streaming;

use crate::check::{OpId, Outcome};
use crate::client::{Connection, PATIENCE, Shared, lock, outcome_of, send};
use crate::world::streams::Stream as Draws;
use crate::world::{NodeId, SimRuntime};

/// Keys that leases share with each other and with other clients.
const KEYS: [&str; 8] = ["l/1", "l/2", "l/3", "l/4", "a", "b", "a/1", "z"];
/// TTLs that are asked for, in seconds; the least that is granted is 2.
const TTLS_S: [i64; 6] = [1, 2, 2, 3, 4, 6];
/// How near to its end a lease is kept alive.
const NEAR_MS: u64 = 150;

/// What lessees do.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// As in [`crate::plan::Plan::leases`].
    pub weights: [u32; 5],
    /// Half of the locks are elections.
    pub elections: bool,
    /// A lease is sometimes renewed while its lessee asks what it has left.
    pub renews_while_asking: bool,
}

/// A client that holds leases until its time is over.
pub async fn run_lessee(shared: Shared, node: NodeId, number: u64, habits: Habits) {
    let draws = Draws::new(shared.world.seed(), "lessee", node.0, 0, 0);
    let connection = Connection::new(&shared, node, number as usize);
    let mut lessee = Lessee { shared, number, sequence: 0, draws, connection, habits, stream: None };
    while !lessee.shared.is_over() {
        let pause = 1 + lessee.draws.below(300);
        SimRuntime::sleep(Duration::from_millis(pause)).await;
        if let Some((id, ttl)) = lessee.grant().await {
            lock(&lessee.shared.leases).insert(id);
            lessee.hold(id, ttl, habits.weights).await;
            lock(&lessee.shared.leases).remove(&id);
        }
    }
}

/// A keep-alive stream.
struct KeepAlives {
    requests: mpsc::Sender<pb::LeaseKeepAliveRequest>,
    answers: Streaming<pb::LeaseKeepAliveResponse>,
}

/// One of them.
pub(crate) struct Lessee {
    pub(crate) shared: Shared,
    pub(crate) number: u64,
    pub(crate) sequence: u64,
    pub(crate) draws: Draws,
    pub(crate) connection: Connection,
    habits: Habits,
    stream: Option<KeepAlives>,
}

impl Lessee {
    /// The granted id and TTL.
    async fn grant(&mut self) -> Option<(i64, i64)> {
        let id = match self.draws.below(8) {
            // Small ones meet those of other clients.
            0 | 1 => 1 + self.draws.below(12) as i64,
            2 | 3 => -1 - self.draws.below(6) as i64,
            4 => *self.draws.pick(&[i64::MIN, i64::MAX, i64::from(u32::MAX)]).unwrap_or(&1),
            _ => 0,
        };
        let ttl = *self.draws.pick(&TTLS_S).unwrap_or(&2);
        match self.operation(Request::LeaseGrant(pb::LeaseGrantRequest { id, ttl })).await? {
            Response::LeaseGrant(answer) => Some((answer.id, answer.ttl)),
            _ => None,
        }
    }

    /// From the grant to the end, as its holder sees it.
    async fn hold(&mut self, id: i64, ttl: i64, weights: [u32; 5]) {
        let ttl_ms = ttl.cast_unsigned() * 1000;
        if self.draws.coin() {
            // It is hardly there yet.
            self.keep_alive(id).await;
        }
        for _ in 0..self.draws.below(4) {
            self.attach(id).await;
        }
        let mut pick = self.draws.below(u64::from(weights.iter().sum::<u32>().max(1))) as u32;
        let fate = weights.iter().position(|weight| {
            let here = pick < *weight;
            pick = pick.wrapping_sub(if here { 0 } else { *weight });
            here
        });
        match fate {
            Some(0) => {
                for _ in 0..1 + self.draws.below(5) {
                    let wait = ttl_ms * self.draws.between(20, 80) / 100;
                    self.idle(id, wait).await;
                    self.keep_alive(id).await;
                }
            }
            Some(2) => {
                for _ in 0..1 + self.draws.below(3) {
                    let wait = ttl_ms - NEAR_MS + self.draws.below(2 * NEAR_MS);
                    self.idle(id, wait).await;
                    self.keep_alive(id).await;
                }
            }
            Some(3) => {
                let wait = self.draws.below(ttl_ms);
                self.idle(id, wait).await;
                self.operation(Request::LeaseRevoke(pb::LeaseRevokeRequest { id })).await;
                self.idle(id, 200).await;
            }
            Some(4) if self.habits.elections && self.draws.coin() => self.campaign(id, ttl_ms).await,
            Some(4) => self.lock(id, ttl_ms).await,
            // Left to expire; some look on.
            _ if self.draws.coin() => self.idle(id, ttl_ms + 1500).await,
            _ => {}
        }
    }

    /// Waits, and asks and attaches now and then.
    async fn idle(&mut self, id: i64, wait_ms: u64) {
        let end = SimRuntime::now() + Duration::from_millis(wait_ms);
        while !self.shared.is_over() {
            let left = end - SimRuntime::now();
            let nap = Duration::from_millis(30 + self.draws.below(900));
            if left <= nap {
                SimRuntime::sleep(left).await;
                return;
            }
            SimRuntime::sleep(nap).await;
            match self.draws.below(6) {
                0..=2 => self.time_to_live(id).await,
                3 => self.list().await,
                _ => self.attach(id).await,
            }
        }
    }

    async fn attach(&mut self, lease: i64) {
        let key = self.draws.pick(&KEYS).unwrap_or(&"l/1").as_bytes().to_vec().into();
        let value = format!("{}.{}", self.number, self.sequence).into_bytes().into();
        self.operation(Request::Put(pb::PutRequest { key, value, lease, ..Default::default() })).await;
    }

    /// One operation of the store, told to the checks. `None` if it failed, or nobody knows.
    pub(crate) async fn operation(&mut self, request: Request) -> Option<Response> {
        let channel = self.connection.channel().await?;
        self.sequence += 1;
        let op: OpId = self.number << 32 | self.sequence;
        lock(&self.shared.checks).on_call(op, self.number, request.clone());
        let answer = timeout::<SimRuntime, _>(PATIENCE, send(channel, request, op)).await;
        let (outcome, answer) = match answer {
            Some(Ok(response)) => (Outcome::Answer(response.clone()), Some(response)),
            Some(Err(status)) => (outcome_of(&status), None),
            None => (Outcome::Unknown, None),
        };
        lock(&self.shared.counts).operations += 1;
        lock(&self.shared.counts).unknown += u64::from(outcome == Outcome::Unknown);
        if outcome == Outcome::Unknown {
            self.give_up();
        }
        let checked = lock(&self.shared.checks).on_return(op, outcome);
        self.shared.judge(checked);
        answer
    }

    pub(crate) fn give_up(&mut self) {
        self.stream = None;
        self.connection.next_member();
    }

    /// Keeps `id` alive, sometimes together with leases of others and such as nobody has.
    pub(crate) async fn keep_alive(&mut self, id: i64) {
        let mut ids = vec![id];
        if self.draws.below(4) == 0 {
            ids.extend(lock(&self.shared.leases).iter().take(3));
            ids.push(1 + self.draws.below(12) as i64);
        }
        let done = timeout::<SimRuntime, _>(PATIENCE, self.keep_all_alive(&ids)).await;
        if done.flatten().is_none() {
            self.give_up();
        } else if self.draws.below(3) == 0 {
            self.stream = None;
        }
    }

    async fn keep_all_alive(&mut self, ids: &[i64]) -> Option<()> {
        if self.stream.is_none() {
            let channel = self.connection.channel().await?;
            let (requests, mut receiver) = mpsc::channel(16);
            let outgoing = poll_fn(move |cx| receiver.poll_recv(cx));
            let answers = LeaseClient::new(channel).lease_keep_alive(outgoing).await.ok()?.into_inner();
            self.stream = Some(KeepAlives { requests, answers });
        }
        let stream = self.stream.as_mut()?;
        let mut all = Vec::new();
        for id in ids {
            all.push((*id, lock(&self.shared.checks).on_keep_alive(*id)));
            stream.requests.try_send(pb::LeaseKeepAliveRequest { id: *id }).ok()?;
        }
        for (id, asked) in all {
            let answer = stream.answers.message().await.ok()??;
            let checked = if answer.id == id {
                lock(&self.shared.checks).on_kept_alive(&asked, answer.ttl)
            } else {
                let what = format!("a keep-alive of {id} was answered for {}", answer.id);
                Err(crate::check::Violation::new("lease-kept", what))
            };
            self.shared.judge(checked);
        }
        Some(())
    }

    async fn time_to_live(&mut self, id: i64) {
        let Some(channel) = self.connection.channel().await else { return };
        let keys = self.draws.coin();
        let asked = lock(&self.shared.checks).on_lease_asked(id);
        let mut client = LeaseClient::new(channel);
        let question = client.lease_time_to_live(pb::LeaseTimeToLiveRequest { id, keys });
        let world = self.shared.world.clone();
        let question = timeout::<SimRuntime, _>(PATIENCE, question);
        let renews = self.habits.renews_while_asking && self.draws.below(6) == 0;
        let renewal = async {
            if renews {
                SimRuntime::sleep(Duration::from_millis(1200)).await;
                self.keep_alive(id).await;
            }
        };
        match join(question, renewal).await.0 {
            Some(Ok(answer)) => {
                let local_ns = |node| world.clock(NodeId(node)).now_ns();
                let answer = answer.get_ref();
                let checked = lock(&self.shared.checks).on_time_to_live(&asked, keys, answer, local_ns);
                self.shared.judge(checked);
            }
            _ => self.give_up(),
        }
    }

    async fn list(&mut self) {
        let Some(channel) = self.connection.channel().await else { return };
        let mut client = LeaseClient::new(channel);
        match timeout::<SimRuntime, _>(PATIENCE, client.lease_leases(pb::LeaseLeasesRequest {})).await {
            Some(Ok(answer)) => {
                let checked = lock(&self.shared.checks).on_leases(answer.get_ref());
                self.shared.judge(checked);
            }
            _ => self.give_up(),
        }
    }
}
