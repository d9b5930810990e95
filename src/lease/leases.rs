//! Granted leases, their deadlines in the replicated clock, and the keys attached to them.

use std::num::NonZeroU64;

use im::{OrdMap, OrdSet};

use super::keys::Keys;
use crate::types::limits::{LEASE_GRACE_MS, MAX_LEASE_TTL_S};
use crate::types::{Error, KeyValue, LeaseId, LeaseRecord};

/// One lease.
#[derive(Clone, Debug)]
pub struct Lease {
    ttl: i64,
    deadline: Option<NonZeroU64>,
    /// Where a settled lease stands in `due`: at its deadline or before it.
    look_at: u64,
    keys: Keys,
}

impl Lease {
    /// Granted TTL in seconds.
    pub fn ttl(&self) -> i64 {
        self.ttl
    }

    /// When it ends, in milliseconds of the lease clock; `None` until a tick settles it.
    pub fn deadline(&self) -> Option<u64> {
        self.deadline.map(NonZeroU64::get)
    }

    /// The attached keys in key order, as the records that attached them.
    pub fn keys(&self) -> impl Iterator<Item = &KeyValue> {
        self.keys.iter()
    }

    /// What is stored of it under `id`.
    pub fn record(&self, id: LeaseId) -> LeaseRecord {
        LeaseRecord { id, ttl: self.ttl, deadline: self.deadline() }
    }

    /// The deadline if it began to run when the clock showed `clock`.
    fn deadline_from(&self, clock: u64) -> u64 {
        let ttl_ms = u64::try_from(self.ttl).unwrap_or(0).saturating_mul(1000);
        clock.saturating_add(ttl_ms).saturating_add(LEASE_GRACE_MS)
    }
}

/// All granted leases and the clock they end by. A clone copies a few pointers.
#[derive(Clone, Debug, Default)]
pub struct Leases {
    clock: u64,
    term: u64,
    by_id: OrdMap<LeaseId, Lease>,
    /// Settled leases by when the clock is to look at them. Each stands here once. A renewal leaves it
    /// where it is; when the clock gets there it is moved to its deadline.
    due: OrdSet<(u64, LeaseId)>,
    /// Leases granted since the last tick.
    fresh: OrdSet<LeaseId>,
}

impl Leases {
    /// What the clock shows, in milliseconds.
    pub fn clock(&self) -> u64 {
        self.clock
    }

    /// The term of the last tick.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Whether some were granted since the last tick.
    pub fn has_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// No settled lease ends before the clock shows this, and a tick that does has to look. `None` if
    /// there is none.
    pub fn next_look(&self) -> Option<u64> {
        self.due.get_min().map(|(at, _)| *at)
    }

    /// How many looks wait.
    #[cfg(test)]
    pub fn looks(&self) -> usize {
        self.due.len()
    }

    /// Adds a lease (L1, L2). The id 0 means "no lease" and cannot be granted.
    pub fn grant(&mut self, id: LeaseId, ttl: i64) -> Result<(), Error> {
        if id == 0 {
            return Err(Error::LeaseNotFound);
        }
        if ttl > MAX_LEASE_TTL_S {
            return Err(Error::LeaseTtlTooLarge);
        }
        if self.by_id.contains_key(&id) {
            return Err(Error::LeaseExists);
        }
        self.by_id.insert(id, Lease { ttl, deadline: None, look_at: 0, keys: Keys::None });
        self.fresh.insert(id);
        Ok(())
    }

    /// Takes a lease away and returns it; deleting its keys is the caller's part (L4).
    pub fn revoke(&mut self, id: LeaseId) -> Result<Lease, Error> {
        let lease = self.by_id.remove(&id).ok_or(Error::LeaseNotFound)?;
        match lease.deadline() {
            Some(_) => drop(self.due.remove(&(lease.look_at, id))),
            None => drop(self.fresh.remove(&id)),
        }
        Ok(lease)
    }

    /// Moves the clock; it never goes back. Errors: NotLeader for a tick of a leader that a later
    /// one has replaced.
    pub fn advance(&mut self, term: u64, clock: u64) -> Result<(), Error> {
        if term < self.term && !planted!(DeposedLeaderTicks) {
            return Err(Error::NotLeader);
        }
        self.term = term;
        self.clock = self.clock.max(clock);
        Ok(())
    }

    /// Takes the leases granted since the last tick, by id; each must be renewed, which settles it.
    pub fn take_fresh(&mut self) -> Vec<LeaseId> {
        std::mem::take(&mut self.fresh).into_iter().collect()
    }

