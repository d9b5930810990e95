//! One command at a time.

use super::digest;
use super::machine::{Applied, State};
use crate::mvcc::{Change, Write};
use crate::types::{
    Command, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, Envelope, Error, Event, KeyValue,
    Member, PutRequest, PutResponse, RangeRequest, RangeResponse, Response, limits,
};

impl State {
    /// Applies one command. Total: it never panics on what a client or peer can send, and an error
    /// means that nothing changed.
    pub fn apply(&mut self, envelope: &Envelope) -> Applied {
        if let Err(error) = self.permit(envelope) {
            return Applied { response: Err(error), revision: self.revision(), events: Vec::new() };
        }
        if let Some((client, sequence)) = envelope.client
            && let Some(answered) = self.answered(client, sequence, &envelope.command)
        {
            return answered;
        }
        let (mut write, mut events) = (Write::default(), Vec::new());
        let response = self.execute(&envelope.command, &mut write, &mut events);
        events.extend(self.commit(write));
        if let (Some((client, sequence)), Ok(response)) = (envelope.client, &response) {
            self.remember(client, sequence, response);
        }
        Applied { response, revision: self.revision(), events }
    }

    /// What is left in `write` is committed after it; a command that commits by itself adds its
    /// events.
    fn execute(
        &mut self,
        command: &Command,
        write: &mut Write,
        events: &mut Vec<Event>,
    ) -> Result<Response, Error> {
        match command {
            Command::Put(request) => {
                self.check_put(request)?;
                self.put(request, write).map(Response::Put)
            }
            Command::DeleteRange(request) => Ok(Response::DeleteRange(self.delete_range(request, write))),
            Command::Txn(request) => self.txn(request, write).map(Response::Txn),
            Command::Compaction(request) => self.compact(request.revision),
            Command::RaiseLevel(level) => self.raise_level(*level),
            Command::Publish(member) => Ok(self.publish(member)),
            Command::LeaseGrant { id, ttl } => self.grant(*id, *ttl),
            Command::LeaseRevoke { id } => self.revoke(*id, write),
            Command::LeaseTick(tick) => self.tick(tick, events),
            Command::Auth(command) => self.auth(command),
        }
    }

    pub(super) fn commit(&mut self, write: Write) -> Vec<Event> {
        self.store.commit(&write);
        for change in &write.changes {
            self.note(change);
        }
        write.changes.into_iter().map(|change| self.event(change)).collect()
    }

    fn event(&self, change: Change) -> Event {
        let main = change.record.revision().main;
        match change.replaced {
            // Changed twice in one transaction: what watchers get is the record before it (W17).
            Some(replaced) if replaced.revision().main == main => self.store.event(&change.record),
            replaced => Event { kv: change.record, prev_kv: replaced },
        }
    }

    /// P2, P5, in this order (also T12).
    pub(super) fn check_put(&self, request: &PutRequest) -> Result<(), Error> {
        if request.lease != 0 && self.leases.get(request.lease).is_none() {
            return Err(Error::LeaseNotFound);
        }
        let needs_key = request.ignore_value || request.ignore_lease;
        if needs_key && self.store.get(&request.key).is_none() {
            return Err(Error::KeyNotFound);
        }
        Ok(())
    }

    /// A checked put; KeyNotFound is left for a key that its own transaction has deleted.
    pub(super) fn put(&mut self, request: &PutRequest, write: &mut Write) -> Result<PutResponse, Error> {
        let needs_key = request.ignore_value || request.ignore_lease;
        let present: Option<KeyValue> =
            (needs_key || request.prev_kv).then(|| self.store.get(&request.key).cloned()).flatten();
        if needs_key && present.is_none() {
            return Err(Error::KeyNotFound);
        }
        let value =
            present.as_ref().filter(|_| request.ignore_value).map_or(&*request.value, KeyValue::value);
        let kept = present.as_ref().filter(|_| request.ignore_lease).map(|record| record.fields().lease);
        self.store.put(write, &request.key, value, kept.unwrap_or(request.lease));
        Ok(PutResponse { prev_kv: present.filter(|_| request.prev_kv) })
    }

    pub(super) fn delete_range(
        &mut self,
        request: &DeleteRangeRequest,
        write: &mut Write,
    ) -> DeleteRangeResponse {
        let records: Vec<KeyValue> = self.store.live(&request.range).cloned().collect();
        for record in &records {
            self.store.delete(write, record.key());
        }
        if planted!(EmptyDeleteTakesRevision) && records.is_empty() && write.changes.is_empty() {
            self.store.skip_revision();
        }
        let deleted = i64::try_from(records.len()).unwrap_or(i64::MAX);
        DeleteRangeResponse { deleted, prev_kvs: if request.prev_kv { records } else { Vec::new() } }
    }

    /// A read that sees what `write` has changed so far (T11).
    pub(super) fn range(&self, request: &RangeRequest, write: &Write) -> Result<RangeResponse, Error> {
        self.store.range(request, self.store.revision_in(write))
    }

    fn compact(&mut self, revision: i64) -> Result<Response, Error> {
        self.store.compact(revision)?;
        self.accumulators.chain_compaction(revision);
        Ok(Response::Compaction(CompactionResponse {}))
    }

    /// Never lowers. A level this build does not know is refused: it must not guess what the
    /// commands after it mean.
    fn raise_level(&mut self, level: u32) -> Result<Response, Error> {
        if level > limits::MAX_LEVEL {
            return Err(Error::NotCapable);
        }
        self.level = self.level.max(level);
        Ok(Response::Done)
    }

    fn publish(&mut self, member: &Member) -> Response {
        self.accumulators.add(digest::member(member));
        if let Some(before) = self.members.publish(member.clone()) {
            self.accumulators.remove(digest::member(&before));
        }
        Response::Done
    }
}
