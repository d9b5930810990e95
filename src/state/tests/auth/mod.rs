//! Rows A1–A12, A17, T14: who may change what, and what follows from it on every member.

mod random;

use super::{apply, range_of as range};
use crate::state::*;
use crate::types::*;

fn auth(state: &mut State, command: AuthCommand) -> Result<Response, Error> {
    apply(state, Command::Auth(command)).response
}

fn add_user(state: &mut State, name: &str) -> UserId {
    let (name, password_hash) = (name.to_string(), b"h".to_vec());
    auth(state, AuthCommand::UserAdd { name: name.clone(), password_hash, no_password: false })
        .expect("added");
    state.view().auth().user(&name).expect("a user").id
}

fn add_role(state: &mut State, name: &str) {
    auth(state, AuthCommand::RoleAdd { name: name.into() }).expect("added");
}

fn grant_role(state: &mut State, user: &str, role: &str) -> Result<Response, Error> {
    auth(state, AuthCommand::UserGrantRole { user: user.into(), role: role.into() })
}

fn grant(state: &mut State, role: &str, access: Access, from: &str, to: &str) -> Result<Response, Error> {
    let permission = Permission { access, range: range(from, to) };
    auth(state, AuthCommand::RoleGrantPermission { role: role.into(), permission })
}

fn key(key: &str) -> KeyRange {
    range(key, "")
}

fn put(key: &str, value: &str) -> PutRequest {
    PutRequest { key: key.to_owned().into(), value: value.to_owned().into(), ..PutRequest::default() }
}

fn delete_range(from: &str, to: &str) -> DeleteRangeRequest {
    DeleteRangeRequest { range: range(from, to), prev_kv: false }
}

fn txn(compare: Vec<Compare>, success: Vec<RequestOp>, failure: Vec<RequestOp>) -> TxnRequest {
    TxnRequest { compare, success, failure }
}

/// A state that checks, with root and with `ann`, who may write [a, c) and read [b, d).
fn checked() -> (State, Caller, Caller) {
    let mut state = State::new();
    let root = add_user(&mut state, "root");
    let ann = add_user(&mut state, "ann");
    add_role(&mut state, "r");
    grant(&mut state, "r", Access::Write, "a", "c").expect("granted");
    grant(&mut state, "r", Access::Read, "b", "d").expect("granted");
    grant_role(&mut state, "ann", "r").expect("granted");
    grant_role(&mut state, "root", "root").expect("granted");
    auth(&mut state, AuthCommand::Enable).expect("enabled");
    let auth_revision = state.view().auth().revision();
    (state, Caller { user: root, auth_revision }, Caller { user: ann, auth_revision })
}

fn login(caller: Caller) -> Option<Login> {
    Some(Login { user: caller.user, since: caller.auth_revision })
}

fn by(state: &mut State, caller: Option<Caller>, command: Command) -> Result<Response, Error> {
    state.apply(&Envelope { request_id: RequestId::default(), caller, client: None, command }).response
}

#[test]
fn a1_enable_needs_root() {
    let mut state = State::new();
    assert_eq!(auth(&mut state, AuthCommand::Enable), Err(Error::RootUserNotExist));
    add_user(&mut state, "root");
    assert_eq!(auth(&mut state, AuthCommand::Enable), Err(Error::RootRoleNotExist));
    assert_eq!(grant_role(&mut state, "root", "other"), Err(Error::RoleNotFound));
    // The role root can be granted without having been added.
    assert!(grant_role(&mut state, "root", "root").is_ok());
    assert!(auth(&mut state, AuthCommand::Enable).is_ok());
    assert_eq!(auth(&mut state, AuthCommand::Enable), Err(Error::UserEmpty));
}

