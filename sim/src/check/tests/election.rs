//! Doctored elections: each of the rules.

use etched_proto::etcdserverpb as pb;
use etched_proto::mvccpb::KeyValue;
use etched_testkit::model::Model;
use etched_testkit::{Request, Response};

use crate::check::{Again, Checked, Elections, Followed, History, Locks, Outcome, Question, Wanted};

use super::{broken, entry};

const NAME: &[u8] = b"election/1";
const FIRST: &[u8] = b"election/1/7";
const SECOND: &[u8] = b"election/1/8";

/// Lease 7 leads since revision 2 and says e1; 8 waits since revision 3 and says e2.
struct Script {
    history: History,
    elections: Elections,
    store: Model,
    index: u64,
    op: u64,
    first: Wanted,
}

impl Script {
    fn new() -> Self {
        let first = Locks::default().wanted(3, NAME, 7);
        let (history, elections) = (History::default(), Elections::default());
        let mut script = Script { history, elections, store: Model::new(), index: 0, op: 0, first };
        for id in [7, 8] {
            script.apply(Request::LeaseGrant(pb::LeaseGrantRequest { id, ttl: 5 })).unwrap();
        }
        script.campaign(7, b"e1").unwrap();
        script.campaign(8, b"e2").unwrap();
        script
    }

    fn campaign(&mut self, lease: i64, value: &[u8]) -> Checked {
        let wanted = Locks::default().wanted(self.op + 1, NAME, lease);
        let again = Again::Campaigns { key: wanted.key().to_vec(), value: value.to_vec(), lease };
        self.call(wanted.join(lease, value), again)
    }

    fn apply(&mut self, request: Request) -> Checked {
        self.call(request, Again::Never)
    }

    fn call(&mut self, request: Request, again: Again) -> Checked {
        self.op += 1;
        self.changes(&request);
        self.history.call_again(self.op, 1, request, again);
        self.entry(self.op)
    }

    /// What the product does.
    fn changes(&mut self, request: &Request) {
        let _ = self.store.apply(request);
    }

    /// One more entry of `op`, after which the product is where `store` is.
    fn entry(&mut self, op: u64) -> Checked {
        self.index += 1;
        entry(&mut self.history, self.index, op, self.store.revision())
    }

    fn record(&self, key: &[u8]) -> KeyValue {
        let get = Request::Range(pb::RangeRequest { key: key.to_vec().into(), ..Default::default() });
        match self.store.read_at(&get, self.store.revision()) {
            Some(Ok(Response::Range(range))) => range.kvs.into_iter().next().unwrap_or_default(),
            other => panic!("a range is answered: {other:?}"),
        }
    }

    fn told(&self, question: &Question, answer: Option<(&KeyValue, i64)>) -> Checked {
        self.elections.told(&self.history, question, answer)
    }

    fn observed(&mut self, followed: &mut Followed, kv: &KeyValue, revision: i64) -> Checked {
        self.elections.observed(&self.history, followed, kv, revision)
    }

    fn proclaimed(&self, key: &[u8], created: i64, value: Option<(&[u8], i64)>) -> Checked {
        self.elections.proclaimed(&self.history, key, created, value)
    }
}

fn put(key: &[u8], value: &[u8], lease: i64) -> Request {
    let (key, value) = (key.to_vec().into(), value.to_vec().into());
    Request::Put(pb::PutRequest { key, value, lease, ..Default::default() })
}

fn delete(key: &[u8]) -> Request {
    Request::DeleteRange(pb::DeleteRangeRequest { key: key.to_vec().into(), ..Default::default() })
}

#[test]
fn value() {
    let mut script = Script::new();
    let first = script.first.clone();
    assert_eq!(script.elections.won(&script.history, &first, b"e1"), Ok(()));
    assert_eq!(broken(script.elections.won(&script.history, &first, b"e2")), "election-value");
}

