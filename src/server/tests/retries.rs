//! Exactly-once retries over real gRPC (docs/COORDINATION.md).

use etched_proto::etcdserverpb::request_op::Request as Op;
use tonic::Request;

use super::*;

fn numbered<M>(message: M, client: &str, sequence: &str) -> Request<M> {
    let mut request = Request::new(message);
    for (name, value) in [("etched-client-id", client), ("etched-client-sequence", sequence)] {
        request.metadata_mut().insert(name, value.parse().expect("ascii"));
    }
    request
}

fn revision(header: Option<pb::ResponseHeader>) -> i64 {
    header.expect("a header").revision
}

#[test]
fn a_retry_is_answered_as_the_first_time() {
    block_on(async {
        let member = Member::start("retries", 1).await;
        let mut kv = member.kv().await;
        let first = kv.put(numbered(put("a", "1"), "7", "1")).await.expect("a put").into_inner();
        kv.put(put("b", "1")).await.expect("a put");
        let again = kv.put(numbered(put("a", "1"), "7", "1")).await.expect("a put").into_inner();
        assert_eq!(again, first);
        // Another client's numbers are its own; without numbers every put counts.
        let other = kv.put(numbered(put("a", "1"), "8", "1")).await.expect("a put").into_inner();
        assert_eq!(revision(other.header), revision(first.header) + 2);

        let op = |request| vec![pb::RequestOp { request: Some(request) }];
        let delete = pb::DeleteRangeRequest { key: "b".into(), ..Default::default() };
        let txn =
            || pb::TxnRequest { success: op(Op::RequestDeleteRange(delete.clone())), ..Default::default() };
        let first = kv.txn(numbered(txn(), "7", "2")).await.expect("a txn").into_inner();
        let again = kv.txn(numbered(txn(), "7", "2")).await.expect("a txn").into_inner();
        assert_eq!((again.responses.len(), again.succeeded, again.header), (1, true, first.header));
        assert_eq!(member.node.view().revision(), revision(first.header));

        let old = refusal(kv.put(numbered(put("a", "1"), "7", "1")).await);
        assert_eq!(old.0, Code::FailedPrecondition);
        let reused = refusal(kv.put(numbered(put("a", "1"), "7", "2")).await);
        assert_eq!(reused.0, Code::FailedPrecondition);
        assert_ne!(old.1, reused.1);
        let records = [
            refusal(kv.put(numbered(pb::PutRequest { prev_kv: true, ..put("a", "1") }, "7", "3")).await),
            refusal(
                kv.delete_range(numbered(
                    pb::DeleteRangeRequest { prev_kv: true, ..delete.clone() },
                    "7",
                    "3",
                ))
                .await,
            ),
            refusal(
                kv.txn(numbered(
                    pb::TxnRequest { failure: op(Op::RequestRange(get("a"))), ..Default::default() },
                    "7",
                    "3",
                ))
                .await,
            ),
            refusal(kv.put(numbered(put("a", "1"), "7", "0")).await),
        ];
        assert!(records.iter().all(|(code, _)| *code == Code::InvalidArgument), "{records:?}");
        assert_eq!(member.node.view().revision(), revision(first.header));
        member.stop().await;
    });
}
