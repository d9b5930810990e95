//! The keys of one lease. Most leases hold none or one, so these two cost no allocation.

use im::OrdSet;

use crate::types::{ByKey, KeyValue};

/// Records by key.
#[derive(Clone, Debug, Default)]
pub(super) enum Keys {
    #[default]
    None,
    One(KeyValue),
    /// Any number of them.
    Many(OrdSet<ByKey>),
}

impl Keys {
    /// Adds `record`, in place of one of the same key.
    pub fn insert(&mut self, record: KeyValue) {
        *self = match std::mem::take(self) {
            Keys::None => Keys::One(record),
            Keys::One(one) if one.key() == record.key() => Keys::One(record),
            Keys::One(one) => Keys::Many([ByKey(one), ByKey(record)].into_iter().collect()),
            Keys::Many(mut many) => {
                many.insert(ByKey(record));
                Keys::Many(many)
            }
        };
    }

    pub fn remove(&mut self, key: &[u8]) {
        match self {
            Keys::One(one) if one.key() == key => *self = Keys::None,
            Keys::Many(many) => {
                many.remove(key);
            }
            _ => {}
        }
    }

    /// The records, by key.
    pub fn iter(&self) -> impl Iterator<Item = &KeyValue> {
        let (one, many) = match self {
            Keys::None => (None, None),
            Keys::One(one) => (Some(one), None),
            Keys::Many(many) => (None, Some(many)),
        };
        one.into_iter().chain(many.into_iter().flatten().map(|record| &record.0))
    }
}
