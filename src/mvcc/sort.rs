//! Sorting many records by key without a cache miss for each comparison.

use crate::types::KeyValue;

/// Bytes of the key compared at once, as a number of the same order.
const WORD: usize = 8;
/// Fewer records than this are sorted by plain comparison.
const FEW: usize = 32;
/// Keys that are equal for this long are compared plainly: recursion is bounded.
const DEEP: usize = 32 * WORD;

/// Sorts by key, and records of one key by revision.
pub(super) fn by_key(records: Vec<KeyValue>) -> impl Iterator<Item = KeyValue> {
    let mut marked: Vec<(u64, KeyValue)> = records.into_iter().map(|record| (0, record)).collect();
    sort_from(&mut marked, 0);
    marked.into_iter().map(|(_, record)| record)
}

/// Sorts records whose keys are equal up to byte `at`: first by the next word, then each run of
/// equal words by what follows.
fn sort_from(records: &mut [(u64, KeyValue)], at: usize) {
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
    records.sort_by_key(|(mark, _)| *mark);
    for run in records.chunk_by_mut(|(left, _), (right, _)| left == right) {
        if run.len() > 1 {
            sort_from(run, at + WORD);
        }
    }
}

/// Up to eight bytes of `key` from `at`, zeros after its end. Equal words do not mean equal keys
/// ("a" and "a\0"); what follows decides.
fn word(key: &[u8], at: usize) -> u64 {
    let mut bytes = [0; WORD];
    let rest = key.get(at..).unwrap_or_default();
    let length = rest.len().min(WORD);
    bytes[..length].copy_from_slice(&rest[..length]);
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::by_key;
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
        expected.sort_by(|a, b| a.key().cmp(b.key()).then(a.revision().cmp(&b.revision())));
        assert!(by_key(records).eq(expected));
    }
}
