//! Sets of keys as merged intervals.

use bytes::Bytes;

use crate::types::KeyRange;

/// Where an interval ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// Before this key.
    Before(Bytes),
    /// Nowhere. Greater than any other end.
    Open,
}

/// Keys, as intervals in order that neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Intervals(Vec<(Bytes, End)>);

impl Intervals {
    /// The keys of all `ranges`. Ranges that hold no key add none.
    pub fn new<'a>(ranges: impl Iterator<Item = &'a KeyRange>) -> Self {
        let mut all: Vec<(Bytes, End)> =
            ranges.filter(|range| !range.is_empty()).map(|range| (range.key.clone(), end(range))).collect();
        all.sort_unstable();
        let mut merged: Vec<(Bytes, End)> = Vec::with_capacity(all.len());
        for (begin, end) in all {
            match merged.last_mut() {
                Some((_, last)) if *last >= End::Before(begin.clone()) => {
                    if *last < end {
                        *last = end;
                    }
                }
                _ => merged.push((begin, end)),
            }
        }
        Intervals(merged)
    }

    /// Whether every key of `range` is among them; for a range without keys, whether its first is.
    pub fn contains(&self, range: &KeyRange) -> bool {
        let after = self.0.partition_point(|(begin, _)| *begin <= range.key);
        let Some((_, last)) = after.checked_sub(1).map(|index| &self.0[index]) else { return false };
        *last > End::Before(range.key.clone()) && *last >= end(range)
    }

    /// Whether `key` is among them.
    pub fn contains_key(&self, key: &[u8]) -> bool {
        let after = self.0.partition_point(|(begin, _)| begin.as_ref() <= key);
        after.checked_sub(1).is_some_and(|index| match &self.0[index].1 {
            End::Before(end) => key < end.as_ref(),
            End::Open => true,
        })
    }
}

/// Where a range ends: one key ends right behind itself.
fn end(range: &KeyRange) -> End {
    if range.is_from_key() {
        return End::Open;
    }
    if range.is_single() {
        return End::Before([range.key.as_ref(), &[0]].concat().into());
    }
    End::Before(range.range_end.clone())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(key: &str, end: &str) -> KeyRange {
        KeyRange::new(key.as_bytes().to_vec(), end.as_bytes().to_vec())
    }

    fn of(ranges: &[(&str, &str)]) -> Intervals {
        let ranges: Vec<KeyRange> = ranges.iter().map(|(key, end)| range(key, end)).collect();
        Intervals::new(ranges.iter())
    }

    #[test]
    fn a6_merged() {
        let two = of(&[("a", "c"), ("c", "e")]);
        assert_eq!(two.0.len(), 1);
        assert!(two.contains(&range("a", "e")) && two.contains(&range("d", "")));
        assert!(!two.contains(&range("a", "f")) && !two.contains(&range("e", "")));
        let gap = of(&[("a", "b"), ("c", "d")]);
        assert!(!gap.contains(&range("a", "d")) && gap.contains(&range("c", "cz")));
    }

    /// A grant of one key is no grant of all from it on (GHSA-xg4h-6gfc-h4m8).
    #[test]
    fn a6_from_key_needs_all() {
        let one = of(&[("a", "")]);
        assert!(one.contains(&range("a", "")));
        assert!(!one.contains(&range("a", "\0")) && !one.contains(&range("a", "b")));
        let all = of(&[("\0", "\0")]);
        assert!(all.contains(&range("a", "\0")) && all.contains(&range("\0", "\0")));
        let from = of(&[("b", "\0"), ("a", "b")]);
        assert!(from.contains(&range("a", "\0")) && !from.contains(&range("", "\0")));
    }

    #[test]
    fn nothing_is_granted_by_nothing() {
        let none = of(&[("b", "a"), ("c", "c")]);
        assert_eq!(none, Intervals::default());
        assert!(!none.contains(&range("b", "a")) && !none.contains(&range("c", "")));
    }

    proptest! {
        /// Against every short key.
        #[test]
        fn contains_is_contains(
            granted in prop::collection::vec(("[ab]{1,3}", "|\0|[ab]{1,3}"), 0..6),
            key in "[ab]{1,3}",
            end in "|\0|[ab]{1,3}",
        ) {
            let granted: Vec<KeyRange> = granted.iter().map(|(key, end)| range(key, end)).collect();
            let asked = range(&key, &end);
            let intervals = Intervals::new(granted.iter());
            let mut keys = vec![String::new()];
            for length in 0..4 {
                let longer: Vec<String> = keys.iter().filter(|key| key.len() == length)
                    .flat_map(|key| ["\0", "a", "b", "c"].map(|letter| format!("{key}{letter}"))).collect();
                keys.extend(longer);
            }
            keys.retain(|key| !key.is_empty() && asked.contains(key.as_bytes()));
            let all = keys.iter().all(|key| granted.iter().any(|range| range.contains(key.as_bytes())));
            if !asked.is_empty() {
                // Whatever is allowed is granted key by key; the other way round holds but for keys
                // longer than those looked at.
                prop_assert!(!intervals.contains(&asked) || all);
                if asked.is_single() {
                    prop_assert_eq!(intervals.contains(&asked), all);
                    prop_assert_eq!(intervals.contains_key(&asked.key), all);
                }
            }
        }
    }
}
