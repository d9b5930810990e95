//! Progress notices, periodic and on request.

use super::*;

async fn member_with_interval(name: &str, interval_ms: u64) -> Member {
    let change = |config: &mut NodeConfig| config.progress_interval_ms = interval_ms;
    Member::with(name, 1, change, ServerOptions::default()).await
}

#[test]
fn w18_quiet_watchers_hear_of_progress() {
    block_on(async {
        // Shorter than the shortest: it counts as 100 ms.
        let member = member_with_interval("w18", 1).await;
        let mut client = member.kv().await;
        let mut stream = Stream::open(&member).await;
        let begin = OsRuntime::now();
        assert!(stream.create(on("a", "")).await.created);
        let asks = pb::WatchCreateRequest { progress_notify: true, ..on("b", "") };
        assert_eq!(stream.create(asks.clone()).await.watch_id, 1);
        let late = pb::WatchCreateRequest { start_revision: 50, ..asks };
        assert_eq!(stream.create(late).await.watch_id, 2);
        client.put(put("elsewhere", "1")).await.expect("a put");
        for n in 1..=3 {
            let progress = stream.next().await;
            assert!(is_progress(&progress), "{progress:?}");
            assert_eq!(progress.watch_id, 1, "only who asked and has begun");
            assert!(header(&progress) <= 2);
            assert!(OsRuntime::now() - begin >= Duration::from_millis(100) * n);
        }
        assert_eq!(header(&stream.next().await), 2);
        member.stop().await;
    });
}

/// No notice in an interval that had an event.
#[test]
fn w18_busy_watchers_are_skipped() {
    block_on(async {
        let member = member_with_interval("w18-busy", 400).await;
        let mut client = member.kv().await;
        let mut stream = Stream::open(&member).await;
        let asks = pb::WatchCreateRequest { progress_notify: true, ..on("a", "") };
        assert!(stream.create(asks).await.created);
        client.put(put("a", "1")).await.expect("a put");
        let begin = OsRuntime::now();
        assert_eq!(stream.next().await.events.len(), 1);
        let progress = stream.next().await;
        assert!(is_progress(&progress) && progress.watch_id == 0);
        // The first tick after the event was skipped, so this is the second: one interval at least.
        assert!(OsRuntime::now() - begin >= Duration::from_millis(400));
        member.stop().await;
    });
}

#[test]
fn w19_progress_on_request_needs_all_watchers() {
    block_on(async {
        let member = Member::start("w19", 1).await;
        let mut client = member.kv().await;
        let mut stream = Stream::open(&member).await;
        // Without watchers there is nothing to say.
        stream.ask_for_progress().await;
        stream.is_silent().await;
        assert!(stream.create(on("a", "")).await.created);
        client.put(put("b", "1")).await.expect("a put");
        stream.ask_for_progress().await;
        let progress = stream.next().await;
        assert!(is_progress(&progress));
        assert_eq!((progress.watch_id, header(&progress)), (-1, 2));
        // One that has not begun silences all.
        let future = pb::WatchCreateRequest { start_revision: 4, watch_id: 9, ..on("b", "") };
        assert!(stream.create(future).await.created);
        stream.ask_for_progress().await;
        stream.is_silent().await;
        stream.send(RequestUnion::CancelRequest(pb::WatchCancelRequest { watch_id: 9 })).await;
        assert_eq!(shape(&stream.next().await), (9, false, true, ""));
        stream.ask_for_progress().await;
        assert_eq!(stream.next().await.watch_id, -1);
        member.stop().await;
    });
}

/// A client that does not read, with events on the way: progress comes after all it speaks of.
#[test]
fn w20_progress_never_overtakes_events() {
    block_on(async {
        let member = Member::start("w20", 1).await;
        let mut client = member.kv().await;
        let mut stream = Stream::open(&member).await;
        assert!(stream.create(on("a", "")).await.created);
        let value = "x".repeat(100_000);
        let requests = stream.requests.clone();
        let write = async {
            for _ in 0..50 {
                client.put(put("a", &value)).await.expect("a put");
                let ask = RequestUnion::ProgressRequest(pb::WatchProgressRequest {});
                requests.send(pb::WatchRequest { request_union: Some(ask) }).await.expect("open");
            }
        };
        let read = async {
            let (mut last, mut notices) = (1, 0);
            while last < 51 {
                let response = stream.next().await;
                match response.events.last() {
                    Some(event) => last = kv(event).mod_revision,
                    None => {
                        notices += 1;
                        assert!(header(&response) <= last, "progress ahead of events");
                    }
                }
            }
            notices
        };
        futures_util::join!(write, read);
        member.stop().await;
    });
}
