//! How a log stood after each batch of an undamaged image, by a plain reading of its bytes that
//! shares only the decoders with the recovery.

use etched::codec::log::{Record, batch_at};
use etched::types::{LogEntry, LogPosition, Vote};
use etched::wal::parse_segment_name;

use super::image::Image;

/// What a log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The last vote.
    pub vote: Option<Vote>,
    /// Entries up to here are gone.
    pub purged: Option<LogPosition>,
    /// The entries that are left.
    pub entries: Vec<LogEntry>,
    /// Position of the last entry, or where a log without any goes on.
    pub last: Option<LogPosition>,
    /// Starts so far.
    pub incarnation: u64,
}

/// One batch of an image.
#[derive(Clone, Debug)]
pub struct Step {
    /// The file it is in, and where.
    pub file: String,
    /// Where it begins, in bytes.
    pub offset: u32,
    /// Where it ends.
    pub end: u32,
    /// Below this its file was durable when it was written.
    pub durable: u32,
    /// How the log stood after it.
    pub held: Held,
}

/// All batches of `image`, oldest first.
pub fn steps(image: &Image) -> Vec<Step> {
    let (mut steps, mut held) = (Vec::new(), Held::default());
    // Names are of one length, so their order is that of the generations.
    for (file, bytes) in image {
        let Some(generation) = parse_segment_name(file) else { continue };
        let mut at = 0;
        while let Ok(batch) = batch_at(generation, bytes, at) {
            for record in batch.records() {
                held.record(&record.expect("an undamaged record").0, steps.is_empty());
            }
            let (offset, end, durable) = (batch.offset, batch.end, batch.durable);
            steps.push(Step { file: file.clone(), offset, end, durable, held: held.clone() });
            at = batch.end;
        }
    }
    steps
}

impl Held {
    fn record(&mut self, record: &Record<'_>, is_first_batch: bool) {
        match record {
            Record::Opened(opened) if is_first_batch => self.last = opened.last,
            Record::Opened(_) | Record::Committed(_) => {}
            Record::Started(incarnation) => self.incarnation = *incarnation,
            Record::Vote(vote) => self.vote = Some(*vote),
            Record::Purged(position) => {
                self.purged = self.purged.max(Some(*position));
                self.entries.retain(|entry| entry.position.index > position.index);
                if self.entries.is_empty() && self.last.is_none_or(|last| last.index < position.index) {
                    self.last = self.purged;
                }
            }
            Record::Truncated(after) => {
                let keep = |entry: &LogEntry| after.is_some_and(|after| entry.position.index <= after.index);
                self.entries.retain(keep);
                self.last = self.purged.max(*after);
            }
            Record::Entry(entry) => {
                self.entries.push(entry.to_entry());
                self.last = Some(entry.position);
            }
        }
    }
}
