//! Bounds and defaults, with the relations between them checked at compile time
//! (etcd-surface section 7).

/// Largest request a client may send, by default (`--max-request-bytes`).
pub const MAX_REQUEST_BYTES: usize = 1_572_864;
/// What a gRPC message may have over `MAX_REQUEST_BYTES` (M7).
pub const GRPC_OVERHEAD_BYTES: usize = 512 * 1024;
/// Operations in a transaction, by default (`--max-txn-ops`, T1).
pub const MAX_TXN_OPS: usize = 128;
/// Nested transactions deeper than this are refused when decoding, so that no stack overflows.
pub const MAX_TXN_DEPTH: usize = 64;
/// Storage quota by default (`--quota-backend-bytes` 0).
pub const QUOTA_BYTES: i64 = 2 * 1024 * 1024 * 1024;
/// Heartbeats in milliseconds, by default.
pub const HEARTBEAT_INTERVAL_MS: u64 = 100;
/// Election time-out in milliseconds, by default.
pub const ELECTION_TIMEOUT_MS: u64 = 1000;
/// Largest election time-out in milliseconds.
pub const MAX_ELECTION_TIMEOUT_MS: u64 = 50_000;
/// An election time-out is at least this many heartbeats.
pub const MIN_ELECTION_HEARTBEATS: u64 = 5;
/// Time between progress notices of watchers in milliseconds, by default and at least (W18).
pub const PROGRESS_INTERVAL_MS: u64 = 600_000;
/// See [`PROGRESS_INTERVAL_MS`].
pub const MIN_PROGRESS_INTERVAL_MS: u64 = 100;
/// Cost of a put besides key and value, for the quota (MA4).
pub const PUT_COST_BYTES: i64 = 256;
/// Proposals that may wait on one member, in count.
pub const MAX_PENDING_PROPOSALS: usize = 5000;
/// Proposals that may wait on one member, in bytes.
pub const MAX_PENDING_PROPOSAL_BYTES: usize = 256 * 1024 * 1024;
/// Records looked at in one step of the removal after a compaction, by default (C5).
pub const COMPACTION_BATCH_LIMIT: usize = 1000;
/// Pause between two such steps in milliseconds, by default (C5).
pub const COMPACTION_SLEEP_MS: u64 = 10;
/// Clients whose last numbered write is remembered for exactly-once retries.
pub const MAX_RETRY_CLIENTS: usize = 4096;
/// Bytes that the answers of reads may take in memory on one member, over all requests.
pub const READ_BUDGET_BYTES: usize = 256 * 1024 * 1024;
/// Longest TTL of a lease in seconds (L2).
pub const MAX_LEASE_TTL_S: i64 = 9_000_000_000;
/// Added to each deadline, in milliseconds: a client counts from when it hears of a grant or a
/// renewal, which is a commit later than the clock that the deadline was computed from.
pub const LEASE_GRACE_MS: u64 = 50;
/// Leases renewed by one entry.
pub const MAX_TICK_RENEWALS: usize = 4096;
/// Leases ended by one entry, so that an avalanche of expiries leaves room for other entries.
pub const MAX_TICK_EXPIRIES: usize = 500;
/// Keys after whose removal an entry ends no further lease. One lease's keys always go together.
pub const MAX_TICK_EXPIRED_KEYS: usize = 1000;
/// Keep-alives of one stream that are being served; then its client is held back.
pub const MAX_STREAM_KEEP_ALIVES: usize = 1024;
/// Rounds of bcrypt as a power of two, by default (A13), at least and at most.
pub const BCRYPT_COST: u32 = 10;
/// See [`BCRYPT_COST`].
pub const MIN_BCRYPT_COST: u32 = 4;
/// See [`BCRYPT_COST`].
pub const MAX_BCRYPT_COST: u32 = 31;
/// Bytes that the name of a user or role, and each end of a permission's range, may have: all of them
/// together stand in one frame.
pub const MAX_AUTH_NAME_BYTES: usize = 4096;
/// Time after which a token that was not used is void, in milliseconds, by default (A14).
pub const AUTH_TOKEN_TTL_MS: u64 = 300_000;
/// The newest level of the replicated state machine that this build understands.
pub const MAX_LEVEL: u32 = 1;
/// The oldest level of the replicated state machine that this build understands.
pub const MIN_LEVEL: u32 = 1;
/// Version shown to clients (D1).
pub const ETCD_VERSION: &str = "3.7.1";

/// Time a request may take, in milliseconds: 5 s plus two election time-outs (error 49).
pub const fn request_timeout_ms(election_timeout_ms: u64) -> u64 {
    5000 + 2 * election_timeout_ms
}

/// The least TTL of a lease, in seconds: 1.5 election time-outs, rounded up (L3).
pub const fn min_lease_ttl_s(election_timeout_ms: u64) -> i64 {
    (election_timeout_ms * 3).div_ceil(2000).cast_signed()
}

const _: () = assert!(min_lease_ttl_s(ELECTION_TIMEOUT_MS) == 2);
const _: () = assert!(ELECTION_TIMEOUT_MS >= MIN_ELECTION_HEARTBEATS * HEARTBEAT_INTERVAL_MS);
const _: () = assert!(MAX_REQUEST_BYTES <= u32::MAX as usize);
const _: () = assert!(MIN_LEVEL <= MAX_LEVEL);
