//! Histories of many clients against a store that is the model itself, then doctored.

use etched::runtime::Observation;
use etched::types::{LogPosition, RequestId};
use etched_proto::etcdserverpb as pb;
use etched_testkit::generate::{Generator, Hint, Weights};
use etched_testkit::model::Model;
use etched_testkit::{Failure, Request, Response};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::check::{Checked, History, Outcome, Violation};

/// What the checker is told, in order.
#[derive(Clone, Debug)]
pub(super) enum Told {
    Call(u64, u64, Request),
    Proposed(u64),
    Applied { index: u64, op: u64, revision: i64 },
    Return(u64, Outcome),
}

fn request_id(op: u64) -> RequestId {
    RequestId { member: 1, incarnation: 1, sequence: op }
}

pub(super) fn tell(told: &[Told]) -> Checked {
    let mut history = History::default();
    told.iter().try_for_each(|told| match told.clone() {
        Told::Call(op, client, request) => {
            history.call(op, client, request);
            Ok(())
        }
        Told::Proposed(op) => history.proposed(request_id(op), Some(op)),
        Told::Applied { index, op, revision } => {
            let position = LogPosition { term: 1, leader: 1, index };
            history.applied(position, Some(request_id(op)), revision)
        }
        Told::Return(op, outcome) => history.returned(op, outcome),
    })
}

/// A clean history: `clients` work concurrently, some answers get lost, reads are linearizable or
/// lag when serializable.
pub(super) fn clean(seed: u64, clients: u64, steps: usize) -> Vec<Told> {
    let mut generator = Generator::from_seed(seed, Weights { compact: 1, ..Weights::default() });
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 77);
    let (mut model, mut told) = (Model::new(), Vec::new());
    // Per client: the operation in flight and, once it took effect, its answer.
    let mut in_flight: Vec<Option<(u64, Request, Option<Outcome>)>> = vec![None; clients as usize];
    let (mut next, mut index) = (1, 0);
    for _ in 0..steps {
        let client = rng.next_u64() % clients;
        let slot = &mut in_flight[client as usize];
        let Some((op, request, outcome)) = slot else {
            let (revision, compact_revision) = (model.revision(), model.compact_revision());
            let request =
                generator.request(&Hint { revision, compact_revision, leases: model.leases().collect() });
            told.push(Told::Call(next, client, request.clone()));
            *slot = Some((next, request, None));
            next += 1;
            continue;
        };
        if let Some(outcome) = outcome.take() {
            let is_lost = rng.next_u64().is_multiple_of(20);
            told.push(Told::Return(*op, if is_lost { Outcome::Unknown } else { outcome }));
            *slot = None;
            continue;
        }
        let answer = if request.is_serializable() && rng.next_u64().is_multiple_of(2) {
            let at = model.revision() - (rng.next_u64() % 3) as i64;
            match model.read_at(request, at.max(1)).unwrap() {
                Ok(answer) => Ok(answer),
                Err(_) => model.apply(request),
            }
        } else {
            model.apply(request)
        };
        let is_form_error = etched_testkit::model::form::check(request).is_err();
        if !request.is_read() && !is_form_error {
            told.push(Told::Proposed(*op));
            told.push(Told::Applied { index, op: *op, revision: model.revision() });
            index += 1;
        }
        *outcome = Some(match answer {
            Ok(answer) => Outcome::Answer(answer),
            Err(failure) => Outcome::Failure(failure),
        });
    }
    told
}

#[test]
fn clean_histories_pass() {
    for seed in 0..20 {
        assert_eq!(tell(&clean(seed, 5, 3000)), Ok(()), "seed {seed}");
    }
}

/// A small history of puts to one key and reads of it, as (op, request, outcome) one after another.
struct Script {
    told: Vec<Told>,
    model: Model,
    next: u64,
    index: u64,
}

impl Script {
    fn new() -> Self {
        Script { told: Vec::new(), model: Model::new(), next: 1, index: 0 }
    }

    fn call(&mut self, request: Request) -> u64 {
        let op = self.next;
        self.next += 1;
        self.told.push(Told::Call(op, 1, request));
        op
    }

    fn log(&mut self, op: u64, request: &Request) -> Result<Response, Failure> {
        let answer = self.model.apply(request);
        self.told.push(Told::Proposed(op));
        self.told.push(Told::Applied { index: self.index, op, revision: self.model.revision() });
        self.index += 1;
        answer
    }

    /// A whole operation.
    fn run(&mut self, request: Request) -> Response {
        let op = self.call(request.clone());
        let answer = if request.is_read() { self.model.apply(&request) } else { self.log(op, &request) };
        let answer = answer.unwrap();
        self.told.push(Told::Return(op, Outcome::Answer(answer.clone())));
        answer
    }

    fn answer(&mut self, op: u64, answer: Response) {
        self.told.push(Told::Return(op, Outcome::Answer(answer)));
    }

    fn verdict(&self) -> &'static str {
        tell(&self.told).expect_err("a broken rule").checker
    }
}

fn put(value: &str) -> Request {
    let value = value.as_bytes().to_vec().into();
    Request::Put(pb::PutRequest { key: b"k".to_vec().into(), value, ..Default::default() })
}

