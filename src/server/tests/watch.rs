//! Watch streams by row.

use etched_proto::etcdserverpb::watch_client::WatchClient;
use etched_proto::etcdserverpb::watch_request::RequestUnion;
use tonic::metadata::MetadataValue;
use tonic::{Request, Streaming};

use super::*;
use crate::runtime::channel::mpsc;

struct Stream {
    requests: mpsc::Sender<pb::WatchRequest>,
    responses: Streaming<pb::WatchResponse>,
}

impl Stream {
    async fn open(member: &Member) -> Stream {
        Stream::with_metadata(member, &[]).await.expect("a stream")
    }

    async fn with_metadata(
        member: &Member,
        metadata: &[(&'static str, &'static str)],
    ) -> Result<Stream, Status> {
        let (requests, mut receiver) = mpsc::channel(16);
        let outgoing = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
        let mut request = Request::new(outgoing);
        for (name, value) in metadata {
            request.metadata_mut().insert(*name, MetadataValue::from_static(value));
        }
        let responses = WatchClient::new(member.channel().await).watch(request).await?.into_inner();
        Ok(Stream { requests, responses })
    }

    async fn send(&self, request: RequestUnion) {
        let request = pb::WatchRequest { request_union: Some(request) };
        self.requests.send(request).await.expect("the stream is open");
    }

    async fn create(&mut self, create: pb::WatchCreateRequest) -> pb::WatchResponse {
        self.send(RequestUnion::CreateRequest(create)).await;
        self.next().await
    }

    async fn next(&mut self) -> pb::WatchResponse {
        self.responses.message().await.expect("no error").expect("no end")
    }

    async fn end(&mut self) -> (Code, String) {
        refusal(self.responses.message().await)
    }
}

fn on(key: &str, range_end: &str) -> pb::WatchCreateRequest {
    let (key, range_end) = (key.to_string().into(), range_end.to_string().into());
    pb::WatchCreateRequest { key, range_end, ..Default::default() }
}

fn shape(response: &pb::WatchResponse) -> (i64, bool, bool, &str) {
    (response.watch_id, response.created, response.canceled, response.cancel_reason.as_str())
}

#[test]
fn w1_w4_w6_w13_w24_life_of_a_watcher() {
    block_on(async {
        let member = Member::start("watch", 1).await;
        let mut kv = member.kv().await;
        kv.put(put("a", "1")).await.expect("a put");
        let mut stream = Stream::open(&member).await;
        let created = stream.create(on("a", "")).await;
        assert_eq!((shape(&created), created.events.len()), ((0, true, false, ""), 0));
        assert_eq!(created.header.expect("a header").revision, 2);
        stream.requests.send(pb::WatchRequest { request_union: None }).await.expect("open");
        kv.put(put("a", "2")).await.expect("a put");
        let response = stream.next().await;
        assert_eq!(
            (response.watch_id, response.events[0].kv.as_ref().expect("a record").mod_revision),
            (0, 3)
        );
        stream.send(RequestUnion::CancelRequest(pb::WatchCancelRequest { watch_id: 77 })).await;
        stream.send(RequestUnion::CancelRequest(pb::WatchCancelRequest { watch_id: 0 })).await;
        assert_eq!(shape(&stream.next().await), (0, false, true, ""));
        // W10: compaction passed the start.
        kv.compact(pb::CompactionRequest { revision: 3, physical: false }).await.expect("a compaction");
        let created = stream.create(pb::WatchCreateRequest { start_revision: 2, ..on("a", "") }).await;
        assert!(created.created && !created.canceled);
        let canceled = stream.next().await;
        assert_eq!((shape(&canceled), canceled.compact_revision), ((created.watch_id, false, true, ""), 3));
        // The client sends no more: the stream ends well.
        let Stream { requests, mut responses } = stream;
        drop(requests);
        assert_eq!(responses.message().await.expect("no error"), None);
        member.stop().await;
    });
}

#[test]
fn w3_w5_w9_refused_watchers() {
    block_on(async {
        let member = Member::start("refused", 1).await;
        let mut stream = Stream::open(&member).await;
        let empty = stream.create(on("b", "a")).await;
        assert_eq!(shape(&empty), (-1, true, true, "mvcc: watcher range is empty"));
        let mine = pb::WatchCreateRequest { watch_id: 7, ..on("a", "") };
        assert_eq!(shape(&stream.create(mine.clone()).await), (7, true, false, ""));
        let duplicate = "mvcc: duplicate watch ID provided on the WatchStream";
        assert_eq!(shape(&stream.create(mine).await), (-1, true, true, duplicate));
        let negative = pb::WatchCreateRequest { start_revision: -1, ..on("a", "") };
        let compacted = "etcdserver: mvcc: required revision has been compacted";
        assert_eq!(shape(&stream.create(negative).await), (-1, true, true, compacted));
        member.stop().await;
    });
}

