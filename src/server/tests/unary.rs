//! Requests with one answer: the way there and back, refusals by code and text, metadata.

use etched_proto::etcdserverpb::cluster_client::ClusterClient;
use etched_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use etched_proto::etcdserverpb::request_op::Request as Op;
use etched_proto::etcdserverpb::response_op::Response as Answer;
use tonic::Request;
use tonic::metadata::{AsciiMetadataValue, MetadataValue};

use super::*;

#[test]
fn kv_there_and_back() {
    block_on(async {
        let member = Member::start("kv", 1).await;
        let mut kv = member.kv().await;
        let answer = kv.put(put("a", "1")).await.expect("a put").into_inner();
        let header = answer.header.expect("a header");
        assert_eq!((header.revision, header.member_id), (2, member.node.member_id()));
        assert_eq!((header.cluster_id, header.raft_term > 0), (member.node.cluster_id(), true));
        let answer = kv.put(pb::PutRequest { prev_kv: true, ..put("a", "2") }).await.expect("a put");
        assert_eq!(answer.into_inner().prev_kv.expect("a previous record").value.as_ref(), b"1");
        let answer = kv.range(get("a")).await.expect("a read").into_inner();
        assert_eq!(
            (answer.count, answer.kvs[0].value.as_ref(), answer.kvs[0].version),
            (1, b"2".as_slice(), 2)
        );

        let op = |request| pb::RequestOp { request: Some(request) };
        let success = vec![op(Op::RequestPut(put("b", "3"))), op(Op::RequestRange(get("b")))];
        let answer = kv.txn(pb::TxnRequest { success, ..Default::default() }).await.expect("a txn");
        let answer = answer.into_inner();
        assert!(answer.succeeded);
        let Some(Answer::ResponseRange(range)) = &answer.responses[1].response else { panic!("{answer:?}") };
        assert_eq!(range.kvs[0].value.as_ref(), b"3");

        let delete = pb::DeleteRangeRequest { key: "a".into(), range_end: "z".into(), prev_kv: true };
        let answer = kv.delete_range(delete).await.expect("a delete").into_inner();
        assert_eq!((answer.deleted, answer.prev_kvs.len()), (2, 2));
        let compact = pb::CompactionRequest { revision: 3, physical: true };
        kv.compact(compact).await.expect("a compaction");
        let old = pb::RangeRequest { revision: 2, ..get("a") };
        let compacted = "etcdserver: mvcc: required revision has been compacted";
        assert_eq!(refusal(kv.range(old).await), told(Code::OutOfRange, compacted));
        member.stop().await;
    });
}

#[test]
fn form_is_checked_at_the_door() {
    block_on(async {
        let member = Member::start("form", 1).await;
        let mut kv = member.kv().await;
        let invalid = |text: &str| told(Code::InvalidArgument, text);
        assert_eq!(refusal(kv.range(get("")).await), invalid("etcdserver: key is not provided"));
        let sort = pb::RangeRequest { sort_order: 9, ..get("a") };
        assert_eq!(refusal(kv.range(sort).await), invalid("etcdserver: invalid sort option"));
        let empty_op = vec![pb::RequestOp { request: None }];
        let txn = pb::TxnRequest { success: empty_op, ..Default::default() };
        assert_eq!(refusal(kv.txn(txn).await), invalid("etcdserver: key not found"));
        // The connection is as good as before.
        kv.put(put("a", "1")).await.expect("a put");
        member.stop().await;
    });
}

#[test]
fn m7_large_messages() {
    block_on(async {
        let member = Member::start("large", 1).await;
        let mut kv = member.kv().await;
        let request = put("a", &"x".repeat(1_600_000));
        let too_large = told(Code::InvalidArgument, "etcdserver: request is too large");
        assert_eq!(refusal(kv.put(request).await), too_large);
        let request = put("a", &"x".repeat(2_200_000));
        let size = prost::Message::encoded_len(&request);
        let text = format!("grpc: received message larger than max ({size} vs. 2097152)");
        assert_eq!(refusal(kv.put(request).await), told(Code::ResourceExhausted, &text));
        kv.put(put("a", &"x".repeat(1_500_000))).await.expect("a put that fits");
        assert_eq!(kv.range(get("a")).await.expect("a read").into_inner().kvs[0].value.len(), 1_500_000);
        member.stop().await;
    });
}

