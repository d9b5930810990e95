//! Which members' durable data may be damaged without losing what a quorum must be able to
//! recover.

use std::collections::BTreeSet;

use super::NodeId;

/// The account of damaged members: never more than a minority of the voters, unless the scenario
/// allows it.
#[derive(Clone, Debug, Default)]
pub struct FaultAtlas {
    voters: BTreeSet<NodeId>,
    damaged: BTreeSet<NodeId>,
    beyond_recovery: bool,
}

impl FaultAtlas {
    /// Sets the voters; call it again when the membership changes. Damage stays recorded.
    pub fn set_voters(&mut self, voters: impl IntoIterator<Item = NodeId>) {
        self.voters = voters.into_iter().collect();
    }

    /// Allows any damage: the store must then refuse, not lie.
    pub fn allow_beyond_recovery(&mut self, allowed: bool) {
        self.beyond_recovery = allowed;
    }

    /// Claims the right to damage synced data of `node`. False when that could cost the quorum its
    /// data. Members that are not voters may always be damaged.
    pub fn claim(&mut self, node: NodeId) -> bool {
        let mut damaged = self.damaged.clone();
        damaged.insert(node);
        let minority = self.voters.len().saturating_sub(1) / 2;
        let allowed = self.beyond_recovery
            || !self.voters.contains(&node)
            || self.voters.intersection(&damaged).count() <= minority;
        if allowed {
            self.damaged = damaged;
        }
        allowed
    }

    /// The member was rebuilt: its data is whole again.
    pub fn repaired(&mut self, node: NodeId) {
        self.damaged.remove(&node);
    }

    /// The members whose data is damaged now.
    pub fn damaged(&self) -> &BTreeSet<NodeId> {
        &self.damaged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_minority_may_be_damaged() {
        let mut atlas = FaultAtlas::default();
        atlas.set_voters([NodeId(1), NodeId(2), NodeId(3)]);
        assert!(atlas.claim(NodeId(1)) && atlas.claim(NodeId(1)) && atlas.claim(NodeId(9)));
        assert!(!atlas.claim(NodeId(2)));
        atlas.repaired(NodeId(1));
        assert!(atlas.claim(NodeId(2)));
        atlas.allow_beyond_recovery(true);
        assert!(atlas.claim(NodeId(3)));
    }
}
