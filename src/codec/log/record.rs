//! Records: what happens to the log, one after the other.
//!
//! ```text
//! 0      1        5
//! | kind | length | body ...          an entry's body:
//! 0        4      12       20      28             29
//! | crc32c | term | leader | index | payload kind | payload ...
//! ```
//! Numbers are little-endian. An entry has its own checksum (over its body after it), so that one
//! entry can be read and checked alone.

use bytes::Bytes;

use crate::runtime::LogFingerprint;
use crate::types::{LogEntry, LogPosition, Payload, Vote};

use super::super::CodecError;

const WHAT: &str = "log record";
/// Kind and length in front of each record's body.
const RECORD_HEAD_BYTES: usize = 5;
const ENTRY_HEAD_BYTES: usize = 29;

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// First record of each segment: how the stream stood before it.
    Opened(Opened),
    /// The node started; counts its starts.
    Started(u64),
    /// The vote from here on.
    Vote(Vote),
    /// Entries up to here are purged.
    Purged(LogPosition),
    /// The commit index, as far as it was known; only bounds replay.
    Committed(Option<LogPosition>),
    /// Entries after this position are gone (`None`: all).
    Truncated(Option<LogPosition>),
    /// One entry.
    Entry(EntryRef<'a>),
}

/// How the stream stood before a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Where the segment before ended; `None` in the very first.
    pub previous: Option<SegmentEnd>,
    /// Last position of the log.
    pub last: Option<LogPosition>,
}

/// Where a segment ended, for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentEnd {
    /// The segment's generation.
    pub generation: u64,
    /// Bytes of valid batches.
    pub end: u32,
}

/// What a payload is, by the number on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PayloadKind {
    /// [`Payload::Blank`].
    Blank = 0,
    /// [`Payload::Command`].
    Command = 1,
    /// [`Payload::Membership`].
    Membership = 2,
}

/// One entry whose payload is somewhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryRef<'a> {
    /// Its place in the log.
    pub position: LogPosition,
    /// What the payload is.
    pub kind: PayloadKind,
    /// The payload's bytes.
    pub payload: &'a [u8],
}

/// Where an entry's body lies in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Offset of the body, in bytes.
    pub offset: u32,
    /// Length of the body, in bytes.
    pub length: u32,
}

impl<'a> EntryRef<'a> {
    /// Borrows an entry.
    pub fn new(entry: &'a LogEntry) -> Self {
        let (kind, payload) = parts(&entry.payload);
        EntryRef { position: entry.position, kind, payload }
    }

    /// Copies the payload.
    pub fn to_entry(self) -> LogEntry {
        let payload = match self.kind {
            PayloadKind::Blank => Payload::Blank,
            PayloadKind::Command => Payload::Command(Bytes::copy_from_slice(self.payload)),
            PayloadKind::Membership => Payload::Membership(Bytes::copy_from_slice(self.payload)),
        };
        LogEntry { position: self.position, payload }
    }
}

fn parts(payload: &Payload) -> (PayloadKind, &[u8]) {
    match payload {
        Payload::Blank => (PayloadKind::Blank, &[]),
        Payload::Command(bytes) => (PayloadKind::Command, bytes),
        Payload::Membership(bytes) => (PayloadKind::Membership, bytes),
    }
}

/// What checkers compare entries by: FNV-1a (64 bits) over payload kind and payload.
pub fn fingerprint(entry: &LogEntry) -> LogFingerprint {
    let (kind, payload) = parts(&entry.payload);
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = payload.iter().fold(step(0xcbf2_9ce4_8422_2325, &(kind as u8)), step);
    LogFingerprint { position: entry.position, hash }
}