/// Sends `frames` as the body of a Put and gives what the server said.
async fn raw_put(member: &Member, frames: Vec<Vec<u8>>) -> Result<usize, Status> {
    use http_body_util::{BodyExt, StreamBody};
    use tower::Service;
    let frames = frames
        .into_iter()
        .map(|bytes| Ok::<_, std::convert::Infallible>(http_body::Frame::data(bytes::Bytes::from(bytes))));
    let body = tonic::body::Body::new(StreamBody::new(futures_util::stream::iter(frames)));
    let request = http::Request::post("/etcdserverpb.KV/Put")
        .header("content-type", "application/grpc")
        .body(body)
        .expect("a request");
    let answer = member.channel().await.call(request).await.expect("an answer");
    if let Some(status) = Status::from_header_map(answer.headers()) {
        return Err(status);
    }
    let whole = answer.into_body().collect().await.expect("a body");
    let trailers = whole.trailers().cloned().expect("trailers");
    assert_eq!(Status::from_header_map(&trailers).expect("a status").code(), Code::Ok);
    Ok(whole.to_bytes().len())
}

#[test]
fn messages_in_any_frames() {
    use prost::Message;
    block_on(async {
        let member = Member::start("frames", 1).await;
        let message = put("a", "value").encode_to_vec();
        let framed = [&[0, 0, 0, 0, message.len() as u8], message.as_slice()].concat();
        let bytes: Vec<_> = framed.iter().map(|byte| vec![*byte]).collect();
        assert!(raw_put(&member, bytes).await.expect("a put byte by byte") > 5);
        assert!(raw_put(&member, framed.chunks(3).map(<[u8]>::to_vec).collect()).await.is_ok());
        let code = |result: Result<usize, Status>| refusal(result).0;
        assert_eq!(code(raw_put(&member, vec![]).await), Code::Internal);
        assert_eq!(code(raw_put(&member, vec![vec![0, 0]]).await), Code::Internal);
        assert_eq!(code(raw_put(&member, vec![framed[..framed.len() - 1].to_vec()]).await), Code::Internal);
        assert_eq!(code(raw_put(&member, vec![[framed.clone(), vec![0]].concat()]).await), Code::Internal);
        assert_eq!(code(raw_put(&member, vec![framed.clone(), framed.clone()]).await), Code::Internal);
        let mut compressed = framed.clone();
        compressed[0] = 1;
        assert_eq!(code(raw_put(&member, vec![compressed]).await), Code::Unimplemented);
        let garbage = vec![0, 0, 0, 0, 3, 0xff, 0xff, 0xff];
        assert_eq!(code(raw_put(&member, vec![garbage]).await), Code::Internal);
        assert_eq!(code(raw_put(&member, vec![vec![0, 255, 255, 255, 255]]).await), Code::ResourceExhausted);
        // An empty message is a request without a key.
        assert_eq!(code(raw_put(&member, vec![vec![0; 5]]).await), Code::InvalidArgument);
        assert_eq!(member.node.view().revision(), 3);
        member.stop().await;
    });
}

#[test]
fn a_body_that_never_comes_ends_with_the_deadline() {
    use http_body_util::StreamBody;
    use tower::Service;
    block_on(async {
        let member = Member::start("no-body", 1).await;
        let nothing = futures_util::stream::pending::<Result<http_body::Frame<bytes::Bytes>, Status>>();
        let request = http::Request::post("/etcdserverpb.KV/Put")
            .header("content-type", "application/grpc")
            .header("grpc-timeout", "100m")
            .body(tonic::body::Body::new(StreamBody::new(nothing)))
            .expect("a request");
        let answer = member.channel().await.call(request).await.expect("an answer");
        let status = Status::from_header_map(answer.headers()).expect("a status");
        assert_eq!(refusal(Err::<(), _>(status)), told(Code::DeadlineExceeded, "context deadline exceeded"));
        member.stop().await;
    });
}

