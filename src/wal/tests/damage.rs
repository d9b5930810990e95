//! Damage below a proved offset is refused by name; a torn tail is not.

use crate::codec::log::{Record, batch_at};
use crate::runtime::Disk;
use crate::runtime::memory::run;

use super::*;

const FIRST: &str = "wal/0000000000000001.log";

/// A log of one segment, and where its batches begin.
fn written() -> (MemoryDisk, Vec<usize>) {
    let disk = MemoryDisk::default();
    run(async {
        let (wal, _) = open(&disk).await;
        for index in 0..5 {
            append(&wal, vec![entry(1, index, 100)]).await;
        }
    })
    .unwrap();
    let mut offsets = Vec::new();
    disk.damage(FIRST, |bytes| {
        let mut at = 0;
        while let Ok(batch) = batch_at(1, bytes, at) {
            offsets.push(at as usize);
            at = batch.end;
        }
    });
    (disk, offsets)
}

fn reopen(disk: &MemoryDisk) -> Result<Recovered, WalError> {
    run(async { Wal::<Memory>::open(disk.clone(), options()).await.map(|(_, recovered)| recovered) }).unwrap()
}

#[test]
fn every_damaged_byte_before_the_last_batch_is_named() {
    let (_, offsets) = written();
    let last = *offsets.last().unwrap();
    for byte in 0..last {
        let (disk, _) = written();
        disk.damage(FIRST, |bytes| bytes[byte] ^= 0x10);
        let batch = offsets.iter().rposition(|offset| *offset <= byte).unwrap();
        match reopen(&disk) {
            Err(WalError::Corrupt { file, offset, .. }) => {
                assert_eq!((file.as_str(), offset), ("0000000000000001.log", offsets[batch] as u64));
            }
            Err(WalError::Format { offset, .. }) => assert_eq!(offset, offsets[batch] as u64),
            // Padding is in no checksum, and nobody reads it.
            Ok(recovered) => assert_eq!(recovered.last, Some(at(1, 4)), "byte {byte}"),
            Err(other) => panic!("byte {byte}: {other}"),
        }
    }
}

#[test]
fn a_torn_last_batch_is_cut_off() {
    let (_, offsets) = written();
    let last = *offsets.last().unwrap();
    let (disk, _) = written();
    disk.damage(FIRST, |bytes| bytes[last + 50] ^= 1);
    assert_eq!(reopen(&disk).unwrap().last, Some(at(1, 3)));
    assert_eq!(reopen(&disk).unwrap().last, Some(at(1, 3)), "and stays so");
}

#[test]
fn an_unknown_version_is_named() {
    let (disk, offsets) = written();
    disk.damage(FIRST, |bytes| bytes[offsets[2] + 4] = 9);
    let text = reopen(&disk).unwrap_err().to_string();
    assert!(text.contains("version 9") && text.contains("up to 1"), "{text}");
}

#[test]
fn a_lost_segment_is_named() {
    let disk = MemoryDisk::default();
    run(async {
        let (wal, _) = open(&disk).await;
        for index in 0..40 {
            append(&wal, vec![entry(1, index, 500)]).await;
        }
    })
    .unwrap();
    run(async {
        let folder = disk.subdirectory("wal");
        folder.remove("0000000000000003.log").await.unwrap();
    })
    .unwrap();
    assert!(matches!(reopen(&disk), Err(WalError::Missing { from: 0, .. })));
}

#[test]
fn a_segment_under_a_strange_name_is_named() {
    for name in ["wal/0000000000000000.log", "wal/0000000000000003.log", "wal/ffffffffffffffff.log"] {
        let (disk, _) = written();
        disk.misplace(FIRST, Some(name));
        let text = reopen(&disk).unwrap_err().to_string();
        assert!(text.contains(&name[4..]), "{text}");
    }
    let (disk, _) = written();
    disk.misplace(FIRST, None);
    assert_eq!(reopen(&disk).unwrap().last, None, "nothing is left that could say what is missing");
}

#[test]
fn an_index_beyond_all_logs_is_damage() {
    let mut bytes = Vec::new();
    Record::Purged(LogPosition { index: u64::MAX, ..at(1, 0) }).write(&mut bytes);
    assert!(Record::read(&bytes).is_err());
}
