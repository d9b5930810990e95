//! Locks and elections over real gRPC (E1–E7).

use etched_proto::v3electionpb as epb;
use etched_proto::v3electionpb::election_client::ElectionClient;
use etched_proto::v3lockpb as lpb;
use etched_proto::v3lockpb::lock_client::LockClient;
use tonic::Request;

use super::*;
use crate::node::api::RequestContext;
use crate::server::translate;

async fn lease(member: &Member, ttl: i64) -> i64 {
    member.node.lease_grant(0, ttl, RequestContext::default()).await.expect("a lease").0.id
}

async fn revoke(member: &Member, lease: i64) {
    member.node.lease_revoke(lease, RequestContext::default()).await.expect("revoked");
}

fn lock(name: &str, lease: i64) -> lpb::LockRequest {
    lpb::LockRequest { name: name.to_owned().into(), lease }
}

fn campaign(lease: i64, value: &str) -> epb::CampaignRequest {
    epb::CampaignRequest { name: "e".into(), lease, value: value.to_owned().into() }
}

fn unknown(text: &str) -> (Code, String) {
    told(Code::Unknown, text)
}

/// Runs until `future` waits for something that does not come by itself.
async fn is_waiting<F: Future + Unpin>(future: &mut F) -> bool {
    timeout::<OsRuntime, _>(Duration::from_millis(150), future).await.is_none()
}

/// Keys below `name`, oldest first.
async fn queue(member: &Member, name: &str) -> Vec<String> {
    let range = pb::RangeRequest {
        range_end: format!("{name}0").into(),
        sort_order: 1,
        sort_target: 2,
        ..get(&format!("{name}/"))
    };
    let answer = member.kv().await.range(range).await.expect("a read").into_inner();
    answer.kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()).collect()
}

#[test]
fn e1_e5_locks_in_turn() {
    block_on(async {
        let member = Member::start("locks", 1).await;
        let channel = member.channel().await;
        let client = || LockClient::new(channel.clone());
        let (a, b, c) = (lease(&member, 60).await, lease(&member, 60).await, lease(&member, 60).await);
        let first = client().lock(lock("l", a)).await.expect("the lock").into_inner();
        assert_eq!(first.key, format!("l/{a:x}"));
        // Again with the same lease: it is held already, with the same token.
        let again = client().lock(lock("l", a)).await.expect("the lock").into_inner();
        let token = |answer: &lpb::LockResponse| answer.header.as_ref().expect("a header").revision;
        assert_eq!((&again.key, token(&again)), (&first.key, token(&first)));
        // Another name is another lock; `l` is no prefix of it.
        client().lock(lock("l2", b)).await.expect("another lock");

        let (mut kb, mut kc) = (client(), client());
        let mut second = Box::pin(kb.lock(lock("l", b)));
        assert!(is_waiting(&mut second).await);
        let mut third = Box::pin(kc.lock(lock("l", c)));
        assert!(is_waiting(&mut third).await);
        assert_eq!(queue(&member, "l").await, [a, b, c].map(|id| format!("l/{id:x}")));

        // The guarded transaction of docs/COORDINATION.md.
        let guarded = |key: &bytes::Bytes, token: i64| pb::TxnRequest {
            compare: vec![pb::Compare {
                key: key.clone(),
                target: 1,
                target_union: Some(pb::compare::TargetUnion::CreateRevision(token)),
                ..Default::default()
            }],
            success: vec![pb::RequestOp {
                request: Some(pb::request_op::Request::RequestPut(put("state", "x"))),
            }],
            ..Default::default()
        };
        let mut kv = member.kv().await;
        let write = guarded(&first.key, token(&first));
        assert!(kv.txn(write.clone()).await.expect("a transaction").into_inner().succeeded);

        client().unlock(lpb::UnlockRequest { key: first.key.clone() }).await.expect("unlocked");
        let second = second.await.expect("the lock").into_inner();
        assert!(token(&second) > token(&first));
        assert!(is_waiting(&mut third).await);
        // Who lost the lock changes nothing, however late it is.
        assert!(!kv.txn(write).await.expect("a transaction").into_inner().succeeded);
        assert!(kv.txn(guarded(&second.key, token(&second))).await.expect("a txn").into_inner().succeeded);
        // The end of a lease is the end of a lock.
        revoke(&member, b).await;
        assert!(token(&third.await.expect("the lock").into_inner()) > token(&second));
        member.stop().await;
    });
}

