//! The way in for writes: envelope, slot, engine, own apply.

use bytes::Bytes;

use super::Node;
use super::api::{Header, RequestContext};
use crate::codec::envelope;
use crate::raft::ProposeError;
use crate::runtime::channel::oneshot;
use crate::runtime::{Either, Observation, Runtime, select, timeout};
use crate::state::Applied;
use crate::types::{
    AuthCommand, Caller, Command, CompactionRequest, CompactionResponse, DeleteRangeRequest,
    DeleteRangeResponse, Envelope, Error, Permission, PutRequest, PutResponse, RequestId, Response,
    TxnRequest, TxnResponse,
};

impl<R: Runtime> Node<R> {
    /// KV.Put through the log.
    pub async fn put(
        &self,
        request: PutRequest,
        context: RequestContext,
    ) -> Result<(PutResponse, Header), Error> {
        match self.propose(Command::Put(request), context).await? {
            (Response::Put(response), header) => Ok((response, header)),
            (other, _) => unexpected(&other),
        }
    }

    /// KV.DeleteRange through the log.
    pub async fn delete_range(
        &self,
        request: DeleteRangeRequest,
        context: RequestContext,
    ) -> Result<(DeleteRangeResponse, Header), Error> {
        match self.propose(Command::DeleteRange(request), context).await? {
            (Response::DeleteRange(response), header) => Ok((response, header)),
            (other, _) => unexpected(&other),
        }
    }

    /// KV.Txn: through the log if it writes or nests, else as a read (T8–T10).
    pub async fn txn(
        &self,
        request: TxnRequest,
        context: RequestContext,
    ) -> Result<(TxnResponse, Header), Error> {
        if super::read::is_read_only(&request) {
            return self.read_txn(request, context).await;
        }
        match self.propose(Command::Txn(request), context).await? {
            (Response::Txn(response), header) => Ok((response, header)),
            (other, _) => unexpected(&other),
        }
    }

    /// KV.Compact through the log; `physical` waits for the removal on this member (C3).
    pub async fn compact(
        &self,
        request: CompactionRequest,
        context: RequestContext,
    ) -> Result<(CompactionResponse, Header), Error> {
        match self.propose(Command::Compaction(request), context).await? {
            (Response::Compaction(response), header) => {
                if request.physical {
                    self.wait_removed(context).await?;
                }
                Ok((response, header))
            }
            (other, _) => unexpected(&other),
        }
    }

    /// Proposes one command and answers from this member's own apply.
    ///
    /// Errors: what apply says; TooManyRequests, RequestTooLarge; Timeout or DeadlineExceeded, after
    /// which the outcome is unknown. A write is never retried on its own.
    pub async fn propose(
        &self,
        command: Command,
        context: RequestContext,
    ) -> Result<(Response, Header), Error> {
        let deadline = self.deadline(context);
        let (slot, bytes, mut answer) = self.register(command, context)?;
        let again = if planted!(ProposalSentAgain) { bytes.clone() } else { Bytes::new() };
        let answered = async {
            let accepted = self.inner.engine.propose(bytes, deadline);
            // The answer can overtake the news that the entry was accepted, so both are awaited.
            let applied = match select(&mut answer, accepted).await {
                Either::First(applied) => applied,
                Either::Second(Err(error)) if error.is_definite() => {
                    return Err(self.propose_error(error, context));
                }
                Either::Second(Ok(_)) if planted!(AnswerBeforeApply) => Ok(self.guess()),
                Either::Second(Err(_)) if planted!(ProposalSentAgain) => {
                    let proposed = Box::pin(self.inner.engine.propose(again, deadline));
                    match select(&mut answer, proposed).await {
                        Either::First(applied) => applied,
                        Either::Second(_) => answer.await,
                    }
                }
                Either::Second(_) => answer.await,
            };
            applied.map_err(|_| Error::Stopped)
        };
        let in_time = timeout::<R, _>(deadline - R::now(), answered).await;
        let applied = in_time.unwrap_or_else(|| Err(self.timed_out(context)))?;
        R::observe(Observation::Answered { request_id: slot.request_id });
        let header = self.header(applied.revision);
        applied.response.map(|response| (response, header))
    }

