//! Mirrors of users, roles and their changes. Decoding copies: users and roles live long, what they came
//! in should not.

use serde::{Deserialize, Serialize};

use super::blob::Blob;
use super::mirror::KeyRangeV1;
use crate::types::{Access, AuthCommand, AuthRecord, Permission, Role, User};

/// [`AuthCommand`]. Variants are only added at the end.
#[derive(Serialize, Deserialize)]
pub(super) enum AuthCommandV1<'a> {
    Enable,
    Disable,
    Authenticate {
        name: &'a str,
        auth_revision: u64,
        letters: &'a str,
    },
    UserAdd {
        name: &'a str,
        #[serde(borrow)]
        password_hash: Blob<'a>,
        no_password: bool,
    },
    UserDelete {
        name: &'a str,
    },
    UserChangePassword {
        name: &'a str,
        #[serde(borrow)]
        password_hash: Blob<'a>,
    },
    UserGrantRole {
        user: &'a str,
        role: &'a str,
    },
    UserRevokeRole {
        user: &'a str,
        role: &'a str,
    },
    RoleAdd {
        name: &'a str,
    },
    RoleDelete {
        name: &'a str,
    },
    RoleGrantPermission {
        role: &'a str,
        #[serde(borrow)]
        permission: PermissionV1<'a>,
    },
    RoleRevokePermission {
        role: &'a str,
        #[serde(borrow)]
        range: KeyRangeV1<'a>,
    },
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum AccessV1 {
    Read,
    Write,
    ReadWrite,
}

#[derive(Serialize, Deserialize)]
pub(super) struct PermissionV1<'a> {
    access: AccessV1,
    #[serde(borrow)]
    range: KeyRangeV1<'a>,
}

impl<'a> PermissionV1<'a> {
    fn new(permission: &'a Permission) -> Self {
        let access = match permission.access {
            Access::Read => AccessV1::Read,
            Access::Write => AccessV1::Write,
            Access::ReadWrite => AccessV1::ReadWrite,
        };
        PermissionV1 { access, range: KeyRangeV1::new(&permission.range) }
    }

    fn of(&self) -> Permission {
        let access = match self.access {
            AccessV1::Read => Access::Read,
            AccessV1::Write => Access::Write,
            AccessV1::ReadWrite => Access::ReadWrite,
        };
        Permission { access, range: self.range.copied() }
    }
}

impl<'a> AuthCommandV1<'a> {
    pub(super) fn new(command: &'a AuthCommand) -> Self {
        match command {
            AuthCommand::Enable => AuthCommandV1::Enable,
            AuthCommand::Disable => AuthCommandV1::Disable,
            AuthCommand::Authenticate { name, auth_revision, letters } => {
                AuthCommandV1::Authenticate { name, auth_revision: *auth_revision, letters }
            }
            AuthCommand::UserAdd { name, password_hash, no_password } => {
                AuthCommandV1::UserAdd { name, password_hash: Blob(password_hash), no_password: *no_password }
            }
            AuthCommand::UserDelete { name } => AuthCommandV1::UserDelete { name },
            AuthCommand::UserChangePassword { name, password_hash } => {
                AuthCommandV1::UserChangePassword { name, password_hash: Blob(password_hash) }
            }
            AuthCommand::UserGrantRole { user, role } => AuthCommandV1::UserGrantRole { user, role },
            AuthCommand::UserRevokeRole { user, role } => AuthCommandV1::UserRevokeRole { user, role },
            AuthCommand::RoleAdd { name } => AuthCommandV1::RoleAdd { name },
            AuthCommand::RoleDelete { name } => AuthCommandV1::RoleDelete { name },
            AuthCommand::RoleGrantPermission { role, permission } => {
                AuthCommandV1::RoleGrantPermission { role, permission: PermissionV1::new(permission) }
            }
            AuthCommand::RoleRevokePermission { role, range } => {
                AuthCommandV1::RoleRevokePermission { role, range: KeyRangeV1::new(range) }
            }
        }
    }

