//! Panics that somebody waits for. All others end the program (`cli/logging.rs`).

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; a panic in it is told as any other, and then given to the caller.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    let before = IS_CAUGHT.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    IS_CAUGHT.set(before);
    result
}

/// Whether a panic of this thread would be caught now.
pub fn is_caught() -> bool {
    IS_CAUGHT.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_who_waits() {
        assert_eq!((catch(is_caught).ok(), is_caught()), (Some(true), false));
        assert!(catch(|| panic!("on purpose")).is_err() && !is_caught());
    }
}
