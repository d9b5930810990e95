//! What watchers get, and when.

use futures_util::StreamExt;

use super::*;

#[test]
fn w6_from_now_begins_after_the_created_header() {
    block_on(async {
        let member = Member::start("w6", 1).await;
        let mut client = member.kv().await;
        client.put(put("a", "1")).await.expect("a put");
        let mut stream = Stream::open(&member).await;
        assert_eq!(header(&stream.create(on("a", "")).await), 2);
        client.put(put("a", "2")).await.expect("a put");
        assert_eq!(told_of(&stream.events(1).await), [(3, "a".to_string(), false)]);
        member.stop().await;
    });
}

#[test]
fn w7_w21_from_the_past_is_replayed_with_the_newest_header() {
    block_on(async {
        let member = Member::start("w7", 1).await;
        let mut client = member.kv().await;
        for key in ["a", "b", "a", "b"] {
            client.put(put(key, "1")).await.expect("a put");
        }
        let mut stream = Stream::open(&member).await;
        let past = pb::WatchCreateRequest { start_revision: 3, ..on("a", "b") };
        assert!(stream.create(past).await.created);
        let response = stream.next().await;
        assert_eq!(told_of(&response.events), [(4, "a".to_string(), false)]);
        assert_eq!(header(&response), 5);
        client.put(put("a", "2")).await.expect("a put");
        assert_eq!(told_of(&stream.events(1).await), [(6, "a".to_string(), false)]);
        member.stop().await;
    });
}

#[test]
fn w8_a_future_start_gets_nothing_early() {
    block_on(async {
        let member = Member::start("w8", 1).await;
        let mut client = member.kv().await;
        let mut stream = Stream::open(&member).await;
        let future = pb::WatchCreateRequest { start_revision: 4, ..on("a", "") };
        assert!(stream.create(future).await.created);
        for value in ["2", "3"] {
            client.put(put("a", value)).await.expect("a put");
            stream.ask_for_progress().await;
            stream.is_silent().await;
        }
        client.put(put("a", "4")).await.expect("a put");
        client.put(put("a", "5")).await.expect("a put");
        let revisions: Vec<i64> = stream.events(2).await.iter().map(|event| kv(event).mod_revision).collect();
        assert_eq!(revisions, [4, 5]);
        member.stop().await;
    });
}

/// A client that does not read is passed by a compaction, and told so once it reads.
#[test]
fn w11_compaction_overtakes_a_slow_watcher() {
    block_on(async {
        let member = Member::start("w11", 1).await;
        let mut client = member.kv().await;
        let mut stream = Stream::open(&member).await;
        assert!(stream.create(on("a", "")).await.created);
        let value = "x".repeat(200_000);
        for _ in 0..60 {
            client.put(put("a", &value)).await.expect("a put");
        }
        client.compact(compaction(61)).await.expect("a compaction");
        let mut last = 1;
        let canceled = loop {
            let response = stream.next().await;
            if response.canceled {
                break response;
            }
            for event in &response.events {
                assert_eq!(kv(event).mod_revision, last + 1, "nothing is skipped before the cancel");
                last += 1;
            }
        };
        assert_eq!((shape(&canceled), canceled.compact_revision), ((0, false, true, ""), 61));
        assert!(last < 60, "it was slow: {last}");
        // The stream itself goes on.
        let again = pb::WatchCreateRequest { start_revision: 61, ..on("a", "") };
        assert!(stream.create(again).await.created);
        assert_eq!(told_of(&stream.events(1).await), [(61, "a".to_string(), false)]);
        member.stop().await;
    });
}

/// The same client without a compaction gets everything.
#[test]
fn w11_a_slow_watcher_catches_up() {
    block_on(async {
        let member = Member::start("w11-catch-up", 1).await;
        let mut client = member.kv().await;
        let mut stream = Stream::open(&member).await;
        let create = pb::WatchCreateRequest { prev_kv: true, ..on("a", "") };
        assert!(stream.create(create).await.created);
        let value = "x".repeat(100_000);
        for _ in 0..60 {
            client.put(put("a", &value)).await.expect("a put");
        }
        for (event, main) in stream.events(60).await.iter().zip(2..) {
            assert_eq!(kv(event).mod_revision, main);
            let before = event.prev_kv.as_ref().map(|kv| (kv.mod_revision, kv.value.len()));
            assert_eq!(before, (main > 2).then_some((main - 1, 100_000)));
        }
        member.stop().await;
    });
}

