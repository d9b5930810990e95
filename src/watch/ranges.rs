//! Which watchers' ranges hold a key: an ordered map for single keys, and an implicit interval
//! tree over the distinct ranges, rebuilt when enough of them have changed.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::types::KeyRange;

/// Changed ranges that are scanned one by one before the tree is rebuilt.
const RECENT_LIMIT: usize = 64;

/// The index of ranges to watchers, by the hub's watcher numbers.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    single: BTreeMap<Bytes, Vec<usize>>,
    groups: BTreeMap<KeyRange, Vec<usize>>,
    /// Sorted by start; `tree[i].1` is the greatest end in its subtree (`None`: unbounded).
    tree: Vec<(KeyRange, Option<Bytes>)>,
    /// Ranges in `groups` that `tree` does not hold yet.
    recent: Vec<KeyRange>,
}

impl Ranges {
    pub fn insert(&mut self, range: &KeyRange, watcher: usize) {
        if range.is_single() {
            self.single.entry(range.key.clone()).or_default().push(watcher);
            return;
        }
        let group = self.groups.entry(range.clone()).or_default();
        group.push(watcher);
        if group.len() == 1 && self.tree.binary_search_by(|(r, _)| r.cmp(range)).is_err() {
            self.recent.push(range.clone());
            if self.recent.len() > RECENT_LIMIT {
                self.rebuild();
            }
        }
    }

    pub fn remove(&mut self, range: &KeyRange, watcher: usize) {
        if range.is_single() {
            if let Some(group) = self.single.get_mut(&range.key) {
                group.retain(|w| *w != watcher);
                if group.is_empty() {
                    self.single.remove(&range.key);
                }
            }
            return;
        }
        if let Some(group) = self.groups.get_mut(range) {
            group.retain(|w| *w != watcher);
            if group.is_empty() {
                self.groups.remove(range);
                self.recent.retain(|r| r != range);
                // The tree may keep ranges without watchers for a while; they match nobody.
                if self.tree.len() > 2 * self.groups.len() + RECENT_LIMIT {
                    self.rebuild();
                }
            }
        }
    }

    /// Calls `visit` with each watcher whose range holds `key`.
    pub fn visit(&self, key: &[u8], mut visit: impl FnMut(usize)) {
        if let Some(group) = self.single.get(key) {
            group.iter().copied().for_each(&mut visit);
        }
        let mut group_of = |range: &KeyRange| {
            if let Some(group) = self.groups.get(range) {
                group.iter().copied().for_each(&mut visit);
            }
        };
        for range in self.recent.iter().filter(|range| range.contains(key)) {
            group_of(range);
        }
        visit_tree(&self.tree, key, &mut group_of);
    }

    fn rebuild(&mut self) {
        self.recent.clear();
        self.tree = self.groups.keys().map(|range| (range.clone(), None)).collect();
        augment(&mut self.tree);
    }
}

/// The end of a range, `None` when it reaches to the end of the key space.
fn end_of(range: &KeyRange) -> Option<Bytes> {
    (!range.is_from_key()).then(|| range.range_end.clone())
}

fn later(a: Option<Bytes>, b: Option<Bytes>) -> Option<Bytes> {
    Some(a?.max(b?))
}

/// Fills in the greatest ends: the middle of a slice is its subtree's root.
fn augment(tree: &mut [(KeyRange, Option<Bytes>)]) -> Option<Option<Bytes>> {
    if tree.is_empty() {
        return None;
    }
    let middle = tree.len() / 2;
    let (left, rest) = tree.split_at_mut(middle);
    let (root, right) = rest.split_first_mut()?;
    let mut end = end_of(&root.0);
    for side in [augment(left), augment(right)].into_iter().flatten() {
        end = later(end, side);
    }
    root.1 = end.clone();
    Some(end)
}

fn visit_tree(tree: &[(KeyRange, Option<Bytes>)], key: &[u8], visit: &mut impl FnMut(&KeyRange)) {
    let middle = tree.len() / 2;
    let Some((range, greatest)) = tree.get(middle) else { return };
    if greatest.as_ref().is_some_and(|end| end.as_ref() <= key) {
        return;
    }
    visit_tree(&tree[..middle], key, visit);
    if range.contains(key) {
        visit(range);
    }
    if range.key.as_ref() <= key {
        visit_tree(&tree[middle + 1..], key, visit);
    }
}
