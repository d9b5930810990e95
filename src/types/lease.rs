//! A lease as it is stored: what belongs to it besides its keys.

use super::LeaseId;

/// One granted lease. Which keys it holds is said by their records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseRecord {
    /// Its id, never 0, negative ones included.
    pub id: LeaseId,
    /// Granted time to live in seconds.
    pub ttl: i64,
    /// When it ends, in milliseconds of the replicated lease clock; `None` until the first tick
    /// after its grant, which settles it.
    pub deadline: Option<u64>,
}
