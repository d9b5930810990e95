//! Dumps of directories that a real node's log and checkpoint wrote, sound and damaged.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::*;
use crate::checkpoint::{Changes, Checkpoint};
use crate::codec::{envelope, membership};
use crate::os::{OsDisk, OsRuntime};
use crate::state::State;
use crate::types::{
    Command, CompareTarget, Envelope, LogEntry, LogPosition, Payload, PutRequest, RequestId, RequestOp,
    TxnRequest, Vote,
};
use crate::wal::{Wal, WalOptions, segment_name};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

fn directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("etched-util-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    path
}

fn put(sequence: u64, key: &'static [u8], value: &'static [u8]) -> Envelope {
    let put = PutRequest { key: key.into(), value: value.into(), ..PutRequest::default() };
    let request_id = RequestId { member: 0xab, incarnation: 1, sequence };
    Envelope { request_id, caller: None, client: None, command: Command::Put(put) }
}

fn guarded() -> Envelope {
    let compare = crate::types::Compare {
        range: crate::types::KeyRange::single(&b"k"[..]),
        result: crate::types::CompareResult::Greater,
        target: CompareTarget::Version(3),
    };
    let Command::Put(inner) = put(0, b"k", b"v").command else { unreachable!("it is a put") };
    let txn =
        TxnRequest { compare: vec![compare], success: vec![RequestOp::Put(inner)], failure: Vec::new() };
    Envelope { command: Command::Txn(txn), ..put(3, b"", b"") }
}

fn at(index: u64) -> LogPosition {
    LogPosition { term: 2, leader: 0xab, index }
}

async fn append(wal: &Wal<OsRuntime>, entries: Vec<LogEntry>) {
    let (sender, receiver) = crate::runtime::channel::oneshot::channel();
    wal.append(entries, move |result| drop(sender.send(result)));
    receiver.await.expect("answered").expect("written");
}

async fn write_log(root: &Path) {
    let disk = OsDisk::open(root, false).expect("open");
    let options = WalOptions { segment_bytes: 1 << 16, ..WalOptions::default() };
    let (wal, _) = Wal::<OsRuntime>::open(disk, options).await.expect("open");
    wal.save_vote(Vote { term: 2, voted_for: Some(0xab), committed: true }).await.expect("saved");
    let command = |index, one: &Envelope| LogEntry {
        position: at(index),
        payload: Payload::Command(envelope::encode(one)),
    };
    append(&wal, vec![LogEntry { position: at(0), payload: Payload::Blank }]).await;
    append(&wal, vec![command(1, &put(1, b"key", b"value")), command(2, &put(2, b"\xff", b""))]).await;
    append(&wal, vec![command(3, &guarded())]).await;
}

fn dumped(
    dump: impl Fn(&Path, &mut Lines<Vec<u8>>) -> Result<(), DumpError>,
    root: &Path,
) -> (Vec<Value>, bool) {
    let mut lines = Lines { out: Vec::new(), damaged: false };
    dump(root, &mut lines).expect("readable");
    let text = String::from_utf8(lines.out).expect("text");
    let values = text.lines().map(|line| serde_json::from_str(line).expect("one JSON object a line"));
    (values.collect(), lines.damaged)
}

#[test]
fn the_log_is_told_record_by_record() {
    let root = directory("log");
    block_on(write_log(&root));
    let (lines, damaged) = dumped(log::dump, &root);
    assert!(!damaged);
    let commands: Vec<&Value> = lines.iter().filter(|line| line["kind"] == "command").collect();
    assert_eq!(commands.len(), 3);
    assert_eq!(commands[0]["index"], 1);
    assert_eq!(commands[0]["term"], 2);
    assert_eq!(commands[0]["request_id"]["member"], "ab");
    assert_eq!(commands[0]["request_id"]["sequence"], 1);
    assert_eq!(commands[0]["command"]["put"]["key"], "key");
    assert_eq!(commands[0]["command"]["put"]["value"], "value");
    assert_eq!(commands[1]["command"]["put"]["key"]["hex"], "ff");
    let txn = &commands[2]["command"]["txn"];
    assert_eq!(txn["compare"][0]["target"], "version");
    assert_eq!(txn["success"][0]["put"]["value"], "v");
    assert!(lines.iter().any(|line| line["kind"] == "vote" && line["vote"]["voted_for"] == "ab"));
    // The folder of the log itself will do too.
    assert_eq!(dumped(log::dump, &root.join("wal")).0, lines);
    let _ = std::fs::remove_dir_all(root);
}

