//! What a node needs to know to start.

use super::AutoCompaction;
use crate::types::limits;

/// One entry of the initial cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialMember {
    /// The member's name.
    pub name: String,
    /// Its peer URLs, as given.
    pub peer_urls: Vec<String>,
}

/// Everything a node is started with; units are in the names.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// This member's name; one of `initial_cluster`.
    pub name: String,
    /// All members at bootstrap, this one included.
    pub initial_cluster: Vec<InitialMember>,
    /// Token that keeps clusters with the same URLs apart.
    pub initial_cluster_token: String,
    /// Addresses (`ip:port`) to listen on for peers.
    pub listen_peer: Vec<String>,
    /// URLs published to clients.
    pub advertise_client_urls: Vec<String>,
    /// Time between heartbeats of a leader.
    pub heartbeat_interval_ms: u64,
    /// Nobody campaigns before this time without a leader.
    pub election_timeout_ms: u64,
    /// Applied entries between checkpoints, at most.
    pub snapshot_count: u64,
    /// Log entries kept behind the checkpoint for slow followers.
    pub catchup_entries: u64,
    /// Spare log segments kept; 0 keeps every segment.
    pub max_wals: u64,
    /// Size of a log segment.
    pub segment_bytes: u64,
    /// Storage quota; <= 0 means none.
    pub quota_bytes: i64,
    /// Operations in one transaction.
    pub max_txn_ops: usize,
    /// Largest request.
    pub max_request_bytes: usize,
    /// Whether and what the leader compacts by itself.
    pub auto_compaction: AutoCompaction,
    /// Records looked at in one step of the removal after a compaction (C5).
    pub compaction_batch_limit: usize,
    /// Pause between two such steps.
    pub compaction_sleep_ms: u64,
    /// Bytes that the answers of reads may take in memory, over all requests.
    pub read_budget_bytes: usize,
    /// Time between progress notices of watchers that asked for them (W18); below
    /// `limits::MIN_PROGRESS_INTERVAL_MS` it counts as that.
    pub progress_interval_ms: u64,
    /// Rounds of bcrypt, as a power of two, from `limits::MIN_BCRYPT_COST` to `limits::MAX_BCRYPT_COST`.
    pub bcrypt_cost: u32,
    /// Passwords that are hashed or compared at a time, at least 1.
    pub hashes_at_a_time: usize,
    /// Time after which a token that was not used is void (A14).
    pub auth_token_ttl_ms: u64,
}

impl NodeConfig {
    /// etcd's defaults for a cluster of `members`, for the one called `name`.
    pub fn new(name: &str, initial_cluster: Vec<InitialMember>) -> Self {
        NodeConfig {
            name: name.to_string(),
            initial_cluster,
            initial_cluster_token: "etcd-cluster".to_string(),
            listen_peer: Vec::new(),
            advertise_client_urls: Vec::new(),
            heartbeat_interval_ms: limits::HEARTBEAT_INTERVAL_MS,
            election_timeout_ms: limits::ELECTION_TIMEOUT_MS,
            snapshot_count: 10_000,
            catchup_entries: 5_000,
            max_wals: 5,
            segment_bytes: 64_000_000,
            quota_bytes: limits::QUOTA_BYTES,
            max_txn_ops: limits::MAX_TXN_OPS,
            max_request_bytes: limits::MAX_REQUEST_BYTES,
            auto_compaction: AutoCompaction::Off,
            compaction_batch_limit: limits::COMPACTION_BATCH_LIMIT,
            compaction_sleep_ms: limits::COMPACTION_SLEEP_MS,
            read_budget_bytes: limits::READ_BUDGET_BYTES,
            progress_interval_ms: limits::PROGRESS_INTERVAL_MS,
            bcrypt_cost: limits::BCRYPT_COST,
            hashes_at_a_time: 1,
            auth_token_ttl_ms: limits::AUTH_TOKEN_TTL_MS,
        }
    }
}
