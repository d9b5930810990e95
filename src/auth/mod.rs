//! The replicated users and roles, and who may do what (A1–A18). Pure: passwords come as hashes,
//! tokens as the user they name.

mod intervals;

use std::sync::Arc;

use im::OrdMap;
use intervals::Intervals;

use crate::types::{Access, AuthRecord, Caller, Error, KeyRange, Role, User, UserId};

/// The user that must exist, and the role that may do everything (A1, A2).
pub const ROOT: &str = "root";

/// Users and roles. A clone copies a few pointers. Invariant: `grants` follows from `users` and
/// `roles`; every change of either goes through a method here that sees to it.
#[derive(Clone, Debug)]
pub struct Auth {
    enabled: bool,
    enabled_revision: u64,
    revision: u64,
    users: OrdMap<String, Arc<User>>,
    roles: OrdMap<String, Arc<Role>>,
    grants: OrdMap<UserId, Arc<Grant>>,
}

/// What one user may do.
#[derive(Debug)]
struct Grant {
    name: String,
    is_root: bool,
    reads: Intervals,
    writes: Intervals,
}

impl Default for Auth {
    fn default() -> Self {
        Auth {
            enabled: false,
            enabled_revision: 0,
            revision: 1,
            users: OrdMap::new(),
            roles: OrdMap::new(),
            grants: OrdMap::new(),
        }
    }
}

impl Auth {
    /// Whether requests are checked.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Grows by one with each change, from 1 (A3).
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The auth revision at which requests began to be checked, the last time they did; 0 before.
    pub fn enabled_revision(&self) -> u64 {
        self.enabled_revision
    }

