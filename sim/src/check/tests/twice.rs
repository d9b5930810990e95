//! Doctored histories of numbered writes.

use etched::types::{LogPosition, RequestId};
use etched_proto::etcdserverpb as pb;
use etched_testkit::{Failure, Request, Response};
use tonic::Code;

use crate::check::{Again, Checked, History, Outcome};

use super::{broken, entry};

fn put() -> Request {
    Request::Put(pb::PutRequest { key: b"a".to_vec().into(), ..Default::default() })
}

/// Write `sequence` of client 5 comes as operation `op`, whose entry is the next; the product is at
/// `revision` after it.
fn attempt(history: &mut History, op: u64, sequence: u64, revision: i64) -> Checked {
    history.call_again(op, 5, put(), Again::Numbered(5, sequence));
    entry(history, op, op, revision)
}

fn answered(history: &mut History, op: u64, revision: i64) -> Checked {
    let header = Some(pb::ResponseHeader { revision, ..Default::default() });
    history.returned(op, Outcome::Answer(Response::Put(pb::PutResponse { header, ..Default::default() })))
}

#[test]
fn a_retry_changes_nothing_and_is_answered_as_before() {
    let mut history = History::default();
    assert_eq!(attempt(&mut history, 1, 1, 2), Ok(()));
    assert_eq!(attempt(&mut history, 2, 1, 2), Ok(()));
    assert_eq!(answered(&mut history, 2, 2), Ok(()));
    assert_eq!(attempt(&mut history, 3, 2, 3), Ok(()));
    assert_eq!(answered(&mut history, 3, 3), Ok(()));
    // The first attempt comes once more, late.
    assert_eq!(attempt(&mut history, 4, 1, 3), Ok(()));
    let text = "etched: a later write of this client was applied; what became of this one is not known";
    let too_old = Outcome::Failure(Failure::new(Code::FailedPrecondition, text));
    assert_eq!(history.returned(4, too_old), Ok(()));
}

#[test]
fn what_is_carried_out_twice_shows() {
    let mut history = History::default();
    attempt(&mut history, 1, 1, 2).unwrap();
    assert_eq!(broken(attempt(&mut history, 2, 1, 3)), "exactly-once");
    let mut history = History::default();
    attempt(&mut history, 1, 1, 2).unwrap();
    attempt(&mut history, 2, 1, 2).unwrap();
    assert_eq!(broken(answered(&mut history, 2, 3)), "revision");
    // A number that is not used yet is carried out.
    let mut history = History::default();
    attempt(&mut history, 1, 1, 2).unwrap();
    assert_eq!(broken(attempt(&mut history, 2, 2, 2)), "revision");
    // One entry of a request is in the log twice.
    let mut history = History::default();
    attempt(&mut history, 1, 1, 2).unwrap();
    let request_id = RequestId { member: 2, incarnation: 1, sequence: 1 };
    history.proposed(request_id, Some(1)).unwrap();
    let position = LogPosition { term: 1, leader: 1, index: 2 };
    assert_eq!(broken(history.applied(position, Some(request_id), 2)), "duplicate-apply");
}
