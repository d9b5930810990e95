//! What is looked at where: watches, leases, and everything else.

use super::*;

async fn watch_refusal(member: &Member, token: Option<&str>, key: &str, end: &str, start: i64) -> String {
    let create = pb::WatchCreateRequest {
        key: key.to_string().into(),
        range_end: end.to_string().into(),
        start_revision: start,
        ..Default::default()
    };
    let request_union = Some(pb::watch_request::RequestUnion::CreateRequest(create));
    let requests = tokio_stream(pb::WatchRequest { request_union });
    let request = match token {
        Some(token) => with(token, requests),
        None => Request::new(requests),
    };
    let mut watch = WatchClient::new(member.channel().await);
    let mut responses = watch.watch(request).await.expect("a stream").into_inner();
    let first = responses.message().await.expect("good").expect("an answer");
    assert!(first.created && first.canceled != first.cancel_reason.is_empty());
    assert_eq!(first.watch_id, if first.canceled { -1 } else { 0 });
    first.cancel_reason
}

/// One message, and no end until the answer came.
fn tokio_stream<T: Send + 'static>(message: T) -> impl futures_util::Stream<Item = T> + Send + 'static {
    use futures_util::StreamExt;
    futures_util::stream::iter([message]).chain(futures_util::stream::pending())
}

#[test]
fn w12_a17_watches() {
    block_on(async {
        let member = start("auth-watch", |_| {}).await;
        let mut auth = set_up(&member).await;
        let (root, ann) = (login(&mut auth, "root").await, login(&mut auth, "ann").await);
        let denied = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
        let told = |token: Option<String>, key: &'static str, end: &'static str, start| {
            let member = &member;
            async move { watch_refusal(member, token.as_deref(), key, end, start).await }
        };
        let ann = || Some(ann.clone());
        assert_eq!(told(ann(), "a", "c", 0).await, "");
        assert_eq!(told(ann(), "c", "", 0).await, denied);
        // GHSA-xg4h-6gfc-h4m8: from a key on is more than that key.
        assert_eq!(told(ann(), "a", "\0", 0).await, denied);
        assert_eq!(told(ann(), "", "", 0).await, denied);
        assert_eq!(told(ann(), "a", "d", 0).await, denied);
        assert_eq!(told(Some(root.clone()), "", "\0", 0).await, "");
        let nobody = "rpc error: code = InvalidArgument desc = etcdserver: user name is empty";
        assert_eq!(told(None, "a", "", 0).await, nobody);
        let bad = "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token";
        assert_eq!(told(Some("x.1".into()), "a", "", 0).await, bad);
        // W9 comes before W12, and W12 before W3.
        let compacted = "etcdserver: mvcc: required revision has been compacted";
        assert_eq!(told(ann(), "z", "", -1).await, compacted);
        assert_eq!(told(ann(), "z", "y", 0).await, denied);

        // A watch that is there goes on when its permission is taken away.
        let mut watch = WatchClient::new(member.channel().await);
        let create = pb::WatchCreateRequest { key: "a".into(), ..Default::default() };
        let request_union = Some(pb::watch_request::RequestUnion::CreateRequest(create));
        let token = ann().expect("a token");
        let request = with(&token, tokio_stream(pb::WatchRequest { request_union }));
        let mut responses = watch.watch(request).await.expect("a stream").into_inner();
        assert!(responses.message().await.expect("good").expect("an answer").created);
        let revoke = pb::AuthUserRevokeRoleRequest { name: "ann".into(), role: "r".into() };
        auth.user_revoke_role(with(&root, revoke)).await.expect("revoked");
        assert_eq!(told(ann(), "a", "", 0).await, denied);
        let mut kv = member.kv().await;
        kv.put(with(&root, put("a", "1"))).await.expect("put");
        let seen = responses.message().await.expect("good").expect("an event");
        assert_eq!(seen.events.len(), 1);
        member.stop().await;
    });
}

