//! The log's records in the order in which they were written.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use super::words::{bytes, envelope, position, vote};
use super::{DumpError, Lines, folder};
use crate::codec::log::{EntryRef, PayloadKind, Record, is_torn};
use crate::codec::{envelope as envelopes, membership};
use crate::wal::{DIRECTORY, Replay, WalError, is_started, parse_segment_name, segment_name};

/// Writes all records below `directory`: a data directory, or its `wal` folder.
pub(super) fn dump<W: Write>(directory: &Path, lines: &mut Lines<W>) -> Result<(), DumpError> {
    let folder = folder(directory, DIRECTORY);
    let mut replay = Replay::default();
    let (mut before, mut oldest): (Option<u64>, Option<u64>) = (None, None);
    let generations = generations(&folder)?;
    for generation in &generations {
        let name = segment_name(*generation);
        let read = std::fs::read(folder.join(&name));
        let bytes = read.map_err(|error| DumpError::Input(format!("cannot read {name}: {error}")))?;
        if Some(generation) == generations.last() && !is_started(*generation, &bytes) {
            lines.put(
                &json!({ "file": name, "kind": "empty", "why": "made by a start that a crash cut off" }),
            )?;
            break;
        }
        if before.is_some_and(|before| before + 1 != *generation) {
            let why =
                "segments are missing between the one before and this one; a start gives up those before";
            lines.put(&json!({ "file": name, "kind": "gap", "why": why }))?;
            (replay, oldest) = (Replay::default(), None);
        }
        before = Some(*generation);
        oldest = oldest.or(before);
        if !segment(&mut replay, &name, *generation, &bytes, lines)? {
            (replay, oldest) = (Replay::default(), None);
        }
    }
    if let Err(error) = replay.finish(&segment_name(oldest.unwrap_or(0))) {
        lines.damage(&json!({ "kind": "damage", "why": error.to_string() }))?;
    }
    Ok(())
}

fn generations(folder: &Path) -> Result<Vec<u64>, DumpError> {
    let failed = |error: io::Error| {
        let what = format!("cannot list {}: {error}; give a member's data directory", folder.display());
        DumpError::Input(what)
    };
    let mut generations = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        generations.extend(name.to_str().and_then(parse_segment_name));
    }
    if generations.is_empty() {
        let what = format!("{} holds no log; give a member's data directory", folder.display());
        return Err(DumpError::Input(what));
    }
    generations.sort_unstable();
    Ok(generations)
}

/// Writes one segment's records; whether it was sound.
fn segment<W: Write>(
    replay: &mut Replay,
    name: &str,
    generation: u64,
    bytes: &[u8],
    lines: &mut Lines<W>,
) -> Result<bool, DumpError> {
    let mut written = Ok(());
    let replayed = replay.segment(name, generation, bytes, |offset, record| {
        if written.is_ok() {
            written = lines.put(&line(name, offset, record));
        }
    });
    written?;
    if let Err(error) = replayed {
        let offset = match &error {
            WalError::Corrupt { offset, .. } | WalError::Format { offset, .. } => json!(offset),
            WalError::Io { .. } | WalError::Missing { .. } => Value::Null,
        };
        let why = error.to_string();
        lines.damage(&json!({ "file": name, "offset": offset, "kind": "damage", "why": why }))?;
        return Ok(false);
    }
    if let Some(tail) = replay.tail
        && is_torn(generation, bytes, tail.end)
    {
        let why = "this batch was cut off before it was synced; a start drops it";
        lines.put(&json!({ "file": name, "offset": tail.end, "kind": "torn", "why": why }))?;
    }
    Ok(true)
}

fn line(file: &str, offset: u32, record: &Record<'_>) -> Value {
    let mut line = match record {
        Record::Opened(opened) => json!({ "kind": "opened", "last": opened.last.map(position) }),
        Record::Started(incarnation) => json!({ "kind": "started", "incarnation": incarnation }),
        Record::Vote(saved) => json!({ "kind": "vote", "vote": vote(saved) }),
        Record::Purged(at) => json!({ "kind": "purged", "up_to": position(*at) }),
        Record::Committed(at) => json!({ "kind": "committed", "up_to": at.map(position) }),
        Record::Truncated(at) => json!({ "kind": "truncated", "after": at.map(position) }),
        Record::Entry(entry) => entry_line(entry),
    };
    line["file"] = file.into();
    line["offset"] = offset.into();
    line
}

fn entry_line(entry: &EntryRef<'_>) -> Value {
    let at = entry.position;
    let mut line = json!({ "index": at.index, "term": at.term, "leader": format!("{:x}", at.leader) });
    match entry.kind {
        PayloadKind::Blank => line["kind"] = "blank".into(),
        PayloadKind::Command => {
            line["kind"] = "command".into();
            match envelopes::decode(&entry.payload.to_vec().into()) {
                Ok(decoded) => envelope(&mut line, &decoded),
                Err(error) => undecodable(&mut line, &error, entry.payload),
            }
        }
        PayloadKind::Membership => {
            line["kind"] = "membership".into();
            match membership::decode(entry.payload) {
                Ok(decoded) => line["membership"] = super::words::membership(&decoded),
                Err(error) => undecodable(&mut line, &error, entry.payload),
            }
        }
    }
    line
}

/// The entry's checksum was right, so this is another build's format and no damage of the medium.
fn undecodable(line: &mut Value, error: &crate::codec::CodecError, payload: &[u8]) {
    line["undecodable"] = error.to_string().into();
    line["payload"] = bytes(payload);
}
