//! openraft's log storage over the write-ahead log.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};

use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};

use super::config::{self, Entry, LogId, RaftVote, TypeConfig};
use crate::runtime::Runtime;
use crate::runtime::channel::watch as follow;
use crate::types::{LogEntry, LogPosition};
use crate::wal::Wal;

/// Payload bytes of one read for replication.
const READ_BYTES: usize = 1024 * 1024;

/// The log as openraft sees it; clones are handles of the same log.
#[derive(Clone)]
pub(super) struct LogStore<R: Runtime> {
    wal: Wal<R>,
    member_id: u64,
    /// What a durable checkpoint holds.
    durable: follow::Receiver<Option<LogPosition>>,
}

impl<R: Runtime> LogStore<R> {
    pub fn new(wal: Wal<R>, member_id: u64, durable: follow::Receiver<Option<LogPosition>>) -> Self {
        LogStore { wal, member_id, durable }
    }

    async fn entries(&self, start: u64, end: u64, max_bytes: usize) -> io::Result<Vec<Entry>> {
        let entries = self.wal.read(start, end, max_bytes).await?;
        let convert = |entry: LogEntry| {
            config::raft_entry(entry).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
        };
        entries.into_iter().map(convert).collect()
    }

    /// All entries from `start` to `end` or the log's end, read piece by piece.
    fn stream(self, start: u64, end: u64) -> impl Stream<Item = io::Result<Entry>> + Send {
        let pieces = stream::unfold((self, start), move |(store, start)| async move {
            if start >= end {
                return None;
            }
            let (piece, next) = match store.entries(start, end, READ_BYTES).await {
                Ok(entries) if entries.is_empty() => return None,
                Ok(entries) => {
                    let next = start + entries.len() as u64;
                    (entries.into_iter().map(Ok).collect(), next)
                }
                Err(error) => (vec![Err(error)], end),
            };
            Some((stream::iter(piece), (store, next)))
        });
        pieces.flatten()
    }
}

/// An index range as start and exclusive end; open ends reach to the log's.
fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}

impl<R: Runtime> RaftLogReader<TypeConfig<R>> for LogStore<R> {
    async fn try_get_log_entries<B: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: B,
    ) -> io::Result<Vec<Entry>> {
        let (start, end) = bounds(&range);
        // Whoever asks for a range with purged entries gets the rest.
        let first = self.wal.purged().map_or(0, |purged| purged.index + 1);
        self.clone().stream(start.max(first), end).try_collect().await
    }

    async fn entries_stream<B: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: B,
    ) -> impl Stream<Item = io::Result<Entry>> + OptionalSend {
        let (start, end) = bounds(&range);
        Box::pin(self.clone().stream(start, end))
    }

    async fn read_vote(&mut self) -> io::Result<Option<RaftVote>> {
        Ok(self.wal.vote().and_then(config::raft_vote))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.entries(start, end, READ_BYTES).await
    }
}

impl<R: Runtime> RaftLogStorage<TypeConfig<R>> for LogStore<R> {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig<R>>> {
        let last_purged_log_id = self.wal.purged().map(config::log_id);
        let last_log_id = self.wal.last().map(config::log_id);
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &RaftVote) -> io::Result<()> {
        self.wal.save_vote(config::vote(vote)).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.wal.save_committed(committed.as_ref().map(config::position));
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.wal.committed().map(config::log_id))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig<R>>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<LogEntry> = entries.into_iter().map(config::log_entry).collect();
        if planted!(AppendAckBeforeFollowerSync) {
            // A leader waits for its own disk; a follower's answer leaves at once.
            let leader = self.wal.vote().and_then(|vote| vote.voted_for);
            if leader != Some(self.member_id) {
                self.wal.append(entries, |_| {});
                callback.io_completed(Ok(()));
                return Ok(());
            }
        }
        self.wal.append(entries, move |result| callback.io_completed(result));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let after = last.as_ref().map(config::position);
        if self.wal.last().map(|at| at.index) <= after.map(|at| at.index) {
            return Ok(());
        }
        self.wal.truncate_after(after).await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        let covered = self.durable.borrow().is_some_and(|durable| upto.index <= durable.index);
        if !covered {
            R::crash(&format!("the log would be purged up to {upto}, which no durable checkpoint holds"));
        }
        self.wal.purge(config::position(&upto)).await
    }
}
