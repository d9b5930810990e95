//! Recovery's pure part: segments' bytes in, how the log stands out. No I/O, so that fuzz targets,
//! `etched util log dump` and independent checkers can use it.

use crate::codec::CodecError;
use crate::codec::log::{Batch, BatchError, Opened, Place, Record, SegmentEnd, batch_at, next_batch};

use super::WalError;
use super::index::{Index, Slot, Summary, next};

/// One segment after its replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayedSegment {
    /// Its generation.
    pub generation: u64,
    /// Bytes of valid batches.
    pub end: u32,
    /// Highest index of any entry ever written to it.
    pub max_index: Option<u64>,
}

/// Where writing goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The last segment's generation.
    pub generation: u64,
    /// Bytes of valid batches.
    pub end: u32,
    /// Bytes below this are proved durable; those up to `end` were only read back.
    pub proved: u32,
    /// Checksum of the last batch.
    pub crc: u32,
}

/// How the log stands after all segments.
#[derive(Debug, Default)]
pub struct Replay {
    /// The stream's last word on everything.
    pub summary: Summary,
    /// Where the entries are.
    pub index: Index,
    /// The segments, oldest first.
    pub segments: Vec<ReplayedSegment>,
    /// Where writing goes on; `None` before the first segment.
    pub tail: Option<Tail>,
}

/// Whether a segment was ever started: it has a valid first batch, or something later in it proves
/// that it once had. Only the newest file may be one that was not (a crash while it was made).
pub fn is_started(generation: u64, bytes: &[u8]) -> bool {
    let mut from = 0;
    while let Some(batch) = next_batch(generation, bytes, from) {
        if batch.offset == 0 || batch.durable > 0 {
            return true;
        }
        from = batch.end;
    }
    matches!(batch_at(generation, bytes, 0), Err(BatchError::Format(_)))
}

impl Replay {
    /// Replays the next segment. Segments come oldest first, without gaps, and only started ones;
    /// `visit` sees every record with its offset.
    pub fn segment(
        &mut self,
        file: &str,
        generation: u64,
        bytes: &[u8],
        mut visit: impl FnMut(u32, &Record<'_>),
    ) -> Result<(), WalError> {
        let corrupt = |offset: u32, why: String| WalError::Corrupt {
            file: file.to_owned(),
            offset: offset.into(),
            why,
        };
        let format =
            |offset: u32, error| WalError::Format { file: file.to_owned(), offset: offset.into(), error };
        let before = self.tail;
        let mut tail = Tail { generation, end: 0, proved: 0, crc: before.map_or(0, |tail| tail.crc) };
        self.segments.push(ReplayedSegment { generation, end: 0, max_index: None });
        loop {
            let batch = match batch_at(generation, bytes, tail.end) {
                Ok(batch) if self.follows(&batch, &tail, before) => batch,
                Ok(_) | Err(BatchError::Absent) => break,
                Err(BatchError::Format(error)) => return Err(format(tail.end, error)),
            };
            if batch.offset == 0 {
                self.open(&batch, before).map_err(|why| corrupt(0, why))?;
            }
            for record in batch.records() {
                let (record, place) = record.map_err(|error| match error {
                    CodecError::Kind { .. } => format(batch.offset, error),
                    other => corrupt(batch.offset, other.to_string()),
                })?;
                visit(batch.offset, &record);
                self.record(generation, &record, place).map_err(|why| corrupt(place.offset, why))?;
            }
            let proved = tail.proved.max(batch.durable);
            tail = Tail { generation, end: batch.end, proved, crc: batch.crc };
        }
        if let Some(proof) = proof_after(generation, bytes, tail.end) {
            let why = format!("the batch at {} was written when all below {} was durable", proof.0, proof.1);
            return Err(corrupt(tail.end, why));
        }
        if tail.end == 0 {
            return Err(corrupt(0, "the segment's first batch is not there".into()));
        }
        self.segments.last_mut().expect("pushed above").end = tail.end;
        self.tail = Some(tail);
        Ok(())
    }

    /// Ends the replay: every entry that was not purged must have been seen.
    pub fn finish(self, oldest_file: &str) -> Result<Replay, WalError> {
        let (from, to) = (next(self.summary.purged), self.index.first());
        if to > from {
            return Err(WalError::Missing { from, to, file: oldest_file.to_owned() });
        }
        Ok(self)
    }

    /// Whether `batch` is the next link of the chain. The first batch that is ever seen has none.
    fn follows(&self, batch: &Batch<'_>, tail: &Tail, before: Option<Tail>) -> bool {
        (batch.offset == 0 && before.is_none()) || batch.previous == tail.crc
    }

    /// Checks a segment's first batch against the segment before it.
    fn open(&mut self, batch: &Batch<'_>, before: Option<Tail>) -> Result<(), String> {
        let Some(Ok((Record::Opened(Opened { previous, last }), _))) = batch.records().next() else {
            return Err("the segment does not begin with how the log stood before it".into());
        };
        let Some(tail) = before else {
            self.summary.last = last;
            self.index = Index::starting_at(next(last));
            return Ok(());
        };
        if previous != Some(SegmentEnd { generation: tail.generation, end: tail.end }) {
            return Err(format!(
                "segment {} ends at {}, but this one follows {previous:?}",
                tail.generation, tail.end
            ));
        }
        if last != self.summary.last {
            return Err(format!(
                "the log stood at {last:?} here, but its records end at {:?}",
                self.summary.last
            ));
        }
        Ok(())
    }

    fn record(&mut self, generation: u64, record: &Record<'_>, place: Place) -> Result<(), String> {
        match record {
            Record::Opened(_) => {}
            Record::Started(incarnation) => self.summary.incarnation = *incarnation,
            Record::Vote(vote) => self.summary.vote = Some(*vote),
            Record::Committed(position) => self.summary.committed = *position,
            Record::Purged(position) => {
                self.summary.purge(*position);
                self.index.purge(next(self.summary.purged));
            }
            Record::Truncated(after) => {
                self.summary.truncate(*after);
                self.index.truncate(next(self.summary.last));
            }
            Record::Entry(entry) => {
                let (index, expected) = (entry.position.index, next(self.summary.last));
                if index != expected {
                    return Err(format!("entry {index} follows where {expected} belongs"));
                }
                self.summary.last = Some(entry.position);
                self.index.push(Slot { position: entry.position, at: Some((generation, place)) });
                let segment = self.segments.last_mut().expect("a record lies in a segment");
                segment.max_index = segment.max_index.max(Some(index));
            }
        }
        Ok(())
    }
}

/// A batch after `end` that was written when more than `end` was durable: its offset, and what it
/// proves.
fn proof_after(generation: u64, bytes: &[u8], end: u32) -> Option<(u32, u32)> {
    let mut from = end;
    while let Some(batch) = next_batch(generation, bytes, from) {
        if batch.durable > end {
            return Some((batch.offset, batch.durable));
        }
        from = batch.end;
    }
    None
}
