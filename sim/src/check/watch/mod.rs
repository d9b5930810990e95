//! The rules of watches, online, against the model's history; one file a rule, named after the
//! guarantee. The name of the checker is `watch-` and that of the file.
//!
//! Each watch has a cursor: all matching events below it were delivered. The model is ahead of every
//! event, because an entry is applied before it is visible.

mod atomic;
mod bookmarkable;
mod cancel;
mod filter;
mod fragments;
mod future_start;
mod is_create;
mod ordered;
mod prev_kv;
mod reliable;
mod resumable;
mod unique;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use etched_proto::etcdserverpb as pb;
use etched_proto::mvccpb::Event;
use etched_testkit::model::{Change, Model};

use super::violation::{Checked, violation};

const DELETE: i32 = 1;

/// One gRPC watch stream of a client.
#[derive(Debug, Default)]
struct Stream {
    /// Creates that were not answered yet, in order.
    pending: VecDeque<pb::WatchCreateRequest>,
    watches: BTreeMap<i64, Watch>,
    /// Watches that the client has asked to end.
    cancels: BTreeSet<i64>,
    /// The watch and header revision of a response of which more pieces must follow.
    unfinished: Option<(i64, i64)>,
}

/// One watch of a stream.
#[derive(Debug)]
struct Watch {
    create: pb::WatchCreateRequest,
    start: i64,
    /// Whether the start was still to come when the watch was created.
    was_in_the_future: bool,
    /// All matching events below this revision were delivered.
    next: i64,
    /// Highest revision of a delivered event.
    last: i64,
    /// Highest revision of a progress notice.
    bookmark: i64,
    /// Pieces of a fragmented response.
    pieces: Vec<Event>,
}

/// What a rule sees of a response's watch.
#[derive(Clone, Copy)]
struct Seen<'a> {
    model: &'a Model,
    name: &'a str,
    watch: &'a Watch,
}

/// The checker; see the head of this file. Streams are numbered by the runner.
#[derive(Debug, Default)]
pub struct Watches {
    streams: BTreeMap<u64, Stream>,
}

impl Watches {
    /// A client sends a create request on `stream`.
    pub fn create(&mut self, stream: u64, create: pb::WatchCreateRequest) {
        self.streams.entry(stream).or_default().pending.push_back(create);
    }

    /// A client asks to end a watch.
    pub fn cancel(&mut self, stream: u64, watch_id: i64) {
        self.streams.entry(stream).or_default().cancels.insert(watch_id);
    }

    /// The stream is over, for whatever reason.
    pub fn end(&mut self, stream: u64) {
        self.streams.remove(&stream);
    }

    /// A client got `response` on `stream`.
    pub fn response(&mut self, model: &Model, stream: u64, response: &pb::WatchResponse) -> Checked {
        let Some(known) = self.streams.get_mut(&stream) else { return Ok(()) };
        let revision = response.header.as_ref().map_or(0, |header| header.revision);
        if revision > model.revision() {
            violation!(
                "watch-bookmarkable",
                "stream {stream}: a header names revision {revision}, the newest is {}",
                model.revision()
            );
        }
        known.fragments(stream, response, revision)?;
        if response.created {
            return known.created(stream, response, revision);
        }
        if response.canceled {
            return known.canceled(model, stream, response);
        }
        if response.events.is_empty() && !response.fragment {
            let all = response.watch_id == -1;
            for (id, watch) in known.watches.iter_mut().filter(|(id, _)| all || **id == response.watch_id) {
                watch.progress(model, &name(stream, *id), revision)?;
            }
            return Ok(());
        }
        let name = name(stream, response.watch_id);
        let Some(watch) = known.watches.get_mut(&response.watch_id) else {
            violation!("watch-unique", "{name}: events for a watch that does not exist (any more)");
        };
        watch.pieces.extend(response.events.iter().cloned());
        if response.fragment {
            return Ok(());
        }
        let events = std::mem::take(&mut watch.pieces);
        watch.events(model, &name, &events, revision)
    }

    /// The run is over and everything had time to arrive: nothing may be missing on open streams.
    pub fn finish(&self, model: &Model) -> Checked {
        for (stream, known) in &self.streams {
            for (id, watch) in &known.watches {
                Seen { model, name: &name(*stream, *id), watch }.is_complete()?;
            }
        }
        Ok(())
    }
}

fn name(stream: u64, id: i64) -> String {
    format!("watch {id} of stream {stream}")
}

impl Stream {
    fn created(&mut self, stream: u64, response: &pb::WatchResponse, revision: i64) -> Checked {
        let Some(create) = self.pending.pop_front() else { return Ok(()) };
        if response.canceled {
            return self.refused(stream, &create, response);
        }
        let start = if create.start_revision > 0 { create.start_revision } else { revision + 1 };
        let was_in_the_future = create.start_revision > revision;
        let watch =
            Watch { create, start, was_in_the_future, next: start, last: 0, bookmark: 0, pieces: Vec::new() };
        self.cancels.remove(&response.watch_id);
        self.watches.insert(response.watch_id, watch);
        Ok(())
    }

    fn canceled(&mut self, model: &Model, stream: u64, response: &pb::WatchResponse) -> Checked {
        let is_asked = self.cancels.remove(&response.watch_id);
        let Some(watch) = self.watches.remove(&response.watch_id) else { return Ok(()) };
        let name = name(stream, response.watch_id);
        Seen { model, name: &name, watch: &watch }.cancel(response, is_asked)
    }
}

impl Watch {
    fn events(&mut self, model: &Model, name: &str, events: &[Event], header: i64) -> Checked {
        Seen { model, name, watch: self }.is_ordered(events)?;
        for group in events.chunk_by(|before, after| revision_of(before) == revision_of(after)) {
            let seen = Seen { model, name, watch: self };
            let revision = revision_of(&group[0]);
            seen.is_wanted(group)?;
            seen.is_not_early(revision)?;
            seen.is_after_start(revision)?;
            seen.is_after_bookmark(revision)?;
            seen.is_new(revision, group)?;
            seen.is_without_gap(revision)?;
            seen.is_whole(revision, group)?;
            (self.next, self.last) = (revision + 1, revision);
        }
        Seen { model, name, watch: self }.header_is_ordered(header)
    }

    /// W18–W20.
    fn progress(&mut self, model: &Model, name: &str, revision: i64) -> Checked {
        let seen = Seen { model, name, watch: self };
        seen.is_not_early(revision)?;
        seen.is_bookmark(revision)?;
        self.bookmark = self.bookmark.max(revision);
        self.next = self.next.max(revision + 1);
        Ok(())
    }
}

impl<'a> Seen<'a> {
    /// The first revision from the cursor to `upto` with an event that must have been delivered.
    fn missing(&self, upto: i64) -> Option<i64> {
        let mut revisions = self.model.changes(self.watch.next, upto);
        revisions.find(|(_, changes)| self.expected(changes).next().is_some()).map(|(revision, _)| revision)
    }

    fn expected(&self, changes: &'a [Change]) -> impl Iterator<Item = &'a Change> {
        let watch = self.watch;
        changes.iter().filter(move |change| watch.matches(change.is_delete, &change.kv.key))
    }
}

fn revision_of(event: &Event) -> i64 {
    event.kv.as_ref().map_or(0, |kv| kv.mod_revision)
}

fn key_of(event: &Event) -> &[u8] {
    event.kv.as_ref().map_or(&[], |kv| kv.key.as_ref())
}
