//! Users, roles and what they may do, in etcd's words (etcd-surface 1.10).

use super::KeyRange;

/// Names a user for ever: the auth revision that added it. Who gets a deleted user's name is
/// somebody else, and tokens of the deleted one mean nothing.
pub type UserId = u64;

/// Whom a request's token names, and since when it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: UserId,
    /// The auth revision at which the token was given out.
    pub since: u64,
}

/// Who asks for a change, as the member saw it that took the proposal (A3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whom its token names.
    pub user: UserId,
    /// The auth revision at which the token was looked at.
    pub auth_revision: u64,
}

/// What a request does to keys, or a permission allows (A6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// See records.
    Read,
    /// Change them.
    Write,
    /// Both.
    ReadWrite,
}

impl Access {
    /// Whether it includes seeing records.
    pub fn reads(self) -> bool {
        self != Access::Write
    }

    /// Whether it includes changing them.
    pub fn writes(self) -> bool {
        self != Access::Read
    }
}

/// What a role may do to a range of keys. No two of a role have the same range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// What.
    pub access: Access,
    /// To which keys.
    pub range: KeyRange,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// See [`UserId`].
    pub id: UserId,
    /// Its name, never empty.
    pub name: String,
    /// bcrypt of its password; a user with none, or with bytes that are no bcrypt, cannot log in.
    pub password_hash: Vec<u8>,
    /// It was added as one that never logs in by password (A13).
    pub no_password: bool,
    /// The auth revision at which the password was set: older tokens are void.
    pub password_revision: u64,
    /// Names of its roles, sorted, each once. Only `root` may stand here without being a role.
    pub roles: Vec<String>,
}

/// A role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// Its name, never empty.
    pub name: String,
    /// Sorted by range.
    pub permissions: Vec<Permission>,
}

/// All of it, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthRecord {
    /// Whether requests are checked.
    pub enabled: bool,
    /// The auth revision at which they began to be: older tokens are void.
    pub enabled_revision: u64,
    /// Grows by one with each change, from 1 (A3).
    pub revision: u64,
    /// By name.
    pub users: Vec<User>,
    /// By name.
    pub roles: Vec<Role>,
}

impl Default for AuthRecord {
    fn default() -> Self {
        AuthRecord { enabled: false, enabled_revision: 0, revision: 1, users: Vec::new(), roles: Vec::new() }
    }
}

/// A change of users, roles or of whether they count. Variants are only added at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthCommand {
    /// AuthEnable.
    Enable,
    /// AuthDisable.
    Disable,
    /// Authenticate, once the password was found right.
    Authenticate {
        /// Who.
        name: String,
        /// The auth revision at which the password was looked at.
        auth_revision: u64,
        /// The secret part of the token.
        letters: String,
    },
    /// UserAdd.
    UserAdd {
        /// Its name.
        name: String,
        /// See [`User::password_hash`].
        password_hash: Vec<u8>,
        /// See [`User::no_password`].
        no_password: bool,
    },
    /// UserDelete.
    UserDelete {
        /// Whom.
        name: String,
    },
    /// UserChangePassword.
    UserChangePassword {
        /// Whose.
        name: String,
        /// See [`User::password_hash`].
        password_hash: Vec<u8>,
    },
    /// UserGrantRole.
    UserGrantRole {
        /// Who gets it.
        user: String,
        /// What.
        role: String,
    },
    /// UserRevokeRole.
    UserRevokeRole {
        /// Who loses it.
        user: String,
        /// What.
        role: String,
    },
    /// RoleAdd.
    RoleAdd {
        /// Its name.
        name: String,
    },
    /// RoleDelete.
    RoleDelete {
        /// Its name.
        name: String,
    },
    /// RoleGrantPermission.
    RoleGrantPermission {
        /// Which role.
        role: String,
        /// In place of one with the same range.
        permission: Permission,
    },
    /// RoleRevokePermission.
    RoleRevokePermission {
        /// Which role.
        role: String,
        /// The range of the permission, exactly.
        range: KeyRange,
    },
}
