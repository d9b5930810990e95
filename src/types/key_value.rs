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

/// Records up to this many bytes are put together on the stack.
const SMALL_BYTES: usize = 512;

/// Values from this many bytes on have an allocation of their own, of exactly their size: allocators
/// round sizes up, and values of 8 or 10 KiB are common, values a few bytes longer are not.
const APART_BYTES: usize = 4096;

/// What every record has. Most are the first put of their key, without a lease and alone in their
/// transaction: for them this is all, and the other numbers follow from it. Which of the two it is
/// follows from the value's length, so equal records are equal here too.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Header {
    /// The value lies after the key.
    Together {
        key_length: u32,
        /// Whether [`Further`] lies before the key.
        has_further: bool,
        mod_revision: i64,
    },
    /// From [`APART_BYTES`] on. What is needed to find the key is here all the same.
    Apart { key_length: u32, has_further: bool, rest: Box<Rest> },
}

/// Boxed, so that small records do not pay for it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Rest {
    mod_revision: i64,
    value: Box<[u8]>,
}

const _: () = assert!(size_of::<Header>() == 16);

/// The numbers that the header has no place for.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Further {
    create_revision: i64,
    version: i64,
    lease: i64,
    previous: i64,
    sub: u32,
    previous_sub: u32,
}

impl Further {
    const BYTES: usize = 40;

    fn of(fields: KeyValueFields) -> Further {
        let KeyValueFields { create_revision, mod_revision: _, sub, version, lease, previous, previous_sub } =
            fields;
        Further { create_revision, version, lease, previous, sub, previous_sub }
    }

    /// Those of a plain first put at `mod_revision`.
    fn implied(mod_revision: i64) -> Further {
        Further { create_revision: mod_revision, version: 1, lease: 0, previous: 0, sub: 0, previous_sub: 0 }
    }

    fn to_bytes(self) -> [u8; Further::BYTES] {
        let mut bytes = [0; Further::BYTES];
        let words = [self.create_revision, self.version, self.lease, self.previous];
        for (word, place) in words.iter().zip(bytes.chunks_exact_mut(8)) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes[32..36].copy_from_slice(&self.sub.to_ne_bytes());
        bytes[36..].copy_from_slice(&self.previous_sub.to_ne_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; Further::BYTES]) -> Further {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            i64::from_ne_bytes(word)
        };
        let half = |at: usize| {
            let mut half = [0; 4];
            half.copy_from_slice(&bytes[at..at + 4]);
            u32::from_ne_bytes(half)
        };
        Further {
            create_revision: word(0),
            version: word(8),
            lease: word(16),
            previous: word(24),
            sub: half(32),
            previous_sub: half(36),
        }
    }
}

/// One record: a put or a tombstone (`version` 0). One thin allocation for numbers, key and small value
/// together, shared by index, history, readers and watchers (foundations J); a clone copies a
/// pointer. Equal numbers always lie in memory in the same way, so records compare part by part.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeyValue(ThinArc<Header, u8>);

impl KeyValue {
    /// A record of its parts. Keys are shorter than 4 GiB by `limits`.
    pub fn new(fields: KeyValueFields, key: &[u8], value: &[u8]) -> Self {
        let key_length = u32::try_from(key.len()).expect("keys are bounded by the request size");
        let further = Further::of(fields);
        let has_further = further != Further::implied(fields.mod_revision);
        let bytes = further.to_bytes();
        let further = if has_further { &bytes[..] } else { &[] };
        let mod_revision = fields.mod_revision;
        let (header, value) = match value.len() {
            ..APART_BYTES => (Header::Together { key_length, has_further, mod_revision }, value),
            _ => {
                let rest = Box::new(Rest { mod_revision, value: value.into() });
                (Header::Apart { key_length, has_further, rest }, &[][..])
            }
        };
        // All must lie in one slice to be copied at once.
        let mut small = [0; SMALL_BYTES];
        let length = further.len() + key.len() + value.len();
        let Some(joined) = small.get_mut(..length) else {
            return KeyValue(ThinArc::from_header_and_slice(header, &[further, key, value].concat()));
        };
        let (first, rest) = joined.split_at_mut(further.len());
        first.copy_from_slice(further);
        rest[..key.len()].copy_from_slice(key);
        rest[key.len()..].copy_from_slice(value);
        KeyValue(ThinArc::from_header_and_slice(header, joined))
    }

