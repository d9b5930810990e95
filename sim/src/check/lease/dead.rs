//! Dead: once a lease has ended nothing keeps it alive and nothing finds it.

use super::super::violation::{Checked, violation};
use super::{Asked, Leases, Life};

impl Life {
    /// It ended by itself at the step of the clock at `index`.
    pub(super) fn was_not_just_renewed(&self, id: i64, index: u64) -> Checked {
        if self.renewals > 0 && self.renewed == index {
            violation!("lease-dead", "entry {index} renewed lease {id} and ended it");
        }
        Ok(())
    }
}

impl Leases {
    /// The step of the clock at `index` says that it renewed lease `id`.
    pub(super) fn is_renewable(&self, id: i64, index: u64) -> Checked {
        if !self.live.contains(&id) {
            let ended = self.last(id).and_then(|life| life.ended);
            violation!("lease-dead", "entry {index} renewed lease {id}, which ended with {ended:?}");
        }
        Ok(())
    }

    /// What a member lists at `revision`, perhaps late: each lease was granted, and none is listed
    /// at a revision after its end.
    pub(super) fn were_there(&self, ids: &[i64], revision: i64) -> Checked {
        for id in ids {
            let lives = self.lives.get(id).map_or(&[] as &[Life], Vec::as_slice);
            let may_be = lives.iter().any(|life| {
                life.granted.before <= revision && life.ended.is_none_or(|end| revision <= end.before)
            });
            if !may_be {
                violation!("lease-dead", "lease {id} is listed at revision {revision}");
            }
        }
        Ok(())
    }

    /// `what` found a lease with a granted TTL of `found` seconds.
    pub(super) fn is_not_dead(&self, asked: &Asked, what: &str, found: i64) -> Checked {
        if self.spoken_of(asked).next().is_some() {
            return Ok(());
        }
        let ended = self.last(asked.id).and_then(|life| life.ended);
        violation!(
            "lease-dead",
            "{what} found lease {} with {found} s; it ended with {ended:?}, and entry {} was next",
            asked.id,
            asked.index
        );
    }
}
