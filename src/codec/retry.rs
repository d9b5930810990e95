//! Mirrors of what is remembered for exactly-once retries.

use serde::{Deserialize, Serialize};

use crate::types::{Outcome, RetryRecord};

/// [`RetryRecord`].
#[derive(Serialize, Deserialize)]
pub(super) struct RetryV1 {
    client: u64,
    sequence: u64,
    used: u64,
    revision: i64,
    outcome: OutcomeV1,
}

#[derive(Serialize, Deserialize)]
enum OutcomeV1 {
    Put,
    DeleteRange(i64),
    Txn(bool, Vec<i64>),
}

impl From<&RetryRecord> for RetryV1 {
    fn from(record: &RetryRecord) -> Self {
        let outcome = match &record.outcome {
            Outcome::Put => OutcomeV1::Put,
            Outcome::DeleteRange(deleted) => OutcomeV1::DeleteRange(*deleted),
            Outcome::Txn { succeeded, deleted } => OutcomeV1::Txn(*succeeded, deleted.clone()),
        };
        let RetryRecord { client, sequence, used, revision, .. } = *record;
        RetryV1 { client, sequence, used, revision, outcome }
    }
}

impl From<RetryV1> for RetryRecord {
    fn from(mirror: RetryV1) -> Self {
        let outcome = match mirror.outcome {
            OutcomeV1::Put => Outcome::Put,
            OutcomeV1::DeleteRange(deleted) => Outcome::DeleteRange(deleted),
            OutcomeV1::Txn(succeeded, deleted) => Outcome::Txn { succeeded, deleted },
        };
        let RetryV1 { client, sequence, used, revision, .. } = mirror;
        RetryRecord { client, sequence, used, revision, outcome }
    }
}
