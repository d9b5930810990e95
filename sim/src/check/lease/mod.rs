//! The rules of leases, online; one file a rule, named after the guarantee. The name of the checker
//! is `lease-` and that of the file.
//!
//! The committed log says which leases begin, are renewed and end; how much time has passed between
//! is computed from the members' own clocks, which the world owns, and never from what the product
//! says its lease clock shows ([`clock`]).

mod atomic;
mod clock;
mod countdown;
mod dead;
mod early;
mod gone;
mod handover;
mod kept;
mod steady;

use std::collections::{BTreeMap, BTreeSet};

use etched::runtime::{Observation, Role};
use etched::types::limits::{ELECTION_TIMEOUT_MS, min_lease_ttl_s};
use etched::types::{LogPosition, RequestId};
use etched_proto::etcdserverpb as pb;

use super::history::{History, LeaseChange};
use super::violation::{Checked, violation};
use clock::{Clock, Passed};
use steady::Calm;

/// A lease from its grant to its end. Its id may be granted again later.
#[derive(Debug)]
struct Life {
    /// Seconds.
    ttl: i64,
    granted: Mark,
    /// When it began to run anew; `None` until the first step of the clock after the grant.
    start: Option<Passed>,
    /// How often it began anew, and the last entry that let it.
    renewals: u64,
    renewed: u64,
    /// True time of that.
    renewed_ns: u64,
    /// The least TTL shown since then by this leader.
    shown: Option<i64>,
    ended: Option<Mark>,
}

/// An entry: its index, and the store's revision before and after it.
#[derive(Clone, Copy, Debug)]
struct Mark {
    index: u64,
    before: i64,
    after: i64,
}

/// A step of the lease clock, as a member told of it.
#[derive(Clone, Debug)]
struct Tick {
    term: u64,
    clock_ms: u64,
    renewed: Vec<i64>,
}

/// What was known of a lease when a client asked about it.
#[derive(Clone, Debug)]
pub struct Asked {
    id: i64,
    /// Entries before this one were committed.
    index: u64,
    /// No answer may stand before this place.
    floor: i64,
    elections: u64,
    /// The grant's entry and the number of renewals since.
    life: Option<(u64, u64)>,
    shown: Option<i64>,
    /// What its leaders' clocks have certainly counted since its start, in ns.
    passed: u64,
}

/// What came of leases in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaseCounts {
    /// Granted.
    pub granted: u64,
    /// Renewed by keep-alives.
    pub kept_alive: u64,
    /// Revoked by clients.
    pub revoked: u64,
    /// Ended by themselves.
    pub expired: u64,
}

/// The checker; see the head of this file.
#[derive(Debug, Default)]
pub struct Leases {
    clock: Clock,
    calm: Calm,
    /// By id, oldest first.
    lives: BTreeMap<i64, Vec<Life>>,
    /// Ids of those that have not ended.
    live: BTreeSet<i64>,
    /// Entries before this one were replayed.
    index: u64,
    revision: i64,
    /// Steps of the clock that are about to be applied, by index.
    ticks: BTreeMap<u64, Tick>,
    /// Keep-alives that were asked for and not answered so far, by lease: any of them may be carried
    /// out still.
    unanswered: BTreeMap<i64, u64>,
    /// How often a member began to lead.
    elections: u64,
    healed_ns: Option<u64>,
    counts: LeaseCounts,
}

impl Leases {
    /// What came of leases so far.
    pub fn counts(&self) -> LeaseCounts {
        self.counts
    }

    /// How many there are.
    pub fn alive(&self) -> usize {
        self.live.len()
    }

    /// All faults are over; nobody keeps a lease alive any more.
    pub fn healed(&mut self, time_ns: u64) {
        self.healed_ns = Some(time_ns);
    }

    /// A node runs well again, or does not.
    pub fn node(&mut self, time_ns: u64, node: u32, is_well: bool) {
        self.calm.node(time_ns, node, is_well);
    }

    /// A link changed.
    pub fn link(&mut self, time_ns: u64, from: u32, to: u32, is_good: bool) {
        self.calm.link(time_ns, from, to, is_good);
    }

    /// A member, whose own clock shows `local_ns`, reported something.
    pub fn observe(&mut self, time_ns: u64, node: u32, local_ns: u64, observation: &Observation) {
        match observation {
            Observation::Proposed { request_id, trace: None } => {
                self.clock.proposed(*request_id, node, local_ns, time_ns);
            }
            Observation::RoleChanged { term, role: Role::Leader, .. } => {
                self.elections += 1;
                self.clock.leads(*term, node, local_ns);
                self.lives.values_mut().flatten().for_each(|life| life.shown = None);
            }
            Observation::LeaseTicked { index, term, clock_ms, renewed, .. } if *index >= self.index => {
                self.ticks
                    .insert(*index, Tick { term: *term, clock_ms: *clock_ms, renewed: renewed.clone() });
            }
            _ => {}
        }
    }

    /// An entry was applied and replayed; each index counts the first time. `changes` are what the
    /// model says that it did.
    pub fn applied(
        &mut self,
        time_ns: u64,
        position: LogPosition,
        request_id: Option<RequestId>,
        revision: i64,
        changes: &[LeaseChange],
    ) -> Checked {
        if position.index < self.index {
            return Ok(());
        }
        self.index = position.index + 1;
        let mark = Mark { index: position.index, before: self.revision, after: revision };
        self.revision = revision;
        let step = self.ticks.remove(&position.index);
        if let Some(tick) = &step {
            self.tick(time_ns, mark, tick, request_id)?;
        }
        for change in changes {
            match *change {
                LeaseChange::Granted(id, ttl) => self.grant(time_ns, mark, id, ttl),
                LeaseChange::Ended(id) => self.end(mark, id, step.is_some())?,
            }
        }
        self.clock.forget(request_id);
        self.are_gone(time_ns)?;
        if step.is_some() { self.are_not_overdue() } else { Ok(()) }
    }

