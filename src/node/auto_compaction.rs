//! Compaction without anybody asking for it: the leader keeps a time's or a number of revisions.
//!
//! All members take samples, so that a new leader goes on where the old one was. Clocks are the
//! members' monotonic ones. Compacting is a proposal like any other; removal is incremental.

use std::collections::VecDeque;
use std::time::Duration;

use super::Node;
use super::api::RequestContext;
use crate::runtime::{Either, Instant, Runtime, select};
use crate::types::{CompactionRequest, Error};

/// What `--auto-compaction-mode` and `--auto-compaction-retention` say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoCompaction {
    /// Nobody compacts.
    #[default]
    Off,
    /// Keep what is younger than this many milliseconds.
    Periodic(u64),
    /// Keep this many revisions.
    Revision(i64),
}

/// In periodic mode the revision of that time is compacted at least this often, however long the
/// retention is.
const LONGEST_INTERVAL: Duration = Duration::from_secs(3600);
/// Samples in one interval.
const SAMPLES: u32 = 10;
/// Time between two samples, at least.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
/// Time between two compactions in revision mode.
const REVISION_INTERVAL: Duration = Duration::from_secs(300);

/// Runs until the node stops.
pub(super) async fn run<R: Runtime>(node: Node<R>) {
    let mut plan = match node.config().auto_compaction {
        AutoCompaction::Off | AutoCompaction::Periodic(0) | AutoCompaction::Revision(..=0) => return,
        AutoCompaction::Periodic(retention_ms) => {
            Plan::Periodic(Periodic::new(Duration::from_millis(retention_ms), R::now()))
        }
        AutoCompaction::Revision(keep) => Plan::Revision { keep, last: 0 },
    };
    loop {
        plan.sample(node.view().revision());
        if let Either::First(()) = select(node.stopping(), R::sleep(plan.pause())).await {
            return;
        }
        if !node.leads() {
            continue;
        }
        let Some(revision) = plan.due(R::now(), node.view().revision()) else { continue };
        let request = CompactionRequest { revision, physical: false };
        match node.compact(request, RequestContext::default()).await {
            Ok(_) | Err(Error::Compacted) => {
                tracing::info!(revision, "auto compaction");
                plan.done(R::now(), revision);
            }
            Err(error) => tracing::warn!(revision, error = %error, "auto compaction failed; will retry"),
        }
    }
}

/// When to compact, and up to which revision. Pure.
#[derive(Debug)]
enum Plan {
    Periodic(Periodic),
    Revision { keep: i64, last: i64 },
}

#[derive(Debug)]
struct Periodic {
    retention: Duration,
    interval: Duration,
    /// Revisions at the samples' times, the oldest one retention ago once there are enough.
    samples: VecDeque<i64>,
    /// The retention at first, then the interval.
    wait: Duration,
    since: Instant,
    last: i64,
}

impl Periodic {
    fn new(retention: Duration, now: Instant) -> Self {
        let interval = retention.min(LONGEST_INTERVAL);
        Periodic { retention, interval, samples: VecDeque::new(), wait: retention, since: now, last: 0 }
    }

    fn pause(&self) -> Duration {
        (self.interval / SAMPLES).max(SHORTEST_PAUSE)
    }

    /// Samples that span the retention.
    fn samples(&self) -> usize {
        let nanos = self.pause().as_nanos().max(1);
        usize::try_from(self.retention.as_nanos() / nanos).unwrap_or(usize::MAX) + 1
    }
}

impl Plan {
    fn pause(&self) -> Duration {
        match self {
            Plan::Periodic(periodic) => periodic.pause(),
            Plan::Revision { .. } => REVISION_INTERVAL,
        }
    }

    fn sample(&mut self, revision: i64) {
        if let Plan::Periodic(periodic) = self {
            periodic.samples.push_back(revision);
            while periodic.samples.len() > periodic.samples() {
                periodic.samples.pop_front();
            }
        }
    }

    /// The revision to compact now, when the newest is `newest`.
    fn due(&self, now: Instant, newest: i64) -> Option<i64> {
        match self {
            Plan::Periodic(periodic) => {
                let revision = *periodic.samples.front()?;
                (now - periodic.since >= periodic.wait && revision != periodic.last).then_some(revision)
            }
            Plan::Revision { keep, last } => {
                Some(newest - keep).filter(|revision| *revision > 0 && revision != last)
            }
        }
    }

    fn done(&mut self, now: Instant, revision: i64) {
        match self {
            Plan::Periodic(periodic) => {
                (periodic.wait, periodic.since, periodic.last) = (periodic.interval, now, revision);
            }
            Plan::Revision { last, .. } => *last = revision,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a plan whose revision grows by one a minute; gives minute and revision of compactions.
    fn compactions(mut plan: Plan, minutes: u64) -> Vec<(u64, i64)> {
        let mut now = Instant(0);
        let mut done = Vec::new();
        let revision = |now: Instant| i64::try_from(now.0 / 60_000_000_000).expect("small") + 1;
        while now < Instant(0) + Duration::from_secs(60 * minutes) {
            plan.sample(revision(now));
            now += plan.pause();
            if let Some(due) = plan.due(now, revision(now)) {
                plan.done(now, due);
                done.push((now.0 / 60_000_000_000, due));
            }
        }
        done
    }

    fn periodic(hours: u64) -> Plan {
        Plan::Periodic(Periodic::new(Duration::from_secs(3600 * hours), Instant(0)))
    }

    #[test]
    fn periodic_keeps_the_retention() {
        // First after the retention, then every hour, always what was new one retention and at most
        // one sample ago.
        let hourly = compactions(periodic(1), 200);
        assert_eq!(hourly, [(60, 1), (120, 55), (180, 115)]);
        let daily = compactions(periodic(24), 26 * 60 + 10);
        assert_eq!(daily, [(1440, 1), (1500, 55), (1560, 115)]);
    }

    #[test]
    fn revision_keeps_a_number() {
        let done = compactions(Plan::Revision { keep: 10, last: 0 }, 20);
        assert_eq!(done, [(10, 1), (15, 6), (20, 11)]);
    }

    #[test]
    fn nothing_new_is_not_compacted_again() {
        let mut plan = Plan::Revision { keep: 10, last: 0 };
        assert_eq!(plan.due(Instant(0), 30), Some(20));
        plan.done(Instant(0), 20);
        assert_eq!(plan.due(Instant(0), 30), None);
    }
}
