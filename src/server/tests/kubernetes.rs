//! Each request shape of Kubernetes' storage layer (etcd-surface section 11), over real gRPC.

use etched_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use etched_proto::etcdserverpb::lease_client::LeaseClient;
use etched_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use etched_proto::etcdserverpb::request_op::Request as Op;
use etched_proto::etcdserverpb::response_op::Response as Answer;
use etched_proto::etcdserverpb::watch_client::WatchClient;
use etched_proto::etcdserverpb::watch_request::RequestUnion;
use etched_proto::mvccpb::event::EventType;
use tonic::metadata::MetadataValue;
use tonic::{Request, Streaming};

use super::*;
use crate::runtime::channel::mpsc;

const PODS: &str = "/registry/pods/";

type Kv = KvClient<GrpcChannel>;

fn prefix(prefix: &str) -> pb::RangeRequest {
    let mut end = prefix.as_bytes().to_vec();
    *end.last_mut().expect("a prefix") += 1;
    pb::RangeRequest { range_end: end.into(), ..get(prefix) }
}

fn mod_revision(key: &str, revision: i64) -> pb::Compare {
    pb::Compare {
        key: key.to_owned().into(),
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        target_union: Some(TargetUnion::ModRevision(revision)),
        ..Default::default()
    }
}

fn ops(request: Op) -> Vec<pb::RequestOp> {
    vec![pb::RequestOp { request: Some(request) }]
}

/// Create, update or delete, guarded by `revision`; what the key holds comes back if it fails.
async fn guarded(kv: &mut Kv, key: &str, revision: i64, change: Op) -> pb::TxnResponse {
    let txn = pb::TxnRequest {
        compare: vec![mod_revision(key, revision)],
        success: ops(change),
        failure: ops(Op::RequestRange(get(key))),
    };
    kv.txn(txn).await.expect("a transaction").into_inner()
}

fn write(key: &str, value: &str) -> Op {
    Op::RequestPut(put(key, value))
}

fn remove(key: &str) -> Op {
    Op::RequestDeleteRange(pb::DeleteRangeRequest { key: key.to_owned().into(), ..Default::default() })
}

fn revision(header: Option<pb::ResponseHeader>) -> i64 {
    header.expect("a header").revision
}

fn found(answer: &pb::TxnResponse) -> &etched_proto::mvccpb::KeyValue {
    let Some(Answer::ResponseRange(range)) = &answer.responses[0].response else { panic!("{answer:?}") };
    &range.kvs[0]
}

#[test]
fn create_update_delete() {
    block_on(async {
        let member = Member::start("k8s-writes", 1).await;
        let mut kv = member.kv().await;
        let key = "/registry/pods/default/a";
        let created = guarded(&mut kv, key, 0, write(key, "1")).await;
        assert!(created.succeeded);
        let first = revision(created.header);
        // A second create finds what is there.
        let again = guarded(&mut kv, key, 0, write(key, "2")).await;
        assert_eq!((again.succeeded, found(&again).value.as_ref()), (false, b"1".as_slice()));
        // kube-apiserver creates without a failure branch, too.
        let compare = vec![mod_revision(key, 0)];
        let create = pb::TxnRequest { compare, success: ops(write(key, "2")), ..Default::default() };
        let refused = kv.txn(create).await.expect("a transaction").into_inner();
        assert!(!refused.succeeded && refused.responses.is_empty());

        let updated = guarded(&mut kv, key, first, write(key, "2")).await;
        assert!(updated.succeeded);
        let second = revision(updated.header);
        let conflict = guarded(&mut kv, key, first, write(key, "3")).await;
        assert!(!conflict.succeeded);
        assert_eq!((found(&conflict).mod_revision, found(&conflict).value.as_ref()), (second, &b"2"[..]));
        // The failed ones changed nothing.
        assert_eq!(revision(conflict.header), second);

        let stale = guarded(&mut kv, key, first, remove(key)).await;
        assert_eq!((stale.succeeded, found(&stale).mod_revision), (false, second));
        let deleted = guarded(&mut kv, key, second, remove(key)).await;
        assert!(deleted.succeeded);
        assert_eq!(revision(deleted.header), second + 1);
        let gone = kv.range(pb::RangeRequest { limit: 1, ..get(key) }).await.expect("a read").into_inner();
        assert_eq!((gone.kvs.len(), revision(gone.header)), (0, second + 1));
        let old = pb::RangeRequest { limit: 1, revision: first, ..get(key) };
        let old = kv.range(old).await.expect("a read").into_inner();
        assert_eq!((old.kvs[0].value.as_ref(), revision(old.header)), (&b"1"[..], second + 1));
        member.stop().await;
    });
}

