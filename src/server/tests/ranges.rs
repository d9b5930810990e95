//! Ranges of all sizes and orders, in one message and as streams, and what they may take in memory.

use etched_proto::etcdserverpb::request_op::Request as Op;
use prost::Message;
use tower::Service;

use super::*;
use crate::server::pieces::ANSWER_BYTES;
use crate::server::translate;

const EVERYTHING: &[u8] = &[0];

fn all() -> pb::RangeRequest {
    pb::RangeRequest { range_end: EVERYTHING.into(), ..get("\0") }
}

/// `count` keys `k000000`... with values of `value_bytes`, 100 in a transaction.
async fn fill(member: &Member, count: usize, value_bytes: usize) {
    let mut kv = member.kv().await;
    let value = "v".repeat(value_bytes);
    for from in (0..count).step_by(100) {
        let one = |n| put(&format!("k{n:06}"), &format!("{}{value}", n % 7));
        let success = (from..count.min(from + 100))
            .map(|n| pb::RequestOp { request: Some(Op::RequestPut(one(n))) })
            .collect();
        kv.txn(pb::TxnRequest { success, ..Default::default() }).await.expect("puts");
    }
}

/// The answer as the store gives it, without the pieces.
fn expected(member: &Member, request: &pb::RangeRequest) -> pb::RangeResponse {
    let view = member.node.view();
    let response = view.range(&translate::range(request.clone()).expect("valid")).expect("readable");
    let header = member.node.header(view.revision());
    translate::range_response(translate::response_header(&header), &response)
}

#[test]
fn ranges_of_all_sizes_and_orders() {
    block_on(async {
        let member = Member::start("ranges", 1).await;
        // More than a step looks at, and more than is remembered from the first walk.
        fill(&member, 20_000, 20).await;
        let mut kv = member.kv().await;
        let requests = [
            all(),
            get("k000007"),
            get("nothing"),
            pb::RangeRequest { range_end: "k".into(), ..get("z") },
            pb::RangeRequest { limit: 10, ..all() },
            pb::RangeRequest { limit: 17_000, ..all() },
            pb::RangeRequest { limit: 20_000, ..all() },
            pb::RangeRequest { count_only: true, ..all() },
            pb::RangeRequest { keys_only: true, ..all() },
            pb::RangeRequest { keys_only: true, sort_target: 4, sort_order: 1, limit: 50, ..all() },
            pb::RangeRequest { sort_order: 1, limit: 30, ..all() },
            pb::RangeRequest { sort_order: 2, limit: 30, ..all() },
            pb::RangeRequest { sort_order: 2, sort_target: 4, ..all() },
            pb::RangeRequest { sort_order: 2, sort_target: 3, limit: 3, ..all() },
            pb::RangeRequest { sort_target: 4, limit: 30, ..all() },
            pb::RangeRequest { min_mod_revision: 20, max_mod_revision: 40, limit: 1500, ..all() },
            pb::RangeRequest { max_create_revision: 190, ..all() },
            pb::RangeRequest { revision: 50, ..all() },
        ];
        for request in requests {
            let answer = kv.range(request.clone()).await.expect("a read").into_inner();
            assert!(answer == expected(&member, &request), "{request:?}");
        }
        member.stop().await;
    });
}

#[test]
fn large_records_come_whole() {
    block_on(async {
        let member = Member::start("large-range", 1).await;
        let mut kv = member.kv().await;
        for n in 0..40 {
            kv.put(put(&format!("k{n:02}"), &format!("{n:02}").repeat(40_000))).await.expect("a put");
        }
        let answer = kv.range(all()).await.expect("a read").into_inner();
        assert!(answer == expected(&member, &all()) && answer.kvs.len() == 40);
        // In a transaction and as what a delete removed.
        let op = |request| vec![pb::RequestOp { request: Some(request) }];
        let read = pb::TxnRequest { success: op(Op::RequestRange(all())), ..Default::default() };
        let answer = kv.txn(read).await.expect("a transaction").into_inner();
        assert!(answer.encoded_len() > 3_200_000 && answer.responses.len() == 1);
        let delete = pb::DeleteRangeRequest { key: "\0".into(), range_end: EVERYTHING.into(), prev_kv: true };
        let answer = kv.delete_range(delete).await.expect("a delete").into_inner();
        assert_eq!(
            (answer.deleted, answer.prev_kvs.len(), answer.prev_kvs[39].value.len()),
            (40, 40, 80_000)
        );
        member.stop().await;
    });
}

async fn chunks(member: &Member, request: pb::RangeRequest) -> Vec<pb::RangeResponse> {
    let mut stream = member.kv().await.range_stream(request).await.expect("a stream").into_inner();
    let mut chunks = Vec::new();
    while let Some(chunk) = stream.message().await.expect("a chunk") {
        chunks.push(chunk.range_response.expect("a response"));
    }
    chunks
}