#[test]
fn damage_in_the_log_is_placed() {
    let root = directory("damage");
    block_on(write_log(&root));
    let file = root.join("wal").join(segment_name(1));
    let file = if file.exists() { file } else { root.join("wal").join(segment_name(0)) };
    let sound = std::fs::read(&file).expect("the segment");
    let (lines, _) = dumped(log::dump, &root);
    let offsets: Vec<u64> = lines
        .iter()
        .filter(|line| line["kind"] == "command")
        .filter_map(|line| line["offset"].as_u64())
        .collect();
    // In the middle: a later batch proves that it was durable.
    let mut bytes = sound.clone();
    bytes[offsets[0] as usize + 60] ^= 1;
    std::fs::write(&file, &bytes).expect("write");
    let (lines, damaged) = dumped(log::dump, &root);
    let last = lines.last().expect("a line");
    assert!(damaged);
    assert_eq!(last["kind"], "damage");
    assert_eq!(last["offset"], offsets[0]);
    // In the last batch: it cannot be told apart from a torn one, and is no damage.
    let mut bytes = sound;
    bytes[offsets[2] as usize + 60] ^= 1;
    std::fs::write(&file, &bytes).expect("write");
    let (lines, damaged) = dumped(log::dump, &root);
    let last = lines.last().expect("a line");
    assert!(!damaged);
    assert_eq!((&last["kind"], &last["offset"]), (&Value::from("torn"), &Value::from(offsets[2])));
    let _ = std::fs::remove_dir_all(root);
}

#[test]
fn the_checkpoint_is_told_row_by_row_and_left_alone() {
    let root = directory("checkpoint");
    let mut state = State::new();
    state.apply(&put(1, b"a", b"1"));
    state.apply(&put(2, b"b", b"2"));
    block_on(async {
        let disk = OsDisk::open(&root, false).expect("open");
        let (mut checkpoint, _) = Checkpoint::<OsRuntime>::open(disk).await.expect("open");
        let voters = membership::Membership { configs: vec![[0xab].into()], ..Default::default() };
        checkpoint
            .save(&state.view(), at(7), membership::encode(&voters), Changes::default())
            .await
            .expect("saved");
    });
    let file = root.join("checkpoint").join(crate::checkpoint::FILE);
    let before = std::fs::read(&file).expect("the file");
    let (lines, damaged) = dumped(checkpoint::dump, &root);
    assert!(!damaged);
    assert_eq!(lines[0]["kind"], "meta");
    assert_eq!(lines[0]["applied"]["index"], 7);
    assert_eq!(lines[0]["membership"]["voters"][0][0], "ab");
    assert_eq!(lines[1]["key"], "a");
    assert_eq!((&lines[2]["key"], &lines[2]["revision"]), (&Value::from("b"), &Value::from("3.0")));
    assert!(std::fs::read(&file).expect("the file") == before);
    // A flipped bit in a record's bytes is found by that row's checksum or by the database.
    let place = before.windows(2).position(|two| two == b"\x01b").expect("the row of b");
    let mut bytes = before;
    bytes[place + 1] ^= 1;
    std::fs::write(&file, &bytes).expect("write");
    let (lines, damaged) = dumped(checkpoint::dump, &root);
    assert!(damaged, "{lines:?}");
    let _ = std::fs::remove_dir_all(root);
}

#[test]
fn nothing_to_dump_is_said_in_one_line() {
    let root = directory("nothing");
    std::fs::create_dir_all(&root).expect("create");
    let mut lines = Lines { out: Vec::new(), damaged: false };
    for dump in [log::dump, checkpoint::dump] {
        match dump(&root, &mut lines) {
            Err(DumpError::Input(error)) => assert!(!error.contains('\n'), "{error}"),
            other => panic!("{other:?}"),
        }
    }
    let _ = std::fs::remove_dir_all(root);
}
