//! The checker's own small reader of the write-ahead log, written from the format's description and
//! not from the product's code, which it does not call: what a member's disk really holds after
//! each sync is the only proof of "durable" that a bug in the product cannot fake.
//!
//! ```text
//! batch:  "EtWB" version(1) 0(3) generation(8) offset(4) durable(4) length(4) previous(4) crc(4) 0(4)
//!         then `length` bytes of records, then zeros up to a multiple of 8
//! record: kind(1) length(4) body;  an entry's body: crc(4) term(8) leader(8) index(8) kind(1) payload
//! ```
//! Little-endian; the batch's checksum is CRC32C over its first 32 bytes and its records.

use std::collections::{BTreeMap, BTreeSet};

use etched::runtime::LogFingerprint;
use etched::types::{LogPosition, Vote};

const BATCH_HEAD: usize = 40;
const ENTRY_HEAD: usize = 29;

/// What one member's synced log holds.
#[derive(Clone, Debug, Default)]
pub struct DiskLog {
    /// Where each segment was read to: offset, and checksum of the batch before it.
    read_to: BTreeMap<u64, (usize, u32)>,
    entries: BTreeMap<u64, LogFingerprint>,
    /// Positions that were synced once and truncated later.
    truncated: BTreeSet<LogPosition>,
    purged: Option<LogPosition>,
    vote: Option<Vote>,
}

impl DiskLog {
    /// Reads on in the segment `path` (`.../wal/<16 hex digits>.log`), whose synced bytes are
    /// `image`. Other files are ignored. Each byte is read once, so feeding is O(1) amortised.
    pub fn synced(&mut self, path: &str, image: &[u8]) {
        let Some(generation) = generation(path) else { return };
        let (mut at, mut previous) = match self.read_to.get(&generation) {
            Some(place) => *place,
            None => (0, self.read_to.last_key_value().map_or(0, |(_, (_, crc))| *crc)),
        };
        let is_new = at == 0;
        while let Some((records, crc, end)) = batch(generation, image, at, (at > 0).then_some(previous)) {
            self.records(records);
            (at, previous) = (end, crc);
        }
        if is_new && at == 0 {
            return;
        }
        self.read_to.insert(generation, (at, previous));
    }

    /// Whether exactly this position is in the synced log, or below what was purged from it.
    pub fn holds(&self, position: LogPosition) -> bool {
        if self.purged.is_some_and(|purged| purged.index >= position.index) {
            return true;
        }
        self.entries.get(&position.index).is_some_and(|entry| entry.position == position)
    }

    /// Whether it was in the synced log at any time: an acknowledgement may be seen after a later
    /// leader's truncation.
    pub fn held(&self, position: LogPosition) -> bool {
        self.holds(position) || self.truncated.contains(&position)
    }

    /// Entries up to here are purged from the synced log.
    pub fn purged(&self) -> Option<LogPosition> {
        self.purged
    }

    /// The entry at `index`, if it is in the synced log.
    pub fn entry(&self, index: u64) -> Option<&LogFingerprint> {
        self.entries.get(&index)
    }

    /// The last position in the synced log; what was purged counts.
    pub fn last(&self) -> Option<LogPosition> {
        self.entries.last_key_value().map(|(_, entry)| entry.position).or(self.purged)
    }

    /// The synced vote.
    pub fn vote(&self) -> Option<Vote> {
        self.vote
    }

    fn records(&mut self, mut bytes: &[u8]) {
        while bytes.len() >= 5 {
            let length = u32_at(bytes, 1) as usize;
            let Some(body) = bytes.get(5..5 + length) else { return };
            self.record(bytes[0], body);
            bytes = &bytes[5 + length..];
        }
    }

    fn record(&mut self, kind: u8, body: &[u8]) {
        match kind {
            3 if body.len() >= 17 => {
                let candidate = u64_at(body, 9);
                self.vote = Some(Vote {
                    term: u64_at(body, 0),
                    voted_for: (body[8] & 1 != 0).then_some(candidate),
                    committed: body[8] & 2 != 0,
                });
            }
            4 if body.len() >= 24 => {
                let purged = position_at(body, 0);
                self.entries = self.entries.split_off(&(purged.index + 1));
                self.purged = self.purged.max_by_index(purged);
            }
            6 if body.len() >= 25 => {
                let keep = if body[0] != 0 { position_at(body, 1).index + 1 } else { 0 };
                let gone = self.entries.split_off(&keep);
                self.truncated.extend(gone.values().map(|entry| entry.position));
            }
            7 if body.len() >= ENTRY_HEAD => {
                let position = position_at(body, 4);
                let hash = fingerprint(body[28], &body[ENTRY_HEAD..]);
                self.entries.insert(position.index, LogFingerprint { position, hash });
            }
            _ => {}
        }
    }
}

trait MaxByIndex {
    fn max_by_index(self, other: LogPosition) -> Self;
}

impl MaxByIndex for Option<LogPosition> {
    fn max_by_index(self, other: LogPosition) -> Self {
        Some(self.filter(|position| position.index > other.index).unwrap_or(other))
    }
}

/// The hash of observations: FNV-1a of the payload's kind and bytes.
fn fingerprint(kind: u8, payload: &[u8]) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    payload.iter().fold(step(0xcbf2_9ce4_8422_2325, kind), |hash, byte| step(hash, *byte))
}

