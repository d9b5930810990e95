//! One record as a row: in a checkpoint's table and in a snapshot stream.
//!
//! ```text
//! 0        4
//! | crc32c | mirror of the record ... |
//! ```

use serde::{Deserialize, Serialize};

use super::blob::Blob;
use super::{CodecError, put, take};
use crate::types::{KeyValue, KeyValueFields};

const WHAT: &str = "record row";

#[derive(Serialize, Deserialize)]
struct RowV1<'a> {
    mod_revision: i64,
    sub: u32,
    create_revision: i64,
    version: i64,
    lease: i64,
    previous: i64,
    previous_sub: u32,
    #[serde(borrow)]
    key: Blob<'a>,
    #[serde(borrow)]
    value: Blob<'a>,
}

/// Appends a record's row to `buffer`.
pub fn encode(record: &KeyValue, buffer: &mut Vec<u8>) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; 4]);
    let KeyValueFields { create_revision, mod_revision, sub, version, lease, previous, previous_sub } =
        record.fields();
    let (key, value) = (Blob(record.key()), Blob(record.value()));
    let row =
        RowV1 { mod_revision, sub, create_revision, version, lease, previous, previous_sub, key, value };
    put(buffer, &row);
    let crc = crc32c::crc32c(&buffer[start + 4..]);
    buffer[start..start + 4].copy_from_slice(&crc.to_le_bytes());
}

/// The record of the row that fills `bytes` exactly.
pub fn decode(bytes: &[u8]) -> Result<KeyValue, CodecError> {
    let Some((stored, body)) = bytes.split_first_chunk::<4>() else {
        return Err(CodecError::Short { what: WHAT, needed: 4, found: bytes.len() });
    };
    let (stored, computed) = (u32::from_le_bytes(*stored), crc32c::crc32c(body));
    if stored != computed {
        return Err(CodecError::Checksum { what: WHAT, stored, computed });
    }
    let row: RowV1<'_> = take(WHAT, body)?;
    if u32::try_from(row.key.0.len()).is_err() {
        let (found, limit) = (row.key.0.len(), u32::MAX as usize);
        return Err(CodecError::TooLong { what: WHAT, found, limit });
    }
    let fields = KeyValueFields {
        create_revision: row.create_revision,
        mod_revision: row.mod_revision,
        sub: row.sub,
        version: row.version,
        lease: row.lease,
        previous: row.previous,
        previous_sub: row.previous_sub,
    };
    Ok(KeyValue::new(fields, row.key.0, row.value.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let fields = KeyValueFields {
            create_revision: 2,
            mod_revision: 300,
            sub: 1,
            version: 3,
            lease: -1,
            previous: 9,
            previous_sub: 4,
        };
        let record = KeyValue::new(fields, b"key", b"value");
        let mut row = Vec::new();
        encode(&record, &mut row);
        let hex: String = row.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "cca0dee1fb5802010406011204036b65790576616c7565");
        assert_eq!(decode(&row), Ok(record));
        for bit in 0..row.len() * 8 {
            let mut bad = row.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bad).is_err());
        }
    }
}