#[test]
fn lists() {
    block_on(async {
        let member = Member::start("k8s-lists", 1).await;
        let mut kv = member.kv().await;
        // The current revision: a read of a key that is not there; never 0.
        let current = kv.range(get(PODS)).await.expect("a read").into_inner();
        assert!(current.kvs.is_empty() && revision(current.header) > 0);
        for n in 0..25 {
            kv.put(put(&format!("{PODS}default/p{n:02}"), &format!("{n}"))).await.expect("a put");
        }
        kv.put(put("/registry/pods0", "outside")).await.expect("a put");

        // Pages of ten, pinned to the first one's revision. "More" is what the count says.
        let mut names = Vec::new();
        let mut page = pb::RangeRequest { limit: 10, ..prefix(PODS) };
        loop {
            let answer = kv.range(page.clone()).await.expect("a page").into_inner();
            if page.revision == 0 {
                page.revision = revision(answer.header);
                kv.put(put(&format!("{PODS}default/late"), "x")).await.expect("a put");
            }
            let has_more = (answer.kvs.len() as i64) < answer.count;
            assert_eq!(has_more, answer.more);
            assert_eq!(answer.count as usize, 25 - names.len());
            names.extend(answer.kvs.iter().map(|kv| kv.key.clone()));
            if !has_more {
                break;
            }
            page.key = [names.last().expect("a name"), &b"\0"[..]].concat().into();
        }
        let expected: Vec<String> = (0..25).map(|n| format!("{PODS}default/p{n:02}")).collect();
        assert_eq!(names, expected);

        // The same as a stream.
        let request = pb::RangeRequest { revision: page.revision, ..prefix(PODS) };
        let mut stream = kv.range_stream(request).await.expect("a stream").into_inner();
        let mut streamed = Vec::new();
        let mut last = None;
        while let Some(chunk) = stream.message().await.expect("a chunk") {
            let chunk = chunk.range_response.expect("a response");
            streamed.extend(chunk.kvs.iter().map(|kv| kv.key.clone()));
            last = Some(chunk);
        }
        let last = last.expect("a last chunk");
        assert_eq!((streamed, last.count, revision(last.header)), (names, 25, page.revision + 1));

        let count = pb::RangeRequest { count_only: true, ..prefix(PODS) };
        let count = kv.range(count).await.expect("a count").into_inner();
        assert_eq!((count.count, count.kvs.len(), count.more), (26, 0, false));
        let keys = pb::RangeRequest { keys_only: true, ..prefix(PODS) };
        let keys = kv.range(keys).await.expect("keys").into_inner();
        assert!(keys.kvs.len() == 26 && keys.kvs.iter().all(|kv| kv.value.is_empty() && kv.mod_revision > 0));
        member.stop().await;
    });
}

/// A stream of watch requests that stays open, and its answers.
struct Watching {
    requests: mpsc::Sender<pb::WatchRequest>,
    answers: Streaming<pb::WatchResponse>,
}

impl Watching {
    async fn start(member: &Member, create: pb::WatchCreateRequest) -> Watching {
        let (requests, receiver) = mpsc::channel(8);
        let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
            let request = receiver.recv().await?;
            Some((request, receiver))
        });
        let union = Some(RequestUnion::CreateRequest(create));
        requests.send(pb::WatchRequest { request_union: union }).await.expect("sent");
        let mut request = Request::new(stream);
        request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
        let mut client = WatchClient::new(member.channel().await);
        let answers = client.watch(request).await.expect("a watch").into_inner();
        let mut watching = Watching { requests, answers };
        assert!(watching.next().await.created);
        watching
    }

    async fn next(&mut self) -> pb::WatchResponse {
        self.answers.message().await.expect("an answer").expect("an answer")
    }

    async fn ask_progress(&mut self) {
        let union = Some(RequestUnion::ProgressRequest(pb::WatchProgressRequest {}));
        self.requests.send(pb::WatchRequest { request_union: union }).await.expect("sent");
    }
}

fn watch_from(prefix_of: &str, start_revision: i64) -> pb::WatchCreateRequest {
    let pb::RangeRequest { key, range_end, .. } = prefix(prefix_of);
    pb::WatchCreateRequest {
        key,
        range_end,
        start_revision,
        prev_kv: true,
        progress_notify: true,
        ..Default::default()
    }
}