/// Up to which offset the synced bytes `image` of the segment `path` are proved durable by a later
/// batch: what is damaged below must be refused, what is damaged above may be taken for a torn tail.
/// 0 for other files.
pub fn proved(path: &str, image: &[u8]) -> usize {
    let Some(generation) = generation(path) else { return 0 };
    let (mut at, mut previous, mut proved) = (0, None, 0);
    while let Some((_, crc, end)) = batch(generation, image, at, previous) {
        proved = u32_at(image, at + 20) as usize;
        (at, previous) = (end, Some(crc));
    }
    proved
}

fn generation(path: &str) -> Option<u64> {
    let (folder, name) = path.rsplit_once('/')?;
    let digits = name.strip_suffix(".log")?;
    (folder.ends_with("wal") && digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok())?
}

/// Records, checksum and end of the valid batch at `at`.
fn batch(generation: u64, image: &[u8], at: usize, previous: Option<u32>) -> Option<(&[u8], u32, usize)> {
    let head = image.get(at..at + BATCH_HEAD)?;
    let here = head[..4] == *b"EtWB" && u64_at(head, 8) == generation && u32_at(head, 16) as usize == at;
    if !here || previous.is_some_and(|previous| previous != u32_at(head, 28)) {
        return None;
    }
    let end = at + BATCH_HEAD + u32_at(head, 24) as usize;
    let records = image.get(at + BATCH_HEAD..end)?;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&head[..32]), records);
    (crc == u32_at(head, 32)).then_some((records, crc, end.next_multiple_of(8)))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn position_at(bytes: &[u8], at: usize) -> LogPosition {
    LogPosition { term: u64_at(bytes, at), leader: u64_at(bytes, at + 8), index: u64_at(bytes, at + 16) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Builds a segment's bytes as the format says.
    pub(crate) struct Segment {
        generation: u64,
        pub(crate) bytes: Vec<u8>,
        previous: u32,
    }

    impl Segment {
        pub(crate) fn new(generation: u64) -> Self {
            Segment { generation, bytes: Vec::new(), previous: 0 }
        }

        pub(crate) fn path(&self) -> String {
            format!("wal/{:016x}.log", self.generation)
        }

        pub(crate) fn batch(&mut self, records: &[(u8, Vec<u8>)]) {
            let mut body = Vec::new();
            for (kind, record) in records {
                body.push(*kind);
                body.extend((record.len() as u32).to_le_bytes());
                body.extend(record);
            }
            let at = self.bytes.len() as u32;
            let mut head = b"EtWB\x01\0\0\0".to_vec();
            head.extend(self.generation.to_le_bytes());
            for word in [at, at, body.len() as u32, self.previous] {
                head.extend(word.to_le_bytes());
            }
            self.previous = crc32c::crc32c_append(crc32c::crc32c(&head), &body);
            head.extend(self.previous.to_le_bytes());
            head.extend([0; 4]);
            self.bytes.extend(head);
            self.bytes.extend(body);
            self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        }
    }

    pub(crate) fn entry(term: u64, index: u64, payload: &[u8]) -> (u8, Vec<u8>) {
        let mut body = vec![0; 4];
        [term, term, index].iter().for_each(|number| body.extend(number.to_le_bytes()));
        body.push(1);
        body.extend(payload);
        (7, body)
    }

    pub(crate) fn vote(term: u64, candidate: u64, committed: bool) -> (u8, Vec<u8>) {
        let mut body = term.to_le_bytes().to_vec();
        body.push(1 | u8::from(committed) << 1);
        body.extend(candidate.to_le_bytes());
        (3, body)
    }

    fn at(term: u64, index: u64) -> LogPosition {
        LogPosition { term, leader: term, index }
    }

    #[test]
    fn reads_on_from_where_it_stopped() {
        let (mut log, mut segment) = (DiskLog::default(), Segment::new(1));
        segment.batch(&[vote(1, 1, true), entry(1, 0, b"a"), entry(1, 1, b"b")]);
        log.synced(&segment.path(), &segment.bytes);
        assert_eq!(log.last(), Some(at(1, 1)));
        segment.batch(&[(6, [vec![1], entry(1, 0, b"").1[4..28].to_vec()].concat()), entry(2, 1, b"c")]);
        let torn = segment.bytes.len() - 9;
        log.synced(&segment.path(), &segment.bytes[..torn]);
        assert!(log.holds(at(1, 1)) && !log.holds(at(2, 1)), "a torn batch does not count");
        log.synced(&segment.path(), &segment.bytes);
        assert!(log.holds(at(2, 1)) && !log.holds(at(1, 1)));
        assert_eq!(log.vote().map(|vote| (vote.term, vote.committed)), Some((1, true)));
        log.synced("checkpoint/data", &[0; 100]);
    }

    #[test]
    fn agrees_with_the_observed_fingerprint() {
        let payload = etched::types::Payload::Command(bytes::Bytes::from_static(b"x"));
        let entry = etched::types::LogEntry { position: at(3, 7), payload };
        let mut log = DiskLog::default();
        let mut segment = Segment::new(9);
        segment.batch(&[self::entry(3, 7, b"x")]);
        log.synced(&segment.path(), &segment.bytes);
        assert_eq!(log.entry(7), Some(&etched::codec::log::fingerprint(&entry)));
    }
}
