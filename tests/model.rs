//! The state machine, driven through the doors' translation, against the simple model: every answer,
//! every event, and what is left of history after compactions. And the transcripts.

mod store;

use etched::server::translate;
use etched_testkit::Response;
use etched_testkit::generate::{Generator, Hint, Weights};
use etched_testkit::model::Model;
use etched_testkit::transcript;
use proptest::prelude::*;

use store::{Store, failure, same_history, shown};

macro_rules! transcripts {
    ($($name:ident: $file:literal;)*) => {
        $(#[test]
        fn $name() {
            let text = include_str!(concat!("data/", $file, ".transcript"));
            transcript::run($file, text, &mut Store::default()).unwrap_or_else(|why| panic!("{why}"));
        })*
    };
}

transcripts! {
    transcript_range: "range";
    transcript_put_delete: "put-delete";
    transcript_txn: "txn";
    transcript_compact: "compact";
}

/// Drives both with `steps` requests of one stream.
fn drive(seed: u64, weights: Weights, steps: usize) -> Generator {
    let mut generator = Generator::from_seed(seed, weights);
    let (mut store, mut model) = (Store::default(), Model::new());
    for step in 0..steps {
        let hint = Hint {
            revision: model.revision(),
            compact_revision: model.compact_revision(),
            leases: model.leases().collect(),
        };
        let request = generator.request(&hint);
        let expected = model.apply(&request).map(Response::normalized);
        let (answer, applied) = store.answer(&request);
        let answer = answer.map_err(failure).map(Response::normalized);
        assert_eq!(answer, expected, "seed {seed}, step {step}: {request:?}");
        assert_eq!(store.state.revision(), model.revision(), "seed {seed}, step {step}: {request:?}");
        assert_eq!(store.state.compact_revision(), model.compact_revision(), "seed {seed}, step {step}");
        if let Some(applied) = applied {
            let events: Vec<_> = applied.events.iter().map(translate::event).collect();
            let took_revision = model.revision() != hint.revision;
            let changes = if took_revision { model.events(model.revision()) } else { &[] };
            let expected: Vec<_> = changes.iter().map(|change| shown(change, -1)).collect();
            assert_eq!(events, expected, "events of seed {seed}, step {step}: {request:?}");
        }
        if step % 3 == 0 {
            store.state.remove_some(2);
        }
        if step % 200 == 199 {
            same_history(&store, &model);
            assert_eq!(store.state.digest(), store.state.recompute_digest(), "seed {seed}, step {step}");
        }
        generator.note(&request, &expected);
    }
    generator
}

#[test]
fn every_answer_is_the_models() {
    for seed in 0..8 {
        let generator = drive(seed, Weights::default(), 4000);
        let existing = generator.histogram().get("put: existing key").copied().unwrap_or(0);
        assert!(existing > 150, "the generator misses: {:?}", generator.histogram());
    }
}

#[test]
fn many_compactions() {
    for seed in 100..104 {
        drive(seed, Weights { compact: 20, txn: 40, ..Weights::default() }, 2000);
    }
}

#[test]
fn odd_requests() {
    for seed in 200..204 {
        drive(seed, Weights { odd_per_mille: 250, ..Weights::default() }, 3000);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_mix(
        seed in any::<u64>(),
        kinds in prop::array::uniform6(0u32..40),
        odd_per_mille in 0u32..300,
        steps in 1usize..400,
    ) {
        let [put, range, delete_range, txn, compact, lease] = kinds;
        let serializable_per_mille = 300;
        let weights =
            Weights { put: put + 1, range, delete_range, txn, compact, lease, odd_per_mille, serializable_per_mille };
        drive(seed, weights, steps);
    }
}
