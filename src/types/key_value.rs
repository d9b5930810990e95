//! Keys, revisions and the records the store keeps.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;

use bytes::Bytes;
use triomphe::ThinArc;

/// A place in the store's history: `main` counts changing requests, `sub` the changes inside one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// The revision clients see (`mod_revision`).
    pub main: i64,
    /// Order inside one transaction, from 0.
    pub sub: u32,
}

/// A half-open range of keys as etcd spells it (R2–R4): empty `range_end` means the single `key`,
/// `range_end` = one zero byte means every key >= `key`, `range_end` <= `key` is empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyRange {
    /// First key.
    pub key: Bytes,
    /// End, exclusive; see above for the two special spellings.
    pub range_end: Bytes,
}

impl KeyRange {
    /// The range that holds just `key`.
    pub fn single(key: impl Into<Bytes>) -> Self {
        KeyRange { key: key.into(), range_end: Bytes::new() }
    }

    /// A range from etcd's two fields.
    pub fn new(key: impl Into<Bytes>, range_end: impl Into<Bytes>) -> Self {
        KeyRange { key: key.into(), range_end: range_end.into() }
    }

    /// Whether this names one key (R2).
    pub fn is_single(&self) -> bool {
        self.range_end.is_empty()
    }

    /// Whether this reaches to the end of the key space (R3).
    pub fn is_from_key(&self) -> bool {
        self.range_end.as_ref() == [0]
    }

    /// Whether no key can be in it (R4).
    pub fn is_empty(&self) -> bool {
        !self.is_single() && !self.is_from_key() && self.range_end <= self.key
    }

    /// Whether `key` is in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        if self.is_single() {
            return key == self.key.as_ref();
        }
        key >= self.key.as_ref() && (self.is_from_key() || key < self.range_end.as_ref())
    }
}

/// The numbers of a [`KeyValue`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeyValueFields {
    /// Revision of the put that created the key; 0 in a tombstone.
    pub create_revision: i64,
    /// Revision of this change.
    pub mod_revision: i64,
    /// Place inside the transaction.
    pub sub: u32,
    /// 1 for a created key, growing by one with each put; 0 in a tombstone.
    pub version: i64,
    /// The lease attached by this put, 0 for none.
    pub lease: i64,
    /// Main revision of this key's previous record (tombstones included), 0 if there is none.
    /// Not seen by clients: it links the history of one key.
    pub previous: i64,
    /// Place of that previous record inside its transaction.
    pub previous_sub: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Header {
    fields: KeyValueFields,
    key_length: u32,
}

/// One record: a put or a tombstone (`version` 0). One thin allocation for numbers, key and value
/// together, shared by index, history, readers and watchers (foundations J); a clone copies a
/// pointer.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeyValue(ThinArc<Header, u8>);

impl KeyValue {
    /// A record of its parts. Keys are shorter than 4 GiB by `limits`.
    pub fn new(fields: KeyValueFields, key: &[u8], value: &[u8]) -> Self {
        let key_length = u32::try_from(key.len()).expect("keys are bounded by the request size");
        let bytes = Joined { key, value, at: 0 };
        KeyValue(ThinArc::from_header_and_iter(Header { fields, key_length }, bytes))
    }

    /// A tombstone (D5): only key and place. `previous` is [`KeyValue::revision`] of the record it
    /// ends, the default for none.
    pub fn tombstone(key: &[u8], revision: Revision, previous: Revision) -> Self {
        let fields = KeyValueFields {
            mod_revision: revision.main,
            sub: revision.sub,
            previous: previous.main,
            previous_sub: previous.sub,
            ..KeyValueFields::default()
        };
        KeyValue::new(fields, key, &[])
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        &self.0.slice[..self.0.header.header.key_length as usize]
    }

    /// The value; empty in a tombstone.
    pub fn value(&self) -> &[u8] {
        &self.0.slice[self.0.header.header.key_length as usize..]
    }

    /// All numbers.
    pub fn fields(&self) -> KeyValueFields {
        self.0.header.header.fields
    }

    /// Where this change stands in history.
    pub fn revision(&self) -> Revision {
        let fields = self.fields();
        Revision { main: fields.mod_revision, sub: fields.sub }
    }

    /// Where this key's previous record stands, if it had one.
    pub fn previous(&self) -> Option<Revision> {
        let fields = self.fields();
        (fields.previous != 0).then_some(Revision { main: fields.previous, sub: fields.previous_sub })
    }

    /// Whether this is a delete.
    pub fn is_tombstone(&self) -> bool {
        self.fields().version == 0
    }

    /// Whether this put created its key (W25).
    pub fn is_create(&self) -> bool {
        let fields = self.fields();
        fields.version != 0 && fields.create_revision == fields.mod_revision
    }

    /// Bytes of key and value.
    pub fn data_bytes(&self) -> usize {
        self.0.slice.len()
    }
}

impl fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.fields();
        write!(
            f,
            "{}@{}.{} v{} ({} B)",
            self.key().escape_ascii(),
            fields.mod_revision,
            fields.sub,
            fields.version,
            self.value().len()
        )
    }
}

/// Key and value one after the other, with an exact length, as `ThinArc` wants them.
struct Joined<'a> {
    key: &'a [u8],
    value: &'a [u8],
    at: usize,
}

impl Iterator for Joined<'_> {
    type Item = u8;
    fn next(&mut self) -> Option<u8> {
        let at = self.at;
        self.at += 1;
        self.key.get(at).or_else(|| self.value.get(at - self.key.len())).copied()
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.key.len() + self.value.len()).saturating_sub(self.at);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Joined<'_> {}

/// A record that stands for its key: equal and ordered by the key alone, so that an ordered set of
/// records is a map from key to record without a second copy of the key.
#[derive(Clone, Debug)]
pub struct ByKey(pub KeyValue);

impl Borrow<[u8]> for ByKey {
    fn borrow(&self) -> &[u8] {
        self.0.key()
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl Eq for ByKey {}

impl PartialOrd for ByKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.key().cmp(other.0.key())
    }
}

/// One change as watchers see it: the record, and the record it replaced (a live one only).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The put or tombstone.
    pub kv: KeyValue,
    /// The live record before it, if any.
    pub prev_kv: Option<KeyValue>,
}
