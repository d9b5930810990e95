//! Bodies that need no second look.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the body of an answer says of itself whenever it was polled: it is at rest if all that can change
/// it wakes its task, the client's next word included. Then it need not be asked again after a frame,
/// and hears by itself when the client gives up.
///
/// It goes with the answer as an extension.
#[derive(Clone, Default)]
pub(super) struct Rest(Arc<AtomicBool>);

impl Rest {
    pub fn set(&self, is_at_rest: bool) {
        self.0.store(is_at_rest, Ordering::Relaxed);
    }

    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