    pub(super) fn of(&self) -> AuthCommand {
        let text = |text: &str| text.to_string();
        match self {
            AuthCommandV1::Enable => AuthCommand::Enable,
            AuthCommandV1::Disable => AuthCommand::Disable,
            AuthCommandV1::Authenticate { name, auth_revision, letters } => AuthCommand::Authenticate {
                name: text(name),
                auth_revision: *auth_revision,
                letters: text(letters),
            },
            AuthCommandV1::UserAdd { name, password_hash, no_password } => AuthCommand::UserAdd {
                name: text(name),
                password_hash: password_hash.0.to_vec(),
                no_password: *no_password,
            },
            AuthCommandV1::UserDelete { name } => AuthCommand::UserDelete { name: text(name) },
            AuthCommandV1::UserChangePassword { name, password_hash } => {
                AuthCommand::UserChangePassword { name: text(name), password_hash: password_hash.0.to_vec() }
            }
            AuthCommandV1::UserGrantRole { user, role } => {
                AuthCommand::UserGrantRole { user: text(user), role: text(role) }
            }
            AuthCommandV1::UserRevokeRole { user, role } => {
                AuthCommand::UserRevokeRole { user: text(user), role: text(role) }
            }
            AuthCommandV1::RoleAdd { name } => AuthCommand::RoleAdd { name: text(name) },
            AuthCommandV1::RoleDelete { name } => AuthCommand::RoleDelete { name: text(name) },
            AuthCommandV1::RoleGrantPermission { role, permission } => {
                AuthCommand::RoleGrantPermission { role: text(role), permission: permission.of() }
            }
            AuthCommandV1::RoleRevokePermission { role, range } => {
                AuthCommand::RoleRevokePermission { role: text(role), range: range.copied() }
            }
        }
    }
}

/// [`AuthRecord`].
#[derive(Serialize, Deserialize)]
pub(super) struct AuthV1<'a> {
    enabled: bool,
    enabled_revision: u64,
    revision: u64,
    #[serde(borrow)]
    users: Vec<UserV1<'a>>,
    #[serde(borrow)]
    roles: Vec<RoleV1<'a>>,
}

#[derive(Serialize, Deserialize)]
struct UserV1<'a> {
    id: u64,
    name: &'a str,
    #[serde(borrow)]
    password_hash: Blob<'a>,
    no_password: bool,
    password_revision: u64,
    #[serde(borrow)]
    roles: Vec<&'a str>,
}

#[derive(Serialize, Deserialize)]
struct RoleV1<'a> {
    name: &'a str,
    #[serde(borrow)]
    permissions: Vec<PermissionV1<'a>>,
}

impl<'a> AuthV1<'a> {
    pub(super) fn new(record: &'a AuthRecord) -> Self {
        let user = |user: &'a User| UserV1 {
            id: user.id,
            name: &user.name,
            password_hash: Blob(&user.password_hash),
            no_password: user.no_password,
            password_revision: user.password_revision,
            roles: user.roles.iter().map(String::as_str).collect(),
        };
        let role = |role: &'a Role| RoleV1 {
            name: &role.name,
            permissions: role.permissions.iter().map(PermissionV1::new).collect(),
        };
        AuthV1 {
            enabled: record.enabled,
            enabled_revision: record.enabled_revision,
            revision: record.revision,
            users: record.users.iter().map(user).collect(),
            roles: record.roles.iter().map(role).collect(),
        }
    }

    pub(super) fn of(&self) -> AuthRecord {
        let user = |user: &UserV1<'_>| User {
            id: user.id,
            name: user.name.to_string(),
            password_hash: user.password_hash.0.to_vec(),
            no_password: user.no_password,
            password_revision: user.password_revision,
            roles: user.roles.iter().map(ToString::to_string).collect(),
        };
        let role = |role: &RoleV1<'_>| Role {
            name: role.name.to_string(),
            permissions: role.permissions.iter().map(PermissionV1::of).collect(),
        };
        AuthRecord {
            enabled: self.enabled,
            enabled_revision: self.enabled_revision,
            revision: self.revision,
            users: self.users.iter().map(user).collect(),
            roles: self.roles.iter().map(role).collect(),
        }
    }
}