#[test]
fn rs1_to_rs6_streams() {
    block_on(async {
        let member = Member::start("streams", 1).await;
        fill(&member, 20_000, 300).await;
        let requests = [
            all(),
            pb::RangeRequest { limit: 10_000, ..all() },
            pb::RangeRequest { limit: 10_000, sort_order: 1, ..all() },
            // By the target, ascending.
            pb::RangeRequest { sort_target: 4, ..all() },
            pb::RangeRequest { sort_target: 3, limit: 10_000, ..all() },
            pb::RangeRequest { sort_target: 3, limit: 7, keys_only: true, ..all() },
            pb::RangeRequest { sort_target: 1, count_only: true, ..all() },
            pb::RangeRequest { sort_target: 2, ..get("nothing") },
            pb::RangeRequest { keys_only: true, ..all() },
            pb::RangeRequest { count_only: true, ..all() },
            pb::RangeRequest { revision: 50, ..all() },
            get("k000007"),
            get("nothing"),
        ];
        for request in requests {
            let chunks = chunks(&member, request.clone()).await;
            let (last, others) = chunks.split_last().expect("a last chunk");
            assert!(others.iter().all(|one| one.header.is_none() && !one.more && one.count == 0));
            assert!(others.iter().all(|one| !one.kvs.is_empty() && one.encoded_len() < 3 << 20));
            assert!(last.header.is_some());
            assert!(!request.count_only || others.is_empty());
            let mut joined = last.clone();
            joined.kvs = chunks.into_iter().flat_map(|one| one.kvs).collect();
            assert!(joined == expected(&member, &request), "{request:?}");
        }
        let whole = chunks(&member, all()).await;
        assert_eq!((whole.len() > 3, whole[0].kvs.len()), (true, 10));
        member.stop().await;
    });
}

#[test]
fn rs5_what_is_not_streamed() {
    block_on(async {
        let member = Member::start("not-streamed", 1).await;
        let mut kv = member.kv().await;
        let sort = told(Code::Unimplemented, "RangeStream does not support custom sort orders");
        let filter = told(Code::Unimplemented, "RangeStream does not support revision filters");
        let cases = [
            (pb::RangeRequest { sort_order: 2, ..all() }, sort.clone()),
            (pb::RangeRequest { sort_order: 1, sort_target: 3, ..all() }, sort.clone()),
            (pb::RangeRequest { sort_order: 2, min_mod_revision: 1, ..all() }, sort),
            (pb::RangeRequest { min_mod_revision: 1, ..all() }, filter.clone()),
            (pb::RangeRequest { max_create_revision: 1, ..all() }, filter),
            (get(""), told(Code::InvalidArgument, "etcdserver: key is not provided")),
            (
                pb::RangeRequest { revision: 99, ..all() },
                told(Code::OutOfRange, "etcdserver: mvcc: required revision is a future revision"),
            ),
        ];
        for (request, refused) in cases {
            assert_eq!(refusal(kv.range_stream(request).await), refused);
        }
        member.stop().await;
    });
}

/// The call of `method` with `request`, whose answer nobody reads yet.
async fn unread(
    member: &Member,
    method: &str,
    request: &pb::RangeRequest,
) -> http::Response<hyper::body::Incoming> {
    let message = request.encode_to_vec();
    let framed = [&[0, 0, 0, 0, message.len() as u8], message.as_slice()].concat();
    let body = tonic::body::Body::new(http_body_util::Full::new(bytes::Bytes::from(framed)));
    let request = http::Request::post(format!("/etcdserverpb.KV/{method}"))
        .header("content-type", "application/grpc")
        .body(body)
        .expect("a request");
    member.channel().await.call(request).await.expect("an answer")
}

#[test]
fn reads_past_the_budget_are_refused() {
    block_on(async {
        let budget = |config: &mut NodeConfig| config.read_budget_bytes = 2 * ANSWER_BYTES;
        let member = Member::with("budget", 1, budget, ServerOptions::default()).await;
        fill(&member, 20_000, 500).await;
        let mut kv = member.kv().await.max_decoding_message_size(usize::MAX);
        let text = "etcdserver: too many bytes in flight for reads, try again later";
        let refused = told(Code::ResourceExhausted, text);
        for method in ["Range", "RangeStream"] {
            let mut slow = Vec::new();
            for _ in 0..2 {
                slow.push(unread(&member, method, &all()).await);
            }
            let answer = kv.range(all()).await.map(|_| "an answer");
            assert_eq!(refusal(answer), refused);
            assert_eq!(refusal(kv.range_stream(all()).await), refused);
            // Small reads and writes go on.
            kv.range(get("k000001")).await.expect("a small read");
            kv.put(put("x", "y")).await.expect("a put");
            // Those who gave up give back what they took.
            drop(slow);
            while let Err(status) = kv.range(all()).await {
                assert_eq!(status.code(), Code::ResourceExhausted);
                OsRuntime::sleep(Duration::from_millis(5)).await;
            }
        }
        member.stop().await;
    });
}