#[test]
fn watches() {
    block_on(async {
        let soon = |config: &mut NodeConfig| config.progress_interval_ms = 100;
        let member = Member::with("k8s-watch", 1, soon, ServerOptions::default()).await;
        let mut kv = member.kv().await;
        let key = "/registry/pods/default/a";
        let listed = kv.range(prefix(PODS)).await.expect("a list").into_inner();
        let from = revision(listed.header) + 1;
        guarded(&mut kv, key, 0, write(key, "1")).await;
        let mut watching = Watching::start(&member, watch_from(PODS, from)).await;
        guarded(&mut kv, key, from, write(key, "2")).await;
        guarded(&mut kv, key, from + 1, remove(key)).await;
        let mut events = Vec::new();
        while events.len() < 3 {
            events.extend(watching.next().await.events);
        }
        let shown: Vec<_> = events
            .iter()
            .map(|event| {
                let (kv, before) = (event.kv.as_ref().expect("a record"), event.prev_kv.as_ref());
                (event.r#type(), kv.mod_revision, before.map(|before| before.value.to_vec()))
            })
            .collect();
        let expected = [
            (EventType::Put, from, None),
            (EventType::Put, from + 1, Some(b"1".to_vec())),
            (EventType::Delete, from + 2, Some(b"2".to_vec())),
        ];
        assert_eq!(shown, expected);

        // A consistent list from the cache: progress reaches the revision of a linearizable read.
        kv.put(put("/registry/other", "x")).await.expect("a put");
        let current = revision(kv.range(get(PODS)).await.expect("a read").into_inner().header);
        watching.ask_progress().await;
        loop {
            let answer = watching.next().await;
            assert!(answer.events.is_empty() && !answer.canceled);
            if revision(answer.header) >= current {
                break;
            }
        }
        // Without being asked, too.
        let current = revision(kv.put(put("/registry/other", "y")).await.expect("a put").into_inner().header);
        while revision(watching.next().await.header) < current {}

        // Too old: cancelled with the compact revision, which becomes "410 Gone".
        kv.compact(pb::CompactionRequest { revision: current, physical: false }).await.expect("compacted");
        let mut late = Watching::start(&member, watch_from(PODS, from)).await;
        let answer = late.next().await;
        assert_eq!((answer.canceled, answer.compact_revision), (true, current));
        member.stop().await;
    });
}

/// kube-apiserver's compactor: whoever wins the guarded key compacts what was current at the last
/// round; the others learn the revision by a watch of the key.
#[test]
fn compaction_by_a_guarded_key() {
    const KEY: &str = "compact_rev_key";
    async fn round(kv: &mut Kv, version: i64, revision: i64) -> pb::TxnResponse {
        let compare = pb::Compare {
            key: KEY.into(),
            result: CompareResult::Equal.into(),
            target: CompareTarget::Version.into(),
            target_union: Some(TargetUnion::Version(version)),
            ..Default::default()
        };
        let txn = pb::TxnRequest {
            compare: vec![compare],
            success: ops(write(KEY, &revision.to_string())),
            failure: ops(Op::RequestRange(get(KEY))),
        };
        kv.txn(txn).await.expect("a transaction").into_inner()
    }
    block_on(async {
        let member = Member::start("k8s-compact", 1).await;
        let mut kv = member.kv().await;
        kv.range(get("/registry/health")).await.expect("a leader");
        let mut watching =
            Watching::start(&member, pb::WatchCreateRequest { key: KEY.into(), ..Default::default() }).await;
        let won = round(&mut kv, 0, 0).await;
        assert!(won.succeeded);
        let current = revision(won.header);
        let lost = round(&mut kv, 0, 0).await;
        assert!(!lost.succeeded);
        assert_eq!((found(&lost).version, found(&lost).value.as_ref()), (1, b"0".as_slice()));
        kv.put(put("/registry/x", "y")).await.expect("a put");
        assert!(round(&mut kv, 1, current).await.succeeded);
        kv.compact(pb::CompactionRequest { revision: current, physical: false }).await.expect("compacted");
        for value in ["0".to_owned(), current.to_string()] {
            let events = watching.next().await.events;
            assert_eq!(events[0].kv.as_ref().expect("a record").value, value);
        }
        let again = kv.compact(pb::CompactionRequest { revision: current, physical: false }).await;
        let compacted = "etcdserver: mvcc: required revision has been compacted";
        assert_eq!(refusal(again), told(Code::OutOfRange, compacted));
        let old = pb::RangeRequest { revision: current - 1, ..prefix(PODS) };
        assert_eq!(refusal(kv.range(old).await), told(Code::OutOfRange, compacted));
        let future = pb::RangeRequest { revision: current + 1000, ..prefix(PODS) };
        let text = "etcdserver: mvcc: required revision is a future revision";
        assert_eq!(refusal(kv.range(future).await), told(Code::OutOfRange, text));
        member.stop().await;
    });
}

#[test]
fn feature_check_size_and_health() {
    block_on(async {
        let member = Member::start("k8s-status", 1).await;
        let mut kv = member.kv().await;
        kv.range(get("/registry/health")).await.expect("a linearizable read of nothing");
        let mut maintenance = MaintenanceClient::new(member.channel().await);
        let status = maintenance.status(pb::StatusRequest {}).await.expect("a status").into_inner();
        let parts: Vec<u32> = status.version.split('.').map(|part| part.parse().expect("semver")).collect();
        assert!(parts.len() == 3 && parts >= vec![3, 5, 13], "{}", status.version);
        let before = status.db_size;
        for n in 0..50 {
            kv.put(put("/registry/big", &"x".repeat(10_000 + n))).await.expect("a put");
        }
        let size = async || {
            let mut maintenance = MaintenanceClient::new(member.channel().await);
            maintenance.status(pb::StatusRequest {}).await.expect("a status").into_inner().db_size
        };
        assert!(size().await > before + 500_000);
        let revision = member.node.view().revision();
        kv.compact(pb::CompactionRequest { revision, physical: true }).await.expect("compacted");
        assert!(size().await < before + 20_000);
        member.stop().await;
    });
}

/// Events: many keys on one lease that nobody renews; its end deletes them all, in one revision.
#[test]
fn leases_shared_by_many_keys() {
    block_on(async {
        let member = Member::start("k8s-leases", 1).await;
        let mut kv = member.kv().await;
        let grant = pb::LeaseGrantRequest { ttl: 5, id: 0 };
        let mut leases = LeaseClient::new(member.channel().await);
        let lease = leases.lease_grant(grant).await.expect("a lease").into_inner();
        assert_eq!(lease.ttl, 5);
        const EVENTS: &str = "/registry/events/";
        let listed = kv.range(prefix(EVENTS)).await.expect("a list").into_inner();
        let mut watching = Watching::start(&member, watch_from(EVENTS, revision(listed.header) + 1)).await;
        for n in 0..20 {
            let key = format!("{EVENTS}default/e{n:02}");
            let create = Op::RequestPut(pb::PutRequest { lease: lease.id, ..put(&key, "event") });
            assert!(guarded(&mut kv, &key, 0, create).await.succeeded);
        }
        let mut events = Vec::new();
        while events.len() < 40 {
            events.extend(watching.next().await.events);
        }
        let deletes = &events[20..];
        let of = |event: &etched_proto::mvccpb::Event| event.kv.as_ref().expect("a record").mod_revision;
        assert!(
            deletes.iter().all(|event| event.r#type() == EventType::Delete && of(event) == of(&deletes[0]))
        );
        assert!(deletes.iter().all(|event| event.prev_kv.as_ref().is_some_and(|kv| kv.lease == lease.id)));
        let listed = kv.range(prefix(EVENTS)).await.expect("a list").into_inner();
        assert_eq!((listed.count, revision(listed.header)), (0, of(&deletes[0])));
        member.stop().await;
    });
}

/// Objects up to 1.5 MiB, lists of tens of MiB in one answer.
#[test]
fn large_objects_and_lists() {
    block_on(async {
        let larger = |config: &mut NodeConfig| config.max_request_bytes = 3 << 20;
        let member = Member::with("k8s-large", 1, larger, ServerOptions::default()).await;
        let mut kv = member.kv().await;
        for n in 0..16 {
            let key = format!("{PODS}large/{n:02}");
            assert!(guarded(&mut kv, &key, 0, write(&key, &"x".repeat(1_572_864))).await.succeeded);
        }
        let mut unlimited = member.kv().await.max_decoding_message_size(usize::MAX);
        let all = unlimited.range(prefix(PODS)).await.expect("a list").into_inner();
        assert_eq!((all.kvs.len(), all.count), (16, 16));
        assert!(all.kvs.iter().all(|kv| kv.value.len() == 1_572_864));
        member.stop().await;
    });
}
