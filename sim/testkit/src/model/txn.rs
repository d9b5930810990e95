//! KV.Txn: rows T5–T13.

use std::cmp::Ordering;

use etched_proto::etcdserverpb as pb;
use pb::compare::TargetUnion;
use pb::request_op::Request as Op;
use pb::response_op::Response as Answer;

use super::{Model, errors, header};
use crate::Failure;

impl Model {
    /// A transaction through the log, or a read-only one at the newest revision.
    pub(super) fn txn(&mut self, request: &pb::TxnRequest) -> Result<pb::TxnResponse, Failure> {
        let before = self.revision;
        self.check_path(request, before, self.compact_revision)?;
        let result = self.run(request, before);
        match result {
            Ok(answer) => Ok(pb::TxnResponse { header: self.commit(), ..answer }),
            Err(error) => {
                self.roll_back();
                Err(error)
            }
        }
    }

    /// A transaction of ranges, as the store stood at `now`.
    pub(super) fn read_txn(
        &self,
        request: &pb::TxnRequest,
        now: i64,
        compacted: i64,
    ) -> Result<pb::TxnResponse, Failure> {
        self.check_path(request, now, compacted)?;
        let (succeeded, branch) = self.branch(request, now);
        let mut responses = Vec::new();
        for op in branch {
            if let Some(Op::RequestRange(range)) = &op.request {
                responses.push(answer(Answer::ResponseRange(self.range(range, now, compacted)?)));
            }
        }
        Ok(pb::TxnResponse { header: header(now), succeeded, responses })
    }

    /// The branch that the compares choose at revision `at`.
    fn branch<'a>(&self, request: &'a pb::TxnRequest, at: i64) -> (bool, &'a [pb::RequestOp]) {
        let succeeded = request.compare.iter().all(|compare| self.holds(compare, at));
        (succeeded, if succeeded { &request.success } else { &request.failure })
    }

    /// T12: what is wrong on the chosen path, before anything is written.
    fn check_path(&self, request: &pb::TxnRequest, now: i64, compacted: i64) -> Result<(), Failure> {
        for op in self.branch(request, now).1 {
            match &op.request {
                Some(Op::RequestRange(range)) if range.revision > now => {
                    return Err(errors::future_revision());
                }
                // A negative revision counts as an old one.
                Some(Op::RequestRange(range)) if range.revision != 0 && range.revision < compacted => {
                    return Err(errors::compacted());
                }
                Some(Op::RequestPut(put)) => self.check_put(put)?,
                Some(Op::RequestTxn(nested)) => self.check_path(nested, now, compacted)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// T11: operations in order, each sees what those before it wrote; but all compares look at the
    /// store before any of them (T10), at revision `before`.
    fn run(&mut self, request: &pb::TxnRequest, before: i64) -> Result<pb::TxnResponse, Failure> {
        let (succeeded, branch) = self.branch(request, before);
        let mut responses = Vec::new();
        for op in branch {
            let done = match &op.request {
                Some(Op::RequestRange(range)) => {
                    Answer::ResponseRange(self.range(range, self.revision_so_far(), self.compact_revision)?)
                }
                Some(Op::RequestPut(put)) => Answer::ResponsePut(self.put(put)?),
                Some(Op::RequestDeleteRange(delete)) => {
                    Answer::ResponseDeleteRange(self.delete_range(delete))
                }
                Some(Op::RequestTxn(nested)) => Answer::ResponseTxn(self.run(nested, before)?),
                None => return Err(errors::key_not_found()),
            };
            responses.push(answer(done));
        }
        Ok(pb::TxnResponse { header: None, succeeded, responses })
    }

    /// T5, T6.
    fn holds(&self, compare: &pb::Compare, at: i64) -> bool {
        let found = self.live(&compare.key, &compare.range_end, at);
        if found.is_empty() {
            // A missing key: zeros, and no value at all.
            return compare.target != VALUE && satisfies(compare, &Default::default());
        }
        found.iter().all(|kv| satisfies(compare, kv))
    }
}

const VALUE: i32 = 3;

fn satisfies(compare: &pb::Compare, kv: &etched_proto::mvccpb::KeyValue) -> bool {
    let given = &compare.target_union;
    let order = match (compare.target, given) {
        (0, Some(TargetUnion::Version(given))) => kv.version.cmp(given),
        (0, _) => kv.version.cmp(&0),
        (1, Some(TargetUnion::CreateRevision(given))) => kv.create_revision.cmp(given),
        (1, _) => kv.create_revision.cmp(&0),
        (2, Some(TargetUnion::ModRevision(given))) => kv.mod_revision.cmp(given),
        (2, _) => kv.mod_revision.cmp(&0),
        (VALUE, Some(TargetUnion::Value(given))) => kv.value.cmp(given),
        (VALUE, _) => (kv.value.as_ref() as &[u8]).cmp(&[]),
        (4, Some(TargetUnion::Lease(given))) => kv.lease.cmp(given),
        (4, _) => kv.lease.cmp(&0),
        _ => Ordering::Equal,
    };
    match compare.result {
        0 => order.is_eq(),
        1 => order.is_gt(),
        2 => order.is_lt(),
        3 => order.is_ne(),
        _ => true,
    }
}

fn answer(response: Answer) -> pb::ResponseOp {
    pb::ResponseOp { response: Some(response) }
}
