//! The state machine by rows of etcd-surface.

use super::{Applied, State};
use crate::types::{
    Command, CompactionRequest, DeleteRangeRequest, Envelope, Error, KeyRange, PutRequest, RangeRequest,
    RequestId, Response,
};

mod auth;
mod compaction;
mod kv;
mod leases;
mod random;
mod restore;
mod retries;
mod txn;

fn apply(state: &mut State, command: Command) -> Applied {
    state.apply(&Envelope { request_id: RequestId::default(), caller: None, client: None, command })
}

fn put_request(key: &str, value: &str) -> PutRequest {
    PutRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        prev_kv: true,
        ..PutRequest::default()
    }
}

fn put(state: &mut State, key: &str, value: &str) -> Applied {
    apply(state, Command::Put(put_request(key, value)))
}

fn delete_request(key: &str, end: &str) -> DeleteRangeRequest {
    DeleteRangeRequest { range: range_of(key, end), prev_kv: true }
}

fn delete(state: &mut State, key: &str, end: &str) -> Applied {
    apply(state, Command::DeleteRange(delete_request(key, end)))
}

fn compact(state: &mut State, revision: i64) -> Result<Response, Error> {
    apply(state, Command::Compaction(CompactionRequest { revision, physical: false })).response
}

fn range_of(key: &str, end: &str) -> KeyRange {
    KeyRange::new(key.to_owned(), end.to_owned())
}

fn read(key: &str, end: &str) -> RangeRequest {
    RangeRequest::newest(range_of(key, end))
}

/// Everything at `revision`.
fn all_at(revision: i64) -> RangeRequest {
    RangeRequest { revision, ..read("\0", "\0") }
}

/// `key=value` of each record, by spaces.
fn show<'a>(records: impl IntoIterator<Item = &'a crate::types::KeyValue>) -> String {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let shown = records.into_iter().map(|record| format!("{}={}", text(record.key()), text(record.value())));
    shown.collect::<Vec<_>>().join(" ")
}