#[test]
fn a2_root_is_protected_while_enabled() {
    let (mut state, root, ann) = checked();
    let (name, role) = (|| "root".to_string(), || "root".to_string());
    for command in [
        AuthCommand::UserDelete { name: name() },
        AuthCommand::RoleDelete { name: role() },
        AuthCommand::UserRevokeRole { user: name(), role: role() },
    ] {
        assert_eq!(by(&mut state, Some(root), Command::Auth(command.clone())), Err(Error::InvalidAuthMgmt));
        assert_eq!(by(&mut state, Some(ann), Command::Auth(command)), Err(Error::PermissionDenied));
    }
    let revision = state.view().auth().revision();
    assert!(by(&mut state, Some(root), Command::Auth(AuthCommand::Disable)).is_ok());
    assert_eq!(state.view().auth().revision(), revision + 1);
    assert!(auth(&mut state, AuthCommand::Disable).is_ok(), "again");
    assert_eq!(state.view().auth().revision(), revision + 1);
    assert!(auth(&mut state, AuthCommand::UserDelete { name: name() }).is_ok());
}

#[test]
fn a3_a4_old_and_missing_callers() {
    let (mut state, root, ann) = checked();
    let write = || Command::Put(put("a", "1"));
    assert_eq!(by(&mut state, None, write()), Err(Error::UserEmpty));
    assert!(by(&mut state, Some(ann), write()).is_ok());
    by(&mut state, Some(root), Command::Auth(AuthCommand::RoleAdd { name: "x".into() })).expect("added");
    assert_eq!(by(&mut state, Some(ann), write()), Err(Error::AuthOldRevision));
    let newer = Caller { auth_revision: ann.auth_revision + 1, ..ann };
    assert!(by(&mut state, Some(newer), write()).is_ok());
    let nobody = Caller { user: 999, ..newer };
    assert_eq!(by(&mut state, Some(nobody), write()), Err(Error::PermissionDenied));
    let change = Command::Auth(AuthCommand::RoleAdd { name: "y".into() });
    assert_eq!(by(&mut state, Some(nobody), change), Err(Error::UserNotFound));
}

#[test]
fn a6_a9_writes() {
    let (mut state, _, ann) = checked();
    let mut try_it = |command| by(&mut state, Some(ann), command).map(|_| ());
    assert_eq!(try_it(Command::Put(put("a", "1"))), Ok(()));
    assert_eq!(try_it(Command::Put(put("c", "1"))), Err(Error::PermissionDenied));
    assert_eq!(
        try_it(Command::Put(PutRequest { prev_kv: true, ..put("a", "1") })),
        Err(Error::PermissionDenied)
    );
    assert_eq!(try_it(Command::Put(PutRequest { prev_kv: true, ..put("b", "1") })), Ok(()));
    let delete =
        |from, to, prev_kv| Command::DeleteRange(DeleteRangeRequest { range: range(from, to), prev_kv });
    assert_eq!(try_it(delete("a", "c", false)), Ok(()));
    assert_eq!(try_it(delete("a", "c", true)), Err(Error::PermissionDenied));
    assert_eq!(try_it(delete("b", "c", true)), Ok(()));
    assert_eq!(try_it(delete("a", "d", false)), Err(Error::PermissionDenied));
    assert_eq!(try_it(delete("b", "\0", false)), Err(Error::PermissionDenied));
}

