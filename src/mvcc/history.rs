//! Every record by its revision.
//!
//! Revisions are dense, and most of them hold one record: the first record of a revision (sub 0)
//! sits in a slot of a fixed chunk, 8 bytes each; all other records are in a sparse ordered map.
//! Removing leaves a hole; a chunk that has become thin moves its rest to the sparse map.

use std::sync::Arc;

use im::OrdMap;

use crate::types::{KeyValue, Revision};

/// Revisions in one chunk; few in unit tests, so that they meet many borders.
const CHUNK: usize = if cfg!(test) { 8 } else { 32 };
/// A chunk with no more records than this moves them to the sparse map.
const THIN: usize = CHUNK / 4;

type Chunk = [Option<KeyValue>; CHUNK];

/// Records by revision; see the head of this file.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// By `main / CHUNK`.
    chunks: OrdMap<i64, Arc<Chunk>>,
    sparse: OrdMap<Revision, KeyValue>,
    bytes: usize,
}

impl History {
    /// Adds `record`; records come in revision order.
    pub fn push(&mut self, record: KeyValue) {
        let revision = record.revision();
        self.bytes += super::store::record_bytes(&record);
        if revision.sub != 0 {
            self.sparse.insert(revision, record);
            return;
        }
        let (number, slot) = place(revision.main);
        if let Some(chunk) = self.chunks.get_mut(&number) {
            Arc::make_mut(chunk)[slot] = Some(record);
            return;
        }
        if let Some(newest) = self.chunks.get_max().map(|(number, _)| *number) {
            self.spill_if_thin(newest);
        }
        let mut chunk = Chunk::default();
        chunk[slot] = Some(record);
        self.chunks.insert(number, Arc::new(chunk));
    }

    /// The record at `revision`, if it is still held.
    pub fn get(&self, revision: Revision) -> Option<&KeyValue> {
        if revision.sub == 0 {
            let (number, slot) = place(revision.main);
            if let Some(record) = self.chunks.get(&number).and_then(|chunk| chunk[slot].as_ref()) {
                return Some(record);
            }
        }
        self.sparse.get(&revision)
    }

    /// Drops the record at `revision`; returns it if it was held.
    pub fn remove(&mut self, revision: Revision) -> Option<KeyValue> {
        let record = self.take(revision)?;
        self.bytes -= super::store::record_bytes(&record);
        Some(record)
    }

    fn take(&mut self, revision: Revision) -> Option<KeyValue> {
        let (number, slot) = place(revision.main);
        let in_chunk =
            revision.sub == 0 && self.chunks.get(&number).is_some_and(|chunk| chunk[slot].is_some());
        if !in_chunk {
            return self.sparse.remove(&revision);
        }
        let record = self.chunks.get_mut(&number).and_then(|chunk| Arc::make_mut(chunk)[slot].take());
        let is_newest = self.chunks.get_max().is_some_and(|(newest, _)| *newest == number);
        if !is_newest {
            self.spill_if_thin(number);
        }
        record
    }

    fn spill_if_thin(&mut self, number: i64) {
        let records = self.chunks.get(&number).map_or(0, |chunk| chunk.iter().flatten().count());
        if records > THIN {
            return;
        }
        if let Some(chunk) = self.chunks.remove(&number) {
            for record in chunk.iter().flatten() {
                self.sparse.insert(record.revision(), record.clone());
            }
        }
    }

    /// The records at and after `from`, in revision order.
    pub fn from(&self, from: Revision) -> impl Iterator<Item = &KeyValue> {
        let (number, _) = place(from.main);
        let mut dense = self
            .chunks
            .range(number..)
            .flat_map(|(_, chunk)| chunk.iter().flatten())
            .skip_while(move |record| record.revision() < from)
            .peekable();
        let mut sparse = self.sparse.range(from..).map(|(_, record)| record).peekable();
        std::iter::from_fn(move || match (dense.peek(), sparse.peek()) {
            (Some(left), Some(right)) if right.revision() < left.revision() => sparse.next(),
            (Some(_), _) => dense.next(),
            (None, _) => sparse.next(),
        })
    }

    /// Logical size of the records held (D5).
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Chunk and slot of a main revision.
fn place(main: i64) -> (i64, usize) {
    let chunk = CHUNK as i64;
    (main.div_euclid(chunk), main.rem_euclid(chunk) as usize)
}
