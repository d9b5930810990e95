//! KV.Txn, rows T5–T13: choose the path, check it, run it.

use std::cmp::Ordering;

use super::machine::State;
use crate::mvcc::Write;
use crate::types::{
    Compare, CompareResult, CompareTarget, Error, KeyValue, KeyValueFields, RangeRequest, RequestOp,
    ResponseOp, TxnRequest, TxnResponse, limits,
};

/// The branches chosen, of a transaction and its nested ones, in the order in which running comes
/// to them (T10).
type Path<'a> = std::slice::Iter<'a, bool>;

impl State {
    /// Runs a transaction. An error means that nothing changed.
    pub(super) fn txn(&mut self, request: &TxnRequest, write: &mut Write) -> Result<TxnResponse, Error> {
        if !is_within_depth(request, limits::MAX_TXN_DEPTH) {
            return Err(Error::TooManyOps);
        }
        let mut path = Vec::new();
        self.choose(request, &mut path);
        let may_fail = self.check(request, &mut path.iter())?;
        // Only a put that keeps something of a key deleted by its own transaction can still fail.
        let before = may_fail.then(|| self.clone());
        let result = self.run(request, &mut path.iter(), write);
        if let (Err(_), Some(before)) = (&result, before) {
            *self = before;
            write.changes.clear();
        }
        result
    }

    /// T7, T10: all compares are evaluated before any operation runs.
    fn choose(&self, request: &TxnRequest, path: &mut Vec<bool>) {
        let succeeded = request.compare.iter().all(|compare| self.holds(compare));
        path.push(succeeded);
        for op in branch(request, succeeded) {
            if let RequestOp::Txn(nested) = op {
                self.choose(nested, path);
            }
        }
    }

    /// T12: what can be wrong on the chosen path. Says whether a put keeps a value or lease.
    fn check(&self, request: &TxnRequest, path: &mut Path) -> Result<bool, Error> {
        let succeeded = next(path);
        let mut keeps = false;
        for op in branch(request, succeeded) {
            match op {
                RequestOp::Range(range) => self.check_range(range)?,
                RequestOp::Put(put) => {
                    self.check_put(put)?;
                    keeps |= put.ignore_value || put.ignore_lease;
                }
                RequestOp::DeleteRange(_) => {}
                RequestOp::Txn(nested) => keeps |= self.check(nested, path)?,
            }
        }
        Ok(keeps)
    }

    /// T12: unlike in a plain range, a negative revision counts as an old one.
    fn check_range(&self, request: &RangeRequest) -> Result<(), Error> {
        match request.revision {
            0 => Ok(()),
            revision if revision > self.revision() => Err(Error::FutureRevision),
            revision if revision < self.compact_revision() => Err(Error::Compacted),
            _ => Ok(()),
        }
    }

    fn run(
        &mut self,
        request: &TxnRequest,
        path: &mut Path,
        write: &mut Write,
    ) -> Result<TxnResponse, Error> {
        let succeeded = next(path);
        let ops = branch(request, succeeded);
        let mut responses = Vec::with_capacity(ops.len());
        for op in ops {
            responses.push(self.run_op(op, path, write)?);
        }
        Ok(TxnResponse { succeeded, responses })
    }

    /// Inner headers as etcd fills them: the revision so far; 0 for a nested transaction.
    fn run_op(&mut self, op: &RequestOp, path: &mut Path, write: &mut Write) -> Result<ResponseOp, Error> {
        Ok(match op {
            RequestOp::Range(range) => {
                ResponseOp::Range(self.store.revision_in(write), self.range(range, write)?)
            }
            RequestOp::Put(put) => {
                let response = self.put(put, write)?;
                ResponseOp::Put(self.store.revision_in(write), response)
            }
            RequestOp::DeleteRange(delete) => {
                let response = self.delete_range(delete, write);
                ResponseOp::DeleteRange(self.store.revision_in(write), response)
            }
            RequestOp::Txn(nested) => ResponseOp::Txn(0, self.run(nested, path, write)?),
        })
    }

    /// T5, T6: every key in the range must satisfy; an empty range is one missing key.
    fn holds(&self, compare: &Compare) -> bool {
        let mut records = self.store.live(&compare.range).peekable();
        if records.peek().is_none() {
            let is_value = matches!(compare.target, CompareTarget::Value(_));
            return !is_value && satisfies(compare, KeyValueFields::default(), &[]);
        }
        records.all(|record: &KeyValue| satisfies(compare, record.fields(), record.value()))
    }
}

fn branch(request: &TxnRequest, succeeded: bool) -> &[RequestOp] {
    if succeeded { &request.success } else { &request.failure }
}

fn next(path: &mut Path) -> bool {
    *path.next().expect("the path was chosen over the same transaction")
}

fn satisfies(compare: &Compare, stored: KeyValueFields, value: &[u8]) -> bool {
    let order = match &compare.target {
        CompareTarget::Version(given) => stored.version.cmp(given),
        CompareTarget::CreateRevision(given) => stored.create_revision.cmp(given),
        CompareTarget::ModRevision(given) => stored.mod_revision.cmp(given),
        CompareTarget::Value(given) => value.cmp(given.as_ref()),
        CompareTarget::Lease(given) => stored.lease.cmp(given),
        CompareTarget::Unknown => Ordering::Equal,
    };
    match compare.result {
        CompareResult::Equal => order.is_eq(),
        CompareResult::NotEqual => order.is_ne(),
        CompareResult::Greater => order.is_gt(),
        CompareResult::Less => order.is_lt(),
        CompareResult::Unknown => true,
    }
}

/// Whether no transaction is nested deeper than `depth`; the decoder already refuses those.
fn is_within_depth(request: &TxnRequest, depth: usize) -> bool {
    let nested = request.success.iter().chain(&request.failure).filter_map(|op| match op {
        RequestOp::Txn(nested) => Some(nested),
        _ => None,
    });
    nested.into_iter().all(|nested| depth > 0 && is_within_depth(nested, depth - 1))
}

/// Whether `request` has no write in either branch and no nested transaction (T8).
pub(super) fn is_read_only(request: &TxnRequest) -> bool {
    request.success.iter().chain(&request.failure).all(|op| matches!(op, RequestOp::Range(_)))
}
