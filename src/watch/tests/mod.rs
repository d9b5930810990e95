//! The hub against a small history of its own.

mod anything;

use std::sync::Arc;

use super::*;
use crate::types::{Event, KeyRange, KeyValueFields, Revision};

#[derive(Clone, Default)]
struct Log {
    records: Arc<Vec<KeyValue>>,
    compact_revision: i64,
    revision: i64,
}

impl History for Log {
    fn revision(&self) -> i64 {
        self.revision
    }
    fn compact_revision(&self) -> i64 {
        self.compact_revision
    }
    fn changes(&self, from: i64) -> impl Iterator<Item = KeyValue> + '_ {
        self.records.iter().filter(move |kv| kv.fields().mod_revision >= from).cloned()
    }
    fn event(&self, kv: &KeyValue) -> Event {
        Event { kv: kv.clone(), prev_kv: None }
    }
}

struct World {
    log: Log,
    hub: Hub<Log>,
}

impl World {
    fn new() -> Self {
        let log = Log { revision: 1, ..Log::default() };
        World { hub: Hub::new(log.clone()), log }
    }

    /// One revision that changes `keys`; a leading `-` deletes.
    fn commit(&mut self, keys: &[&str]) {
        let records = self.log(keys);
        let events: Vec<Event> = records.iter().map(|kv| Event { kv: kv.clone(), prev_kv: None }).collect();
        self.hub.publish(self.log.clone(), &events);
    }

    /// The same, but it comes with a snapshot.
    fn jump(&mut self, keys: &[&str]) {
        self.log(keys);
        self.hub.jump(self.log.clone());
    }

    fn log(&mut self, keys: &[&str]) -> Vec<KeyValue> {
        let main = self.log.revision + 1;
        let record = |(sub, key): (usize, &&str)| {
            let sub = u32::try_from(sub).expect("small");
            match key.strip_prefix('-') {
                Some(key) => KeyValue::tombstone(key.as_bytes(), Revision { main, sub }, Revision::default()),
                None => {
                    let fields =
                        KeyValueFields { mod_revision: main, sub, version: 1, ..KeyValueFields::default() };
                    KeyValue::new(fields, key.as_bytes(), b"v")
                }
            }
        };
        let records: Vec<KeyValue> = keys.iter().enumerate().map(record).collect();
        Arc::make_mut(&mut self.log.records).extend(records.iter().cloned());
        self.log.revision = main;
        records
    }

    /// Everything the stream gets until it is idle.
    fn drain(&mut self, id: SessionId) -> Vec<Output> {
        let mut outputs = Vec::new();
        while !self.hub.is_idle(id) {
            let before = outputs.len();
            self.hub.take(id, 1, &mut outputs);
            if outputs.len() == before
                && let Some(step) = self.hub.plan_catch_up(id)
            {
                let found = step.run();
                self.hub.finish_catch_up(found);
            }
        }
        outputs
    }
}

fn create(key: &str, end: &str, start: i64) -> Create {
    Create {
        range: KeyRange::new(key.as_bytes().to_vec(), end.as_bytes().to_vec()),
        start_revision: start,
        watch_id: 0,
        filters: Filters::default(),
        prev_kv: false,
        progress_notify: false,
        fragment: false,
    }
}

/// (watch id, mod revision, key) of each event.
fn events(outputs: &[Output]) -> Vec<(i64, i64, String)> {
    let mut found = Vec::new();
    for output in outputs {
        if let Output::Events { watch_id, events, .. } = output {
            for event in events.as_slice() {
                let key = String::from_utf8_lossy(event.kv().key()).into_owned();
                found.push((*watch_id, event.kv().fields().mod_revision, key));
            }
        }
    }
    found
}

#[test]
fn w6_from_now_sees_only_what_comes() {
    let mut world = World::new();
    world.commit(&["a"]);
    let id = world.hub.open();
    world.hub.create(id, create("a", "", 0));
    world.commit(&["a", "b"]);
    world.commit(&["b"]);
    let outputs = world.drain(id);
    assert_eq!(outputs[0], Output::Created { watch_id: 0, revision: 2 });
    assert_eq!(events(&outputs), [(0, 3, "a".to_string())]);
}

