//! Simulated clients with users: guests that try what they may and what they may not.

use std::time::Duration;

use etched::runtime::{Runtime, timeout};
use etched_proto::etcdserverpb as pb;
use etched_proto::etcdserverpb::auth_client::AuthClient;
use etched_proto::etcdserverpb::watch_client::WatchClient;
use etched_testkit::{Failure, Request};
use futures_util::StreamExt;
use pb::request_op::Request as Op;
use pb::watch_request::RequestUnion;

use crate::check::{OpId, Outcome};
use crate::client::{Connection, Extra, PATIENCE, Shared, lock, outcome_of, send_with, with_extra};
use crate::world::streams::Stream as Draws;
use crate::world::{NodeId, SimRuntime};

const KEYS: [&str; 5] = ["u/1", "u/2", "u/3", "v/1", "v/2"];
/// Ranges that are asked for and granted.
pub(crate) const RANGES: [(&str, &str); 10] = [
    ("u/1", ""),
    ("u/2", ""),
    ("v/1", ""),
    ("u/", "u0"),
    ("u/2", "v/"),
    ("v/", "v0"),
    ("u/1", "v/2"),
    ("v/1", "\0"),
    ("u/3", "\0"),
    ("\0", "\0"),
];

/// The name of guest `number`.
pub(crate) fn name_of(number: u64) -> String {
    format!("guest{number}")
}

/// A client that knows its password.
pub(crate) struct Guest {
    pub(crate) shared: Shared,
    pub(crate) number: u64,
    pub(crate) name: String,
    pub(crate) draws: Draws,
    pub(crate) connection: Connection,
    pub(crate) token: Option<String>,
    /// What the checks said when it got it.
    born: usize,
    sequence: u64,
}

/// A guest that tries things until its time is over.
pub async fn run_guest(shared: Shared, node: NodeId, number: u64) {
    let mut guest = Guest::new(shared, node, number, name_of(number));
    while !guest.shared.is_over() {
        let pause = 1 + guest.draws.below(150);
        SimRuntime::sleep(Duration::from_millis(pause)).await;
        match guest.draws.below(6) {
            0 => guest.watch().await,
            _ => {
                let request = guest.request();
                guest.operation(request).await;
            }
        }
    }
}

impl Guest {
    pub(crate) fn new(shared: Shared, node: NodeId, number: u64, name: String) -> Self {
        let draws = Draws::new(shared.world.seed(), "guest", node.0, 0, 0);
        let connection = Connection::new(&shared, node, number as usize);
        Guest { shared, number, name, draws, connection, token: None, born: 0, sequence: 0 }
    }

    pub(crate) fn next_op(&mut self) -> OpId {
        self.sequence += 1;
        self.number << 32 | self.sequence
    }

    /// Who it is for the members, as long as its token is good.
    pub(crate) fn user(&self) -> Option<&str> {
        self.token.as_ref().map(|_| self.name.as_str())
    }

    /// Gets a token, or does without.
    pub(crate) async fn log_in(&mut self) {
        self.token = None;
        let Some(channel) = self.connection.channel().await else { return };
        let request = pb::AuthenticateRequest { name: self.name.clone(), password: self.name.clone() };
        let mut auth = AuthClient::new(channel);
        match timeout::<SimRuntime, _>(PATIENCE, auth.authenticate(request)).await {
            Some(Ok(answer)) => {
                self.token = Some(answer.into_inner().token);
                self.born = lock(&self.shared.checks).on_logged_in();
            }
            Some(Err(status)) if matches!(outcome_of(&status), Outcome::Failure(_)) => {}
            _ => self.connection.next_member(),
        }
    }

