//! Users and roles: what clients ask for, and who a token names.

mod password;
mod tokens;

pub(super) use password::Hashing;
pub(super) use tokens::Tokens;

use password::MAX_GIVEN_COST;
use rand_chacha::rand_core::Rng;
use tokens::split;

use super::Node;
use super::api::{Header, RequestContext};
use crate::raft::ProposeError;
use crate::runtime::{Runtime, timeout};
use crate::types::{AuthCommand, Command, Error, Login, Permission, Response};

/// Letters in the secret part of a token (A14).
const TOKEN_LETTERS: usize = 16;
const LETTERS: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// A password as it was given (A18).
pub enum Password {
    /// Itself.
    Plain(String),
    /// Its bcrypt hash.
    Hash(Vec<u8>),
}

impl<R: Runtime> Node<R> {
    /// Whom `token` names; nobody while nothing is checked. Waits until this member has applied the
    /// entry that gave it out.
    ///
    /// Errors: InvalidAuthToken (A5), Stopped.
    pub async fn identify(&self, token: &str, context: RequestContext) -> Result<Option<Login>, Error> {
        if !self.view().auth().is_enabled() {
            return Ok(None);
        }
        let (letters, index) = split(token).ok_or(Error::InvalidAuthToken)?;
        let mut given = self.inner.tokens().use_one(letters, R::now());
        if given.is_none() {
            match self.inner.engine.wait_applied(index, self.deadline(context)).await {
                Ok(()) => given = self.inner.tokens().use_one(letters, R::now()),
                Err(ProposeError::Stopped) => return Err(Error::Stopped),
                Err(_) => {}
            }
        }
        let given = given.filter(|given| given.index == index).ok_or(Error::InvalidAuthToken)?;
        let login = Login { user: given.user, since: given.auth_revision };
        // What voids tokens is looked at again where the request is answered.
        Ok(self.view().user_of(Some(login))?.map(|_| login))
    }

    /// Whether the client has the role root, as this member knows. Errors: UserEmpty, UserNotFound,
    /// PermissionDenied, InvalidAuthToken.
    pub fn permit_admin(&self, context: RequestContext) -> Result<(), Error> {
        let view = self.view();
        view.auth().permit_admin(view.user_of(context.login)?)
    }

    /// Whether the client is anybody at all. Errors: UserEmpty, InvalidAuthToken.
    pub fn permit_any(&self, context: RequestContext) -> Result<(), Error> {
        let view = self.view();
        view.auth().permit_any(view.user_of(context.login)?)
    }

    /// Auth.Authenticate: a token for the user `name`, if that is its password (A13).
    ///
    /// Errors: AuthNotEnabled, AuthFailed, NoPasswordUser; as [`Node::propose`].
    pub async fn authenticate(
        &self,
        name: String,
        password: String,
        context: RequestContext,
    ) -> Result<(String, Header), Error> {
        loop {
            let view = self.read_barrier(context).await?;
            let auth = view.auth();
            if !auth.is_enabled() {
                return Err(Error::AuthNotEnabled);
            }
            let user = auth.user(&name).ok_or(Error::AuthFailed)?;
            if user.no_password {
                return Err(Error::NoPasswordUser);
            }
            let (auth_revision, hash, given) =
                (auth.revision(), user.password_hash.clone(), password.clone());
            if !self.hashing(context, move || password::is_right(&given, &hash)).await? {
                tracing::warn!(user = name, "a wrong password was given");
                return Err(Error::AuthFailed);
            }
            let command =
                AuthCommand::Authenticate { name: name.clone(), auth_revision, letters: self.pick_letters() };
            match self.propose(Command::Auth(command), context).await {
                // Users changed since the password was looked at: perhaps this one's.
                Err(Error::AuthOldRevision) => {}
                Err(error) => return Err(error),
                Ok((Response::Authenticated { letters, .. }, header)) => {
                    let given = self.inner.tokens().use_one(&letters, R::now());
                    let index = given.ok_or(Error::InvalidAuthToken)?.index;
                    return Ok((format!("{letters}.{index}"), header));
                }
                Ok((other, _)) => super::propose::unexpected(&other),
            }
        }
    }

    /// Auth.UserAdd. Errors: UserEmpty, UserAlreadyExist, PasswordTooLong; as [`Node::auth_change`].
    pub async fn user_add(
        &self,
        name: String,
        password: Option<Password>,
        context: RequestContext,
    ) -> Result<Header, Error> {
        let no_password = password.is_none();
        let password_hash = match password {
            Some(password) => self.hash(password, context).await?,
            None => Vec::new(),
        };
        self.auth_change(AuthCommand::UserAdd { name, password_hash, no_password }, context).await
    }

