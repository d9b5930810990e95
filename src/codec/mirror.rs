//! Mirrors of small shared types: the layout of what several kinds of bytes contain.

use serde::{Deserialize, Serialize};

use crate::types::{KeyRange, LogPosition, Member};

use super::blob::Blob;

/// [`LogPosition`].
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct PositionV1 {
    term: u64,
    leader: u64,
    index: u64,
}

impl From<LogPosition> for PositionV1 {
    fn from(position: LogPosition) -> Self {
        PositionV1 { term: position.term, leader: position.leader, index: position.index }
    }
}

impl From<PositionV1> for LogPosition {
    fn from(position: PositionV1) -> Self {
        LogPosition { term: position.term, leader: position.leader, index: position.index }
    }
}

/// [`Member`].
#[derive(Serialize, Deserialize)]
pub(super) struct MemberV1 {
    id: u64,
    name: String,
    peer_urls: Vec<String>,
    client_urls: Vec<String>,
    is_learner: bool,
}

impl From<&Member> for MemberV1 {
    fn from(member: &Member) -> Self {
        MemberV1 {
            id: member.id,
            name: member.name.clone(),
            peer_urls: member.peer_urls.clone(),
            client_urls: member.client_urls.clone(),
            is_learner: member.is_learner,
        }
    }
}

impl From<MemberV1> for Member {
    fn from(member: MemberV1) -> Self {
        Member {
            id: member.id,
            name: member.name,
            peer_urls: member.peer_urls,
            client_urls: member.client_urls,
            is_learner: member.is_learner,
        }
    }
}

/// [`KeyRange`].
#[derive(Serialize, Deserialize)]
pub(super) struct KeyRangeV1<'a> {
    #[serde(borrow)]
    key: Blob<'a>,
    #[serde(borrow)]
    range_end: Blob<'a>,
}

impl<'a> KeyRangeV1<'a> {
    pub(super) fn new(range: &'a KeyRange) -> Self {
        KeyRangeV1 { key: Blob(&range.key), range_end: Blob(&range.range_end) }
    }

    /// With bytes of its own.
    pub(super) fn copied(&self) -> KeyRange {
        KeyRange::new(self.key.0.to_vec(), self.range_end.0.to_vec())
    }

    pub(super) fn of(&self, input: &bytes::Bytes) -> KeyRange {
        KeyRange { key: self.key.of(input), range_end: self.range_end.of(input) }
    }
}