/// What a put of "a" comes to that is sent by `method` and has `headers` besides gRPC's.
async fn odd_put(member: &Member, method: &str, headers: &[(&str, &str)]) -> (http::StatusCode, Status) {
    use tower::Service;
    let message = tonic::body::Body::new(http_body_util::Full::new(bytes::Bytes::from_static(
        b"\0\0\0\0\x06\x0a\x01a\x12\x01b",
    )));
    let mut request = http::Request::builder().method(method).uri("/etcdserverpb.KV/Put");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(message).expect("a request");
    let answer = member.channel().await.call(request).await.expect("an answer");
    let status = Status::from_header_map(answer.headers()).unwrap_or_else(|| Status::ok(""));
    (answer.status(), status)
}

#[test]
fn what_is_not_quite_grpc_is_refused_and_does_nothing() {
    block_on(async {
        let member = Member::start("odd", 1).await;
        let before = member.node.view().revision();
        let grpc = ("content-type", "application/grpc");
        for method in ["GET", "PUT", "OPTIONS", "post"] {
            let (code, status) = odd_put(&member, method, &[grpc]).await;
            assert_eq!((code.as_u16(), status.code()), (405, Code::Internal), "{method}");
            let text = format!("Received a HEADERS frame with :method \"{method}\" which should be POST");
            assert_eq!(status.message(), text);
        }
        for timeout in ["", "1", "S", "abc", "-1S", "1.5S", "1s", "123456789S"] {
            let (_, status) = odd_put(&member, "POST", &[grpc, ("grpc-timeout", timeout)]).await;
            let text = format!("malformed grpc-timeout: {timeout:?}");
            assert_eq!(refusal(Err::<(), _>(status)), told(Code::Internal, &text));
        }
        // No time at all: nobody waits for the answer.
        for timeout in ["0n", "0S", "1n", "00000000H"] {
            for _ in 0..20 {
                let (_, status) = odd_put(&member, "POST", &[grpc, ("grpc-timeout", timeout)]).await;
                let late = told(Code::DeadlineExceeded, "context deadline exceeded");
                assert_eq!(refusal(Err::<(), _>(status)), late, "{timeout}");
            }
        }
        for kind in ["application/grpcfoo", "application/grpc-web", "text/plain"] {
            let (code, _) = odd_put(&member, "POST", &[("content-type", kind)]).await;
            assert_eq!(code.as_u16(), 404, "{kind}");
        }
        assert_eq!(member.node.view().revision(), before);
        for kind in ["application/grpc+proto", "application/grpc;x=y"] {
            let (code, status) = odd_put(&member, "POST", &[("content-type", kind)]).await;
            assert_eq!((code.as_u16(), status.code()), (200, Code::Ok), "{kind}");
        }
        assert_eq!(member.node.view().revision(), before + 2);
        member.stop().await;
    });
}

#[test]
fn too_deep_transactions_are_refused() {
    block_on(async {
        let member = Member::start("deep", 1).await;
        let mut kv = member.kv().await;
        let nest = |inner: pb::TxnRequest| pb::TxnRequest {
            success: vec![pb::RequestOp { request: Some(Op::RequestTxn(inner)) }],
            ..Default::default()
        };
        let deep = |levels: usize| (1..levels).fold(pb::TxnRequest::default(), |inner, _| nest(inner));
        kv.txn(deep(40)).await.expect("forty levels");
        for levels in [60, 1000] {
            assert!(kv.txn(deep(levels)).await.is_err(), "{levels}");
        }
        kv.put(put("a", "1")).await.expect("a put");
        member.stop().await;
    });
}

#[test]
fn many_clients_at_once() {
    block_on(async {
        let member = Member::start("many", 1).await;
        let mut clients = Vec::new();
        for connection in 0..20 {
            let kv = member.kv().await;
            for stream in 0..20 {
                let mut kv = kv.clone();
                clients.push(async move {
                    for n in 0..5 {
                        let key = format!("{connection}-{stream}");
                        kv.put(put(&key, &n.to_string())).await.expect("a put");
                        let answer = kv.range(get(&key)).await.expect("a read").into_inner();
                        assert_eq!(answer.kvs[0].value, n.to_string());
                    }
                });
            }
        }
        futures_util::future::join_all(clients).await;
        assert_eq!(member.node.view().revision(), 2001);
        member.stop().await;
    });
}