    fn grant(&mut self, time_ns: u64, granted: Mark, id: i64, ttl: i64) {
        let life = Life {
            ttl: ttl.max(min_lease_ttl_s(ELECTION_TIMEOUT_MS)),
            granted,
            start: None,
            renewals: 0,
            renewed: granted.index,
            renewed_ns: time_ns,
            shown: None,
            ended: None,
        };
        if self.live.is_empty() {
            self.calm.leases_ns = Some(time_ns);
        }
        self.lives.entry(id).or_default().push(life);
        self.live.insert(id);
        self.counts.granted += 1;
    }

    /// The clock moves: what was granted before begins to run, what was kept alive runs anew.
    fn tick(&mut self, time_ns: u64, mark: Mark, tick: &Tick, request_id: Option<RequestId>) -> Checked {
        self.clock.step(&self.calm, tick, request_id)?;
        let now = self.clock.passed();
        for id in self.live.clone() {
            let Some(life) = self.last_mut(id) else { continue };
            if life.start.is_none() {
                life.start = Some(now);
            }
        }
        for id in &tick.renewed {
            self.is_renewable(*id, mark.index)?;
            self.is_asked_for(*id, mark.index)?;
            self.counts.kept_alive += 1;
            let Some(life) = self.last_mut(*id) else { continue };
            (life.start, life.shown, life.renewed, life.renewed_ns) = (Some(now), None, mark.index, time_ns);
            life.renewals += 1;
        }
        Ok(())
    }

    fn end(&mut self, mark: Mark, id: i64, by_itself: bool) -> Checked {
        let now = self.clock.passed();
        self.live.remove(&id);
        if self.live.is_empty() {
            self.calm.leases_ns = None;
        }
        let count = if by_itself { &mut self.counts.expired } else { &mut self.counts.revoked };
        *count += 1;
        let Some(life) = self.last_mut(id) else { return Ok(()) };
        life.ended = Some(mark);
        if by_itself {
            life.was_not_just_renewed(id, mark.index)?;
            life.ran_out(id, now)?;
        }
        Ok(())
    }

    fn last(&self, id: i64) -> Option<&Life> {
        self.lives.get(&id)?.last()
    }

    fn last_mut(&mut self, id: i64) -> Option<&mut Life> {
        self.lives.get_mut(&id)?.last_mut()
    }

    /// A client is about to ask about lease `id`.
    pub fn asked(&self, history: &History, id: i64) -> Asked {
        let life = self.last(id).filter(|life| life.ended.is_none());
        let passed =
            life.and_then(|life| life.start).map_or(0, |start| self.clock.passed().at_least - start.at_least);
        Asked {
            id,
            index: self.index,
            floor: history.floor(),
            elections: self.elections,
            life: life.map(|life| (life.granted.index, life.renewals)),
            shown: life.and_then(|life| life.shown),
            passed,
        }
    }

    /// A client is about to keep lease `id` alive.
    pub fn keeps_alive(&mut self, history: &History, id: i64) -> Asked {
        *self.unanswered.entry(id).or_default() += 1;
        self.asked(history, id)
    }

    /// A keep-alive was answered: the TTL, 0 for an unknown lease.
    pub fn kept_alive(&mut self, asked: &Asked, ttl: i64) -> Checked {
        self.unanswered.entry(asked.id).and_modify(|count| *count -= 1);
        self.is_alive_or_not(asked, "keep-alive", (ttl != 0).then_some(ttl))?;
        self.was_renewed(asked, ttl)
    }

    /// A time-to-live was answered, with its keys if `with_keys`. `local_ns` tells what a member's own
    /// clock shows now.
    pub fn time_to_live(
        &mut self,
        history: &History,
        asked: &Asked,
        with_keys: bool,
        answer: &pb::LeaseTimeToLiveResponse,
        local_ns: impl Fn(u32) -> u64,
    ) -> Checked {
        let revision = answer.header.as_ref().map_or(0, |header| header.revision);
        if revision > history.model().revision() || 2 * revision + 1 < asked.floor {
            violation!(
                "stale-read",
                "the TTL of lease {} was told at revision {revision}, asked after {} had returned",
                asked.id,
                asked.floor / 2
            );
        }
        let found = answer.ttl >= 0;
        self.is_alive_or_not(asked, "time-to-live", found.then_some(answer.granted_ttl))?;
        if !found {
            return Ok(());
        }
        if with_keys {
            atomic::are_its_keys(history, asked.id, revision, &answer.keys)?;
        }
        self.counts_down(asked, answer.ttl, local_ns)
    }

    /// A member listed its leases.
    pub fn listed(&self, answer: &pb::LeaseLeasesResponse) -> Checked {
        let revision = answer.header.as_ref().map_or(0, |header| header.revision);
        let ids: Vec<i64> = answer.leases.iter().map(|lease| lease.id).collect();
        self.were_there(&ids, revision)?;
        self.are_listed(&ids, revision)
    }

    /// The lives of `id` that an answer to `asked` may speak of.
    fn spoken_of(&self, asked: &Asked) -> impl Iterator<Item = &Life> {
        let index = asked.index;
        let lives = self.lives.get(&asked.id).map_or(&[] as &[Life], Vec::as_slice);
        lives.iter().filter(move |life| life.ended.is_none_or(|end| end.index >= index))
    }
}
