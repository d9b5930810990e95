//! Frames and records: no bytes make a decoder panic, and what decodes encodes to the same.
//!
//! Checksums are put right first, or no input would get past them.

use std::fmt::Debug;

use bytes::Bytes;
use etched::codec::frame::{self, Kind};
use etched::codec::log::{BatchBuilder, EntryRef, Opened, Record, batch_at, entry_at, next_batch};
use etched::codec::{CodecError, envelope, identity, membership, meta, peer, row, snapshot};
use etched::state::State;
use etched::types::{Command, Envelope, LogEntry, LogPosition, Payload, PutRequest, RequestId, Vote};
use etched::wal::{Replay, is_started};

use super::Input;

const BATCH_HEAD_BYTES: usize = 40;
const SEGMENT_BYTES: usize = 1 << 16;

/// One input: what it claims to be, then its bytes.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.below(14) {
        0 => raw(input.rest()),
        1 => framed(Kind::Identity, input.rest(), identity::decode, identity::encode),
        2 => framed(Kind::Membership, input.rest(), membership::decode, |value| {
            membership::encode(value).to_vec()
        }),
        3 => framed(Kind::CheckpointMeta, input.rest(), meta::decode, meta::encode),
        4 => again(row(input.rest()), row::decode, |value| {
            let mut buffer = Vec::new();
            row::encode(value, &mut buffer);
            buffer
        }),
        5 => again(input.rest().to_vec(), peer::decode_hello, |value| payload(peer::encode_hello(value))),
        6 => again(input.rest().to_vec(), peer::decode_welcome, |value| payload(peer::encode_welcome(value))),
        7 => again(
            input.rest().to_vec(),
            |bytes| peer::decode_request(&Bytes::copy_from_slice(bytes)),
            |(number, request)| payload(peer::encode_request(*number, request)),
        ),
        8 => again(input.rest().to_vec(), peer::decode_reply, |(number, reply)| {
            payload(peer::encode_reply(*number, reply))
        }),
        9 => again(
            input.rest().to_vec(),
            |bytes| envelope::decode(&Bytes::copy_from_slice(bytes)),
            |value| envelope::encode(value).to_vec(),
        ),
        10 => stream(input),
        11 => records(&entries_put_right(input.rest())),
        12 => replay(input),
        _ => drop(entry_at(&entry_put_right(input.rest()))),
    }
}

