//! All checkers behind one face. The runner tells what happens, in order; each call gives the first
//! violation it finds, after which the run should stop. Pure: no world, no time of its own.

mod coordination;

use std::collections::BTreeMap;

use etched::runtime::Observation;
use etched_proto::etcdserverpb as pb;
use etched_testkit::Request;
use etched_testkit::users::Change;

use super::digest::{EndState, equal};
use super::pre_vote::{Link, PreVote};
use super::violation::{Checked, Violation, violation};
use super::wgl::{self, Operation};
use super::{Again, Asker, Elections, History, Leases, Locks, OpId, Outcome, Permissions, Raft, Watches};

/// What the checks must know of a run beforehand.
#[derive(Clone, Debug, Default)]
pub struct CheckConfig {
    /// Nodes that are voting members at the start.
    pub voters: Vec<u32>,
    /// Checker `pre-vote`: how long contact must have been good before voters must refuse, in ns.
    /// `None` switches it off (random loss everywhere, clocks far apart).
    pub pre_vote_settle_ns: Option<u64>,
    /// Checks the first operations once more by search (`wgl`).
    pub cross_check: bool,
}

/// The checks of one run.
#[derive(Debug)]
pub struct Checks {
    raft: Raft,
    history: History,
    watches: Watches,
    leases: Leases,
    locks: Locks,
    elections: Elections,
    /// What nodes' own clocks showed last, in ns.
    clocks: BTreeMap<u32, u64>,
    pre_vote: Option<PreVote>,
    window: Option<Window>,
    violations: Vec<Violation>,
}

/// The first operations, for the search: up to the last moment at which none was in flight.
#[derive(Debug, Default)]
struct Window {
    operations: Vec<(OpId, Operation)>,
    clock: u64,
    in_flight: usize,
    closed_at: usize,
    is_full: bool,
}

impl Checks {
    /// Fresh checks.
    pub fn new(config: &CheckConfig) -> Self {
        let pre_vote = config.pre_vote_settle_ns.map(|settle| PreVote::new(&config.voters, settle));
        Checks {
            raft: Raft::new(&config.voters),
            history: History::default(),
            watches: Watches::default(),
            leases: Leases::default(),
            locks: Locks::default(),
            elections: Elections::default(),
            clocks: BTreeMap::new(),
            pre_vote,
            window: config.cross_check.then(Window::default),
            violations: Vec::new(),
        }
    }

    /// What a node's own monotonic clock shows. Tell it before [`Checks::on_observation`] of a
    /// proposal or a change of role.
    pub fn on_clock(&mut self, node: u32, local_ns: u64) {
        self.clocks.insert(node, local_ns);
    }

    /// A member reported something. `time_ns` is true time.
    pub fn on_observation(&mut self, time_ns: u64, node: u32, observation: &Observation) -> Checked {
        let checked = self.observe(time_ns, node, observation);
        self.note(checked)
    }

    fn observe(&mut self, time_ns: u64, node: u32, observation: &Observation) -> Checked {
        self.raft.observe(node, observation)?;
        if let Some(pre_vote) = &mut self.pre_vote {
            pre_vote.observe(time_ns, node, observation)?;
        }
        self.leases.observe(time_ns, node, self.clocks.get(&node).copied().unwrap_or(0), observation);
        match observation {
            Observation::Applied { position, .. } | Observation::SnapshotInstalled { position, .. } => {
                self.history.permissions().applied(node, position.index);
            }
            Observation::Recovered { applied, .. } => {
                self.history.permissions().applied(node, applied.map_or(0, |position| position.index));
            }
            _ => {}
        }
        match observation {
            Observation::LeaseGranted { index, id } => {
                self.history.lease_granted(*index, *id);
                Ok(())
            }
            Observation::CallerRefused { index, error } => {
                self.history.permissions().caller_refused(*index, error.text());
                Ok(())
            }
            Observation::Proposed { request_id, trace } => self.history.proposed(*request_id, *trace),
            Observation::LeaseTicked { index, expired, .. } => {
                self.history.leases_expired(*index, expired);
                Ok(())
            }
            Observation::Applied { position, request_id, revision, .. } => {
                self.history.applied(*position, *request_id, *revision)?;
                let changes = self.history.take_lease_changes();
                // The search knows nothing of leases that end by themselves.
                if self.history.server_made_changes() {
                    self.window.iter_mut().for_each(|window| window.is_full = true);
                }
                self.leases.applied(time_ns, *position, *request_id, *revision, &changes)
            }
            Observation::Visible { revision } if *revision > self.history.model().revision() => {
                let newest = self.history.model().revision();
                violation!(
                    "revision",
                    "node {node} shows revision {revision}; {newest} is the newest committed"
                )
            }
            _ => Ok(()),
        }
    }

