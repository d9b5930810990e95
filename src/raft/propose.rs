//! The way of a proposal to the leader: here, or by one hop.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use openraft::errors::ClientWriteError;
use openraft::impls::ProgressResponder;

use super::config::{self, Proposal};
use super::engine::{Engine, Inner};
use super::peer::LinkError;
use crate::codec::peer::{Purpose, Refusal, Reply, Request};
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
    /// that no attempt reached a log.
    pub async fn propose(&self, envelope: Bytes, deadline: Instant) -> Result<LogPosition, ProposeError> {
        loop {
            let refusal = match self.inner.leader() {
                Some(leader) if leader == self.inner.local.member_id => {
                    match self.inner.propose_here(envelope.clone()).await {
                        Ok(position) => return Ok(position),
                        Err(refusal) => refusal,
                    }
                }
                Some(leader) => match self.inner.propose_there(leader, envelope.clone(), deadline).await {
                    Ok(position) => return Ok(position),
                    Err(refusal) => refusal,
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

impl<R: Runtime> Inner<R> {
    /// Proposes on this member, if it leads.
    pub async fn propose_here(&self, envelope: Bytes) -> Result<LogPosition, Refusal> {
        if self.is_stopped() {
            return Err(Refusal::Stopped);
        }
        let (responder, complete) = ProgressResponder::complete_only();
        let handed = self.raft.client_write_ff(Proposal(envelope), Some(responder)).await;
        handed.map_err(|_| Refusal::Stopped)?;
        match complete.await {
            Ok(Ok(response)) => Ok(config::position(&response.log_id)),
            Ok(Err(ClientWriteError::ForwardToLeader(_))) => Err(Refusal::NotLeader),
            Ok(Err(_)) | Err(_) => Err(Refusal::Unknown),
        }
    }

    async fn propose_there(
        &self,
        leader: u64,
        envelope: Bytes,
        deadline: Instant,
    ) -> Result<LogPosition, Refusal> {
        let link = self.peers.link(leader, Purpose::Forward).map_err(|_| Refusal::NotLeader)?;
        let request = Request::Forward(vec![envelope]);
        match link.call::<R>(request, deadline - R::now()).await {
            Ok(Reply::Forwarded(results)) => results.into_iter().next().unwrap_or(Err(Refusal::Unknown)),
            Ok(_) | Err(LinkError::Broken(_)) => Err(Refusal::Unknown),
            Err(LinkError::Unreachable(_)) => Err(Refusal::NotLeader),
        }
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
