//! The nine rules of watches, online, against the model's history: `watch-ordered`, `watch-unique`,
//! `watch-atomic`, `watch-reliable`, `watch-resumable`, `watch-bookmarkable`, `watch-prev-kv`,
//! `watch-is-create`, `watch-filter`.
//!
//! Each watch has a cursor: all matching events below it were delivered. The model is ahead of every
//! event, because an entry is applied before it is visible.

use std::collections::{BTreeMap, VecDeque};

use etched_proto::etcdserverpb as pb;
use etched_proto::mvccpb::{Event, KeyValue};
use etched_testkit::model::{Change, Model};

use super::violation::{Checked, violation};

const NOPUT: i32 = 0;
const NODELETE: i32 = 1;
const DELETE: i32 = 1;

/// One gRPC watch stream of a client.
#[derive(Debug, Default)]
struct Stream {
    /// Creates that were not answered yet, in order.
    pending: VecDeque<pb::WatchCreateRequest>,
    watches: BTreeMap<i64, Watch>,
}

#[derive(Debug)]
struct Watch {
    create: pb::WatchCreateRequest,
    start: i64,
    /// All matching events below this revision were delivered.
    next: i64,
    /// Highest revision of a delivered event.
    last: i64,
    /// Highest revision of a progress notice.
    bookmark: i64,
    /// Pieces of a fragmented response.
    pieces: Vec<Event>,
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
        if response.created {
            known.created(response, revision);
        }
        if response.canceled {
            return known.canceled(model, stream, response);
        }
        if response.created && response.events.is_empty() {
            return Ok(());
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
        if response.fragment && !watch.create.fragment {
            violation!("watch-atomic", "{name}: a fragment that was not asked for");
        }
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
                if let Some(missing) = watch.missing(model, model.revision()) {
                    violation!(
                        "watch-reliable",
                        "{}: the event at revision {missing} never came",
                        name(*stream, *id)
                    );
                }
            }
        }
        Ok(())
    }
}

fn name(stream: u64, id: i64) -> String {
    format!("watch {id} of stream {stream}")
}

impl Stream {
    fn created(&mut self, response: &pb::WatchResponse, revision: i64) {
        let Some(create) = self.pending.pop_front() else { return };
        if response.canceled {
            return;
        }
        let start = if create.start_revision > 0 { create.start_revision } else { revision + 1 };
        let watch = Watch { create, start, next: start, last: 0, bookmark: 0, pieces: Vec::new() };
        self.watches.insert(response.watch_id, watch);
    }

    /// W10, W11: a cancel for a compaction needs one beyond the cursor.
    fn canceled(&mut self, model: &Model, stream: u64, response: &pb::WatchResponse) -> Checked {
        let Some(watch) = self.watches.remove(&response.watch_id) else { return Ok(()) };
        let compacted = response.compact_revision;
        if compacted != 0 && (compacted > model.compact_revision() || watch.next >= compacted) {
            violation!(
                "watch-reliable",
                "{}: cancelled for compact revision {compacted}, but it needs revision {} and {} is compacted",
                name(stream, response.watch_id),
                watch.next,
                model.compact_revision()
            );
        }
        Ok(())
    }
}

impl Watch {
    fn events(&mut self, model: &Model, name: &str, events: &[Event], header: i64) -> Checked {
        let revisions = events.iter().map(revision_of);
        if revisions.clone().zip(revisions.skip(1)).any(|(before, after)| before > after) {
            violation!("watch-ordered", "{name}: revisions go back inside one response");
        }
        for group in events.chunk_by(|before, after| revision_of(before) == revision_of(after)) {
            self.revision(model, name, group)?;
        }
        if header < self.last {
            violation!(
                "watch-ordered",
                "{name}: a header names revision {header}, its last event {}",
                self.last
            );
        }
        Ok(())
    }

