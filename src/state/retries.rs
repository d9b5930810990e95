//! Exactly-once retries: a client that numbers its writes may send one again when it does not know
//! what became of it. The second time it changes nothing and is answered as the first time.
//!
//! Remembered is the last write of each of a bounded number of clients; the one whose last new write
//! is the longest ago is forgotten first. Only writes that succeeded are: an error changed nothing,
//! so trying again is trying for the first time.

use im::OrdMap;

use super::State;
use super::digest;
use super::machine::Applied;
use crate::types::limits::MAX_RETRY_CLIENTS;
use crate::types::{
    Command, DeleteRangeResponse, Error, Outcome, PutResponse, RequestOp, Response, ResponseOp, RetryRecord,
    TxnRequest, TxnResponse,
};

/// What is remembered. A clone copies two pointers.
#[derive(Clone, Debug, Default)]
pub(super) struct Retries {
    clients: OrdMap<u64, RetryRecord>,
    /// Clients by their last use.
    by_use: OrdMap<u64, u64>,
}

impl Retries {
    /// All, by client.
    pub fn iter(&self) -> impl Iterator<Item = &RetryRecord> {
        self.clients.values()
    }

    /// Remembers `record`; returns what is forgotten for it. A use number must be new.
    pub fn insert(&mut self, record: RetryRecord) -> Option<RetryRecord> {
        self.by_use.insert(record.used, record.client);
        if let Some(before) = self.clients.insert(record.client, record) {
            self.by_use.remove(&before.used);
            return Some(before);
        }
        if self.clients.len() <= MAX_RETRY_CLIENTS {
            return None;
        }
        let (used, oldest) = self.by_use.get_min().map(|(used, client)| (*used, *client))?;
        self.by_use.remove(&used);
        self.clients.remove(&oldest)
    }

    fn next_use(&self) -> u64 {
        self.by_use.get_max().map_or(1, |(used, _)| used.saturating_add(1))
    }

    /// Takes over stored records. Errors: the client of one that cannot be.
    pub fn restore(records: Vec<RetryRecord>) -> Result<Self, i64> {
        let mut retries = Retries::default();
        for record in records {
            let client = record.client;
            let is_new = !retries.by_use.contains_key(&record.used);
            if !is_new || client == 0 || retries.insert(record).is_some() {
                return Err(client.cast_signed());
            }
        }
        Ok(retries)
    }
}

impl State {
    /// The answer to write number `sequence` of `client` if it is not to be carried out.
    pub(super) fn answered(&self, client: u64, sequence: u64, command: &Command) -> Option<Applied> {
        let record = self.retries.clients.get(&client)?;
        let (response, revision) = match sequence {
            _ if sequence > record.sequence || planted!(RetryAppliedAgain) => return None,
            _ if sequence < record.sequence => (Err(Error::RetryTooOld), self.revision()),
            _ => (answer(command, record).ok_or(Error::RetryMismatch), record.revision),
        };
        Some(Applied { response, revision, events: Vec::new() })
    }

    /// Remembers what write number `sequence` of `client` gave.
    pub(super) fn remember(&mut self, client: u64, sequence: u64, response: &Response) {
        let Some(outcome) = outcome(response) else { return };
        let (used, revision) = (self.retries.next_use(), self.revision());
        let record = RetryRecord { client, sequence, used, revision, outcome };
        self.accumulators.add(digest::retry(&record));
        if let Some(forgotten) = self.retries.insert(record) {
            self.accumulators.remove(digest::retry(&forgotten));
        }
    }
}

fn outcome(response: &Response) -> Option<Outcome> {
    let deleted = |op: &ResponseOp| match op {
        ResponseOp::DeleteRange(_, response) => Some(response.deleted),
        _ => None,
    };
    Some(match response {
        Response::Put(_) => Outcome::Put,
        Response::DeleteRange(response) => Outcome::DeleteRange(response.deleted),
        Response::Txn(response) => Outcome::Txn {
            succeeded: response.succeeded,
            deleted: response.responses.iter().filter_map(deleted).collect(),
        },
        _ => return None,
    })
}

/// The answer again; none if the number was used for another kind of write.
fn answer(command: &Command, record: &RetryRecord) -> Option<Response> {
    match (command, &record.outcome) {
        (Command::Put(_), Outcome::Put) => Some(Response::Put(PutResponse::default())),
        (Command::DeleteRange(_), Outcome::DeleteRange(deleted)) => {
            Some(Response::DeleteRange(deleted_again(*deleted)))
        }
        (Command::Txn(txn), Outcome::Txn { succeeded, deleted }) => {
            txn_answer(txn, *succeeded, deleted, record.revision).map(Response::Txn)
        }
        _ => None,
    }
}

fn deleted_again(deleted: i64) -> DeleteRangeResponse {
    DeleteRangeResponse { deleted, ..DeleteRangeResponse::default() }
}

/// One answer for each operation of the branch that ran (T13).
fn txn_answer(txn: &TxnRequest, succeeded: bool, deleted: &[i64], revision: i64) -> Option<TxnResponse> {
    let branch = if succeeded { &txn.success } else { &txn.failure };
    let mut deleted = deleted.iter();
    let mut again = |op: &RequestOp| {
        Some(match op {
            RequestOp::Put(_) => ResponseOp::Put(revision, PutResponse::default()),
            RequestOp::DeleteRange(_) => ResponseOp::DeleteRange(revision, deleted_again(*deleted.next()?)),
            RequestOp::Range(_) | RequestOp::Txn(_) => return None,
        })
    };
    let responses = branch.iter().map(&mut again).collect::<Option<Vec<_>>>()?;
    deleted.next().is_none().then_some(TxnResponse { succeeded, responses })
}
