//! Granted leases and the keys attached to them.

use im::{OrdMap, OrdSet};

use crate::types::{ByKey, Error, KeyValue, LeaseId};

/// Longest TTL in seconds (L2).
pub const MAX_TTL_S: i64 = 9_000_000_000;

/// One lease.
#[derive(Clone, Debug)]
pub struct Lease {
    ttl: i64,
    keys: OrdSet<ByKey>,
}

impl Lease {
    /// Granted TTL in seconds.
    pub fn ttl(&self) -> i64 {
        self.ttl
    }

    /// The attached keys in key order, as the records that attached them.
    pub fn keys(&self) -> impl Iterator<Item = &KeyValue> {
        self.keys.iter().map(|record| &record.0)
    }
}

/// All granted leases. A clone copies a pointer.
#[derive(Clone, Debug, Default)]
pub struct Leases(OrdMap<LeaseId, Lease>);

impl Leases {
    /// Adds a lease (L1, L2). The id 0 means "no lease" and cannot be granted.
    pub fn grant(&mut self, id: LeaseId, ttl: i64) -> Result<(), Error> {
        if id == 0 {
            return Err(Error::LeaseNotFound);
        }
        if ttl > MAX_TTL_S {
            return Err(Error::LeaseTtlTooLarge);
        }
        if self.0.contains_key(&id) {
            return Err(Error::LeaseExists);
        }
        self.0.insert(id, Lease { ttl, keys: OrdSet::new() });
        Ok(())
    }

    /// Takes a lease away and returns it; deleting its keys is the caller's part (L4).
    pub fn revoke(&mut self, id: LeaseId) -> Result<Lease, Error> {
        self.0.remove(&id).ok_or(Error::LeaseNotFound)
    }

    /// The lease `id`.
    pub fn get(&self, id: LeaseId) -> Option<&Lease> {
        self.0.get(&id)
    }

    /// Attaches the key of `record` to the lease in it, if there is one. False if that lease does
    /// not exist.
    pub fn attach(&mut self, record: &KeyValue) -> bool {
        let id = record.fields().lease;
        if id == 0 {
            return true;
        }
        let lease = self.0.get_mut(&id);
        lease.map(|lease| lease.keys.insert(ByKey(record.clone()))).is_some()
    }

    /// Detaches the key of `record` from the lease in it (P8, L13).
    pub fn detach(&mut self, record: &KeyValue) {
        let id = record.fields().lease;
        if id != 0
            && let Some(lease) = self.0.get_mut(&id)
        {
            lease.keys.remove(record.key());
        }
    }

    /// Ids and leases, by id.
    pub fn iter(&self) -> impl Iterator<Item = (LeaseId, &Lease)> {
        self.0.iter().map(|(id, lease)| (*id, lease))
    }
}