/// Nobody is left in a queue by a member that stops.
#[test]
fn a_stop_sends_all_who_wait_away() {
    block_on(async {
        let mut members = Member::cluster("stop-queue").await;
        let (a, b, c) =
            (lease(&members[0], 60).await, lease(&members[0], 60).await, lease(&members[0], 60).await);
        let channel = members[0].channel().await;
        LockClient::new(channel.clone()).lock(lock("l", a)).await.expect("the lock");
        let (mut lb, mut l0) = (LockClient::new(channel.clone()), LockClient::new(channel.clone()));
        let mut election = ElectionClient::new(channel.clone());
        election.campaign(campaign(a, "1")).await.expect("leads");
        let mut second = Box::pin(lb.lock(lock("l", b)));
        let mut third = Box::pin(l0.lock(lock("l", 0)));
        let mut campaigning = Box::pin(election.campaign(campaign(c, "2")));
        assert!(is_waiting(&mut second).await && is_waiting(&mut third).await);
        assert!(is_waiting(&mut campaigning).await);
        assert_eq!((queue(&members[1], "l").await.len(), queue(&members[1], "e").await.len()), (3, 2));
        let stopped = members.remove(0);
        let (second, third, campaigning, ()) =
            futures_util::join!(second, third, campaigning, stopped.stop());
        let end = told(Code::Unavailable, "etcdserver: server stopped");
        assert_eq!([refusal(second), refusal(third)], [end.clone(), end.clone()]);
        assert_eq!(refusal(campaigning), end);
        assert_eq!(queue(&members[0], "l").await, [format!("l/{a:x}")]);
        assert_eq!(queue(&members[0], "e").await, [format!("e/{a:x}")]);
        for member in members {
            member.stop().await;
        }
    });
}

#[test]
fn a_stop_of_the_only_member_empties_its_queues() {
    block_on(async {
        let member = Member::start("stop-alone", 1).await;
        let (a, b) = (lease(&member, 60).await, lease(&member, 60).await);
        let client = async || LockClient::new(member.channel().await);
        client().await.lock(lock("l", a)).await.expect("the lock");
        let mut waiting = Vec::new();
        for lease in [b, 0, 0, 0] {
            let mut client = client().await;
            waiting.push(Box::pin(async move { refusal(client.lock(lock("l", lease)).await) }));
        }
        assert!(is_waiting(&mut futures_util::future::select_all(&mut waiting)).await);
        assert_eq!(queue(&member, "l").await.len(), 5);
        let node = member.node.clone();
        let (ends, ()) = futures_util::join!(futures_util::future::join_all(waiting), member.stop());
        assert_eq!(ends, vec![told(Code::Unavailable, "etcdserver: server stopped"); 4]);
        let range = translate::range(pb::RangeRequest { range_end: "m".into(), ..get("l") }).expect("valid");
        assert_eq!((node.view().range(&range).expect("readable").count, node.view().leases().len()), (1, 2));
    });
}

#[test]
fn e1_keys_of_negative_leases_are_signed() {
    block_on(async {
        let member = Member::start("negative", 1).await;
        member.node.lease_grant(-77, 60, RequestContext::default()).await.expect("a lease");
        let held = LockClient::new(member.channel().await).lock(lock("l", -77)).await.expect("the lock");
        assert_eq!(held.into_inner().key, "l/-4d");
        member.stop().await;
    });
}

#[test]
fn who_gives_up_leaves_the_queue() {
    block_on(async {
        let member = Member::start("gives-up", 1).await;
        let channel = member.channel().await;
        let client = || LockClient::new(channel.clone());
        let (a, b, c) = (lease(&member, 60).await, lease(&member, 60).await, lease(&member, 60).await);
        let first = client().lock(lock("l", a)).await.expect("the lock").into_inner();
        // By its deadline.
        let mut request = Request::new(lock("l", b));
        request.set_timeout(Duration::from_millis(200));
        let code = refusal(client().lock(request).await).0;
        assert!(matches!(code, Code::DeadlineExceeded | Code::Cancelled), "{code:?}");
        // By breaking off; one with a lease of its own, one without.
        for lease in [b, 0] {
            let mut kb = client();
            let mut waiting = Box::pin(kb.lock(lock("l", lease)));
            assert!(is_waiting(&mut waiting).await);
        }
        while queue(&member, "l").await.len() > 1 {
            OsRuntime::sleep(Duration::from_millis(5)).await;
        }
        // The session lease of the last one is gone with it.
        while member.node.leases(RequestContext::default()).expect("a list").0.len() > 3 {
            OsRuntime::sleep(Duration::from_millis(5)).await;
        }
        // A place that is lost while waiting is not a lock.
        let mut kc = client();
        let mut waiting = Box::pin(kc.lock(lock("l", c)));
        assert!(is_waiting(&mut waiting).await);
        revoke(&member, c).await;
        client().unlock(lpb::UnlockRequest { key: first.key }).await.expect("unlocked");
        assert_eq!(refusal(waiting.await), unknown("mutex: session is expired"));
        member.stop().await;
    });
}