#[test]
fn a8_l5_to_l7_leases() {
    block_on(async {
        let member = start("auth-leases", |_| {}).await;
        let mut auth = set_up(&member).await;
        let (root, ann) = (login(&mut auth, "root").await, login(&mut auth, "ann").await);
        let mut leases = LeaseClient::new(member.channel().await);
        let grant = |id| pb::LeaseGrantRequest { id, ttl: 60 };
        let nobody = told(Code::InvalidArgument, NO_USER);
        let denied = told(Code::PermissionDenied, DENIED);
        assert_eq!(refusal(leases.lease_grant(grant(7)).await), nobody);
        leases.lease_grant(with(&ann, grant(7))).await.expect("granted");
        let mut kv = member.kv().await;
        let on_lease = |key| pb::PutRequest { lease: 7, ..put(key, "1") };
        kv.put(with(&ann, on_lease("a"))).await.expect("hers");
        let left = |keys| pb::LeaseTimeToLiveRequest { id: 7, keys };
        let alive = || tokio_stream(pb::LeaseKeepAliveRequest { id: 7 });
        async fn first(
            stream: tonic::Response<tonic::Streaming<pb::LeaseKeepAliveResponse>>,
        ) -> Result<i64, Status> {
            stream.into_inner().message().await.map(|answer| answer.expect("an answer").ttl)
        }
        assert_eq!(
            first(leases.lease_keep_alive(with(&ann, alive())).await.expect("open")).await.ok(),
            Some(60)
        );
        assert_eq!(
            leases.lease_time_to_live(with(&ann, left(true))).await.expect("hers").into_inner().keys,
            ["a"]
        );
        kv.put(with(&root, on_lease("z"))).await.expect("not hers");
        assert_eq!(
            refusal(first(leases.lease_keep_alive(with(&ann, alive())).await.expect("open")).await),
            denied
        );
        assert_eq!(refusal(first(leases.lease_keep_alive(alive()).await.expect("open")).await), nobody);
        assert_eq!(refusal(leases.lease_time_to_live(with(&ann, left(true))).await), denied);
        leases.lease_time_to_live(with(&ann, left(false))).await.expect("no keys are told");
        let all = || pb::LeaseLeasesRequest {};
        assert_eq!(refusal(leases.lease_leases(with(&ann, all())).await), denied);
        assert_eq!(leases.lease_leases(with(&root, all())).await.expect("all").into_inner().leases.len(), 1);
        let revoke = || pb::LeaseRevokeRequest { id: 7 };
        assert_eq!(refusal(leases.lease_revoke(revoke()).await), nobody);
        assert_eq!(refusal(leases.lease_revoke(with(&ann, revoke())).await), denied);
        leases.lease_revoke(with(&root, revoke())).await.expect("revoked");
        member.stop().await;
    });
}

