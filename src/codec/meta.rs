//! All of a member's state but its records and leases: the meta row of a checkpoint, the first chunk of a
//! snapshot.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::auth::AuthV1;
use super::blob::Blob;
use super::frame::{self, Kind};
use super::mirror::{MemberV1, PositionV1};
use super::retry::RetryV1;
use super::{CodecError, put, take};
use crate::state::StateMeta;
use crate::types::{AuthRecord, LogPosition};

/// What belongs to a set of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The last applied entry.
    pub applied: LogPosition,
    /// The membership in force there, encoded.
    pub membership: Bytes,
    /// All of the state but records and leases.
    pub state: StateMeta,
    /// How many records belong to it; 0 where that is said elsewhere.
    pub rows: u64,
}

#[derive(Serialize, Deserialize)]
struct MetaV1<'a> {
    applied: PositionV1,
    #[serde(borrow)]
    membership: Blob<'a>,
    revision: i64,
    compact_revision: i64,
    level: u32,
    lease_clock: u64,
    lease_term: u64,
    members: Vec<MemberV1>,
    retries: Vec<RetryV1>,
    sum: u128,
    chain: u128,
    rows: u64,
}

/// The same where there are users or roles, or were.
#[derive(Serialize, Deserialize)]
struct MetaAuthV1<'a> {
    #[serde(borrow)]
    meta: MetaV1<'a>,
    #[serde(borrow)]
    auth: AuthV1<'a>,
}

/// Encodes a meta in a frame of the first of `kinds`, of the second if there are users or roles, or
/// were: a build that does not know them refuses it by name.
pub(super) fn encode_as(kinds: [Kind; 2], meta: &Meta) -> Vec<u8> {
    let state = &meta.state;
    let mirror = MetaV1 {
        applied: meta.applied.into(),
        membership: Blob(&meta.membership),
        revision: state.revision,
        compact_revision: state.compact_revision,
        level: state.level,
        lease_clock: state.lease_clock,
        lease_term: state.lease_term,
        members: state.members.iter().map(MemberV1::from).collect(),
        retries: state.retries.iter().map(RetryV1::from).collect(),
        sum: state.sum,
        chain: state.chain,
        rows: meta.rows,
    };
    let [plain, with_auth] = kinds;
    if state.auth == AuthRecord::default() {
        let mut buffer = frame::begin(plain);
        put(&mut buffer, &mirror);
        return frame::finish(buffer);
    }
    let mut buffer = frame::begin(with_auth);
    put(&mut buffer, &MetaAuthV1 { meta: mirror, auth: AuthV1::new(&state.auth) });
    frame::finish(buffer)
}

/// Decodes the payload of such a frame, of the second kind if `has_auth`.
pub(super) fn decode_payload(what: &'static str, has_auth: bool, payload: &[u8]) -> Result<Meta, CodecError> {
    let (mirror, auth) = match has_auth {
        false => (take::<MetaV1<'_>>(what, payload)?, AuthRecord::default()),
        true => {
            let MetaAuthV1 { meta, auth } = take(what, payload)?;
            (meta, auth.of())
        }
    };
    let state = StateMeta {
        revision: mirror.revision,
        compact_revision: mirror.compact_revision,
        level: mirror.level,
        lease_clock: mirror.lease_clock,
        lease_term: mirror.lease_term,
        members: mirror.members.into_iter().map(Into::into).collect(),
        retries: mirror.retries.into_iter().map(Into::into).collect(),
        auth,
        sum: mirror.sum,
        chain: mirror.chain,
    };
    let membership = Bytes::copy_from_slice(mirror.membership.0);
    Ok(Meta { applied: mirror.applied.into(), membership, state, rows: mirror.rows })
}

/// Encodes a checkpoint's meta row.
pub fn encode(meta: &Meta) -> Vec<u8> {
    encode_as([Kind::CheckpointMeta, Kind::CheckpointMetaAuth], meta)
}

/// Decodes a checkpoint's meta row.
pub fn decode(bytes: &[u8]) -> Result<Meta, CodecError> {
    const WHAT: &str = "checkpoint meta";
    match frame::head(bytes)?.kind {
        Kind::CheckpointMetaAuth => {
            decode_payload(WHAT, true, frame::expect(WHAT, Kind::CheckpointMetaAuth, bytes)?)
        }
        _ => decode_payload(WHAT, false, frame::expect(WHAT, Kind::CheckpointMeta, bytes)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Access, KeyRange, Member, Outcome, Permission, RetryRecord, Role, User};

    fn users() -> AuthRecord {
        let range = KeyRange::new(&b"a"[..], &b"\0"[..]);
        let user = User {
            id: 2,
            name: "ann".into(),
            password_hash: b"h1".to_vec(),
            no_password: false,
            password_revision: 4,
            roles: vec!["r".into()],
        };
        let permissions = vec![Permission { access: Access::ReadWrite, range }];
        let roles = vec![Role { name: "r".into(), permissions }];
        AuthRecord { enabled: true, enabled_revision: 3, revision: 5, users: vec![user], roles }
    }

    #[test]
    fn golden() {
        let member = Member { id: 1, name: "one".into(), ..Member::default() };
        let outcome = Outcome::Txn { succeeded: true, deleted: vec![6] };
        let retry = RetryRecord { client: 1, sequence: 2, used: 3, revision: 4, outcome };
        let state = StateMeta {
            revision: 5,
            compact_revision: -1,
            level: 1,
            lease_clock: 300,
            lease_term: 2,
            members: vec![member],
            retries: vec![retry],
            auth: AuthRecord::default(),
            sum: 1 << 100,
            chain: 2,
        };
        let applied = LogPosition { term: 2, leader: 1, index: 9 };
        let meta = Meta { applied, membership: Bytes::from_static(b"mm"), state, rows: 4 };
        let bytes = encode(&meta);
        let hex: String = bytes[frame::HEAD_BYTES..].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "020109026d6d0a0101fb2c01020101036f6e6500000001010203080201010cfe000000000000000000000000100000000204"
        );
        assert_eq!(decode(&bytes), Ok(meta.clone()));
        let with_users = Meta { state: StateMeta { auth: users(), ..meta.state.clone() }, ..meta };
        let longer = encode(&with_users);
        let hex: String = longer[bytes.len()..].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(longer[frame::HEAD_BYTES..bytes.len()], bytes[frame::HEAD_BYTES..]);
        assert_eq!(hex, "010305010203616e6e0268310004010172010172010201610100");
        assert_eq!(decode(&longer), Ok(with_users));
    }
}
