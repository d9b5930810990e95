//! What becomes of files whose program is over.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use etched::runtime::{Disk, File, OpenMode, Runtime};

use super::{DiskFaults, SimFile};
use crate::world::{NodeId, SimRuntime, World, WorldConfig, isolated};

/// One program writes and is killed, the next writes ten times; meanwhile somebody goes on with the
/// first one's file `late` times. When each of the ten was done, what is in the file, and what the trace
/// says of it all.
fn two_lives(late: u32) -> (Vec<u64>, Vec<u8>, u128) {
    let world = World::new(7, WorldConfig::default());
    let node = world.add_node("n1");
    let main = world.clone();
    let (times, content) = world.run(async move { drive(&main, node, late).await });
    (times, content, world.trace_hash())
}

async fn drive(world: &World, node: NodeId, late: u32) -> (Vec<u64>, Vec<u8>) {
    let kept: Arc<Mutex<Option<SimFile>>> = Arc::default();
    let (keeper, files) = (kept.clone(), world.clone());
    world.start(node, async move {
        let disk = files.disk_of(node);
        let file = disk.open("f", OpenMode::Create).await.expect("a file");
        disk.sync_dir("").await.expect("its name");
        file.write_sync(0, b"first".to_vec()).await.expect("written");
        *keeper.lock().unwrap() = Some(file);
        SimRuntime::sleep(Duration::from_secs(9)).await;
    });
    world.sleep(Duration::from_secs(1)).await;
    world.kill(node);
    let done: Arc<Mutex<Vec<u64>>> = Arc::default();
    let (times, files) = (done.clone(), world.clone());
    world.start(node, async move {
        let file = files.disk_of(node).open("f", OpenMode::Write).await.expect("the file");
        for _ in 0..10 {
            file.write_sync(0, b"later".to_vec()).await.expect("written");
            times.lock().unwrap().push(files.now_ns());
        }
        SimRuntime::sleep(Duration::from_secs(9)).await;
    });
    let old = kept.lock().unwrap().take().expect("kept");
    for _ in 0..late {
        let refused = old.write_sync(0, b"ghost".to_vec()).await.expect_err("its program is over");
        assert_eq!(refused.to_string(), "the program that opened it is over");
    }
    world.sleep(Duration::from_secs(1)).await;
    let times = done.lock().unwrap().clone();
    (times, world.disk(node).synced_image("f").expect("synced"))
}

#[test]
fn files_of_a_program_that_is_over_do_nothing() {
    let quiet = isolated(|| two_lives(0));
    let (times, content, _) = &quiet;
    assert_eq!((times.len(), &content[..5]), (10, &b"later"[..]));
    assert_eq!(isolated(|| two_lives(25)), quiet);
}

/// Whether all is shown, whether all is durable, and what a power cut would change.
type Look = (bool, bool, Vec<String>);

/// How a file stands: after a sync that failed, after
/// one that succeeded although it had nothing left to write, and after the bytes were written again.
async fn after_a_failed_sync(world: &World, node: NodeId) -> Vec<Look> {
    let seen: Arc<Mutex<Vec<Look>>> = Arc::default();
    let (told, files) = (seen.clone(), world.clone());
    world.start(node, async move {
        let (disk, control) = (files.disk_of(node), files.disk(node));
        let text = [7; 64 * 512];
        let file = disk.open("f", OpenMode::Create).await.expect("a file");
        let look = async || {
            let shown = file.read_at(0, text.len()).await.expect("read") == text;
            let durable = control.synced_image("f").is_some_and(|image| image == text);
            told.lock().unwrap().push((shown, durable, control.at_risk()));
        };
        let (good, sync_error_ppm) = (control.faults(), 1_000_000);
        control.set_faults(DiskFaults { sync_error_ppm, ..good.clone() });
        file.write_sync(0, text.to_vec()).await.expect_err("the sync fails");
        control.set_faults(good);
        look().await;
        disk.sync_dir("").await.expect("its name");
        file.sync().await.expect("synced");
        look().await;
        file.write_sync(0, text.to_vec()).await.expect("written again");
        look().await;
        SimRuntime::sleep(Duration::from_secs(9)).await;
    });
    world.sleep(Duration::from_secs(1)).await;
    seen.lock().unwrap().clone()
}

#[test]
fn what_a_failed_sync_forgot_no_later_one_writes() {
    let seen = isolated(|| {
        let world = World::new(7, WorldConfig::default());
        let node = world.add_node("n1");
        let main = world.clone();
        world.run(async move { after_a_failed_sync(&main, node).await })
    });
    let at_risk = vec!["f".to_string()];
    assert_eq!(seen, [(true, false, at_risk.clone()), (true, false, at_risk), (true, true, vec![])]);
}
