//! The product's state machine behind the doors' translation, as one member without a log: what is
//! compared with the simple model, in tests and under the fuzzer.

use etched::server::translate;
use etched::state::{Applied, State};
use etched::types::{Command, Envelope, Error, RequestId, Response as StateResponse, limits};
use etched_proto::etcdserverpb as pb;
use etched_testkit::model::{Change, Model};
use etched_testkit::transcript::Target;
use etched_testkit::{Failure, Request, Response};

/// The product's state machine behind its translation, as one member without a log.
#[derive(Default)]
pub struct Store {
    /// The state.
    pub state: State,
    sequence: u64,
}

impl Store {
    /// Applies one command, as an entry of the log.
    pub fn apply(&mut self, command: Command) -> Applied {
        self.sequence += 1;
        let request_id = RequestId { member: 1, incarnation: 1, sequence: self.sequence };
        self.state.apply(&Envelope { request_id, caller: None, client: None, command })
    }

    /// Answers, and tells the events if the log was used.
    pub fn answer(&mut self, request: &Request) -> (Result<Response, Error>, Option<Applied>) {
        let read = match self.read(request) {
            Some(answer) => return (answer, None),
            None => request,
        };
        let command = match command(read) {
            Ok(command) => command,
            Err(error) => return (Err(error), None),
        };
        let applied = self.apply(command);
        let header = pb::ResponseHeader { revision: applied.revision, ..Default::default() };
        let answer = applied.response.clone().map(|response| wire(request, header, response));
        (answer, Some(applied))
    }

    /// What is answered from a view (R18, T8), if `request` is such a read.
    fn read(&self, request: &Request) -> Option<Result<Response, Error>> {
        let view = self.state.view();
        let header = pb::ResponseHeader { revision: view.revision(), ..Default::default() };
        match request {
            Request::Range(range) => Some(translate::range(range.clone()).and_then(|range| {
                Ok(Response::Range(translate::range_response(header, &view.range(&range)?)))
            })),
            Request::Txn(txn) if request.is_read() => Some(
                translate::txn(txn.clone(), limits::MAX_TXN_OPS)
                    .and_then(|txn| Ok(Response::Txn(translate::txn_response(header, &view.txn(&txn)?)))),
            ),
            _ => None,
        }
    }
}

/// What goes through the log for `request`, which is no read.
pub fn command(request: &Request) -> Result<Command, Error> {
    Ok(match request.clone() {
        Request::Put(put) => Command::Put(translate::put(put)?),
        Request::DeleteRange(delete) => Command::DeleteRange(translate::delete_range(delete)?),
        Request::Txn(txn) => Command::Txn(translate::txn(txn, limits::MAX_TXN_OPS)?),
        Request::Compact(compact) => Command::Compaction(translate::compaction(compact)),
        Request::LeaseGrant(grant) if grant.ttl > 9_000_000_000 => return Err(Error::LeaseTtlTooLarge),
        Request::LeaseGrant(grant) => Command::LeaseGrant { id: grant.id, ttl: grant.ttl },
        Request::LeaseRevoke(revoke) => Command::LeaseRevoke { id: revoke.id },
        Request::Range(_) => unreachable!("ranges are reads"),
    })
}

fn wire(request: &Request, header: pb::ResponseHeader, response: StateResponse) -> Response {
    match (request, response) {
        (_, StateResponse::Put(put)) => Response::Put(translate::put_response(header, &put)),
        (_, StateResponse::DeleteRange(delete)) => {
            Response::DeleteRange(translate::delete_range_response(header, &delete))
        }
        (_, StateResponse::Txn(txn)) => Response::Txn(translate::txn_response(header, &txn)),
        (_, StateResponse::Compaction(_)) => Response::Compact(translate::compaction_response(header)),
        (Request::LeaseGrant(grant), StateResponse::Done) => Response::LeaseGrant(pb::LeaseGrantResponse {
            header: Some(header),
            id: grant.id,
            ttl: grant.ttl,
            error: String::new(),
        }),
        (Request::LeaseRevoke(_), StateResponse::Done) => {
            Response::LeaseRevoke(pb::LeaseRevokeResponse { header: Some(header) })
        }
        (request, response) => panic!("{request:?} was answered {response:?}"),
    }
}

/// An error as clients see it.
pub fn failure(error: Error) -> Failure {
    Failure::new(tonic::Code::from_i32(error.code() as i32), error.text())
}

impl Target for Store {
    fn call(&mut self, request: &Request) -> Result<Response, Failure> {
        self.answer(request).0.map_err(failure)
    }
}

/// An event as the wire shows it, from the model's change; `compacted` hides older records (W17).
pub fn shown(change: &Change, compacted: i64) -> etched_proto::mvccpb::Event {
    let is_create = change.kv.create_revision == change.kv.mod_revision;
    let hidden = is_create || change.kv.mod_revision - 1 < compacted;
    etched_proto::mvccpb::Event {
        r#type: change.is_delete.into(),
        kv: Some(change.kv.clone()),
        prev_kv: change.prev_kv.clone().filter(|_| !hidden),
    }
}

/// History from the compact revision on. All changes of that revision itself are left, also of a key
/// that it changed twice, so that a watcher gets it whole; a tombstone stays (C2).
pub fn same_history(store: &Store, model: &Model) {
    let view = store.state.view();
    let compacted = model.compact_revision();
    let found: Vec<_> =
        view.changes(compacted.max(1)).map(|record| translate::event(&view.event(&record))).collect();
    let changes = model.changes(compacted.max(1), model.revision()).flat_map(|(_, changes)| changes);
    let expected: Vec<_> = changes.map(|change| shown(change, compacted)).collect();
    assert_eq!(found, expected, "history from revision {compacted}");
}
