//! Reading entries back: recent ones from memory, older ones from their segments.

use std::io;

use crate::codec::log::{Place, entry_at};
use crate::runtime::{Disk, File, Runtime};
use crate::types::{LogEntry, LogPosition};

use super::shared::{Log, Shared, entry_bytes};

/// One read of a segment covers at most this many bytes beyond its first entry.
const MAX_READ_BYTES: u32 = 1024 * 1024;

/// Entries that lie one after the other in one segment.
struct Stretch<R: Runtime> {
    generation: u64,
    file: <R::Disk as Disk>::File,
    entries: Vec<(LogPosition, Place)>,
}

/// What a read takes from disk, and what from memory after it.
struct Plan<R: Runtime> {
    stretches: Vec<Stretch<R>>,
    recent: Vec<LogEntry>,
}

/// Entries from index `from` up to `to` (exclusive) or the log's end, at least one, and then only
/// as many as fit into `max_bytes`. An index that was purged is an error of kind `NotFound`.
pub(super) async fn read<R: Runtime>(
    shared: &Shared<R>,
    from: u64,
    to: u64,
    max_bytes: usize,
) -> io::Result<Vec<LogEntry>> {
    let plan = plan(&shared.lock(), from, to, max_bytes)?;
    let mut entries = Vec::with_capacity(plan.recent.len());
    for stretch in &plan.stretches {
        if let Err(error) = read_stretch(stretch, &mut entries).await {
            // The segment may have been given up and reused since the plan was made.
            let first = shared.lock().index.first();
            return Err(if from < first { purged(from, first) } else { error });
        }
    }
    entries.extend(plan.recent);
    Ok(entries)
}

fn purged(from: u64, first: u64) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("log entry {from} is purged, the first is {first}"))
}

fn plan<R: Runtime>(log: &Log<R>, from: u64, to: u64, max_bytes: usize) -> io::Result<Plan<R>> {
    if from < log.index.first() {
        return Err(purged(from, log.index.first()));
    }
    let mut plan = Plan { stretches: Vec::<Stretch<R>>::new(), recent: Vec::new() };
    let mut bytes = 0;
    for index in from..to.min(log.index.end()) {
        let entry = log.recent.get(index);
        let slot = log.index.get(index);
        let place = slot.and_then(|slot| slot.at).map_or(0, |(_, place)| place.length as usize);
        bytes += entry.map_or(place, entry_bytes);
        if bytes > max_bytes && index > from {
            break;
        }
        if let Some(entry) = entry {
            plan.recent.push(entry.clone());
            continue;
        }
        let missing = || io::Error::other(format!("log entry {index} is neither in memory nor written"));
        let slot = slot.ok_or_else(missing)?;
        let (generation, place) = slot.at.ok_or_else(missing)?;
        match plan.stretches.last_mut().filter(|stretch| stretch.takes(generation, place)) {
            Some(stretch) => stretch.entries.push((slot.position, place)),
            None => {
                let file = log.files.get(&generation).ok_or_else(missing)?.clone();
                plan.stretches.push(Stretch { generation, file, entries: vec![(slot.position, place)] });
            }
        }
    }
    Ok(plan)
}

impl<R: Runtime> Stretch<R> {
    fn start(&self) -> u32 {
        self.entries[0].1.offset
    }

    /// Whether `place` can be read together with the entries before it.
    fn takes(&self, generation: u64, place: Place) -> bool {
        self.generation == generation
            && place.offset > self.start()
            && place.offset + place.length - self.start() <= MAX_READ_BYTES
    }
}

async fn read_stretch<R: Runtime>(stretch: &Stretch<R>, into: &mut Vec<LogEntry>) -> io::Result<()> {
    let start = stretch.start();
    let end = stretch.entries.last().map_or(start, |(_, place)| place.offset + place.length);
    let bytes = stretch.file.read_at(start.into(), (end - start) as usize).await?;
    for (position, place) in &stretch.entries {
        let at = (place.offset - start) as usize;
        let damaged = |why: String| {
            let name = super::segment_name(stretch.generation);
            let what = format!("log {name}: entry {} at offset {}: {why}", position.index, place.offset);
            io::Error::new(io::ErrorKind::InvalidData, what)
        };
        let body = bytes.get(at..at + place.length as usize).ok_or_else(|| damaged("cut off".into()))?;
        let entry = entry_at(body).map_err(|error| damaged(error.to_string()))?;
        if entry.position != *position {
            return Err(damaged(format!("{:?} is there", entry.position)));
        }
        into.push(entry.to_entry());
    }
    Ok(())
}