/// CVE-2026-33343, CVE-2026-44283: what a transaction does is looked at on every level.
#[test]
fn t14_transactions() {
    let (mut state, _, ann) = checked();
    let read = |from, to| RequestOp::Range(RangeRequest::newest(range(from, to)));
    let mut try_it = |request| by(&mut state, Some(ann), Command::Txn(request)).map(|_| ());
    let nested = |op| RequestOp::Txn(txn(vec![], vec![], vec![op]));
    let denied = Err(Error::PermissionDenied);
    assert_eq!(try_it(txn(vec![], vec![RequestOp::Put(put("a", "1")), read("b", "d")], vec![])), Ok(()));
    for op in [
        RequestOp::Put(put("d", "1")),
        RequestOp::Put(PutRequest { prev_kv: true, ..put("a", "1") }),
        RequestOp::DeleteRange(delete_range("a", "z")),
        read("a", ""),
        read("b", "\0"),
    ] {
        assert_eq!(try_it(txn(vec![], vec![op.clone()], vec![])), denied);
        assert_eq!(try_it(txn(vec![], vec![], vec![op.clone()])), denied, "the branch that does not run");
        assert_eq!(try_it(txn(vec![], vec![nested(op.clone())], vec![])), denied);
        assert_eq!(try_it(txn(vec![], vec![nested(nested(op))], vec![])), denied);
    }
    let compare =
        Compare { range: range("a", ""), result: CompareResult::Equal, target: CompareTarget::Version(0) };
    assert_eq!(try_it(txn(vec![compare.clone()], vec![], vec![])), denied);
    assert_eq!(try_it(txn(vec![], vec![RequestOp::Txn(txn(vec![compare], vec![], vec![]))], vec![])), denied);
}

#[test]
fn a8_leases() {
    let (mut state, root, ann) = checked();
    apply(&mut state, Command::LeaseGrant { id: 7, ttl: 60 }).response.expect("granted");
    let on_lease = |key| Command::Put(PutRequest { lease: 7, ..put(key, "1") });
    assert!(by(&mut state, Some(ann), on_lease("a")).is_ok());
    assert!(by(&mut state, Some(root), on_lease("z")).is_ok());
    assert_eq!(by(&mut state, Some(ann), on_lease("b")), Err(Error::PermissionDenied));
    assert_eq!(by(&mut state, Some(ann), Command::LeaseRevoke { id: 7 }), Err(Error::PermissionDenied));
    assert_eq!(by(&mut state, Some(ann), Command::LeaseRevoke { id: 8 }), Err(Error::LeaseNotFound));
    let view = state.view();
    assert_eq!(view.permit_lease(login(ann), 7, Access::Write), Err(Error::PermissionDenied));
    assert_eq!(view.permit_leases(login(ann), &[7]), Err(Error::PermissionDenied));
    assert_eq!(view.permit_leases(None, &[]), Err(Error::UserEmpty));
    assert_eq!(view.permit_leases(login(root), &[7]), Ok(()));
    assert!(by(&mut state, Some(root), Command::LeaseRevoke { id: 7 }).is_ok());
}

#[test]
fn a7_a10_a11_a12_roles_and_users() {
    let mut state = State::new();
    let add =
        |name: &str| AuthCommand::UserAdd { name: name.into(), password_hash: vec![], no_password: true };
    assert_eq!(auth(&mut state, add("")), Err(Error::UserEmpty));
    assert!(auth(&mut state, add("ann")).is_ok());
    assert_eq!(auth(&mut state, add("ann")), Err(Error::UserAlreadyExist));
    let role = |name: &str| AuthCommand::RoleAdd { name: name.into() };
    assert_eq!(auth(&mut state, role("")), Err(Error::RoleEmpty));
    assert!(auth(&mut state, role("r")).is_ok());
    assert_eq!(auth(&mut state, role("r")), Err(Error::RoleAlreadyExist));
    for (from, to) in [("", ""), ("b", "a"), ("b", "b"), ("", "\0")] {
        assert_eq!(
            grant(&mut state, "r", Access::Read, from, to),
            Err(Error::InvalidAuthMgmt),
            "{from} {to}"
        );
    }
    assert_eq!(grant(&mut state, "no", Access::Read, "a", ""), Err(Error::RoleNotFound));
    assert!(grant(&mut state, "r", Access::Read, "a", "\0").is_ok());
    assert!(grant(&mut state, "r", Access::Write, "a", "\0").is_ok(), "in place of the first");
    assert_eq!(state.view().auth().role("r").map(|role| role.permissions.len()), Some(1));
    assert_eq!(grant_role(&mut state, "bob", "r"), Err(Error::UserNotFound));
    assert!(grant_role(&mut state, "ann", "r").is_ok());
    let revision = state.view().auth().revision();
    assert!(grant_role(&mut state, "ann", "r").is_ok(), "again");
    assert_eq!(state.view().auth().revision(), revision, "and nothing changed");
    let revoke =
        |from: &str, to: &str| AuthCommand::RoleRevokePermission { role: "r".into(), range: range(from, to) };
    assert_eq!(auth(&mut state, revoke("a", "")), Err(Error::PermissionNotGranted));
    assert!(auth(&mut state, revoke("a", "\0")).is_ok());
    let revoke = |role: &str| AuthCommand::UserRevokeRole { user: "ann".into(), role: role.into() };
    assert_eq!(auth(&mut state, revoke("x")), Err(Error::RoleNotGranted));
    assert!(auth(&mut state, AuthCommand::RoleDelete { name: "r".into() }).is_ok());
    assert_eq!(auth(&mut state, AuthCommand::RoleDelete { name: "r".into() }), Err(Error::RoleNotFound));
    assert_eq!(auth(&mut state, revoke("r")), Err(Error::RoleNotGranted), "it went with the role");
    assert!(auth(&mut state, AuthCommand::UserDelete { name: "ann".into() }).is_ok());
    assert_eq!(auth(&mut state, AuthCommand::UserDelete { name: "ann".into() }), Err(Error::UserNotFound));
    assert_eq!(state.digest(), state.recompute_digest());
}

