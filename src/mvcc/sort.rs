//! Sorting many records by key without a cache miss for each comparison.

use crate::types::KeyValue;

/// Bytes of the key compared at once, as a number of the same order.
const WORD: usize = 16;
/// Fewer records than this are sorted by plain comparison.
const FEW: usize = 32;
/// Keys that are equal for this long are compared plainly: recursion is bounded.
const DEEP: usize = 16 * WORD;

/// A record and a word of its key.
pub(super) type Marked = (u128, KeyValue);

/// A record with its key's first word, taken while the record is at hand.
pub(super) fn mark(record: KeyValue) -> Marked {
    (word(record.key(), 0), record)
}

/// The newest record of each key, in key order. `records` hold their keys' first words.
pub(super) fn newest_by_key(mut records: Vec<Marked>) -> impl Iterator<Item = KeyValue> {
    sort_marked(&mut records, 0);
    let mut records = records.into_iter().peekable();
    std::iter::from_fn(move || {
        loop {
            let (mark, record) = records.next()?;
            // Records of one key always get the same marks, so most need no look at the key.
            let is_newest =
                records.peek().is_none_or(|(next, after)| *next != mark || after.key() != record.key());
            if is_newest {
                return Some(record);
            }
        }
    })
}

/// Sorts records whose keys are equal up to byte `at`, records of one key by revision: first by the
/// next word, then each run of equal words by what follows.
fn sort_from(records: &mut [Marked], at: usize) {
    let have_ended = records.iter().all(|(_, record)| record.key().len() <= at);
    if records.len() < FEW || at >= DEEP || have_ended {
        records.sort_by(|(_, left), (_, right)| {
            left.key().cmp(right.key()).then_with(|| left.revision().cmp(&right.revision()))
        });
        return;
    }
    for (mark, record) in records.iter_mut() {
        *mark = word(record.key(), at);
    }
    sort_marked(records, at);
}

/// The same for records that are marked with their words at `at`.
fn sort_marked(records: &mut [Marked], at: usize) {
    records.sort_unstable_by_key(|(mark, _)| *mark);
    for run in records.chunk_by_mut(|(left, _), (right, _)| left == right) {
        if run.len() > 1 {
            sort_from(run, at + WORD);
        }
    }
}

/// Up to sixteen bytes of `key` from `at`, zeros after its end. Equal words do not mean equal keys
/// ("a" and "a\0"); what follows decides.
fn word(key: &[u8], at: usize) -> u128 {
    let mut bytes = [0; WORD];
    let rest = key.get(at..).unwrap_or_default();
    let length = rest.len().min(WORD);
    bytes[..length].copy_from_slice(&rest[..length]);
    u128::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::{mark, newest_by_key};
    use crate::types::{KeyValue, KeyValueFields};

    #[test]
    fn sorts_like_plain_comparison() {
        let mut records = Vec::new();
        for i in 0..2000_i64 {
            let long = "p".repeat((i % 7) as usize * 50);
            let key = format!("{long}{}", (i * 7919) % 300).into_bytes();
            let zeros = vec![0; (i % 3) as usize * 4];
            let fields = KeyValueFields { mod_revision: i, version: 1, ..KeyValueFields::default() };
            records.push(KeyValue::new(fields, &[key, zeros].concat(), b""));
        }
        let mut expected = records.clone();
        expected.sort_by(|a, b| a.key().cmp(b.key()).then(b.revision().cmp(&a.revision())));
        expected.dedup_by(|a, b| a.key() == b.key());
        assert!(newest_by_key(records.into_iter().map(mark).collect()).eq(expected));
    }
}
