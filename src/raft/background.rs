//! What an engine does beside requests: checkpoints and purges, removal after compactions, rounds
//! of reads, and telling of its role.

use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;

use super::engine::Inner;
use super::status::role;
use crate::runtime::{Either, Observation, Runtime, Task, select};

/// A checkpoint is made this long after the last one, if anything was applied.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(30);
/// How long openraft may take to hear of a checkpoint it asked for.
const BUILD_PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);
/// Pause between two steps of removal, so that foreground work goes first.
const REMOVAL_PAUSE: Duration = Duration::from_millis(10);

/// Starts the tasks of an engine.
pub(super) fn start<R: Runtime>(inner: &Arc<Inner<R>>, catchup_entries: u64) -> Vec<Task<()>> {
    vec![
        R::spawn("checkpoints", run_checkpoints(inner.clone(), catchup_entries)),
        R::spawn("removal", run_removal(inner.clone())),
        R::spawn("read rounds", inner.clone().run_local_rounds()),
        R::spawn("forwarded reads", inner.clone().run_forwarded_rounds()),
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
        let until = R::now() + BUILD_PATIENCE;
        let built = loop {
            let snapshot = inner.data.borrow_watched().snapshot;
            match snapshot {
                Some(log_id) if log_id.index >= before.index => break log_id.index,
                _ if R::now() >= until || inner.is_stopped() => break 0,
                _ => R::sleep(POLL).await,
            }
        };
        if let Some(upto) = built.checked_sub(catchup_entries).filter(|upto| *upto > 0)
            && inner.raft.trigger().purge_log(upto).await.is_err()
        {
            return;
        }
    }
}

async fn run_removal<R: Runtime>(inner: Arc<Inner<R>>) {
    loop {
        while inner.shared.remove_some() {
            R::sleep(REMOVAL_PAUSE).await;
        }
        inner.shared.compacted.notified().await;
    }
}

/// Tells of each change of role, term or leader.
async fn run_role<R: Runtime>(inner: Arc<Inner<R>>) {
    let mut server = inner.server.clone();
    let mut last = None;
    loop {
        let now = {
            let server = server.borrow_and_update();
            (server.vote.leader_id.term, role(server.state), server.current_leader)
        };
        if last != Some(now) {
            let (term, role, leader) = now;
            let member = format!("{:x}", inner.local.member_id);
            tracing::info!(member, term, role = ?role, leader = leader.map(|id| format!("{id:x}")), "raft role");
            R::observe(Observation::RoleChanged { term, role, leader });
            last = Some(now);
        }
        if server.changed().await.is_err() {
            return;
        }
    }
}
