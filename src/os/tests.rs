//! The production world against the machine it runs on.

use std::time::Duration;

use super::*;
use crate::runtime::channel::watch;
use crate::runtime::{BlockFile, Disk, File, OpenMode};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

fn directory(name: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("etched-os-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    path
}

#[test]
fn files_keep_what_was_written() {
    block_on(async {
        let path = directory("files");
        let disk = OsDisk::open(&path, true).expect("open");
        disk.create_dir("sub").await.expect("create");
        let sub = disk.subdirectory("sub");
        let file = sub.open("a", OpenMode::CreateNew).await.expect("create");
        file.set_len(8192).await.expect("allocate");
        file.write_sync(4, b"hello".to_vec()).await.expect("write");
        sub.sync_dir("").await.expect("sync");
        assert_eq!(file.len().await.expect("length"), 8192);
        assert_eq!(file.read_at(4, 5).await.expect("read"), b"hello");
        assert_eq!(file.read_at(8190, 10).await.expect("read").len(), 2);
        sub.rename("a", "b").await.expect("rename");
        assert_eq!(disk.list("sub").await.expect("list"), ["b"]);
        let block = sub.block_file("b", OpenMode::Write).expect("open");
        let mut buffer = [0; 5];
        block.read_exact_at(4, &mut buffer).expect("read");
        assert_eq!(&buffer, b"hello");
        sub.remove("b").await.expect("remove");
        let missing = sub.open("b", OpenMode::Read).await.map(|_| ()).expect_err("gone");
        assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
        let _ = std::fs::remove_dir_all(path);
    });
}

#[test]
fn a_timer_does_not_end_before_the_clock_shows_its_deadline() {
    block_on(async {
        for n in 1..20 {
            let deadline = OsRuntime::now() + Duration::from_micros(n * 137);
            OsRuntime::sleep_until(deadline).await;
            assert!(OsRuntime::now() >= deadline);
        }
    });
}

#[test]
fn a_directory_is_made_with_its_parents() {
    let top = directory("parents");
    for _ in 0..2 {
        let disk = OsDisk::open(&top.join("a/b"), true).expect("open");
        assert_eq!(block_on(disk.list("")).expect("list"), Vec::<String>::new());
    }
    std::fs::write(top.join("a/c"), "").expect("a file");
    let refused = OsDisk::open(&top.join("a/c/d"), true).map(drop).expect_err("a file is in the way");
    assert_eq!(refused.kind(), std::io::ErrorKind::NotADirectory);
    let _ = std::fs::remove_dir_all(top);
}

#[test]
fn zeros_written_ahead_lie_over_nothing() {
    block_on(async {
        const LENGTH: usize = 3_000_000;
        let disk = OsDisk::open(&directory("zeros"), true).expect("open");
        let file = disk.open("a", OpenMode::Create).await.expect("create");
        file.write_sync(0, vec![1; 5000]).await.expect("write");
        file.set_len(LENGTH as u64).await.expect("allocate");
        let mut model = vec![0; LENGTH];
        model[..5000].fill(1);
        // Forward, back over what came before, across a jump, up to the end, and back again.
        let writes = [(4000, 3000), (7000, 100), (6000, 2), (2_000_000, 10), (1_500_000, 600_000)];
        for (number, (offset, length)) in
            writes.into_iter().chain([(LENGTH - 7, 7), (7100, 1), (2_900_000, 50_000)]).enumerate()
        {
            let byte = number as u8 + 2;
            model[offset..offset + length].fill(byte);
            file.write_sync(offset as u64, vec![byte; length]).await.expect("write");
            assert!(file.read_at(0, LENGTH + 1).await.expect("read") == model, "after write {number}");
        }
        drop(file);
        let again = disk.open("a", OpenMode::Write).await.expect("open");
        again.set_len(LENGTH as u64 + 9).await.expect("allocate");
        again.write_sync(8000, vec![99; 10]).await.expect("write");
        model[8000..8010].fill(99);
        model.resize(LENGTH + 9, 0);
        assert!(again.read_at(0, LENGTH + 9).await.expect("read") == model);
    });
}

#[test]
fn paths_stay_inside_and_locks_exclude() {
    block_on(async {
        let path = directory("locks");
        let disk = OsDisk::open(&path, true).expect("open");
        for bad in ["../x", "/etc/passwd", "a/../../x"] {
            let error = disk.open(bad, OpenMode::Read).await.map(|_| ()).expect_err("refused");
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{bad}");
        }
        disk.lock("LOCK").await.expect("first");
        let second = OsDisk::open(&path, true).expect("open");
        let error = second.lock("LOCK").await.expect_err("held");
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        let _ = std::fs::remove_dir_all(path);
    });
}

#[test]
fn clocks_and_tasks() {
    block_on(async {
        let before = OsRuntime::now();
        OsRuntime::sleep(Duration::from_millis(5)).await;
        assert!(OsRuntime::now() - before >= Duration::from_millis(5));
        assert_eq!(OsRuntime::spawn("one", async { 1 }).await, Ok(1));
        assert_eq!(OsRuntime::spawn_blocking("two", || 2).await, Ok(2));
        let aborted = OsRuntime::spawn("three", std::future::pending::<()>());
        drop(aborted);
    });
}

#[test]
fn an_overlay_shows_its_writes_and_leaves_the_file() {
    use rand_chacha::rand_core::{Rng, SeedableRng};
    let path = directory("overlay");
    let mut model: Vec<u8> = (0..20_000_u32).map(|n| n as u8 | 1).collect();
    std::fs::write(&path, &model).expect("write");
    let before = model.clone();
    let overlay = OverlayFile::open(&path).expect("open");
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    for round in 0..2000 {
        let (at, length) = ((rng.next_u32() % 24_000) as usize, (rng.next_u32() % 9000) as usize);
        if round % 5 == 0 {
            overlay.set_len(at as u64).expect("resize");
            model.resize(at, 0);
        } else {
            let data = vec![rng.next_u32() as u8; length];
            overlay.write_all_at(at as u64, &data).expect("write");
            model.resize(model.len().max(at + length), 0);
            model[at..at + length].copy_from_slice(&data);
        }
        let mut shown = vec![0; model.len()];
        assert_eq!(overlay.len().expect("length"), model.len() as u64);
        overlay.read_exact_at(0, &mut shown).expect("read");
        assert!(shown == model, "after {round} changes");
        assert!(overlay.read_exact_at(1, &mut shown).is_err() || shown.is_empty());
    }
    assert!(std::fs::read(&path).expect("read") == before);
    let _ = std::fs::remove_file(path);
}

/// Follows `from` to the last of `rounds` and repeats on `to` what it sees.
fn repeat(rounds: u64, mut from: watch::Receiver<u64>, to: &watch::Sender<u64>) {
    block_on(async {
        for round in 1..=rounds {
            from.wait_for(|seen| *seen == round).await.expect("the other thread is there");
            let _ = to.send(round);
        }
    });
}

#[test]
fn a_followed_value_loses_no_wake_up_between_threads() {
    const ROUNDS: u64 = 50_000;
    let (ping, pings) = watch::channel(0);
    let (pong, mut pongs) = watch::channel(0);
    let (done, ended) = std::sync::mpsc::channel();
    #[expect(clippy::disallowed_methods, reason = "what is tested is two threads")]
    std::thread::spawn(move || repeat(ROUNDS, pings, &pong));
    #[expect(clippy::disallowed_methods, reason = "what is tested is two threads")]
    std::thread::spawn(move || {
        block_on(async {
            for round in 1..=ROUNDS {
                let _ = ping.send(round);
                pongs.wait_for(|seen| *seen == round).await.expect("the other thread is there");
            }
        });
        let _ = done.send(());
    });
    ended.recv_timeout(Duration::from_secs(60)).expect("a thread waits for a value that was sent");
}
