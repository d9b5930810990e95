//! The way of a proposal to the leader: here, or by one hop.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use openraft::errors::ClientWriteError;
use openraft::impls::ProgressResponder;

use super::config::{self, Proposal, TypeConfig};
use super::engine::{Engine, Inner};
use crate::codec::peer::Refusal;
use crate::runtime::{Instant, Runtime, timeout};
use crate::types::LogPosition;

/// Between attempts while there is no leader that takes proposals.
const RETRY: Duration = Duration::from_millis(10);

/// Why a proposal or a read was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposeError {
    /// No leader took it before the deadline; it is not in the log.
    NoLeader,
    /// It may be in the log or not.
    Unknown,
    /// The member stops; it is not in the log.
    Stopped,
}

impl ProposeError {
    /// Whether the proposal is certainly not in the log.
    pub fn is_definite(self) -> bool {
        !matches!(self, ProposeError::Unknown)
    }
}

impl fmt::Display for ProposeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProposeError::NoLeader => "no leader took the request in time",
            ProposeError::Unknown => "the outcome is unknown",
            ProposeError::Stopped => "the member stops",
        })
    }
}

impl<R: Runtime> Engine<R> {
    /// Gives encoded bytes to the leader: one hop at most. Tried again only while it is certain
    /// that no attempt reached a log. An attempt may outlast `deadline`: put a time-out around it.
    pub async fn propose(&self, envelope: Bytes, deadline: Instant) -> Result<LogPosition, ProposeError> {
        loop {
            let refusal = match self.inner.leader() {
                Some(leader) if leader == self.inner.local.member_id => {
                    match self.inner.propose_here(envelope.clone()).await {
                        Ok(position) => return Ok(position),
                        Err(refusal) => refusal,
                    }
                }
                Some(leader) => match self.inner.forwards.join(leader, envelope.clone()).await {
                    Ok(Ok(position)) => return Ok(position),
                    Ok(Err(refusal)) => refusal,
                    Err(_) => Refusal::Unknown,
                },
                None => Refusal::NotLeader,
            };
            match refusal {
                Refusal::Unknown => return Err(ProposeError::Unknown),
                Refusal::Stopped if self.inner.is_stopped() => return Err(ProposeError::Stopped),
                Refusal::Stopped | Refusal::NotLeader => {}
            }
            if R::now() >= deadline {
                return Err(ProposeError::NoLeader);
            }
            R::sleep_until(deadline.min(R::now() + RETRY)).await;
        }
    }
}

/// What openraft's error says of the log. Only a proposal that was turned away at the door may be
/// tried again. One that was appended and then discarded, because another leader's log or snapshot
/// took its place, may have been committed by others or still be: tried again, it could be applied
/// twice.
fn refusal<R: Runtime>(error: &ClientWriteError<TypeConfig<R>>) -> Refusal {
    match error {
        ClientWriteError::ForwardToLeader(_) => Refusal::NotLeader,
        ClientWriteError::LogEntryDiscarded(_)
        | ClientWriteError::ChangeMembershipError(_)
        | ClientWriteError::PreconditionFailed(_) => Refusal::Unknown,
    }
}

impl<R: Runtime> Inner<R> {
    /// Proposes on this member, if it leads.
    pub async fn propose_here(&self, envelope: Bytes) -> Result<LogPosition, Refusal> {
        if self.is_stopped() {
            return Err(Refusal::Stopped);
        }
        let (responder, complete) = ProgressResponder::complete_only();
        // In a box: its future is larger than all else that a waiting request keeps.
        let handed = Box::pin(self.raft.client_write_ff(Proposal(envelope), Some(responder))).await;
        handed.map_err(|_| Refusal::Stopped)?;
        match complete.await {
            Ok(Ok(response)) => Ok(config::position(&response.log_id)),
            Ok(Err(error)) => Err(refusal::<R>(&error)),
            Err(_) => Err(Refusal::Unknown),
        }
    }

    /// Proposes many on this member in one go, if it leads; answers in their order.
    pub async fn propose_many(&self, envelopes: Vec<Bytes>) -> Vec<Result<LogPosition, Refusal>> {
        let many = envelopes.len();
        if self.is_stopped() {
            return vec![Err(Refusal::Stopped); many];
        }
        let handed = self.raft.client_write_many(envelopes.into_iter().map(Proposal)).await;
        let Ok(mut results) = handed else { return vec![Err(Refusal::Stopped); many] };
        let mut answers = Vec::with_capacity(many);
        while let Some(result) = results.next().await {
            answers.push(match result {
                Ok(Ok(response)) => Ok(config::position(&response.log_id)),
                Ok(Err(error)) => Err(refusal::<R>(&error)),
                Err(_) => Err(Refusal::Unknown),
            });
        }
        answers.resize(many, Err(Refusal::Unknown));
        answers
    }

    /// Whether [`Engine::stop`] was called.
    pub fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }
}

impl<R: Runtime> Engine<R> {
    /// Waits until this member has applied `index`. Errors: NoLeader when time runs out.
    pub async fn wait_applied(&self, index: u64, deadline: Instant) -> Result<(), ProposeError> {
        let Some(reached) = self.inner.shared.applied.wait(index) else { return Ok(()) };
        match timeout::<R, _>(deadline - R::now(), reached).await {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) => Err(ProposeError::Stopped),
            None => Err(ProposeError::NoLeader),
        }
    }
}

#[cfg(test)]
mod tests {
    use openraft::errors::ForwardToLeader;

    use super::*;
    use crate::runtime::memory::Memory;

    #[test]
    fn only_what_never_reached_a_log_may_be_tried_again() {
        type Write = ClientWriteError<TypeConfig<Memory>>;
        let to_whom = ForwardToLeader::empty;
        let turned_away = refusal(&Write::ForwardToLeader(to_whom()));
        let discarded = refusal(&Write::LogEntryDiscarded(to_whom()));
        assert_eq!((turned_away, discarded), (Refusal::NotLeader, Refusal::Unknown));
        assert!(!ProposeError::Unknown.is_definite());
    }
}