#[test]
fn leader() {
    let mut script = Script::new();
    let question = Question::new(&script.history, NAME);
    let (first, second) = (script.record(FIRST), script.record(SECOND));
    assert_eq!(script.told(&question, Some((&first, 3))), Ok(()));
    // Who it was when it was asked.
    assert_eq!(script.told(&question, Some((&first, 2))), Ok(()));
    assert_eq!(script.told(&question, None), Ok(()));
    assert_eq!(broken(script.told(&question, Some((&second, 3)))), "election-leader");
    assert_eq!(broken(script.told(&question, Some((&first, 4)))), "election-leader");
    let header = Some(pb::ResponseHeader { revision: 2, ..Default::default() });
    let put = pb::response_op::Response::ResponsePut(pb::PutResponse { header, prev_kv: None });
    let responses = vec![pb::ResponseOp { response: Some(put) }];
    let answer = Response::Txn(pb::TxnResponse { header, succeeded: true, responses });
    script.history.returned(3, Outcome::Answer(answer)).unwrap();
    // It had won before it was asked.
    let question = Question::new(&script.history, NAME);
    assert_eq!(broken(script.told(&question, None)), "election-leader");
    assert_eq!(broken(script.told(&question, Some((&first, 1)))), "election-leader");
    script.apply(delete(FIRST)).unwrap();
    assert_eq!(script.told(&question, Some((&second, 4))), Ok(()));
    script.apply(delete(SECOND)).unwrap();
    assert_eq!(script.told(&question, None), Ok(()));
}

#[test]
fn observed() {
    let mut script = Script::new();
    let first = script.record(FIRST);
    let mut fresh = Followed::new(NAME);
    script.observed(&mut fresh, &first, 3).unwrap();
    script.apply(put(FIRST, b"e3", 7)).unwrap();
    let third = script.record(FIRST);
    script.apply(put(FIRST, b"e4", 7)).unwrap();
    let fourth = script.record(FIRST);
    let mut followed = fresh.clone();
    script.observed(&mut followed, &third, 4).unwrap();
    script.observed(&mut followed, &fourth, 5).unwrap();
    // Twice, backward, one left out, another one's.
    assert_eq!(broken(script.observed(&mut followed.clone(), &fourth, 5)), "election-observed");
    assert_eq!(broken(script.observed(&mut followed.clone(), &third, 4)), "election-observed");
    assert_eq!(broken(script.observed(&mut fresh.clone(), &fourth, 5)), "election-observed");
    let second = script.record(SECOND);
    assert_eq!(broken(script.observed(&mut followed.clone(), &second, 5)), "election-observed");
    script.apply(delete(FIRST)).unwrap();
    assert_eq!(script.observed(&mut followed, &second, 6), Ok(()));
    // The last words of a leader are not left out either.
    assert_eq!(broken(script.observed(&mut fresh.clone(), &second, 6)), "election-observed");
    // What was compacted may be.
    script.apply(Request::Compact(pb::CompactionRequest { revision: 6, physical: false })).unwrap();
    assert_eq!(script.observed(&mut fresh, &second, 6), Ok(()));
}

#[test]
fn proclaimed() {
    let mut script = Script::new();
    assert_eq!(script.proclaimed(FIRST, 2, Some((b"e1", 2))), Ok(()));
    assert_eq!(broken(script.proclaimed(FIRST, 2, Some((b"e1", 3)))), "election-proclaimed");
    assert_eq!(broken(script.proclaimed(FIRST, 2, Some((b"e2", 2)))), "election-proclaimed");
    assert_eq!(broken(script.proclaimed(FIRST, 2, None)), "election-proclaimed");
    assert_eq!(script.proclaimed(FIRST, 9, None), Ok(()));
    script.apply(delete(FIRST)).unwrap();
    assert_eq!(script.proclaimed(FIRST, 2, None), Ok(()));
}

#[test]
fn a_key_that_is_there_gets_the_new_value_and_may_be_given_up() {
    let mut script = Script::new();
    script.campaign(7, b"e9").unwrap();
    let op = script.op;
    script.changes(&put(FIRST, b"e9", 7));
    assert_eq!(script.entry(op), Ok(()));
    script.changes(&delete(FIRST));
    assert_eq!(script.entry(op), Ok(()));
    assert_eq!(broken(script.entry(op)), "duplicate-apply");
    // With the value it has there is nothing to give it.
    script.campaign(8, b"e2").unwrap();
    let op = script.op;
    script.changes(&delete(SECOND));
    assert_eq!(script.entry(op), Ok(()));
    // The product forgets the value.
    let mut script = Script::new();
    script.campaign(7, b"e9").unwrap();
    assert_eq!(broken(script.entry(script.op)), "revision");
}
