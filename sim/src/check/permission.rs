//! Checker `permission`: who may what, by the model of users and roles.
//!
//! A logged request is judged where it stands in the log. A read has no place among changes of users: it
//! must be right by the users of some moment between its call and its answer; a serializable one and a
//! new watch by those of some moment from what the member had applied when it was asked. A token that
//! something voided counts for nothing. One that is refused tells nothing, but then nothing may have
//! happened.

use std::collections::BTreeMap;

use etched_testkit::users::{Change, Users};
use etched_testkit::{Failure, Request};
use tonic::Code;

use super::history::{OpId, Outcome};
use super::ranges::is_unknown;
use super::violation::{Checked, violation};

const DENIED: &str = "etcdserver: permission denied";
const NO_USER: &str = "etcdserver: user name is empty";
const OLD: &str = "etcdserver: revision of auth store is old";
const BAD_TOKEN: &str = "etcdserver: invalid auth token";

/// Who asks, and when.
#[derive(Clone, Debug, Default)]
pub struct Asker {
    user: Option<String>,
    /// How many changes of users there were by then.
    since: usize,
    /// How many of them the member had applied that is asked.
    there: usize,
    /// How many there were when it had its token.
    born: usize,
}

/// How a request was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The user may not.
    Denied,
    /// It is not known who asks: requests were not checked yet when that was looked at.
    Nobody,
    /// Users changed while it was under way.
    Old,
    /// Its token is not known.
    BadToken,
}

/// The users through the run.
#[derive(Debug)]
pub struct Permissions {
    /// After each change, the first before any.
    moments: Vec<Users>,
    /// Tokens that were void from then on: those of one user, or all.
    voids: Vec<(usize, Option<String>)>,
    /// Changes by then, by the index of the entry.
    by_index: BTreeMap<u64, usize>,
    /// The last index that each node has applied.
    applied: BTreeMap<u32, u64>,
    /// Changes that were asked for, by operation.
    changes: BTreeMap<OpId, Changing>,
    /// Entries that are about to be refused for their callers, and how.
    refused: BTreeMap<u64, &'static str>,
    /// Changes, requests and watches that were refused, and writes of users.
    counts: [u64; 4],
}

/// A change that was asked for.
#[derive(Debug)]
struct Changing {
    user: Option<String>,
    change: Change,
    applied: Option<Result<(), &'static str>>,
}

impl Default for Permissions {
    fn default() -> Self {
        Permissions {
            moments: vec![Users::default()],
            voids: Vec::new(),
            by_index: BTreeMap::new(),
            applied: BTreeMap::new(),
            changes: BTreeMap::new(),
            refused: BTreeMap::new(),
            counts: [0; 4],
        }
    }
}

impl Permissions {
    /// Changes that were applied, requests and watches that were refused, and what was logged of users.
    pub fn counts(&self) -> [u64; 4] {
        self.counts
    }

    /// Whether requests are checked, after all that was applied.
    pub fn is_enabled(&self) -> bool {
        self.now().is_enabled()
    }

    fn now(&self) -> &Users {
        self.moments.last().expect("one from the start")
    }

    /// How many changes of users there were so far.
    pub fn moment(&self) -> usize {
        self.moments.len() - 1
    }

    /// `user` is about to ask `node`, if that is known, for something, with the token it got when there had
    /// been `born` changes.
    pub fn asks(&self, user: Option<&str>, node: Option<u32>, born: usize) -> Asker {
        let applied = node.and_then(|node| self.applied.get(&node)).copied().unwrap_or(0);
        let there = self.by_index.range(..=applied).next_back().map_or(0, |(_, changes)| *changes);
        Asker { user: user.map(str::to_string), since: self.moment(), there, born }
    }

    /// `node` has applied all up to `index`, by itself or from a snapshot, or is back there.
    pub fn applied(&mut self, node: u32, index: u64) {
        self.applied.insert(node, index);
    }

    /// `user` is about to change users, as operation `op`.
    pub fn changes(&mut self, op: OpId, user: Option<&str>, change: Change) {
        let user = user.map(str::to_string);
        self.changes.insert(op, Changing { user, change, applied: None });
    }

    /// Whether `op` is or was a change.
    pub(super) fn is_change(&self, op: OpId) -> bool {
        self.changes.contains_key(&op)
    }

    /// A member says that it refuses the entry at `index` for its caller, with `text`.
    pub fn caller_refused(&mut self, index: u64, text: &'static str) {
        self.refused.insert(index, text);
    }

    /// A change was applied.
    pub(super) fn replay(&mut self, op: OpId, index: u64) -> Checked {
        let refused = self.refused.remove(&index);
        let Some(changing) = self.changes.get_mut(&op).filter(|changing| changing.applied.is_none()) else {
            violation!("duplicate-apply", "the change {op} of users was applied again");
        };
        let mut next = self.moments.last().expect("one from the start").clone();
        let done = match refused {
            Some(text) if next.is_enabled() => Err(text),
            _ => next.apply(changing.user.as_deref(), &changing.change),
        };
        changing.applied = Some(done);
        if done.is_ok() {
            self.counts[0] += 1;
            let voided = match &changing.change {
                Change::Disable => Some(None),
                Change::UserDelete(name) | Change::UserChangePassword(name) => Some(Some(name.clone())),
                _ => None,
            };
            self.voids.extend(voided.map(|whose| (self.moments.len(), whose)));
            self.moments.push(next);
            self.by_index.insert(index, self.moments.len() - 1);
        }
        Ok(())
    }

