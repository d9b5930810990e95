//! Power cuts at every step, compared with a model.
//!
//! The model is the list of states after each elementary operation. After a cut the recovered log
//! must be one of the states from the last acknowledged operation on: nothing acknowledged is
//! lost, what is there is a prefix of what was handed over, and the vote never goes back.

use std::sync::{Arc, Mutex};

use crate::runtime::memory::{Loss, draw, run};

use super::*;

#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    entries: Vec<LogEntry>,
    purged: Option<LogPosition>,
    vote: Option<Vote>,
}

impl Model {
    fn last(&self) -> Option<LogPosition> {
        self.entries.last().map(|entry| entry.position).or(self.purged)
    }
}

/// States by operation, and how many are acknowledged.
#[derive(Default)]
struct History {
    states: Vec<Model>,
    acknowledged: Arc<Mutex<usize>>,
    term: u64,
}

impl History {
    fn now(&self) -> Model {
        self.states.last().cloned().unwrap_or_default()
    }

    fn change(&mut self, change: impl FnOnce(&mut Model)) {
        let mut model = self.now();
        change(&mut model);
        self.states.push(model);
    }

    fn acknowledge(&self) -> impl FnOnce() + Send + use<> {
        let (acknowledged, count) = (self.acknowledged.clone(), self.states.len());
        move || {
            let mut acknowledged = acknowledged.lock().unwrap();
            assert!(*acknowledged <= count, "acknowledged out of order");
            *acknowledged = count;
        }
    }

    /// After a cut: finds the recovered state among those allowed, and goes on from it.
    fn recovered(&mut self, found: Model, context: &str) {
        let acknowledged = *self.acknowledged.lock().unwrap();
        let first = acknowledged.saturating_sub(1);
        let allowed = || std::iter::once(Model::default()).take(usize::from(acknowledged == 0));
        let known = allowed().chain(self.states.iter().skip(first).cloned()).any(|state| state == found);
        assert!(known, "{context}: {found:?} is none of {:?}", &self.states[first.min(self.states.len())..]);
        self.states = vec![found];
        *self.acknowledged.lock().unwrap() = 1;
    }
}

/// Up to `steps` operations drawn from `seed`, until the power goes.
async fn work(wal: &Wal<Memory>, history: &Mutex<History>, seed: &mut u64, steps: usize) -> io::Result<()> {
    for _ in 0..steps {
        let kind = draw(seed) % 10;
        let model = history.lock().unwrap().now();
        if kind < 6 {
            let count = draw(seed) % 4 + 1;
            let mut entries = Vec::new();
            let mut history = history.lock().unwrap();
            for _ in 0..count {
                let index = history.now().last().map_or(0, |last| last.index + 1);
                let new = entry(history.term, index, (draw(seed) % 900) as usize);
                history.change(|model| model.entries.push(new.clone()));
                entries.push(new);
            }
            let acknowledge = history.acknowledge();
            wal.append(entries, move |result| {
                if result.is_ok() {
                    acknowledge();
                }
            });
        } else if kind < 8 {
            let acknowledge = {
                let mut history = history.lock().unwrap();
                history.term += 1;
                let vote = vote(history.term);
                history.change(|model| model.vote = Some(vote));
                history.acknowledge()
            };
            let vote = history.lock().unwrap().now().vote.unwrap();
            wal.save_vote(vote).await?;
            acknowledge();
        } else if kind == 8 && !model.entries.is_empty() {
            let keep = draw(seed) as usize % model.entries.len();
            let after = (keep > 0).then(|| model.entries[keep - 1].position).or(model.purged);
            let acknowledge = {
                let mut history = history.lock().unwrap();
                history.term += 1;
                history.change(|model| model.entries.truncate(keep));
                history.acknowledge()
            };
            wal.truncate_after(after).await?;
            acknowledge();
        } else if kind == 9 && !model.entries.is_empty() {
            let gone = draw(seed) as usize % model.entries.len();
            let position = model.entries[gone].position;
            let acknowledge = {
                let mut history = history.lock().unwrap();
                history.change(|model| {
                    model.entries.drain(..=gone);
                    model.purged = Some(position);
                });
                history.acknowledge()
            };
            wal.purge(position).await?;
            acknowledge();
        }
        wal.save_committed(wal.last());
        crate::runtime::memory::yield_now().await;
    }
    wal.flush().await
}

async fn found(wal: &Wal<Memory>, recovered: &Recovered) -> Model {
    let model = Model { entries: all(wal).await, purged: recovered.purged, vote: recovered.vote };
    assert_eq!(recovered.last, model.last());
    model
}

/// One life: opens, checks, works until cut in operation `step` of the disk (0: never). Says how
/// many operations there were.
fn live(disk: &MemoryDisk, history: &Mutex<History>, seed: &mut u64, step: u64, context: &str) -> u64 {
    if step > 0 {
        disk.fail_at(step);
    }
    let _ = run(async {
        let Ok((wal, recovered)) = Wal::<Memory>::open(disk.clone(), options()).await else {
            assert!(step > 0, "{context}: does not open");
            return;
        };
        let found = found(&wal, &recovered).await;
        history.lock().unwrap().recovered(found, context);
        let _ = work(&wal, history, seed, 25).await;
    });
    disk.operations()
}

fn losses(seed: u64) -> [Loss; 4] {
    [Loss::All, Loss::None, Loss::Some(seed), Loss::Some(!seed)]
}

#[test]
fn a_cut_at_every_step_loses_nothing_acknowledged() {
    for seed in 0..6 {
        let steps = live(&MemoryDisk::default(), &Mutex::default(), &mut seed.clone(), 0, "uncut");
        for step in 1..=steps {
            for loss in losses(seed * 1000 + step) {
                let context = format!("seed {seed}, cut at {step}, {loss:?}");
                let (disk, history, mut random) = (MemoryDisk::default(), Mutex::default(), seed);
                live(&disk, &history, &mut random, step, &context);
                disk.cut(loss);
                live(&disk, &history, &mut random, 0, &context);
            }
        }
    }
}

#[test]
fn many_lives_with_cuts_anywhere() {
    for seed in 0..150u64 {
        let (disk, history, mut random) = (MemoryDisk::default(), Mutex::default(), seed);
        let mut incarnation = 0;
        for round in 0..25 {
            // Short lives cut recovery itself.
            let step = if draw(&mut random).is_multiple_of(3) {
                draw(&mut random) % 6
            } else {
                draw(&mut random) % 60
            };
            let loss = losses(draw(&mut random))[draw(&mut random) as usize % 4];
            let context = format!("seed {seed}, round {round}, cut at {}, {loss:?}", step + 1);
            live(&disk, &history, &mut random, step + 1, &context);
            if draw(&mut random).is_multiple_of(3) {
                disk.restart();
                live(&disk, &history, &mut random, step + 1, &context);
            }
            disk.cut(loss);
            let recovered = run(async { open(&disk).await.1 }).unwrap();
            assert!(recovered.incarnation > incarnation, "{context}");
            incarnation = recovered.incarnation;
            disk.cut(Loss::None);
        }
    }
}