#[test]
fn w2_w7_w16_w17_w19_replay_filters_and_progress() {
    block_on(async {
        let member = Member::start("replay", 1).await;
        let mut kv = member.kv().await;
        kv.put(put("a", "1")).await.expect("a put");
        kv.put(put("a", "2")).await.expect("a put");
        let delete = pb::DeleteRangeRequest { key: "a".into(), ..Default::default() };
        kv.delete_range(delete).await.expect("a delete");
        let mut stream = Stream::open(&member).await;
        let all = pb::WatchCreateRequest { start_revision: 2, prev_kv: true, ..on("", "\0") };
        assert!(stream.create(all).await.created);
        let mut events = Vec::new();
        while events.len() < 3 {
            events.extend(stream.next().await.events);
        }
        let prev = |at: usize| events[at].prev_kv.as_ref().map(|kv| kv.value.to_vec());
        assert_eq!((prev(0), prev(1), prev(2)), (None, Some(b"1".to_vec()), Some(b"2".to_vec())));
        assert_eq!(events[2].r#type, 1);
        let deletes = pb::WatchCreateRequest { start_revision: 2, filters: vec![0], ..on("a", "") };
        let id = stream.create(deletes).await.watch_id;
        let response = stream.next().await;
        assert_eq!((response.watch_id, response.events.len(), response.events[0].r#type), (id, 1, 1));
        stream.send(RequestUnion::ProgressRequest(pb::WatchProgressRequest {})).await;
        let progress = stream.next().await;
        assert_eq!((shape(&progress), progress.events.len()), ((-1, false, false, ""), 0));
        assert_eq!(progress.header.expect("a header").revision, 4);
        member.stop().await;
    });
}

#[test]
fn w15_large_responses_come_in_pieces() {
    block_on(async {
        let member = Member::start("fragments", 1).await;
        let mut kv = member.kv().await;
        let mut streams = [Stream::open(&member).await, Stream::open(&member).await];
        for (stream, fragment) in streams.iter_mut().zip([false, true]) {
            let create = pb::WatchCreateRequest { prev_kv: true, fragment, ..on("a", "z") };
            assert!(stream.create(create).await.created);
        }
        for fill in ["x", "y"] {
            let op = |key| {
                let put = put(key, &fill.repeat(700_000));
                pb::RequestOp { request: Some(pb::request_op::Request::RequestPut(put)) }
            };
            let txn = pb::TxnRequest { success: vec![op("b"), op("c")], ..Default::default() };
            kv.txn(txn).await.expect("a txn");
        }
        let [whole, pieces] = &mut streams;
        assert_eq!(whole.next().await.events.len(), 2);
        let response = whole.next().await;
        assert_eq!((response.events.len(), response.fragment), (2, false));
        assert_eq!(pieces.next().await.events.len(), 2);
        for fragment in [true, false] {
            let piece = pieces.next().await;
            assert_eq!((piece.events.len(), piece.fragment), (1, fragment));
            assert_eq!(piece.header.expect("a header").revision, 3);
        }
        member.stop().await;
    });
}

#[test]
fn w23_streams_end_when_the_member_stops() {
    block_on(async {
        let member = Member::start("stop", 1).await;
        let mut stream = Stream::open(&member).await;
        assert!(stream.create(on("a", "")).await.created);
        let begin = OsRuntime::now();
        let (end, ()) = futures_util::join!(stream.end(), member.stop());
        assert_eq!(end, told(Code::Cancelled, "etcdserver: watch canceled"));
        assert!(OsRuntime::now() - begin < Duration::from_secs(4));
    });
}

#[test]
fn m1_m7_streams_end_for_a_reason() {
    block_on(async {
        let member = Member::start("reasons", 1).await;
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

        let alone = Member::start("reasons-alone", 3).await;
        let refused = Stream::with_metadata(&alone, &[("hasleader", "true")]).await.map(|_| ());
        assert_eq!(refusal(refused), told(Code::Unavailable, "etcdserver: no leader"));
        assert!(Stream::open(&alone).await.create(on("a", "")).await.created);
        alone.stop().await;
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
