//! The snapshot stream: a meta chunk, chunks of leases, chunks of rows, an end. Each chunk is a frame.
//!
//! A rows chunk is rows one after the other, each behind its length (four bytes, little-endian).
//! The end says how many rows there were and the digest of the state they make.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::frame::{self, Kind};
use super::lease::LeaseV1;
use super::meta::{Meta, decode_payload, encode_as};
use super::{CodecError, put, row, take};
use crate::types::{Digest, KeyValue, LeaseRecord};

const WHAT: &str = "snapshot stream";
/// A rows chunk is closed once it has this many bytes.
const CHUNK_BYTES: usize = 256 * 1024;
/// Leases in a chunk of them.
const CHUNK_LEASES: usize = 8192;

#[derive(Serialize, Deserialize)]
struct EndV1 {
    rows: u64,
    digest: u128,
}

/// The stream's chunks in order, made as they are asked for. `leases` come by id, `records` in
/// revision order.
pub fn chunks(
    meta: &Meta,
    digest: Digest,
    leases: impl Iterator<Item = LeaseRecord>,
    records: impl Iterator<Item = KeyValue>,
) -> impl Iterator<Item = Bytes> {
    let first = Bytes::from(encode_as([Kind::SnapshotMeta, Kind::SnapshotMetaAuth], meta));
    let mut leases = leases.map(LeaseV1::from);
    let lease_chunks = std::iter::from_fn(move || {
        let chunk: Vec<LeaseV1> = leases.by_ref().take(CHUNK_LEASES).collect();
        (!chunk.is_empty()).then(|| {
            let mut buffer = frame::begin(Kind::SnapshotLeases);
            put(&mut buffer, &chunk);
            Bytes::from(frame::finish(buffer))
        })
    });
    let mut records = records.peekable();
    let (mut rows, mut ended) = (0, false);
    let rest = std::iter::from_fn(move || {
        if records.peek().is_some() {
            return Some(rows_chunk(&mut records, &mut rows));
        }
        if std::mem::replace(&mut ended, true) {
            return None;
        }
        let mut buffer = frame::begin(Kind::SnapshotEnd);
        put(&mut buffer, &EndV1 { rows, digest });
        Some(Bytes::from(frame::finish(buffer)))
    });
    std::iter::once(first).chain(lease_chunks).chain(rest)
}

fn rows_chunk(records: &mut impl Iterator<Item = KeyValue>, rows: &mut u64) -> Bytes {
    let mut buffer = frame::begin(Kind::SnapshotRows);
    while buffer.len() < CHUNK_BYTES
        && let Some(record) = records.next()
    {
        let at = buffer.len();
        buffer.extend_from_slice(&[0; 4]);
        row::encode(&record, &mut buffer);
        let length = u32::try_from(buffer.len() - at - 4).expect("records are bounded by the request size");
        buffer[at..at + 4].copy_from_slice(&length.to_le_bytes());
        *rows += 1;
    }
    Bytes::from(frame::finish(buffer))
}

/// A whole stream, received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What came first.
    pub meta: Meta,
    /// The leases.
    pub leases: Vec<LeaseRecord>,
    /// The records, in revision order if the sender kept to it (restoring checks that).
    pub records: Vec<KeyValue>,
    /// Digest of the state on the sender's side.
    pub digest: Digest,
}

/// Puts a stream together from its chunks.
#[derive(Debug, Default)]
pub struct Receiver {
    meta: Option<Meta>,
    leases: Vec<LeaseRecord>,
    records: Vec<KeyValue>,
    digest: Option<Digest>,
}

fn malformed(why: &str) -> CodecError {
    CodecError::Malformed { what: WHAT, why: why.to_owned() }
}

impl Receiver {
    /// Takes the next chunk. Gives the whole once the end has come.
    pub fn chunk(&mut self, chunk: &[u8]) -> Result<Option<Snapshot>, CodecError> {
        let (kind, payload, rest) = frame::decode(chunk)?;
        if !rest.is_empty() {
            return Err(malformed("bytes follow a chunk's frame"));
        }
        if self.digest.is_some() {
            return Err(malformed("a chunk follows the end"));
        }
        match (kind, &self.meta) {
            (Kind::SnapshotMeta | Kind::SnapshotMetaAuth, None) => {
                let has_auth = kind == Kind::SnapshotMetaAuth;
                self.meta = Some(decode_payload(WHAT, has_auth, payload)?);
                Ok(None)
            }
            (Kind::SnapshotLeases, Some(_)) => {
                let leases: Vec<LeaseV1> = take(WHAT, payload)?;
                self.leases.extend(leases.into_iter().map(LeaseRecord::from));
                Ok(None)
            }
            (Kind::SnapshotRows, Some(_)) => self.rows(payload).map(|()| None),
            (Kind::SnapshotEnd, Some(_)) => self.end(payload).map(Some),
            (kind, _) => Err(malformed(&format!("a chunk of kind {kind:?} is out of place"))),
        }
    }

