//! The watch hub: who follows what, how far each has come, and what each stream gets next. Pure:
//! it knows history and events, neither clients nor connections.
//!
//! A watcher has a cursor, not a queue of copies. Events are shared by reference, and so are their
//! encodings. A stream whose queue is full makes its watchers lag: they remember the next revision
//! and catch up from history by whole revisions, in pieces, when the stream drains. When all queues
//! together hold too much, those of slow streams are given back in the same way, so
//! memory is bounded for any number of slow streams. Apply never waits for a client, nothing is
//! dropped; when compaction passes a lagging watcher it is cancelled once, with the compact revision
//! (W11).

mod announced;
mod catch_up;
mod hub;
mod publish;
mod ranges;
mod session;
#[cfg(test)]
mod tests;
mod watcher;

pub use announced::{Announced, Events};
pub use catch_up::CatchUp;
pub use hub::{Hub, SessionId};
pub use session::Output;
pub use watcher::{Create, Filters};

use crate::types::{Event, KeyValue};

/// What the hub reads when a watcher lags: the store's history at one moment. A clone is O(1).
pub trait History: Clone {
    /// The newest revision in it.
    fn revision(&self) -> i64;
    /// Revisions below this one are gone; this one itself is readable.
    fn compact_revision(&self) -> i64;
    /// Records from main revision `from` on, in revision order.
    fn changes(&self, from: i64) -> impl Iterator<Item = KeyValue> + '_;
    /// The event of a record, with the live record before it unless that is compacted away (W17).
    fn event(&self, kv: &KeyValue) -> Event;
}
