//! Any transaction of a user against what it was granted.

use proptest::prelude::*;

use super::*;

fn some_key() -> impl Strategy<Value = String> {
    "[abc]{1,2}"
}

fn some_range() -> impl Strategy<Value = KeyRange> {
    (some_key(), prop_oneof![Just(String::new()), Just("\0".to_string()), some_key()])
        .prop_map(|(from, to)| range(&from, &to))
}

fn some_op() -> impl Strategy<Value = RequestOp> {
    let leaf = prop_oneof![
        some_range().prop_map(|range| RequestOp::Range(RangeRequest::newest(range))),
        (some_key(), any::<bool>())
            .prop_map(|(key, prev_kv)| { RequestOp::Put(PutRequest { prev_kv, ..put(&key, "v") }) }),
        (some_range(), any::<bool>())
            .prop_map(|(range, prev_kv)| RequestOp::DeleteRange(DeleteRangeRequest { range, prev_kv })),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        (prop::collection::vec(inner.clone(), 0..3), prop::collection::vec(inner, 0..3)).prop_map(
            |(success, failure)| RequestOp::Txn(TxnRequest { compare: Vec::new(), success, failure }),
        )
    })
}

/// The keys that an answer shows.
fn seen(op: &ResponseOp, into: &mut Vec<Vec<u8>>) {
    match op {
        ResponseOp::Range(_, range) => into.extend(range.kvs.iter().map(|kv| kv.key().to_vec())),
        ResponseOp::Put(_, put) => into.extend(put.prev_kv.iter().map(|kv| kv.key().to_vec())),
        ResponseOp::DeleteRange(_, delete) => {
            into.extend(delete.prev_kvs.iter().map(|kv| kv.key().to_vec()));
        }
        ResponseOp::Txn(_, txn) => txn.responses.iter().for_each(|op| seen(op, into)),
    }
}

proptest! {
    /// Whatever a transaction of a user shows was granted to be read, and what it changes, to be
    /// written; and everything goes through that was granted as a whole.
    #[test]
    fn answers_are_within_grants(
        granted in prop::collection::vec((some_range(), 0usize..3), 0..4),
        before in prop::collection::vec(some_key(), 0..8),
        op in some_op(),
    ) {
        let (mut state, root, ann) = checked();
        let with = |caller: Caller, state: &State| {
            Some(Caller { auth_revision: state.view().auth().revision(), ..caller })
        };
        for range in [range("a", "c"), range("b", "d")] {
            let revoke = AuthCommand::RoleRevokePermission { role: "r".into(), range };
            by(&mut state, Some(root), Command::Auth(revoke)).expect("revoked");
        }
        let granted: Vec<Permission> = granted.into_iter().filter(|(range, _)| !range.is_empty())
            .map(|(range, access)| {
                Permission { range, access: [Access::Read, Access::Write, Access::ReadWrite][access] }
            }).collect();
        let mut held: Vec<Permission> = Vec::new();
        for permission in granted {
            let grant = AuthCommand::RoleGrantPermission { role: "r".into(), permission: permission.clone() };
            by(&mut state, Some(root), Command::Auth(grant)).expect("granted");
            held.retain(|one| one.range != permission.range);
            held.push(permission);
        }
        for key in &before {
            let caller = with(root, &state);
            by(&mut state, caller, Command::Put(put(key, "old"))).expect("put");
        }
        let may = |key: &[u8], allows: fn(Access) -> bool| {
            held.iter().any(|one| allows(one.access) && one.range.contains(key))
        };
        let caller = with(ann, &state);
        let request = TxnRequest { success: vec![op], ..TxnRequest::default() };
        let command = Command::Txn(request.clone());
        let envelope = Envelope { request_id: RequestId::default(), caller, client: None, command };
        let permitted = state.view().permit_txn(login(ann), &request);
        let applied = state.apply(&envelope);
        match applied.response {
            Ok(Response::Txn(response)) => {
                prop_assert_eq!(permitted, Ok(()));
                let mut keys = Vec::new();
                response.responses.iter().for_each(|op| seen(op, &mut keys));
                for key in keys {
                    prop_assert!(may(&key, Access::reads), "{key:?} was shown");
                }
                for event in &applied.events {
                    prop_assert!(may(event.kv.key(), Access::writes), "{:?} was changed", event.kv.key());
                }
            }
            Ok(other) => prop_assert!(false, "{other:?}"),
            Err(Error::PermissionDenied) => prop_assert_eq!(permitted, Err(Error::PermissionDenied)),
            Err(error) => prop_assert!(false, "{error}"),
        }
        let everything = Permission { range: range("\0", "\0"), access: Access::ReadWrite };
        let grant = AuthCommand::RoleGrantPermission { role: "r".into(), permission: everything };
        by(&mut state, Some(root), Command::Auth(grant)).expect("granted");
        prop_assert_eq!(state.view().permit_txn(login(ann), &request), Ok(()));
        prop_assert_eq!(state.digest(), state.recompute_digest());
    }
}