#[test]
fn w7_from_the_past_replays_inclusive_then_follows() {
    let mut world = World::new();
    for _ in 0..5 {
        world.commit(&["a"]);
    }
    let id = world.hub.open();
    world.hub.create(id, create("a", "b", 4));
    let first = events(&world.drain(id));
    world.commit(&["a"]);
    let second = events(&world.drain(id));
    assert_eq!(first.iter().map(|(_, rev, _)| *rev).collect::<Vec<_>>(), [4, 5, 6]);
    assert_eq!(second.iter().map(|(_, rev, _)| *rev).collect::<Vec<_>>(), [7]);
}

#[test]
fn w8_a_future_start_delivers_nothing_early() {
    let mut world = World::new();
    let id = world.hub.open();
    world.hub.create(id, create("a", "", 4));
    world.hub.request_progress(id);
    world.commit(&["a"]);
    world.commit(&["a"]);
    assert_eq!(world.drain(id), [Output::Created { watch_id: 0, revision: 1 }]);
    world.commit(&["a"]);
    assert_eq!(events(&world.drain(id)).len(), 1);
}

#[test]
fn w3_w5_w9_refusals_are_created_and_canceled_at_once() {
    let mut world = World::new();
    let id = world.hub.open();
    world.hub.create(id, create("b", "a", 0));
    world.hub.create(id, create("a", "", -1));
    world.hub.create(id, Create { watch_id: 7, ..create("a", "", 0) });
    world.hub.create(id, Create { watch_id: 7, ..create("a", "", 0) });
    // A start below zero comes before all other faults, as in etcd.
    world.hub.create(id, Create { watch_id: 7, ..create("b", "a", -1) });
    let outputs = world.drain(id);
    let reason = |output: &Output| match output {
        Output::Refused { reason, .. } => Some(*reason),
        _ => None,
    };
    let empty = "mvcc: watcher range is empty";
    let compacted = "etcdserver: mvcc: required revision has been compacted";
    let duplicate = "mvcc: duplicate watch ID provided on the WatchStream";
    let reasons: Vec<&str> = outputs.iter().filter_map(reason).collect();
    assert_eq!(reasons, [empty, compacted, duplicate, compacted]);
}

#[test]
fn w10_w11_compaction_cancels_once_with_its_revision() {
    let mut world = World::new();
    for _ in 0..4 {
        world.commit(&["a"]);
    }
    world.log.compact_revision = 4;
    world.hub.publish(world.log.clone(), &[]);
    let id = world.hub.open();
    world.hub.create(id, create("a", "", 3));
    world.hub.create(id, create("a", "", 4));
    let outputs = world.drain(id);
    assert!(outputs.contains(&Output::Canceled { watch_id: 0, revision: 5, compact_revision: 4 }));
    assert_eq!(events(&outputs).iter().map(|(id, rev, _)| (*id, *rev)).collect::<Vec<_>>(), [(1, 4), (1, 5)]);
}

#[test]
fn a_full_stream_lags_and_misses_nothing() {
    let mut world = World::new();
    let id = world.hub.open();
    world.hub.create(id, create("a", "z", 0));
    world.hub.create(id, create("b", "", 0));
    for i in 0..3000 {
        world.commit(if i % 2 == 0 { &["a", "b"] } else { &["b", "-a"] });
    }
    let seen = events(&world.drain(id));
    let of = |id: i64| seen.iter().filter(|(w, ..)| *w == id).map(|(_, rev, _)| *rev).collect::<Vec<_>>();
    let both: Vec<i64> = (2..=3001).flat_map(|rev| [rev, rev]).collect();
    assert_eq!(of(0), both);
    assert_eq!(of(1), (2..=3001).collect::<Vec<_>>());
}

#[test]
fn w14_events_of_one_revision_stay_together() {
    let mut world = World::new();
    let id = world.hub.open();
    world.hub.create(id, create("a", "z", 0));
    world.hub.create(id, create("b", "z", 0));
    world.commit(&["a", "b", "c"]);
    let outputs = world.drain(id);
    let size =
        |o: &Output| if let Output::Events { events, .. } = o { Some(events.as_slice().len()) } else { None };
    let sizes: Vec<usize> = outputs.iter().filter_map(size).collect();
    assert_eq!(sizes, [3, 2]);
}

