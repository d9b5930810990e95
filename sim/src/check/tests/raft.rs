//! Doctored histories for the Raft checks: a clean one passes, each mutation is found by its name.

use etched::runtime::{LogFingerprint, Observation, Role};
use etched::types::{LogPosition, Vote};

use crate::check::disk_log::tests::{Segment, entry, vote};
use crate::check::{Checked, Raft};

fn at(term: u64, index: u64) -> LogPosition {
    LogPosition { term, leader: term, index }
}

fn print(term: u64, index: u64, hash: u64) -> LogFingerprint {
    LogFingerprint { position: at(term, index), hash }
}

/// What happens to the checker.
#[derive(Clone)]
enum Step {
    See(u32, Observation),
    Sync(u32, Vec<(u8, Vec<u8>)>),
    SyncCheckpoint(u32),
}

fn recovered(node: u32) -> Step {
    let recovered = Observation::Recovered {
        member: node.into(),
        incarnation: 1,
        applied: None,
        digest: 0,
        last_log: None,
        vote: None,
    };
    Step::See(node, recovered)
}

fn voted(term: u64, candidate: u64, committed: bool) -> Observation {
    Observation::VoteSaved(Vote { term, voted_for: Some(candidate), committed })
}

fn applied(term: u64, index: u64, hash: u64, digest: u128) -> Observation {
    let position = at(term, index);
    Observation::Applied { position, hash, request_id: None, revision: 1, digest: Some(digest) }
}

/// Three nodes, node 1 leads term 1, entries 0 and 1 are replicated, committed and applied.
fn clean() -> Vec<Step> {
    let mut steps: Vec<Step> = (1..=3).map(recovered).collect();
    steps.push(Step::Sync(1, vec![vote(1, 1, false)]));
    steps.push(Step::See(1, voted(1, 1, false)));
    steps.push(Step::Sync(2, vec![vote(1, 1, false)]));
    steps.push(Step::See(2, voted(1, 1, false)));
    steps.push(Step::See(2, Observation::VoteGranted { term: 1, candidate: 1 }));
    steps.push(Step::See(1, Observation::RoleChanged { term: 1, role: Role::Leader, leader: Some(1) }));
    for node in [1, 2] {
        steps.push(Step::See(node, Observation::Appended(vec![print(1, 0, 10), print(1, 1, 11)])));
        steps.push(Step::Sync(node, vec![entry(1, 0, b"a"), entry(1, 1, b"b")]));
        steps.push(Step::See(node, Observation::Synced(Some(at(1, 1)))));
    }
    steps.push(Step::See(2, Observation::AppendAcknowledged(at(1, 1))));
    for node in [1, 2] {
        steps.push(Step::See(node, Observation::Committed(at(1, 1))));
        steps.push(Step::See(node, applied(1, 0, 10, 100)));
        steps.push(Step::See(node, applied(1, 1, 11, 101)));
    }
    steps.push(Step::SyncCheckpoint(1));
    steps.push(Step::See(1, Observation::Checkpointed { position: at(1, 1), digest: 101 }));
    steps.push(Step::See(1, Observation::Purged(at(1, 0))));
    steps
}

fn run(steps: &[Step]) -> Checked {
    let mut raft = Raft::new(&[1, 2, 3]);
    let mut segments: Vec<Segment> = (0..4).map(|_| Segment::new(1)).collect();
    for step in steps {
        match step {
            Step::See(node, observation) => raft.observe(*node, observation)?,
            Step::SyncCheckpoint(node) => raft.synced(*node, "checkpoint/state.redb", &[]),
            Step::Sync(node, records) => {
                let segment = &mut segments[*node as usize];
                segment.batch(records);
                raft.synced(*node, &segment.path(), &segment.bytes);
            }
        }
    }
    Ok(())
}

/// The clean history, then `more`: the name of the rule it breaks.
fn after_clean(more: impl IntoIterator<Item = Step>) -> &'static str {
    let mut steps = clean();
    steps.extend(more);
    run(&steps).expect_err("a broken rule").checker
}

fn see(node: u32, observation: Observation) -> [Step; 1] {
    [Step::See(node, observation)]
}

#[test]
fn a_clean_history_passes() {
    assert_eq!(run(&clean()), Ok(()));
}

#[test]
fn elections() {
    let leads = |term| Observation::RoleChanged { term, role: Role::Leader, leader: None };
    assert_eq!(after_clean(see(2, leads(1))), "R1");
    assert_eq!(after_clean(see(3, leads(2))), "R4", "it has none of the committed entries");
    assert_eq!(after_clean(see(2, Observation::VoteGranted { term: 1, candidate: 3 })), "C5");
    let second = [
        Step::Sync(2, vec![vote(1, 3, false)]),
        see(2, Observation::VoteGranted { term: 1, candidate: 3 })[0].clone(),
    ];
    assert_eq!(after_clean(second), "C6");
    assert_eq!(after_clean(see(2, voted(2, 2, false))), "C5");
    assert_eq!(after_clean(see(2, voted(0, 2, false))), "C4");
}

