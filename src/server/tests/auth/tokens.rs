//! Users, their passwords and tokens.

use base64::Engine;

use super::*;

#[test]
fn a1_to_a5_tokens() {
    block_on(async {
        let member = start("auth-tokens", |_| {}).await;
        let mut auth = client(&member).await;
        let refused = auth.auth_enable(pb::AuthEnableRequest {}).await;
        let text = "etcdserver: root user does not exist";
        assert_eq!(refusal(refused), told(Code::FailedPrecondition, text));
        let nobody = || pb::AuthenticateRequest { name: "root".into(), password: "x".into() };
        let text = "etcdserver: authentication is not enabled";
        assert_eq!(refusal(auth.authenticate(nobody()).await), told(Code::FailedPrecondition, text));
        let mut auth = set_up(&member).await;
        let status = auth.auth_status(pb::AuthStatusRequest {}).await.expect("a status").into_inner();
        assert!(status.enabled && status.auth_revision == 7, "{status:?}");
        assert_eq!(status.header.expect("a header").revision, 1);
        let text = "etcdserver: authentication failed, invalid user ID or password";
        assert_eq!(refusal(auth.authenticate(nobody()).await), told(Code::InvalidArgument, text));
        let other = pb::AuthenticateRequest { name: "bob".into(), password: "x".into() };
        assert_eq!(refusal(auth.authenticate(other).await), told(Code::InvalidArgument, text));

        let token = login(&mut auth, "ann").await;
        let (letters, index) = token.split_once('.').expect("two parts");
        assert!(letters.len() == 16 && letters.bytes().all(|byte| byte.is_ascii_alphabetic()));
        assert!(index.parse::<u64>().is_ok());
        let mut kv = member.kv().await;
        // What a status tells may be some entries behind, never as many as these.
        let logged = member.node.status().0.raft_index;
        for _ in 0..50 {
            assert_eq!(refusal(kv.put(put("a", "1")).await), told(Code::InvalidArgument, NO_USER));
        }
        kv.put(with(&token, put("a", "0"))).await.expect("her key");
        assert!(member.node.status().0.raft_index < logged + 25, "nobody's writes are not logged");
        assert_eq!(refusal(kv.range(get("a")).await), told(Code::InvalidArgument, NO_USER));
        kv.put(with(&token, put("a", "1"))).await.expect("her key");
        let mut bearer = Request::new(get("a"));
        bearer.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("ascii"));
        assert_eq!(kv.range(bearer).await.expect("her key").into_inner().count, 1);
        assert_eq!(refusal(kv.put(with(&token, put("c", "1"))).await), told(Code::PermissionDenied, DENIED));
        let wrong = format!("{letters}.{}", index.parse::<u64>().unwrap() - 1);
        for bad in ["x", "abcdefghijklmnop.1", letters, wrong.as_str()] {
            assert_eq!(refusal(kv.range(with(bad, get("a"))).await), told(Code::Unauthenticated, BAD_TOKEN));
        }
        // A new password voids her tokens; who logs in again shows no token that could be void.
        let root = login(&mut auth, "root").await;
        let change = pb::AuthUserChangePasswordRequest {
            name: "ann".into(),
            password: secret("ann"),
            ..Default::default()
        };
        assert_eq!(
            refusal(auth.user_change_password(with(&token, change.clone())).await),
            told(Code::PermissionDenied, DENIED)
        );
        auth.user_change_password(with(&root, change)).await.expect("changed");
        assert_eq!(refusal(kv.range(with(&token, get("a"))).await), told(Code::Unauthenticated, BAD_TOKEN));
        let again = pb::AuthenticateRequest { name: "ann".into(), password: secret("ann") };
        auth.authenticate(with(&token, again)).await.expect("a token");
        auth.auth_disable(with(&root, pb::AuthDisableRequest {})).await.expect("disabled");
        kv.range(with(&token, get("z"))).await.expect("nothing is checked");
        member.stop().await;
    });
}