    /// A file of `node` was synced; `image` is all that is durable of it now. Call it before the
    /// member hears that its sync is done.
    pub fn on_sync(&mut self, node: u32, path: &str, image: &[u8]) {
        self.raft.synced(node, path, image);
    }

    /// The node lost its disk and starts anew as another member.
    pub fn on_wipe(&mut self, node: u32) {
        self.raft.wiped(node);
    }

    /// A link changed, by a fault or its end.
    pub fn on_link(&mut self, time_ns: u64, from: u32, to: u32, link: Link) {
        self.leases.link(time_ns, from, to, link == Link::Good);
        if let Some(pre_vote) = &mut self.pre_vote {
            pre_vote.link(time_ns, from, to, link);
        }
    }

    /// A node runs well again, or is down, paused, asked to stop, or hampered.
    pub fn on_node(&mut self, time_ns: u64, node: u32, is_well: bool) {
        self.leases.node(time_ns, node, is_well);
        if let Some(pre_vote) = &mut self.pre_vote {
            pre_vote.node(time_ns, node, is_well);
        }
    }

    /// A node's member ended: killed, crashed, or by itself.
    pub fn on_end(&mut self, node: u32) {
        if let Some(pre_vote) = &mut self.pre_vote {
            pre_vote.ended(node);
        }
    }

    /// A client is about to send a request with `op` as its trace number. Numbers are never used
    /// again, also not for a retry.
    pub fn on_call(&mut self, op: OpId, client: u64, request: Request) {
        if let Some(window) = &mut self.window {
            window.call(op, &request);
        }
        self.history.call(op, client, request);
    }

    /// The client's request ended.
    pub fn on_return(&mut self, op: OpId, outcome: Outcome) -> Checked {
        if let Some(window) = &mut self.window {
            window.returned(op, &outcome);
        }
        let checked = self.history.returned(op, outcome);
        self.note(checked)
    }

    /// As [`Checks::on_call`], of write number `sequence` of a client that numbers them.
    pub fn on_numbered_call(&mut self, op: OpId, client: u64, sequence: u64, request: Request) {
        if let Some(window) = &mut self.window {
            // The search knows nothing of writes that are carried out once.
            window.is_full = true;
        }
        self.history.call_again(op, client, request, Again::Numbered(client, sequence));
    }

    /// As [`Checks::on_call`], of a client with a user.
    pub fn on_call_as(&mut self, op: OpId, client: u64, request: Request, asker: Asker) {
        self.knows_no_users();
        self.history.call_as(op, client, request, asker);
    }

    /// `user` is about to change users or roles.
    pub fn on_change(&mut self, op: OpId, user: Option<&str>, change: Change) {
        self.knows_no_users();
        self.history.permissions().changes(op, user, change);
    }

    /// The search knows nothing of users.
    fn knows_no_users(&mut self) {
        self.window.iter_mut().for_each(|window| window.is_full = true);
    }

    /// A change of users ended.
    pub fn on_changed(&mut self, op: OpId, outcome: &Outcome) -> Checked {
        let checked = self.history.permissions().changed(op, outcome);
        self.note(checked)
    }

    /// A client that shows the token of `user` is about to ask `node` for something.
    pub fn on_asking(&mut self, user: Option<&str>, node: u32, born: usize) -> Asker {
        self.history.permissions().asks(user, Some(node), born)
    }

