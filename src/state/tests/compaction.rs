//! Compaction (1.5): logical at once, removal invisible.

use super::{all_at, compact, delete, put, show};
use crate::state::{Removal, State};
use crate::types::{Error, Revision};

/// 2: a=1, 3: a=2, 4: a deleted, 5: b=1, 6: b=2.
fn filled() -> State {
    let mut state = State::new();
    put(&mut state, "a", "1");
    put(&mut state, "a", "2");
    delete(&mut state, "a", "");
    put(&mut state, "b", "1");
    put(&mut state, "b", "2");
    state
}

fn revisions(state: &State) -> Vec<i64> {
    state.view().records().map(|record| record.revision().main).collect()
}

fn remove_all(state: &mut State) -> Vec<i64> {
    let mut removed = Vec::new();
    loop {
        let Removal { removed: step, more } = state.remove_some(1);
        removed.extend(step.iter().map(|at| at.main));
        if !more {
            removed.sort_unstable();
            return removed;
        }
    }
}

#[test]
fn c1_bounds() {
    let mut state = filled();
    assert_eq!(compact(&mut state, 7), Err(Error::FutureRevision));
    assert_eq!(compact(&mut state, -1), Err(Error::Compacted));
    assert!(compact(&mut state, 0).is_ok());
    assert_eq!(compact(&mut state, 0), Err(Error::Compacted));
    assert!(compact(&mut state, 6).is_ok());
    assert_eq!((state.revision(), state.compact_revision()), (6, 6));
}

#[test]
fn r7_the_compact_revision_is_readable() {
    let mut state = filled();
    compact(&mut state, 5).expect("a past revision");
    let view = state.view();
    assert_eq!(view.range(&all_at(4)), Err(Error::Compacted));
    assert_eq!(show(&view.range(&all_at(5)).expect("readable").kvs), "b=1");
    assert_eq!(show(&view.range(&all_at(0)).expect("readable").kvs), "b=2");
}

#[test]
fn c2_survivors() {
    for (at, survivors) in [(3, vec![3, 4, 5, 6]), (4, vec![4, 5, 6]), (5, vec![5, 6]), (6, vec![6])] {
        let mut state = filled();
        compact(&mut state, at).expect("a past revision");
        let before = (state.digest(), state.view().hash_kv(0));
        assert_eq!(revisions(&state), survivors, "logically, compacted at {at}");
        let removed = remove_all(&mut state);
        assert_eq!(removed, (2..at).filter(|main| !survivors.contains(main)).collect::<Vec<_>>());
        assert_eq!(revisions(&state), survivors, "really, compacted at {at}");
        assert_eq!((state.digest(), state.view().hash_kv(0)), before);
        assert_eq!(state.view().changes(at).map(|record| record.revision().main).next(), Some(at));
    }
}

#[test]
fn c2_a_tombstone_goes_with_the_next_compaction() {
    let mut state = filled();
    compact(&mut state, 4).expect("a past revision");
    remove_all(&mut state);
    compact(&mut state, 5).expect("a past revision");
    assert_eq!(state.remove_some(100).removed, [Revision { main: 4, sub: 0 }]);
    put(&mut state, "a", "3");
    assert_eq!(show(&state.view().range(&all_at(0)).expect("readable").kvs), "a=3 b=2");
}

#[test]
fn w17_no_previous_record_from_a_compacted_revision() {
    let mut state = filled();
    let previous = |state: &State| {
        let view = state.view();
        let record = view.changes(6).next().expect("revision 6");
        show(&view.event(&record).prev_kv)
    };
    assert_eq!(previous(&state), "b=1");
    compact(&mut state, 5).expect("a past revision");
    remove_all(&mut state);
    assert_eq!(previous(&state), "b=1");
    compact(&mut state, 6).expect("the newest revision");
    assert_eq!(previous(&state), "");
}

#[test]
fn d5_size_shrinks() {
    let mut state = State::new();
    assert!(state.view().size_bytes() < 32 * 1024);
    for value in 0..100 {
        put(&mut state, "a", &value.to_string());
    }
    let before = state.view().size_bytes();
    compact(&mut state, 101).expect("the newest revision");
    remove_all(&mut state);
    let one = State::new().view().size_bytes() + 64 + 3;
    assert_eq!((state.view().size_bytes(), state.view().size_in_use_bytes()), (one, one));
    assert!(before > 50 * 64);
}

#[test]
fn a_view_outlives_removal() {
    let mut state = filled();
    let view = state.view();
    compact(&mut state, 6).expect("the newest revision");
    remove_all(&mut state);
    assert_eq!(show(&view.range(&all_at(3)).expect("readable").kvs), "a=2");
    assert_eq!(view.records().count(), 5);
}
