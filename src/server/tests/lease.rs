//! The Lease service by row.

use etched_proto::etcdserverpb::lease_client::LeaseClient;
use prost::Message;

use super::*;
use crate::runtime::channel::mpsc;
use crate::server::unary::{PREFIX_BYTES, prefix};

async fn client(member: &Member) -> LeaseClient<GrpcChannel> {
    LeaseClient::new(member.channel().await)
}

fn grant(id: i64, ttl: i64) -> pb::LeaseGrantRequest {
    pb::LeaseGrantRequest { id, ttl }
}

#[test]
fn l1_l2_l3_l4_l6_l7_unary() {
    block_on(async {
        let member = Member::start("lease", 1).await;
        let (mut leases, mut kv) = (client(&member).await, member.kv().await);
        let picked = leases.lease_grant(grant(0, 50)).await.expect("a grant").into_inner();
        assert!(picked.id > 0 && picked.ttl == 50 && picked.error.is_empty());
        assert_eq!(picked.header.expect("a header").revision, 1);
        let raised = leases.lease_grant(grant(-9, 0)).await.expect("a grant").into_inner();
        assert_eq!((raised.id, raised.ttl), (-9, 2));
        assert_eq!(
            refusal(leases.lease_grant(grant(-9, 5)).await),
            told(Code::FailedPrecondition, "etcdserver: lease already exists")
        );
        assert_eq!(
            refusal(leases.lease_grant(grant(3, 9_000_000_001)).await),
            told(Code::OutOfRange, "etcdserver: too large lease TTL")
        );
        let listed = leases.lease_leases(pb::LeaseLeasesRequest {}).await.expect("a list").into_inner();
        assert_eq!(listed.leases.iter().map(|lease| lease.id).collect::<Vec<_>>(), [-9, picked.id]);
        kv.put(pb::PutRequest { lease: picked.id, ..put("k", "v") }).await.expect("a put");
        assert_eq!(
            refusal(kv.put(pb::PutRequest { lease: 404, ..put("k", "v") }).await),
            told(Code::NotFound, "etcdserver: requested lease not found")
        );
        let ask = |id, keys| pb::LeaseTimeToLiveRequest { id, keys };
        let found = leases.lease_time_to_live(ask(picked.id, true)).await.expect("an answer").into_inner();
        assert!((40..=50).contains(&found.ttl) && found.granted_ttl == 50 && found.id == picked.id);
        assert_eq!(found.keys, ["k"]);
        let none = leases.lease_time_to_live(ask(404, true)).await.expect("an answer").into_inner();
        assert_eq!((none.id, none.ttl, none.granted_ttl, none.keys.len()), (404, -1, 0, 0));
        let revoke = |id| pb::LeaseRevokeRequest { id };
        let revoked = leases.lease_revoke(revoke(picked.id)).await.expect("a revoke").into_inner();
        assert_eq!(revoked.header.expect("a header").revision, 3);
        assert_eq!(kv.range(get("k")).await.expect("a read").into_inner().count, 0);
        assert_eq!(
            refusal(leases.lease_revoke(revoke(picked.id)).await),
            told(Code::NotFound, "etcdserver: requested lease not found")
        );
        member.stop().await;
    });
}

