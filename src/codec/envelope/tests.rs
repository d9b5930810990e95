//! Round trips, golden bytes, hostile bytes.

use proptest::prelude::*;

use crate::types::*;

use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn envelope(command: Command) -> Envelope {
    let request_id = RequestId { member: 0x8e9e_05c5_2164_694d, incarnation: 3, sequence: 300 };
    Envelope { request_id, caller: None, client: None, command }
}

fn put(key: &'static [u8], value: &'static [u8]) -> PutRequest {
    PutRequest { key: key.into(), value: value.into(), lease: 7, prev_kv: true, ..PutRequest::default() }
}

fn all_commands() -> Vec<Command> {
    let range = KeyRange::new(&b"a"[..], &b"z"[..]);
    let compare = |target| Compare { range: range.clone(), result: CompareResult::Less, target };
    let inner = TxnRequest {
        compare: vec![],
        success: vec![RequestOp::Put(put(b"in", b"ner"))],
        failure: vec![RequestOp::Range(RangeRequest::newest(range.clone()))],
    };
    vec![
        Command::Put(put(b"key", b"value")),
        Command::DeleteRange(DeleteRangeRequest { range: range.clone(), prev_kv: true }),
        Command::Txn(TxnRequest {
            compare: vec![
                compare(CompareTarget::Version(1)),
                compare(CompareTarget::CreateRevision(-2)),
                compare(CompareTarget::ModRevision(3)),
                compare(CompareTarget::Value(Bytes::from_static(b"v"))),
                compare(CompareTarget::Lease(i64::MIN)),
                compare(CompareTarget::Unknown),
            ],
            success: vec![RequestOp::Txn(inner), RequestOp::Put(put(b"k", b""))],
            failure: vec![RequestOp::DeleteRange(DeleteRangeRequest { range, prev_kv: false })],
        }),
        Command::Compaction(CompactionRequest { revision: 9, physical: true }),
        Command::RaiseLevel(2),
        Command::Publish(Member {
            id: 1,
            name: "one".into(),
            peer_urls: vec!["http://a:2380".into()],
            client_urls: vec![],
            is_learner: true,
        }),
        Command::LeaseGrant { id: 5, ttl: 60 },
        Command::LeaseRevoke { id: 5 },
        Command::LeaseTick(LeaseTick { term: 3, clock_ms: 250, renewed: vec![5, -5] }),
    ]
    .into_iter()
    .chain(auth_commands().into_iter().map(Command::Auth))
    .collect()
}

fn auth_commands() -> Vec<AuthCommand> {
    let (name, role, user) = (|| "ann".to_string(), || "reader".to_string(), || "ann".to_string());
    let range = KeyRange::new(&b"a"[..], &b"\0"[..]);
    vec![
        AuthCommand::Enable,
        AuthCommand::Disable,
        AuthCommand::Authenticate { name: name(), auth_revision: 300, letters: "abcdefghijklmnop".into() },
        AuthCommand::UserAdd { name: name(), password_hash: b"$2a$".to_vec(), no_password: true },
        AuthCommand::UserDelete { name: name() },
        AuthCommand::UserChangePassword { name: name(), password_hash: vec![0, 255] },
        AuthCommand::UserGrantRole { user: user(), role: role() },
        AuthCommand::UserRevokeRole { user: user(), role: role() },
        AuthCommand::RoleAdd { name: role() },
        AuthCommand::RoleDelete { name: role() },
        AuthCommand::RoleGrantPermission {
            role: role(),
            permission: Permission { access: Access::ReadWrite, range: range.clone() },
        },
        AuthCommand::RoleRevokePermission { role: role(), range },
    ]
}

#[test]
fn all_commands_come_back() {
    for command in all_commands() {
        let given = Envelope { client: Some((u64::MAX, 1)), ..envelope(command) };
        assert_eq!(decode(&encode(&given)), Ok(given.clone()));
        let called = Envelope { caller: Some(Caller { user: 7, auth_revision: u64::MAX }), ..given };
        assert_eq!(decode(&encode(&called)), Ok(called));
    }
}

#[test]
fn golden() {
    let found: Vec<String> = all_commands().into_iter().map(|c| hex(&encode(&envelope(c)))).collect();
    let golden = include_str!("golden.txt").lines().collect::<Vec<_>>();
    assert_eq!(found, golden, "the layout changed: old logs would not decode");
}

#[test]
fn golden_with_a_caller() {
    let plain = encode(&envelope(Command::LeaseRevoke { id: 5 }));
    let caller = Some(Caller { user: 300, auth_revision: 9 });
    let called = encode(&Envelope { caller, ..envelope(Command::LeaseRevoke { id: 5 }) });
    assert_eq!(hex(&called), format!("02fb2c0109{}", &hex(&plain)[2..]));
}

#[test]
fn slices_and_does_not_copy() {
    let bytes = encode(&envelope(Command::Put(put(b"key", b"value"))));
    let Command::Put(put) = decode(&bytes).unwrap().command else { panic!("a put") };
    let inside = bytes.as_ptr_range();
    assert!(inside.contains(&put.key.as_ptr()) && inside.contains(&put.value.as_ptr()));
}

fn nested(depth: usize) -> TxnRequest {
    (1..depth).fold(TxnRequest::default(), |inner, _| TxnRequest {
        success: vec![RequestOp::Txn(inner)],
        ..TxnRequest::default()
    })
}

#[test]
fn depth_is_bounded() {
    let limit = limits::MAX_TXN_DEPTH;
    assert!(decode(&encode(&envelope(Command::Txn(nested(limit))))).is_ok());
    let bytes = encode(&envelope(Command::Txn(nested(limit + 1))));
    assert_eq!(decode(&bytes), Err(CodecError::TooDeep { limit }));
}

#[test]
fn unknown_version_is_named() {
    let mut bytes = encode(&envelope(Command::RaiseLevel(1))).to_vec();
    bytes[0] = 200;
    let error = decode(&bytes.into()).unwrap_err();
    assert_eq!(error, CodecError::Version { what: "envelope", kind: 0, found: 200, known: 2 });
}

#[test]
fn every_truncation_is_an_error() {
    for command in all_commands() {
        let bytes = encode(&envelope(command));
        for length in 0..bytes.len() {
            assert!(decode(&bytes.slice(..length)).is_err());
        }
    }
}

proptest! {
    #[test]
    fn puts_come_back(key: Vec<u8>, value: Vec<u8>, lease: i64, flags: (bool, bool, bool), id: (u64, u64, u64)) {
        let put = PutRequest {
            key: key.into(), value: value.into(), lease,
            prev_kv: flags.0, ignore_value: flags.1, ignore_lease: flags.2,
        };
        let request_id = RequestId { member: id.0, incarnation: id.1, sequence: id.2 };
        let given = Envelope { request_id, caller: None, client: None, command: Command::Put(put) };
        prop_assert_eq!(decode(&encode(&given)), Ok(given));
    }

    #[test]
    fn noise_never_panics(which in 0usize..21, at: prop::sample::Index, byte: u8, tail: Vec<u8>) {
        let mut bytes = encode(&envelope(all_commands().swap_remove(which))).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = decode(&bytes.clone().into());
        bytes.truncate(at);
        bytes.extend(tail);
        let _ = decode(&bytes.into());
    }
}
