//! Checker `pre-vote`: a member that cannot win must not raise terms, and nobody disturbs a leader
//! whom a quorum hears.
//!
//! A real candidacy (a vote for itself in a new term) needs a quorum of granted pre-votes, and a
//! voter that heard its leader lately grants none. So it is lawful only if the voters that were in
//! good contact with the leader for a while leave a quorum over. Contact is known from the plan of
//! faults: the runner tells of each link and each node.

use std::collections::{BTreeMap, BTreeSet};

use etched::runtime::{Observation, Role};

use super::violation::{Checked, violation};

/// How a link in one direction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Everything arrives in time.
    Good,
    /// Something may be lost or late.
    Poor,
    /// Nothing arrives.
    Cut,
}

/// See the head of this file. Times are true time in ns.
#[derive(Debug)]
pub struct PreVote {
    voters: BTreeSet<u32>,
    settle_ns: u64,
    /// State of each link (from, to), and since when; good from the beginning if missing.
    links: BTreeMap<(u32, u32), (Link, u64)>,
    down: BTreeSet<u32>,
    /// Nodes whose member has recovered and not ended since: what was started may refuse to run.
    running: BTreeSet<u32>,
    up_since: BTreeMap<u32, u64>,
    members: BTreeMap<u32, u64>,
    /// Highest term in which each node voted for itself.
    stood: BTreeMap<u32, u64>,
    /// Node, term, and since when it leads.
    leader: Option<(u32, u64, u64)>,
}

impl PreVote {
    /// `settle_ns` is how long contact must have been good before voters must refuse: some election
    /// time-outs plus the largest delay, on the slowest clock.
    pub fn new(voters: &[u32], settle_ns: u64) -> Self {
        PreVote {
            voters: voters.iter().copied().collect(),
            settle_ns,
            links: BTreeMap::new(),
            down: BTreeSet::new(),
            running: BTreeSet::new(),
            up_since: BTreeMap::new(),
            members: BTreeMap::new(),
            stood: BTreeMap::new(),
            leader: None,
        }
    }

    /// The link from one node to another changed.
    pub fn link(&mut self, time_ns: u64, from: u32, to: u32, link: Link) {
        let known = self.links.get(&(from, to)).map(|(link, _)| *link);
        if known != Some(link) {
            self.links.insert((from, to), (link, time_ns));
        }
    }

    /// The node runs well, or is down, paused, stopping, with a broken disk or clock (`false`).
    pub fn node(&mut self, time_ns: u64, node: u32, is_well: bool) {
        if is_well {
            self.down.remove(&node);
            self.up_since.insert(node, time_ns);
        } else {
            self.down.insert(node);
        }
    }

    /// The node's member ended, for whatever reason.
    pub fn ended(&mut self, node: u32) {
        self.running.remove(&node);
    }