/// A client that gives up many requests at once keeps its connection.
#[test]
fn many_requests_given_up_at_once() {
    block_on(async {
        let member = Member::start("given-up", 1).await;
        let kv = member.kv().await;
        for _ in 0..10 {
            let requests = (0..100).map(|n| {
                let mut kv = kv.clone();
                async move { kv.put(put(&format!("k{n}"), "v")).await }
            });
            let all = futures_util::future::join_all(requests);
            timeout::<OsRuntime, _>(Duration::from_micros(300), all).await;
        }
        kv.clone().put(put("a", "1")).await.expect("a put on the same connection");
        member.stop().await;
    });
}

#[test]
fn what_is_not_offered() {
    block_on(async {
        let member = Member::start("not-offered", 1).await;
        let channel = member.channel().await;
        let unimplemented = |text: &str| told(Code::Unimplemented, text);
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.expect("ready");
        let path = http::uri::PathAndQuery::from_static("/etcdserverpb.KV/Frobnicate");
        let codec = tonic_prost::ProstCodec::<pb::PutRequest, pb::PutResponse>::default();
        let answer = client.unary(Request::new(put("a", "1")), path, codec.clone()).await;
        assert_eq!(refusal(answer), unimplemented("unknown method Frobnicate for service etcdserverpb.KV"));
        client.ready().await.expect("ready");
        let path = http::uri::PathAndQuery::from_static("/etcdserverpb.Frobnicator/Do");
        let answer = client.unary(Request::new(put("a", "1")), path, codec).await;
        assert_eq!(refusal(answer), unimplemented("unknown service etcdserverpb.Frobnicator"));
        member.stop().await;
    });
}

#[test]
fn maintenance_and_cluster() {
    block_on(async {
        let member = Member::start("maintenance", 1).await;
        member.kv().await.put(put("a", "1")).await.expect("a put");
        let mut maintenance = MaintenanceClient::new(member.channel().await);
        let status = maintenance.status(pb::StatusRequest {}).await.expect("a status").into_inner();
        assert_eq!((status.version.as_str(), status.leader), ("3.7.1", member.node.member_id()));
        assert!(status.errors.is_empty() && status.raft_applied_index > 0 && status.db_size > 0);
        let hash = |revision| pb::HashKvRequest { revision };
        let answer = maintenance.hash_kv(hash(0)).await.expect("a hash").into_inner();
        assert_eq!((answer.hash_revision, answer.compact_revision), (2, -1));
        let future = "etcdserver: mvcc: required revision is a future revision";
        assert_eq!(refusal(maintenance.hash_kv(hash(99)).await), told(Code::OutOfRange, future));
        let mut cluster = ClusterClient::new(member.channel().await);
        let list = pb::MemberListRequest { linearizable: true };
        let list = cluster.member_list(list).await.expect("a list").into_inner();
        assert_eq!((list.members.len(), list.members[0].id), (1, member.node.member_id()));
        assert_eq!(list.header.expect("a header").revision, 0);
        member.stop().await;
    });
}

fn with(request: pb::PutRequest, name: &'static str, value: AsciiMetadataValue) -> Request<pb::PutRequest> {
    let mut request = Request::new(request);
    request.metadata_mut().insert(name, value);
    request
}

#[test]
fn m1_m2_and_deadlines() {
    block_on(async {
        // One of three alone has no leader.
        let member = Member::start("leaderless", 3).await;
        let mut kv = member.kv().await;
        let request = with(put("a", "1"), "hasleader", MetadataValue::from_static("true"));
        let no_leader = told(Code::Unavailable, "etcdserver: no leader");
        assert_eq!(refusal(kv.put(request).await), no_leader);
        let version = AsciiMetadataValue::try_from(b"3\xff".as_slice()).expect("opaque bytes are legal");
        let request = with(put("a", "1"), "client-api-version", version);
        let invalid = told(Code::InvalidArgument, "etcdserver: invalid client api version");
        assert_eq!(refusal(kv.put(request).await), invalid);
        let begin = OsRuntime::now();
        let request = with(put("a", "1"), "grpc-timeout", MetadataValue::from_static("200m"));
        let expired = told(Code::DeadlineExceeded, "context deadline exceeded");
        assert_eq!(refusal(kv.put(request).await), expired);
        let waited = OsRuntime::now() - begin;
        assert!(waited >= Duration::from_millis(200) && waited < Duration::from_secs(3), "{waited:?}");
        member.stop().await;
    });
}
