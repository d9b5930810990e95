//! Random requests of every form, from one stream of random numbers, and a histogram of what they
//! came to: a generator that never hits an existing key proves nothing.

use std::collections::BTreeMap;

use etched_proto::etcdserverpb as pb;
use pb::request_op::Request as Op;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::{Failure, Request, Response};

/// What the generator must know of the store to aim: it need not be exact.
#[derive(Clone, Debug, Default)]
pub struct Hint {
    /// The newest revision.
    pub revision: i64,
    /// The compact revision.
    pub compact_revision: i64,
    /// Leases that may exist.
    pub leases: Vec<i64>,
}

/// How often each kind of request comes, and how odd it may be.
#[derive(Clone, Debug)]
pub struct Weights {
    /// Puts.
    pub put: u32,
    /// Ranges.
    pub range: u32,
    /// Deletes.
    pub delete_range: u32,
    /// Transactions.
    pub txn: u32,
    /// Compactions.
    pub compact: u32,
    /// Grants and revokes.
    pub lease: u32,
    /// Of 1000 choices, how many are of the odd kind: empty keys, unknown enum values, contradictions.
    pub odd_per_mille: u32,
    /// Of 1000 ranges, how many are serializable.
    pub serializable_per_mille: u32,
}

impl Default for Weights {
    fn default() -> Self {
        Weights {
            put: 30,
            range: 30,
            delete_range: 8,
            txn: 24,
            compact: 2,
            lease: 6,
            odd_per_mille: 15,
            serializable_per_mille: 200,
        }
    }
}

/// The generator.
#[derive(Debug)]
pub struct Generator {
    rng: ChaCha8Rng,
    weights: Weights,
    keys: Vec<Vec<u8>>,
    values: u64,
    histogram: BTreeMap<&'static str, u64>,
}

impl Generator {
    /// A generator of the stream `rng`.
    pub fn new(rng: ChaCha8Rng, weights: Weights) -> Self {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        for name in ["a", "aa", "a/1", "a/2", "b", "b\0", "b/x", "c", "d", "z"] {
            keys.push(name.as_bytes().to_vec());
        }
        keys.extend([vec![0], vec![0xff], vec![0xff, 0xff, 0]]);
        Generator { rng, weights, keys, values: 0, histogram: BTreeMap::new() }
    }

    /// A generator with a stream of its own.
    pub fn from_seed(seed: u64, weights: Weights) -> Self {
        Generator::new(ChaCha8Rng::seed_from_u64(seed), weights)
    }

    /// Replaces the key alphabet, which should be small.
    pub fn set_keys(&mut self, keys: Vec<Vec<u8>>) {
        assert!(!keys.is_empty(), "a generator needs a key");
        self.keys = keys;
    }

    /// The next request.
    pub fn request(&mut self, hint: &Hint) -> Request {
        let weights = self.weights.clone();
        let kinds =
            [weights.put, weights.range, weights.delete_range, weights.txn, weights.compact, weights.lease];
        let mut pick = self.below(u64::from(kinds.iter().sum::<u32>().max(1))) as u32;
        let kind = kinds.iter().position(|weight| {
            let here = pick < *weight;
            pick = pick.wrapping_sub(if here { 0 } else { *weight });
            here
        });
        match kind {
            Some(0) | None => Request::Put(self.put(hint)),
            Some(1) => Request::Range(self.range(hint)),
            Some(2) => Request::DeleteRange(self.delete_range()),
            Some(3) => Request::Txn(self.txn(hint, 0)),
            Some(4) => {
                Request::Compact(pb::CompactionRequest { revision: self.revision(hint), physical: false })
            }
            Some(_) => self.lease(hint),
        }
    }

    /// Counts what a request came to.
    pub fn note(&mut self, request: &Request, answer: &Result<Response, Failure>) {
        let mut count = |what| *self.histogram.entry(what).or_default() += 1;
        count("all");
        match answer {
            Err(failure) => count(match failure.text.as_str().trim_start_matches("etcdserver: ") {
                "mvcc: required revision has been compacted" => "error: compacted",
                "mvcc: required revision is a future revision" => "error: future revision",
                "key not found" => "error: key not found",
                "requested lease not found" => "error: lease not found",
                "duplicate key given in txn request" => "error: duplicate key",
                _ => "error: other",
            }),
            Ok(Response::Put(put)) => count(if put.prev_kv.is_some() { "put: existing key" } else { "put" }),
            Ok(Response::DeleteRange(delete)) => {
                count(if delete.deleted > 0 { "delete: something" } else { "delete: nothing" })
            }
            Ok(Response::Txn(txn)) => {
                let compared = matches!(request, Request::Txn(txn) if !txn.compare.is_empty());
                count(match (compared, txn.succeeded) {
                    (false, _) => "txn: no compare",
                    (true, true) => "txn: compares hold",
                    (true, false) => "txn: compares fail",
                });
            }
            Ok(Response::Range(range)) => {
                count(if range.count == 0 { "range: empty" } else { "range: something" });
                if range.more {
                    count("range: more");
                }
            }
            Ok(Response::Compact(_)) => count("compact"),
            Ok(Response::LeaseGrant(_) | Response::LeaseRevoke(_)) => count("lease"),
        }
    }

