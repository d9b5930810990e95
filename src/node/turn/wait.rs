//! Waiting for keys to come and go.

use bytes::Bytes;

use crate::node::Node;
use crate::node::api::{RequestContext, WatchCreate, WatchOutput};
use crate::runtime::Runtime;
use crate::types::{Error, Event, KeyRange, Login, RangeRequest, SortOrder, SortTarget};

/// What is taken of a watch at a time, about.
const OUTPUT_BYTES: usize = 16 * 1024;

/// Events of some keys from a revision on.
pub(super) struct Events<R: Runtime> {
    session: crate::node::WatchSession<R>,
    left: std::vec::IntoIter<Event>,
    /// The watch was cancelled: what is left is the last.
    is_over: bool,
}

impl<R: Runtime> Events<R> {
    /// Follows `range` from `revision` on, for `login`.
    pub fn of(node: &Node<R>, range: KeyRange, revision: i64, login: Option<Login>) -> Self {
        let mut session = node.watch_session();
        let create = WatchCreate {
            range,
            start_revision: revision,
            progress_notify: false,
            filters: Vec::new(),
            prev_kv: false,
            watch_id: 0,
            fragment: false,
        };
        session.create(create, Ok(login));
        Events { session, left: Vec::new().into_iter(), is_over: false }
    }

    /// The next event; `None` once they were compacted before they were seen. Errors: Stopped.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if let Some(event) = self.left.next() {
                return Ok(Some(event));
            }
            if self.is_over {
                return Ok(None);
            }
            let outputs = self.session.next(OUTPUT_BYTES).await.ok_or(Error::Stopped)?;
            let mut events = Vec::new();
            for output in outputs {
                match output {
                    WatchOutput::Canceled { .. } | WatchOutput::Refused { .. } => self.is_over = true,
                    WatchOutput::Events { events: some, .. } => {
                        events.extend(some.as_slice().iter().map(|announced| announced.event().clone()));
                    }
                    WatchOutput::Created { .. } | WatchOutput::Progress { .. } => {}
                }
            }
            self.left = events.into_iter();
        }
    }
}

impl<R: Runtime> Node<R> {
    /// Waits until no key in `range` was created before `revision`.
    pub(super) async fn wait_older(
        &self,
        range: &KeyRange,
        revision: i64,
        context: RequestContext,
    ) -> Result<(), Error> {
        loop {
            let youngest = RangeRequest {
                limit: 1,
                sort_order: SortOrder::Descend,
                sort_target: SortTarget::Create,
                max_create_revision: revision - 1,
                ..RangeRequest::newest(range.clone())
            };
            let (response, header) = self.range(youngest, context).await?;
            let Some(ahead) = response.kvs.first() else { return Ok(()) };
            let key = Bytes::copy_from_slice(ahead.key());
            self.wait_deleted(key, header.revision + 1, context.login).await?;
            if planted!(LockWaitsForOne) {
                return Ok(());
            }
        }
    }

    /// Waits until `key` is deleted at or after `from`, or until nobody can know any more.
    async fn wait_deleted(&self, key: Bytes, from: i64, login: Option<Login>) -> Result<(), Error> {
        let mut events = Events::of(self, KeyRange::single(key), from, login);
        while let Some(event) = events.next().await? {
            if event.kv.is_tombstone() {
                break;
            }
        }
        Ok(())
    }
}
