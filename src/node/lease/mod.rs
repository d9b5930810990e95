//! Leases: what clients ask for, and the keeper that moves the lease clock while this member leads.

mod keeper;
mod session;

pub(super) use keeper::keep;
pub use session::{KeepAliveSession, KeptAlive};

use std::time::Duration;

use bytes::Bytes;
use rand_chacha::rand_core::Rng;

use super::Node;
use super::api::{Header, RequestContext};
use crate::lease::Leases;
use crate::raft::ProposeError;
use crate::runtime::{Runtime, lock};
use crate::state::View;
use crate::types::limits::{MAX_LEASE_TTL_S, min_lease_ttl_s};
use crate::types::{Access, Command, Error, LeaseGrantResponse, LeaseId, LeaseTimeToLiveResponse};

/// How much later than the clock the lease is looked at, now and then, in simulation.
const LATE_LOOK: Duration = Duration::from_millis(2500);

/// What the lease clock shows, at least, to whoever sees `view`, when it showed `clock_ms` before. What
/// was applied since then may have renewed leases: by the older moment they had more than their TTL left.
fn clock_for(clock_ms: u64, view: &View) -> u64 {
    if planted!(TtlFromOlderMoment) {
        return clock_ms;
    }
    if planted!(TtlWithoutClock) && clock_ms == 0 {
        return 0;
    }
    clock_ms.max(view.leases().clock())
}

impl<R: Runtime> Node<R> {
    /// Lease.LeaseGrant (L1–L3): a lease of `ttl` seconds, raised to 1.5 election time-outs. With id
    /// 0 the member picks a positive one.
    ///
    /// Errors: LeaseExists, LeaseTtlTooLarge; as [`Node::propose`].
    pub async fn lease_grant(
        &self,
        id: LeaseId,
        ttl: i64,
        context: RequestContext,
    ) -> Result<(LeaseGrantResponse, Header), Error> {
        if ttl > MAX_LEASE_TTL_S {
            return Err(Error::LeaseTtlTooLarge);
        }
        let ttl = ttl.max(min_lease_ttl_s(self.inner.config.election_timeout_ms));
        let id = if id == 0 { self.pick_lease_id() } else { id };
        let (_, header) = self.propose(Command::LeaseGrant { id, ttl }, context).await?;
        Ok((LeaseGrantResponse { id, ttl }, header))
    }

    /// Lease.LeaseRevoke (L4): ends the lease and deletes its keys, in one revision.
    ///
    /// Errors: LeaseNotFound; as [`Node::propose`].
    pub async fn lease_revoke(&self, id: LeaseId, context: RequestContext) -> Result<Header, Error> {
        let (_, header) = self.propose(Command::LeaseRevoke { id }, context).await?;
        Ok(header)
    }

    /// One message of Lease.LeaseKeepAlive (L5): the lease runs its whole TTL from now on, durably.
    /// Answers the granted TTL in seconds, 0 if there is no such lease; the header is as it was
    /// before. Renewing twice is no more than once, so it is tried again until the deadline.
    ///
    /// Errors: Timeout, DeadlineExceeded, Stopped; UserEmpty or PermissionDenied for who may not change
    /// its keys (A8).
    pub async fn lease_keep_alive(
        &self,
        id: LeaseId,
        context: RequestContext,
    ) -> Result<(i64, Header), Error> {
        let view = self.view();
        view.permit_lease(context.login, id, Access::Write)?;
        let header = self.header(view.revision());
        drop(view);
        let renewed = self.inner.engine.renew(id, self.deadline(context)).await;
        Ok((renewed.map_err(|error| self.lease_error(error, context))?, header))
    }

    /// Lease.LeaseTimeToLive (L6): what `id` has left by the leader's clock, `None` if there is no
    /// such lease; with its keys if `keys`. Linearizable.
    ///
    /// Errors: Timeout, DeadlineExceeded, Stopped; with `keys` PermissionDenied for who may not see all
    /// of them (MA14).
    pub async fn lease_time_to_live(
        &self,
        id: LeaseId,
        keys: bool,
        context: RequestContext,
    ) -> Result<(Option<LeaseTimeToLiveResponse>, Header), Error> {
        let deadline = self.deadline(context);
        let fail = |error| self.lease_error(error, context);
        let moment = self.inner.engine.lease_moment(deadline).await.map_err(fail)?;
        if let Some(index) = moment.index {
            self.inner.engine.wait_applied(index, deadline).await.map_err(fail)?;
        }
        if buggify!("late look at a lease") {
            R::sleep(LATE_LOOK).await;
        }
        let view = self.view();
        if keys {
            view.permit_lease(context.login, id, Access::Read)?;
        }
        let clock_ms = clock_for(moment.clock_ms, &view);
        let response = view.leases().get(id).map(|lease| LeaseTimeToLiveResponse {
            ttl: i64::try_from(Leases::remaining_ms(lease, clock_ms) / 1000).unwrap_or(i64::MAX),
            granted_ttl: lease.ttl(),
            keys: if keys {
                lease.keys().map(|record| Bytes::copy_from_slice(record.key())).collect()
            } else {
                Vec::new()
            },
        });
        Ok((response, self.header(view.revision())))
    }

    /// Lease.LeaseLeases (L7): this member's leases by expiry, possibly stale. Errors: UserEmpty,
    /// PermissionDenied for who may not see all keys of all of them (MA14).
    pub fn leases(&self, context: RequestContext) -> Result<(Vec<LeaseId>, Header), Error> {
        let view = self.view();
        view.auth().permit_any(view.user_of(context.login)?)?;
        let ids = view.leases().by_expiry();
        view.permit_leases(context.login, &ids)?;
        Ok((ids, self.header(view.revision())))
    }

    /// This member's revision, if nobody's permissions are looked at.
    fn unchecked_revision(&self) -> Option<i64> {
        let hub = self.inner.visible.hub();
        let view = hub.history();
        (!view.auth().is_enabled()).then(|| view.revision())
    }

    fn pick_lease_id(&self) -> LeaseId {
        let mut rng = lock(&self.inner.lease_ids);
        loop {
            let id = (rng.next_u64() >> 1).cast_signed();
            if id != 0 {
                return id;
            }
        }
    }

    fn lease_error(&self, error: ProposeError, context: RequestContext) -> Error {
        match error {
            ProposeError::Stopped => Error::Stopped,
            ProposeError::NoLeader | ProposeError::Unknown => self.timed_out(context),
        }
    }
}
