//! Commands on states, against the simple model.
//!
//! Apply never panics, answers as the model does, and the digest is what it is from scratch, whatever
//! removal, snapshots and readers do meanwhile.

use bytes::Bytes;
use etched::codec::{envelope, meta, snapshot};
use etched::server::translate;
use etched::state::{Applied, State, View};
use etched::types::{Command, Digest, Envelope, LogPosition, Member, RequestId};
use etched_proto::etcdserverpb as pb;
use etched_testkit::generate::{Generator, Hint, Weights};
use etched_testkit::model::Model;
use etched_testkit::{Request, Response};
use prost::Message;

use super::Input;
use super::store::{Store, command, failure, same_history, shown};

/// Steps of one input, at most.
const MAX_STEPS: usize = 200;

/// One input: step after step.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut both = Both::new(&mut input);
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        both.step(&mut input);
    }
    both.end();
}

struct Both {
    store: Store,
    model: Model,
    generator: Generator,
    /// A reader's view, its digest, and how many records it showed.
    held: Option<(View, Digest, usize)>,
}

impl Both {
    fn new(input: &mut Input<'_>) -> Self {
        let weights = Weights {
            compact: input.below(30) as u32,
            lease: input.below(30) as u32,
            odd_per_mille: input.below(256) as u32,
            ..Weights::default()
        };
        let generator = Generator::from_seed(input.half().into(), weights);
        Both { store: Store::default(), model: Model::new(), generator, held: None }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.below(10) {
            0..=2 => self.encoded_command(input.piece()),
            3 | 4 => {
                if let Some(request) = request(input) {
                    self.request(&request);
                }
            }
            5 => {
                for _ in 0..1 + input.below(16) {
                    let hint = self.hint();
                    let request = self.generator.request(&hint);
                    self.request(&request);
                }
            }
            6 => drop(self.store.state.remove_some(input.below(64))),
            7 => self.store.state = through_a_snapshot(&self.store.state, input.coin()),
            8 => {
                let view = self.store.state.view();
                self.held = Some((view.clone(), view.digest(), view.records().count()));
            }
            _ => self.other(Command::Publish(Member {
                id: input.below(4) as u64,
                name: String::from_utf8_lossy(input.bytes(3)).into_owned(),
                ..Member::default()
            })),
        }
    }

    fn hint(&self) -> Hint {
        Hint {
            revision: self.model.revision(),
            compact_revision: self.model.compact_revision(),
            leases: self.model.leases().collect(),
        }
    }

    /// A command as the log would hold it. One that a door lets through goes to both; any other must
    /// only do no harm, so a copy of the state takes it.
    fn encoded_command(&mut self, bytes: &[u8]) {
        // The format's version, a request id of zeros, no client.
        let entry = [&[1, 0, 0, 0, 0], bytes].concat();
        let Ok(Envelope { command: decoded, .. }) = envelope::decode(&Bytes::from(entry)) else { return };
        match as_request(&decoded) {
            Some(request) if command(&request).as_ref() == Ok(&decoded) => self.request(&request),
            _ => {
                let mut copy = self.store.state.clone();
                apply(&mut copy, decoded);
                sound(&copy);
            }
        }
    }

    /// A command of which the model knows nothing, and which changes nothing that it knows.
    fn other(&mut self, command: Command) {
        let before = self.store.state.revision();
        apply(&mut self.store.state, command);
        assert_eq!(self.store.state.revision(), before);
        sound(&self.store.state);
    }

    fn request(&mut self, request: &Request) {
        let before = self.model.revision();
        let expected = self.model.apply(request).map(Response::normalized);
        let (answer, applied) = self.store.answer(request);
        let answer = answer.map_err(failure).map(Response::normalized);
        assert_eq!(answer, expected, "{request:?}");
        let state = &self.store.state;
        assert_eq!(
            (state.revision(), state.compact_revision()),
            (self.model.revision(), self.model.compact_revision()),
            "{request:?}"
        );
        if let Some(applied) = applied {
            let took_revision = self.model.revision() != before;
            let changes = if took_revision { self.model.events(applied.revision) } else { &[] };
            let changes = changes.iter().map(|change| shown(change, -1));
            assert!(applied.events.iter().map(translate::event).eq(changes), "events of {request:?}");
            sound(state);
        }
    }

