//! openraft's own suites over our runtime, log and state machine.

use std::sync::Arc;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use openraft_rt::AsyncRuntime;

use super::{Directory, NoSink, block_on};
use crate::checkpoint::Checkpoint;
use crate::os::OsRuntime;
use crate::raft::config::TypeConfig;
use crate::raft::engine::recovered;
use crate::raft::log_store::LogStore;
use crate::raft::machine::{Limits, Machine, Shared};
use crate::raft::runtime::RaftRuntime;
use crate::types::LogPosition;
use crate::wal::{Wal, WalOptions};

#[test]
fn runtime() {
    let world = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _entered = world.enter();
    let handle = world.handle().clone();
    let (done, ended) = tokio::sync::oneshot::channel::<()>();
    #[expect(clippy::disallowed_methods, reason = "the suite blocks this thread, so tasks need another")]
    let driver = std::thread::spawn(move || world.block_on(ended));
    let _inside = handle.enter();
    openraft_rt::testing::Suite::test_all_on(&mut RaftRuntime::<OsRuntime>::new(1));
    drop(done);
    let _ = driver.join();
}

/// Makes stores in a directory of its own.
struct Builder(Directory);

impl StoreBuilder<TypeConfig<OsRuntime>, LogStore<OsRuntime>, Machine<OsRuntime>> for Builder {
    async fn build(
        &self,
    ) -> Result<((), LogStore<OsRuntime>, Machine<OsRuntime>), StorageError<TypeConfig<OsRuntime>>> {
        let disk = self.0.disk();
        let options = WalOptions { segment_bytes: 64 * 1024, ..WalOptions::default() };
        let (wal, _) = Wal::open(disk.clone(), options).await.expect("a log");
        let (checkpoint, loaded) = Checkpoint::open(disk).await.expect("a checkpoint");
        let limits = Limits { entries: u64::MAX, bytes: u64::MAX };
        let core = recovered(loaded).expect("a state");
        let shared = Shared::new(core, Arc::new(NoSink), checkpoint, limits);
        // The suite purges what was never saved.
        shared.saved(LogPosition { term: 0, leader: 0, index: u64::MAX });
        shared.started();
        let store = LogStore::new(wal, 1, shared.durable.subscribe());
        Ok(((), store, Machine::new(shared)))
    }
}

type Checks = Suite<TypeConfig<OsRuntime>, LogStore<OsRuntime>, Machine<OsRuntime>, Builder, ()>;

/// One test for each of openraft's checks, except those that begin a log in its middle: ours begins
/// at 0 or after a purge, and refuses anything else.
macro_rules! checks {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            block_on(async {
                let builder = Builder(Directory::new(stringify!($name)));
                let ((), store, machine) = builder.build().await.expect("a store");
                Checks::$name(store, machine).await.expect("openraft's check holds");
            });
        }
    )*};
}

checks! {
    last_membership_in_log_initial
    get_membership_initial
    get_membership_from_empty_log_and_sm
    get_initial_state_without_init
    get_initial_state_membership_from_empty_log_and_sm
    get_initial_state_membership_from_log_insm_is_smaller
    get_initial_state_with_state
    get_initial_state_last_log_gt_sm
    get_initial_state_log_ids
    save_vote
    get_log_entries
    limited_get_log_entries
    leader_bounded_stream
    entries_stream
    try_get_log_entry
    log_reader_reads_new_entries
    initial_logs
    get_log_state
    get_log_id
    last_id_in_log
    last_applied_state
    purge_logs_upto_0
    purge_logs_upto_5
    purge_logs_upto_20
    delete_logs_after_11
    delete_logs_after_5
    delete_logs_after_0
    delete_logs_after_none
    append_to_log
    snapshot_meta
    snapshot_meta_optional
    apply_single
    apply_multiple
}
