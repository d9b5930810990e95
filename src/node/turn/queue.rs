//! Into the queue, to its front, and out of it again if nobody waits for the answer any more.

use std::sync::Arc;

use bytes::Bytes;

use super::{Leading, SESSION_TTL_S, below, created_at, key_of};
use crate::node::Node;
use crate::node::api::{Header, RequestContext};
use crate::runtime::channel::oneshot;
use crate::runtime::{Either, Runtime, select, timeout};
use crate::types::{
    DeleteRangeRequest, Error, KeyRange, LeaseId, PutRequest, RangeRequest, RequestOp, ResponseOp, TxnRequest,
};

/// A turn that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The key that holds it; deleting it ends the turn.
    pub key: Bytes,
    /// The key's create revision: the fencing token.
    pub revision: i64,
    /// The lease it lasts no longer than.
    pub lease: LeaseId,
    /// The header of the write that joined the queue.
    pub header: Header,
}

/// What a client wants a turn for.
#[derive(Clone, Debug)]
struct Wish {
    name: Bytes,
    lease: LeaseId,
    value: Bytes,
    /// A key that is already in the queue gets the value.
    replaces_value: bool,
}

impl<R: Runtime> Node<R> {
    /// Lock.Lock: waits until `lease` holds the lock `name` (E5), with a lease of 60 s if it is 0 (E7).
    ///
    /// Errors: SessionExpired if the key went away meanwhile; what reads and writes say. Once the
    /// deadline has passed or the future is dropped the place in the queue is given up.
    pub async fn lock(&self, name: Bytes, lease: LeaseId, context: RequestContext) -> Result<Turn, Error> {
        self.turn(Wish { name, lease, value: Bytes::new(), replaces_value: false }, context).await
    }

    /// Election.Campaign: waits until `lease` leads the election `name` with `value` (E2, E7).
    ///
    /// Errors as those of [`Node::lock`].
    pub async fn campaign(
        &self,
        name: Bytes,
        lease: LeaseId,
        value: Bytes,
        context: RequestContext,
    ) -> Result<Turn, Error> {
        self.turn(Wish { name, lease, value, replaces_value: true }, context).await
    }

    /// In a task of its own: a client that goes away must not leave a place in the queue behind.
    async fn turn(&self, wish: Wish, context: RequestContext) -> Result<Turn, Error> {
        self.permit_any(context)?;
        let (answer, outcome) = oneshot::channel();
        R::spawn("turn", take_turn(self.clone(), wish, context, answer)).detach();
        outcome.await.map_err(|_| Error::Stopped)?
    }

    /// Joins the queue; an own key that is there already keeps its place.
    async fn join(&self, wish: &Wish, context: RequestContext) -> Result<Turn, Error> {
        let key = key_of(&wish.name, wish.lease);
        let put = PutRequest {
            key: key.clone(),
            value: wish.value.clone(),
            lease: wish.lease,
            ..PutRequest::default()
        };
        let present = RequestOp::Range(RangeRequest::newest(KeyRange::single(key.clone())));
        let compare = vec![created_at(&key, 0)];
        let txn = TxnRequest { compare, success: vec![RequestOp::Put(put)], failure: vec![present] };
        let (response, header) = self.txn(txn, context).await?;
        let turn = Turn { key, revision: header.revision, lease: wish.lease, header };
        let Some(ResponseOp::Range(_, range)) = response.responses.first() else { return Ok(turn) };
        let Some(present) = range.kvs.first() else { return Ok(turn) };
        let turn = Turn { revision: present.fields().create_revision, ..turn };
        if wish.replaces_value && present.value() != wish.value && !planted!(CampaignKeepsValue) {
            let leading = Leading { key: turn.key.clone(), revision: turn.revision, lease: turn.lease };
            self.proclaim(leading, wish.value.clone(), context).await?;
        }
        Ok(turn)
    }

    /// Gives a turn or a place in the queue back; nothing happens if it is somebody else's by now.
    async fn leave(&self, turn: &Turn, context: RequestContext) {
        let delete = DeleteRangeRequest { range: KeyRange::single(turn.key.clone()), prev_kv: false };
        let txn = TxnRequest {
            compare: vec![created_at(&turn.key, turn.revision)],
            success: vec![RequestOp::DeleteRange(delete)],
            failure: Vec::new(),
        };
        let mut left = self.txn(txn.clone(), in_own_time(context)).await;
        while left.as_ref().err() == Some(&Error::AuthOldRevision) {
            left = self.txn(txn.clone(), in_own_time(context)).await;
        }
        if let Err(error) = left {
            let key = turn.key.escape_ascii().to_string();
            tracing::warn!(key, error = %error, "a place in a queue stays until its lease ends");
        }
    }

    /// Waits until `turn` is the oldest below `name`, and looks once more that it is there.
    async fn wait_turn(&self, name: &[u8], turn: &Turn, context: RequestContext) -> Result<(), Error> {
        self.wait_older(&below(name), turn.revision, context).await?;
        let own = RangeRequest::newest(KeyRange::single(turn.key.clone()));
        let (response, _) = self.range(own, context).await?;
        let is_there = response.kvs.iter().any(|kv| kv.fields().create_revision == turn.revision);
        if is_there { Ok(()) } else { Err(Error::SessionExpired) }
    }
}

/// The whole way to a turn; `answer` is closed when the client is gone.
async fn take_turn<R: Runtime>(
    node: Node<R>,
    mut wish: Wish,
    context: RequestContext,
    mut answer: oneshot::Sender<Result<Turn, Error>>,
) {
    // A member that stops gives places in queues back before it stops writing.
    let _queued = Arc::clone(&node.inner.queued);
    let own_lease = wish.lease == 0;
    let joined = async {
        if own_lease {
            wish.lease = node.lease_grant(0, SESSION_TTL_S, context).await?.0.id;
        }
        node.join(&wish, context).await
    };
    let turn = match joined.await {
        Ok(turn) => turn,
        Err(error) => {
            end_session(&node, own_lease, wish.lease, context).await;
            // Whoever went away does not want to know.
            let _ = answer.send(Err(error));
            return;
        }
    };
    // Each read on the way has its own time-out; the wait itself has only the client's.
    let wait = node.wait_turn(&wish.name, &turn, context);
    let wait = async {
        match context.deadline {
            None => wait.await,
            Some(deadline) => {
                timeout::<R, _>(deadline - R::now(), wait).await.unwrap_or(Err(Error::DeadlineExceeded))
            }
        }
    };
    let outcome = match select(wait, select(answer.closed(), node.stopping())).await {
        Either::First(outcome) => outcome.map(|()| turn.clone()),
        Either::Second(Either::First(())) => Err(Error::RequestCanceled),
        Either::Second(Either::Second(())) => Err(Error::Stopped),
    };
    let is_taken = outcome.is_ok();
    if answer.send(outcome).is_err() || !is_taken {
        node.leave(&turn, context).await;
        end_session(&node, own_lease, wish.lease, context).await;
    }
}

/// For the same user, without the client's deadline.
fn in_own_time(context: RequestContext) -> RequestContext {
    RequestContext { deadline: None, client: None, ..context }
}

/// Ends a lease that was granted for a turn that nobody has.
async fn end_session<R: Runtime>(node: &Node<R>, own_lease: bool, lease: LeaseId, context: RequestContext) {
    if own_lease && lease != 0 {
        // If this fails, the lease ends by itself.
        let _ = node.lease_revoke(lease, in_own_time(context)).await;
    }
}
