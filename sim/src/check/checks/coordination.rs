//! What the checks are told of leases, locks and elections.

use etched_proto::etcdserverpb as pb;
use etched_proto::mvccpb::KeyValue;

use super::super::violation::Checked;
use super::super::{Again, Asked, Elections, Followed, Leases, Locks, OpId, Question, Wanted};
use super::Checks;

impl Checks {
    /// A client is about to wait for a lock, as operation `op`.
    pub fn on_lock(&mut self, op: OpId, client: u64, name: &[u8], lease: i64) -> Wanted {
        let wanted = self.waits(op, name, lease);
        self.history.call_again(op, client, wanted.join(lease, b""), Again::Leaves(wanted.key().to_vec()));
        wanted
    }

    /// A client is about to campaign with `value`, as operation `op`.
    pub fn on_campaign(&mut self, op: OpId, client: u64, name: &[u8], lease: i64, value: &[u8]) -> Wanted {
        let wanted = self.waits(op, name, lease);
        let again = Again::Campaigns { key: wanted.key().to_vec(), value: value.to_vec(), lease };
        self.history.call_again(op, client, wanted.join(lease, value), again);
        wanted
    }

    fn waits(&mut self, op: OpId, name: &[u8], lease: i64) -> Wanted {
        // The search knows nothing of turns.
        self.window.iter_mut().for_each(|window| window.is_full = true);
        self.locks.wanted(op, name, lease)
    }

    /// It won: its key, and the fencing token.
    pub fn on_elected(&mut self, wanted: &Wanted, key: &[u8], token: i64, value: &[u8]) -> Checked {
        let checked = self.locks.locked(&self.history, wanted, key, token);
        self.note(checked)?;
        let checked = self.elections.won(&self.history, wanted, value);
        self.note(checked)
    }

    /// A client is about to ask who leads.
    pub fn on_leader_asked(&self, name: &[u8]) -> Question {
        Question::new(&self.history, name)
    }

    /// It was told: a record and its revision, or that nobody leads.
    pub fn on_leader(&mut self, question: &Question, answer: Option<(&KeyValue, i64)>) -> Checked {
        let checked = self.elections.told(&self.history, question, answer);
        self.note(checked)
    }

    /// An observer was told who leads, or what the leader says, at `revision`.
    pub fn on_observed(&mut self, followed: &mut Followed, kv: &KeyValue, revision: i64) -> Checked {
        let checked = self.elections.observed(&self.history, followed, kv, revision);
        self.note(checked)
    }

    /// A leader by the key that was created at `created` proclaimed a value, at a revision; or it was told
    /// that it does not lead, or that it has resigned.
    pub fn on_proclaimed(&mut self, key: &[u8], created: i64, value: Option<(&[u8], i64)>) -> Checked {
        let checked = self.elections.proclaimed(&self.history, key, created, value);
        self.note(checked)
    }

    /// The elections.
    pub fn elections(&self) -> &Elections {
        &self.elections
    }

    /// It holds the lock: its key, and the fencing token.
    pub fn on_locked(&mut self, wanted: &Wanted, key: &[u8], token: i64) -> Checked {
        let checked = self.locks.locked(&self.history, wanted, key, token);
        self.note(checked)
    }

    /// A write that is guarded by the token of a lock was carried out.
    pub fn on_guarded(&mut self, name: &[u8], token: i64, revision: i64) -> Checked {
        let checked = self.locks.guarded(name, token, revision);
        self.note(checked)
    }

    /// The locks.
    pub fn locks(&self) -> &Locks {
        &self.locks
    }

    /// A client is about to ask about a lease.
    pub fn on_lease_asked(&self, id: i64) -> Asked {
        self.leases.asked(&self.history, id)
    }

    /// A client is about to keep a lease alive.
    pub fn on_keep_alive(&mut self, id: i64) -> Asked {
        self.leases.keeps_alive(&self.history, id)
    }

    /// A keep-alive was answered with a TTL in seconds, 0 for an unknown lease.
    pub fn on_kept_alive(&mut self, asked: &Asked, ttl: i64) -> Checked {
        let checked = self.leases.kept_alive(asked, ttl);
        self.note(checked)
    }

    /// A time-to-live was answered. `local_ns` tells what a member's own clock shows now.
    pub fn on_time_to_live(
        &mut self,
        asked: &Asked,
        with_keys: bool,
        answer: &pb::LeaseTimeToLiveResponse,
        local_ns: impl Fn(u32) -> u64,
    ) -> Checked {
        let checked = self.leases.time_to_live(&self.history, asked, with_keys, answer, local_ns);
        self.note(checked)
    }

    /// A member listed its leases.
    pub fn on_leases(&mut self, answer: &pb::LeaseLeasesResponse) -> Checked {
        let checked = self.leases.listed(answer);
        self.note(checked)
    }

    /// All faults are over and clients ask for nothing any more.
    pub fn on_heal(&mut self, time_ns: u64) {
        self.leases.healed(time_ns);
    }

    /// True time moves on, whether or not anything happens.
    pub fn on_time(&mut self, time_ns: u64) -> Checked {
        let checked = self.leases.are_gone(time_ns);
        self.note(checked)
    }

    /// The leases.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }
}
