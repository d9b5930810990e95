//! Proposals of this member that wait for their own apply, matched by request id.

use std::collections::BTreeMap;

use crate::runtime::channel::oneshot;
use crate::state::Applied;
use crate::types::limits::{MAX_PENDING_PROPOSAL_BYTES, MAX_PENDING_PROPOSALS};
use crate::types::{Error, RequestId};

struct Waiting {
    bytes: usize,
    answer: oneshot::Sender<Applied>,
}

/// The waiting proposals of one incarnation, bounded in count and bytes.
pub(super) struct Pending {
    member: u64,
    incarnation: u64,
    next_sequence: u64,
    bytes: usize,
    waiting: BTreeMap<u64, Waiting>,
}

impl Pending {
    pub fn new(member: u64, incarnation: u64) -> Self {
        Pending { member, incarnation, next_sequence: 1, bytes: 0, waiting: BTreeMap::new() }
    }

    /// Takes a slot for a client's proposal of about `bytes`. Errors: TooManyRequests when full (#26).
    pub fn register(&mut self, bytes: usize) -> Result<(RequestId, oneshot::Receiver<Applied>), Error> {
        let full = self.waiting.len() >= MAX_PENDING_PROPOSALS;
        if full || self.bytes.saturating_add(bytes) > MAX_PENDING_PROPOSAL_BYTES {
            return Err(Error::TooManyRequests);
        }
        Ok(self.register_own(bytes))
    }

    /// Takes a slot for a proposal of the member itself, which clients cannot crowd out.
    pub fn register_own(&mut self, bytes: usize) -> (RequestId, oneshot::Receiver<Applied>) {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.bytes += bytes;
        let (answer, receiver) = oneshot::channel();
        self.waiting.insert(sequence, Waiting { bytes, answer });
        let request_id = RequestId { member: self.member, incarnation: self.incarnation, sequence };
        (request_id, receiver)
    }

    /// Answers the proposal if it is one of ours and still waited for.
    pub fn complete(&mut self, request_id: RequestId, applied: Applied) {
        if (request_id.member, request_id.incarnation) != (self.member, self.incarnation) {
            return;
        }
        if let Some(waiting) = self.remove(request_id) {
            // A receiver that went away gave up at its deadline.
            let _ = waiting.answer.send(applied);
        }
    }

    /// Gives a slot back whose proposal is no longer waited for.
    pub fn forget(&mut self, request_id: RequestId) {
        self.remove(request_id);
    }

    /// Proposals that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    fn remove(&mut self, request_id: RequestId) -> Option<Waiting> {
        let waiting = self.waiting.remove(&request_id.sequence)?;
        self.bytes -= waiting.bytes;
        Some(waiting)
    }
}
