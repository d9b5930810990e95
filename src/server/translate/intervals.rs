//! Puts that meet another put or a delete in one branch (T4), by etcd's order of looking:
//!
//! 1. all deletes of the branch itself;
//! 2. its nested transactions one after the other, each one's puts against the puts and deletes seen
//!    so far, then its own puts and deletes added;
//! 3. the puts of the branch itself.
//!
//! So a put in one nested transaction and a delete of it in a *later* one
//! pass, the other order does not; and a delete in from-key form meets nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Included, Unbounded};

use bytes::Bytes;

use crate::types::{Error, KeyRange, RequestOp};

/// Errors: `DuplicateKey`.
pub(super) fn check(ops: &[RequestOp]) -> Result<(), Error> {
    collect(ops).map(|_| ())
}

#[derive(Default)]
struct Touched {
    puts: BTreeSet<Bytes>,
    deletes: Deletes,
}

impl Touched {
    fn add_put(&mut self, key: &Bytes) -> Result<(), Error> {
        if self.puts.contains(key) || self.deletes.contains(key) {
            return Err(Error::DuplicateKey);
        }
        self.puts.insert(key.clone());
        Ok(())
    }
}

fn collect(ops: &[RequestOp]) -> Result<Touched, Error> {
    let mut touched = Touched::default();
    for op in ops {
        if let RequestOp::DeleteRange(delete) = op {
            touched.deletes.add_range(&delete.range);
        }
    }
    for op in ops {
        if let RequestOp::Txn(nested) = op {
            add_nested(&mut touched, collect(&nested.success)?, collect(&nested.failure)?)?;
        }
    }
    for op in ops {
        if let RequestOp::Put(put) = op {
            touched.add_put(&put.key)?;
        }
    }
    Ok(touched)
}

/// Only one of a nested transaction's branches runs, so they may overlap each other.
fn add_nested(touched: &mut Touched, success: Touched, failure: Touched) -> Result<(), Error> {
    for key in &success.puts {
        touched.add_put(key)?;
    }
    for key in failure.puts.difference(&success.puts) {
        touched.add_put(key)?;
    }
    touched.deletes.add_all(success.deletes);
    touched.deletes.add_all(failure.deletes);
    Ok(())
}

/// A set of keys as disjoint half-open intervals, by their begin: every look is logarithmic, however
/// many deletes a request holds.
#[derive(Default)]
struct Deletes(BTreeMap<Vec<u8>, Vec<u8>>);

impl Deletes {
    fn add_range(&mut self, range: &KeyRange) {
        let begin = range.key.to_vec();
        let end =
            if range.is_single() { [range.key.as_ref(), &[0]].concat() } else { range.range_end.to_vec() };
        self.add(begin, end);
    }

    /// An end at or before the begin is empty; so is the from-key form, whose end is one zero byte.
    fn add(&mut self, mut begin: Vec<u8>, mut end: Vec<u8>) {
        if end <= begin {
            return;
        }
        while let Some((other, other_end)) = self.0.range::<Vec<u8>, _>(..=&end).next_back() {
            if *other_end < begin {
                break;
            }
            let other = other.clone();
            end = end.max(self.0.remove(&other).expect("was just found"));
            begin = begin.min(other);
        }
        self.0.insert(begin, end);
    }

    fn add_all(&mut self, other: Deletes) {
        for (begin, end) in other.0 {
            self.add(begin, end);
        }
    }

    fn contains(&self, key: &[u8]) -> bool {
        self.0
            .range::<[u8], _>((Unbounded, Included(key)))
            .next_back()
            .is_some_and(|(_, end)| end.as_slice() > key)
    }
}
