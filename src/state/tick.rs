//! Leases: grants, revokes, and the steps of their clock.

use super::digest;
use super::machine::State;
use crate::mvcc::Write;
use crate::types::limits::{MAX_TICK_EXPIRED_KEYS, MAX_TICK_EXPIRIES};
use crate::types::{Error, Event, KeyValue, LeaseId, LeaseTick, LeaseTickResponse, Response};

impl State {
    pub(super) fn grant(&mut self, id: LeaseId, ttl: i64) -> Result<Response, Error> {
        self.leases.grant(id, ttl)?;
        if let Some(lease) = self.leases.get(id) {
            self.accumulators.add(digest::lease(&lease.record(id)));
        }
        self.touched_leases.push(id);
        Ok(Response::Done)
    }

    /// L4, W26: the lease and all its keys in one revision, by key.
    pub(super) fn revoke(&mut self, id: LeaseId, write: &mut Write) -> Result<Response, Error> {
        let lease = self.leases.revoke(id)?;
        self.accumulators.remove(digest::lease(&lease.record(id)));
        self.touched_leases.push(id);
        for record in lease.keys() {
            self.store.delete(write, record.key());
        }
        Ok(Response::Done)
    }

    /// One step of the lease clock: it moves, what was granted since the last step begins to run,
    /// what was kept alive runs anew, and what is due ends: bounded in leases and keys, each lease
    /// under its own revision. What is left over ends with the next step. Leases that were renewed since
    /// the clock was to look at them are moved to their deadlines, as many as there are.
    pub(super) fn tick(&mut self, tick: &LeaseTick, events: &mut Vec<Event>) -> Result<Response, Error> {
        let before = self.leases.clock();
        self.leases.advance(tick.term, tick.clock_ms)?;
        let fresh = self.leases.take_fresh();
        for id in &fresh {
            self.renew(*id, before);
        }
        let early = if planted!(KeysGoBeforeLease) { self.empty_first_due(events) } else { None };
        let unknown = |id: &LeaseId| planted!(FreshLeaseUnknown) && fresh.contains(id);
        let ttls =
            tick.renewed.iter().map(|id| if unknown(id) { 0 } else { self.renew(*id, before) }).collect();
        let mut expired = self.expire(events);
        if let Some(id) = early.filter(|id| !expired.contains(id)) {
            expired.push(id);
        }
        Ok(Response::LeaseTick(LeaseTickResponse { ttls, expired }))
    }

    /// The granted TTL, 0 if there is no such lease.
    fn renew(&mut self, id: LeaseId, before: u64) -> i64 {
        let Some((old, new)) = self.leases.renew(id, before) else { return 0 };
        self.accumulators.remove(digest::lease(&old));
        self.accumulators.add(digest::lease(&new));
        self.touched_leases.push(id);
        new.ttl
    }

    /// The first half of the planted end in two steps: the keys of the lease that is due go.
    fn empty_first_due(&mut self, events: &mut Vec<Event>) -> Option<LeaseId> {
        let id = self.leases.first_due()?;
        let records: Vec<KeyValue> = self.leases.get(id)?.keys().cloned().collect();
        let mut write = Write::default();
        records.iter().for_each(|record| self.store.delete(&mut write, record.key()));
        events.extend(self.commit(write));
        Some(id)
    }

    fn expire(&mut self, events: &mut Vec<Event>) -> Vec<LeaseId> {
        let mut expired = Vec::new();
        while expired.len() < MAX_TICK_EXPIRIES
            && events.len() < MAX_TICK_EXPIRED_KEYS
            && let Some(id) = self.leases.first_due()
        {
            let mut write = Write::default();
            // It exists: it was just found.
            let _ = self.revoke(id, &mut write);
            events.extend(self.commit(write));
            expired.push(id);
        }
        expired
    }

    /// The leases that changed since the last call, in order of change, perhaps more than once: what
    /// a checkpoint must write again.
    pub fn take_touched_leases(&mut self) -> Vec<LeaseId> {
        std::mem::take(&mut self.touched_leases)
    }
}