    fn register(&self, mut command: Command, context: RequestContext) -> Result<Registered<'_, R>, Error> {
        if planted!(RequestMistranslated) {
            mistranslate(&mut command);
        }
        let (request_id, answer) = self.inner.visible.pending().register(size_hint(&command))?;
        let slot = Slot { node: self, request_id };
        R::observe(Observation::Proposed { request_id, trace: context.trace });
        let caller = self.caller(&command, context)?;
        let bytes = envelope::encode(&Envelope { request_id, caller, client: context.client, command });
        if bytes.len() > self.inner.config.max_request_bytes {
            return Err(Error::RequestTooLarge);
        }
        Ok((slot, bytes, answer))
    }

    /// Who asks, as the log holds it. What nobody may do while requests are checked does not come so far.
    /// Errors: UserEmpty, InvalidAuthToken.
    fn caller(&self, command: &Command, context: RequestContext) -> Result<Option<Caller>, Error> {
        if context.login.is_none() {
            let is_checked = self.inner.visible.hub().history().auth().is_enabled();
            return if is_checked && needs_caller(command) { Err(Error::UserEmpty) } else { Ok(None) };
        }
        let view = self.view();
        let auth_revision = view.auth().revision();
        Ok(view.user_of(context.login)?.map(|user| Caller { user, auth_revision }))
    }

    /// Proposes, on this member alone, what only a leader may propose. Errors: NotLeader, after which
    /// the outcome is unknown; Stopped.
    pub(super) async fn propose_as_leader(&self, command: Command) -> Result<Applied, Error> {
        let (request_id, mut answer) = self.inner.visible.pending().register_own(size_hint(&command));
        let _slot = Slot { node: self, request_id };
        R::observe(Observation::Proposed { request_id, trace: None });
        let bytes = envelope::encode(&Envelope { request_id, caller: None, client: None, command });
        let proposed = async {
            match planted!(DeposedLeaderTicks) {
                true => {
                    Box::pin(self.inner.engine.propose(bytes, R::now())).await.map_err(|_| Error::NotLeader)
                }
                false => self.inner.engine.propose_here(bytes).await.map_err(|_| Error::NotLeader),
            }
        };
        match select(&mut answer, proposed).await {
            Either::First(applied) => applied.map_err(|_| Error::Stopped),
            Either::Second(Ok(_)) => answer.await.map_err(|_| Error::Stopped),
            Either::Second(Err(error)) => Err(error),
        }
    }

    fn propose_error(&self, error: ProposeError, context: RequestContext) -> Error {
        match error {
            ProposeError::Stopped => Error::Stopped,
            ProposeError::NoLeader | ProposeError::Unknown => self.timed_out(context),
        }
    }

    /// The planted answer that does not wait for apply.
    fn guess(&self) -> Applied {
        let revision = self.view().revision() + 1;
        Applied { response: Ok(Response::Put(PutResponse::default())), revision, events: Vec::new() }
    }
}

type Registered<'a, R> = (Slot<'a, R>, Bytes, oneshot::Receiver<Applied>);

/// Gives the slot back, whichever way the proposal ends.
struct Slot<'a, R: Runtime> {
    node: &'a Node<R>,
    request_id: RequestId,
}

impl<R: Runtime> Drop for Slot<'_, R> {
    fn drop(&mut self) {
        self.node.inner.visible.pending().forget(self.request_id);
    }
}

/// Whether it is looked at, when it is applied, who asked for it.
fn needs_caller(command: &Command) -> bool {
    match command {
        Command::Put(_) | Command::DeleteRange(_) | Command::Txn(_) | Command::LeaseRevoke { .. } => true,
        Command::Auth(change) => !matches!(change, AuthCommand::Authenticate { .. }),
        _ => false,
    }
}

/// About how many bytes a command holds in memory, for the bound on waiting proposals.
fn size_hint(command: &Command) -> usize {
    match command {
        Command::Put(put) => put.key.len() + put.value.len() + 64,
        Command::Txn(txn) => 256 * (1 + txn.success.len().max(txn.failure.len())),
        Command::Auth(AuthCommand::UserAdd { name, password_hash, .. }) => {
            256 + name.len() + password_hash.len()
        }
        Command::Auth(AuthCommand::RoleAdd { name }) => 256 + name.len(),
        Command::Auth(AuthCommand::RoleGrantPermission { permission: Permission { range, .. }, .. }) => {
            256 + range.key.len() + range.range_end.len()
        }
        _ => 256,
    }
}

/// The planted bug of the same name: what the client asked is not what the log gets.
fn mistranslate(command: &mut Command) {
    match command {
        Command::Put(put) if put.value.len() % 4 == 3 => put.value = put.key.clone(),
        Command::Txn(txn) if txn.compare.len() % 2 == 1 => std::mem::swap(&mut txn.success, &mut txn.failure),
        _ => {}
    }
}

pub(super) fn unexpected<T>(response: &Response) -> T {
    let kind = std::mem::discriminant(response);
    panic!("apply answered a command with a response of another kind: {kind:?}")
}
