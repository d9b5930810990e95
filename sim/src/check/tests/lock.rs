//! Doctored locks: each of the rules.

use etched_proto::etcdserverpb as pb;
use etched_testkit::Request;
use etched_testkit::model::Model;

use crate::check::{Again, Checked, History, Locks, Outcome, Wanted};

use super::{broken, entry};

/// Leases 7 and 8 stand in the queue of one lock; 7 is the first.
struct Script {
    history: History,
    locks: Locks,
    store: Model,
    index: u64,
    first: Wanted,
    second: Wanted,
}

const NAME: &[u8] = b"lock/1";

impl Script {
    fn new() -> Self {
        let locks = Locks::default();
        let (first, second) = (locks.wanted(3, NAME, 7), locks.wanted(4, NAME, 8));
        let (history, store) = (History::default(), Model::new());
        let mut script = Script { history, locks, store, index: 0, first, second };
        for (op, id) in [(1, 7), (2, 8)] {
            script
                .apply(op, Request::LeaseGrant(pb::LeaseGrantRequest { id, ttl: 5 }), Again::Never)
                .unwrap();
        }
        for (op, wanted, lease) in [(3, script.first.clone(), 7), (4, script.second.clone(), 8)] {
            script.apply(op, wanted.join(lease, b""), Again::Leaves(wanted.key().to_vec())).unwrap();
            script.history.returned(op, Outcome::Unknown).unwrap();
        }
        script
    }

    fn apply(&mut self, op: u64, request: Request, again: Again) -> Checked {
        let _ = self.store.apply(&request);
        self.history.call_again(op, 1, request, again);
        self.entry(op)
    }

    /// One more entry of `op`, after which the product is where `store` is.
    fn entry(&mut self, op: u64) -> Checked {
        self.index += 1;
        entry(&mut self.history, self.index, op, self.store.revision())
    }

    fn delete(&mut self, op: u64, key: &[u8]) -> Checked {
        let delete = pb::DeleteRangeRequest { key: key.to_vec().into(), ..Default::default() };
        self.apply(op, Request::DeleteRange(delete), Again::Never)
    }

    fn locked(&mut self, wanted: &Wanted, key: &[u8], token: i64) -> Checked {
        self.locks.locked(&self.history, wanted, key, token)
    }
}

#[test]
fn turns_are_taken() {
    let mut script = Script::new();
    let (first, second) = (script.first.clone(), script.second.clone());
    assert_eq!(script.locked(&first, b"lock/1/7", 2), Ok(()));
    assert_eq!(script.locks.guarded(NAME, 2, 3), Ok(()));
    assert_eq!(script.delete(5, b"lock/1/7"), Ok(()));
    assert_eq!(script.locked(&second, b"lock/1/8", 3), Ok(()));
    assert_eq!(script.locks.guarded(NAME, 3, 5), Ok(()));
    // The first was told late that it held.
    assert_eq!(script.locked(&first, b"lock/1/7", 2), Ok(()));
}

#[test]
fn exclusive() {
    let mut script = Script::new();
    let second = script.second.clone();
    assert_eq!(broken(script.locked(&second, b"lock/1/8", 3)), "lock-exclusive");
    // It had left before its turn came.
    script.delete(5, b"lock/1/8").unwrap();
    script.delete(6, b"lock/1/7").unwrap();
    assert_eq!(broken(script.locked(&second, b"lock/1/8", 3)), "lock-exclusive");
    let never = script.locks.wanted(99, NAME, 7);
    assert_eq!(broken(script.locked(&never, b"lock/1/7", 2)), "lock-exclusive");
}

#[test]
fn fencing() {
    let mut script = Script::new();
    let first = script.first.clone();
    assert_eq!(broken(script.locked(&first, b"lock/1/7", 3)), "lock-fencing");
    assert_eq!(broken(script.locked(&first, b"lock/1/8", 2)), "lock-fencing");
    script.delete(5, b"lock/1/7").unwrap();
    let second = script.second.clone();
    assert_eq!(script.locked(&second, b"lock/1/8", 3), Ok(()));
    // Asked for after the token 3 was answered.
    let late = script.locks.wanted(3, NAME, 7);
    assert_eq!(broken(script.locked(&late, b"lock/1/7", 2)), "lock-fencing");
    assert_eq!(script.locks.guarded(NAME, 3, 9), Ok(()));
    assert_eq!(script.locks.guarded(NAME, 2, 8), Ok(()));
    assert_eq!(broken(script.locks.guarded(NAME, 2, 10)), "lock-fencing");
    assert_eq!(broken(script.locks.guarded(NAME, 4, 7)), "lock-fencing");
}

#[test]
fn a_place_is_given_up_once() {
    let mut script = Script::new();
    // The product deletes the key of the second.
    script
        .store
        .apply(&Request::DeleteRange(pb::DeleteRangeRequest {
            key: b"lock/1/8".to_vec().into(),
            ..Default::default()
        }))
        .unwrap();
    assert_eq!(script.entry(4), Ok(()));
    assert_eq!(broken(script.entry(4)), "duplicate-apply");
    // It deletes another one's.
    let mut script = Script::new();
    assert_eq!(broken(script.entry(4)), "revision");
}
