//! Row T4: no key is written twice by one branch of a transaction.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::types::{Error, KeyRange, RequestOp};

/// What the operations of a branch write.
#[derive(Default)]
struct Writes {
    puts: BTreeSet<Bytes>,
    deletes: Vec<KeyRange>,
}

impl Writes {
    fn deletes_contain(&self, key: &[u8]) -> bool {
        self.deletes.iter().any(|range| contains(range, key))
    }
}

/// Whether the interval check sees `key` in `range`. As in etcd a range from a key on ("\0" as its
/// end) is an empty interval to it and slips through.
fn contains(range: &KeyRange, key: &[u8]) -> bool {
    !range.is_from_key() && range.contains(key)
}

/// Checks one branch. Two deletes may overlap; the then and else branches of one nested transaction
/// may write the same keys, two nested transactions of one branch may not.
pub(super) fn check_duplicates(ops: &[RequestOp]) -> Result<(), Error> {
    writes_of(ops).map(|_| ())
}

fn writes_of(ops: &[RequestOp]) -> Result<Writes, Error> {
    let mut all = Writes::default();
    for op in ops {
        if let RequestOp::DeleteRange(delete) = op {
            all.deletes.push(delete.range.clone());
        }
    }
    for op in ops {
        if let RequestOp::Txn(txn) = op {
            let nested = either(writes_of(&txn.success)?, writes_of(&txn.failure)?);
            merge(&mut all, nested)?;
        }
    }
    for op in ops {
        if let RequestOp::Put(put) = op
            && (all.deletes_contain(&put.key) || !all.puts.insert(put.key.clone()))
        {
            return Err(Error::DuplicateKey);
        }
    }
    Ok(all)
}

/// What one of two branches may write.
fn either(mut a: Writes, b: Writes) -> Writes {
    a.puts.extend(b.puts);
    a.deletes.extend(b.deletes);
    a
}

/// Adds what a nested transaction writes to what its neighbours before it do. As in etcd a delete is
/// not checked against the puts of earlier neighbours, only a put against earlier deletes.
fn merge(all: &mut Writes, nested: Writes) -> Result<(), Error> {
    if nested.puts.iter().any(|key| all.puts.contains(key) || all.deletes_contain(key)) {
        return Err(Error::DuplicateKey);
    }
    all.puts.extend(nested.puts);
    all.deletes.extend(nested.deletes);
    Ok(())
}
