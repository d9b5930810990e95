//! The one task that writes: takes all that waits, builds one batch, writes and syncs it, then
//! calls back in order. What arrives during a sync forms the next batch.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::codec::log::{BatchBuilder, EntryRef, HEAD_BYTES, Opened, Place, Record, SegmentEnd};
use crate::runtime::{Disk, File, Observation, OpenMode, Runtime};
use crate::types::{LogPosition, Vote};

use super::WalOptions;
use super::index::Summary;
use super::replay::{ReplayedSegment, Tail};
use super::segment::{FIRST_GENERATION, segment_name, spare_name};
use super::shared::{Callback, Operation, Shared};

/// No batch grows beyond this, so that a long queue does not make the first in it wait for the last.
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Segments that must be larger than usual are a multiple of this.
const SEGMENT_UNIT_BYTES: u64 = 4096;

pub(super) struct Writer<R: Runtime> {
    pub(super) shared: Arc<Shared<R>>,
    pub(super) disk: R::Disk,
    pub(super) options: WalOptions,
    /// The segment being written.
    pub(super) active: Option<Active<R>>,
    /// Segments before the active one, oldest first.
    pub(super) full: VecDeque<ReplayedSegment>,
    pub(super) spares: Vec<String>,
    /// The stream up to what is durable.
    pub(super) summary: Summary,
    /// Taken off the queue, not yet written.
    pub(super) pending: VecDeque<Operation>,
}

pub(super) struct Active<R: Runtime> {
    pub(super) file: <R::Disk as Disk>::File,
    pub(super) capacity: u64,
    pub(super) tail: Tail,
    pub(super) max_index: Option<u64>,
}

/// One batch on its way.
struct Flight {
    builder: BatchBuilder,
    summary: Summary,
    written: Vec<(LogPosition, Place)>,
    vote: Option<Vote>,
    purged: Option<LogPosition>,
    done: Vec<Callback>,
}

impl<R: Runtime> Writer<R> {
    /// Runs until aborted; a failure of the medium ends the node.
    pub(super) async fn run(mut self) {
        loop {
            self.take_queue();
            if self.pending.is_empty() {
                self.shared.wake.notified().await;
                continue;
            }
            if let Err(error) = self.write_batch().await {
                self.fail(&error);
                R::crash(&format!("log {}: write or sync failed: {error}", self.disk.display()));
            }
        }
    }

    fn take_queue(&mut self) {
        let mut log = self.shared.lock();
        if log.queue.is_empty() {
            return;
        }
        self.pending.append(&mut log.queue);
        if let Some(committed) = log.committed.take() {
            self.pending.push_back(Operation::Committed(committed));
        }
    }

    /// Writes as much of what is pending as goes into one batch.
    pub(super) async fn write_batch(&mut self) -> io::Result<()> {
        let needed = self.pending.front().map_or(0, encoded_bytes) + HEAD_BYTES;
        let active = match self.active.take() {
            Some(active) if u64::from(active.tail.end) + needed as u64 + 8 <= active.capacity => active,
            full => self.roll(full, needed).await?,
        };
        let room = (active.capacity - u64::from(active.tail.end)) as usize;
        let mut flight = self.build(&active.tail, room.min(MAX_BATCH_BYTES.max(needed + 8)));
        self.active = Some(active);
        if planted!(AckBeforeSync) {
            self.announce(&flight);
            flight.done.drain(..).for_each(|done| done(Ok(())));
        }
        self.land(flight).await
    }

    /// Takes operations off the queue into a batch of at most `room` bytes.
    fn build(&mut self, tail: &Tail, room: usize) -> Flight {
        let builder = BatchBuilder::new(tail.generation, tail.end, tail.end, tail.crc);
        let summary = self.summary;
        let mut flight =
            Flight { builder, summary, written: Vec::new(), vote: None, purged: None, done: Vec::new() };
        while let Some(operation) = self.pending.front() {
            if flight.builder.len() + encoded_bytes(operation) + 8 > room {
                break;
            }
            if let Some(operation) = self.pending.pop_front() {
                flight.take(operation);
            }
        }
        flight
    }

    /// Writes and syncs a batch, then tells everybody.
    async fn land(&mut self, flight: Flight) -> io::Result<()> {
        let Some(active) = self.active.as_mut() else { return Ok(()) };
        let mut flight = flight;
        if !flight.builder.is_empty() {
            let offset = active.tail.end;
            let builder = std::mem::replace(&mut flight.builder, BatchBuilder::new(0, 0, 0, 0));
            let (bytes, crc) = builder.finish();
            let end = offset + u32::try_from(bytes.len()).expect("segments are below 4 GiB");
            if let Err(error) = active.file.write_sync(offset.into(), bytes).await {
                flight.done.drain(..).for_each(|done| done(Err(copy(&error))));
                return Err(error);
            }
            active.tail = Tail { end, crc, proved: end, ..active.tail };
            let highest = flight.written.iter().map(|(position, _)| position.index).max();
            active.max_index = active.max_index.max(highest);
            let generation = active.tail.generation;
            self.summary = flight.summary;
            self.shared.lock().written(generation, &flight.written);
            self.announce(&flight);
        }
        flight.done.drain(..).for_each(|done| done(Ok(())));
        if flight.purged.is_some() {
            self.free().await?;
        }
        Ok(())
    }

