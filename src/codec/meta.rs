//! All of a member's state but its records and leases: the meta row of a checkpoint, the first chunk of a
//! snapshot.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::blob::Blob;
use super::frame::{self, Kind};
use super::mirror::{MemberV1, PositionV1};
use super::retry::RetryV1;
use super::{CodecError, put, take};
use crate::state::StateMeta;
use crate::types::LogPosition;

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

/// Encodes a meta in a frame of kind `kind`.
pub(super) fn encode_as(kind: Kind, meta: &Meta) -> Vec<u8> {
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
    let mut buffer = frame::begin(kind);
    put(&mut buffer, &mirror);
    frame::finish(buffer)
}

/// Decodes the payload of such a frame.
pub(super) fn decode_payload(what: &'static str, payload: &[u8]) -> Result<Meta, CodecError> {
    let mirror: MetaV1<'_> = take(what, payload)?;
    let state = StateMeta {
        revision: mirror.revision,
        compact_revision: mirror.compact_revision,
        level: mirror.level,
        lease_clock: mirror.lease_clock,
        lease_term: mirror.lease_term,
        members: mirror.members.into_iter().map(Into::into).collect(),
        retries: mirror.retries.into_iter().map(Into::into).collect(),
        sum: mirror.sum,
        chain: mirror.chain,
    };
    let membership = Bytes::copy_from_slice(mirror.membership.0);
    Ok(Meta { applied: mirror.applied.into(), membership, state, rows: mirror.rows })
}

/// Encodes a checkpoint's meta row.
pub fn encode(meta: &Meta) -> Vec<u8> {
    encode_as(Kind::CheckpointMeta, meta)
}

/// Decodes a checkpoint's meta row.
pub fn decode(bytes: &[u8]) -> Result<Meta, CodecError> {
    const WHAT: &str = "checkpoint meta";
    decode_payload(WHAT, frame::expect(WHAT, Kind::CheckpointMeta, bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Member, Outcome, RetryRecord};

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
        assert_eq!(decode(&bytes), Ok(meta));
    }
}
