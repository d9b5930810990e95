//! Each target on its seeds and on random bytes, and what fuzzing once found.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::{TARGETS, target};

/// Changes of each seed, and wholly random inputs.
fn inputs(seeds: Vec<Vec<u8>>, count: usize) -> Vec<Vec<u8>> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut draw = move |bound: usize| (rng.next_u64() % bound as u64) as usize;
    let mut inputs = seeds.clone();
    for number in 0..count {
        let mut bytes = match number % 3 {
            0 => (0..draw(300)).map(|_| draw(256) as u8).collect(),
            _ => seeds[draw(seeds.len())].clone(),
        };
        for _ in 0..draw(6) {
            let at = draw(bytes.len() + 1);
            match draw(4) {
                0 => bytes.insert(at, draw(256) as u8),
                1 => bytes.truncate(at),
                2 => bytes.extend_from_within(at..),
                _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << draw(8)),
            }
        }
        inputs.push(bytes);
    }
    inputs
}

fn smoke(name: &str, count: usize) {
    let target = target(name).expect("known");
    for bytes in inputs((target.seeds)(), count) {
        (target.run)(&bytes);
    }
}

#[test]
fn codec() {
    smoke("codec", 3000);
}

#[test]
fn log() {
    smoke("log", 300);
}

#[test]
fn checkpoint() {
    smoke("checkpoint", 100);
}

#[test]
fn commands() {
    smoke("commands", 200);
}

#[test]
fn cluster() {
    smoke("cluster", 2);
}

#[test]
fn flags() {
    smoke("flags", 500);
}

#[test]
fn every_target_begins_with_something() {
    assert!(TARGETS.iter().all(|target| !(target.seeds)().is_empty()));
}