#[test]
fn w13_cancel_drops_what_was_queued() {
    let mut world = World::new();
    let id = world.hub.open();
    world.hub.create(id, create("a", "", 0));
    world.commit(&["a"]);
    world.hub.cancel(id, 0);
    world.hub.cancel(id, 99);
    world.commit(&["a"]);
    let outputs = world.drain(id);
    assert!(events(&outputs).is_empty());
    assert_eq!(outputs.last(), Some(&Output::Canceled { watch_id: 0, revision: 2, compact_revision: 0 }));
}

#[test]
fn w16_filters_leave_kinds_out() {
    let mut world = World::new();
    let id = world.hub.open();
    let filters = Filters { no_put: true, no_delete: false };
    world.hub.create(id, Create { filters, ..create("a", "", 0) });
    world.commit(&["a"]);
    world.commit(&["-a"]);
    assert_eq!(events(&world.drain(id)), [(0, 3, "a".to_string())]);
}

#[test]
fn w19_w20_progress_stands_behind_all_events() {
    let mut world = World::new();
    let id = world.hub.open();
    world.hub.create(id, create("a", "", 0));
    world.commit(&["a"]);
    world.hub.request_progress(id);
    let outputs = world.drain(id);
    assert_eq!(outputs.last(), Some(&Output::Progress { watch_id: -1, revision: 2 }));
    world.hub.create(id, create("a", "", 1));
    world.hub.request_progress(id);
    assert!(!world.drain(id).contains(&Output::Progress { watch_id: -1, revision: 2 }));
}

#[test]
fn w20_a_cancel_takes_nothing_from_before_progress() {
    let mut world = World::new();
    let id = world.hub.open();
    world.hub.create(id, create("a", "", 0));
    world.hub.create(id, create("b", "", 0));
    world.commit(&["a"]);
    world.hub.request_progress(id);
    world.commit(&["a"]);
    world.hub.cancel(id, 0);
    let outputs = world.drain(id);
    let events = |output: &Output| matches!(output, Output::Events { watch_id: 0, revision: 2, .. });
    assert!(events(&outputs[2]), "{outputs:?}");
    let ends = [
        Output::Progress { watch_id: -1, revision: 2 },
        Output::Canceled { watch_id: 0, revision: 3, compact_revision: 0 },
    ];
    assert_eq!(outputs[3..], ends, "nothing of revision 3");
}

#[test]
fn many_ranges_find_their_keys_like_a_plain_scan() {
    let mut ranges = super::ranges::Ranges::default();
    let mut all = Vec::new();
    let key = |n: usize| format!("{:04}", n * 7919 % 5000).into_bytes();
    for n in 0..600 {
        let (a, b) = (key(n), key(n + 31));
        let end = if n % 50 == 0 { vec![0] } else { b };
        let range = KeyRange::new(a, end);
        if !range.is_empty() {
            ranges.insert(&range, n);
            all.push((range, n));
        }
    }
    for (range, n) in all.iter().filter(|(_, n)| n % 3 == 0) {
        ranges.remove(range, *n);
    }
    all.retain(|(_, n)| n % 3 != 0);
    for n in 0..200 {
        let key = key(n * 13);
        let mut found = Vec::new();
        ranges.visit(&key, |w| found.push(w));
        found.sort_unstable();
        let plain: Vec<usize> = all.iter().filter(|(r, _)| r.contains(&key)).map(|(_, n)| *n).collect();
        assert_eq!(found, plain);
    }
}

#[test]
fn queues_of_streams_that_stand_still_are_given_back() {
    let mut world = World::new();
    let ids: Vec<SessionId> = (0..40).map(|_| world.hub.open()).collect();
    for id in &ids {
        world.hub.create(*id, create("a", "z", 0));
    }
    let reader = ids[39];
    let mut read = Vec::new();
    for _ in 0..300 {
        world.commit(&["a"]);
        read.extend(world.drain(reader));
        assert!(world.hub.queued_bytes <= 70 * 1024, "{}", world.hub.queued_bytes);
    }
    let revisions = |outputs: &[Output]| events(outputs).iter().map(|(_, main, _)| *main).collect::<Vec<_>>();
    let all: Vec<i64> = (2..=301).collect();
    assert_eq!(revisions(&read), all);
    for id in &ids[..39] {
        assert_eq!(revisions(&world.drain(*id)), all);
    }
    assert_eq!(world.hub.queued_bytes, 0);
}
