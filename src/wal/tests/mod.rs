//! The log on a disk in memory: plain use, damage, and power cuts at every step.

mod crash;
mod damage;
mod plain;

use bytes::Bytes;

use crate::runtime::memory::{Memory, MemoryDisk};
use crate::types::{LogEntry, LogPosition, Payload, Vote};

use super::*;

fn options() -> WalOptions {
    WalOptions { segment_bytes: 4096, max_wals: 1, recent_bytes: 1500 }
}

fn at(term: u64, index: u64) -> LogPosition {
    LogPosition { term, leader: 1, index }
}

fn entry(term: u64, index: u64, bytes: usize) -> LogEntry {
    let fill = (term * 31 + index) as u8;
    LogEntry { position: at(term, index), payload: Payload::Command(Bytes::from(vec![fill; bytes])) }
}

fn vote(term: u64) -> Vote {
    Vote { term, voted_for: Some(1), committed: false }
}

async fn open(disk: &MemoryDisk) -> (Wal<Memory>, Recovered) {
    Wal::<Memory>::open(disk.clone(), options()).await.expect("opens")
}

async fn append(wal: &Wal<Memory>, entries: Vec<LogEntry>) {
    let (sender, receiver) = oneshot::channel();
    wal.append(entries, move |result| sender.send(result).expect("awaited"));
    receiver.await.expect("called back").expect("durable");
}

async fn all(wal: &Wal<Memory>) -> Vec<LogEntry> {
    let mut entries = Vec::new();
    let mut from = wal.purged().map_or(0, |purged| purged.index + 1);
    let end = wal.last().map_or(0, |last| last.index + 1);
    while from < end {
        let more = wal.read(from, end, 2000).await.expect("readable");
        from += more.len() as u64;
        entries.extend(more);
    }
    entries
}