#[test]
fn a13_tokens_are_for_who_was_looked_at() {
    let (mut state, root, ann) = checked();
    let revision = ann.auth_revision;
    let login = |name: &str, auth_revision| {
        let letters = "letters".to_string();
        Command::Auth(AuthCommand::Authenticate { name: name.into(), auth_revision, letters })
    };
    let given =
        Response::Authenticated { user: ann.user, auth_revision: revision, letters: "letters".into() };
    assert_eq!(by(&mut state, None, login("ann", revision)), Ok(given));
    assert_eq!(by(&mut state, None, login("bob", revision)), Err(Error::AuthFailed));
    let valid = |state: &State| state.view().auth().is_valid_token(ann.user, revision);
    assert!(valid(&state));
    let change = AuthCommand::UserChangePassword { name: "ann".into(), password_hash: b"x".to_vec() };
    by(&mut state, Some(root), Command::Auth(change)).expect("changed");
    assert!(!valid(&state), "a new password voids tokens");
    let read = state.view().permit_range(self::login(ann), &key("b"));
    assert_eq!(read, Err(Error::InvalidAuthToken), "also one that was good when the read began");
    assert_eq!(by(&mut state, None, login("ann", revision)), Err(Error::AuthOldRevision));
    let delete = |name: &str| Command::Auth(AuthCommand::UserDelete { name: name.into() });
    by(&mut state, Some(root), delete("ann")).expect("deleted");
    by(&mut state, Some(root), Command::Auth(AuthCommand::Disable)).expect("disabled");
    assert_eq!(by(&mut state, None, login("ann", revision)), Err(Error::AuthNotEnabled));
    let again = add_user(&mut state, "ann");
    assert_ne!(again, ann.user, "somebody else of that name");
    auth(&mut state, AuthCommand::Enable).expect("enabled");
    assert!(!state.view().auth().is_valid_token(root.user, revision), "a disable voids all tokens");
}

/// What root does by a token that was voided meanwhile, through a member that did not know it yet.
#[test]
fn a_void_token_does_no_work_of_root() {
    let (mut state, root, _) = checked();
    apply(&mut state, Command::LeaseGrant { id: 7, ttl: 60 }).response.expect("granted");
    by(&mut state, Some(root), Command::Put(PutRequest { lease: 7, ..put("z", "1") })).expect("put");
    let change = AuthCommand::UserChangePassword { name: "root".into(), password_hash: b"x".to_vec() };
    by(&mut state, Some(root), Command::Auth(change)).expect("changed");
    let compaction = CompactionRequest { revision: 2, physical: false };
    for command in [
        Command::Auth(AuthCommand::RoleAdd { name: "x".into() }),
        Command::LeaseRevoke { id: 7 },
        Command::Compaction(compaction),
    ] {
        assert_eq!(by(&mut state, Some(root), command.clone()), Err(Error::AuthOldRevision), "{command:?}");
        let auth_revision = state.view().auth().revision();
        let again = Some(Caller { auth_revision, ..root });
        assert!(by(&mut state, again, command.clone()).is_ok(), "{command:?}");
    }
}

