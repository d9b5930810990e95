//! Clients that take locks with their leases: they wait in the queue, some without keeping their
//! lease alive, write under guard of the token, some after a pause that outlasts the lease, and give
//! the lock back, or do not.

use std::time::Duration;

use etched::runtime::{Either, Runtime, select, timeout};
use etched_proto::etcdserverpb as pb;
use etched_proto::v3lockpb::lock_client::LockClient;
use etched_proto::v3lockpb::{LockRequest, LockResponse, UnlockRequest};
use etched_testkit::{Request, Response};

use crate::check::{OpId, Outcome, Wanted, created_at};
use crate::client::{PATIENCE, lock, with_trace};
use crate::lessee::Lessee;
use crate::world::SimRuntime;

const NAMES: [&str; 2] = ["lock/1", "lock/2"];
/// How long a client stands in the queue.
pub(crate) const QUEUE_PATIENCE_MS: u64 = 6000;

impl Lessee {
    /// Waits for a lock with lease `id`, and works under it.
    pub(crate) async fn lock(&mut self, id: i64, ttl_ms: u64) {
        let name = *self.draws.pick(&NAMES).unwrap_or(&NAMES[0]);
        let Some((wanted, answer)) = self.wait_for_lock(name, id, ttl_ms).await else { return };
        let token = answer.header.as_ref().map_or(0, |header| header.revision);
        let checked = lock(&self.shared.checks).on_locked(&wanted, &answer.key, token);
        self.shared.judge(checked);
        for _ in 0..self.draws.below(4) {
            match self.draws.below(5) {
                // A long pause, as of a garbage collection: the lease may be over after it.
                0 => SimRuntime::sleep(Duration::from_millis(ttl_ms + self.draws.below(2000))).await,
                1 | 2 => self.keep_alive(id).await,
                _ => SimRuntime::sleep(Duration::from_millis(self.draws.below(300))).await,
            }
            self.guarded_write(name, &answer.key, token).await;
        }
        match self.draws.below(4) {
            0 => {}
            1 => drop(self.operation(Request::LeaseRevoke(pb::LeaseRevokeRequest { id })).await),
            _ => self.unlock(&answer.key).await,
        }
    }

    async fn wait_for_lock(&mut self, name: &str, id: i64, ttl_ms: u64) -> Option<(Wanted, LockResponse)> {
        let channel = self.connection.channel().await?;
        let op = self.next_op();
        let wanted = lock(&self.shared.checks).on_lock(op, self.number, name.as_bytes(), id);
        let patience = Duration::from_millis(500 + self.draws.below(QUEUE_PATIENCE_MS));
        let request = LockRequest { name: name.as_bytes().to_vec().into(), lease: id };
        let mut client = LockClient::new(channel);
        let answer = self.in_queue(op, id, ttl_ms, patience, client.lock(with_trace(request, op))).await?;
        Some((wanted, answer))
    }

    /// Waits for the answer of operation `op`, with which lease `id` stands in a queue.
    pub(crate) async fn in_queue<T>(
        &mut self,
        op: OpId,
        id: i64,
        ttl_ms: u64,
        patience: Duration,
        answer: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> Option<T> {
        let mut answer = Box::pin(timeout::<SimRuntime, _>(patience, answer));
        // Who does not keep its lease alive may lose its place.
        let stays = self.draws.below(4) != 0;
        let answer = loop {
            match select(&mut answer, SimRuntime::sleep(Duration::from_millis(ttl_ms * 2 / 5))).await {
                Either::First(answer) => break answer,
                Either::Second(()) if self.shared.is_over() => break None,
                Either::Second(()) if stays => self.keep_alive(id).await,
                Either::Second(()) => {}
            }
        };
        // Whether it stands in the queue the log tells.
        let checked = lock(&self.shared.checks).on_return(op, Outcome::Unknown);
        self.shared.judge(checked);
        match answer {
            Some(Ok(answer)) => Some(answer.into_inner()),
            Some(Err(_)) => None,
            None => {
                self.give_up();
                None
            }
        }
    }

    /// A write that is carried out only while the lock is held.
    pub(crate) async fn guarded_write(&mut self, name: &str, key: &[u8], token: i64) {
        let (guarded, value) = (format!("guarded/{name}").into_bytes(), token.to_string().into_bytes());
        let put = pb::PutRequest { key: guarded.into(), value: value.into(), ..Default::default() };
        let put = pb::RequestOp { request: Some(pb::request_op::Request::RequestPut(put)) };
        let (compare, success) = (vec![created_at(key, token)], vec![put]);
        let txn = Request::Txn(pb::TxnRequest { compare, success, failure: Vec::new() });
        if let Some(Response::Txn(answer)) = self.operation(txn).await
            && answer.succeeded
        {
            let revision = answer.header.as_ref().map_or(0, |header| header.revision);
            let checked = lock(&self.shared.checks).on_guarded(name.as_bytes(), token, revision);
            self.shared.judge(checked);
        }
    }

    async fn unlock(&mut self, key: &[u8]) {
        let Some(channel) = self.connection.channel().await else { return };
        let op = self.next_op();
        let delete = pb::DeleteRangeRequest { key: key.to_vec().into(), ..Default::default() };
        lock(&self.shared.checks).on_call(op, self.number, Request::DeleteRange(delete));
        let mut client = LockClient::new(channel);
        let request = with_trace(UnlockRequest { key: key.to_vec().into() }, op);
        let answer = timeout::<SimRuntime, _>(PATIENCE, client.unlock(request)).await;
        // The answer does not tell what was deleted.
        let checked = lock(&self.shared.checks).on_return(op, Outcome::Unknown);
        self.shared.judge(checked);
        if !matches!(answer, Some(Ok(_))) {
            self.give_up();
        }
    }

    pub(crate) fn next_op(&mut self) -> OpId {
        self.sequence += 1;
        self.number << 32 | self.sequence
    }
}