    fn rows(&mut self, mut payload: &[u8]) -> Result<(), CodecError> {
        while !payload.is_empty() {
            let (length, rest) =
                payload.split_first_chunk::<4>().ok_or_else(|| malformed("a row's length is cut off"))?;
            let (row, rest) = rest
                .split_at_checked(u32::from_le_bytes(*length) as usize)
                .ok_or_else(|| malformed("a row is cut off"))?;
            self.records.push(row::decode(row)?);
            payload = rest;
        }
        Ok(())
    }

    fn end(&mut self, payload: &[u8]) -> Result<Snapshot, CodecError> {
        let EndV1 { rows, digest } = take(WHAT, payload)?;
        if rows != self.records.len() as u64 {
            let found = self.records.len();
            return Err(malformed(&format!("{found} rows came where the end says {rows}")));
        }
        self.digest = Some(digest);
        let meta = self.meta.take().ok_or_else(|| malformed("no meta came"))?;
        let (leases, records) = (std::mem::take(&mut self.leases), std::mem::take(&mut self.records));
        Ok(Snapshot { meta, leases, records, digest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::StateMeta;
    use crate::types::{LogPosition, Revision};

    fn leases(count: i64) -> impl Iterator<Item = LeaseRecord> {
        (1..=count).map(|id| LeaseRecord { id: -id, ttl: 60, deadline: (id % 2 == 0).then_some(7) })
    }

    fn stream(count: i64) -> (Meta, Vec<KeyValue>, Vec<Bytes>) {
        let state = StateMeta {
            revision: count + 1,
            compact_revision: -1,
            level: 1,
            lease_clock: 0,
            lease_term: 0,
            members: vec![],
            retries: vec![],
            auth: Default::default(),
            sum: 3,
            chain: 4,
        };
        let applied = LogPosition { term: 1, leader: 2, index: 3 };
        let meta = Meta { applied, membership: Bytes::from_static(b"m"), state, rows: 0 };
        let record = |main: i64| {
            KeyValue::tombstone(&vec![b'k'; 1000], Revision { main, sub: 0 }, Revision::default())
        };
        let records: Vec<_> = (2..count + 2).map(record).collect();
        let chunks = chunks(&meta, 77, leases(count * 10), records.iter().cloned()).collect();
        (meta, records, chunks)
    }

    #[test]
    fn comes_back() {
        for count in [0, 1, 1000] {
            let (meta, records, chunks) = stream(count);
            let lease_chunks = (count as usize * 10).div_ceil(CHUNK_LEASES);
            assert_eq!(chunks.len(), 2 + lease_chunks + (count as usize * 1024).div_ceil(CHUNK_BYTES));
            let mut receiver = Receiver::default();
            let (last, before) = chunks.split_last().unwrap();
            for chunk in before {
                assert_eq!(receiver.chunk(chunk), Ok(None));
            }
            let leases = leases(count * 10).collect();
            assert_eq!(receiver.chunk(last), Ok(Some(Snapshot { meta, leases, records, digest: 77 })));
            assert!(receiver.chunk(last).is_err());
        }
    }

    #[test]
    fn chunks_out_of_place_are_refused() {
        let (_, _, chunks) = stream(1000);
        assert!(Receiver::default().chunk(&chunks[1]).is_err(), "leases before meta");
        let mut receiver = Receiver::default();
        receiver.chunk(&chunks[0]).unwrap();
        assert!(receiver.chunk(&chunks[0]).is_err(), "meta twice");
        assert!(receiver.chunk(chunks.last().unwrap()).is_err(), "rows missing");
        assert!(receiver.chunk(&chunks[1][..100]).is_err(), "cut off");
        assert!(Receiver::default().chunk(&chunks[3]).is_err(), "rows before meta");
    }
}
