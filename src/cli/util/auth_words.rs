//! Users and roles as JSON. What opens doors, hashes of passwords and letters of tokens, is not shown.

use serde_json::{Value, json};

use super::words::bytes;
use crate::types::{AuthCommand, AuthRecord, KeyRange, Permission, Role, User};

pub(super) fn command(command: &AuthCommand) -> Value {
    match command {
        AuthCommand::Enable => json!({ "enable": {} }),
        AuthCommand::Disable => json!({ "disable": {} }),
        AuthCommand::Authenticate { name, auth_revision, letters: _ } => {
            json!({ "authenticate": { "name": name, "auth_revision": auth_revision } })
        }
        AuthCommand::UserAdd { name, password_hash: _, no_password } => {
            json!({ "user_add": { "name": name, "no_password": no_password } })
        }
        AuthCommand::UserDelete { name } => json!({ "user_delete": { "name": name } }),
        AuthCommand::UserChangePassword { name, password_hash: _ } => {
            json!({ "user_change_password": { "name": name } })
        }
        AuthCommand::UserGrantRole { user, role } => {
            json!({ "user_grant_role": { "user": user, "role": role } })
        }
        AuthCommand::UserRevokeRole { user, role } => {
            json!({ "user_revoke_role": { "user": user, "role": role } })
        }
        AuthCommand::RoleAdd { name } => json!({ "role_add": { "name": name } }),
        AuthCommand::RoleDelete { name } => json!({ "role_delete": { "name": name } }),
        AuthCommand::RoleGrantPermission { role, permission: granted } => {
            json!({ "role_grant_permission": { "role": role, "permission": permission(granted) } })
        }
        AuthCommand::RoleRevokePermission { role, range: revoked } => {
            json!({ "role_revoke_permission": { "role": role, "range": range(revoked) } })
        }
    }
}

pub(super) fn record(record: &AuthRecord) -> Value {
    let user = |user: &User| {
        json!({
            "id": user.id,
            "name": user.name,
            "no_password": user.no_password,
            "password_revision": user.password_revision,
            "roles": user.roles,
        })
    };
    let role = |role: &Role| {
        let permissions: Vec<Value> = role.permissions.iter().map(permission).collect();
        json!({ "name": role.name, "permissions": permissions })
    };
    json!({
        "enabled": record.enabled,
        "enabled_revision": record.enabled_revision,
        "revision": record.revision,
        "users": record.users.iter().map(user).collect::<Vec<_>>(),
        "roles": record.roles.iter().map(role).collect::<Vec<_>>(),
    })
}

fn permission(permission: &Permission) -> Value {
    json!({ "access": format!("{:?}", permission.access), "range": range(&permission.range) })
}

fn range(range: &KeyRange) -> Value {
    json!({ "key": bytes(&range.key), "range_end": bytes(&range.range_end) })
}