#[test]
fn logs() {
    assert_eq!(after_clean(see(3, Observation::Appended(vec![print(1, 0, 99)]))), "R3");
    let prefix = vec![print(1, 0, 10), print(1, 1, 11), print(1, 2, 12)];
    let steps = [see(1, Observation::Appended(vec![print(1, 2, 12)])), see(3, Observation::Appended(prefix))];
    let mut clean = clean();
    clean.extend(steps.into_iter().flatten());
    assert_eq!(run(&clean), Ok(()));
    let lead = [Step::Sync(1, vec![vote(1, 1, true)]), see(1, voted(1, 1, true))[0].clone()];
    let truncated = Observation::Truncated(Some(at(1, 0)));
    assert_eq!(after_clean(lead.into_iter().chain(see(1, truncated.clone()))), "R2");
    assert_eq!(after_clean(see(2, truncated)), "C2");
    assert_eq!(after_clean(see(2, Observation::Purged(at(1, 0)))), "C3");
}

#[test]
fn durability() {
    let appended = see(2, Observation::Appended(vec![print(1, 2, 12)]));
    let synced = see(2, Observation::Synced(Some(at(1, 2))));
    assert_eq!(after_clean(appended.clone().into_iter().chain(synced)), "C5");
    let acknowledged = see(2, Observation::AppendAcknowledged(at(1, 2)));
    assert_eq!(after_clean(appended.into_iter().chain(acknowledged)), "C5");
    assert_eq!(after_clean(see(1, Observation::Committed(at(1, 2)))), "C1");
    let one = [Step::Sync(1, vec![entry(1, 2, b"c")]), see(1, Observation::Committed(at(1, 2)))[0].clone()];
    assert_eq!(after_clean(one), "C1");
}

#[test]
fn commits_and_applies() {
    assert_eq!(after_clean(see(1, Observation::Committed(at(1, 0)))), "C4");
    assert_eq!(after_clean(see(3, Observation::Committed(at(2, 1)))), "C2");
    assert_eq!(after_clean(see(1, applied(1, 1, 11, 101))), "C4");
    assert_eq!(after_clean(see(1, applied(1, 2, 12, 102))), "R5", "not committed");
    assert_eq!(after_clean(see(3, applied(1, 1, 11, 101))), "R5", "a gap");
    assert_eq!(after_clean(see(3, applied(1, 0, 99, 100))), "R5", "another command");
    assert_eq!(after_clean(see(3, applied(1, 0, 10, 999))), "R5", "another state");
}

#[test]
fn snapshots_and_starts() {
    let installed = Observation::SnapshotInstalled { position: at(1, 1), digest: 9 };
    assert_eq!(after_clean([Step::SyncCheckpoint(3)].into_iter().chain(see(3, installed.clone()))), "S1");
    assert_eq!(after_clean(see(3, installed)), "C5", "nothing was synced");
    let start = |applied: Option<u64>, digest, last: Option<u64>, vote: u64| {
        let vote = Some(Vote { term: vote, voted_for: Some(1), committed: false });
        let (applied, last_log) = (applied.map(|index| at(1, index)), last.map(|index| at(1, index)));
        see(2, Observation::Recovered { member: 2, incarnation: 2, applied, digest, last_log, vote })
    };
    let mut steps = clean();
    steps.extend(start(Some(1), 101, Some(1), 1));
    assert_eq!(run(&steps), Ok(()));
    assert_eq!(after_clean(start(Some(1), 55, Some(1), 1)), "S2", "another state");
    assert_eq!(after_clean(start(Some(0), 100, Some(0), 1)), "S2", "a shorter log");
    assert_eq!(after_clean(start(Some(1), 101, Some(1), 0)), "S2", "an older vote");
    assert_eq!(after_clean(start(Some(2), 102, Some(2), 1)), "S2", "beyond the commit");
}

#[test]
fn reads() {
    let read = |index| {
        let served = Observation::ReadIndex { read: 7, index };
        see(3, Observation::ReadBegan { read: 7 }).into_iter().chain(see(3, served))
    };
    assert_eq!(after_clean(read(Some(0))), "L2");
    assert_eq!(after_clean(read(None)), "L2");
    let mut steps = clean();
    steps.extend(read(Some(1)));
    assert_eq!(run(&steps), Ok(()));
}
