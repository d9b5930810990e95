//! What the engine calls after each applied batch.

use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

use super::auth::Tokens;
use super::visible::Visible;
use crate::raft::{AppliedEntry, ApplySink};
use crate::runtime::channel::Notify;
use crate::runtime::{Observation, Runtime, lock};
use crate::state::View;
use crate::types::Response;

/// Connects the engine's apply to this member's readers, watchers and proposers.
pub(super) struct Sink<R> {
    visible: Arc<Visible>,
    /// Rings while there are granted leases that no tick has settled.
    granted: Arc<Notify>,
    tokens: Arc<Mutex<Tokens>>,
    world: PhantomData<R>,
}

impl<R: Runtime> Sink<R> {
    pub fn new(visible: Arc<Visible>, granted: Arc<Notify>, tokens: Arc<Mutex<Tokens>>) -> Self {
        Sink { visible, granted, tokens, world: PhantomData }
    }

    /// Every member knows every token: a client may show it to any of them.
    fn add_token(&self, entry: &AppliedEntry) {
        if let Ok(Response::Authenticated { user, auth_revision, letters }) = &entry.applied.response {
            let mut tokens = lock(&self.tokens);
            tokens.add(letters.clone(), *user, *auth_revision, entry.position, R::now());
        }
    }
}

impl<R: Runtime> ApplySink for Sink<R> {
    fn applied(&self, mut batch: Vec<AppliedEntry>, view: View) {
        let events: Vec<_> =
            batch.iter_mut().flat_map(|entry| std::mem::take(&mut entry.applied.events)).collect();
        if view.leases().has_fresh() {
            self.granted.notify_one();
        }
        batch.iter().for_each(|entry| self.add_token(entry));
        let revision = view.revision();
        let touched = self.visible.hub().publish(view, &events);
        R::observe(Observation::Visible { revision });
        self.visible.ring(&touched);
        let mut pending = self.visible.pending();
        for entry in batch {
            pending.complete(entry.request_id, entry.applied);
        }
    }

    fn installed(&self, view: View) {
        let revision = view.revision();
        let touched = self.visible.hub().jump(view);
        R::observe(Observation::Visible { revision });
        self.visible.ring(&touched);
    }
}
