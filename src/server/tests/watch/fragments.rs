//! Large responses in pieces.

use super::*;

#[test]
fn w15_large_responses_come_in_pieces() {
    block_on(async {
        let member = Member::start("w15", 1).await;
        let mut client = member.kv().await;
        let mut streams = [Stream::open(&member).await, Stream::open(&member).await];
        for (stream, fragment) in streams.iter_mut().zip([false, true]) {
            let create = pb::WatchCreateRequest { prev_kv: true, fragment, ..on("a", "z") };
            assert!(stream.create(create).await.created);
        }
        for fill in ["x", "y"] {
            let value = fill.repeat(700_000);
            let txn = all_of(vec![put_op("b", &value), put_op("c", &value)]);
            client.txn(txn).await.expect("a txn");
        }
        let [whole, pieces] = &mut streams;
        assert_eq!(whole.next().await.events.len(), 2);
        let response = whole.next().await;
        assert_eq!((response.events.len(), response.fragment), (2, false));
        assert_eq!(pieces.next().await.events.len(), 2);
        for fragment in [true, false] {
            let piece = pieces.next().await;
            assert_eq!((piece.events.len(), piece.fragment), (1, fragment));
            assert_eq!(header(&piece), 3);
        }
        member.stop().await;
    });
}

/// A single event is never split, and the last piece never says that more follows.
#[test]
fn w15_w27_one_large_event_is_one_message() {
    block_on(async {
        let member = Member::start("w15-one", 1).await;
        let mut client = member.kv().await;
        let mut stream = Stream::open(&member).await;
        let create = pb::WatchCreateRequest { prev_kv: true, fragment: true, ..on("a", "") };
        assert!(stream.create(create).await.created);
        for fill in ["x", "y"] {
            client.put(put("a", &fill.repeat(1_500_000))).await.expect("a put");
            let response = stream.next().await;
            assert_eq!((response.events.len(), response.fragment), (1, false));
        }
        member.stop().await;
    });
}
