//! The planted bugs by id, one active at a time, and the hook for buggify sites.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

macro_rules! plants {
    ($($(#[$doc:meta])* $name:ident => $id:literal, $scenario:literal, $checker:literal;)*) => {
        /// A planted bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Plant { $($(#[$doc])* $name,)* }

        impl Plant {
            /// All of them.
            pub const ALL: &'static [Plant] = &[$(Plant::$name,)*];
            /// The id on the command line.
            pub const fn id(self) -> &'static str { match self { $(Plant::$name => $id,)* } }
            /// The scenario that must kill it.
            pub const fn scenario(self) -> &'static str { match self { $(Plant::$name => $scenario,)* } }
            /// The checker that must fire, by its name in the verdict; `|` separates several that
            /// are all right.
            pub const fn checker(self) -> &'static str { match self { $(Plant::$name => $checker,)* } }
        }
    };
}

plants! {
    /// The log says "synced" before it synced.
    AckBeforeSync => "ack-before-sync", "power-cut", "C1|C5|S2|durability";
    /// A vote is answered without being saved.
    VoteNotDurable => "vote-not-durable", "power-cut", "C4|C5|C6|R1|S2";
    /// A follower acknowledges an append to the leader before its own sync.
    AppendAckBeforeFollowerSync => "append-ack-before-follower-sync", "power-cut", "C1|C5|S2";
    /// The checkpoint's applied index is saved apart from its data (etcd #13766).
    AppliedIndexApart => "applied-index-apart", "power-cut", "R5|S2";
    /// ReadIndex is answered without a fresh quorum round (etcd #20418).
    ReadIndexWithoutRound => "read-index-without-round", "partitions", "stale-read|L2";
    /// A lagging watcher is moved past compaction without a word (etcd #17529).
    LaggingWatcherSkipsCompaction => "lagging-watcher-skips-compaction", "everything", "watch-reliable|watch-resumable|watch-bookmarkable";
    /// Compaction loses a tombstone at the compact revision (etcd #18089).
    TombstoneLostByCompaction => "tombstone-lost-by-compaction", "everything", "watch-reliable|watch-resumable|watch-bookmarkable|watch-atomic";
    /// After a crash in compaction the revision goes back (etcd #17780).
    RevisionBackAfterCompaction => "revision-back-after-compaction", "everything", "R5|S2|revision";
    /// Pre-votes are always granted.
    GrantingPreVote => "granting-pre-vote", "partitions", "pre-vote";
    /// A put loses its lease or swaps key and value on its way into the log.
    RequestMistranslated => "request-mistranslated", "calm", "answer|revision|watch-reliable";
    /// The answer to an append counts for later ones that cover no more (openraft 0.10.0-alpha.37).
    AnswerCoversLaterAppends => "answer-covers-later-appends", "late-answers", "stale-read|L2";
    /// Reads trust the leader's lease although its clock may run at half speed.
    LeaseRead => "lease-read", "clock-skew", "stale-read|L2";
    /// The answer of a write leaves before the entry is applied here.
    AnswerBeforeApply => "answer-before-apply", "everything", "durability|answer|revision|stale-read";
    /// A delete of nothing takes a revision.
    EmptyDeleteTakesRevision => "empty-delete-takes-revision", "calm", "answer|revision";
    /// `more` is off by one at the limit.
    MoreOffByOne => "more-off-by-one", "calm", "answer";
    /// The log purges behind a checkpoint that is not durable yet.
    PurgeBeforeCheckpoint => "purge-before-checkpoint", "power-cut", "C3|S2|recovery";
    /// A start relies on a name of the checkpoint whose folder was not synced after the rename.
    RenameTrusted => "rename-trusted", "disk-faults", "recovery";
    /// A start relies on what a failed sync left in the operating system's cache.
    FailedSyncTrusted => "failed-sync-trusted", "disk-faults", "recovery";
    /// Requests wait on a connection that the other side has forgotten: no pings.
    HalfOpenLink => "half-open-link", "everything", "liveness|watch-progress";
    /// A watch created in the past delivers from one revision too late.
    WatchStartOffByOne => "watch-start-off-by-one", "calm", "watch-resumable|watch-bookmarkable";
    /// Progress on request is given while watchers lag (etcd #15220).
    ProgressAheadOfEvents => "progress-ahead-of-events", "everything", "watch-bookmarkable";
    /// After a snapshot watchers begin again where they once began (etcd #15271).
    SnapshotRewindsWatchers => "snapshot-rewinds-watchers", "everything", "watch-unique|watch-ordered|watch-bookmarkable|watch-cancel";
    /// An event is published twice (etcd #17247).
    EventPublishedTwice => "event-published-twice", "calm", "watch-unique";
    /// After a restart the index has no tombstones (etcd #19179): here it is reads of the past that
    /// lose what was before them.
    TombstoneNotRestored => "tombstone-not-restored", "everything", "answer|R5|S1|S2|watch-prev-kv|watch-reliable";
    /// After a snapshot watches from the future begin at once (etcd #20221).
    SnapshotLowersFutureStart => "snapshot-lowers-future-start", "everything", "watch-future-start";
    /// A snapshot jumps over what watchers still need (etcd #8411, #8427, #9281).
    SnapshotForgetsWatchers => "snapshot-forgets-watchers", "everything", "watch-reliable|watch-resumable|watch-bookmarkable|watch-progress";
    /// A cancel drops events that progress queued behind them speaks of.
    CancelDropsWhatProgressSpeaksOf => "cancel-drops-what-progress-speaks-of", "watchers", "watch-bookmarkable";
    /// The refusal of one watch names watch 0, which its client then takes for closed (etcd #14562).
    RefusalNamesWatchZero => "refusal-names-watch-zero", "calm", "watch-cancel";
    /// Who led once goes on moving the lease clock, and nobody looks at the term (etcd #15247, #12528).
    DeposedLeaderTicks => "deposed-leader-ticks", "leases", "lease-handover|lease-early";
    /// The keys of a lease go first; a keep-alive in the same step still saves the lease (etcd #14758).
    KeysGoBeforeLease => "keys-go-before-lease", "leases", "lease-dead|lease-atomic";
    /// Leases with negative ids are not restored (etcd #12535, #13676).
    NegativeLeaseLost => "negative-lease-lost", "leases", "recovery|S1|S2|R5";
    /// A lease that is renewed to the deadline it has is no longer due at any time (etcd #10686).
    RenewalLosesTimer => "renewal-loses-timer", "leases", "lease-gone|lease-kept|R5|S1|S2";
    /// The lease clock moves only when something begins, is renewed or ends, so that a leader takes all
    /// that passed since then with it (etcd #13491).
    NoIdleTicks => "no-idle-ticks", "idle", "lease-steady";
    /// A keep-alive in the step that settles the grant is told that there is no such lease (etcd #13932).
    FreshLeaseUnknown => "fresh-lease-unknown", "leases", "lease-kept";
    /// The lease clock of a leader runs on while others lead, until it leads again (etcd #14087).
    ClockRunsOn => "clock-runs-on", "leases", "lease-handover|lease-early";
    /// A new leader lets every lease begin anew (etcd #13491, #13508).
    NewLeaderRenewsAll => "new-leader-renews-all", "leases", "lease-gone";
    /// A leader whose lease clock does not run yet tells the time left by a clock of zero (etcd #17642).
    TtlWithoutClock => "ttl-without-clock", "leases", "lease-countdown";
    /// What has passed since the leader began to lead counts twice in the time that is left.
    TtlElapsedTwice => "ttl-elapsed-twice", "leases", "lease-countdown";
    /// The time left is told by a clock that was read before the lease was renewed.
    TtlFromOlderMoment => "ttl-from-older-moment", "leases", "lease-countdown";
    /// The lease clock runs by the wall clock (etcd #12291, #6700).
    LeaseWallClock => "lease-wall-clock", "leases", "lease-early|lease-handover|lease-gone";
    /// Who waits for a lock waits for the next in the queue only, which may leave before its turn.
    LockWaitsForOne => "lock-waits-for-one", "leases", "lock-exclusive";
    /// An observer begins to follow its leader one revision too late.
    ObserverStartsLate => "observer-starts-late", "leases", "election-observed";
    /// Who campaigns with a key that stands in the queue already keeps the value it had.
    CampaignKeepsValue => "campaign-keeps-value", "leases", "election-value|revision|answer";
    /// Who leads is told from a member's own view, however old.
    LeaderFromOldView => "leader-from-old-view", "leases", "election-leader|election-observed|lock-exclusive";
    /// Who resigns deletes its key, also when it won it anew meanwhile.
    ResignWithoutGuard => "resign-without-guard", "leases", "revision|answer|lease-atomic";
    /// What users may do is not made anew from a checkpoint or snapshot (etcd #14571).
    GrantsNotRestored => "grants-not-restored", "users", "S1|S2|R5|permission";
    /// The operations of a nested transaction need no permission (CVE-2026-33343).
    NestedTxnNotPermitted => "nested-txn-not-permitted", "users", "permission";
    /// A put gives back the previous record to who may only write (CVE-2026-44283).
    PrevKvNotPermitted => "prev-kv-not-permitted", "users", "permission";
    /// A watch of all keys from one on needs the permission for that key only (GHSA-xg4h-6gfc-h4m8).
    WatchFromKeyNotPermitted => "watch-from-key-not-permitted", "users", "permission";
    /// Whether a read is permitted is looked at before its quorum round.
    PermissionFromOldView => "permission-from-old-view", "users", "permission";
    /// A token goes on to count after its user got a new password.
    VoidedTokensCount => "voided-tokens-count", "users", "permission";
    /// Who may what does not matter when a write is applied.
    WriteNotPermittedAtApply => "write-not-permitted-at-apply", "users", "permission";
    /// A write that was applied is applied again when its client sends it again.
    RetryAppliedAgain => "retry-applied-again", "retries", "exactly-once";
    /// A member proposes a write again when it does not know what became of it (etcd #14890).
    ProposalSentAgain => "proposal-sent-again", "retries", "duplicate-apply";
}

/// 0: none; otherwise index in [`Plant::ALL`] plus one. Set once, before the node starts.
static ACTIVE: AtomicU32 = AtomicU32::new(0);
static BUGGIFY: OnceLock<fn(&'static str) -> bool> = OnceLock::new();

/// Activates `plant` (or none) for this process.
pub fn activate(plant: Option<Plant>) {
    let index = plant.and_then(|plant| Plant::ALL.iter().position(|p| *p == plant));
    ACTIVE.store(index.map_or(0, |i| u32::try_from(i + 1).expect("few plants")), Ordering::Relaxed);
}

/// Whether `plant` is active.
pub fn is_active(plant: Plant) -> bool {
    let active = ACTIVE.load(Ordering::Relaxed);
    active != 0 && Plant::ALL[active as usize - 1] == plant
}

/// Installs the world's decision for buggify sites.
pub fn set_buggify(decide: fn(&'static str) -> bool) {
    let _ = BUGGIFY.set(decide);
}

/// Asks the world whether the site shall misbehave now.
pub fn buggify(site: &'static str) -> bool {
    BUGGIFY.get().is_some_and(|decide| decide(site))
}