    /// All events of one revision.
    fn revision(&mut self, model: &Model, name: &str, events: &[Event]) -> Checked {
        let revision = revision_of(&events[0]);
        if let Some(event) = events.iter().find(|event| !self.matches(event.r#type == DELETE, key_of(event)))
        {
            violation!("watch-filter", "{name}: {event:?} does not match {:?}", self.create);
        }
        if revision < self.start {
            violation!(
                "watch-resumable",
                "{name}: revision {revision} comes before the start at {}",
                self.start
            );
        }
        if revision <= self.bookmark {
            violation!(
                "watch-bookmarkable",
                "{name}: revision {revision} comes after the progress at {}",
                self.bookmark
            );
        }
        let is_known = |event: &Event| {
            model.events(revision).iter().any(|change| key_of(event) == change.kv.key.as_ref() as &[u8])
        };
        if revision < self.next {
            match events.iter().all(is_known) && revision == self.last {
                true => violation!("watch-unique", "{name}: revision {revision} comes again"),
                false => violation!("watch-ordered", "{name}: revision {revision} comes after {}", self.last),
            }
        }
        if let Some(missing) = self.missing(model, revision - 1) {
            violation!(self.missed(), "{name}: revision {revision} comes, but that at {missing} is missing");
        }
        self.compare(model, name, revision, events)?;
        (self.next, self.last) = (revision + 1, revision);
        Ok(())
    }

    /// The delivered events of a revision against the model's.
    fn compare(&self, model: &Model, name: &str, revision: i64, events: &[Event]) -> Checked {
        let expected: Vec<&Change> = self.expected(model.events(revision)).collect();
        let mut next = 0;
        for event in events {
            let same = |change: &&&Change| {
                key_of(event) == change.kv.key.as_ref() as &[u8]
                    && (event.r#type == DELETE) == change.is_delete
            };
            let Some(at) = expected[next..].iter().position(|change| same(&change)).map(|at| at + next)
            else {
                match expected.iter().find(same) {
                    Some(_)
                        if expected[..next].iter().filter(same).count()
                            < events.iter().filter(|other| *other == event).count() =>
                    {
                        violation!("watch-unique", "{name}: {event:?} comes twice")
                    }
                    Some(_) => violation!(
                        "watch-ordered",
                        "{name}: {event:?} is out of order in revision {revision}"
                    ),
                    None => violation!("watch-reliable", "{name}: {event:?} never happened"),
                }
            };
            if let Some(skipped) =
                expected[next..at].iter().find(|change| !self.may_be_gone(model, revision, change))
            {
                let later = events.iter().any(|event| key_of(event) == skipped.kv.key.as_ref() as &[u8]);
                let checker = if later { "watch-ordered" } else { "watch-atomic" };
                violation!(checker, "{name}: {event:?} comes without {skipped:?} before it");
            }
            self.content(model, name, event, expected[at])?;
            next = at + 1;
        }
        if let Some(left) = expected[next..].iter().find(|change| !self.may_be_gone(model, revision, change))
        {
            violation!("watch-atomic", "{name}: revision {revision} comes without {left:?}");
        }
        Ok(())
    }

    /// At the compact revision itself only the last change of each key is kept (C2).
    fn may_be_gone(&self, model: &Model, revision: i64, change: &Change) -> bool {
        let same_key = |other: &&Change| other.kv.key == change.kv.key;
        let is_last =
            model.events(revision).iter().rfind(same_key).is_some_and(|last| std::ptr::eq(last, change));
        revision <= model.compact_revision() && !is_last
    }

    fn content(&self, model: &Model, name: &str, event: &Event, change: &Change) -> Checked {
        let empty = KeyValue::default();
        let kv = event.kv.as_ref().unwrap_or(&empty);
        let is_create = |kv: &KeyValue| kv.create_revision == kv.mod_revision;
        if is_create(kv) != is_create(&change.kv) {
            violation!("watch-is-create", "{name}: {event:?} is wrong about being a create: {change:?}");
        }
        if *kv != change.kv {
            violation!("watch-reliable", "{name}: {event:?} is not what happened: {change:?}");
        }
        let before = change.prev_kv.as_ref().filter(|_| self.create.prev_kv && !is_create(&change.kv));
        let may_miss = change.kv.mod_revision - 1 < model.compact_revision();
        if event.prev_kv.as_ref() != before && !(event.prev_kv.is_none() && may_miss) {
            violation!("watch-prev-kv", "{name}: {event:?} should have the previous record {before:?}");
        }
        Ok(())
    }

    /// W18–W20.
    fn progress(&mut self, model: &Model, name: &str, revision: i64) -> Checked {
        if revision + 1 < self.start {
            violation!(
                "watch-bookmarkable",
                "{name}: progress at {revision}, before its start at {}",
                self.start
            );
        }
        if let Some(missing) = self.missing(model, revision) {
            violation!(
                "watch-bookmarkable",
                "{name}: progress at {revision}, but the event at {missing} is missing"
            );
        }
        self.bookmark = self.bookmark.max(revision);
        self.next = self.next.max(revision + 1);
        Ok(())
    }

    /// The first revision from the cursor to `upto` with an event that must have been delivered.
    fn missing(&self, model: &Model, upto: i64) -> Option<i64> {
        let mut revisions = model.changes(self.next, upto);
        revisions.find(|(_, changes)| self.expected(changes).next().is_some()).map(|(revision, _)| revision)
    }

    /// The rule that a missing revision breaks: at its start a watch did not resume where it was asked.
    fn missed(&self) -> &'static str {
        if self.last == 0 && self.bookmark == 0 { "watch-resumable" } else { "watch-reliable" }
    }

    fn expected<'a>(&self, changes: &'a [Change]) -> impl Iterator<Item = &'a Change> {
        changes.iter().filter(move |change| self.matches(change.is_delete, &change.kv.key))
    }

    /// W2, W16.
    fn matches(&self, is_delete: bool, key: &[u8]) -> bool {
        let create = &self.create;
        let filtered = create.filters.contains(&if is_delete { NODELETE } else { NOPUT });
        let from: &[u8] = if create.key.is_empty() { &[0] } else { &create.key };
        let inside = match create.range_end.as_ref() as &[u8] {
            [] => key == from,
            [0] => key >= from,
            end => key >= from && key < end,
        };
        inside && !filtered
    }
}

fn revision_of(event: &Event) -> i64 {
    event.kv.as_ref().map_or(0, |kv| kv.mod_revision)
}

fn key_of(event: &Event) -> &[u8] {
    event.kv.as_ref().map_or(&[], |kv| kv.key.as_ref())
}
