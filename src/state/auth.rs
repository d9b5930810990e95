//! Changes of users and roles (A1, A2, A7, A11, A12), and their part of the digest.

use super::State;
use super::digest;
use crate::auth::{Auth, ROOT};
use crate::types::limits::MAX_AUTH_NAME_BYTES;
use crate::types::{AuthCommand, Digest, Error, KeyRange, Permission, Response, Role, User};

impl State {
    /// Carries out one. Who may is looked at before.
    pub(super) fn auth(&mut self, command: &AuthCommand) -> Result<Response, Error> {
        let before = scalars(&self.auth);
        let done = match command {
            AuthCommand::Authenticate { name, auth_revision, letters } => {
                return self.authenticate(name, *auth_revision, letters);
            }
            AuthCommand::Enable => self.enable(),
            AuthCommand::Disable => {
                self.disable();
                Ok(())
            }
            AuthCommand::UserAdd { name, password_hash, no_password } => {
                self.user_add(name, password_hash, *no_password)
            }
            AuthCommand::UserDelete { name } => self.user_delete(name),
            AuthCommand::UserChangePassword { name, password_hash } => {
                self.user_change_password(name, password_hash)
            }
            AuthCommand::UserGrantRole { user, role } => self.user_grant_role(user, role),
            AuthCommand::UserRevokeRole { user, role } => self.user_revoke_role(user, role),
            AuthCommand::RoleAdd { name } => self.role_add(name),
            AuthCommand::RoleDelete { name } => self.role_delete(name),
            AuthCommand::RoleGrantPermission { role, permission } => {
                self.role_grant_permission(role, permission)
            }
            AuthCommand::RoleRevokePermission { role, range } => self.role_revoke_permission(role, range),
        };
        self.accumulators.remove(before);
        self.accumulators.add(scalars(&self.auth));
        done.map(|()| Response::Done)
    }

    /// A13: a token for who gave the right password, unless something changed since it was looked at.
    fn authenticate(&self, name: &str, auth_revision: u64, letters: &str) -> Result<Response, Error> {
        if !self.auth.is_enabled() {
            return Err(Error::AuthNotEnabled);
        }
        let user = self.auth.user(name).filter(|user| !user.no_password).ok_or(Error::AuthFailed)?;
        if auth_revision != self.auth.revision() {
            return Err(Error::AuthOldRevision);
        }
        Ok(Response::Authenticated { user: user.id, auth_revision, letters: letters.to_string() })
    }

    /// A1.
    fn enable(&mut self) -> Result<(), Error> {
        if self.auth.is_enabled() {
            return Ok(());
        }
        let root = self.auth.user(ROOT).ok_or(Error::RootUserNotExist)?;
        if !has(root, ROOT) {
            return Err(Error::RootRoleNotExist);
        }
        self.auth.enable();
        Ok(())
    }

    fn disable(&mut self) {
        if self.auth.is_enabled() {
            self.auth.disable();
            self.auth.advance();
        }
    }

    fn user_add(&mut self, name: &str, password_hash: &[u8], no_password: bool) -> Result<(), Error> {
        if name.is_empty() {
            return Err(Error::UserEmpty);
        }
        if self.auth.user(name).is_some() {
            return Err(Error::UserAlreadyExist);
        }
        if name.len().max(password_hash.len()) > MAX_AUTH_NAME_BYTES {
            return Err(Error::InvalidAuthMgmt);
        }
        let id = self.auth.advance();
        self.put_user(User {
            id,
            name: name.to_string(),
            password_hash: if no_password { Vec::new() } else { password_hash.to_vec() },
            no_password,
            password_revision: id,
            roles: Vec::new(),
        });
        Ok(())
    }

    fn user_delete(&mut self, name: &str) -> Result<(), Error> {
        if self.auth.is_enabled() && name == ROOT {
            return Err(Error::InvalidAuthMgmt);
        }
        let user = self.auth.remove_user(name).ok_or(Error::UserNotFound)?;
        self.accumulators.remove(digest::user(&user));
        self.auth.advance();
        Ok(())
    }

    fn user_change_password(&mut self, name: &str, password_hash: &[u8]) -> Result<(), Error> {
        let user = self.auth.user(name).cloned().ok_or(Error::UserNotFound)?;
        if password_hash.len() > MAX_AUTH_NAME_BYTES {
            return Err(Error::InvalidAuthMgmt);
        }
        let password_hash = if user.no_password { Vec::new() } else { password_hash.to_vec() };
        let password_revision = self.auth.advance();
        self.put_user(User { password_hash, password_revision, ..user });
        Ok(())
    }

