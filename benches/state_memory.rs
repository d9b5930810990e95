//! Memory and time of the serving state: a million keys of 16 B with values of 256 B, a view taken
//! every 64 puts as the apply loop does.
//!
//! One process measures one case, or the resident size would not say which: run
//! `cargo bench --bench state_memory -- sequential` (or `random`, `overwrite`).

use std::time::Instant;

use etched::state::State;
use etched::types::{
    Command, CompactionRequest, Envelope, KeyRange, KeyValue, PutRequest, RangeRequest, RequestId,
};

const KEYS: u64 = 1_000_000;
const BATCH: u64 = 64;

fn main() {
    let case = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let case = case.unwrap_or_else(|| "sequential".to_owned());
    let keys: fn(u64) -> u64 = match case.as_str() {
        "sequential" => |i| i,
        "random" => scatter,
        // Thirty revisions of each of a thirtieth of the keys.
        "overwrite" => |i| i % (KEYS / 30),
        other => panic!("no case {other}"),
    };
    let before = resident_mib();
    let mut state = State::new();
    measure("put", KEYS, || load(&mut state, keys));
    report("loaded", before, &state);

    let view = state.view();
    let everything =
        RangeRequest { count_only: true, ..RangeRequest::newest(KeyRange::new(vec![0_u8], vec![0_u8])) };
    measure("count", KEYS, || view.range(&everything).expect("readable").count);
    measure("get", 100_000, || (0..100_000).filter(|i| get(&view, keys(scatter(*i) % KEYS))).count());
    measure("hash_kv", KEYS, || view.hash_kv(0).expect("readable").hash);
    let records: Vec<KeyValue> = view.records().collect();
    drop(view);
    let meta = state.meta();
    let digest = state.digest();
    drop(state);
    let mut state =
        measure("restore", KEYS, || State::restore(meta, [], records.into_iter()).expect("valid"));
    assert_eq!(state.digest(), digest);
    report("restored", before, &state);

    let revision = state.revision();
    apply(&mut state, Command::Compaction(CompactionRequest { revision, physical: false }));
    let removed = measure("removal", KEYS, || {
        let mut removed = 0;
        loop {
            let step = state.remove_some(1000);
            removed += step.removed.len();
            if !step.more {
                return removed;
            }
        }
    });
    report(&format!("compacted, {removed} records removed"), before, &state);
}

fn load(state: &mut State, keys: fn(u64) -> u64) {
    let mut view = state.view();
    for i in 0..KEYS {
        let request =
            PutRequest { key: key(keys(i)).into(), value: vec![b'v'; 256].into(), ..PutRequest::default() };
        apply(state, Command::Put(request));
        if i % BATCH == 0 {
            view = state.view();
        }
    }
    drop(view);
}

fn apply(state: &mut State, command: Command) {
    let envelope = Envelope { request_id: RequestId::default(), caller: None, client: None, command };
    state.apply(&envelope).response.expect("a valid command");
}

fn get(view: &etched::state::View, number: u64) -> bool {
    let request = RangeRequest::newest(KeyRange::single(key(number)));
    view.range(&request).expect("readable").count == 1
}

fn key(number: u64) -> Vec<u8> {
    format!("key-{number:012}").into_bytes()
}

/// A permutation of 0..2^40 that looks random, cut to twelve digits.
fn scatter(i: u64) -> u64 {
    i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24
}

#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn measure<T>(what: &str, operations: u64, run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = run();
    let took = start.elapsed();
    let each = took.as_nanos() / u128::from(operations);
    println!("{what:>10}: {each:>7} ns each, {} ms in all", took.as_millis());
    result
}

fn report(what: &str, before: u64, state: &State) {
    let held = resident_mib().saturating_sub(before);
    let logical = state.view().size_bytes() >> 20;
    println!("{what:>10}: {held} MiB resident, {logical} MiB logical");
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) >> 10
}
