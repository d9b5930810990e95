//! Doctored histories: a clean one passes every checker, each mutation is found by its name.

mod election;
mod history;
mod lease;
mod lock;
mod members;
mod permission;
mod raft;
mod twice;
mod watch;
mod wgl;

use etched::types::{LogPosition, RequestId};

use super::History;
use super::violation::Checked;

/// Entry `index` comes of `op` and is applied; the product is at `revision` after it.
fn entry(history: &mut History, index: u64, op: u64, revision: i64) -> Checked {
    let request_id = RequestId { member: 1, incarnation: 1, sequence: index };
    history.proposed(request_id, Some(op))?;
    history.applied(LogPosition { term: 1, leader: 1, index }, Some(request_id), revision)
}

/// The checker that found a rule broken.
fn broken(checked: Checked) -> &'static str {
    checked.expect_err("a broken rule").checker
}