impl Record<'_> {
    fn number(&self) -> u8 {
        match self {
            Record::Opened(_) => 1,
            Record::Started(_) => 2,
            Record::Vote(_) => 3,
            Record::Purged(_) => 4,
            Record::Committed(_) => 5,
            Record::Truncated(_) => 6,
            Record::Entry(_) => 7,
        }
    }

    /// Bytes that [`Record::write`] appends.
    pub fn encoded_bytes(&self) -> usize {
        let body = match self {
            Record::Entry(entry) => ENTRY_HEAD_BYTES + entry.payload.len(),
            _ => 40,
        };
        RECORD_HEAD_BYTES + body
    }

    /// Appends the record; says where its body lies in `buffer`.
    pub fn write(&self, buffer: &mut Vec<u8>) -> std::ops::Range<usize> {
        buffer.push(self.number());
        buffer.extend_from_slice(&[0; 4]);
        let start = buffer.len();
        match self {
            Record::Opened(opened) => {
                let previous = opened.previous;
                buffer.push(u8::from(previous.is_some()));
                let SegmentEnd { generation, end } = previous.unwrap_or(SegmentEnd { generation: 0, end: 0 });
                buffer.extend_from_slice(&generation.to_le_bytes());
                buffer.extend_from_slice(&end.to_le_bytes());
                write_optional(buffer, opened.last);
            }
            Record::Started(incarnation) => buffer.extend_from_slice(&incarnation.to_le_bytes()),
            Record::Vote(vote) => {
                buffer.extend_from_slice(&vote.term.to_le_bytes());
                buffer.push(u8::from(vote.voted_for.is_some()) | u8::from(vote.committed) << 1);
                buffer.extend_from_slice(&vote.voted_for.unwrap_or(0).to_le_bytes());
            }
            Record::Purged(position) => write_position(buffer, *position),
            Record::Committed(position) | Record::Truncated(position) => write_optional(buffer, *position),
            Record::Entry(entry) => {
                buffer.extend_from_slice(&[0; 4]);
                write_position(buffer, entry.position);
                buffer.push(entry.kind as u8);
                buffer.extend_from_slice(entry.payload);
                let crc = crc32c::crc32c(&buffer[start + 4..]);
                buffer[start..start + 4].copy_from_slice(&crc.to_le_bytes());
            }
        }
        let length = u32::try_from(buffer.len() - start).expect("entries are bounded by the request size");
        buffer[start - 4..start].copy_from_slice(&length.to_le_bytes());
        start..buffer.len()
    }

    /// Reads one record off the front of `bytes`; also gives where its body lies in `bytes`.
    pub fn read(bytes: &[u8]) -> Result<(Record<'_>, std::ops::Range<usize>), CodecError> {
        let mut head = Reader(bytes);
        let number = head.byte()?;
        let length = head.u32()? as usize;
        let start = RECORD_HEAD_BYTES;
        let Some(body) = bytes.get(start..start + length) else {
            return Err(CodecError::Short { what: WHAT, needed: start + length, found: bytes.len() });
        };
        let mut reader = Reader(body);
        let record = match number {
            1 => {
                let there = reader.byte()? != 0;
                let end = SegmentEnd { generation: reader.u64()?, end: reader.u32()? };
                Record::Opened(Opened { previous: there.then_some(end), last: reader.optional()? })
            }
            2 => Record::Started(reader.u64()?),
            3 => {
                let term = reader.u64()?;
                let flags = reader.byte()?;
                let candidate = reader.u64()?;
                let voted_for = (flags & 1 != 0).then_some(candidate);
                Record::Vote(Vote { term, voted_for, committed: flags & 2 != 0 })
            }
            4 => Record::Purged(reader.position()?),
            5 => Record::Committed(reader.optional()?),
            6 => Record::Truncated(reader.optional()?),
            7 => return Ok((Record::Entry(entry_at(body)?), start..start + length)),
            found => return Err(CodecError::Kind { what: WHAT, found: u16::from(found), version: 1 }),
        };
        if !reader.0.is_empty() {
            let why = format!("{} bytes are left over in a record of kind {number}", reader.0.len());
            return Err(CodecError::Malformed { what: WHAT, why });
        }
        Ok((record, start..start + length))
    }
}

/// Reads and checks one entry's body.
pub fn entry_at(body: &[u8]) -> Result<EntryRef<'_>, CodecError> {
    let mut reader = Reader(body);
    let stored = reader.u32()?;
    let computed = crc32c::crc32c(reader.0);
    if stored != computed {
        return Err(CodecError::Checksum { what: "log entry", stored, computed });
    }
    let position = reader.position()?;
    let kind = match reader.byte()? {
        0 => PayloadKind::Blank,
        1 => PayloadKind::Command,
        2 => PayloadKind::Membership,
        found => {
            return Err(CodecError::Kind { what: "log entry", found: u16::from(found), version: 1 });
        }
    };
    Ok(EntryRef { position, kind, payload: reader.0 })
}

fn write_position(buffer: &mut Vec<u8>, position: LogPosition) {
    buffer.extend_from_slice(&position.term.to_le_bytes());
    buffer.extend_from_slice(&position.leader.to_le_bytes());
    buffer.extend_from_slice(&position.index.to_le_bytes());
}

fn write_optional(buffer: &mut Vec<u8>, position: Option<LogPosition>) {
    buffer.push(u8::from(position.is_some()));
    write_position(buffer, position.unwrap_or_default());
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let Some((front, rest)) = self.0.split_first_chunk::<N>() else {
            return Err(CodecError::Short { what: WHAT, needed: N, found: self.0.len() });
        };
        self.0 = rest;
        Ok(*front)
    }

    fn byte(&mut self) -> Result<u8, CodecError> {
        Ok(self.take::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32, CodecError> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn u64(&mut self) -> Result<u64, CodecError> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    /// No log ever reaches the last index, so that "the next one" is always a number.
    fn position(&mut self) -> Result<LogPosition, CodecError> {
        let position = LogPosition { term: self.u64()?, leader: self.u64()?, index: self.u64()? };
        if position.index == u64::MAX {
            return Err(CodecError::Malformed { what: WHAT, why: "an index beyond all logs".into() });
        }
        Ok(position)
    }

    fn optional(&mut self) -> Result<Option<LogPosition>, CodecError> {
        let there = self.byte()? != 0;
        let position = self.position()?;
        Ok(there.then_some(position))
    }
}
