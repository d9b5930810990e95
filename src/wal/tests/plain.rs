//! Plain use.

use std::sync::{Arc, Mutex};

use crate::runtime::memory::{observations, run};

use super::*;

#[test]
fn everything_comes_back_after_a_restart() {
    let disk = MemoryDisk::default();
    run(async {
        let (wal, recovered) = open(&disk).await;
        let fresh = Recovered { vote: None, committed: None, purged: None, last: None, incarnation: 1 };
        assert_eq!(recovered, fresh);
        wal.save_vote(vote(1)).await.unwrap();
        let blank = LogEntry { position: at(1, 0), payload: Payload::Blank };
        let membership =
            LogEntry { position: at(1, 1), payload: Payload::Membership(Bytes::from_static(b"m")) };
        append(&wal, vec![blank, membership]).await;
        append(&wal, (2..40).map(|index| entry(1, index, 300)).collect()).await;
        wal.save_committed(Some(at(1, 7)));
        append(&wal, vec![entry(2, 40, 9000)]).await;
        wal.truncate_after(Some(at(1, 30))).await.unwrap();
        append(&wal, vec![entry(3, 31, 10)]).await;
        let before = all(&wal).await;
        assert_eq!(before.len(), 32);
        drop(wal);
        let (wal, recovered) = open(&disk).await;
        let last = Some(at(3, 31));
        let (vote, committed) = (Some(vote(1)), Some(at(1, 7)));
        assert_eq!(recovered, Recovered { vote, committed, purged: None, last, incarnation: 2 });
        assert_eq!(all(&wal).await, before);
        assert_eq!(wal.position(30), Some(at(1, 30)));
        assert_eq!(wal.read(5, 8, usize::MAX).await.unwrap(), before[5..8]);
        assert_eq!(wal.read(5, 8, 0).await.unwrap(), before[5..6]);
    })
    .unwrap();
}

#[test]
fn what_waits_during_a_sync_is_one_batch() {
    let disk = MemoryDisk::default();
    run(async {
        let (wal, _) = open(&disk).await;
        append(&wal, vec![entry(1, 0, 10)]).await;
        let before = disk.operations();
        let order = Arc::new(Mutex::new(Vec::new()));
        for index in 1..10 {
            let order = order.clone();
            wal.append(vec![entry(1, index, 10)], move |_| order.lock().unwrap().push(index));
            assert_eq!(wal.read(index, index + 1, 0).await.unwrap().len(), 1, "readable at once");
        }
        wal.flush().await.unwrap();
        assert_eq!(*order.lock().unwrap(), (1..10).collect::<Vec<_>>());
        assert_eq!(disk.operations() - before, 2, "one write and one sync");
    })
    .unwrap();
}

#[test]
fn purge_frees_segments_and_keeps_the_vote() {
    let disk = MemoryDisk::default();
    run(async {
        let (wal, _) = open(&disk).await;
        wal.save_vote(vote(4)).await.unwrap();
        for index in 0..100 {
            append(&wal, vec![entry(4, index, 500)]).await;
        }
        let files = disk.names().len();
        wal.purge(at(4, 97)).await.unwrap();
        assert!(disk.names().len() <= 3 && files > 10, "{:?}", disk.names());
        assert_eq!(wal.read(97, 98, 0).await.unwrap_err().kind(), io::ErrorKind::NotFound);
        drop(wal);
        let (wal, recovered) = open(&disk).await;
        assert_eq!((recovered.vote, recovered.purged), (Some(vote(4)), Some(at(4, 97))));
        assert_eq!(all(&wal).await, vec![entry(4, 98, 500), entry(4, 99, 500)]);
        // A snapshot from elsewhere: the log goes on after it.
        wal.purge(at(9, 1_000_000_000)).await.unwrap();
        assert_eq!(wal.last(), Some(at(9, 1_000_000_000)));
        append(&wal, vec![entry(9, 1_000_000_001, 1)]).await;
        drop(wal);
        let (wal, recovered) = open(&disk).await;
        assert_eq!(recovered.last, Some(at(9, 1_000_000_001)));
        assert_eq!(all(&wal).await.len(), 1);
    })
    .unwrap();
}

#[test]
fn restarts_do_not_eat_segments() {
    let disk = MemoryDisk::default();
    for incarnation in 1..200 {
        let recovered = run(async { open(&disk).await.1 }).unwrap();
        assert_eq!(recovered.incarnation, incarnation);
    }
    assert!(disk.names().len() < 8, "{:?}", disk.names());
}

#[test]
fn observes_in_order() {
    let disk = MemoryDisk::default();
    run(async {
        let (wal, _) = open(&disk).await;
        observations();
        append(&wal, vec![entry(1, 0, 3)]).await;
        wal.save_vote(vote(2)).await.unwrap();
        wal.truncate_after(None).await.unwrap();
    })
    .unwrap();
    let fingerprint = crate::codec::log::fingerprint(&entry(1, 0, 3));
    let expected = vec![
        Observation::Appended(vec![fingerprint]),
        Observation::Synced(Some(at(1, 0))),
        Observation::Synced(Some(at(1, 0))),
        Observation::VoteSaved(vote(2)),
        Observation::Truncated(None),
        Observation::Synced(None),
    ];
    assert_eq!(observations(), expected);
}
