//! Countdown: until a lease is renewed or the lead changes, what it has left never grows; it is
//! never more than its TTL, nor than what its leaders' clocks leave of it, nor less.

use super::super::violation::{Checked, violation};
use super::{Asked, Leases};

impl Leases {
    /// A time-to-live was answered with `ttl` whole seconds. `local_ns` tells what a member's own clock
    /// shows now.
    pub(super) fn counts_down(&mut self, asked: &Asked, ttl: i64, local_ns: impl Fn(u32) -> u64) -> Checked {
        let elections = self.elections;
        let now = self.clock.at_most_now(local_ns);
        let most = self.spoken_of(asked).map(|life| life.ttl).max().unwrap_or(0);
        if ttl > most {
            violation!("lease-countdown", "lease {} of {most} s has {ttl} s left", asked.id);
        }
        let Some(life) = self.last_mut(asked.id).filter(|life| life.ended.is_none()) else { return Ok(()) };
        if asked.elections != elections || asked.life != Some((life.granted.index, life.renewals)) {
            return Ok(());
        }
        if asked.shown.is_some_and(|shown| ttl > shown) {
            violation!(
                "lease-countdown",
                "lease {} has {ttl} s left, after {:?} s before, without a renewal",
                asked.id,
                asked.shown
            );
        }
        // Rounding by the product: a millisecond each time.
        let left_ns = (life.ttl_ns() + 2_000_000).saturating_sub(asked.passed);
        if ttl.cast_unsigned() > left_ns / 1_000_000_000 {
            violation!(
                "lease-countdown",
                "lease {} of {} s has {ttl} s left {:.3} s after its renewal",
                asked.id,
                life.ttl,
                asked.passed as f64 / 1e9
            );
        }
        if let (Some(start), Some(now)) = (life.start, now) {
            let passed = now - start.at_most;
            let left_ns = life.ttl_ns().saturating_sub(passed + 2_000_000);
            if ttl.cast_unsigned() < left_ns / 1_000_000_000 {
                violation!(
                    "lease-countdown",
                    "lease {} of {} s has only {ttl} s left no more than {:.3} s after its renewal",
                    asked.id,
                    life.ttl,
                    passed as f64 / 1e9
                );
            }
        }
        life.shown = Some(life.shown.map_or(ttl, |shown| shown.min(ttl)));
        Ok(())
    }
}
