//! Whatever may happen to a hub, in any order, against the log alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;

/// What may happen to a hub.
#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<&'static str>),
    Create {
        stream: usize,
        range: (&'static str, &'static str),
        back: i64,
    },
    Take {
        stream: usize,
        bytes: usize,
    },
    CatchUp {
        stream: usize,
    },
    Progress {
        stream: usize,
    },
    Cancel {
        stream: usize,
        watch_id: i64,
    },
    /// All queues, as when memory runs short.
    GiveBack,
    Compact {
        back: i64,
    },
    /// Revisions that a snapshot brings at once.
    Jump(Vec<&'static str>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let keys = || prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "-a"]), 1..3);
    let range = || prop::sample::select(vec![("a", ""), ("b", ""), ("a", "c"), ("a", "\0")]);
    let step = prop_oneof![
        8 => keys().prop_map(Step::Commit),
        2 => (0..3usize, range(), -3..9i64).prop_map(|(stream, range, back)| Step::Create { stream, range, back }),
        4 => (0..3usize, 1..2000usize).prop_map(|(stream, bytes)| Step::Take { stream, bytes }),
        4 => (0..3usize).prop_map(|stream| Step::CatchUp { stream }),
        1 => (0..3usize).prop_map(|stream| Step::Progress { stream }),
        1 => (0..3usize, 0..4i64).prop_map(|(stream, watch_id)| Step::Cancel { stream, watch_id }),
        1 => Just(Step::GiveBack),
        1 => (0..6i64).prop_map(|back| Step::Compact { back }),
        1 => keys().prop_map(Step::Jump),
    ];
    prop::collection::vec(step, 0..120)
}

/// What one watcher must still get, by the log alone.
struct Expected {
    range: KeyRange,
    next: i64,
    /// Its client cancelled it at some time.
    is_asked_to_end: bool,
    done: bool,
}

impl Expected {
    fn check(&mut self, log: &Log, output: &Output) {
        let wanted = |upto: i64| -> Vec<KeyValue> {
            let revisions = self.next..=upto;
            let fits = |kv: &&KeyValue| {
                self.range.contains(kv.key()) && revisions.contains(&kv.fields().mod_revision)
            };
            log.records.iter().filter(fits).cloned().collect()
        };
        match output {
            Output::Events { events, .. } => {
                assert!(!self.done);
                let all: Vec<_> = events.as_slice().iter().map(|event| event.kv().clone()).collect();
                let last = all.last().expect("never empty").fields().mod_revision;
                assert_eq!(all, wanted(last));
                self.next = last + 1;
            }
            Output::Progress { revision, .. } => assert!(wanted(*revision).is_empty()),
            Output::Canceled { compact_revision, .. } => {
                assert!(self.is_asked_to_end || self.next < *compact_revision);
                self.done = true;
            }
            _ => {}
        }
    }
}

proptest! {
    /// Whatever happens, each watcher gets every event it asked for, once, in order, by whole
    /// revisions, or is cancelled because compaction passed what it needs.
    #[test]
    fn nothing_is_lost_whatever_happens(steps in steps()) {
        let mut world = World::new();
        let streams: Vec<SessionId> = (0..3).map(|_| world.hub.open()).collect();
        let mut watchers: Vec<BTreeMap<i64, Expected>> = (0..3).map(|_| BTreeMap::new()).collect();
        let mut asked: Vec<VecDeque<(KeyRange, i64)>> = (0..3).map(|_| VecDeque::new()).collect();
        let mut cancels = BTreeSet::new();
        let mut outputs: Vec<(usize, Output)> = Vec::new();
        for step in steps {
            match step {
                Step::Commit(keys) => world.commit(&keys),
                Step::Jump(keys) => world.jump(&keys),
                Step::Create { stream, range: (key, end), back } => {
                    let start = (world.log.revision - back).max(0);
                    let spec = create(key, end, start);
                    asked[stream].push_back((spec.range.clone(), start));
                    world.hub.create(streams[stream], spec);
                }
                Step::Take { stream, bytes } => {
                    let mut taken = Vec::new();
                    world.hub.take(streams[stream], bytes, &mut taken);
                    outputs.extend(taken.into_iter().map(|output| (stream, output)));
                }
                Step::CatchUp { stream } => {
                    if let Some(step) = world.hub.plan_catch_up(streams[stream]) {
                        let found = step.run();
                        world.hub.finish_catch_up(found);
                    }
                }
                Step::Progress { stream } => world.hub.request_progress(streams[stream]),
                Step::Cancel { stream, watch_id } => {
                    cancels.insert((stream, watch_id));
                    world.hub.cancel(streams[stream], watch_id);
                }
                Step::GiveBack => world.hub.give_back(),
                Step::Compact { back } => {
                    world.log.compact_revision = world.log.compact_revision.max(world.log.revision - back);
                    world.hub.publish(world.log.clone(), &[]);
                }
            }
        }
        for (number, id) in streams.iter().enumerate() {
            world.hub.request_progress(*id);
            outputs.extend(world.drain(*id).into_iter().map(|output| (number, output)));
        }
        for (stream, output) in &outputs {
            let known = &mut watchers[*stream];
            if let Output::Created { watch_id, revision } = output {
                let (range, start) = asked[*stream].pop_front().expect("asked for");
                let next = if start == 0 { revision + 1 } else { start };
                let is_asked_to_end = cancels.contains(&(*stream, *watch_id));
                known.insert(*watch_id, Expected { range, next, is_asked_to_end, done: false });
            }
            let id = match output {
                Output::Events { watch_id, .. } | Output::Canceled { watch_id, .. } => *watch_id,
                Output::Progress { .. } => {
                    known.values_mut().filter(|w| !w.done).for_each(|w| w.check(&world.log, output));
                    continue;
                }
                _ => continue,
            };
            known.get_mut(&id).expect("created").check(&world.log, output);
        }
        let last = Output::Progress { watch_id: -1, revision: world.log.revision };
        watchers.iter_mut().flat_map(BTreeMap::values_mut).filter(|w| !w.done).for_each(|w| w.check(&world.log, &last));
        prop_assert_eq!(world.hub.queued_bytes, 0);
    }
}