#[test]
fn w14_w25_a_revision_arrives_whole_and_in_order() {
    block_on(async {
        let member = Member::start("w14", 1).await;
        let mut client = member.kv().await;
        let mut stream = Stream::open(&member).await;
        assert!(stream.create(on("a", "d")).await.created);
        client.txn(all_of(vec![put_op("c", "1"), put_op("z", "1"), put_op("a", "1")])).await.expect("a txn");
        let response = stream.next().await;
        assert_eq!(told_of(&response.events), [(2, "c".to_string(), false), (2, "a".to_string(), false)]);
        let is_create = |event: &Event| kv(event).create_revision == kv(event).mod_revision;
        assert!(response.events.iter().all(is_create));
        client.delete_range(delete("a", "z")).await.expect("a delete");
        let response = stream.next().await;
        assert_eq!(told_of(&response.events), [(3, "a".to_string(), true), (3, "c".to_string(), true)]);
        let bare = |event: &Event| kv(event).create_revision == 0 && kv(event).version == 0;
        assert!(response.events.iter().all(bare));
        member.stop().await;
    });
}

#[test]
fn w16_filters_leave_kinds_out() {
    block_on(async {
        let member = Member::start("w16", 1).await;
        let mut client = member.kv().await;
        let mut stream = Stream::open(&member).await;
        for filters in [vec![0], vec![1], vec![0, 1], vec![7]] {
            assert!(stream.create(pb::WatchCreateRequest { filters, ..on("a", "") }).await.created);
        }
        client.put(put("a", "1")).await.expect("a put");
        client.delete_range(delete("a", "")).await.expect("a delete");
        let mut got = Vec::new();
        while got.len() < 4 {
            let response = stream.next().await;
            let id = response.watch_id;
            got.extend(told_of(&response.events).into_iter().map(|(main, _, deleted)| (id, main, deleted)));
        }
        stream.is_silent().await;
        got.sort_unstable();
        assert_eq!(got, [(0, 3, true), (1, 2, false), (3, 2, false), (3, 3, true)]);
        member.stop().await;
    });
}

#[test]
fn w17_previous_records() {
    block_on(async {
        let member = Member::start("w17", 1).await;
        let mut client = member.kv().await;
        let mut stream = Stream::open(&member).await;
        let create = pb::WatchCreateRequest { prev_kv: true, ..on("a", "") };
        assert!(stream.create(create.clone()).await.created);
        client.put(put("a", "1")).await.expect("a put");
        client.put(put("a", "2")).await.expect("a put");
        client.delete_range(delete("a", "")).await.expect("a delete");
        client.put(put("a", "3")).await.expect("a put");
        let previous = |events: &[Event]| -> Vec<Option<String>> {
            let value = |kv: &etched_proto::mvccpb::KeyValue| String::from_utf8_lossy(&kv.value).into_owned();
            events.iter().map(|event| event.prev_kv.as_ref().map(value)).collect()
        };
        let some = |value: &str| Some(value.to_string());
        let live = previous(&stream.events(4).await);
        assert_eq!(live, [None, some("1"), some("2"), None]);
        // Once the revision before is compacted its record is not shown.
        client.compact(compaction(3)).await.expect("a compaction");
        let past = pb::WatchCreateRequest { start_revision: 3, ..create.clone() };
        assert!(stream.create(past).await.created);
        assert_eq!(previous(&stream.events(3).await), [None, some("2"), None]);
        // Who does not ask gets none.
        let plain = pb::WatchCreateRequest { start_revision: 3, prev_kv: false, ..create };
        assert!(stream.create(plain).await.created);
        assert_eq!(previous(&stream.events(3).await), [None, None, None]);
        member.stop().await;
    });
}

#[test]
fn w22_catching_up_goes_by_bounded_batches() {
    const REVISIONS: i64 = 2_300;
    block_on(async {
        let member = Member::start("w22", 1).await;
        let client = member.kv().await;
        let puts = (0..REVISIONS).map(|_| {
            let mut client = client.clone();
            async move { client.put(put("a", "1")).await.expect("a put") }
        });
        futures_util::stream::iter(puts).buffer_unordered(200).for_each(|_| async {}).await;
        let mut stream = Stream::open(&member).await;
        let past = pb::WatchCreateRequest { start_revision: 2, ..on("a", "") };
        assert!(stream.create(past).await.created);
        let mut next = 2;
        while next < REVISIONS + 2 {
            let response = stream.next().await;
            assert!(response.events.len() <= 1000, "{}", response.events.len());
            for event in &response.events {
                assert_eq!(kv(event).mod_revision, next);
                next += 1;
            }
        }
        member.stop().await;
    });
}
