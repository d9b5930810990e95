//! The checkpoint on a disk in memory: what comes back, and power cuts at every step.

mod killed;

use std::sync::{Arc, Mutex};

use crate::runtime::memory::{Crashed, Loss, Memory, MemoryDisk, draw, run};
use crate::types::{
    Command, CompactionRequest, DeleteRangeRequest, Digest, Envelope, KeyRange, LeaseTick, PutRequest,
    RequestId,
};

use super::*;

/// A state with a position, changed by commands drawn from a seed.
struct Member {
    state: State,
    applied: LogPosition,
    changes: Changes,
}

impl Member {
    fn new() -> Self {
        Member { state: State::new(), applied: LogPosition::default(), changes: Changes::default() }
    }

    fn from(loaded: Loaded) -> Self {
        Member { state: loaded.state, applied: loaded.applied, changes: Changes::default() }
    }

    fn step(&mut self, random: &mut u64) {
        let key = Bytes::from(format!("key-{}", draw(random) % 20));
        let command = match draw(random) % 14 {
            0..8 => {
                let value = Bytes::from(vec![b'v'; (draw(random) % 300) as usize]);
                Command::Put(PutRequest { key, value, ..PutRequest::default() })
            }
            8 | 9 => {
                Command::DeleteRange(DeleteRangeRequest { range: KeyRange::single(key), prev_kv: false })
            }
            10 => Command::LeaseGrant { id: (draw(random) % 1000) as i64 - 500, ttl: 60 },
            11 => Command::LeaseRevoke { id: (draw(random) % 1000) as i64 - 500 },
            12 => Command::LeaseTick(LeaseTick {
                term: 1,
                clock_ms: self.state.leases().clock() + draw(random) % 20_000,
                renewed: self.state.leases().iter().map(|(id, _)| id).take(3).collect(),
            }),
            _ => {
                let revision = (draw(random) % self.state.revision() as u64) as i64 + 1;
                Command::Compaction(CompactionRequest { revision, physical: false })
            }
        };
        let request_id = RequestId::default();
        self.applied.index += 1;
        let _ = self.state.apply(&Envelope { request_id, caller: None, client: None, command });
        self.changes.leases.extend(self.state.take_touched_leases());
        if draw(random).is_multiple_of(2) {
            self.changes.removed.extend(self.state.remove_some((draw(random) % 20) as usize).removed);
        }
    }

    async fn save(&mut self, checkpoint: &mut Checkpoint<Memory>) -> Result<(), CheckpointError> {
        let changes = std::mem::take(&mut self.changes);
        checkpoint.save(&self.state.view(), self.applied, membership(self.applied), changes).await
    }
}

fn membership(applied: LogPosition) -> Bytes {
    Bytes::from(format!("members at {}", applied.index))
}

async fn open(disk: &MemoryDisk) -> (Checkpoint<Memory>, Option<Loaded>) {
    Checkpoint::open(disk.clone()).await.expect("opens")
}

/// Compares all that can be asked of two states.
fn assert_same(left: &State, right: &State) {
    assert_eq!(left.meta(), right.meta());
    assert_eq!(left.digest(), right.digest());
    let records = |state: &State| state.view().records().collect::<Vec<_>>();
    assert_eq!(records(left), records(right));
    assert_eq!(right.recompute_digest(), right.digest());
}

#[test]
fn every_save_comes_back() {
    for seed in 0..40 {
        let (disk, mut random) = (MemoryDisk::default(), seed);
        let mut member = Member::new();
        for _ in 0..8 {
            let (mut checkpoint, loaded) = run(open(&disk)).unwrap();
            assert_eq!(loaded.is_some(), member.applied.index > 0);
            if let Some(loaded) = loaded {
                assert_eq!(
                    (loaded.applied, &loaded.membership),
                    (member.applied, &membership(member.applied))
                );
                assert_same(&member.state, &loaded.state);
                member = Member::from(loaded);
            }
            for _ in 0..3 {
                (0..draw(&mut random) % 60).for_each(|_| member.step(&mut random));
                run(member.save(&mut checkpoint)).unwrap().unwrap();
            }
            member.applied.index += u64::from(member.applied.index == 0);
            run(member.save(&mut checkpoint)).unwrap().unwrap();
        }
    }
}

#[test]
fn rows_that_were_removed_are_gone_from_the_file() {
    let disk = MemoryDisk::default();
    let mut member = Member::new();
    let (mut checkpoint, _) = run(open(&disk)).unwrap();
    let mut random = 5;
    (0..2000).for_each(|_| member.step(&mut random));
    run(member.save(&mut checkpoint)).unwrap().unwrap();
    let held = member.state.view().held(0).count();
    assert!(held > 50);
    let revision = member.state.revision();
    let command = Command::Compaction(CompactionRequest { revision, physical: false });
    let _ = member.state.apply(&Envelope {
        request_id: RequestId::default(),
        caller: None,
        client: None,
        command,
    });
    while member.state.remove_some(100).more {}
    // Not reported: only in memory. After a restart removal must find all of it again.
    run(member.save(&mut checkpoint)).unwrap().unwrap();
    drop(checkpoint);
    let (mut checkpoint, loaded) = run(open(&disk)).unwrap();
    let mut again = Member::from(loaded.unwrap());
    assert_eq!(again.state.view().held(0).count(), held);
    loop {
        let removal = again.state.remove_some(100);
        again.changes.removed.extend(removal.removed);
        if !removal.more {
            break;
        }
    }
    run(again.save(&mut checkpoint)).unwrap().unwrap();
    drop(checkpoint);
    let (_, loaded) = run(open(&disk)).unwrap();
    let state = loaded.unwrap().state;
    assert!(state.view().held(0).count() <= 21);
    assert_same(&member.state, &state);
}

