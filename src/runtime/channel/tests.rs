//! The followed value between real threads.

use std::sync::mpsc;
use std::time::Duration;

use super::watch::{Receiver, Sender, channel};

const ROUNDS: u64 = 50_000;

/// Follows `from` to its last round and repeats on `to` what it sees.
fn repeat(mut from: Receiver<u64>, to: &Sender<u64>) {
    let world = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    world.block_on(async {
        for round in 1..=ROUNDS {
            from.wait_for(|seen| *seen == round).await.expect("the other thread is there");
            let _ = to.send(round);
        }
    });
}

#[test]
fn no_wake_up_is_lost_between_threads() {
    let (ping, pings) = channel(0);
    let (pong, mut pongs) = channel(0);
    let (done, ended) = mpsc::channel();
    #[expect(clippy::disallowed_methods, reason = "what is tested is two threads")]
    std::thread::spawn(move || repeat(pings, &pong));
    #[expect(clippy::disallowed_methods, reason = "what is tested is two threads")]
    std::thread::spawn(move || {
        let world = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        world.block_on(async {
            for round in 1..=ROUNDS {
                let _ = ping.send(round);
                pongs.wait_for(|seen| *seen == round).await.expect("the other thread is there");
            }
        });
        let _ = done.send(());
    });
    ended.recv_timeout(Duration::from_secs(60)).expect("a thread waits for a value that was sent");
}