fn get() -> Request {
    Request::Range(pb::RangeRequest { key: b"k".to_vec().into(), ..Default::default() })
}

#[test]
fn a_stale_read() {
    let mut script = Script::new();
    script.run(put("1"));
    let old = script.run(get());
    script.run(put("2"));
    let op = script.call(get());
    script.answer(op, old.clone());
    assert_eq!(script.verdict(), "stale-read");
    // The same answer is fine while the put is still on its way, or serializable.
    let mut script = Script::new();
    script.run(put("1"));
    let writer = script.call(put("2"));
    let written = script.log(writer, &put("2")).unwrap();
    let reader = script.call(get());
    script.answer(reader, old.clone());
    script.answer(writer, written);
    let Request::Range(range) = get() else { unreachable!() };
    let reader = script.call(Request::Range(pb::RangeRequest { serializable: true, ..range }));
    script.answer(reader, old);
    assert_eq!(tell(&script.told), Ok(()));
}

#[test]
fn wrong_answers() {
    let mut script = Script::new();
    script.run(put("1"));
    let Response::Range(mut answer) = script.model.apply(&get()).unwrap() else { unreachable!() };
    answer.kvs[0].value = b"3".to_vec().into();
    let op = script.call(get());
    script.answer(op, Response::Range(answer));
    assert_eq!(script.verdict(), "answer");
}

#[test]
fn a_lowered_revision() {
    let mut script = Script::new();
    script.run(put("1"));
    let op = script.call(put("2"));
    let Response::Put(mut answer) = script.log(op, &put("2")).unwrap() else { unreachable!() };
    answer.header.as_mut().unwrap().revision -= 1;
    script.answer(op, Response::Put(answer));
    assert_eq!(script.verdict(), "revision");
    // And the store's own revision in the log.
    let mut script = Script::new();
    let op = script.call(put("1"));
    script.told.push(Told::Proposed(op));
    script.told.push(Told::Applied { index: 0, op, revision: 1 });
    assert_eq!(script.verdict(), "revision");
    // A read from the future.
    let mut script = Script::new();
    let op = script.call(get());
    let header = Some(pb::ResponseHeader { revision: 5, ..Default::default() });
    script.answer(op, Response::Range(pb::RangeResponse { header, ..Default::default() }));
    assert_eq!(script.verdict(), "revision");
}

#[test]
fn a_lost_write() {
    let mut script = Script::new();
    let op = script.call(put("1"));
    let header = Some(pb::ResponseHeader { revision: 2, ..Default::default() });
    script.answer(op, Response::Put(pb::PutResponse { header, prev_kv: None }));
    assert_eq!(script.verdict(), "durability");
}

#[test]
fn applied_twice() {
    let mut script = Script::new();
    script.run(put("1"));
    script.told.push(Told::Applied { index: 1, op: 1, revision: 3 });
    assert_eq!(script.verdict(), "duplicate-apply");
    // Two proposals for one operation of a client that never heard of the first.
    let mut history = History::default();
    history.call(1, 1, put("1"));
    history.proposed(request_id(1), Some(1)).unwrap();
    history.proposed(request_id(2), Some(1)).unwrap();
    let at = |index| LogPosition { term: 1, leader: 1, index };
    history.applied(at(0), Some(request_id(1)), 2).unwrap();
    history.returned(1, Outcome::Unknown).unwrap();
    let verdict = history.applied(at(1), Some(request_id(2)), 3).unwrap_err();
    assert_eq!(verdict.checker, "duplicate-apply");
}

#[test]
fn an_unknown_outcome_may_happen_later() {
    let mut script = Script::new();
    let op = script.call(put("1"));
    script.told.push(Told::Return(op, Outcome::Unknown));
    script.run(get());
    script.log(op, &put("1")).unwrap();
    script.run(get());
    assert_eq!(tell(&script.told), Ok(()));
}

#[test]
fn a_command_that_nobody_sent() {
    let verdict = |observe: &dyn Fn(&mut History) -> Checked| -> Violation {
        observe(&mut History::default()).expect_err("a broken rule")
    };
    let at = LogPosition { term: 1, leader: 1, index: 0 };
    let unknown = verdict(&|history| history.applied(at, Some(request_id(1)), 2));
    assert_eq!(unknown.checker, "answer");
    let untraced = verdict(&|history| {
        history.proposed(request_id(1), None)?;
        history.applied(at, Some(request_id(1)), 2)
    });
    assert_eq!(untraced.checker, "revision", "a server's own command must not change the store");
    assert_eq!(verdict(&|history| history.proposed(request_id(1), Some(9))).checker, "answer");
}

