//! The log's recovery from a damaged image: a clean prefix, or a named refusal.
//!
//! The prefix holds everything that the recovery rule promises. Never a panic, never an invented record.

use etched::runtime::channel::oneshot;
use etched::runtime::memory::{Memory, MemoryDisk};
use etched::types::{LogEntry, LogPosition, Payload, Vote};
use etched::wal::{DIRECTORY, Recovered, Wal, WalError, WalOptions};

use super::Input;
use super::damage::damage;
use super::image::{Image, in_memory, read, write};
use super::reference::{Held, Step, steps};

/// Steps of work before the damage, at most.
const MAX_WORK: usize = 40;

/// One input: the work that makes a log, then the damage.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let options = WalOptions {
        segment_bytes: input.pick(&[4096, 1024, 16 * 1024]),
        max_wals: input.below(3),
        recent_bytes: 1500,
    };
    let disk = MemoryDisk::default();
    in_memory(make(&disk, &options, &mut input));
    let good = in_memory(read(&disk, DIRECTORY));
    let steps = steps(&good);
    let mut bad = good.clone();
    damage(&mut bad, &mut input);
    let disk = MemoryDisk::default();
    in_memory(write(&disk, DIRECTORY, &bad));
    let found = in_memory(reopen(&disk, &options));
    judge(&good, &bad, &steps, &found);
    if let Ok((held, _)) = found {
        in_memory(goes_on(&disk, &options, held));
    }
}

/// Appends, votes, truncates, purges and restarts.
async fn make(disk: &MemoryDisk, options: &WalOptions, input: &mut Input<'_>) {
    let (mut wal, _) = open(disk, options).await.expect("a new log opens");
    let mut term = 1;
    for _ in 0..1 + input.below(MAX_WORK) {
        let (last, purged) = (wal.last(), wal.purged());
        let next = last.map_or(0, |last| last.index + 1);
        let first = purged.map_or(0, |purged| purged.index + 1);
        match input.below(10) {
            0..=4 => {
                let count = 1 + input.below(4) as u64;
                let bytes = if input.below(8) == 0 { 6000 } else { input.below(256) * 3 };
                append(&wal, (next..next + count).map(|index| entry(term, index, bytes)).collect()).await;
            }
            5 => {
                term += 1;
                let vote = Vote { term, voted_for: Some(1), committed: input.coin() };
                wal.save_vote(vote).await.expect("the disk is good");
            }
            6 => {
                term += 1;
                let keep = input.below((next - first + 1) as usize) as u64;
                let after = (keep > 0).then(|| wal.position(first + keep - 1)).flatten().or(purged);
                wal.truncate_after(after).await.expect("the disk is good");
            }
            7 => {
                let ahead = if input.below(6) == 0 { 1000 } else { 0 };
                let gone = first + ahead + input.below((next - first + 1) as usize) as u64;
                let position = wal.position(gone).unwrap_or(LogPosition { term, leader: 1, index: gone });
                wal.purge(position).await.expect("the disk is good");
            }
            8 => {
                wal.save_committed(last);
                wal.flush().await.expect("the disk is good");
            }
            _ => {
                drop(wal);
                wal = open(disk, options).await.expect("a good log opens").0;
            }
        }
    }
}

fn entry(term: u64, index: u64, bytes: usize) -> LogEntry {
    let fill = (term * 31 + index) as u8;
    let position = LogPosition { term, leader: 1, index };
    LogEntry { position, payload: Payload::Command(vec![fill; bytes].into()) }
}

async fn append(wal: &Wal<Memory>, entries: Vec<LogEntry>) {
    let (sender, receiver) = oneshot::channel();
    wal.append(entries, move |result| drop(sender.send(result)));
    receiver.await.expect("called back").expect("the disk is good");
}

async fn open(disk: &MemoryDisk, options: &WalOptions) -> Result<(Wal<Memory>, Recovered), WalError> {
    Wal::<Memory>::open(disk.clone(), options.clone()).await
}

/// What is found, and the refusal's text.
async fn reopen(disk: &MemoryDisk, options: &WalOptions) -> Result<(Held, u64), String> {
    let (wal, recovered) = open(disk, options).await.map_err(|error| error.to_string())?;
    let mut entries = Vec::new();
    let (from, to) = (
        recovered.purged.map_or(0, |purged| purged.index + 1),
        recovered.last.map_or(0, |last| last.index + 1),
    );
    while from + (entries.len() as u64) < to {
        let more = wal.read(from + entries.len() as u64, to, 2000).await.expect("recovered entries are good");
        assert!(!more.is_empty(), "an entry that was recovered is not there");
        entries.extend(more);
    }
    let Recovered { vote, purged, last, incarnation, .. } = recovered;
    Ok((Held { vote, purged, entries, last, incarnation: incarnation - 1 }, incarnation))
}

/// Holds what was found against what the image held and where it was damaged.
fn judge(good: &Image, bad: &Image, steps: &[Step], found: &Result<(Held, u64), String>) {
    let damaged = |step: &Step| {
        let range = step.offset as usize..step.end as usize;
        bad.get(&step.file).and_then(|bytes| bytes.get(range.clone())) != good[&step.file].get(range)
    };
    let intact = steps.iter().take_while(|step| !damaged(step)).count();
    let proved = steps.iter().filter(|step| !damaged(step)).map(|proof| {
        let is_proved =
            |step: &&Step| step.file < proof.file || (step.file == proof.file && step.end <= proof.durable);
        steps.iter().filter(is_proved).count()
    });
    let least = proved.max().unwrap_or(0).max(intact);
    match found {
        Ok((held, _)) => {
            let nothing = Held::default();
            let known = std::iter::once(&nothing).chain(steps.iter().map(|step| &step.held));
            let mut allowed = known.skip(least);
            assert!(
                allowed.any(|known| known == held),
                "recovered {held:?}, which is no state after batch {least} or later"
            );
        }
        Err(refusal) => {
            assert!(!refusal.is_empty() && !refusal.contains('\n'), "a refusal is one line: {refusal:?}");
            assert!(good != bad, "a good log was refused: {refusal}");
        }
    }
}

/// A log that was opened stays as it was found, takes more, and opens again.
async fn goes_on(disk: &MemoryDisk, options: &WalOptions, mut held: Held) {
    held.incarnation += 1;
    let (again, _) = reopen(disk, options).await.expect("what was recovered opens again");
    assert_eq!(again, held, "what was recovered stays");
    let (wal, _) = open(disk, options).await.expect("and again");
    let next = entry(1_000_000, held.last.map_or(0, |last| last.index + 1), 10);
    append(&wal, vec![next.clone()]).await;
    drop(wal);
    held.last = Some(next.position);
    held.entries.push(next);
    held.incarnation += 2;
    let (again, _) = reopen(disk, options).await.expect("opens with what was added");
    assert_eq!(again, held, "what was added is there");
}

/// Some work, and one of each kind of damage.
pub fn seeds() -> Vec<Vec<u8>> {
    let work = [0, 1, 20, 0, 2, 1, 90, 5, 1, 0, 3, 1, 40, 8, 7, 1, 2, 0, 1, 0, 9, 6, 2, 0, 3, 1, 200, 0, 2];
    (0..12u8).map(|kind| [&work[..], &[0, 1, kind, 1, 100, 1, 3, 0, 7]].concat()).collect()
}