/// What may be found after a cut: digest and position of the last durable save, and of one that
/// was under way.
#[derive(Clone, Default)]
struct Allowed {
    durable: Option<(LogPosition, Digest)>,
    under_way: Option<(LogPosition, Digest)>,
}

/// One life: loads, checks, changes and saves until cut in disk operation `step` (0: never).
fn live(disk: &MemoryDisk, allowed: &Arc<Mutex<Allowed>>, random: &mut u64, step: u64, context: &str) -> u64 {
    if step > 0 {
        disk.fail_at(step);
    }
    let result: Result<(), Crashed> = run(async {
        let (mut checkpoint, loaded) = match Checkpoint::<Memory>::open(disk.clone()).await {
            Ok(opened) => opened,
            Err(error) => {
                assert!(step > 0, "{context}: {error}");
                return;
            }
        };
        let found = loaded.as_ref().map(|loaded| (loaded.applied, loaded.state.digest()));
        {
            let mut allowed = allowed.lock().unwrap();
            let Allowed { durable, under_way } = allowed.clone();
            assert!(
                found == durable || found == under_way,
                "{context}: {found:?}, {durable:?}, {under_way:?}"
            );
            *allowed = Allowed { durable: found, under_way: None };
        }
        let mut member = loaded.map_or_else(Member::new, Member::from);
        for save in 0..6 {
            (0..draw(random) % 50 + 1).for_each(|_| member.step(random));
            allowed.lock().unwrap().under_way = Some((member.applied, member.state.digest()));
            let saved = if save == 3 {
                member.changes = Changes::default();
                checkpoint.replace(&member.state.view(), member.applied, Bytes::new()).await
            } else {
                member.save(&mut checkpoint).await
            };
            if saved.is_err() {
                assert!(step > 0, "{context}");
                return;
            }
            let mut allowed = allowed.lock().unwrap();
            allowed.durable = allowed.under_way.take();
        }
    });
    result.unwrap();
    disk.operations()
}

#[test]
fn a_cut_at_every_step_leaves_a_whole_save() {
    let seed = 3;
    let steps = live(&MemoryDisk::default(), &Arc::default(), &mut seed.clone(), 0, "uncut");
    for step in 1..=steps {
        for loss in [Loss::All, Loss::None, Loss::Some(step)] {
            let context = format!("cut at {step} of {steps}, {loss:?}");
            let (disk, allowed, mut random) = (MemoryDisk::default(), Arc::default(), seed);
            live(&disk, &allowed, &mut random, step, &context);
            disk.cut(loss);
            live(&disk, &allowed, &mut random, 0, &context);
        }
    }
}

#[test]
fn many_lives_with_cuts_anywhere() {
    for seed in 0..60 {
        let (disk, allowed, mut random) = (MemoryDisk::default(), Arc::default(), seed);
        for round in 0..12 {
            let step = draw(&mut random) % 150 + 1;
            let loss = [Loss::All, Loss::None, Loss::Some(draw(&mut random))][draw(&mut random) as usize % 3];
            let context = format!("seed {seed}, round {round}, cut at {step}, {loss:?}");
            live(&disk, &allowed, &mut random, step, &context);
            disk.cut(loss);
        }
        live(&disk, &allowed, &mut random, 0, "in the end");
    }
}

#[test]
fn a_damaged_file_is_an_error_or_what_was_saved() {
    let disk = MemoryDisk::default();
    let mut random = 7;
    let (mut member, mut saved) = (Member::new(), Vec::new());
    run(async {
        let (mut checkpoint, _) = open(&disk).await;
        for _ in 0..4 {
            (0..30).for_each(|_| member.step(&mut random));
            member.save(&mut checkpoint).await.expect("saves");
            saved.push(member.state.digest());
        }
    })
    .expect("no crash");
    const PATH: &str = "checkpoint/state.redb";
    let mut good = Vec::new();
    disk.damage(PATH, |bytes| good.clone_from(bytes));
    let mut refused = 0;
    for _ in 0..600 {
        let mut bad = good.clone();
        let near = if draw(&mut random).is_multiple_of(2) { 12_288 } else { bad.len() };
        let (at, count) = (draw(&mut random) as usize % near, 1 << (draw(&mut random) % 12));
        let fill = draw(&mut random) as u8;
        bad.iter_mut().skip(at).take(count).for_each(|byte| *byte = fill);
        disk.damage(PATH, |bytes| *bytes = bad);
        match run(async { Checkpoint::<Memory>::open(disk.clone()).await.map(|(_, loaded)| loaded) }) {
            Ok(Ok(Some(loaded))) => assert!(saved.contains(&loaded.state.digest()), "nobody saved that"),
            Ok(Ok(None)) => panic!("a checkpoint that is there was not seen"),
            Ok(Err(error)) => {
                assert!(!error.to_string().contains('\n'), "{error}");
                assert!(!error.is_medium(), "the medium did what it was asked: {error}");
                refused += 1;
            }
            Err(crashed) => panic!("{crashed:?}"),
        }
    }
    assert!(refused > 80, "{refused}");
}
