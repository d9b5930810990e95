//! A membership: who votes (two sets while it changes), who learns, and where its entry stands.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::frame::{self, Kind};
use super::{CodecError, put, take};
use crate::types::LogPosition;

const WHAT: &str = "membership";

/// A membership in plain words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// Position of the entry that brought it; `None` inside that entry and before the first.
    pub log: Option<LogPosition>,
    /// Voters by member id; two sets during a joint change.
    pub configs: Vec<BTreeSet<u64>>,
    /// Learners by member id.
    pub learners: BTreeSet<u64>,
}

#[derive(Serialize, Deserialize)]
struct MembershipV1 {
    log: Option<(u64, u64, u64)>,
    configs: Vec<BTreeSet<u64>>,
    learners: BTreeSet<u64>,
}

/// Encodes a membership in its frame.
pub fn encode(membership: &Membership) -> Bytes {
    let log = membership.log.map(|at| (at.term, at.leader, at.index));
    let mut buffer = frame::begin(Kind::Membership);
    let mirror =
        MembershipV1 { log, configs: membership.configs.clone(), learners: membership.learners.clone() };
    put(&mut buffer, &mirror);
    Bytes::from(frame::finish(buffer))
}

/// Decodes the frame that fills `bytes` exactly.
pub fn decode(bytes: &[u8]) -> Result<Membership, CodecError> {
    let payload = frame::expect(WHAT, Kind::Membership, bytes)?;
    let MembershipV1 { log, configs, learners } = take(WHAT, payload)?;
    let log = log.map(|(term, leader, index)| LogPosition { term, leader, index });
    Ok(Membership { log, configs, learners })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let membership = Membership {
            log: Some(LogPosition { term: 3, leader: 0, index: 9 }),
            configs: vec![BTreeSet::from([1, 300])],
            learners: BTreeSet::from([7]),
        };
        let bytes = encode(&membership);
        let hex: String = bytes[frame::HEAD_BYTES..].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "01030009010201fb2c010107");
        assert_eq!(decode(&bytes), Ok(membership));
        assert!(decode(&bytes[1..]).is_err());
    }
}
