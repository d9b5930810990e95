//! The checkpoint's meta row, then its leases by id, then its records in revision order.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::auth_words;
use super::words::{bytes, member, membership, position};
use super::{DumpError, Lines, folder};
use crate::checkpoint::{DIRECTORY, FILE, Row, read_rows};
use crate::codec::membership as memberships;
use crate::codec::meta::Meta;
use crate::os::{OverlayFile, is_locked};
use crate::types::{KeyValue, LeaseRecord};

/// Writes the rows below `directory`: a data directory, or its `checkpoint` folder.
pub(super) fn dump<W: Write>(directory: &Path, lines: &mut Lines<W>) -> Result<(), DumpError> {
    if is_locked(&directory.join("LOCK")) {
        return Err(DumpError::Input(format!(
            "{} is in use; stop its member first, or dump a copy of the directory",
            directory.display()
        )));
    }
    let path = folder(directory, DIRECTORY).join(FILE);
    let file = OverlayFile::open(&path).map_err(|error| {
        let place = path.display();
        DumpError::Input(format!("cannot read {place}: {error}; a member makes it with its first checkpoint"))
    })?;
    let mut written = Ok(());
    let read = read_rows(file, |row| {
        if written.is_ok() {
            written = put(lines, row);
        }
    });
    written?;
    if let Err(error) = read {
        lines.damage(&json!({ "kind": "damage", "file": FILE, "why": error.to_string() }))?;
    }
    Ok(())
}

fn put<W: Write>(lines: &mut Lines<W>, row: Row) -> std::io::Result<()> {
    match row {
        Row::Meta(meta) => lines.put(&meta_line(&meta)),
        Row::Record { record, counts } => lines.put(&record_line(&record, counts)),
        Row::Lease(LeaseRecord { id, ttl, deadline }) => {
            lines.put(&json!({ "kind": "lease", "id": id, "ttl": ttl, "deadline_ms": deadline }))
        }
        Row::Damaged(error) => {
            lines.damage(&json!({ "kind": "damage", "file": FILE, "why": error.to_string() }))
        }
    }
}

fn meta_line(meta: &Meta) -> Value {
    let state = &meta.state;
    let voters = match memberships::decode(&meta.membership) {
        Ok(decoded) => membership(&decoded),
        Err(error) => json!({ "undecodable": error.to_string(), "bytes": bytes(&meta.membership) }),
    };
    json!({
        "kind": "meta",
        "applied": position(meta.applied),
        "revision": state.revision,
        "compact_revision": state.compact_revision,
        "level": state.level,
        "lease_clock_ms": state.lease_clock,
        "lease_term": state.lease_term,
        "members": state.members.iter().map(member).collect::<Vec<_>>(),
        "auth": auth_words::record(&state.auth),
        "membership": voters,
        "records": meta.rows,
    })
}

fn record_line(record: &KeyValue, counts: bool) -> Value {
    let fields = record.fields();
    let mut line = json!({
        "kind": if fields.version == 0 { "tombstone" } else { "record" },
        "revision": format!("{}.{}", fields.mod_revision, fields.sub),
        "key": bytes(record.key()),
        "create_revision": fields.create_revision,
        "mod_revision": fields.mod_revision,
        "version": fields.version,
        "lease": fields.lease,
        "value": bytes(record.value()),
    });
    if !counts {
        line["beyond_meta"] = true.into();
    }
    line
}