#[test]
fn e6_e7_errors_and_sessions() {
    block_on(async {
        let member = Member::start("sessions", 1).await;
        let channel = member.channel().await;
        let mut locks = LockClient::new(channel.clone());
        let text = "etcdserver: requested lease not found";
        assert_eq!(refusal(locks.lock(lock("l", 12345)).await), unknown(text));
        let held = locks.lock(lock("l", 0)).await.expect("the lock").into_inner();
        let leases = member.node.leases(RequestContext::default()).expect("a list").0;
        assert_eq!(leases.len(), 1);
        assert_eq!(held.key, format!("l/{:x}", leases[0]));
        let (left, _) = member
            .node
            .lease_time_to_live(leases[0], false, RequestContext::default())
            .await
            .expect("a lease");
        assert_eq!(left.expect("it lives").granted_ttl, 60);
        let nothing = locks.unlock(lpb::UnlockRequest::default()).await;
        assert_eq!(refusal(nothing), unknown("etcdserver: key is not provided"));
        member.stop().await;
    });
}

#[test]
fn e2_e3_e4_elections() {
    block_on(async {
        let member = Member::start("elections", 1).await;
        let channel = member.channel().await;
        let client = || ElectionClient::new(channel.clone());
        let name = || epb::LeaderRequest { name: "e".into() };
        assert_eq!(refusal(client().leader(name()).await), unknown("election: no leader"));
        let missing = unknown("\"leader\" field must be provided");
        assert_eq!(refusal(client().proclaim(epb::ProclaimRequest::default()).await), missing);
        assert_eq!(refusal(client().resign(epb::ResignRequest::default()).await), missing);

        let mut observed = client().observe(name()).await.expect("a stream").into_inner();
        let (a, b) = (lease(&member, 60).await, lease(&member, 60).await);
        let won = client().campaign(campaign(a, "a1")).await.expect("won").into_inner();
        let first = won.leader.expect("a leader key");
        assert_eq!((first.key.clone(), first.lease), (format!("e/{a:x}").into(), a));
        assert_eq!((first.name.as_ref(), first.rev), (&b"e"[..], won.header.expect("a header").revision));
        let mut seen = async || {
            let answer = observed.message().await.expect("no error").expect("no end");
            let kv = answer.kv.expect("a record");
            (String::from_utf8_lossy(&kv.value).into_owned(), kv.create_revision)
        };
        assert_eq!(seen().await, ("a1".to_owned(), first.rev));
        // A campaign of who leads already just says something else.
        let again = client().campaign(campaign(a, "a2")).await.expect("won").into_inner();
        assert_eq!(again.leader.expect("a leader key").rev, first.rev);
        assert_eq!(seen().await, ("a2".to_owned(), first.rev));
        let proclaim = |leader: &epb::LeaderKey, value: &str| epb::ProclaimRequest {
            leader: Some(leader.clone()),
            value: value.to_owned().into(),
        };
        client().proclaim(proclaim(&first, "a3")).await.expect("proclaimed");
        assert_eq!(seen().await, ("a3".to_owned(), first.rev));
        let leader = client().leader(name()).await.expect("a leader").into_inner().kv.expect("a record");
        assert_eq!((leader.value.as_ref(), leader.lease), (&b"a3"[..], a));

        let mut kb = client();
        let mut next = Box::pin(kb.campaign(campaign(b, "b1")));
        assert!(is_waiting(&mut next).await);
        let resign = |leader: &epb::LeaderKey| epb::ResignRequest { leader: Some(leader.clone()) };
        client().resign(resign(&first)).await.expect("resigned");
        let second = next.await.expect("won").into_inner().leader.expect("a leader key");
        assert!(second.rev > first.rev);
        assert_eq!(seen().await, ("b1".to_owned(), second.rev));
        // Who is not the leader any more says nothing and takes nothing away.
        assert_eq!(refusal(client().proclaim(proclaim(&first, "a4")).await), unknown("election: not leader"));
        client().resign(resign(&first)).await.expect("nothing to resign from");
        revoke(&member, b).await;
        assert_eq!(refusal(client().leader(name()).await), unknown("election: no leader"));
        member.stop().await;
    });
}
