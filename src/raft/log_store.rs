//! openraft's log storage over the write-ahead log.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};

use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};

use super::config::{self, Entry, LogId, RaftVote, TypeConfig};
use crate::runtime::Runtime;
use crate::types::LogEntry;
use crate::wal::Wal;

/// Payload bytes of one read for replication.
const READ_BYTES: usize = 1024 * 1024;

/// The log as openraft sees it; clones are handles of the same log.
#[derive(Clone)]
pub(super) struct LogStore<R: Runtime> {
    wal: Wal<R>,
    member_id: u64,
}

impl<R: Runtime> LogStore<R> {
    pub fn new(wal: Wal<R>, member_id: u64) -> Self {
        LogStore { wal, member_id }
    }

    async fn entries(&self, start: u64, end: u64, max_bytes: usize) -> io::Result<Vec<Entry>> {
        let entries = self.wal.read(start, end, max_bytes).await?;
        let convert = |entry: LogEntry| {
            config::raft_entry(entry).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
        };
        entries.into_iter().map(convert).collect()
    }
}

/// An index range as start and exclusive end; open ends reach to the log's.
fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start + 1,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end + 1,
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
        self.entries(start, end, usize::MAX).await
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
        self.wal.truncate_after(last.as_ref().map(config::position)).await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        self.wal.purge(config::position(&upto)).await
    }
}
