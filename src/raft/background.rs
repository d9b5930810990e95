//! What an engine does beside requests: checkpoints and purges, removal after compactions, rounds
//! of reads, and telling of its role.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;

use super::config::Membership;
use super::engine::Inner;
use super::status::role;
use crate::runtime::{Either, Observation, Runtime, Task, select, timeout};
use crate::types::Member;

/// A checkpoint is made this long after the last one, if anything was applied.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(30);
/// How long openraft may take to hear of a checkpoint it asked for.
const BUILD_PATIENCE: Duration = Duration::from_secs(60);
/// How fast removal goes.
#[derive(Clone, Copy, Debug)]
pub struct Removal {
    /// Records looked at in one step.
    pub step: usize,
    /// Pause between two steps, so that foreground work goes first.
    pub pause: Duration,
}

/// Starts the tasks of an engine.
pub(super) fn start<R: Runtime>(
    inner: &Arc<Inner<R>>,
    catchup_entries: u64,
    removal: Removal,
) -> Vec<Task<()>> {
    vec![
        R::spawn("checkpoints", run_checkpoints(inner.clone(), catchup_entries)),
        R::spawn("removal", run_removal(inner.clone(), removal)),
        R::spawn("read rounds", inner.clone().run_local_rounds()),
        R::spawn("forwarded reads", inner.clone().run_forwarded_rounds()),
        R::spawn("forwarded keep-alives", inner.clone().run_forwarded_renewals()),
        R::spawn("forwarded lease clock", inner.clone().run_forwarded_moments()),
        R::spawn("forwarded proposals", inner.clone().run_forwards()),
        R::spawn("role", run_role(inner.clone())),
    ]
}

/// Makes a checkpoint when one is due, then purges the log behind it.
async fn run_checkpoints<R: Runtime>(inner: Arc<Inner<R>>, catchup_entries: u64) {
    loop {
        let due = inner.shared.due.notified();
        if let Either::Second(()) = select(due, R::sleep(CHECKPOINT_INTERVAL)).await
            && inner.shared.core().entries_since == 0
        {
            continue;
        }
        let Some(before) = inner.shared.core().applied else { continue };
        if inner.raft.trigger().snapshot().await.is_err() {
            return;
        }
        let Some(durable) = timeout::<R, _>(BUILD_PATIENCE, saved(&inner, before.index)).await else {
            tracing::warn!(index = before.index, "a checkpoint takes longer than usual");
            continue;
        };
        if let Some(upto) = durable.checked_sub(catchup_entries).filter(|upto| *upto > 0)
            && inner.raft.trigger().purge_log(upto).await.is_err()
        {
            return;
        }
    }
}

/// Waits until a checkpoint that holds `index` is durable and openraft knows it, which purges no
/// further than that. Returns the checkpoint's index.
async fn saved<R: Runtime>(inner: &Inner<R>, index: u64) -> u64 {
    let mut durable = inner.shared.durable.subscribe();
    // The sender lives as long as the engine.
    let _ = durable.wait_for(|durable| durable.is_some_and(|at| at.index >= index)).await;
    let mut data = inner.data.clone();
    let known = data.wait_until(|data| data.snapshot.is_some_and(|at| at.index >= index)).await;
    let known = known.ok().and_then(|data| data.snapshot).map_or(0, |at| at.index);
    inner.shared.durable.borrow().map_or(0, |at| at.index).min(known)
}

async fn run_removal<R: Runtime>(inner: Arc<Inner<R>>, removal: Removal) {
    loop {
        while inner.shared.remove_some(removal.step) {
            R::sleep(removal.pause).await;
        }
        inner.shared.compacted.notified().await;
    }
}

/// Tells of each change of role, term, leader or membership, and ends the node when openraft ended
/// without being asked to: whatever broke it is not understood.
async fn run_role<R: Runtime>(inner: Arc<Inner<R>>) {
    let mut server = inner.server.clone();
    let (mut last, mut last_membership) = (None, None);
    loop {
        let (now, membership) = {
            let server = server.borrow_and_update();
            let now = (server.vote.leader_id.term, role(server.state), server.current_leader);
            (now, server.membership_config.clone())
        };
        if last != Some(now) {
            let (term, role, leader) = now;
            let member = format!("{:x}", inner.local.member_id);
            tracing::info!(member, term, role = ?role, leader = leader.map(|id| format!("{id:x}")), "raft role");
            R::observe(Observation::RoleChanged { term, role, leader });
            last = Some(now);
        }
        if last_membership.as_ref() != Some(membership.log_id()) {
            R::observe(Observation::Membership(members(membership.membership())));
            last_membership = Some(*membership.log_id());
        }
        if server.changed().await.is_err() {
            break;
        }
    }
    if !inner.is_stopped() {
        let why = match &inner.raft.metrics().borrow_watched().running_state {
            Err(fatal) => fatal.to_string(),
            Ok(()) => "its task panicked".to_string(),
        };
        R::crash(&format!("Raft stopped: {why}"));
    }
}

/// A membership by ids: names and URLs are the store's.
fn members(membership: &Membership) -> Vec<Member> {
    let voters: BTreeSet<u64> = membership.voter_ids().collect();
    let member =
        |(id, ()): (&u64, &())| Member { id: *id, is_learner: !voters.contains(id), ..Member::default() };
    membership.nodes().map(member).collect()
}
