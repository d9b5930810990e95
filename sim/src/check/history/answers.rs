//! What an answer must be: the model's at the place that it names.

use etched_testkit::model::form;
use etched_testkit::{Failure, Request, Response};

use super::super::permission::{Refusal, is_looked_at_before, refusal};
use super::super::ranges::{COMPACTED, FUTURE, all_ranges, chosen_ranges};
use super::super::violation::{Violation, violation};
use super::{Call, History, OpId, Returned};

impl History {
    pub(super) fn read(&self, op: OpId, call: &Call, response: Response) -> Result<Returned, Violation> {
        self.permissions.was_read(&call.asker, &call.request)?;
        let (revision, newest) = (response.revision(), self.model.revision());
        let Some(expected) = self.model.read_at(&call.request, revision).filter(|_| revision >= 1) else {
            violation!("revision", "{op} {call} was answered at revision {revision}; {newest} is the newest");
        };
        let expected = expected.map(Response::normalized);
        if expected.as_ref() != Ok(&response) {
            violation!(
                "answer",
                "{op} {call} was answered {response:?}; at revision {revision} it is {expected:?}"
            );
        }
        if call.request.is_serializable() {
            return Ok(self.returned);
        }
        let place = 2 * revision + 1;
        if place < call.floor.place {
            let (at, by) = (call.floor.place / 2, call.floor.by);
            violation!(
                "stale-read",
                "{op} {call} was answered at revision {revision}, but operation {by} had returned at {at} before"
            );
        }
        let oldest =
            chosen_ranges(&call.request, &response).map(|range| range.revision).filter(|at| *at > 0).min();
        if let Some(oldest) = oldest.filter(|oldest| *oldest < call.floor.compact_revision) {
            let compacted = call.floor.compact_revision;
            violation!(
                "stale-read",
                "{op} {call} read revision {oldest}, but the compaction to {compacted} had returned before"
            );
        }
        Ok(self.returned.raised(place, op, 0))
    }

    pub(super) fn written(&self, op: OpId, call: &Call, response: Response) -> Result<Returned, Violation> {
        let Some(applied) = &call.applied else {
            violation!(
                "durability",
                "{op} {call} was answered {response:?}, but no committed entry holds it"
            );
        };
        let position = applied.position;
        let expected = match &applied.answer {
            Err(failure) => violation!(
                if refusal(failure).is_some() { "permission" } else { "answer" },
                "{op} {call}, applied at {position:?}, was answered {response:?}; it must fail: {failure}"
            ),
            Ok(expected) => expected,
        };
        let (revision, right) = (response.revision(), expected.revision());
        if revision != right {
            violation!(
                "revision",
                "{op} {call}, applied at {position:?}, was answered at revision {revision}; it is {right}"
            );
        }
        if response != *expected {
            violation!(
                "answer",
                "{op} {call}, applied at {position:?}, was answered {response:?}; it is {expected:?}"
            );
        }
        let place = 2 * revision + i64::from(!applied.wrote);
        // The answer to a retry is that of the first time.
        if place < call.floor.place && !applied.repeats {
            let (at, by) = (call.floor.place / 2, call.floor.by);
            violation!(
                "revision",
                "{op} {call} was answered at revision {revision}, but operation {by} had returned at {at} before"
            );
        }
        let compacted = match &call.request {
            Request::Compact(compact) => compact.revision,
            _ => 0,
        };
        Ok(self.returned.raised(place, op, compacted))
    }

    /// Errors carry no revision. A logged request fails as the model says; any other error must be
    /// right at some revision between what had returned before the call and now.
    pub(super) fn failed(&self, op: OpId, call: &Call, failure: &Failure) -> Result<Returned, Violation> {
        let right = match (form::check(&call.request), &call.applied) {
            (Err(expected), _) => expected == *failure,
            (Ok(()), Some(applied)) => applied.answer.as_ref() == Err(failure),
            (Ok(()), None) if call.request.is_read() => self.read_may_fail(call, failure),
            // Refused at the door: a look at the store then. Between call and now it may have
            // changed; if it did not, it must refuse.
            (Ok(()), None) => {
                self.replayed != call.replayed
                    || self.model.clone().apply(&call.request).as_ref() == Err(failure)
            }
        };
        if !right {
            let applied = call.applied.as_ref().map(|applied| (applied.position, &applied.answer));
            violation!("answer", "{op} {call} failed with `{failure}`; the log has {applied:?}");
        }
        Ok(self.returned)
    }

    /// A request was turned away for who asked.
    pub(super) fn refused(
        &mut self,
        op: OpId,
        failure: &Failure,
        refusal: Refusal,
    ) -> Result<Returned, Violation> {
        let Some(call) = self.calls.get(&op) else { return Ok(self.returned) };
        let looks_before = is_looked_at_before(&call.request);
        if refusal == Refusal::Denied && (call.request.is_read() || looks_before) {
            self.permissions.was_denied(&call.asker, &call.request)?;
            return Ok(self.returned);
        }
        let applied = call.applied.as_ref().map(|applied| &applied.answer);
        let right = match refusal {
            Refusal::BadToken => applied.is_none(),
            Refusal::Nobody if applied.is_none() => self.permissions.was_nobody(&call.asker),
            Refusal::Denied | Refusal::Nobody | Refusal::Old => applied == Some(&Err(failure.clone())),
        };
        if !right {
            violation!("permission", "{op} {call} failed with `{failure}`; the log has {applied:?}");
        }
        Ok(self.returned)
    }

    fn read_may_fail(&self, call: &Call, failure: &Failure) -> bool {
        let serializable = call.request.is_serializable();
        let oldest = if serializable { 1 } else { (call.floor.place / 2).max(1) };
        let is_txn = matches!(call.request, Request::Txn(_));
        let compacted = self.model.compact_revision();
        all_ranges(&call.request).any(|range| match failure.text.as_str() {
            FUTURE => range.revision > oldest,
            COMPACTED => range.revision < compacted && (range.revision > 0 || (is_txn && range.revision < 0)),
            _ => false,
        })
    }
}