    /// Checks one observation.
    pub fn observe(&mut self, time_ns: u64, node: u32, observation: &Observation) -> Checked {
        match observation {
            Observation::Recovered { member, .. } => {
                self.members.insert(node, *member);
                self.running.insert(node);
                self.up_since.insert(node, time_ns);
                if self.leader.is_some_and(|(leader, ..)| leader == node) {
                    self.leader = None;
                }
            }
            Observation::RoleChanged { term, role: Role::Leader, .. }
                if self.leader.is_none_or(|(_, known, _)| known < *term) =>
            {
                self.leader = Some((node, *term, time_ns));
            }
            Observation::RoleChanged { term, .. }
                // A leader that stepped down by itself, or was told of a higher term.
                if self.leader.is_some_and(|(leader, known, _)| leader == node && known <= *term) => {
                    self.leader = None;
                }
            Observation::VoteSaved(vote) => {
                let own = vote.voted_for.is_some() && vote.voted_for == self.members.get(&node).copied();
                if own && !vote.committed && self.stood.get(&node) < Some(&vote.term) {
                    self.stood.insert(node, vote.term);
                    return self.stands(time_ns, node, vote.term);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn stands(&self, time_ns: u64, node: u32, term: u64) -> Checked {
        let quorum = self.voters.len() / 2 + 1;
        let out_of_reach = |voter: &&u32| **voter != node && self.out_of_reach(time_ns, node, **voter);
        let mut lost: BTreeSet<u32> = self.voters.iter().filter(out_of_reach).copied().collect();
        if let Some((leader, led, since)) = self.leader
            && led < term
            && leader != node
            && settled(time_ns, since, self.settle_ns)
        {
            // One that stood still until lately does not know either whether it still leads.
            let leads = settled(time_ns, self.up_since(leader), self.settle_ns);
            let hears = |voter: &&u32| match **voter == leader {
                true => leads,
                false => **voter != node && self.in_contact(time_ns, leader, **voter),
            };
            lost.extend(self.voters.iter().filter(hears));
        }
        if self.voters.len() - lost.len() < quorum {
            violation!(
                "pre-vote",
                "node {node} stood for election in term {term}, but voters {lost:?} could not grant it a pre-vote"
            );
        }
        Ok(())
    }

    /// Whether the voter must still be hearing the leader.
    fn in_contact(&self, time_ns: u64, leader: u32, voter: u32) -> bool {
        let well = |node: u32| {
            self.running.contains(&node)
                && !self.down.contains(&node)
                && settled(time_ns, self.up_since(node), self.settle_ns)
        };
        let good = |from, to| self.has_been(Link::Good, time_ns, from, to);
        well(leader) && well(voter) && good(leader, voter) && good(voter, leader)
    }

    /// When the node began to run well the last time.
    fn up_since(&self, node: u32) -> u64 {
        self.up_since.get(&node).copied().unwrap_or(0)
    }

    /// Whether no answer of the voter can have come for a while.
    fn out_of_reach(&self, time_ns: u64, node: u32, voter: u32) -> bool {
        self.has_been(Link::Cut, time_ns, node, voter) || self.has_been(Link::Cut, time_ns, voter, node)
    }

    fn has_been(&self, wanted: Link, time_ns: u64, from: u32, to: u32) -> bool {
        let (link, since) = self.links.get(&(from, to)).copied().unwrap_or((Link::Good, 0));
        link == wanted && settled(time_ns, since, self.settle_ns)
    }
}

fn settled(time_ns: u64, since: u64, settle_ns: u64) -> bool {
    time_ns.saturating_sub(since) >= settle_ns
}

#[cfg(test)]
mod tests {
    use super::*;
    use etched::types::Vote;

    const SECOND: u64 = 1_000_000_000;

    fn cluster() -> PreVote {
        let mut check = PreVote::new(&[1, 2, 3], SECOND);
        for node in 1..=3 {
            let recovered = Observation::Recovered {
                member: u64::from(node),
                incarnation: 1,
                applied: None,
                digest: 0,
                last_log: None,
                vote: None,
            };
            check.observe(0, node, &recovered).unwrap();
        }
        stand(&mut check, SECOND, 1, 1).unwrap();
        let leads = Observation::RoleChanged { term: 1, role: Role::Leader, leader: Some(1) };
        check.observe(SECOND, 1, &leads).unwrap();
        check
    }

    fn stand(check: &mut PreVote, time_ns: u64, node: u32, term: u64) -> Checked {
        let vote = Vote { term, voted_for: Some(u64::from(node)), committed: false };
        check.observe(time_ns, node, &Observation::VoteSaved(vote))
    }

    #[test]
    fn an_election_after_the_leader_died_is_fine() {
        let mut check = cluster();
        check.node(5 * SECOND, 1, false);
        assert_eq!(stand(&mut check, 7 * SECOND, 2, 2), Ok(()));
    }

    #[test]
    fn an_isolated_member_must_not_raise_terms() {
        let mut check = cluster();
        for other in [1, 2] {
            check.link(5 * SECOND, 3, other, Link::Cut);
            check.link(5 * SECOND, other, 3, Link::Cut);
        }
        assert_eq!(stand(&mut check, 8 * SECOND, 3, 2).unwrap_err().checker, "pre-vote");
    }

    #[test]
    fn a_member_cut_off_the_leader_alone_must_not_disturb_it() {
        let mut check = cluster();
        check.link(5 * SECOND, 1, 3, Link::Cut);
        assert_eq!(stand(&mut check, 8 * SECOND, 3, 2).unwrap_err().checker, "pre-vote");
    }

    #[test]
    fn a_leader_that_refuses_to_start_again_may_be_replaced() {
        let mut check = cluster();
        check.ended(1);
        check.node(5 * SECOND, 1, false);
        check.node(6 * SECOND, 1, true);
        assert_eq!(stand(&mut check, 20 * SECOND, 2, 2), Ok(()));
    }

    #[test]
    fn a_leader_that_stood_still_may_help_to_replace_it() {
        let mut check = cluster();
        for other in [2, 3] {
            check.link(5 * SECOND, 1, other, Link::Cut);
            check.link(5 * SECOND, other, 1, Link::Cut);
        }
        let leads = Observation::RoleChanged { term: 2, role: Role::Leader, leader: Some(2) };
        check.observe(5 * SECOND, 2, &leads).unwrap();
        check.node(6 * SECOND, 2, false);
        assert_eq!(stand(&mut check, 8 * SECOND, 3, 3).unwrap_err().checker, "pre-vote");
        check.node(9 * SECOND, 2, true);
        assert_eq!(stand(&mut check, 9 * SECOND + 1, 3, 4), Ok(()));
        assert_eq!(stand(&mut check, 20 * SECOND, 3, 5).unwrap_err().checker, "pre-vote");
    }

    #[test]
    fn a_leader_in_poor_contact_may_be_replaced() {
        let mut check = cluster();
        check.link(5 * SECOND, 1, 2, Link::Poor);
        check.link(5 * SECOND, 1, 3, Link::Poor);
        assert_eq!(stand(&mut check, 8 * SECOND, 3, 2), Ok(()));
    }
}