    /// A change ended for its client.
    pub fn changed(&mut self, op: OpId, outcome: &Outcome) -> Checked {
        let Some(changing) = self.changes.get(&op) else {
            violation!("answer", "the change {op} of users returned without a call");
        };
        let right = match outcome {
            Outcome::Unknown => return Ok(()),
            Outcome::Failure(failure) => match &changing.applied {
                _ if failure.text == BAD_TOKEN => changing.applied.is_none(),
                Some(Err(text)) => failure.text == *text || is_open(failure),
                Some(Ok(())) => is_open(failure),
                None => true,
            },
            Outcome::Answer(_) => changing.applied == Some(Ok(())),
        };
        if !right {
            violation!("permission", "{op} {changing:?} ended with {outcome:?}");
        }
        Ok(())
    }

    /// How the log turns a request of `asker` away at `index`, if it does.
    pub(super) fn turn_away(
        &mut self,
        asker: &Asker,
        request: &Request,
        index: u64,
    ) -> Result<Option<Failure>, super::Violation> {
        let refused = self.refused.remove(&index);
        if !self.is_enabled() {
            return Ok(None);
        }
        match refused {
            Some(OLD) if asker.there < self.moment() => {
                return Ok(Some(Failure::new(Code::InvalidArgument, OLD)));
            }
            Some(NO_USER) if asker.user.is_none() || self.was_unchecked(asker) => {
                return Ok(Some(Failure::new(Code::InvalidArgument, NO_USER)));
            }
            Some(text) => violation!("permission", "entry {index} of {asker:?} was refused: `{text}`"),
            None => {}
        }
        let may = self.allows(self.moment(), asker, |users, user| users.permits(user, request));
        self.counts[3] += u64::from(may && asker.user.is_some());
        if may || is_looked_at_before(request) {
            return Ok(None);
        }
        Ok(Some(match asker.user {
            None => Failure::new(Code::InvalidArgument, NO_USER),
            Some(_) => Failure::new(Code::PermissionDenied, DENIED),
        }))
    }

    /// Whether `permits` says so of `asker` by the users after `at` changes, and its token counts.
    fn allows(&self, at: usize, asker: &Asker, permits: impl Fn(&Users, Option<&str>) -> bool) -> bool {
        let (users, user) = (&self.moments[at], asker.user.as_deref());
        let voids = |(when, whose): &(usize, Option<String>)| {
            (asker.born + 1..=at).contains(when) && (whose.is_none() || whose.as_deref() == user)
        };
        !users.is_enabled() || permits(users, user) && !self.voids.iter().any(voids)
    }

    /// Whether the member that was asked may not have known that requests are checked.
    fn was_unchecked(&self, asker: &Asker) -> bool {
        self.moments[asker.there..].iter().any(|users| !users.is_enabled())
    }

    /// Whether `asker` may be told that it is nobody: without a token when requests are checked, with one
    /// when they were not yet.
    pub(super) fn was_nobody(&self, asker: &Asker) -> bool {
        let is_checked = || self.moments[asker.there..].iter().any(Users::is_enabled);
        if asker.user.is_some() { self.was_unchecked(asker) } else { is_checked() }
    }

    /// A read of `asker` was answered.
    pub(super) fn was_read(&self, asker: &Asker, request: &Request) -> Checked {
        let from = if request.is_serializable() { asker.there } else { asker.since };
        if (from..self.moments.len())
            .any(|at| self.allows(at, asker, |users, user| users.permits(user, request)))
        {
            return Ok(());
        }
        violation!("permission", "{asker:?} was never granted what it was answered: {request:?}")
    }

    /// A request of `asker` was denied without the log.
    pub(super) fn was_denied(&mut self, asker: &Asker, request: &Request) -> Checked {
        self.counts[1] += 1;
        let is_old = request.is_serializable() || is_looked_at_before(request);
        let from = if is_old { asker.there } else { asker.since };
        let user = asker.user.as_deref();
        if self.moments[from..].iter().any(|users| !users.permits(user, request)) {
            return Ok(());
        }
        violation!("permission", "{asker:?} was denied what it was granted all the time: {request:?}")
    }

    /// A watch of `asker` was made, or refused with `reason`.
    pub fn watch_told(&mut self, asker: &Asker, key: &[u8], end: &[u8], reason: Option<&str>) -> Checked {
        let watches = |users: &Users, user: Option<&str>| users.permits_watch(user, key, end);
        let mut moments = asker.there..self.moments.len();
        let right = match reason {
            None => moments.any(|at| self.allows(at, asker, watches)),
            Some(reason) if reason.ends_with(DENIED) => {
                moments.any(|at| !watches(&self.moments[at], asker.user.as_deref()))
            }
            Some(reason) if reason.ends_with(NO_USER) => self.was_nobody(asker),
            Some(_) => true,
        };
        self.counts[2] += u64::from(reason.is_some());
        if !right {
            let (key, end) = (key.escape_ascii(), end.escape_ascii());
            violation!("permission", "{asker:?} watching [{key}, {end}) was told {reason:?}");
        }
        Ok(())
    }
}

impl Asker {
    /// Whether it showed a token.
    pub(super) fn is_somebody(&self) -> bool {
        self.user.is_some()
    }
}

/// Whether the member that takes it decides, by the users that it knows.
pub(super) fn is_looked_at_before(request: &Request) -> bool {
    matches!(request, Request::Compact(_) | Request::LeaseGrant(_))
}

/// What a failure says of permissions, if it does.
pub(super) fn refusal(failure: &Failure) -> Option<Refusal> {
    match failure.text.as_str() {
        DENIED => Some(Refusal::Denied),
        NO_USER => Some(Refusal::Nobody),
        OLD => Some(Refusal::Old),
        BAD_TOKEN => Some(Refusal::BadToken),
        _ => None,
    }
}

/// Whether it tells nothing of what became of a change.
fn is_open(failure: &Failure) -> bool {
    is_unknown(failure) && failure.code == Code::Unavailable
}
