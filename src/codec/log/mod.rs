//! The write-ahead log's bytes: records, and batches of records (docs/FORMAT.md).

mod batch;
mod record;

pub use batch::{Batch, BatchBuilder, BatchError, HEAD_BYTES, batch_at, is_torn, next_batch};
pub use record::{EntryRef, Opened, PayloadKind, Place, Record, SegmentEnd, entry_at, fingerprint};
