//! Kept: as long as a lease lives, it is found, with its granted TTL, and a keep-alive that was
//! answered has renewed it in the log.

use super::super::violation::{Checked, violation};
use super::{Asked, Leases};

impl Leases {
    /// `what` was answered with the granted TTL in seconds, or that there is no such lease.
    pub(super) fn is_alive_or_not(&self, asked: &Asked, what: &str, found: Option<i64>) -> Checked {
        let Some(granted_ttl) = found else {
            let lived_on = |life: &&super::Life| life.granted.index < asked.index && life.ended.is_none();
            return match self.spoken_of(asked).find(lived_on) {
                None => Ok(()),
                Some(life) => violation!(
                    "lease-kept",
                    "{what} did not find lease {}, alive since {:?}",
                    asked.id,
                    life.granted
                ),
            };
        };
        self.is_not_dead(asked, what, granted_ttl)?;
        if !self.spoken_of(asked).any(|life| life.ttl == granted_ttl) {
            violation!("lease-kept", "{what} gives lease {} a granted TTL of {granted_ttl} s", asked.id);
        }
        Ok(())
    }

    /// What was answered is in the log.
    pub(super) fn was_renewed(&self, asked: &Asked, ttl: i64) -> Checked {
        if ttl > 0 && !self.spoken_of(asked).any(|life| life.renewed >= asked.index && life.renewals > 0) {
            violation!(
                "lease-kept",
                "the keep-alive of lease {} was answered, but no entry since {} renewed it",
                asked.id,
                asked.index
            );
        }
        Ok(())
    }

    /// What a member lists at `revision`, perhaps late, holds all that lived then.
    pub(super) fn are_listed(&self, ids: &[i64], revision: i64) -> Checked {
        for (id, lives) in &self.lives {
            let lived = lives.iter().any(|life| {
                life.granted.after < revision && life.ended.is_none_or(|end| revision < end.before)
            });
            if lived && !ids.contains(id) {
                violation!("lease-kept", "lease {id} is not listed at revision {revision}");
            }
        }
        Ok(())
    }
}
