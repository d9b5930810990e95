//! The write-ahead log: the only sync on the commit path.
//!
//! Preallocated segments are filled by one task with batches of records and reused after a purge;
//! entries, votes, truncations, purges and commit indexes share one stream, so their order on disk
//! is the order in which they were handed over. Format and recovery rules: docs/FORMAT.md.

mod error;
mod index;
mod open;
mod read;
mod replay;
mod segment;
mod shared;
mod writer;

pub use error::WalError;
pub use index::{Index, Slot, Summary};
pub use replay::{Replay, ReplayedSegment, Tail, is_started};
pub use segment::{DIRECTORY, parse_segment_name, segment_name};

use std::io;
use std::sync::Arc;

use crate::codec::log::fingerprint;
use crate::runtime::channel::oneshot;
use crate::runtime::{Observation, Runtime, Task};
use crate::types::{LogEntry, LogPosition, Vote};

use shared::{Callback, Operation, Shared};

/// Sizes of a log.
#[derive(Clone, Debug)]
pub struct WalOptions {
    /// Length of a segment, in bytes; one entry that needs more gets a longer one. At most 4 GiB.
    pub segment_bytes: u64,
    /// Purged segments kept for reuse; 0 keeps every one.
    pub max_wals: usize,
    /// Recent entries kept in memory, in bytes.
    pub recent_bytes: usize,
}

impl Default for WalOptions {
    fn default() -> Self {
        WalOptions { segment_bytes: 64_000_000, max_wals: 5, recent_bytes: 2 * 1024 * 1024 }
    }
}

/// What was found in a log when it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The last vote that was saved.
    pub vote: Option<Vote>,
    /// The commit index as far as it was saved: a lower bound.
    pub committed: Option<LogPosition>,
    /// Entries up to here are purged.
    pub purged: Option<LogPosition>,
    /// Last position; that of the purge in an empty log.
    pub last: Option<LogPosition>,
    /// Counts the starts of this log, this one included, from 1.
    pub incarnation: u64,
}

/// A handle of an open log; clones share it. Writing stops when the last one drops.
#[derive(Clone)]
pub struct Wal<R: Runtime> {
    shared: Arc<Shared<R>>,
    _writer: Arc<Task<()>>,
}

impl<R: Runtime> Wal<R> {
    /// Opens the log in folder [`DIRECTORY`] of the data directory `disk`, creating it when it is
    /// missing. On return the new incarnation and everything recovered are durable.
    pub async fn open(disk: R::Disk, options: WalOptions) -> Result<(Wal<R>, Recovered), WalError> {
        let (shared, writer, recovered) = open::open::<R>(&disk, options).await?;
        let writer = Arc::new(R::spawn("wal", writer.run()));
        Ok((Wal { shared, _writer: writer }, recovered))
    }

    /// Hands entries over; they can be read at once. `done` is called, in order with all others,
    /// when they are durable, or with the error that is about to end the node. The first entry must
    /// follow the log's last.
    pub fn append(&self, entries: Vec<LogEntry>, done: impl FnOnce(io::Result<()>) + Send + 'static) {
        if R::observing() {
            R::observe(Observation::Appended(entries.iter().map(fingerprint).collect()));
        }
        let mut log = self.shared.lock();
        entries.into_iter().for_each(|entry| log.append(entry));
        log.queue.push_back(Operation::Done(Box::new(done)));
        drop(log);
        self.shared.wake.notify_one();
    }

    /// Saves the vote; durable on return, and after everything handed over before.
    pub async fn save_vote(&self, vote: Vote) -> io::Result<()> {
        if planted!(VoteNotDurable) {
            self.shared.lock().summary.vote = Some(vote);
            R::observe(Observation::VoteSaved(vote));
            return Ok(());
        }
        self.durably(|log| {
            log.summary.vote = Some(vote);
            log.queue.push_back(Operation::Vote(vote));
        })
        .await
    }

    /// Notes the commit index. It becomes durable with whatever is written next.
    pub fn save_committed(&self, position: Option<LogPosition>) {
        let mut log = self.shared.lock();
        if log.summary.committed != position {
            log.summary.committed = position;
            log.committed = Some(position);
        }
    }

    /// Removes all entries after `position` (`None`: all that are not purged); durable on return.
    pub async fn truncate_after(&self, position: Option<LogPosition>) -> io::Result<()> {
        if R::observing() {
            R::observe(Observation::Truncated(position));
        }
        self.durably(|log| log.truncate(position)).await
    }

    /// Gives up entries up to `position`; durable on return. Frees whole segments only. A position
    /// beyond the last empties the log, which then continues after it.
    pub async fn purge(&self, position: LogPosition) -> io::Result<()> {
        self.durably(|log| log.purge(position)).await
    }

    /// Entries from index `from` to `to_exclusive` or the log's end: at least one if there is one,
    /// then as many as fit into `max_bytes` of payload and a little more for each. A purged index is
    /// an error of kind `NotFound`, damage one of kind `InvalidData`.
    pub async fn read(&self, from: u64, to_exclusive: u64, max_bytes: usize) -> io::Result<Vec<LogEntry>> {
        read::read(&self.shared, from, to_exclusive, max_bytes).await
    }

    /// Makes everything handed over so far durable, the commit index included.
    pub async fn flush(&self) -> io::Result<()> {
        self.durably(|log| {
            if let Some(committed) = log.committed.take() {
                log.queue.push_back(Operation::Committed(committed));
            }
        })
        .await
    }

    /// Last position handed over; that of the purge in an empty log.
    pub fn last(&self) -> Option<LogPosition> {
        self.shared.lock().summary.last
    }

    /// Entries up to here are purged.
    pub fn purged(&self) -> Option<LogPosition> {
        self.shared.lock().summary.purged
    }

    /// The last vote given to [`Wal::save_vote`] or recovered.
    pub fn vote(&self) -> Option<Vote> {
        self.shared.lock().summary.vote
    }

    /// The last commit index noted or recovered.
    pub fn committed(&self) -> Option<LogPosition> {
        self.shared.lock().summary.committed
    }

    /// The position of the entry at `index`, if the log holds it.
    pub fn position(&self, index: u64) -> Option<LogPosition> {
        self.shared.lock().index.get(index).map(|slot| slot.position)
    }

    /// Queues what `change` does and waits until it is durable.
    async fn durably(&self, change: impl FnOnce(&mut shared::Log<R>)) -> io::Result<()> {
        let (sender, receiver) = oneshot::channel();
        let done: Callback = Box::new(move |result| {
            // Nobody waits any more: the caller was dropped.
            let _ = sender.send(result);
        });
        {
            let mut log = self.shared.lock();
            change(&mut log);
            log.queue.push_back(Operation::Done(done));
        }
        self.shared.wake.notify_one();
        receiver.await.map_err(|_| io::Error::other("the log's writer has stopped"))?
    }
}

#[cfg(test)]
mod tests;