    fn end(mut self) {
        while self.store.state.remove_some(7).more {}
        sound(&self.store.state);
        same_history(&self.store, &self.model);
        let all = pb::RangeRequest { key: vec![0].into(), range_end: vec![0].into(), ..Default::default() };
        for revision in self.model.compact_revision().max(0)..=self.model.revision() {
            self.request(&Request::Range(pb::RangeRequest { revision, ..all.clone() }));
        }
        if let Some((view, digest, records)) = self.held {
            assert_eq!((view.digest(), view.records().count()), (digest, records), "a view changed");
        }
    }
}

fn apply(state: &mut State, command: Command) -> Applied {
    state.apply(&Envelope { request_id: RequestId::default(), caller: None, client: None, command })
}

fn sound(state: &State) {
    assert_eq!(state.digest(), state.recompute_digest(), "the digest is not that of the state");
}

/// The same state from its snapshot's chunks, or from a checkpoint's rows.
fn through_a_snapshot(state: &State, as_checkpoint: bool) -> State {
    let view = state.view();
    let applied = LogPosition::default();
    let whole = meta::Meta { applied, membership: Bytes::new(), state: view.meta(), rows: 0 };
    let restored = if as_checkpoint {
        let whole = meta::decode(&meta::encode(&whole)).expect("own bytes are good");
        State::restore(whole.state, view.lease_records(), view.held(0)).expect("own parts are good")
    } else {
        let mut receiver = snapshot::Receiver::default();
        let mut received = None;
        for chunk in snapshot::chunks(&whole, view.digest(), view.lease_records(), view.records()) {
            received = receiver.chunk(&chunk).expect("own chunks are good");
        }
        let received = received.expect("the end came");
        State::restore(received.meta.state, received.leases, received.records.into_iter())
            .expect("own parts are good")
    };
    assert_eq!((restored.digest(), restored.meta()), (state.digest(), state.meta()));
    sound(&restored);
    restored
}

/// A request in its wire form, as a door reads it.
fn request(input: &mut Input<'_>) -> Option<Request> {
    fn read<M: Message + Default>(bytes: &[u8], kind: impl Fn(M) -> Request) -> Option<Request> {
        M::decode(bytes).ok().map(kind)
    }
    let kind = input.below(7);
    let bytes = input.piece();
    match kind {
        0 => read(bytes, Request::Range),
        1 => read(bytes, Request::Put),
        2 => read(bytes, Request::DeleteRange),
        3 => read(bytes, Request::Compact),
        4 => read(bytes, |grant: pb::LeaseGrantRequest| {
            // A door has chosen an id before a grant goes through the log.
            Request::LeaseGrant(pb::LeaseGrantRequest { id: grant.id.max(1), ..grant })
        }),
        5 => read(bytes, Request::LeaseRevoke),
        _ => read(bytes, Request::Txn),
    }
}

/// The request that a door would have made `command` of, if there is such.
fn as_request(command: &Command) -> Option<Request> {
    let request = match command {
        Command::Put(put) => Request::Put(super::wire::put(put)),
        Command::DeleteRange(delete) => Request::DeleteRange(super::wire::delete_range(delete)),
        Command::Txn(txn) => Request::Txn(super::wire::txn(txn)),
        Command::Compaction(compaction) => Request::Compact(pb::CompactionRequest {
            revision: compaction.revision,
            physical: compaction.physical,
        }),
        _ => return None,
    };
    // Transactions of reads never go through the log.
    Some(request).filter(|request| !request.is_read())
}

/// Streams of each kind of step.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for seed in 0..8u8 {
        let mut bytes = vec![seed * 3, seed * 2, seed * 20, seed, 7];
        for step in 0..30 {
            bytes.extend([5, 9 + seed, [6, 7, 8, 9][step % 4], 3, 5, 15]);
        }
        seeds.push(bytes);
    }
    seeds.extend(super::wire::seeds());
    seeds
}
