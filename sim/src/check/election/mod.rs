//! The rules of elections, online; one file a rule, named after the guarantee. The name of the checker
//! is `election-` and that of the file. That at most one leads, and by which token, the rules of locks
//! tell: both stand in the same kind of queue (docs/COORDINATION.md).

mod leader;
mod observed;
mod proclaimed;
mod value;

use etched_proto::etcdserverpb as pb;
use etched_proto::mvccpb::KeyValue;
use etched_testkit::model::Model;
use etched_testkit::{Request, Response};
use pb::range_request::{SortOrder, SortTarget};

use super::history::History;
use super::lock::Wanted;
use super::violation::Checked;
pub use leader::Question;
pub use observed::Followed;

/// What is counted of elections. What they are the model's history tells.
#[derive(Debug, Default)]
pub struct Elections {
    won: u64,
    seen: u64,
}

impl Elections {
    /// How often an election was won, and how many leaders and values were seen by who observes.
    pub fn counts(&self) -> [u64; 2] {
        [self.won, self.seen]
    }

    /// A campaign with `value` was answered.
    pub fn won(&mut self, history: &History, wanted: &Wanted, value: &[u8]) -> Checked {
        self.won += 1;
        value::is_proclaimed(history, wanted, value)
    }

    /// A leader of whom somebody asked, or that nobody leads.
    pub fn told(&self, history: &History, question: &Question, answer: Option<(&KeyValue, i64)>) -> Checked {
        leader::leads(history, question, answer)
    }

    /// What an observer was told at `revision`.
    pub fn observed(
        &mut self,
        history: &History,
        followed: &mut Followed,
        kv: &KeyValue,
        revision: i64,
    ) -> Checked {
        self.seen += 1;
        followed.next(history.model(), kv, revision)
    }

    /// A leader by the key that was created at `created` proclaimed `value`: at that revision, or it was
    /// told that it does not lead.
    pub fn proclaimed(
        &self,
        history: &History,
        key: &[u8],
        created: i64,
        value: Option<(&[u8], i64)>,
    ) -> Checked {
        match value {
            Some((value, revision)) => proclaimed::is_there(history, key, created, value, revision),
            None => proclaimed::is_over(history, key, created),
        }
    }
}

/// Who leads `name` at `revision`: the oldest key below it.
fn leader_at(model: &Model, name: &[u8], revision: i64) -> Option<KeyValue> {
    let oldest = Request::Range(pb::RangeRequest {
        key: [name, b"/".as_slice()].concat().into(),
        range_end: [name, b"0".as_slice()].concat().into(),
        limit: 1,
        sort_order: SortOrder::Ascend.into(),
        sort_target: SortTarget::Create.into(),
        ..Default::default()
    });
    match model.read_at(&oldest, revision)? {
        Ok(Response::Range(range)) => range.kvs.into_iter().next(),
        _ => None,
    }
}

/// The current record of `key`, if it is the one that was created at `created`.
fn is_held(model: &Model, key: &[u8], created: i64) -> bool {
    let get = Request::Range(pb::RangeRequest { key: key.to_vec().into(), ..Default::default() });
    match model.read_at(&get, model.revision()) {
        Some(Ok(Response::Range(range))) => range.kvs.iter().any(|kv| kv.create_revision == created),
        _ => false,
    }
}