    /// Lets a lease run its whole TTL from now on, unless it was due when the clock showed `before`.
    /// Returns what is stored of it before and after.
    pub fn renew(&mut self, id: LeaseId, before: u64) -> Option<(LeaseRecord, LeaseRecord)> {
        let clock = self.clock;
        let lease = self.by_id.get_mut(&id)?;
        let old = lease.record(id);
        if old.deadline.is_some_and(|deadline| deadline <= before) {
            return None;
        }
        let deadline = lease.deadline_from(clock);
        // Never less than before: the clock does not go back.
        lease.deadline = NonZeroU64::new(deadline);
        if old.deadline.is_none() {
            lease.look_at = deadline;
            self.due.insert((deadline, id));
        } else if planted!(RenewalLosesTimer) && old.deadline == Some(deadline) {
            self.due.remove(&(lease.look_at, id));
        }
        Some((old, LeaseRecord { deadline: Some(deadline), ..old }))
    }

    /// The settled lease that ended first, if the clock has reached its deadline.
    pub fn first_due(&mut self) -> Option<LeaseId> {
        while let Some(&(at, id)) = self.due.get_min().filter(|(at, _)| *at <= self.clock) {
            let Some(lease) = self.by_id.get_mut(&id) else { unreachable!("lease {id} is due and gone") };
            match lease.deadline() {
                Some(deadline) if deadline > at => {
                    lease.look_at = deadline;
                    self.due.remove(&(at, id));
                    self.due.insert((deadline, id));
                }
                _ => return Some(id),
            }
        }
        None
    }

    /// The lease `id`.
    pub fn get(&self, id: LeaseId) -> Option<&Lease> {
        self.by_id.get(&id)
    }

    /// Attaches the key of `record` to the lease in it, if there is one. False if that lease does
    /// not exist.
    pub fn attach(&mut self, record: &KeyValue) -> bool {
        let id = record.fields().lease;
        if id == 0 {
            return true;
        }
        let lease = self.by_id.get_mut(&id);
        lease.map(|lease| lease.keys.insert(record.clone())).is_some()
    }

    /// Detaches the key of `record` from the lease in it (P8, L13).
    pub fn detach(&mut self, record: &KeyValue) {
        let id = record.fields().lease;
        if id != 0
            && let Some(lease) = self.by_id.get_mut(&id)
        {
            lease.keys.remove(record.key());
        }
    }

    /// Ids and leases, by id.
    pub fn iter(&self) -> impl Iterator<Item = (LeaseId, &Lease)> {
        self.by_id.iter().map(|(id, lease)| (*id, lease))
    }

    /// What is stored, by id.
    pub fn records(&self) -> impl Iterator<Item = LeaseRecord> {
        self.iter().map(|(id, lease)| lease.record(id))
    }

    /// The ids by expiry (L7); those not settled yet as if they were settled now.
    pub fn by_expiry(&self) -> Vec<LeaseId> {
        let end = |lease: &Lease| lease.deadline().unwrap_or_else(|| lease.deadline_from(self.clock));
        let mut all: Vec<(u64, LeaseId)> = self.iter().map(|(id, lease)| (end(lease), id)).collect();
        all.sort_unstable();
        all.into_iter().map(|(_, id)| id).collect()
    }

    /// Milliseconds that `lease` has left when the clock shows `clock`; its whole TTL if it is not
    /// settled yet.
    pub fn remaining_ms(lease: &Lease, clock: u64) -> u64 {
        let end = lease.deadline().unwrap_or_else(|| lease.deadline_from(clock));
        end.saturating_sub(clock).saturating_sub(LEASE_GRACE_MS)
    }

    /// The table of its parts. `Err` names a lease that is there twice or cannot exist.
    pub fn restore(
        clock: u64,
        term: u64,
        records: impl IntoIterator<Item = LeaseRecord>,
    ) -> Result<Leases, LeaseId> {
        let mut leases = Leases { clock, term, ..Leases::default() };
        for LeaseRecord { id, ttl, deadline } in records {
            if planted!(NegativeLeaseLost) && id < 0 {
                continue;
            }
            leases.grant(id, ttl).map_err(|_| id)?;
            if let Some(deadline) = deadline {
                leases.fresh.remove(&id);
                let lease = leases.by_id.get_mut(&id).ok_or(id)?;
                lease.deadline = Some(NonZeroU64::new(deadline).ok_or(id)?);
                lease.look_at = deadline;
                leases.due.insert((deadline, id));
            }
        }
        Ok(leases)
    }
}
