//! Doctored answers: each of the ways to break a permission.

use etched_proto::etcdserverpb as pb;
use etched_testkit::model::Model;
use etched_testkit::users::{Change, Permission};
use etched_testkit::{Failure, Request, Response};
use tonic::Code;

use crate::check::{Checked, History, Outcome};

use super::{broken, entry};

const DENIED: &str = "etcdserver: permission denied";

/// Checks are on; `ann` may read and write key `a`, and nothing else.
struct Script {
    history: History,
    store: Model,
    index: u64,
    op: u64,
    /// When the tokens were given out.
    born: usize,
}

fn change(script: &mut Script, change: Change) {
    let user = (script.history.permissions().is_enabled()).then_some("root");
    let op = script.changes(user, change);
    let done = Outcome::Answer(Response::Put(pb::PutResponse::default()));
    script.history.permissions().changed(op, &done).unwrap();
}

impl Script {
    fn new() -> Self {
        let mut script =
            Script { history: History::default(), store: Model::new(), index: 0, op: 0, born: 0 };
        let range = (b"a".to_vec(), Vec::new());
        for one in [
            Change::UserAdd("root".into()),
            Change::UserGrantRole("root".into(), "root".into()),
            Change::UserAdd("ann".into()),
            Change::RoleAdd("r".into()),
            Change::Grant("r".into(), Permission { read: true, write: true, range }),
            Change::UserGrantRole("ann".into(), "r".into()),
            Change::Enable,
        ] {
            change(&mut script, one);
        }
        script.born = script.history.permissions().moment();
        script
    }

    /// A change that `user` asks for and that is logged.
    fn changes(&mut self, user: Option<&str>, change: Change) -> u64 {
        self.op += 1;
        self.history.permissions().changes(self.op, user, change);
        self.entry(self.op).unwrap();
        self.op
    }

    fn entry(&mut self, op: u64) -> Checked {
        self.index += 1;
        let checked = entry(&mut self.history, self.index, op, self.store.revision());
        self.history.permissions().applied(1, self.index);
        checked
    }

    fn call(&mut self, request: &Request, user: Option<&str>) -> u64 {
        self.op += 1;
        let asker = self.history.permissions().asks(user, Some(1), self.born);
        self.history.call_as(self.op, 1, request.clone(), asker);
        self.op
    }

    /// The member writes it, whoever asks.
    fn written(&mut self, request: &Request, user: Option<&str>) -> Checked {
        let op = self.call(request, user);
        let answer = self.store.apply(request).unwrap();
        self.entry(op)?;
        self.history.returned(op, Outcome::Answer(answer))
    }

    /// The member refuses it with `text`, after it was logged if `logged`.
    fn refused(&mut self, request: &Request, user: Option<&str>, text: &str, logged: bool) -> Checked {
        let op = self.call(request, user);
        if logged {
            self.entry(op)?;
        }
        let code = if text == DENIED { Code::PermissionDenied } else { Code::InvalidArgument };
        self.history.returned(op, Outcome::Failure(Failure::new(code, text)))
    }

    fn read(&mut self, request: &Request, user: Option<&str>) -> Checked {
        let op = self.call(request, user);
        let answer = self.store.apply(request).unwrap();
        self.history.returned(op, Outcome::Answer(answer))
    }
}

fn put(key: &'static str) -> Request {
    Request::Put(pb::PutRequest { key: key.into(), ..Default::default() })
}

fn get(key: &'static str, serializable: bool) -> Request {
    Request::Range(pb::RangeRequest { key: key.into(), serializable, ..Default::default() })
}

#[test]
fn right_answers_pass() {
    let mut script = Script::new();
    script.written(&put("a"), Some("ann")).unwrap();
    script.written(&put("z"), Some("root")).unwrap();
    script.refused(&put("b"), Some("ann"), DENIED, true).unwrap();
    script.refused(&put("a"), None, "etcdserver: user name is empty", true).unwrap();
    script.read(&get("a", false), Some("ann")).unwrap();
    script.refused(&get("b", false), Some("ann"), DENIED, false).unwrap();
    script.refused(&put("a"), Some("ann"), "etcdserver: invalid auth token", false).unwrap();
}