    fn mod_revision(&self) -> i64 {
        match &self.0.header.header {
            Header::Together { mod_revision, .. } => *mod_revision,
            Header::Apart { rest, .. } => rest.mod_revision,
        }
    }

    fn has_further(&self) -> bool {
        let (Header::Together { has_further, .. } | Header::Apart { has_further, .. }) =
            &self.0.header.header;
        *has_further
    }

    fn further(&self) -> Further {
        match self.0.slice.first_chunk() {
            Some(bytes) if self.has_further() => Further::from_bytes(bytes),
            _ => Further::implied(self.mod_revision()),
        }
    }

    fn key_length(&self) -> usize {
        let (Header::Together { key_length, .. } | Header::Apart { key_length, .. }) = &self.0.header.header;
        *key_length as usize
    }

    /// The key, and a value that is not apart.
    fn data(&self) -> &[u8] {
        &self.0.slice[if self.has_further() { Further::BYTES } else { 0 }..]
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
        &self.data()[..self.key_length()]
    }

    /// The value; empty in a tombstone.
    pub fn value(&self) -> &[u8] {
        match &self.0.header.header {
            Header::Together { .. } => &self.data()[self.key_length()..],
            Header::Apart { rest, .. } => &rest.value,
        }
    }

    /// All numbers.
    pub fn fields(&self) -> KeyValueFields {
        let Further { create_revision, version, lease, previous, sub, previous_sub } = self.further();
        let mod_revision = self.mod_revision();
        KeyValueFields { create_revision, mod_revision, sub, version, lease, previous, previous_sub }
    }

    /// Where this change stands in history.
    pub fn revision(&self) -> Revision {
        Revision { main: self.mod_revision(), sub: self.further().sub }
    }

    /// Where this key's previous record stands, if it had one.
    pub fn previous(&self) -> Option<Revision> {
        let Further { previous, previous_sub, .. } = self.further();
        (previous != 0).then_some(Revision { main: previous, sub: previous_sub })
    }

    /// Whether this is a delete.
    pub fn is_tombstone(&self) -> bool {
        self.further().version == 0
    }

    /// Whether this put created its key (W25).
    pub fn is_create(&self) -> bool {
        let further = self.further();
        further.version != 0 && further.create_revision == self.mod_revision()
    }

    /// Bytes of key and value.
    pub fn data_bytes(&self) -> usize {
        self.key().len() + self.value().len()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_gives_back_what_it_was_made_of() {
        let plain = KeyValueFields { create_revision: 7, mod_revision: 7, version: 1, ..Default::default() };
        let variants = [
            plain,
            KeyValueFields { create_revision: 3, version: 2, previous: 3, ..plain },
            KeyValueFields { sub: 1, previous: 7, ..plain },
            KeyValueFields { lease: i64::MIN, ..plain },
            KeyValueFields { previous: 2, previous_sub: u32::MAX, ..plain },
            KeyValueFields { create_revision: 0, version: 0, ..plain },
            KeyValueFields { create_revision: i64::MAX, mod_revision: i64::MIN, ..plain },
            KeyValueFields::default(),
        ];
        for fields in variants {
            let long = [3; APART_BYTES];
            let short = &long[1..];
            for (key, value) in [
                (&b"k"[..], &b"value"[..]),
                (b"", b""),
                (&[1; 300], &[2; 300]),
                (b"k", short),
                (b"", &long),
                (&long, &long),
            ] {
                let record = KeyValue::new(fields, key, value);
                assert_eq!((record.fields(), record.key(), record.value()), (fields, key, value));
                assert_eq!(record.revision(), Revision { main: fields.mod_revision, sub: fields.sub });
                assert_eq!(record.data_bytes(), key.len() + value.len());
                assert_eq!(record, KeyValue::new(fields, key, value));
            }
        }
        assert_ne!(KeyValue::new(plain, b"k", b""), KeyValue::new(variants[1], b"k", b""));
    }
}
