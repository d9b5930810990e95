//! KV hash by revision (MA9): members with equal compact revision agree for every revision.

use super::store::Store;
use crate::types::{Error, KeyValue};

/// Answer of [`Store::hash_kv`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashKv {
    /// CRC32C over the records.
    pub hash: u32,
    /// The compact revision it was made with; -1 before the first compaction.
    pub compact_revision: i64,
    /// The revision it was made at.
    pub hash_revision: i64,
}

impl Store {
    /// Hashes all logically retained records up to `revision`, 0 (or less) for the newest.
    pub fn hash_kv(&self, revision: i64) -> Result<HashKv, Error> {
        let hash_revision = self.readable(revision, self.revision)?;
        let hash = self
            .records()
            .take_while(|record| record.revision().main <= hash_revision)
            .fold(crc32c::crc32c(b"etched hash_kv 1"), append);
        Ok(HashKv { hash, compact_revision: self.compact_revision, hash_revision })
    }
}

fn append(hash: u32, record: &KeyValue) -> u32 {
    let fields = record.fields();
    let mut head = [0; 52];
    head[0..8].copy_from_slice(&fields.mod_revision.to_le_bytes());
    head[8..12].copy_from_slice(&fields.sub.to_le_bytes());
    head[12..20].copy_from_slice(&fields.create_revision.to_le_bytes());
    head[20..28].copy_from_slice(&fields.version.to_le_bytes());
    head[28..36].copy_from_slice(&fields.lease.to_le_bytes());
    head[36..44].copy_from_slice(&(record.key().len() as u64).to_le_bytes());
    head[44..52].copy_from_slice(&(record.value().len() as u64).to_le_bytes());
    let hash = crc32c::crc32c_append(hash, &head);
    crc32c::crc32c_append(crc32c::crc32c_append(hash, record.key()), record.value())
}