    /// A client has a token; what to say of it later.
    pub fn on_logged_in(&mut self) -> usize {
        self.history.permissions().moment()
    }

    /// A watch of `asker` was made, or refused for a reason.
    pub fn on_watch_told(&mut self, asker: &Asker, key: &[u8], end: &[u8], reason: Option<&str>) -> Checked {
        let checked = self.history.permissions().watch_told(asker, key, end, reason);
        self.note(checked)
    }

    /// Users and roles.
    pub fn permissions(&mut self) -> &Permissions {
        self.history.permissions()
    }

    /// A client sends a create request on its watch stream `stream`.
    pub fn on_watch_create(&mut self, stream: u64, create: pb::WatchCreateRequest) {
        self.watches.create(stream, create);
    }

    /// A client asks to end a watch of its stream.
    pub fn on_watch_cancel(&mut self, stream: u64, watch_id: i64) {
        self.watches.cancel(stream, watch_id);
    }

    /// A response came on `stream`.
    pub fn on_watch_response(&mut self, stream: u64, response: &pb::WatchResponse) -> Checked {
        let checked = self.watches.response(self.history.model(), stream, response);
        self.note(checked)
    }

    /// The stream broke or was closed.
    pub fn on_watch_end(&mut self, stream: u64) {
        self.watches.end(stream);
    }

    /// The newest committed revision: what members and watchers must reach after a heal.
    pub fn revision(&self) -> i64 {
        self.history.model().revision()
    }

    /// The model after all that is committed.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The Raft checks: commit position and digests.
    pub fn raft(&self) -> &Raft {
        &self.raft
    }

    /// All violations so far.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// The run is over, healed and quiet: `ends` are the members that had to converge.
    pub fn finish(mut self, ends: &[EndState]) -> Vec<Violation> {
        let checked = self.last(ends);
        // Already in the list.
        let _ = self.note(checked);
        self.violations
    }

    fn last(&self, ends: &[EndState]) -> Checked {
        equal(ends)?;
        if let Some(end) = ends.iter().find(|end| end.revision != self.revision()) {
            violation!(
                "durability",
                "node {} ends at revision {}, but {} was committed",
                end.node,
                end.revision,
                self.revision()
            );
        }
        self.watches.finish(self.history.model())?;
        match &self.window {
            Some(window) => window.check(),
            _ => Ok(()),
        }
    }

    fn note(&mut self, checked: Checked) -> Checked {
        if let Err(violation) = &checked {
            self.violations.push(violation.clone());
        }
        checked
    }
}

impl Window {
    fn call(&mut self, op: OpId, request: &Request) {
        // The search cannot know an id that is chosen at the door.
        let is_unnamed = matches!(request, Request::LeaseGrant(grant) if grant.id == 0);
        self.is_full |= is_unnamed || self.operations.len() == wgl::MAX_OPERATIONS;
        if self.is_full {
            return;
        }
        self.clock += 1;
        self.in_flight += 1;
        let (request, outcome) = (request.clone(), Outcome::Unknown);
        self.operations.push((op, Operation { called: self.clock, returned: None, request, outcome }));
    }

    /// Unknown outcomes stay open for ever, which the search allows for.
    fn returned(&mut self, op: OpId, outcome: &Outcome) {
        let Some((_, operation)) = self.operations.iter_mut().rev().find(|(known, _)| *known == op) else {
            return;
        };
        self.clock += 1;
        self.in_flight -= 1;
        operation.outcome = match outcome {
            Outcome::Answer(response) => Outcome::Answer(response.clone().normalized()),
            other => other.clone(),
        };
        let is_open = match outcome {
            Outcome::Answer(_) => false,
            Outcome::Failure(failure) => super::ranges::is_unknown(failure),
            Outcome::Unknown => true,
        };
        operation.returned = (!is_open).then_some(self.clock);
        if self.in_flight == 0 && !self.is_full {
            self.closed_at = self.operations.len();
        }
    }

    fn check(&self) -> Checked {
        let operations: Vec<Operation> =
            self.operations[..self.closed_at].iter().map(|(_, operation)| operation.clone()).collect();
        wgl::check(&operations)
    }
}