#[test]
fn l5_a_reply_for_each_message_in_order() {
    block_on(async {
        let member = Member::start("keep-alive", 1).await;
        let mut leases = client(&member).await;
        for id in 1..=300 {
            leases.lease_grant(grant(id, 1000 + id)).await.expect("a grant");
        }
        let (requests, mut receiver) = mpsc::channel(2000);
        let outgoing = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
        let mut answers = leases.lease_keep_alive(outgoing).await.expect("a stream").into_inner();
        let ids: Vec<i64> = (1..=1500).map(|n| n % 400).collect();
        for id in &ids {
            requests.send(pb::LeaseKeepAliveRequest { id: *id }).await.expect("the stream is open");
        }
        for id in ids {
            let answer = answers.message().await.expect("no error").expect("no end");
            let ttl = if (1..=300).contains(&id) { 1000 + id } else { 0 };
            assert_eq!((answer.id, answer.ttl), (id, ttl));
            assert_eq!(answer.header.expect("a header").revision, 1);
        }
        // One at a time: nothing but its own answer wakes the stream.
        for id in 1..=3 {
            requests.send(pb::LeaseKeepAliveRequest { id }).await.expect("the stream is open");
            assert_eq!(answers.message().await.expect("no error").expect("no end").id, id);
        }
        drop(requests);
        assert_eq!(answers.message().await.expect("no error"), None);
        member.stop().await;
    });
}

#[test]
fn l5_who_asks_and_says_no_more_is_answered_and_sees_the_end() {
    block_on(async {
        let member = Member::start("keep-alive-closed", 1).await;
        let mut leases = client(&member).await;
        leases.lease_grant(grant(1, 60)).await.expect("a grant");
        // The last ones are more than a stream may have waiting.
        for count in [1, 2, 1, 2, 1, 5000, 5000] {
            let asked = futures_util::stream::iter(vec![pb::LeaseKeepAliveRequest { id: 1 }; count]);
            let mut answers = leases.lease_keep_alive(asked).await.expect("a stream").into_inner();
            for _ in 0..count {
                assert_eq!(answers.message().await.expect("no error").expect("no end").ttl, 60);
            }
            assert_eq!(answers.message().await.expect("no error"), None);
        }
        member.stop().await;
    });
}

#[test]
fn l5_what_is_answered_goes_out_before_the_stream_ends_for_a_bad_message() {
    block_on(async {
        let member = Member::start("keep-alive-bad", 1).await;
        let granted = client(&member).await.lease_grant(grant(7, 60)).await.expect("a grant").into_inner();
        let stream = OsNet.dial(&member.address).await.expect("a connection");
        let (mut requests, connection) = h2::client::handshake(stream).await.expect("a server");
        let _connection = OsRuntime::spawn("client", connection);
        for _ in 0..20 {
            let request = http::Request::post("http://member/etcdserverpb.Lease/LeaseKeepAlive")
                .header("content-type", "application/grpc");
            let request = request.body(()).expect("a request");
            let (answer, mut asking) = requests.send_request(request, false).expect("room");
            // A lease, its answer on the way, then a message with a flag that no message has.
            let asked = pb::LeaseKeepAliveRequest { id: granted.id }.encode_to_vec();
            let messages = [&prefix(asked.len())[..], &asked, &[9, 0, 0, 0, 0]].concat();
            asking.send_data(bytes::Bytes::from(messages), false).expect("sent");
            let mut body = answer.await.expect("an answer").into_body();
            let mut answers = Vec::new();
            while let Some(data) = body.data().await {
                answers.extend_from_slice(&data.expect("data"));
            }
            let trailers = body.trailers().await.expect("trailers").expect("trailers");
            assert_eq!(trailers["grpc-status"], "13", "{trailers:?}");
            let told = pb::LeaseKeepAliveResponse::decode(&answers[PREFIX_BYTES..]).expect("one answer");
            assert_eq!((told.id, told.ttl), (granted.id, 60));
        }
        member.stop().await;
    });
}

#[test]
fn l5_m1_without_a_leader_the_stream_fails() {
    block_on(async {
        let member = Member::start("keep-alive-alone", 3).await;
        let mut leases = client(&member).await;
        let mut request =
            tonic::Request::new(futures_util::stream::iter([pb::LeaseKeepAliveRequest { id: 1 }]));
        request.set_timeout(Duration::from_millis(300));
        let mut answers = leases.lease_keep_alive(request).await.expect("a stream").into_inner();
        assert_eq!(refusal(answers.message().await).0, Code::DeadlineExceeded);
        member.stop().await;
    });
}
