//! redb panics on much of the damage that it was not built to expect, and not all of that is seen when a
//! file is opened: pages of its bookkeeping are first read by a commit, also by the one that closes it.
//! Around all of its work such a panic is an error like any other.

use std::any::Any;
use std::cell::Cell;
use std::ops::Deref;
use std::panic::{resume_unwind, set_hook, take_hook};
use std::sync::Once;

use redb::Database;

use super::CheckpointError;
use crate::runtime::catch;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; a panic with a text becomes [`CheckpointError::Damaged`] and is not printed.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, CheckpointError>) -> Result<T, CheckpointError> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let loud = take_hook();
        set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                loud(info);
            }
        }));
    });
    let before = GUARDED.replace(true);
    let result = catch(work);
    GUARDED.set(before);
    result.unwrap_or_else(|panic| match text(&*panic) {
        Some(text) => Err(CheckpointError::Damaged(text)),
        None => resume_unwind(panic),
    })
}

/// An open database. What goes wrong while it is closed is told and no more: closing keeps nothing
/// that a save did not, and whoever opens the file again judges it anew.
#[derive(Debug)]
pub(super) struct Open(Option<Database>);

impl Open {
    pub fn new(database: Database) -> Self {
        Open(Some(database))
    }
}

impl Deref for Open {
    type Target = Database;

    fn deref(&self) -> &Database {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let database = self.0.take();
        if let Err(error) = guarded(|| {
            drop(database);
            Ok(())
        }) {
            tracing::warn!(%error, "the checkpoint was not closed well");
        }
    }
}

/// The first line of a panic's text.
fn text(panic: &(dyn Any + Send)) -> Option<String> {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))?;
    Some(text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_damage() {
        let found = guarded(|| -> Result<(), CheckpointError> { panic!("page {} is\nbad", 7) });
        assert_eq!(found.unwrap_err().to_string(), "checkpoint database is damaged: page 7 is");
        assert_eq!(guarded(|| Ok(5)).unwrap(), 5);
    }
}
