//! The multi-version store: which key had which value at which revision.
//!
//! Two persistent maps share one allocation per record: [`index`] has the newest record of each
//! key (tombstones included), [`history`] has every record by its revision. A record names the
//! place of its key's previous record, so reading at an old revision starts at the newest and
//! walks back. Cloning the [`Store`] copies a few pointers; while no clone is held, changes are
//! made in place.
//!
//! Compaction is logical at once (`compact` only moves the compact revision) and physical later, in
//! bounded steps ([`Store::remove_some`]); no answer, hash or export shows how far that got.

mod compaction;
mod hash;
mod history;
mod index;
mod range;
mod restore;
mod sort;
mod store;
mod walk;

pub use compaction::Removal;
pub use hash::HashKv;
pub use range::is_cut;
pub use restore::BadHistory;
pub use store::{Change, Store, Write};
pub use walk::Walk;
