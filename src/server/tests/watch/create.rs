//! How watchers begin.

use super::*;

#[test]
fn w1_w27_created_without_events() {
    block_on(async {
        let member = Member::start("w1", 1).await;
        let mut client = member.kv().await;
        client.put(put("a", "1")).await.expect("a put");
        let mut stream = Stream::open(&member).await;
        let past = pb::WatchCreateRequest { start_revision: 1, ..on("a", "") };
        let created = stream.create(past).await;
        assert_eq!((shape(&created), created.events.len()), ((0, true, false, ""), 0));
        assert_eq!((header(&created), created.compact_revision), (2, 0));
        assert_eq!(told_of(&stream.events(1).await), [(2, "a".to_string(), false)]);
        member.stop().await;
    });
}

#[test]
fn w2_an_empty_key_is_the_first_key() {
    block_on(async {
        let member = Member::start("w2", 1).await;
        let mut client = member.kv().await;
        let mut stream = Stream::open(&member).await;
        assert!(stream.create(on("", "\0")).await.created);
        assert!(stream.create(on("", "")).await.created);
        client.put(put("a", "1")).await.expect("a put");
        client.put(put("\0", "1")).await.expect("a put");
        let mut by_watcher = [Vec::new(), Vec::new()];
        while by_watcher.iter().flatten().count() < 3 {
            let response = stream.next().await;
            by_watcher[usize::from(response.watch_id == 1)].extend(told_of(&response.events));
        }
        let zero = (3, "\0".to_string(), false);
        assert_eq!(by_watcher, [vec![(2, "a".to_string(), false), zero.clone()], vec![zero]]);
        member.stop().await;
    });
}

#[test]
fn w3_an_empty_range_is_refused() {
    block_on(async {
        let member = Member::start("w3", 1).await;
        let mut stream = Stream::open(&member).await;
        for (key, end) in [("b", "a"), ("a", "a")] {
            let refused = stream.create(on(key, end)).await;
            assert_eq!(shape(&refused), (-1, true, true, "mvcc: watcher range is empty"));
        }
        assert_eq!(shape(&stream.create(on("b", "c")).await), (0, true, false, ""));
        member.stop().await;
    });
}

#[test]
fn w4_w5_ids_are_numbered_skipping_used_ones() {
    block_on(async {
        let member = Member::start("w4", 1).await;
        let mut stream = Stream::open(&member).await;
        let named = |watch_id| pb::WatchCreateRequest { watch_id, ..on("a", "") };
        let mut ids = Vec::new();
        for id in [0, 1, 0, 3, 0, 0, i64::MIN] {
            let created = stream.create(named(id)).await;
            assert!(created.created && !created.canceled);
            ids.push(created.watch_id);
        }
        assert_eq!(ids, [0, 1, 2, 3, 4, 5, i64::MIN]);
        let duplicate = (-1, true, true, "mvcc: duplicate watch ID provided on the WatchStream");
        assert_eq!(shape(&stream.create(named(3)).await), duplicate);
        // Each stream numbers for itself.
        assert_eq!(Stream::open(&member).await.create(named(0)).await.watch_id, 0);
        member.stop().await;
    });
}

#[test]
fn w9_a_negative_start_is_refused() {
    block_on(async {
        let member = Member::start("w9", 1).await;
        let mut stream = Stream::open(&member).await;
        let negative = pb::WatchCreateRequest { start_revision: -1, ..on("a", "") };
        let compacted = "etcdserver: mvcc: required revision has been compacted";
        assert_eq!(shape(&stream.create(negative).await), (-1, true, true, compacted));
        member.stop().await;
    });
}

#[test]
fn w10_a_compacted_start_is_created_then_cancelled() {
    block_on(async {
        let member = Member::start("w10", 1).await;
        let mut client = member.kv().await;
        for value in ["1", "2", "3"] {
            client.put(put("a", value)).await.expect("a put");
        }
        client.compact(compaction(3)).await.expect("a compaction");
        let mut stream = Stream::open(&member).await;
        let from = |start_revision| pb::WatchCreateRequest { start_revision, ..on("a", "") };
        assert_eq!(shape(&stream.create(from(2)).await), (0, true, false, ""));
        let canceled = stream.next().await;
        assert_eq!((shape(&canceled), canceled.compact_revision), ((0, false, true, ""), 3));
        // The compact revision itself is served.
        assert!(stream.create(from(3)).await.created);
        let revisions: Vec<i64> = stream.events(2).await.iter().map(|event| kv(event).mod_revision).collect();
        assert_eq!(revisions, [3, 4]);
        member.stop().await;
    });
}
