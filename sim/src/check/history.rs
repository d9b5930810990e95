//! Linearizability, certified by revisions (simulation section 4.3), online and O(1) amortised.
//!
//! Every definite answer names its place in the one order of the store: a write at revision r stands
//! at 2r, a read at 2r + 1. The history is linearizable iff (1) the committed log, replayed on the
//! model, gives each entry the revision its members saw, (2) each answer is the model's at its
//! place, (3) no operation stands before one that had returned when it was called.
//!
//! The log gives order and revision only. What is replayed is the client's own request, found by its
//! trace number, so that a request mistranslated on its way into the log shows.

mod answers;
mod twice;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use etched::types::{LogPosition, RequestId};
use etched_proto::etcdserverpb as pb;
use etched_testkit::model::Model;
use etched_testkit::{Failure, Request, Response};

use super::permission::{Asker, Permissions, refusal};
use super::ranges::is_unknown;
use super::violation::{Checked, violation};
pub use twice::Again;
use twice::Numbers;

/// A client's operation; also its trace number.
pub type OpId = u64;

/// How an operation ended for its client.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Answered.
    Answer(Response),
    /// Failed with a status.
    Failure(Failure),
    /// Time-out or lost connection: a write may have happened or happen still.
    Unknown,
}

/// An operation that was called.
#[derive(Debug)]
struct Call {
    client: u64,
    request: Request,
    /// What had returned before: the floor of its place.
    floor: Returned,
    /// What the log made of it.
    applied: Option<Applied>,
    /// Entries replayed when it was called.
    replayed: u64,
    again: Again,
    asker: Asker,
}

#[derive(Debug)]
struct Applied {
    position: LogPosition,
    answer: Result<Response, Failure>,
    /// Whether it took a revision.
    wrote: bool,
    /// Whether an earlier entry was this write already.
    repeats: bool,
}

/// The furthest that returned so far.
#[derive(Clone, Copy, Debug, Default)]
struct Returned {
    place: i64,
    by: OpId,
    compact_revision: i64,
}

/// Who made a logged request.
#[derive(Debug)]
enum Origin {
    Client(OpId),
    /// A member itself.
    Server,
}

/// What a replayed entry did to a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseChange {
    /// Granted, with the TTL that was asked for in seconds.
    Granted(i64, i64),
    /// Revoked, or at its end.
    Ended(i64),
}

/// The checker; see the head of this file.
#[derive(Debug, Default)]
pub struct History {
    model: Model,
    calls: BTreeMap<OpId, Call>,
    finished: BTreeSet<OpId>,
    proposed: BTreeMap<RequestId, Origin>,
    applied: BTreeSet<RequestId>,
    /// Leases that an entry ends, by its index.
    expired: BTreeMap<u64, Vec<i64>>,
    /// The lease that an entry grants, by its index.
    granted: BTreeMap<u64, i64>,
    numbers: Numbers,
    permissions: Permissions,
    /// What entries did to leases since somebody asked.
    lease_changes: Vec<LeaseChange>,
    returned: Returned,
    next_index: u64,
    replayed: u64,
    server_made_changes: bool,
}

impl History {
    /// The model after all that is committed.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Whether the servers changed the store by themselves (expired leases).
    pub fn server_made_changes(&self) -> bool {
        self.server_made_changes
    }

    /// Users and roles.
    pub fn permissions(&mut self) -> &mut Permissions {
        &mut self.permissions
    }

    /// A client is about to send a request under trace number `op`, which is never used again.
    pub fn call(&mut self, op: OpId, client: u64, request: Request) {
        self.call_again(op, client, request, Again::Never);
    }

    /// The same for a request of which the log may hold more than one entry.
    pub fn call_again(&mut self, op: OpId, client: u64, request: Request, again: Again) {
        let (floor, replayed, asker) = (self.returned, self.replayed, self.permissions.asks(None, None, 0));
        self.calls.insert(op, Call { client, request, floor, applied: None, replayed, again, asker });
    }

    /// The same for a client with a user.
    pub fn call_as(&mut self, op: OpId, client: u64, request: Request, asker: Asker) {
        self.call(op, client, request);
        if let Some(call) = self.calls.get_mut(&op) {
            call.asker = asker;
        }
    }

    /// A member gave a request its id.
    pub fn proposed(&mut self, request_id: RequestId, trace: Option<u64>) -> Checked {
        let origin = match trace {
            None => Origin::Server,
            Some(op)
                if self.calls.contains_key(&op)
                    || self.finished.contains(&op)
                    || self.permissions.is_change(op) =>
            {
                Origin::Client(op)
            }
            Some(op) => {
                violation!("answer", "{request_id:?} was proposed for operation {op}, which nobody called")
            }
        };
        self.proposed.insert(request_id, origin);
        Ok(())
    }

    /// A member says that the entry at `index`, which it is about to apply, ends `leases` in order.
    /// What that does to the store the model says; whether it was right, the lease checks.
    pub fn leases_expired(&mut self, index: u64, leases: &[i64]) {
        if index >= self.next_index {
            self.expired.insert(index, leases.to_vec());
        }
    }

    /// A member says that the entry at `index`, which it is about to apply, grants lease `id`. Only
    /// an id that the client left to the members is taken from here.
    pub fn lease_granted(&mut self, index: u64, id: i64) {
        if index >= self.next_index {
            self.granted.insert(index, id);
        }
    }