    /// How often each outcome was noted.
    pub fn histogram(&self) -> &BTreeMap<&'static str, u64> {
        &self.histogram
    }

    /// A put; every value is unique.
    pub fn put(&mut self, hint: &Hint) -> pb::PutRequest {
        let (ignore_value, ignore_lease) = (self.chance(80), self.chance(80));
        self.values += 1;
        let value = if ignore_value && !self.odd() { String::new() } else { format!("v{}", self.values) };
        let lease = if ignore_lease && !self.odd() { 0 } else { self.lease_id(hint, 300) };
        pb::PutRequest {
            key: self.key().into(),
            value: value.into_bytes().into(),
            lease,
            prev_kv: self.chance(400),
            ignore_value,
            ignore_lease,
        }
    }

    /// A range with any of its options.
    pub fn range(&mut self, hint: &Hint) -> pb::RangeRequest {
        let (key, range_end) = self.bounds();
        let mut range =
            pb::RangeRequest { key: key.into(), range_end: range_end.into(), ..Default::default() };
        range.serializable = self.chance(self.weights.serializable_per_mille);
        if self.chance(400) {
            range.limit = self.below(5) as i64 - 1;
        }
        if self.chance(350) {
            range.revision = self.revision(hint);
        }
        if self.chance(350) {
            range.sort_order = self.value_of_enum(3);
            range.sort_target = self.value_of_enum(5);
        }
        range.keys_only = self.chance(150);
        range.count_only = self.chance(100);
        if self.chance(200) {
            range.min_mod_revision = self.revision(hint);
            range.max_create_revision = self.revision(hint);
        }
        if self.chance(100) {
            range.max_mod_revision = self.revision(hint);
            range.min_create_revision = self.revision(hint);
        }
        range
    }

    /// A delete.
    pub fn delete_range(&mut self) -> pb::DeleteRangeRequest {
        let (key, range_end) = if self.chance(600) { (self.key(), Vec::new()) } else { self.bounds() };
        pb::DeleteRangeRequest { key: key.into(), range_end: range_end.into(), prev_kv: self.chance(400) }
    }

    /// A transaction, `depth` levels inside others; one in six is read-only.
    pub fn txn(&mut self, hint: &Hint, depth: u32) -> pb::TxnRequest {
        let read_only = self.chance(160);
        pb::TxnRequest {
            compare: (0..self.below(3)).map(|_| self.compare(hint)).collect(),
            success: self.branch(hint, depth, read_only),
            failure: self.branch(hint, depth, read_only),
        }
    }

    fn branch(&mut self, hint: &Hint, depth: u32, read_only: bool) -> Vec<pb::RequestOp> {
        (0..self.below(4)).map(|_| self.op(hint, depth, read_only)).collect()
    }

    fn op(&mut self, hint: &Hint, depth: u32, read_only: bool) -> pb::RequestOp {
        if self.odd() && self.odd() {
            return pb::RequestOp { request: None };
        }
        let request = match self.below(10) {
            _ if read_only => Op::RequestRange(self.range(hint)),
            0..=3 => Op::RequestPut(self.put(hint)),
            4..=5 => Op::RequestRange(self.range_in_txn(hint)),
            6..=7 => Op::RequestDeleteRange(self.delete_range()),
            _ if depth < 3 => Op::RequestTxn(self.txn(hint, depth + 1)),
            _ => Op::RequestRange(self.range_in_txn(hint)),
        };
        pb::RequestOp { request: Some(request) }
    }

    /// Mostly readable, so that most transactions do something.
    fn range_in_txn(&mut self, hint: &Hint) -> pb::RangeRequest {
        let mut range = self.range(hint);
        if !self.chance(100) && (range.revision < hint.compact_revision || range.revision > hint.revision) {
            range.revision = 0;
        }
        range
    }

    fn compare(&mut self, hint: &Hint) -> pb::Compare {
        use pb::compare::TargetUnion;
        let (key, range_end) = if self.chance(700) { (self.key(), Vec::new()) } else { self.bounds() };
        let target = self.value_of_enum(5);
        let arm = if self.odd() { self.below(6) as i32 } else { target };
        let target_union = match arm {
            0 => Some(TargetUnion::Version(self.below(3) as i64)),
            1 => Some(TargetUnion::CreateRevision(if self.chance(400) { 0 } else { self.revision(hint) })),
            2 => Some(TargetUnion::ModRevision(if self.chance(400) { 0 } else { self.revision(hint) })),
            3 => Some(TargetUnion::Value(format!("v{}", self.below(self.values + 1)).into_bytes().into())),
            4 => Some(TargetUnion::Lease(self.lease_id(hint, 500))),
            _ => None,
        };
        let result = self.value_of_enum(4);
        pb::Compare { result, target, key: key.into(), range_end: range_end.into(), target_union }
    }

    fn lease(&mut self, hint: &Hint) -> Request {
        if self.chance(600) {
            let ttl = if self.odd() { 9_000_000_001 } else { 60 + self.below(600) as i64 };
            return Request::LeaseGrant(pb::LeaseGrantRequest { ttl, id: 1 + self.below(12) as i64 });
        }
        Request::LeaseRevoke(pb::LeaseRevokeRequest { id: self.lease_id(hint, 1000) })
    }

    /// A key; empty now and then.
    pub fn key(&mut self) -> Vec<u8> {
        if self.odd() {
            return Vec::new();
        }
        let at = self.below(self.keys.len() as u64) as usize;
        self.keys[at].clone()
    }

    /// A range in each of its spellings: one key, from-key, all, prefix, plain, backwards.
    fn bounds(&mut self) -> (Vec<u8>, Vec<u8>) {
        let key = self.key();
        match self.below(8) {
            0 | 1 => (key, Vec::new()),
            2 => (key, vec![0]),
            3 => (vec![0], vec![0]),
            4 => (b"a".to_vec(), b"b".to_vec()),
            _ => {
                let end = self.key();
                if end < key && !self.chance(150) { (end, key) } else { (key, end) }
            }
        }
    }

    /// Recent mostly, old, compacted, in the future or negative sometimes.
    fn revision(&mut self, hint: &Hint) -> i64 {
        match self.below(20) {
            0 => hint.revision + 1 + self.below(3) as i64,
            1 => hint.compact_revision,
            2 => hint.compact_revision - self.below(3) as i64,
            3 => 0,
            4 if self.odd() => -1,
            5..=8 => hint.revision,
            9..=15 => hint.revision - self.below(10) as i64,
            _ => 1 + self.below(hint.revision.max(1) as u64) as i64,
        }
    }

    /// 0 mostly; else one that may exist.
    fn lease_id(&mut self, hint: &Hint, some_per_mille: u32) -> i64 {
        if !self.chance(some_per_mille) {
            return 0;
        }
        if hint.leases.is_empty() || self.chance(100) {
            return 1 + self.below(12) as i64;
        }
        let at = self.below(hint.leases.len() as u64) as usize;
        hint.leases[at]
    }

    /// A value of an enum that has `known` ones; unknown now and then.
    fn value_of_enum(&mut self, known: u64) -> i32 {
        let bound = if self.odd() { known + 2 } else { known };
        self.below(bound) as i32
    }

    fn odd(&mut self) -> bool {
        self.chance(self.weights.odd_per_mille)
    }

    fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1000) < u64::from(per_mille)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.rng.next_u64() % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;

    /// The audit: every kind of outcome has its share.
    #[test]
    fn hits_every_bucket() {
        let (mut generator, mut model) = (Generator::from_seed(1, Weights::default()), Model::new());
        for _ in 0..20_000 {
            let hint = Hint {
                revision: model.revision(),
                compact_revision: model.compact_revision(),
                leases: model.leases().collect(),
            };
            let request = generator.request(&hint);
            let answer = model.apply(&request);
            generator.note(&request, &answer);
        }
        let histogram = generator.histogram();
        for (bucket, least) in [
            ("put: existing key", 1000),
            ("delete: something", 500),
            ("delete: nothing", 100),
            ("range: something", 2000),
            ("range: empty", 200),
            ("range: more", 200),
            ("txn: compares hold", 200),
            ("txn: compares fail", 500),
            ("error: compacted", 100),
            ("error: future revision", 100),
            ("error: key not found", 50),
            ("error: lease not found", 50),
            ("error: duplicate key", 50),
            ("compact", 50),
            ("lease", 200),
        ] {
            let found = histogram.get(bucket).copied().unwrap_or(0);
            assert!(found >= least, "{bucket}: {found} of at least {least}; all: {histogram:#?}");
        }
    }
}