    /// Goes on after an outcome: to another member, or with another token.
    pub(crate) async fn after(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Failure(Failure { text, .. })
                if text.ends_with("invalid auth token") || text.ends_with("user name is empty") =>
            {
                self.log_in().await;
            }
            Outcome::Unknown => self.connection.next_member(),
            Outcome::Failure(_) | Outcome::Answer(_) if self.draws.below(20) == 0 => {
                self.connection.next_member();
            }
            _ => {}
        }
    }

    async fn operation(&mut self, request: Request) {
        let Some(channel) = self.connection.channel().await else { return };
        let op = self.next_op();
        {
            let mut checks = lock(&self.shared.checks);
            let asker = checks.on_asking(self.user(), self.connection.member().0, self.born);
            checks.on_call_as(op, self.number, request.clone(), asker);
        }
        let extra = Extra { token: self.token.clone(), ..Extra::default() };
        let outcome = match timeout::<SimRuntime, _>(PATIENCE, send_with(channel, request, op, extra)).await {
            Some(Ok(response)) => Outcome::Answer(response),
            Some(Err(status)) => outcome_of(&status),
            None => Outcome::Unknown,
        };
        {
            let mut counts = lock(&self.shared.counts);
            counts.operations += 1;
            counts.unknown += u64::from(outcome == Outcome::Unknown);
        }
        let checked = lock(&self.shared.checks).on_return(op, outcome.clone());
        self.shared.judge(checked);
        self.after(&outcome).await;
    }

    fn request(&mut self) -> Request {
        match self.draws.below(8) {
            0..3 => Request::Range(self.range()),
            3..5 => Request::Put(self.put()),
            5 => Request::DeleteRange(self.delete()),
            _ => Request::Txn(self.txn(2)),
        }
    }

    fn some_range(&mut self) -> (bytes::Bytes, bytes::Bytes) {
        let (key, end) = *self.draws.pick(&RANGES).unwrap_or(&RANGES[0]);
        (key.as_bytes().into(), end.as_bytes().into())
    }

    fn range(&mut self) -> pb::RangeRequest {
        let (key, range_end) = self.some_range();
        pb::RangeRequest { key, range_end, serializable: self.draws.below(3) == 0, ..Default::default() }
    }

    fn put(&mut self) -> pb::PutRequest {
        let key = self.draws.pick(&KEYS).unwrap_or(&KEYS[0]).as_bytes().into();
        let value = format!("{}.{}", self.number, self.sequence).into_bytes().into();
        pb::PutRequest { key, value, prev_kv: self.draws.coin(), ..Default::default() }
    }

    fn delete(&mut self) -> pb::DeleteRangeRequest {
        let (key, range_end) = self.some_range();
        pb::DeleteRangeRequest { key, range_end, prev_kv: self.draws.coin() }
    }

    /// One operation, sometimes two levels deep; never two writes, so that no key is given twice.
    fn txn(&mut self, depth: u32) -> pb::TxnRequest {
        let op = match self.draws.below(4) {
            0 => Op::RequestRange(pb::RangeRequest { serializable: false, ..self.range() }),
            1 => Op::RequestDeleteRange(self.delete()),
            2 if depth > 0 => Op::RequestTxn(self.txn(depth - 1)),
            _ => Op::RequestPut(self.put()),
        };
        let op = vec![pb::RequestOp { request: Some(op) }];
        let (key, range_end) = self.some_range();
        let compare = pb::Compare { key, range_end, ..Default::default() };
        let compare = if self.draws.below(3) == 0 { vec![compare] } else { Vec::new() };
        match self.draws.coin() {
            true => pb::TxnRequest { compare, success: op, failure: Vec::new() },
            false => pb::TxnRequest { compare, success: Vec::new(), failure: op },
        }
    }

    /// Asks for a watch, hears whether it may, and ends it.
    async fn watch(&mut self) {
        let Some(channel) = self.connection.channel().await else { return };
        let (key, range_end) = self.some_range();
        let create =
            pb::WatchCreateRequest { key: key.clone(), range_end: range_end.clone(), ..Default::default() };
        let request_union = Some(RequestUnion::CreateRequest(create));
        let requests = futures_util::stream::iter([pb::WatchRequest { request_union }]);
        let extra = Extra { token: self.token.clone(), ..Extra::default() };
        let request = with_extra(requests.chain(futures_util::stream::pending()), self.next_op(), &extra);
        let asker = lock(&self.shared.checks).on_asking(self.user(), self.connection.member().0, self.born);
        let mut client = WatchClient::new(channel);
        let first = async {
            let mut responses = client.watch(request).await?.into_inner();
            responses.message().await
        };
        let told = match timeout::<SimRuntime, _>(PATIENCE, first).await {
            Some(Ok(Some(response))) => response,
            _ => return self.connection.next_member(),
        };
        let reason = told.canceled.then_some(told.cancel_reason.as_str());
        let checked = lock(&self.shared.checks).on_watch_told(&asker, &key, &range_end, reason);
        self.shared.judge(checked);
        let text = told.cancel_reason.clone();
        self.after(&Outcome::Failure(Failure::new(tonic::Code::Unknown, text))).await;
    }
}
