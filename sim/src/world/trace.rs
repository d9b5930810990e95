//! The running hash over everything that matters in a run, with checkpoints, so that two runs of
//! one seed can be compared and the first difference found.

use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::io::Write as _;
use std::path::Path;

/// Events between two checkpoints.
pub const CHECKPOINT_EVERY: u64 = 1000;

/// What an event in the trace is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A node reported an observation.
    Observation = 1,
    /// Bytes reached the receiving side of a connection.
    Delivery = 2,
    /// A connection was opened, refused, closed or reset.
    Connection = 3,
    /// A disk operation.
    Disk = 4,
    /// A clock was changed.
    Clock = 5,
    /// A node started or died.
    Node = 6,
    /// The network was cut, healed or changed.
    Fault = 7,
    /// Something the runner adds (client operations, plan steps).
    Note = 8,
}

/// The hash after some number of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// How many events came before.
    pub events: u64,
    /// True time of the last of them.
    pub time_ns: u64,
    /// The hash after it.
    pub hash: u128,
}

/// A fast 128-bit hash for words; not against adversaries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hash128 {
    low: u64,
    high: u64,
}

impl Hash128 {
    /// Mixes one word in.
    pub fn word(&mut self, word: u64) {
        let a = u128::from(self.low ^ word ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
        let b = u128::from(self.high ^ word.rotate_left(32)) * 0xa076_1d64_78bd_642f;
        self.low = (a as u64) ^ (b >> 64) as u64;
        self.high = (b as u64).wrapping_add((a >> 64) as u64).rotate_left(23) ^ self.low;
    }

    /// The value so far.
    pub fn value(&self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }
}

impl Hasher for Hash128 {
    fn finish(&self) -> u64 {
        self.low ^ self.high
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0u8; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
        self.word(bytes.len() as u64);
    }
    fn write_u8(&mut self, value: u8) {
        self.word(u64::from(value));
    }
    fn write_u32(&mut self, value: u32) {
        self.word(u64::from(value));
    }
    fn write_u64(&mut self, value: u64) {
        self.word(value);
    }
    fn write_usize(&mut self, value: usize) {
        self.word(value as u64);
    }
    fn write_isize(&mut self, value: isize) {
        self.word(value as u64);
    }
    fn write_i64(&mut self, value: i64) {
        self.word(value as u64);
    }
    fn write_u128(&mut self, value: u128) {
        self.word(value as u64);
        self.word((value >> 64) as u64);
    }
}

/// The trace of one run.
#[derive(Debug, Default)]
pub struct Trace {
    hash: Hash128,
    events: u64,
    checkpoints: Vec<Checkpoint>,
    text: Option<Text>,
}

#[derive(Debug)]
struct Text {
    #[expect(clippy::disallowed_types, reason = "the trace file is the simulator's own output")]
    file: std::io::BufWriter<std::fs::File>,
    line: String,
}

impl Trace {
    /// Writes every event as one line of text, too. Slow; for finding a divergence.
    pub fn write_text_to(&mut self, path: &Path) -> std::io::Result<()> {
        #[expect(clippy::disallowed_types, reason = "the trace file is the simulator's own output")]
        let file = std::fs::File::create(path)?;
        self.text = Some(Text { file: std::io::BufWriter::new(file), line: String::new() });
        Ok(())
    }

    /// Adds one event. `words` and `value` are hashed; `text` is called only for a text trace.
    pub fn event<V: Hash + ?Sized>(
        &mut self,
        time_ns: u64,
        kind: Kind,
        node: u32,
        value: &V,
        text: impl FnOnce(&mut String),
    ) {
        self.hash.word(time_ns);
        self.hash.word(u64::from(kind as u8) << 32 | u64::from(node));
        value.hash(&mut self.hash);
        self.events += 1;
        if self.events.is_multiple_of(CHECKPOINT_EVERY) {
            let hash = self.hash.value();
            self.checkpoints.push(Checkpoint { events: self.events, time_ns, hash });
        }
        if let Some(out) = &mut self.text {
            out.line.clear();
            let _ = write!(out.line, "{time_ns:>15} n{node} {kind:?} ");
            text(&mut out.line);
            out.line.push('\n');
            // A full disk only costs the text, never the run.
            let _ = out.file.write_all(out.line.as_bytes());
        }
    }

    /// The hash over all events so far.
    pub fn hash(&self) -> u128 {
        self.hash.value()
    }

    /// How many events there were.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The hash after each thousand events.
    pub fn checkpoints(&self) -> &[Checkpoint] {
        &self.checkpoints
    }

    /// Writes what is buffered of the text trace.
    pub fn flush(&mut self) {
        if let Some(out) = &mut self.text {
            let _ = out.file.flush();
        }
    }
}

/// The first checkpoint in which two runs differ: events before it (minus one interval) agree.
pub fn first_difference(a: &[Checkpoint], b: &[Checkpoint]) -> Option<Checkpoint> {
    a.iter().zip(b).find(|(a, b)| a != b).map(|(a, _)| *a)
}