/// Decodes; if that works, encodes and decodes again.
fn again<T: PartialEq + Debug>(
    bytes: Vec<u8>,
    decode: impl Fn(&[u8]) -> Result<T, CodecError>,
    encode: impl Fn(&T) -> Vec<u8>,
) {
    match decode(&bytes) {
        Ok(value) => assert_eq!(decode(&encode(&value)), Ok(value), "after encoding it again"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The same for a payload in its frame.
fn framed<T: PartialEq + Debug>(
    kind: Kind,
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, CodecError>,
    encode: impl Fn(&T) -> Vec<u8>,
) {
    again(frame::encode(kind, bytes), decode, encode);
}

fn payload(frame: Vec<u8>) -> Vec<u8> {
    frame[frame::HEAD_BYTES..].to_vec()
}

/// Bytes as they come, to everything that stands alone.
fn raw(bytes: &[u8]) {
    if let Ok((kind, payload, rest)) = frame::decode(bytes) {
        assert_eq!([&frame::encode(kind, payload), rest].concat(), bytes, "a frame has one spelling");
    }
    let shared = Bytes::copy_from_slice(bytes);
    let errors = [
        identity::decode(bytes).err(),
        membership::decode(bytes).err(),
        meta::decode(bytes).err(),
        row::decode(bytes).err(),
        peer::decode_hello(bytes).err(),
        peer::decode_welcome(bytes).err(),
        peer::decode_request(&shared).err(),
        peer::decode_reply(bytes).err(),
        envelope::decode(&shared).err(),
        snapshot::Receiver::default().chunk(bytes).err(),
        Record::read(bytes).err(),
    ];
    errors.into_iter().flatten().for_each(|error| assert!(!error.to_string().is_empty()));
    let _ = next_batch(0, bytes, 0);
}

/// Bytes behind their checksum.
fn row(bytes: &[u8]) -> Vec<u8> {
    [&crc32c::crc32c(bytes).to_le_bytes(), bytes].concat()
}

/// A snapshot's chunks: each piece is rows, a meta or an end.
fn stream(mut input: Input<'_>) {
    let mut receiver = snapshot::Receiver::default();
    while !input.is_empty() {
        let chunk = match input.below(4) {
            0 => frame::encode(Kind::SnapshotMeta, input.piece()),
            1 => frame::encode(Kind::SnapshotEnd, input.piece()),
            2 => frame::encode(Kind::SnapshotRows, input.piece()),
            _ => {
                let row = row(input.piece());
                let length = u32::try_from(row.len()).expect("pieces are short").to_le_bytes();
                frame::encode(Kind::SnapshotRows, &[&length, row.as_slice()].concat())
            }
        };
        match receiver.chunk(&chunk) {
            Ok(Some(snapshot)) => return comes_back(&snapshot),
            Ok(None) => {}
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

fn comes_back(snapshot: &snapshot::Snapshot) {
    let mut receiver = snapshot::Receiver::default();
    let records = snapshot.records.iter().cloned();
    let mut whole = None;
    let leases = snapshot.leases.iter().copied();
    for chunk in snapshot::chunks(&snapshot.meta, snapshot.digest, leases.clone(), records) {
        whole = receiver.chunk(&chunk).expect("own chunks are good");
    }
    assert_eq!(whole.as_ref(), Some(snapshot));
    // Parts that never belonged together are refused, or make a state that agrees with itself.
    if let Ok(state) = State::restore(snapshot.meta.state.clone(), leases, snapshot.records.iter().cloned()) {
        assert_eq!(state.digest(), state.recompute_digest());
    }
}

/// A body with its checksum in front.
fn entry_put_right(bytes: &[u8]) -> Vec<u8> {
    let mut body = bytes.to_vec();
    if let Some((stored, rest)) = body.split_first_chunk_mut::<4>() {
        *stored = crc32c::crc32c(rest).to_le_bytes();
    }
    body
}

/// Records one after the other, the checksums of entries put right.
fn entries_put_right(bytes: &[u8]) -> Vec<u8> {
    const ENTRY: u8 = 7;
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while let Some(head) = bytes.get(at..at + 5) {
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let (kind, start) = (head[0], at + 5);
        let Some(end) = start.checked_add(length).filter(|end| *end <= bytes.len()) else { break };
        if kind == ENTRY {
            let body = entry_put_right(&bytes[start..end]);
            bytes[start..end].copy_from_slice(&body);
        }
        at = end;
    }
    bytes
}

fn records(mut bytes: &[u8]) {
    while let Ok((record, range)) = Record::read(bytes) {
        let mut written = Vec::new();
        let body = record.write(&mut written);
        assert_eq!(Record::read(&written), Ok((record, body)));
        bytes = &bytes[range.end..];
    }
}

/// Segments of batches whose checksums hold, through the recovery's replay.
fn replay(mut input: Input<'_>) {
    let mut replay = Replay::default();
    let mut previous = 0;
    for generation in 1..=4 {
        let mut segment = Vec::new();
        while segment.len() < SEGMENT_BYTES && !input.is_empty() && input.below(4) != 0 {
            let durable = if input.coin() { segment.len() as u32 } else { input.half().into() };
            let body = entries_put_right(input.piece());
            let batch = batch(generation, segment.len() as u32, durable, previous, &body);
            previous = u32::from_le_bytes([batch[32], batch[33], batch[34], batch[35]]);
            same_batch(&[segment.as_slice(), &batch].concat(), generation, segment.len() as u32);
            segment.extend(batch);
        }
        if !is_started(generation, &segment) {
            return;
        }
        if replay.segment("segment", generation, &segment, |_, _| {}).is_err() {
            return;
        }
    }
    drop(replay.finish("segment"));
}

/// A batch by its layout in docs/FORMAT.md, whatever its body.
fn batch(generation: u64, offset: u32, durable: u32, previous: u32, body: &[u8]) -> Vec<u8> {
    let (mut batch, _) = BatchBuilder::new(generation, offset, durable, previous).finish();
    batch.truncate(BATCH_HEAD_BYTES);
    batch[24..28].copy_from_slice(&u32::try_from(body.len()).expect("pieces are short").to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&batch[..32]), body);
    batch[32..36].copy_from_slice(&crc.to_le_bytes());
    batch.extend_from_slice(body);
    batch.resize(batch.len().next_multiple_of(8), 0);
    batch
}

/// A batch whose records all decode comes back from its own builder.
fn same_batch(segment: &[u8], generation: u64, offset: u32) {
    let batch = batch_at(generation, segment, offset).expect("its checksum holds");
    let Ok(records) = batch.records().collect::<Result<Vec<_>, _>>() else { return };
    let mut builder = BatchBuilder::new(generation, 0, 0, 0);
    for (record, _) in &records {
        builder.push(record);
    }
    let (bytes, _) = builder.finish();
    let again = batch_at(generation, &bytes, 0).expect("own bytes are good");
    let again = again.records().map(|record| record.expect("own records are good").0);
    assert!(again.eq(records.into_iter().map(|(record, _)| record)));
}

/// One good input of each kind.
pub fn seeds() -> Vec<Vec<u8>> {
    let place = LogPosition { term: 2, leader: 7, index: 9 };
    let vote = Vote { term: 2, voted_for: Some(7), committed: true };
    let put = PutRequest { key: "key".into(), value: "value".into(), ..PutRequest::default() };
    let request_id = RequestId { member: 7, incarnation: 1, sequence: 3 };
    let command = Envelope { request_id, caller: None, client: None, command: Command::Put(put) };
    let sent = envelope::encode(&command);
    let entry = LogEntry { position: place, payload: Payload::Command(sent.clone()) };
    let members =
        membership::Membership { log: Some(place), configs: vec![[1, 2, 3].into()], learners: [4].into() };
    let mut state = State::new();
    state.apply(&command);
    let view = state.view();
    let membership = membership::encode(&members);
    let whole = meta::Meta { applied: place, membership: membership.clone(), state: view.meta(), rows: 1 };
    let mut rows = Vec::new();
    view.records().for_each(|record| row::encode(&record, &mut rows));
    let append = peer::Request::Append { vote, previous: None, entries: vec![entry], commit: Some(place) };
    let reply = peer::Reply::Vote { vote, granted: true, last: Some(place) };
    let kinds: [(u8, Vec<u8>); 8] = [
        (0, frame::encode(Kind::PeerReply, b"abc")),
        (2, payload(membership.to_vec())),
        (3, payload(meta::encode(&whole))),
        (4, rows[4..].to_vec()),
        (7, payload(peer::encode_request(3, &append))),
        (8, payload(peer::encode_reply(3, &reply))),
        (9, sent.to_vec()),
        (11, segment_records()),
    ];
    let mut seeds: Vec<Vec<u8>> =
        kinds.into_iter().map(|(kind, bytes)| [&[kind], bytes.as_slice()].concat()).collect();
    let records = segment_records();
    let length = u16::try_from(records.len()).expect("short").to_le_bytes();
    seeds.push([&[12, 1, 1][..], &length, &records].concat());
    seeds
}

/// How a segment begins, and an entry.
fn segment_records() -> Vec<u8> {
    let position = LogPosition { term: 1, leader: 7, index: 0 };
    let entry = LogEntry { position, payload: Payload::Blank };
    let vote = Vote { term: 1, voted_for: Some(7), committed: true };
    let mut bytes = Vec::new();
    for record in [
        Record::Opened(Opened::default()),
        Record::Started(1),
        Record::Vote(vote),
        Record::Entry(EntryRef::new(&entry)),
        Record::Committed(Some(position)),
        Record::Truncated(None),
        Record::Purged(position),
    ] {
        record.write(&mut bytes);
    }
    bytes
}