    /// Auth.UserChangePassword. Errors: UserNotFound, PasswordTooLong; as [`Node::auth_change`].
    pub async fn user_change_password(
        &self,
        name: String,
        password: Password,
        context: RequestContext,
    ) -> Result<Header, Error> {
        let password_hash = self.hash(password, context).await?;
        self.auth_change(AuthCommand::UserChangePassword { name, password_hash }, context).await
    }

    /// Any change of users and roles, with its passwords hashed.
    ///
    /// Errors: what the change says; UserEmpty, UserNotFound or PermissionDenied for who may not; as
    /// [`Node::propose`].
    pub async fn auth_change(&self, command: AuthCommand, context: RequestContext) -> Result<Header, Error> {
        self.propose(Command::Auth(command), context).await.map(|(_, header)| header)
    }

    /// Auth.AuthStatus: whether requests are checked, and the auth revision.
    pub async fn auth_status(&self, context: RequestContext) -> Result<(bool, u64, Header), Error> {
        let view = self.read_barrier(context).await?;
        Ok((view.auth().is_enabled(), view.auth().revision(), self.header(view.revision())))
    }

    /// Auth.UserGet: the roles of `name` (A10). Errors: UserNotFound; who may not; as a read.
    pub async fn user_get(
        &self,
        name: &str,
        context: RequestContext,
    ) -> Result<(Vec<String>, Header), Error> {
        let view = self.read_barrier(context).await?;
        view.auth().permit_user_get(view.user_of(context.login)?, name)?;
        let user = view.auth().user(name).ok_or(Error::UserNotFound)?;
        Ok((user.roles.clone(), self.header(view.revision())))
    }

    /// Auth.RoleGet: the permissions of `name` (A10), `None` for the role that has all. Errors:
    /// RoleNotFound; who may not; as a read.
    pub async fn role_get(
        &self,
        name: &str,
        context: RequestContext,
    ) -> Result<(Option<Vec<Permission>>, Header), Error> {
        let view = self.read_barrier(context).await?;
        view.auth().permit_role_get(view.user_of(context.login)?, name)?;
        let role = view.auth().role(name).ok_or(Error::RoleNotFound)?;
        let permissions = (name != crate::auth::ROOT).then(|| role.permissions.clone());
        Ok((permissions, self.header(view.revision())))
    }

    /// Auth.UserList. Errors: who may not; as a read.
    pub async fn user_list(&self, context: RequestContext) -> Result<(Vec<String>, Header), Error> {
        let view = self.read_barrier(context).await?;
        view.auth().permit_admin(view.user_of(context.login)?)?;
        let names = view.auth().users().map(|user| user.name.clone()).collect();
        Ok((names, self.header(view.revision())))
    }

    /// Auth.RoleList. Errors: who may not; as a read.
    pub async fn role_list(&self, context: RequestContext) -> Result<(Vec<String>, Header), Error> {
        let view = self.read_barrier(context).await?;
        view.auth().permit_admin(view.user_of(context.login)?)?;
        let names = view.auth().roles().map(|role| role.name.clone()).collect();
        Ok((names, self.header(view.revision())))
    }

    /// Of a password for a user. Looks first whether the client may set it. Errors: UserEmpty,
    /// UserNotFound, PermissionDenied; PasswordTooLong; InvalidAuthMgmt for a given hash of too many rounds.
    async fn hash(&self, password: Password, context: RequestContext) -> Result<Vec<u8>, Error> {
        self.permit_admin(context)?;
        let own = self.inner.config.bcrypt_cost;
        let plain = match password {
            Password::Hash(hash)
                if password::cost(&hash).is_some_and(|cost| cost > own.max(MAX_GIVEN_COST)) =>
            {
                return Err(Error::InvalidAuthMgmt);
            }
            Password::Hash(hash) => return Ok(hash),
            Password::Plain(plain) => plain,
        };
        let mut salt = [0; 16];
        self.inner.secrets().fill_bytes(&mut salt);
        self.hashing(context, move || password::hash(&plain, own, salt)).await?
    }

    /// Runs what is slow on purpose off the thread, one at a time. Errors: TooManyRequests, Timeout,
    /// DeadlineExceeded, Stopped.
    async fn hashing<T: Send + 'static>(
        &self,
        context: RequestContext,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let done = async {
            let turn = self.inner.hashing.turn().await?;
            let done = R::spawn_blocking("password", work).await.map_err(|_| Error::Stopped);
            drop(turn);
            done
        };
        let in_time = timeout::<R, _>(self.deadline(context) - R::now(), done).await;
        in_time.unwrap_or_else(|| Err(self.timed_out(context)))
    }

    fn pick_letters(&self) -> String {
        let mut rng = self.inner.secrets();
        // The top of 64 bits times 52: no letter is likelier than another by more than 2^-58.
        let letter = |word: u64| LETTERS[((u128::from(word) * 52) >> 64) as usize] as char;
        (0..TOKEN_LETTERS).map(|_| letter(rng.next_u64())).collect()
    }
}