    fn announce(&self, flight: &Flight) {
        if !R::observing() {
            return;
        }
        R::observe(Observation::Synced(flight.summary.last));
        if let Some(vote) = flight.vote {
            R::observe(Observation::VoteSaved(vote));
        }
        if let Some(purged) = flight.purged {
            R::observe(Observation::Purged(purged));
        }
    }

    /// Begins the next segment, with room for at least `needed` bytes after its first batch.
    async fn roll(&mut self, full: Option<Active<R>>, needed: usize) -> io::Result<Active<R>> {
        let previous = full.as_ref().map(|full| full.tail);
        let generation = previous.map_or(FIRST_GENERATION, |tail| tail.generation + 1);
        let builder = self.opening(generation, previous);
        let (bytes, crc) = builder.finish();
        let end = u32::try_from(bytes.len()).expect("a few records");
        let least = (bytes.len() + needed + 64) as u64;
        let capacity = self.options.segment_bytes.max(least.next_multiple_of(SEGMENT_UNIT_BYTES));
        let name = segment_name(generation);
        if let Some(spare) = self.spares.pop() {
            self.disk.rename(&spare, &name).await?;
        }
        let file = self.disk.open(&name, OpenMode::Create).await?;
        let length = file.len().await?;
        if length < capacity {
            file.set_len(capacity).await?;
        }
        // The name comes first: bytes of this generation are never found under another one.
        self.disk.sync_dir("").await?;
        file.write_sync(0, bytes).await?;
        if let Some(full) = full {
            let Tail { generation, end, .. } = full.tail;
            self.full.push_back(ReplayedSegment { generation, end, max_index: full.max_index });
        }
        self.shared.lock().files.insert(generation, file.clone());
        let tail = Tail { generation, end, proved: end, crc };
        let capacity = capacity.max(length).min(u32::MAX.into());
        Ok(Active { file, capacity, tail, max_index: None })
    }

    /// A segment's first batch: how the log stands before it.
    fn opening(&self, generation: u64, previous: Option<Tail>) -> BatchBuilder {
        let mut builder = BatchBuilder::new(generation, 0, 0, previous.map_or(0, |tail| tail.crc));
        let end = previous.map(|tail| SegmentEnd { generation: tail.generation, end: tail.end });
        let Summary { vote, purged, committed, last, incarnation } = self.summary;
        builder.push(&Record::Opened(Opened { previous: end, last }));
        builder.push(&Record::Started(incarnation));
        if let Some(vote) = vote {
            builder.push(&Record::Vote(vote));
        }
        if let Some(purged) = purged {
            builder.push(&Record::Purged(purged));
        }
        builder.push(&Record::Committed(committed));
        builder
    }

    /// Gives up segments that hold purged entries only: spares up to `max_wals` (0: all of them).
    /// The new names need no sync here: a spare is not written to before its next name is durable.
    async fn free(&mut self) -> io::Result<()> {
        let purged = self.summary.purged.map(|purged| purged.index);
        while let Some(oldest) = self.full.pop_front_if(|oldest| oldest.max_index <= purged) {
            let name = segment_name(oldest.generation);
            self.shared.lock().files.remove(&oldest.generation);
            if self.options.max_wals == 0 || self.spares.len() < self.options.max_wals {
                let spare = spare_name(oldest.generation);
                self.disk.rename(&name, &spare).await?;
                self.spares.push(spare);
            } else {
                self.disk.remove(&name).await?;
            }
        }
        Ok(())
    }

    /// Hands the failure to all who wait.
    fn fail(&mut self, error: &io::Error) {
        self.take_queue();
        for operation in self.pending.drain(..) {
            if let Operation::Done(done) = operation {
                done(Err(copy(error)));
            }
        }
    }
}

impl Flight {
    fn take(&mut self, operation: Operation) {
        match operation {
            Operation::Entry(entry) => {
                let place = self.builder.push(&Record::Entry(EntryRef::new(&entry)));
                self.summary.last = Some(entry.position);
                self.written.push((entry.position, place));
            }
            Operation::Started(incarnation) => {
                self.builder.push(&Record::Started(incarnation));
                self.summary.incarnation = incarnation;
            }
            Operation::Vote(vote) => {
                self.builder.push(&Record::Vote(vote));
                self.summary.vote = Some(vote);
                self.vote = Some(vote);
            }
            Operation::Truncate(after) => {
                self.builder.push(&Record::Truncated(after));
                self.summary.truncate(after);
            }
            Operation::Purge(position) => {
                self.builder.push(&Record::Purged(position));
                self.summary.purge(position);
                self.purged = Some(position);
            }
            Operation::Committed(position) => {
                self.builder.push(&Record::Committed(position));
                self.summary.committed = position;
            }
            Operation::Done(done) => self.done.push(done),
        }
    }
}

/// Bytes that an operation adds to a batch.
fn encoded_bytes(operation: &Operation) -> usize {
    match operation {
        Operation::Entry(entry) => Record::Entry(EntryRef::new(entry)).encoded_bytes(),
        Operation::Started(incarnation) => Record::Started(*incarnation).encoded_bytes(),
        Operation::Vote(vote) => Record::Vote(*vote).encoded_bytes(),
        Operation::Truncate(after) => Record::Truncated(*after).encoded_bytes(),
        Operation::Purge(position) => Record::Purged(*position).encoded_bytes(),
        Operation::Committed(position) => Record::Committed(*position).encoded_bytes(),
        Operation::Done(_) => 0,
    }
}

/// The same error once more; `io::Error` cannot be cloned.
fn copy(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}
