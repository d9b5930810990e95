//! Batches: what one write and one sync make durable.
//!
//! ```text
//! 0       4         5          8            16       20        24            28         32       36
//! | magic | version | 3 zeros  | generation | offset | durable | body length | previous | crc32c | 4 zeros |
//! 40
//! | records ... | zeros up to a multiple of 8 |
//! ```
//! `generation` and `offset` say where this batch belongs, so a reused segment's old bytes never
//! pass for new ones. `previous` is the checksum of the batch before (for a segment's first batch
//! that of the segment before it): a chain. `durable` is the offset in this segment below which
//! all was durable when this batch was written. The checksum covers the head before it and the
//! body.

use super::super::CodecError;
use super::record::{Place, Record};

/// Bytes in front of a batch's records.
pub const HEAD_BYTES: usize = 40;
const ALIGN_BYTES: usize = 8;
const MAGIC: [u8; 4] = *b"EtWB";
const VERSION: u8 = 1;
const WHAT: &str = "log batch";

/// One valid batch inside a segment's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    /// Where it begins, in bytes.
    pub offset: u32,
    /// Where the next one begins.
    pub end: u32,
    /// All bytes of the segment below this were durable when it was written.
    pub durable: u32,
    /// Checksum of the batch before.
    pub previous: u32,
    /// Own checksum.
    pub crc: u32,
    body: &'a [u8],
}

/// Why there is no valid batch at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchError {
    /// Never written, torn, or of another generation.
    Absent,
    /// Written by a build with another format.
    Format(CodecError),
}

/// Builds one batch.
#[derive(Debug)]
pub struct BatchBuilder {
    buffer: Vec<u8>,
    offset: u32,
}

impl BatchBuilder {
    /// A batch that will lie at `offset` of segment `generation`.
    pub fn new(generation: u64, offset: u32, durable: u32, previous: u32) -> Self {
        let mut buffer = Vec::with_capacity(4096);
        buffer.extend_from_slice(&MAGIC);
        buffer.extend_from_slice(&[VERSION, 0, 0, 0]);
        buffer.extend_from_slice(&generation.to_le_bytes());
        buffer.extend_from_slice(&offset.to_le_bytes());
        buffer.extend_from_slice(&durable.to_le_bytes());
        buffer.extend_from_slice(&[0; 4]);
        buffer.extend_from_slice(&previous.to_le_bytes());
        buffer.extend_from_slice(&[0; 8]);
        debug_assert_eq!(buffer.len(), HEAD_BYTES);
        BatchBuilder { buffer, offset }
    }

    /// Adds a record; says where its body will lie in the segment.
    pub fn push(&mut self, record: &Record<'_>) -> Place {
        let body = record.write(&mut self.buffer);
        let offset = self.offset + u32::try_from(body.start).expect("segments are below 4 GiB");
        Place { offset, length: u32::try_from(body.len()).expect("segments are below 4 GiB") }
    }

    /// Bytes so far, without padding.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether no record was added yet.
    pub fn is_empty(&self) -> bool {
        self.buffer.len() == HEAD_BYTES
    }

    /// The bytes to write, and their checksum.
    pub fn finish(mut self) -> (Vec<u8>, u32) {
        let length = u32::try_from(self.buffer.len() - HEAD_BYTES).expect("segments are below 4 GiB");
        self.buffer[24..28].copy_from_slice(&length.to_le_bytes());
        let crc = checksum(&self.buffer);
        self.buffer[32..36].copy_from_slice(&crc.to_le_bytes());
        self.buffer.resize(self.buffer.len().next_multiple_of(ALIGN_BYTES), 0);
        (self.buffer, crc)
    }
}

/// Over the head before the checksum's place, and the body.
fn checksum(batch: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&batch[..32]), &batch[HEAD_BYTES..])
}

/// The batch at `offset` in `segment`, the bytes of the segment of that generation from its start.
pub fn batch_at(generation: u64, segment: &[u8], offset: u32) -> Result<Batch<'_>, BatchError> {
    let bytes = segment.get(offset as usize..).ok_or(BatchError::Absent)?;
    let head = bytes.get(..HEAD_BYTES).ok_or(BatchError::Absent)?;
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if head[..4] != MAGIC
        || u64::from(word(8)) | u64::from(word(12)) << 32 != generation
        || word(16) != offset
    {
        return Err(BatchError::Absent);
    }
    if head[4] != VERSION {
        let (found, known) = (u16::from(head[4]), u16::from(VERSION));
        return Err(BatchError::Format(CodecError::Version { what: WHAT, kind: 0, found, known }));
    }
    let length = word(24) as usize;
    let padded = (HEAD_BYTES + length).next_multiple_of(ALIGN_BYTES);
    let batch = bytes.get(..padded).ok_or(BatchError::Absent)?;
    if checksum(&batch[..HEAD_BYTES + length]) != word(32) {
        return Err(BatchError::Absent);
    }
    let end = u32::try_from(offset as usize + padded).map_err(|_| BatchError::Absent)?;
    let body = &batch[HEAD_BYTES..HEAD_BYTES + length];
    Ok(Batch { offset, end, durable: word(20), previous: word(28), crc: word(32), body })
}

/// Whether a batch of this generation was begun at `offset` but is not whole.
pub fn is_torn(generation: u64, segment: &[u8], offset: u32) -> bool {
    let Some(head) = segment.get(offset as usize..).and_then(|bytes| bytes.get(..20)) else { return false };
    head[..4] == MAGIC
        && head[8..16] == generation.to_le_bytes()
        && head[16..] == offset.to_le_bytes()
        && batch_at(generation, segment, offset) == Err(BatchError::Absent)
}

/// The first valid batch at or after `offset`, wherever it may begin.
pub fn next_batch(generation: u64, segment: &[u8], offset: u32) -> Option<Batch<'_>> {
    let mut at = (offset as usize).next_multiple_of(ALIGN_BYTES);
    while at + HEAD_BYTES <= segment.len() {
        if segment[at..at + 4] == MAGIC
            && let Ok(batch) = batch_at(generation, segment, u32::try_from(at).ok()?)
        {
            return Some(batch);
        }
        at += ALIGN_BYTES;
    }
    None
}

impl<'a> Batch<'a> {
    /// Its records in order, each with the place of its body in the segment.
    pub fn records(&self) -> impl Iterator<Item = Result<(Record<'a>, Place), CodecError>> + use<'a> {
        let body = self.body;
        let start = self.offset + HEAD_BYTES as u32;
        let mut at = 0;
        std::iter::from_fn(move || {
            let rest = body.get(at..).filter(|rest| !rest.is_empty())?;
            Some(match Record::read(rest) {
                Ok((record, range)) => {
                    let offset = start + u32::try_from(at + range.start).expect("inside the segment");
                    let length = u32::try_from(range.len()).expect("inside the segment");
                    at += range.end;
                    Ok((record, Place { offset, length }))
                }
                Err(error) => {
                    at = body.len();
                    Err(error)
                }
            })
        })
    }
}
