//! The newest record of each key, ordered by key.
//!
//! All access to the ordered set is in this file, so that a tree with subtree counts could take its
//! place. A count walks: about 30 ns a key.

use std::ops::Bound;

use im::OrdSet;

use crate::types::{ByKey, KeyRange, KeyValue};

/// One element per key, its newest record, tombstones included.
#[derive(Clone, Debug, Default)]
pub struct Index(OrdSet<ByKey>);

impl Index {
    /// The newest record of `key`.
    pub fn get(&self, key: &[u8]) -> Option<&KeyValue> {
        self.0.get(key).map(|record| &record.0)
    }

    /// Makes `record` its key's newest.
    pub fn put(&mut self, record: KeyValue) {
        self.0.insert(ByKey(record));
    }

    /// Forgets `key`.
    pub fn remove(&mut self, key: &[u8]) {
        self.0.remove(key);
    }

    /// The newest records of the keys in `range` (R2–R4), in key order.
    pub fn range<'a>(&'a self, range: &KeyRange) -> impl Iterator<Item = &'a KeyValue> + use<'a> {
        let key = range.key.as_ref();
        let end = match range.range_end.as_ref() {
            _ if range.is_empty() => Bound::Excluded(key),
            _ if range.is_single() => Bound::Included(key),
            _ if range.is_from_key() => Bound::Unbounded,
            end => Bound::Excluded(end),
        };
        self.0.range::<_, [u8]>((Bound::Included(key), end)).map(|record| &record.0)
    }

    /// All newest records, in key order.
    pub fn iter(&self) -> impl Iterator<Item = &KeyValue> {
        self.0.iter().map(|record| &record.0)
    }
}