    /// A11: granting again changes nothing. The role root need not be there to be granted.
    fn user_grant_role(&mut self, user: &str, role: &str) -> Result<(), Error> {
        let mut user = self.auth.user(user).cloned().ok_or(Error::UserNotFound)?;
        if role != ROOT && self.auth.role(role).is_none() {
            return Err(Error::RoleNotFound);
        }
        if has(&user, role) {
            return Ok(());
        }
        user.roles.push(role.to_string());
        user.roles.sort_unstable();
        self.put_user(user);
        self.auth.advance();
        Ok(())
    }

    fn user_revoke_role(&mut self, user: &str, role: &str) -> Result<(), Error> {
        if self.auth.is_enabled() && user == ROOT && role == ROOT {
            return Err(Error::InvalidAuthMgmt);
        }
        let user = self.auth.user(user).cloned().ok_or(Error::UserNotFound)?;
        if !has(&user, role) {
            return Err(Error::RoleNotGranted);
        }
        self.put_user(without(user, role));
        self.auth.advance();
        Ok(())
    }

    fn role_add(&mut self, name: &str) -> Result<(), Error> {
        if name.is_empty() {
            return Err(Error::RoleEmpty);
        }
        if self.auth.role(name).is_some() {
            return Err(Error::RoleAlreadyExist);
        }
        if name.len() > MAX_AUTH_NAME_BYTES {
            return Err(Error::InvalidAuthMgmt);
        }
        self.put_role(Role { name: name.to_string(), permissions: Vec::new() });
        self.auth.advance();
        Ok(())
    }

    /// A11: users lose it too.
    fn role_delete(&mut self, name: &str) -> Result<(), Error> {
        if self.auth.is_enabled() && name == ROOT {
            return Err(Error::InvalidAuthMgmt);
        }
        let role = self.auth.remove_role(name).ok_or(Error::RoleNotFound)?;
        self.accumulators.remove(digest::role(&role));
        let holders: Vec<User> = self.auth.users().filter(|user| has(user, name)).cloned().collect();
        for user in holders {
            self.put_user(without(user, name));
        }
        self.auth.advance();
        Ok(())
    }

    /// A7.
    fn role_grant_permission(&mut self, role: &str, permission: &Permission) -> Result<(), Error> {
        let range = &permission.range;
        let is_long = range.key.len().max(range.range_end.len()) > MAX_AUTH_NAME_BYTES;
        if range.key.is_empty() || range.is_empty() || is_long {
            return Err(Error::InvalidAuthMgmt);
        }
        let mut role = self.auth.role(role).cloned().ok_or(Error::RoleNotFound)?;
        match role.permissions.iter_mut().find(|one| one.range == *range) {
            Some(one) => one.access = permission.access,
            None => role.permissions.push(permission.clone()),
        }
        role.permissions.sort_by(|one, other| one.range.key.cmp(&other.range.key));
        self.put_role(role);
        self.auth.advance();
        Ok(())
    }

    fn role_revoke_permission(&mut self, role: &str, range: &KeyRange) -> Result<(), Error> {
        let mut role = self.auth.role(role).cloned().ok_or(Error::RoleNotFound)?;
        let before = role.permissions.len();
        role.permissions.retain(|one| one.range != *range);
        if role.permissions.len() == before {
            return Err(Error::PermissionNotGranted);
        }
        self.put_role(role);
        self.auth.advance();
        Ok(())
    }

    fn put_user(&mut self, user: User) {
        self.accumulators.add(digest::user(&user));
        if let Some(before) = self.auth.put_user(user) {
            self.accumulators.remove(digest::user(&before));
        }
    }

    fn put_role(&mut self, role: Role) {
        self.accumulators.add(digest::role(&role));
        if let Some(before) = self.auth.put_role(role) {
            self.accumulators.remove(digest::role(&before));
        }
    }
}

/// The digest's part of users and roles.
pub(super) fn digest_of(auth: &Auth) -> Digest {
    let parts = auth.users().map(digest::user).chain(auth.roles().map(digest::role));
    parts.fold(scalars(auth), Digest::wrapping_add)
}

/// Nothing as long as nobody ever used it.
fn scalars(auth: &Auth) -> Digest {
    if auth.revision() == 1 {
        0
    } else {
        digest::auth(auth.is_enabled(), auth.enabled_revision(), auth.revision())
    }
}

fn has(user: &User, role: &str) -> bool {
    user.roles.iter().any(|name| name == role)
}

fn without(mut user: User, role: &str) -> User {
    user.roles.retain(|name| name != role);
    user
}
