//! Opening: list the segments, replay them, secure the tail, count the start.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::runtime::{Disk, File, OpenMode, Runtime};

use super::index::next;
use super::replay::{Replay, Tail, is_started};
use super::segment::{DIRECTORY, FIRST_GENERATION, Listing, list, segment_name};
use super::shared::{Log, Operation, Recent, Shared};
use super::writer::{Active, Writer};
use super::{Recovered, WalError, WalOptions};

type FileOf<R> = <<R as Runtime>::Disk as Disk>::File;

/// Recovers the log below `root` and gives a writer that has made this start durable.
pub(super) async fn open<R: Runtime>(
    root: &R::Disk,
    options: WalOptions,
) -> Result<(Arc<Shared<R>>, Writer<R>, Recovered), WalError> {
    let disk = folder::<R>(root).await?;
    let Listing { segments, spares } = list(&disk).await?;
    let run = newest_run::<R>(&disk, segments).await?;
    let (mut replay, mut files) = (Replay::default(), BTreeMap::<u64, FileOf<R>>::new());
    let mut tail_bytes = Vec::new();
    for generation in &run.started {
        let name = segment_name(*generation);
        let (file, bytes) = load::<R>(&disk, &name).await?;
        replay.segment(&name, *generation, &bytes, |_, _| {})?;
        if let Some(tail) = replay.tail {
            tail_bytes = bytes[tail.proved as usize..tail.end as usize].to_vec();
        }
        files.insert(*generation, file);
    }
    let mut replay = replay.finish(&segment_name(run.started.first().copied().unwrap_or(0)))?;
    give_up::<R>(&disk, &run.given_up).await?;
    let active = match replay.tail {
        Some(tail) => Some(secure::<R>(&files, &mut replay, tail, tail_bytes).await?),
        None => None,
    };
    let summary = replay.summary;
    let incarnation = summary.incarnation + 1;
    let log = Log {
        queue: VecDeque::new(),
        committed: None,
        summary: super::Summary { incarnation, ..summary },
        recent: Recent::new(next(summary.last), options.recent_bytes),
        index: replay.index,
        files,
    };
    let shared = Arc::new(Shared::new(log));
    let mut writer = Writer {
        shared: shared.clone(),
        disk,
        options,
        active,
        full: replay.segments.into(),
        spares,
        summary,
        pending: VecDeque::from([Operation::Started(incarnation)]),
    };
    writer.write_batch().await.map_err(|error| WalError::io(&writer.disk.display(), error))?;
    let super::Summary { vote, purged, committed, last, .. } = summary;
    Ok((shared, writer, Recovered { vote, committed, purged, last, incarnation }))
}

async fn folder<R: Runtime>(root: &R::Disk) -> Result<R::Disk, WalError> {
    let failed = |error| WalError::io(DIRECTORY, error);
    root.create_dir(DIRECTORY).await.map_err(failed)?;
    root.sync_dir("").await.map_err(failed)?;
    Ok(root.subdirectory(DIRECTORY))
}

async fn load<R: Runtime>(disk: &R::Disk, name: &str) -> Result<(FileOf<R>, Vec<u8>), WalError> {
    let failed = |error| WalError::io(name, error);
    let file = disk.open(name, OpenMode::Write).await.map_err(failed)?;
    let length = file.len().await.map_err(failed)?;
    let bytes = file.read_at(0, usize::try_from(length).unwrap_or(usize::MAX)).await.map_err(failed)?;
    Ok((file, bytes))
}

/// Which segments count.
#[derive(Default)]
struct Run {
    /// Without gaps, oldest first.
    started: Vec<u64>,
    /// Below a gap: given up by a purge whose last renames were lost in a crash.
    given_up: Vec<u64>,
}

async fn newest_run<R: Runtime>(disk: &R::Disk, mut segments: Vec<u64>) -> Result<Run, WalError> {
    if let Some((newest, older)) = segments.split_last() {
        let (_, bytes) = load::<R>(disk, &segment_name(*newest)).await?;
        let follows = *newest == older.last().map_or(FIRST_GENERATION, |last| last + 1);
        if follows && !is_started(*newest, &bytes) {
            // A crash while it was made: nothing in it was ever acknowledged.
            segments.pop();
        }
    }
    let mut run = Run::default();
    while let Some(generation) = segments.pop() {
        match run.started.last() {
            Some(later) if *later != generation + 1 => {
                run.given_up = segments;
                run.given_up.push(generation);
                break;
            }
            _ => run.started.push(generation),
        }
    }
    run.started.reverse();
    Ok(run)
}

async fn give_up<R: Runtime>(disk: &R::Disk, generations: &[u64]) -> Result<(), WalError> {
    for generation in generations {
        let name = segment_name(*generation);
        disk.remove(&name).await.map_err(|error| WalError::io(&name, error))?;
    }
    Ok(())
}

/// Writes what was only read back once more and syncs it: it may have come from a cache whose sync
/// failed before.
async fn secure<R: Runtime>(
    files: &BTreeMap<u64, FileOf<R>>,
    replay: &mut Replay,
    tail: Tail,
    bytes: Vec<u8>,
) -> Result<Active<R>, WalError> {
    let name = segment_name(tail.generation);
    let failed = |error| WalError::io(&name, error);
    let last = replay.segments.pop();
    let file = files
        .get(&tail.generation)
        .ok_or_else(|| failed(std::io::Error::other("the newest segment is not open")))?
        .clone();
    file.write_sync(tail.proved.into(), bytes).await.map_err(failed)?;
    let capacity = file.len().await.map_err(failed)?.min(u32::MAX.into());
    let tail = Tail { proved: tail.end, ..tail };
    Ok(Active { file, capacity, tail, max_index: last.and_then(|last| last.max_index) })
}
