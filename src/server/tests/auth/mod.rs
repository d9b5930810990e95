//! Users and roles over real gRPC: rows A1–A18, W12, MA14, L5–L7.

mod checks;
mod tokens;

use std::time::Duration;

use etched_proto::authpb;
use etched_proto::etcdserverpb as pb;
use etched_proto::etcdserverpb::auth_client::AuthClient;
use etched_proto::etcdserverpb::cluster_client::ClusterClient;
use etched_proto::etcdserverpb::kv_client::KvClient;
use etched_proto::etcdserverpb::lease_client::LeaseClient;
use etched_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use etched_proto::etcdserverpb::watch_client::WatchClient;
use etched_proto::v3electionpb as epb;
use etched_proto::v3electionpb::election_client::ElectionClient;
use etched_proto::v3lockpb as lpb;
use etched_proto::v3lockpb::lock_client::LockClient;
use tonic::{Code, Request};

use super::*;

const DENIED: &str = "etcdserver: permission denied";
const NO_USER: &str = "etcdserver: user name is empty";
const BAD_TOKEN: &str = "etcdserver: invalid auth token";

async fn client(member: &Member) -> AuthClient<GrpcChannel> {
    AuthClient::new(member.channel().await)
}

/// Few rounds: passwords here are no secrets.
async fn start(name: &str, change: impl FnOnce(&mut NodeConfig)) -> Member {
    let cheap = |config: &mut NodeConfig| {
        config.bcrypt_cost = 4;
        change(config);
    };
    Member::with(name, 1, cheap, ServerOptions::default()).await
}

async fn add_user(auth: &mut AuthClient<GrpcChannel>, name: &str) {
    let add = pb::AuthUserAddRequest { name: name.into(), password: secret(name), ..Default::default() };
    auth.user_add(add).await.expect("added");
}

fn secret(name: &str) -> String {
    format!("secret of {name}")
}

async fn grant_role(auth: &mut AuthClient<GrpcChannel>, user: &str, role: &str) {
    let grant = pb::AuthUserGrantRoleRequest { user: user.into(), role: role.into() };
    auth.user_grant_role(grant).await.expect("granted");
}

fn permission(perm_type: authpb::permission::Type, key: &str, end: &str) -> authpb::Permission {
    let (key, range_end) = (key.to_string().into(), end.to_string().into());
    authpb::Permission { perm_type: perm_type.into(), key, range_end }
}

/// Users `root` and `ann`, who may read and write [a, c) by role `r`; enabled.
async fn set_up(member: &Member) -> AuthClient<GrpcChannel> {
    let mut auth = client(member).await;
    add_user(&mut auth, "root").await;
    add_user(&mut auth, "ann").await;
    auth.role_add(pb::AuthRoleAddRequest { name: "r".into() }).await.expect("added");
    let perm = Some(permission(authpb::permission::Type::Readwrite, "a", "c"));
    auth.role_grant_permission(pb::AuthRoleGrantPermissionRequest { name: "r".into(), perm })
        .await
        .expect("granted");
    grant_role(&mut auth, "ann", "r").await;
    grant_role(&mut auth, "root", "root").await;
    auth.auth_enable(pb::AuthEnableRequest {}).await.expect("enabled");
    auth
}

async fn login(auth: &mut AuthClient<GrpcChannel>, name: &str) -> String {
    let request = pb::AuthenticateRequest { name: name.into(), password: secret(name) };
    auth.authenticate(request).await.expect("a token").into_inner().token
}

fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("token", token.parse().expect("ascii"));
    request
}