#[test]
fn an_expired_lease_takes_its_keys() {
    let mut script = Script::new();
    script.run(Request::LeaseGrant(pb::LeaseGrantRequest { id: 7, ttl: 60 }));
    let Request::Put(put) = put("1") else { unreachable!() };
    script.run(Request::Put(pb::PutRequest { lease: 7, ..put }));
    let mut history = History::default();
    history.leases_expired(2, &[7]);
    for told in &script.told {
        match told.clone() {
            Told::Call(op, client, request) => history.call(op, client, request),
            Told::Proposed(op) => history.proposed(request_id(op), Some(op)).unwrap(),
            Told::Applied { index, op, revision } => {
                history
                    .applied(LogPosition { term: 1, leader: 1, index }, Some(request_id(op)), revision)
                    .unwrap();
            }
            Told::Return(op, outcome) => history.returned(op, outcome).unwrap(),
        }
    }
    history.proposed(request_id(99), None).unwrap();
    history.applied(LogPosition { term: 1, leader: 1, index: 2 }, Some(request_id(99)), 3).unwrap();
    assert!(history.model().events(3)[0].is_delete);
}

#[test]
fn errors_are_checked_too() {
    let fail = |request: Request, code, text: &str| {
        let mut script = Script::new();
        script.run(put("1"));
        let op = script.call(request);
        script.told.push(Told::Return(op, Outcome::Failure(Failure::new(code, text))));
        tell(&script.told)
    };
    let read_at = |revision| {
        let Request::Range(range) = get() else { unreachable!() };
        Request::Range(pb::RangeRequest { revision, ..range })
    };
    use tonic::Code;
    let future = "etcdserver: mvcc: required revision is a future revision";
    assert_eq!(fail(read_at(9), Code::OutOfRange, future), Ok(()));
    assert_eq!(fail(read_at(2), Code::OutOfRange, future).unwrap_err().checker, "answer");
    let compacted = "etcdserver: mvcc: required revision has been compacted";
    assert_eq!(fail(read_at(1), Code::OutOfRange, compacted).unwrap_err().checker, "answer");
    assert_eq!(fail(get(), Code::Unavailable, "etcdserver: no leader"), Ok(()));
    let empty = Request::Range(pb::RangeRequest::default());
    assert_eq!(fail(empty.clone(), Code::InvalidArgument, "etcdserver: key is not provided"), Ok(()));
    assert_eq!(
        fail(empty, Code::InvalidArgument, "etcdserver: Key is not provided").unwrap_err().checker,
        "answer"
    );
    assert_eq!(
        fail(put("2"), Code::NotFound, "etcdserver: requested lease not found").unwrap_err().checker,
        "answer"
    );
}

#[test]
fn a_compacted_revision_must_not_be_read_again() {
    let mut script = Script::new();
    script.run(put("1"));
    script.run(put("2"));
    let Request::Range(range) = get() else { unreachable!() };
    let old = Request::Range(pb::RangeRequest { revision: 2, ..range });
    let answer = script.run(old.clone());
    script.run(Request::Compact(pb::CompactionRequest { revision: 3, physical: false }));
    let op = script.call(old);
    script.answer(op, answer);
    assert_eq!(script.verdict(), "stale-read");
}

/// Random doctoring of clean histories: whatever changes an answer's meaning is found.
#[test]
fn doctored_answers_are_found() {
    let (mut found, mut all) = (0, 0);
    for seed in 0..40 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let told = clean(1000 + seed, 4, 600);
        let answers: Vec<usize> =
            (0..told.len()).filter(|at| matches!(&told[*at], Told::Return(_, Outcome::Answer(_)))).collect();
        for _ in 0..20 {
            let at = answers[rng.next_u64() as usize % answers.len()];
            let mut doctored = told.clone();
            let Told::Return(_, Outcome::Answer(answer)) = &mut doctored[at] else { unreachable!() };
            if doctor(answer, rng.next_u64()) {
                all += 1;
                found += usize::from(tell(&doctored).is_err());
            }
        }
    }
    assert!(all > 400, "only {all} histories were doctored");
    assert_eq!(found, all, "some doctored histories pass");
}

/// Changes an answer's meaning; says whether it could.
fn doctor(answer: &mut Response, how: u64) -> bool {
    match answer {
        Response::Range(range) => match how % 4 {
            0 => range.count += 1,
            1 => range.more = !range.more,
            2 if !range.kvs.is_empty() => drop(range.kvs.pop()),
            _ if !range.kvs.is_empty() => range.kvs[0].mod_revision += 1,
            _ => return false,
        },
        Response::Put(put) => {
            put.header.as_mut().unwrap().revision += if how.is_multiple_of(2) { 1 } else { -1 }
        }
        Response::DeleteRange(delete) => delete.deleted += 1,
        Response::Txn(txn) => txn.succeeded = !txn.succeeded,
        Response::Compact(compact) => compact.header.as_mut().unwrap().revision += 1,
        Response::LeaseGrant(grant) => grant.id += 1,
        Response::LeaseRevoke(revoke) => revoke.header.as_mut().unwrap().revision -= 1,
    }
    true
}

/// The facade passes observations on and keeps what fired.
#[test]
fn the_facade_stops_at_the_first() {
    let mut checks = crate::check::Checks::new(&crate::check::CheckConfig::default());
    let shown = Observation::Visible { revision: 9 };
    assert_eq!(checks.on_observation(0, 1, &shown).unwrap_err().checker, "revision");
    assert_eq!(checks.violations().len(), 1);
}