#[test]
fn a_compaction_is_root_s() {
    let (mut state, _, ann) = checked();
    let compaction = Command::Compaction(CompactionRequest { revision: 1, physical: false });
    assert_eq!(by(&mut state, Some(ann), compaction.clone()), Err(Error::PermissionDenied));
    assert!(by(&mut state, None, compaction).is_ok(), "the leader's own");
}

#[test]
fn names_are_bounded() {
    let mut state = State::new();
    let name = "x".repeat(limits::MAX_AUTH_NAME_BYTES + 1);
    let user = AuthCommand::UserAdd { name: name.clone(), password_hash: vec![], no_password: true };
    assert_eq!(auth(&mut state, user), Err(Error::InvalidAuthMgmt));
    assert_eq!(auth(&mut state, AuthCommand::RoleAdd { name: name.clone() }), Err(Error::InvalidAuthMgmt));
    add_role(&mut state, "r");
    assert_eq!(grant(&mut state, "r", Access::Read, &name, ""), Err(Error::InvalidAuthMgmt));
    add_role(&mut state, &name[1..]);
}

#[test]
fn a_retry_is_no_way_round() {
    let (mut state, _, ann) = checked();
    let numbered = |caller| Envelope {
        request_id: RequestId::default(),
        caller,
        client: Some((1, 1)),
        command: Command::DeleteRange(delete_range("a", "")),
    };
    assert!(state.apply(&numbered(Some(ann))).response.is_ok());
    assert_eq!(state.apply(&numbered(None)).response, Err(Error::UserEmpty));
}

/// M13, #14571: what is derived from users and roles is there again after a restart.
#[test]
fn restored_users_may_do_the_same() {
    let (mut state, _, ann) = checked();
    let meta = state.view().meta();
    let before = state.view();
    let restore = |meta| State::restore(meta, before.lease_records(), before.held(0));
    let mut restored = restore(meta.clone()).expect("a state");
    assert_eq!(restored.digest(), state.digest());
    assert_eq!(restored.view().meta(), meta);
    for state in [&mut state, &mut restored] {
        assert!(by(state, Some(ann), Command::Put(put("a", "1"))).is_ok());
        assert_eq!(by(state, Some(ann), Command::Put(put("d", "1"))), Err(Error::PermissionDenied));
    }
    assert_eq!(restored.digest(), state.digest());
    let mut twice = meta.clone();
    twice.auth.users.push(meta.auth.users[0].clone());
    let refused = restore(twice).err();
    assert_eq!(refused, Some(RestoreError::Auth(meta.auth.users[0].name.clone())));
    let mut forged = meta;
    forged.auth.roles[0].permissions[0].access = Access::ReadWrite;
    let refused = restore(forged);
    assert!(matches!(refused, Err(RestoreError::Sum { .. })), "{refused:?}");
}

#[test]
fn reads_of_a_view() {
    let (mut state, root, ann) = checked();
    by(&mut state, Some(root), Command::Put(put("b", "1"))).expect("put");
    let view = state.view();
    assert_eq!(view.permit_range(login(ann), &range("b", "d")), Ok(()));
    assert_eq!(view.permit_range(login(ann), &key("a")), Err(Error::PermissionDenied));
    assert_eq!(view.permit_range(login(root), &range("\0", "\0")), Ok(()));
    assert_eq!(view.permit_range(None, &key("b")), Err(Error::UserEmpty));
}