    /// The user called `name`.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name).map(Arc::as_ref)
    }

    /// The user `id`.
    pub fn user_by_id(&self, id: UserId) -> Option<&User> {
        self.grants.get(&id).and_then(|grant| self.user(&grant.name))
    }

    /// The role called `name`.
    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.get(name).map(Arc::as_ref)
    }

    /// All users, by name.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values().map(Arc::as_ref)
    }

    /// All roles, by name.
    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.values().map(Arc::as_ref)
    }

    /// Whether a token of user `id`, given out at auth revision `given`, still names that user: nothing
    /// that voids tokens has happened since (a disable, a new password, the user's end).
    pub fn is_valid_token(&self, id: UserId, given: u64) -> bool {
        let user = self.user_by_id(id);
        if planted!(VoidedTokensCount) {
            return self.enabled && user.is_some();
        }
        self.enabled
            && given >= self.enabled_revision
            && user.is_some_and(|user| given >= user.password_revision)
    }

    /// Whether `caller` may do `access` to all keys of `range` (A6). Everybody may anything while
    /// nothing is checked.
    ///
    /// Errors: UserEmpty without a caller (A4), AuthOldRevision (A3), PermissionDenied.
    pub fn permit(&self, caller: Option<Caller>, range: &KeyRange, access: Access) -> Result<(), Error> {
        self.permit_if(caller, access, |granted| granted.contains(range))
    }

    /// The same for one key.
    pub fn permit_key(&self, caller: Option<Caller>, key: &[u8], access: Access) -> Result<(), Error> {
        self.permit_if(caller, access, |granted| granted.contains_key(key))
    }

    fn permit_if(
        &self,
        caller: Option<Caller>,
        access: Access,
        covers: impl Fn(&Intervals) -> bool,
    ) -> Result<(), Error> {
        if !self.enabled {
            return Ok(());
        }
        let caller = caller.ok_or(Error::UserEmpty)?;
        if caller.auth_revision < self.revision {
            return Err(Error::AuthOldRevision);
        }
        let grant = self.grants.get(&caller.user).ok_or(Error::PermissionDenied)?;
        let granted = grant.is_root
            || (!access.reads() || covers(&grant.reads)) && (!access.writes() || covers(&grant.writes));
        if granted { Ok(()) } else { Err(Error::PermissionDenied) }
    }

    /// Whether `user` has the role root (A2). Everybody counts as one who has while nothing is checked.
    ///
    /// Errors: UserEmpty without a user, UserNotFound, PermissionDenied.
    pub fn permit_admin(&self, user: Option<UserId>) -> Result<(), Error> {
        if !self.enabled {
            return Ok(());
        }
        let grant = self.grants.get(&user.ok_or(Error::UserEmpty)?).ok_or(Error::UserNotFound)?;
        if grant.is_root { Ok(()) } else { Err(Error::PermissionDenied) }
    }

    /// Whether there is a user at all, who must have shown a token that is valid. Errors: UserEmpty.
    pub fn permit_any(&self, user: Option<UserId>) -> Result<(), Error> {
        if self.enabled && user.is_none() { Err(Error::UserEmpty) } else { Ok(()) }
    }

    /// Whether `user` may look at the user called `name`: at itself, or with the role root (A10).
    /// Errors as those of [`Auth::permit_admin`].
    pub fn permit_user_get(&self, user: Option<UserId>, name: &str) -> Result<(), Error> {
        // Who is nobody has the empty name, as in etcd, and no user has it.
        let own = user.and_then(|id| self.user_by_id(id)).map_or("", |user| &user.name);
        let is_itself = own == name;
        if is_itself { Ok(()) } else { self.permit_admin(user) }
    }

    /// Whether `user` may look at the role called `name`: at one it has, or with the role root (A10).
    /// Errors as those of [`Auth::permit_admin`].
    pub fn permit_role_get(&self, user: Option<UserId>, name: &str) -> Result<(), Error> {
        let user_of = |id| self.user_by_id(id);
        let has_it = user.and_then(user_of).is_some_and(|user| user.roles.iter().any(|role| role == name));
        if has_it { Ok(()) } else { self.permit_admin(user) }
    }

    /// Begins to check requests.
    pub fn enable(&mut self) {
        (self.enabled, self.enabled_revision) = (true, self.revision);
    }

    /// Checks nothing any more.
    pub fn disable(&mut self) {
        self.enabled = false;
    }

    /// The next auth revision, which is the current one from here on.
    pub fn advance(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }

    /// Adds a user, or replaces the one of the same name; returns that.
    pub fn put_user(&mut self, user: User) -> Option<Arc<User>> {
        let grant = Arc::new(self.grant(&user));
        self.grants.insert(user.id, grant);
        self.users.insert(user.name.clone(), Arc::new(user))
    }

    /// Removes the user called `name`; returns it.
    pub fn remove_user(&mut self, name: &str) -> Option<Arc<User>> {
        let user = self.users.remove(name)?;
        self.grants.remove(&user.id);
        Some(user)
    }

    /// Adds a role, or replaces the one of the same name; returns that.
    pub fn put_role(&mut self, role: Role) -> Option<Arc<Role>> {
        let name = role.name.clone();
        let before = self.roles.insert(name.clone(), Arc::new(role));
        self.renew_grants(&name);
        before
    }

    /// Removes the role called `name`; returns it. Users that have it keep its name.
    pub fn remove_role(&mut self, name: &str) -> Option<Arc<Role>> {
        let role = self.roles.remove(name)?;
        self.renew_grants(name);
        Some(role)
    }

    fn renew_grants(&mut self, role: &str) {
        let has_it = |user: &&Arc<User>| user.roles.iter().any(|name| name == role);
        let users: Vec<Arc<User>> = self.users.values().filter(has_it).cloned().collect();
        for user in users {
            let grant = Arc::new(self.grant(&user));
            self.grants.insert(user.id, grant);
        }
    }

    fn grant(&self, user: &User) -> Grant {
        let permissions = || {
            let roles = user.roles.iter().filter_map(|name| self.roles.get(name));
            roles.flat_map(|role| &role.permissions)
        };
        let of = |allows: fn(Access) -> bool| {
            Intervals::new(permissions().filter(|one| allows(one.access)).map(|one| &one.range))
        };
        Grant {
            name: user.name.clone(),
            is_root: user.roles.iter().any(|role| role == ROOT),
            reads: of(Access::reads),
            writes: of(Access::writes),
        }
    }

    /// All of it, to be stored.
    pub fn record(&self) -> AuthRecord {
        AuthRecord {
            enabled: self.enabled,
            enabled_revision: self.enabled_revision,
            revision: self.revision,
            users: self.users().cloned().collect(),
            roles: self.roles().cloned().collect(),
        }
    }

    /// Takes over what was stored. Errors: the name of a user or role that is there twice or cannot be.
    pub fn restore(record: AuthRecord) -> Result<Auth, String> {
        let AuthRecord { enabled, enabled_revision, revision, users, roles } = record;
        let mut auth = Auth { enabled, enabled_revision, revision, ..Auth::default() };
        if revision == 0 || enabled_revision > revision {
            return Err(format!("auth revision {revision}"));
        }
        for role in roles {
            let name = role.name.clone();
            if name.is_empty() || auth.roles.insert(name.clone(), Arc::new(role)).is_some() {
                return Err(name);
            }
        }
        for user in users {
            let name = user.name.clone();
            let is_possible = !name.is_empty() && (2..=revision).contains(&user.id);
            if !is_possible || auth.grants.contains_key(&user.id) || auth.put_user(user).is_some() {
                return Err(name);
            }
        }
        if planted!(GrantsNotRestored) {
            auth.forget_grants();
        }
        Ok(auth)
    }

    /// The planted bug: what is derived is not made again.
    fn forget_grants(&mut self) {
        let none = |user: &User| {
            let (reads, writes) = (Intervals::default(), Intervals::default());
            Arc::new(Grant { name: user.name.clone(), is_root: false, reads, writes })
        };
        self.grants = self.users().map(|user| (user.id, none(user))).collect();
    }
}