#[test]
fn what_was_never_granted() {
    assert_eq!(broken(Script::new().written(&put("b"), Some("ann"))), "permission");
    assert_eq!(broken(Script::new().read(&get("b", false), Some("ann"))), "permission");
    assert_eq!(broken(Script::new().read(&get("b", true), Some("ann"))), "permission");
    assert_eq!(broken(Script::new().read(&get("a", false), None)), "permission");
}

#[test]
fn what_was_granted_all_the_time() {
    assert_eq!(broken(Script::new().refused(&put("a"), Some("ann"), DENIED, true)), "permission");
    assert_eq!(broken(Script::new().refused(&get("a", false), Some("ann"), DENIED, false)), "permission");
}

#[test]
fn a_refused_token_that_did_something() {
    let mut script = Script::new();
    let op = script.call(&put("a"), Some("ann"));
    script.store.apply(&put("a")).unwrap();
    script.entry(op).unwrap();
    let failure = Failure::new(Code::Unauthenticated, "etcdserver: invalid auth token");
    assert_eq!(broken(script.history.returned(op, Outcome::Failure(failure))), "permission");
}

#[test]
fn a_refused_token_that_changed_users() {
    let mut script = Script::new();
    let op = script.changes(Some("root"), Change::Disable);
    let failure = Failure::new(Code::Unauthenticated, "etcdserver: invalid auth token");
    assert_eq!(broken(script.history.permissions().changed(op, &Outcome::Failure(failure))), "permission");
}

#[test]
fn a_permission_that_was_taken_away() {
    let taken = || {
        let mut script = Script::new();
        let asked = script.call(&get("a", false), Some("ann"));
        change(&mut script, Change::UserRevokeRole("ann".into(), "r".into()));
        (script, asked)
    };
    // A read that was under way may have come before.
    let (mut script, asked) = taken();
    let answer = script.store.apply(&get("a", false)).unwrap();
    script.history.returned(asked, Outcome::Answer(answer)).unwrap();
    assert_eq!(broken(script.read(&get("a", false), Some("ann"))), "permission");
    let (mut script, _) = taken();
    assert_eq!(broken(script.read(&get("a", true), Some("ann"))), "permission", "the member knows it");
}

#[test]
fn a_token_that_was_voided() {
    for voiding in [Change::UserChangePassword("ann".into()), Change::UserDelete("ann".into())] {
        let mut script = Script::new();
        let is_deleted = matches!(voiding, Change::UserDelete(_));
        change(&mut script, voiding);
        // Somebody else of that name, who may the same.
        if is_deleted {
            change(&mut script, Change::UserAdd("ann".into()));
            change(&mut script, Change::UserGrantRole("ann".into(), "r".into()));
        }
        let born = std::mem::replace(&mut script.born, script.index as usize);
        script.read(&get("a", false), Some("ann")).unwrap();
        script.born = born;
        assert_eq!(broken(script.read(&get("a", false), Some("ann"))), "permission");
        assert_eq!(broken(script.written(&put("a"), Some("ann"))), "permission");
    }
}

#[test]
fn watches() {
    let told = |user: &str, key: &[u8], end: &[u8], reason: Option<&str>| {
        let mut script = Script::new();
        let asker = script.history.permissions().asks(Some(user), Some(1), script.born);
        script.history.permissions().watch_told(&asker, key, end, reason)
    };
    told("ann", b"a", b"", None).unwrap();
    told("ann", b"a", b"\0", Some(DENIED)).unwrap();
    assert_eq!(broken(told("ann", b"a", b"\0", None)), "permission");
    assert_eq!(broken(told("ann", b"a", b"", Some(DENIED))), "permission");
    assert_eq!(broken(told("root", b"\0", b"\0", Some(DENIED))), "permission");
}

#[test]
fn changes_of_who_may_not() {
    let mut script = Script::new();
    let op = script.changes(Some("ann"), Change::Disable);
    let done = Outcome::Answer(Response::Put(pb::PutResponse::default()));
    assert_eq!(broken(script.history.permissions().changed(op, &done)), "permission");
}