/// MA14, C6, T14, RS: the rest of the API looks too.
#[test]
fn ma14_everything_else() {
    block_on(async {
        let member = start("auth-rest", |_| {}).await;
        let mut auth = set_up(&member).await;
        let (root, ann) = (login(&mut auth, "root").await, login(&mut auth, "ann").await);
        let denied = told(Code::PermissionDenied, DENIED);
        let nobody = told(Code::InvalidArgument, NO_USER);
        let mut maintenance = MaintenanceClient::new(member.channel().await);
        assert_eq!(refusal(maintenance.status(pb::StatusRequest {}).await), nobody);
        maintenance.status(with(&ann, pb::StatusRequest {})).await.expect("anybody's");
        let hash = || pb::HashKvRequest { revision: 0 };
        assert_eq!(refusal(maintenance.hash_kv(hash()).await), nobody);
        assert_eq!(refusal(maintenance.hash_kv(with(&ann, hash())).await), denied);
        maintenance.hash_kv(with(&root, hash())).await.expect("root's");
        assert_eq!(refusal(maintenance.defragment(with(&ann, pb::DefragmentRequest {})).await), denied);
        let alarms = pb::AlarmRequest::default;
        assert_eq!(refusal(maintenance.alarm(alarms()).await), nobody);
        maintenance.alarm(with(&ann, alarms())).await.expect("anybody's");
        let up = || pb::AlarmRequest { action: 1, member_id: 0, alarm: 1 };
        assert_eq!(refusal(maintenance.alarm(with(&ann, up())).await), denied);
        assert_eq!(refusal(maintenance.hash(with(&ann, pb::HashRequest {})).await), denied);
        assert_eq!(refusal(maintenance.snapshot(with(&ann, pb::SnapshotRequest {})).await), denied);
        let move_leader = pb::MoveLeaderRequest { target_id: 1 };
        assert_eq!(refusal(maintenance.move_leader(with(&ann, move_leader)).await), denied);
        assert_eq!(refusal(maintenance.downgrade(with(&ann, pb::DowngradeRequest::default())).await), denied);
        let mut cluster = ClusterClient::new(member.channel().await);
        let members = || pb::MemberListRequest { linearizable: true };
        assert_eq!(refusal(cluster.member_list(members()).await), nobody);
        cluster.member_list(with(&ann, members())).await.expect("anybody's");
        let mut elections = ElectionClient::new(member.channel().await);
        let campaign =
            |name: &str| epb::CampaignRequest { name: name.to_string().into(), ..Default::default() };
        assert_eq!(refusal(elections.campaign(with(&ann, campaign("z"))).await), told(Code::Unknown, DENIED));
        let won = elections.campaign(with(&ann, campaign("a"))).await.expect("below her keys").into_inner();
        let leader = |name: &str| epb::LeaderRequest { name: name.to_string().into() };
        assert_eq!(refusal(elections.leader(leader("a")).await), told(Code::Unknown, NO_USER));
        let mut observed = elections.observe(with(&ann, leader("z"))).await.expect("open").into_inner();
        assert!(observed.message().await.expect("no error").is_none(), "who may not hears nothing");
        let bad = with("x.1", campaign("a"));
        assert_eq!(refusal(elections.campaign(bad).await), told(Code::Unknown, BAD_TOKEN));
        let resign = || epb::ResignRequest { leader: won.leader.clone() };
        assert_eq!(refusal(elections.resign(resign()).await), told(Code::Unknown, NO_USER));
        elections.resign(with(&ann, resign())).await.expect("resigned");
        let mut kv: KvClient<GrpcChannel> = member.kv().await;
        let compact = || pb::CompactionRequest { revision: 1, physical: false };
        assert_eq!(refusal(kv.compact(compact()).await), nobody);
        assert_eq!(refusal(kv.compact(with(&ann, compact())).await), denied);
        let all = || pb::RangeRequest { key: "a".into(), range_end: "\0".into(), ..Default::default() };
        assert_eq!(refusal(kv.range(with(&ann, all())).await), denied);
        assert_eq!(refusal(kv.range_stream(with(&ann, all())).await), denied);
        let serializable = pb::RangeRequest { serializable: true, ..all() };
        assert_eq!(refusal(kv.range(with(&ann, serializable)).await), denied);
        let read_only = pb::TxnRequest {
            success: vec![pb::RequestOp { request: Some(pb::request_op::Request::RequestRange(all())) }],
            ..Default::default()
        };
        assert_eq!(refusal(kv.txn(with(&ann, read_only)).await), denied);
        let compare = pb::TxnRequest {
            compare: vec![pb::Compare { key: "z".into(), ..Default::default() }],
            ..Default::default()
        };
        assert_eq!(refusal(kv.txn(with(&ann, compare)).await), denied);

        let mut locks = LockClient::new(member.channel().await);
        let lock = |name: &str| lpb::LockRequest { name: name.to_string().into(), lease: 0 };
        assert_eq!(refusal(locks.lock(lock("b")).await), told(Code::Unknown, NO_USER));
        let held = locks.lock(with(&ann, lock("b"))).await.expect("below her keys").into_inner();
        assert_eq!(refusal(locks.lock(with(&ann, lock("z"))).await), told(Code::Unknown, DENIED));
        locks.unlock(with(&ann, lpb::UnlockRequest { key: held.key })).await.expect("unlocked");
        member.stop().await;
    });
}

/// A place in a queue is not kept by a token that was voided meanwhile.
#[test]
fn a_waiting_lock_looks_again() {
    block_on(async {
        let member = start("auth-waiting", |_| {}).await;
        let mut auth = set_up(&member).await;
        let (root, ann) = (login(&mut auth, "root").await, login(&mut auth, "ann").await);
        let channel = member.channel().await;
        let lock = || lpb::LockRequest { name: "b".into(), lease: 0 };
        let held =
            LockClient::new(channel.clone()).lock(with(&root, lock())).await.expect("free").into_inner();
        let mut waiting = LockClient::new(channel.clone());
        let waiting = OsRuntime::spawn("waiting", async move { waiting.lock(with(&ann, lock())).await });
        let below = || pb::RangeRequest { key: "b/".into(), range_end: "b0".into(), ..Default::default() };
        while member.kv().await.range(with(&root, below())).await.expect("all").into_inner().count < 2 {
            OsRuntime::sleep(Duration::from_millis(5)).await;
        }
        let name = "ann".to_string();
        let change = pb::AuthUserChangePasswordRequest { name, password: "new".into(), ..Default::default() };
        auth.user_change_password(with(&root, change)).await.expect("changed");
        LockClient::new(channel)
            .unlock(with(&root, lpb::UnlockRequest { key: held.key }))
            .await
            .expect("unlocked");
        assert_eq!(refusal(waiting.await.expect("it ends")), told(Code::Unknown, BAD_TOKEN));
        member.stop().await;
    });
}
