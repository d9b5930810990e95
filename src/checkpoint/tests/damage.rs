//! A damaged checkpoint is refused by name or holds what it held; it never ends the process.

use super::*;

#[test]
fn damage_anywhere_is_refused_or_does_not_matter() {
    let (mut refused, mut random) = (0, 7);
    for _ in 0..60 {
        let disk = MemoryDisk::default();
        let mut member = Member::new();
        let (mut checkpoint, _) = run(open(&disk)).unwrap();
        for _ in 0..3 {
            (0..80).for_each(|_| member.step(&mut random));
            run(member.save(&mut checkpoint)).unwrap().unwrap();
        }
        drop(checkpoint);
        disk.damage(&format!("{DIRECTORY}/{FILE}"), |bytes| {
            for _ in 0..48 {
                let offset = (draw(&mut random) % bytes.len() as u64) as usize;
                bytes[offset] ^= 1 << (draw(&mut random) % 8);
            }
        });
        match run(Checkpoint::open(disk.clone())).unwrap() {
            Ok((_, Some(loaded))) => assert_same(&member.state, &loaded.state),
            Ok((_, None)) => panic!("a checkpoint is never taken for an empty directory"),
            Err(error) => {
                assert!(!error.is_medium(), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 10, "{refused} of 60 were refused");
}
