//! One lease as a row: in a checkpoint's table, and many in a chunk of a snapshot stream.
//!
//! ```text
//! 0        4
//! | crc32c | id, ttl, deadline |
//! ```

use serde::{Deserialize, Serialize};

use super::{CodecError, put, take};
use crate::types::LeaseRecord;

const WHAT: &str = "lease row";

#[derive(Serialize, Deserialize)]
pub(super) struct LeaseV1 {
    id: i64,
    ttl: i64,
    deadline: Option<u64>,
}

impl From<LeaseRecord> for LeaseV1 {
    fn from(lease: LeaseRecord) -> Self {
        LeaseV1 { id: lease.id, ttl: lease.ttl, deadline: lease.deadline }
    }
}

impl From<LeaseV1> for LeaseRecord {
    fn from(lease: LeaseV1) -> Self {
        LeaseRecord { id: lease.id, ttl: lease.ttl, deadline: lease.deadline }
    }
}

/// A lease's row.
pub fn encode(lease: &LeaseRecord) -> Vec<u8> {
    let mut buffer = vec![0; 4];
    put(&mut buffer, &LeaseV1::from(*lease));
    let crc = crc32c::crc32c(&buffer[4..]);
    buffer[..4].copy_from_slice(&crc.to_le_bytes());
    buffer
}

/// The lease of the row that fills `bytes` exactly.
pub fn decode(bytes: &[u8]) -> Result<LeaseRecord, CodecError> {
    let Some((stored, body)) = bytes.split_first_chunk::<4>() else {
        return Err(CodecError::Short { what: WHAT, needed: 4, found: bytes.len() });
    };
    let (stored, computed) = (u32::from_le_bytes(*stored), crc32c::crc32c(body));
    if stored != computed {
        return Err(CodecError::Checksum { what: WHAT, stored, computed });
    }
    take::<LeaseV1>(WHAT, body).map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let of = |lease: &LeaseRecord| -> String {
            encode(lease).iter().map(|byte| format!("{byte:02x}")).collect()
        };
        let fresh = LeaseRecord { id: -2, ttl: 60, deadline: None };
        assert_eq!(of(&fresh), "367407a8037800");
        let lease = LeaseRecord { id: i64::MIN, ttl: 1, deadline: Some(1050) };
        assert_eq!(of(&lease), "411bda1afdffffffffffffffff0201fb1a04");
        for lease in [fresh, lease] {
            let row = encode(&lease);
            assert_eq!(decode(&row), Ok(lease));
            for bit in 0..row.len() * 8 {
                let mut bad = row.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(decode(&bad).is_err());
            }
        }
    }
}
