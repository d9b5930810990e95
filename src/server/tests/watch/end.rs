//! How watchers and streams end.

use super::*;

#[test]
fn w13_w24_cancel_is_answered_and_strangers_are_ignored() {
    block_on(async {
        let member = Member::start("w13", 1).await;
        let mut client = member.kv().await;
        let mut stream = Stream::open(&member).await;
        assert!(stream.create(on("a", "")).await.created);
        stream.requests.send(pb::WatchRequest { request_union: None }).await.expect("open");
        let cancel = |watch_id| RequestUnion::CancelRequest(pb::WatchCancelRequest { watch_id });
        stream.send(cancel(77)).await;
        stream.send(cancel(0)).await;
        assert_eq!(shape(&stream.next().await), (0, false, true, ""));
        stream.send(cancel(0)).await;
        client.put(put("a", "1")).await.expect("a put");
        stream.is_silent().await;
        // Its number is not given again, but may be asked for.
        assert_eq!(stream.create(on("a", "")).await.watch_id, 1);
        let again = pb::WatchCreateRequest { watch_id: 1, ..on("a", "") };
        assert!(stream.create(again).await.canceled);
        stream.send(cancel(1)).await;
        assert!(stream.next().await.canceled);
        let again = pb::WatchCreateRequest { watch_id: 1, ..on("a", "") };
        assert_eq!(shape(&stream.create(again).await), (1, true, false, ""));
        member.stop().await;
    });
}

/// A client that has asked for all it wants closes its half; what it watches goes on.
#[test]
fn a_stream_outlives_its_clients_half() {
    block_on(async {
        let member = Member::start("half-closed", 1).await;
        let mut client = member.kv().await;
        let first = client.put(put("a", "1")).await.expect("a put").into_inner();
        let first = first.header.expect("a header").revision;
        let stream = Stream::open(&member).await;
        let create = pb::WatchCreateRequest { start_revision: first, ..on("a", "") };
        stream.send(RequestUnion::CreateRequest(create)).await;
        let Stream { requests, mut responses } = stream;
        drop(requests);
        let mut next = async || responses.message().await.expect("no error").expect("no end");
        assert!(next().await.created);
        for revision in first..first + 5 {
            let response = next().await;
            assert_eq!(response.events[0].kv.as_ref().expect("a record").mod_revision, revision);
            OsRuntime::sleep(Duration::from_millis(30)).await;
            client.put(put("a", "2")).await.expect("a put");
        }
        member.stop().await;
        // Events that came before the end, then the end.
        let end = loop {
            match responses.message().await {
                Ok(Some(response)) => assert!(!response.canceled),
                end => break refusal(end),
            }
        };
        assert_eq!(end, told(Code::Unavailable, "etcdserver: server stopped"));
    });
}

#[test]
fn w23_streams_end_when_the_member_stops() {
    block_on(async {
        let member = Member::start("w23", 1).await;
        let mut stream = Stream::open(&member).await;
        assert!(stream.create(on("a", "")).await.created);
        let begin = OsRuntime::now();
        let (end, ()) = futures_util::join!(stream.end(), member.stop());
        // With any other code but Internal, etcd's Go client gives its watches up.
        assert_eq!(end, told(Code::Unavailable, "etcdserver: server stopped"));
        assert!(OsRuntime::now() - begin < Duration::from_secs(4));
    });
}

#[test]
fn m1_m7_streams_end_for_a_reason() {
    block_on(async {
        let member = Member::start("m1", 1).await;
        let mut stream = Stream::with_metadata(&member, &[("grpc-timeout", "100m")]).await.expect("a stream");
        assert_eq!(stream.end().await, told(Code::DeadlineExceeded, "context deadline exceeded"));
        let mut stream = Stream::open(&member).await;
        let huge = on(&"k".repeat(2_200_000), "");
        stream.send(RequestUnion::CreateRequest(huge)).await;
        let (code, text) = stream.end().await;
        assert_eq!(code, Code::ResourceExhausted);
        assert!(text.starts_with("grpc: received message larger than max (22000"), "{text}");
        let mut stream = Stream::with_metadata(&member, &[("hasleader", "true")]).await.expect("a stream");
        assert!(stream.create(on("a", "")).await.created);
        member.stop().await;

        let alone = Member::start("m1-alone", 3).await;
        let refused = Stream::with_metadata(&alone, &[("hasleader", "true")]).await.map(|_| ());
        assert_eq!(refusal(refused), told(Code::Unavailable, "etcdserver: no leader"));
        assert!(Stream::open(&alone).await.create(on("a", "")).await.created);
        alone.stop().await;
    });
}

/// Streams that require a leader end when there is none for long; others stay.
#[test]
fn m1_w23_streams_end_without_a_leader() {
    block_on(async {
        let mut members = Member::cluster("m1-cluster").await;
        let last = members.pop().expect("three members");
        last.kv().await.put(put("a", "1")).await.expect("a put");
        let mut requires = Stream::with_metadata(&last, &[("hasleader", "true")]).await.expect("a stream");
        assert!(requires.create(on("a", "")).await.created);
        let mut plain = Stream::open(&last).await;
        assert!(plain.create(on("a", "")).await.created);
        for member in members {
            member.stop().await;
        }
        assert_eq!(requires.end().await, told(Code::Unavailable, "etcdserver: no leader"));
        plain.is_silent().await;
        last.stop().await;
    });
}

/// A client that sends without reading is held back, and all is answered once it reads.
#[test]
fn a_client_that_does_not_read_is_held_back() {
    use std::cell::Cell;
    const REQUESTS: usize = 60_000;
    block_on(async {
        let member = Member::start("flood", 1).await;
        let mut stream = Stream::open(&member).await;
        let requests = stream.requests.clone();
        let sent = &Cell::new(0);
        let flood = async move {
            let refused = on(&"b".repeat(1000), "a");
            for n in 0..REQUESTS {
                let request = RequestUnion::CreateRequest(refused.clone());
                requests.send(pb::WatchRequest { request_union: Some(request) }).await.expect("open");
                sent.set(n);
            }
        };
        let read = async {
            let mut before = usize::MAX;
            while sent.get() != before {
                before = sent.get();
                OsRuntime::sleep(Duration::from_millis(200)).await;
            }
            assert!(before < REQUESTS - 1, "all were taken in");
            for _ in 0..REQUESTS {
                assert_eq!(stream.next().await.watch_id, -1);
            }
        };
        futures_util::join!(flood, read);
        member.stop().await;
    });
}
