//! What nodes report, with place and true time added: into the trace hash and to the observer.

use std::sync::Arc;

use etched::runtime::Observation;

use super::node::Place;
use super::trace::Kind;
use super::{Death, Inner, NodeId, SyncEvent, World, lock};

/// One observation with its place and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// True time.
    pub time_ns: u64,
    /// The node that reported.
    pub node: NodeId,
    /// Which of its lives in this world.
    pub incarnation: u32,
    /// What.
    pub observation: Observation,
}

impl Inner {
    pub(super) fn observe(self: &Arc<Self>, place: Place, observation: Observation) {
        if self.ended() || (place.node != 0 && !self.is_alive(place)) {
            return; // What the dead say while they are taken down happened to nobody.
        }
        self.trace(Kind::Observation, place.node, &observation, |line| {
            line.push_str(&format!("{observation:?}"));
        });
        let taken = lock(&self.hooks).observer.take();
        if let Some(mut observer) = taken {
            let (node, incarnation) = (NodeId(place.node), place.incarnation);
            observer(&Seen { time_ns: self.true_now(), node, incarnation, observation });
            lock(&self.hooks).observer.get_or_insert(observer);
        }
    }

    pub(super) fn record_death(&self, death: Death) {
        let taken = lock(&self.hooks).death.take();
        if let Some(mut hook) = taken {
            hook(&death);
            lock(&self.hooks).death.get_or_insert(hook);
        }
        lock(&self.deaths).push(death);
    }

    pub(super) fn synced(&self, event: &SyncEvent<'_>) {
        let taken = lock(&self.hooks).sync.take();
        if let Some(mut hook) = taken {
            hook(event);
            lock(&self.hooks).sync.get_or_insert(hook);
        }
    }
}

impl World {
    /// Installs the one who sees every observation, in order, at once. It may act on the world
    /// (kill, cut, ...): a node killed from here runs to its next yield without any effect.
    pub fn set_observer(&self, observer: Box<dyn FnMut(&Seen) + Send>) {
        lock(&self.inner.hooks).observer = Some(observer);
    }

    /// Installs the one who sees the end of every incarnation.
    pub fn set_death_hook(&self, hook: Box<dyn FnMut(&Death) + Send>) {
        lock(&self.inner.hooks).death = Some(hook);
    }

    /// Installs the one who sees each successful sync of a file.
    pub fn set_sync_hook(&self, hook: Box<dyn FnMut(&SyncEvent<'_>) + Send>) {
        lock(&self.inner.hooks).sync = Some(hook);
    }

    /// The ends of all incarnations so far, in order.
    pub fn deaths(&self) -> Vec<Death> {
        lock(&self.inner.deaths).clone()
    }
}
