//! The search must agree with the certified check on whatever both can judge.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::history::{Told, clean, tell};
use crate::check::wgl::{self, Operation};
use crate::check::{CheckConfig, Checks, Outcome};

/// The operations of a told history, all of it.
fn operations(told: &[Told]) -> Vec<Operation> {
    let mut operations: Vec<(u64, Operation)> = Vec::new();
    for (clock, told) in told.iter().enumerate() {
        match told {
            Told::Call(op, _, request) => {
                let (called, request, outcome) = (clock as u64, request.clone(), Outcome::Unknown);
                operations.push((*op, Operation { called, returned: None, request, outcome }));
            }
            Told::Return(op, outcome) => {
                let (_, operation) = operations.iter_mut().find(|(known, _)| known == op).unwrap();
                operation.returned = (*outcome != Outcome::Unknown).then_some(clock as u64);
                operation.outcome = match outcome {
                    Outcome::Answer(answer) => Outcome::Answer(answer.clone().normalized()),
                    other => other.clone(),
                };
            }
            _ => {}
        }
    }
    operations.into_iter().map(|(_, operation)| operation).collect()
}

#[test]
fn clean_histories_have_an_order() {
    for seed in 0..30 {
        let told = clean(seed, 4, 300);
        assert_eq!(wgl::check(&operations(&told)), Ok(()), "seed {seed}");
    }
}

#[test]
fn swapped_answers_are_judged_alike() {
    let (mut bad, mut seen) = (0, 0);
    for seed in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut told = clean(500 + seed, 3, 150);
        let linearizable = |told: &[Told], op: u64| {
            told.iter().any(|told| matches!(told, Told::Call(called, _, request) if *called == op && !request.is_serializable()))
        };
        let answers: Vec<usize> = (0..told.len())
            .filter(
                |at| matches!(&told[*at], Told::Return(op, Outcome::Answer(_)) if linearizable(&told, *op)),
            )
            .collect();
        let (a, b) = (
            answers[rng.next_u64() as usize % answers.len()],
            answers[rng.next_u64() as usize % answers.len()],
        );
        let (Told::Return(_, left), Told::Return(_, right)) = (told[a].clone(), told[b].clone()) else {
            unreachable!()
        };
        for (at, outcome) in [(a, right), (b, left)] {
            if let Told::Return(_, old) = &mut told[at] {
                *old = outcome;
            }
        }
        let (certified, searched) = (tell(&told), wgl::check(&operations(&told)));
        seen += 1;
        bad += u32::from(certified.is_err());
        assert_eq!(certified.is_err(), searched.is_err(), "seed {seed}: {certified:?}, {searched:?}");
    }
    assert!(bad > seen / 2, "{bad} of {seen} swaps mattered");
}

#[test]
fn the_facade_searches_the_window() {
    let mut checks = Checks::new(&CheckConfig { cross_check: true, ..CheckConfig::default() });
    let answer = |at| {
        use etched_proto::etcdserverpb as pb;
        let header = Some(pb::ResponseHeader { revision: at, ..Default::default() });
        Outcome::Answer(etched_testkit::Response::Range(pb::RangeResponse { header, ..Default::default() }))
    };
    let get = || {
        etched_testkit::Request::Range(etched_proto::etcdserverpb::RangeRequest {
            key: b"k".to_vec().into(),
            ..Default::default()
        })
    };
    checks.on_call(1, 1, get());
    checks.on_return(1, answer(1)).unwrap();
    checks.on_call(2, 1, get());
    assert_eq!(checks.on_return(2, answer(2)).unwrap_err().checker, "revision");
    let verdicts: Vec<_> = checks.finish(&[]).iter().map(|violation| violation.checker).collect();
    assert_eq!(verdicts, ["revision", "wgl"]);
}