    /// What was replayed since the last call did to leases, in order.
    pub fn take_lease_changes(&mut self) -> Vec<LeaseChange> {
        std::mem::take(&mut self.lease_changes)
    }

    /// No operation that is called from now on may be answered from before this place.
    pub fn floor(&self) -> i64 {
        self.returned.place
    }

    /// A member applied an entry; each index counts the first time.
    pub fn applied(
        &mut self,
        position: LogPosition,
        request_id: Option<RequestId>,
        revision: i64,
    ) -> Checked {
        if position.index < self.next_index {
            return Ok(());
        }
        self.next_index = position.index + 1;
        self.replayed += 1;
        let expired = self.expired.remove(&position.index).unwrap_or_default();
        if let Some(request_id) = request_id {
            self.replay(position, request_id, &expired)?;
        }
        if self.model.revision() != revision {
            violation!(
                self.who_tells_of(request_id, &expired),
                "after {position:?} ({request_id:?}) the store is at revision {revision}, it must be at {}",
                self.model.revision()
            );
        }
        Ok(())
    }

    fn replay(&mut self, position: LogPosition, request_id: RequestId, expired: &[i64]) -> Checked {
        if !self.applied.insert(request_id) {
            violation!("duplicate-apply", "{request_id:?} was applied again at {position:?}");
        }
        let op = match self.proposed.get(&request_id) {
            None => violation!("answer", "{position:?} holds {request_id:?}, which nobody proposed"),
            Some(Origin::Server) => return self.expire(position, expired),
            Some(Origin::Client(op)) => *op,
        };
        if self.permissions.is_change(op) {
            return self.permissions.replay(op, position.index);
        }
        let Some(call) = self.calls.get_mut(&op) else {
            violation!("duplicate-apply", "operation {op} was applied at {position:?} after it had ended");
        };
        if call.applied.is_some() {
            let Some(next) = call.take_next() else {
                violation!(
                    "duplicate-apply",
                    "operation {op} was applied again at {position:?} as {request_id:?}"
                );
            };
            // What it comes to nobody is told.
            let _ = self.model.apply(&next);
            return Ok(());
        }
        if let Some(failure) = self.permissions.turn_away(&call.asker, &call.request, position.index)? {
            call.applied = Some(Applied { position, answer: Err(failure), wrote: false, repeats: false });
            return Ok(());
        }
        if let Again::Numbered(client, sequence) = call.again
            && let Some(answer) = self.numbers.answer(client, sequence)
        {
            call.applied = Some(Applied { position, answer, wrote: false, repeats: true });
            return Ok(());
        }
        let granted = self.granted.remove(&position.index);
        let named;
        let request = match &call.request {
            Request::LeaseGrant(grant) if grant.id == 0 => {
                let Some(id) = granted.filter(|id| *id > 0) else {
                    violation!("answer", "{op} {call}, applied at {position:?}, was granted {granted:?}");
                };
                named = Request::LeaseGrant(pb::LeaseGrantRequest { id, ..*grant });
                &named
            }
            request => request,
        };
        let before = self.model.revision();
        let answer = self.model.apply(request).map(Response::normalized);
        match request {
            Request::LeaseGrant(grant) if answer.is_ok() => {
                self.lease_changes.push(LeaseChange::Granted(grant.id, grant.ttl));
            }
            Request::LeaseRevoke(revoke) if answer.is_ok() => {
                self.lease_changes.push(LeaseChange::Ended(revoke.id));
            }
            _ => {}
        }
        if let Again::Numbered(client, sequence) = call.again {
            self.numbers.remember(client, sequence, &answer);
        }
        let wrote = self.model.revision() != before;
        call.applied = Some(Applied { position, answer, wrote, repeats: false });
        Ok(())
    }

    fn expire(&mut self, position: LogPosition, expired: &[i64]) -> Checked {
        for id in expired {
            self.server_made_changes = true;
            if self.model.apply(&Request::LeaseRevoke(pb::LeaseRevokeRequest { id: *id })).is_err() {
                violation!("lease-dead", "{position:?} ends lease {id}, which does not exist");
            }
            self.lease_changes.push(LeaseChange::Ended(*id));
        }
        Ok(())
    }

    /// An operation ended for its client.
    pub fn returned(&mut self, op: OpId, outcome: Outcome) -> Checked {
        let Some(call) = self.calls.get(&op) else {
            violation!("answer", "operation {op} returned without a call");
        };
        let is_read = call.request.is_read();
        let (returned, is_definite) = match outcome {
            Outcome::Unknown => (self.returned, false),
            Outcome::Failure(failure) if let Some(refusal) = refusal(&failure) => {
                (self.refused(op, &failure, refusal)?, true)
            }
            Outcome::Failure(failure) if is_unknown(&failure) => (self.returned, false),
            Outcome::Failure(failure) => (self.failed(op, call, &failure)?, true),
            Outcome::Answer(response) if is_read => (self.read(op, call, response.normalized())?, true),
            Outcome::Answer(response) => (self.written(op, call, response.normalized())?, true),
        };
        self.returned = returned;
        if is_read || is_definite {
            self.calls.remove(&op);
            self.finished.insert(op);
        }
        Ok(())
    }
}

impl Returned {
    fn raised(self, place: i64, op: OpId, compact_revision: i64) -> Self {
        let compact_revision = self.compact_revision.max(compact_revision);
        if place > self.place {
            Returned { place, by: op, compact_revision }
        } else {
            Returned { compact_revision, ..self }
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(client {}) {:?}", self.client, self.request)
    }
}
