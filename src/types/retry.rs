//! Exactly-once requests: what is remembered of a client that numbers its writes.

/// The last numbered write of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryRecord {
    /// The client's own id, never 0.
    pub client: u64,
    /// The write's number; a client's numbers grow.
    pub sequence: u64,
    /// Orders the clients by their last new write: the first is forgotten first.
    pub used: u64,
    /// The store's revision after the write.
    pub revision: i64,
    /// What the answer said.
    pub outcome: Outcome,
}

/// What is kept of an answer. Such requests ask for no records, so that this is little.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A put.
    Put,
    /// A delete of this many keys.
    DeleteRange(i64),
    /// A transaction: whether its compares held, and how many keys each of its deletes removed.
    Txn {
        /// Which branch ran.
        succeeded: bool,
        /// By the order of deletes in that branch.
        deleted: Vec<i64>,
    },
}
