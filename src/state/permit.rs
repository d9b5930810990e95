//! Who may change what, decided when it is applied: by the log alone, so on all members alike (#14571).
//!
//! What a request does to keys follows from the request, nested transactions and both branches
//! included (T14); what a lease does, from the keys on it (A8).

use super::State;
use super::View;
use crate::types::{
    Access, AuthCommand, Caller, Command, DeleteRangeRequest, Envelope, Error, KeyRange, LeaseId, Login,
    PutRequest, RequestOp, TxnRequest, UserId,
};

impl State {
    /// Whether the caller may do it. Commands that only members make are not asked for; what concerns no
    /// keys (a grant, a compaction) is looked at where the client asks for it, as in etcd.
    pub(super) fn permit(&self, envelope: &Envelope) -> Result<(), Error> {
        if !self.auth.is_enabled() {
            return Ok(());
        }
        let caller = envelope.caller;
        match &envelope.command {
            Command::Put(_) | Command::DeleteRange(_) | Command::Txn(_)
                if planted!(WriteNotPermittedAtApply) =>
            {
                Ok(())
            }
            Command::Put(put) => self.permit_put(caller, put),
            Command::DeleteRange(delete) => self.permit_delete(caller, delete),
            Command::Txn(txn) => self.permit_txn(caller, txn),
            Command::LeaseRevoke { id } => {
                self.auth.permit_any(caller.map(|caller| caller.user))?;
                self.permit_lease(caller, *id, Access::Write)
            }
            Command::Auth(AuthCommand::Authenticate { .. }) => Ok(()),
            Command::Auth(_) => self.permit_admin(caller),
            // The leader itself compacts as nobody.
            Command::Compaction(_) if caller.is_some() => self.permit_admin(caller),
            Command::Compaction(_)
            | Command::RaiseLevel(_)
            | Command::Publish(_)
            | Command::LeaseGrant { .. }
            | Command::LeaseTick(_) => Ok(()),
        }
    }

    /// For root, by a token that is still good here (A2). Errors: as those of `Auth::permit_admin`;
    /// AuthOldRevision if something voided it since it was looked at.
    fn permit_admin(&self, caller: Option<Caller>) -> Result<(), Error> {
        self.auth.permit_admin(caller.map(|caller| caller.user))?;
        let is_void = caller.is_some_and(|one| !self.auth.is_valid_token(one.user, one.auth_revision));
        if is_void { Err(Error::AuthOldRevision) } else { Ok(()) }
    }

    /// A8: who may not change the other keys of a lease could not revoke it either. A9.
    fn permit_put(&self, caller: Option<Caller>, put: &PutRequest) -> Result<(), Error> {
        let reads = put.prev_kv && !planted!(PrevKvNotPermitted);
        let access = if reads { Access::ReadWrite } else { Access::Write };
        self.auth.permit_key(caller, &put.key, access)?;
        if put.lease == 0 { Ok(()) } else { self.permit_lease(caller, put.lease, Access::Write) }
    }

    /// A9.
    fn permit_delete(&self, caller: Option<Caller>, delete: &DeleteRangeRequest) -> Result<(), Error> {
        let access = if delete.prev_kv { Access::ReadWrite } else { Access::Write };
        self.auth.permit(caller, &delete.range, access)
    }

    /// T14.
    fn permit_txn(&self, caller: Option<Caller>, txn: &TxnRequest) -> Result<(), Error> {
        for compare in &txn.compare {
            self.auth.permit(caller, &compare.range, Access::Read)?;
        }
        for op in txn.success.iter().chain(&txn.failure) {
            match op {
                RequestOp::Range(range) => self.auth.permit(caller, &range.range, Access::Read)?,
                RequestOp::Put(put) => self.permit_put(caller, put)?,
                RequestOp::DeleteRange(delete) => self.permit_delete(caller, delete)?,
                RequestOp::Txn(_) if planted!(NestedTxnNotPermitted) => {}
                RequestOp::Txn(nested) => self.permit_txn(caller, nested)?,
            }
        }
        Ok(())
    }

    /// `access` to every key of the lease; nothing is needed for one that does not exist.
    fn permit_lease(&self, caller: Option<Caller>, id: LeaseId, access: Access) -> Result<(), Error> {
        if self.permit_admin(caller).is_ok() {
            return Ok(());
        }
        let Some(lease) = self.leases.get(id) else { return Ok(()) };
        lease.keys().try_for_each(|record| self.auth.permit_key(caller, record.key(), access))
    }
}

/// What concerns one view: whoever asks does so at its auth revision, so that it is never old.
impl View {
    /// Whom `login` names here; nobody while nothing is checked. Errors: InvalidAuthToken if something
    /// voided the token since it was given out.
    pub fn user_of(&self, login: Option<Login>) -> Result<Option<UserId>, Error> {
        let auth = &self.0.auth;
        match login.filter(|_| auth.is_enabled()) {
            None => Ok(None),
            Some(Login { user, since }) if auth.is_valid_token(user, since) => Ok(Some(user)),
            Some(_) => Err(Error::InvalidAuthToken),
        }
    }

    fn caller(&self, login: Option<Login>) -> Result<Option<Caller>, Error> {
        let auth_revision = self.0.auth.revision();
        Ok(self.user_of(login)?.map(|user| Caller { user, auth_revision }))
    }

    /// Whether `login` may see the keys of `range`. Errors: UserEmpty, PermissionDenied, InvalidAuthToken.
    pub fn permit_range(&self, login: Option<Login>, range: &KeyRange) -> Result<(), Error> {
        self.0.auth.permit(self.caller(login)?, range, Access::Read)
    }

    /// Whether `login` may do all that `txn` does. Errors as those of [`View::permit_range`].
    pub fn permit_txn(&self, login: Option<Login>, txn: &TxnRequest) -> Result<(), Error> {
        if !self.0.auth.is_enabled() {
            return Ok(());
        }
        self.0.permit_txn(self.caller(login)?, txn)
    }

    /// Whether `login` may see every key of all `leases` (MA14). Errors as those of
    /// [`View::permit_range`].
    pub fn permit_leases(&self, login: Option<Login>, leases: &[LeaseId]) -> Result<(), Error> {
        let user = self.user_of(login)?;
        if !self.0.auth.is_enabled() || self.0.auth.permit_admin(user).is_ok() {
            return Ok(());
        }
        self.0.auth.permit_any(user)?;
        leases.iter().try_for_each(|id| self.permit_lease(login, *id, Access::Read))
    }

    /// Whether `login` may do `access` to every key of lease `id` (A8, MA14). Errors as those of
    /// [`View::permit_range`].
    pub fn permit_lease(&self, login: Option<Login>, id: LeaseId, access: Access) -> Result<(), Error> {
        if !self.0.auth.is_enabled() {
            return Ok(());
        }
        let caller = self.caller(login)?;
        self.0.auth.permit_any(caller.map(|caller| caller.user))?;
        self.0.permit_lease(caller, id, access)
    }
}