#[test]
fn a10_a13_a18_users() {
    block_on(async {
        let member = start("auth-users", |_| {}).await;
        let mut auth = set_up(&member).await;
        let (root, ann) = (login(&mut auth, "root").await, login(&mut auth, "ann").await);
        let user = |name: &str| pb::AuthUserGetRequest { name: name.into() };
        let own = auth.user_get(with(&ann, user("ann"))).await.expect("herself").into_inner();
        assert_eq!(own.roles, ["r"]);
        let denied = told(Code::PermissionDenied, DENIED);
        let text = "etcdserver: user name not found";
        assert_eq!(refusal(auth.user_get(user("")).await), told(Code::FailedPrecondition, text));
        assert_eq!(refusal(auth.user_get(with(&ann, user("root"))).await), denied);
        assert_eq!(refusal(auth.user_list(with(&ann, pb::AuthUserListRequest {})).await), denied);
        let role = |name: &str| pb::AuthRoleGetRequest { role: name.into() };
        let own = auth.role_get(with(&ann, role("r"))).await.expect("her role").into_inner();
        assert_eq!(own.perm, [permission(authpb::permission::Type::Readwrite, "a", "c")]);
        assert_eq!(refusal(auth.role_get(with(&ann, role("root"))).await), denied);
        auth.role_add(with(&root, pb::AuthRoleAddRequest { name: "root".into() })).await.expect("added");
        let all = auth.role_get(with(&root, role("root"))).await.expect("the role").into_inner();
        assert_eq!(all.perm, [permission(authpb::permission::Type::Readwrite, "", "\0")]);
        let roles = auth.role_list(with(&root, pb::AuthRoleListRequest {})).await.expect("all").into_inner();
        assert_eq!(roles.roles, ["r", "root"]);

        let bare = pb::AuthUserAddRequest {
            name: "cert".into(),
            options: Some(authpb::UserAddOptions { no_password: true }),
            ..Default::default()
        };
        auth.user_add(with(&root, bare)).await.expect("added");
        let login_as = |name: &str, password: &str| pb::AuthenticateRequest {
            name: name.into(),
            password: password.into(),
        };
        let text = "auth: authentication failed, password was given for no password user";
        assert_eq!(refusal(auth.authenticate(login_as("cert", "")).await), told(Code::Unknown, text));
        let long =
            pb::AuthUserAddRequest { name: "long".into(), password: "x".repeat(73), ..Default::default() };
        let text = "bcrypt: password length exceeds 72 bytes";
        assert_eq!(refusal(auth.user_add(with(&root, long)).await), told(Code::Unknown, text));
        // bcrypt of "allmine", as a client sends it.
        let hashed = "JDJhJDEwJFhhampRdk5odnZSdDVHU2VGazF4RmV5cVJyc3hraEJrVWlRZWcwZHQud1UxcUQ0YUZEY2dh";
        let hashed = pb::AuthUserAddRequest {
            name: "hashed".into(),
            hashed_password: hashed.into(),
            ..Default::default()
        };
        auth.user_add(with(&root, hashed)).await.expect("added");
        auth.authenticate(login_as("hashed", "allmine")).await.expect("a token");
        // Each attempt to log in would cost what a client chose.
        let rounds = "$2a$17$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga";
        let hashed_password = base64::engine::general_purpose::STANDARD.encode(rounds);
        let slow = pb::AuthUserAddRequest { name: "slow".into(), hashed_password, ..Default::default() };
        let text = "etcdserver: invalid auth management";
        assert_eq!(refusal(auth.user_add(with(&root, slow)).await), told(Code::InvalidArgument, text));
        let users = auth.user_list(with(&root, pb::AuthUserListRequest {})).await.expect("all").into_inner();
        assert_eq!(users.users, ["ann", "cert", "hashed", "root"]);
        let none = pb::AuthRoleGrantPermissionRequest { name: "r".into(), perm: None };
        let text = "etcdserver: permission not given";
        assert_eq!(
            refusal(auth.role_grant_permission(with(&root, none)).await),
            told(Code::InvalidArgument, text)
        );
        member.stop().await;
    });
}

#[test]
fn a14_a_token_ends_when_it_is_not_used() {
    block_on(async {
        let member = start("auth-ttl", |config| config.auth_token_ttl_ms = 400).await;
        let mut auth = set_up(&member).await;
        let token = login(&mut auth, "ann").await;
        let mut kv = member.kv().await;
        for _ in 0..4 {
            OsRuntime::sleep(Duration::from_millis(200)).await;
            kv.range(with(&token, get("a"))).await.expect("used in time");
        }
        OsRuntime::sleep(Duration::from_millis(450)).await;
        assert_eq!(refusal(kv.range(with(&token, get("a"))).await), told(Code::Unauthenticated, BAD_TOKEN));
        member.stop().await;
    });
}

#[test]
fn a14_every_member_knows_a_token() {
    block_on(async {
        let members = Member::cluster("auth-members").await;
        let mut auth = set_up(&members[0]).await;
        let token = login(&mut auth, "ann").await;
        for member in &members {
            let mut kv = member.kv().await;
            kv.put(with(&token, put("a", "1"))).await.expect("her key");
            assert_eq!(
                refusal(kv.put(with(&token, put("d", "1"))).await),
                told(Code::PermissionDenied, DENIED)
            );
        }
        for member in members {
            member.stop().await;
        }
    });
}

/// Users and roles are there again after a restart; tokens are not.
#[test]
fn users_survive_a_restart() {
    block_on(async {
        let member = start("auth-restart", |_| {}).await;
        let mut auth = set_up(&member).await;
        let token = login(&mut auth, "ann").await;
        let (root, config) = (member.root.clone(), member.node.config().clone());
        member.node.stop().await;
        member.doors.await.expect("the doors end");
        drop(member.node);
        drop(auth);
        // The last handles of the member that was go with its connections.
        let node = loop {
            let disk = OsDisk::open(&root, true).expect("a directory");
            match Node::<OsRuntime>::open(config.clone(), OsNet, disk).await {
                Ok(node) => break node,
                Err(error) if error.to_string().contains("in use") => {
                    OsRuntime::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("{error}"),
            }
        };
        let listener = OsNet.listen("127.0.0.1:0").await.expect("a port");
        let address = listener.local_address();
        let doors = OsRuntime::spawn("doors", serve(node.clone(), listener, ServerOptions::default()));
        let member = Member { node, address, doors, root };
        let mut kv = member.kv().await;
        assert_eq!(refusal(kv.range(get("a")).await), told(Code::InvalidArgument, NO_USER));
        assert_eq!(refusal(kv.range(with(&token, get("a"))).await), told(Code::Unauthenticated, BAD_TOKEN));
        let token = login(&mut client(&member).await, "ann").await;
        kv.put(with(&token, put("b", "1"))).await.expect("hers");
        member.stop().await;
    });
}
