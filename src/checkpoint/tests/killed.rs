//! Programs that end while the machine goes on: what they wrote is shown, and not durable.

use super::*;

/// A start relies on what it sees, also when the last program ended between a rename and its folder's
/// sync: a power cut must not take it afterwards.
#[test]
fn a_name_that_was_seen_stays() {
    let steps = live(&MemoryDisk::default(), &Arc::default(), &mut 3, 0, "not killed");
    for step in 1..=steps {
        let (disk, allowed, mut random) = (MemoryDisk::default(), Arc::default(), 3);
        live(&disk, &allowed, &mut random, step, "killed");
        disk.restart();
        let applied = || run(open(&disk)).unwrap().1.map(|loaded| loaded.applied);
        let relied_on = applied();
        disk.cut(Loss::All);
        assert_eq!(applied(), relied_on, "killed at {step} of {steps}");
    }
}

/// What a failed sync left is shown and not durable. A start that is cut off at any step leaves the mark
/// or has no more need of it, and what the first whole one relies on no power cut takes.
#[test]
fn a_marked_file_is_copied_before_it_counts() {
    let (disk, mut random) = (MemoryDisk::default(), 5);
    let mut member = Member::new();
    let (mut checkpoint, _) = run(open(&disk)).unwrap();
    (0..50).for_each(|_| member.step(&mut random));
    run(member.save(&mut checkpoint)).unwrap().unwrap();
    drop(checkpoint);
    disk.forget("checkpoint/state.redb");
    suspect::mark::<Memory>(&disk.subdirectory(DIRECTORY));
    let mut step = 1;
    let loaded = loop {
        disk.fail_at(step);
        let opened = run(Checkpoint::<Memory>::open(disk.clone())).unwrap();
        disk.restart();
        match opened {
            Ok((_, loaded)) => break loaded,
            Err(_) => step += 1,
        }
    };
    assert_same(&member.state, &loaded.expect("it was saved").state);
    assert_eq!(disk.names(), ["checkpoint/state.redb"]);
    disk.cut(Loss::All);
    let (_, loaded) = run(open(&disk)).unwrap();
    assert_same(&member.state, &loaded.expect("it is still there").state);
}
