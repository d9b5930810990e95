//! Exclusive: who is told that it holds a lock was the oldest below its name at some revision, so
//! that at each revision at most one holds.

use etched_proto::etcdserverpb as pb;
use etched_testkit::{Request, Response};

use super::super::history::History;
use super::super::violation::{Checked, violation};
use super::Wanted;

/// Nobody is older any more at the last revision at which the key of `wanted` was there, by now.
pub(super) fn is_first(history: &History, wanted: &Wanted) -> Checked {
    let model = history.model();
    let Some((created, joined)) = history.joined(wanted.op) else {
        violation!("lock-exclusive", "{wanted:?} was answered, but no committed entry joined its queue");
    };
    let mut later = model.changes(joined + 1, model.revision());
    let gone =
        later.find(|(_, changes)| changes.iter().any(|c| c.is_delete && c.kv.key == wanted.key.as_slice()));
    let last = gone.map_or(model.revision(), |(revision, _)| revision - 1);
    let older = Request::Range(pb::RangeRequest {
        key: [&wanted.name, b"/".as_slice()].concat().into(),
        range_end: [&wanted.name, b"0".as_slice()].concat().into(),
        max_create_revision: created - 1,
        ..Default::default()
    });
    match model.read_at(&older, last) {
        Some(Ok(Response::Range(range))) if range.kvs.is_empty() => Ok(()),
        found => violation!(
            "lock-exclusive",
            "{wanted:?} holds with token {created}, but up to revision {last} others are older: {found:?}"
        ),
    }
}
