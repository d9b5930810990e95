//! The client that keeps the users: it adds guests and their roles, switches the checks on, gives and
//! takes permissions, and switches the checks off at the end.

use std::time::Duration;

use etched::runtime::{Runtime, timeout};
use etched_proto::authpb;
use etched_proto::etcdserverpb as pb;
use etched_proto::etcdserverpb::auth_client::AuthClient;
use etched_testkit::Response;
use etched_testkit::users::{Change, Permission};

use crate::check::{OpId, Outcome};
use crate::client::{Extra, PATIENCE, Shared, lock, outcome_of, with_extra};
use crate::guest::{Guest, RANGES, name_of};
use crate::world::{NodeId, SimRuntime};

const ROOT: &str = "root";
const ROLES: [&str; 3] = ["one", "two", "three"];

/// Keeps users until its time is over and nothing is checked any more.
pub async fn run_host(shared: Shared, node: NodeId, number: u64, guests: Vec<u64>) {
    let mut host = Guest::new(shared, node, number, ROOT.to_string());
    let guests: Vec<String> = guests.into_iter().map(name_of).collect();
    for change in beginning(&guests) {
        host.insist(&change).await;
    }
    host.log_in().await;
    while !host.shared.is_over() {
        let pause = 1 + host.draws.below(400);
        SimRuntime::sleep(Duration::from_millis(pause)).await;
        let change = host.some_change(&guests);
        let outcome = host.change(&change).await;
        host.after(&outcome).await;
    }
    host.insist(&Change::Disable).await;
}

/// What comes before anything is checked.
fn beginning(guests: &[String]) -> Vec<Change> {
    let mut changes = vec![Change::UserAdd(ROOT.into()), Change::UserGrantRole(ROOT.into(), ROOT.into())];
    changes.extend(ROLES.iter().map(|role| Change::RoleAdd((*role).into())));
    for (guest, role) in guests.iter().zip(ROLES.iter().cycle()) {
        changes.push(Change::UserAdd(guest.clone()));
        changes.push(Change::UserGrantRole(guest.clone(), (*role).into()));
    }
    changes.push(Change::Enable);
    changes
}

impl Guest {
    /// Tries until it was carried out, or is not to be carried out again.
    async fn insist(&mut self, change: &Change) {
        loop {
            let outcome = self.change(change).await;
            match &outcome {
                Outcome::Answer(_) => return,
                Outcome::Failure(failure) if failure.text.ends_with("already exists") => return,
                _ => {}
            }
            self.after(&outcome).await;
            SimRuntime::sleep(Duration::from_millis(50)).await;
            if lock(&self.shared.broken).is_some() {
                return;
            }
        }
    }

    async fn change(&mut self, change: &Change) -> Outcome {
        let Some(channel) = self.connection.channel().await else { return Outcome::Unknown };
        let op = self.next_op();
        let extra = Extra { token: self.token.clone(), ..Extra::default() };
        lock(&self.shared.checks).on_change(op, self.user(), change.clone());
        let sent = send(AuthClient::new(channel), change, op, &extra);
        let outcome = match timeout::<SimRuntime, _>(PATIENCE, sent).await {
            // Of a change only its end counts.
            Some(Ok(())) => Outcome::Answer(Response::Put(pb::PutResponse::default())),
            Some(Err(status)) => outcome_of(&status),
            None => Outcome::Unknown,
        };
        let checked = lock(&self.shared.checks).on_changed(op, &outcome);
        self.shared.judge(checked);
        outcome
    }

    fn some_change(&mut self, guests: &[String]) -> Change {
        let guest = self.draws.pick(guests).cloned().unwrap_or_default();
        let role = (*self.draws.pick(&ROLES).unwrap_or(&ROLES[0])).to_string();
        let (key, end) = *self.draws.pick(&RANGES).unwrap_or(&RANGES[0]);
        let range = (key.as_bytes().to_vec(), end.as_bytes().to_vec());
        match self.draws.below(27) {
            0..9 => {
                let (read, write) = match self.draws.below(4) {
                    0 => (true, false),
                    1 => (false, true),
                    _ => (true, true),
                };
                Change::Grant(role, Permission { read, write, range })
            }
            9..14 => Change::Revoke(role, range),
            14..17 => Change::UserGrantRole(guest, role),
            17..19 => Change::UserRevokeRole(guest, role),
            19 => Change::RoleDelete(role),
            20 => Change::RoleAdd(role),
            21 => Change::UserDelete(guest),
            22 => Change::UserAdd(guest),
            23..26 => Change::UserChangePassword(guest),
            _ => match self.draws.coin() {
                true => Change::Disable,
                false => Change::Enable,
            },
        }
    }
}

async fn send(
    mut auth: AuthClient<etched::server::GrpcChannel>,
    change: &Change,
    op: OpId,
    extra: &Extra,
) -> Result<(), tonic::Status> {
    macro_rules! call {
        ($method:ident, $message:expr) => {
            auth.$method(with_extra($message, op, extra)).await.map(|_| ())
        };
    }
    match change.clone() {
        Change::Enable => call!(auth_enable, pb::AuthEnableRequest {}),
        Change::Disable => call!(auth_disable, pb::AuthDisableRequest {}),
        Change::UserAdd(name) => {
            let password = name.clone();
            call!(user_add, pb::AuthUserAddRequest { name, password, ..Default::default() })
        }
        Change::UserChangePassword(name) => {
            let password = name.clone();
            call!(
                user_change_password,
                pb::AuthUserChangePasswordRequest { name, password, ..Default::default() }
            )
        }
        Change::UserDelete(name) => call!(user_delete, pb::AuthUserDeleteRequest { name }),
        Change::UserGrantRole(user, role) => {
            call!(user_grant_role, pb::AuthUserGrantRoleRequest { user, role })
        }
        Change::UserRevokeRole(name, role) => {
            call!(user_revoke_role, pb::AuthUserRevokeRoleRequest { name, role })
        }
        Change::RoleAdd(name) => call!(role_add, pb::AuthRoleAddRequest { name }),
        Change::RoleDelete(role) => call!(role_delete, pb::AuthRoleDeleteRequest { role }),
        Change::Grant(name, Permission { read, write, range: (key, range_end) }) => {
            use authpb::permission::Type;
            let perm_type = match (read, write) {
                (true, true) => Type::Readwrite,
                (true, false) => Type::Read,
                _ => Type::Write,
            };
            let perm = authpb::Permission {
                perm_type: perm_type.into(),
                key: key.into(),
                range_end: range_end.into(),
            };
            call!(role_grant_permission, pb::AuthRoleGrantPermissionRequest { name, perm: Some(perm) })
        }
        Change::Revoke(role, (key, range_end)) => {
            let (key, range_end) = (key.into(), range_end.into());
            call!(role_revoke_permission, pb::AuthRoleRevokePermissionRequest { role, key, range_end })
        }
    }
}
