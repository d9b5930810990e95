//! KV.Range: rows R1–R21.

use etched_proto::etcdserverpb as pb;
use etched_proto::mvccpb::KeyValue;

use super::{Model, errors, header};
use crate::Failure;

const NONE: i32 = 0;
const DESCEND: i32 = 2;
const BY_VALUE: i32 = 4;

impl Model {
    /// Answers at store revision `now`, of which revisions below `compacted` cannot be read.
    pub(super) fn range(
        &self,
        request: &pb::RangeRequest,
        now: i64,
        compacted: i64,
    ) -> Result<pb::RangeResponse, Failure> {
        let at = match request.revision {
            revision if revision <= 0 => now,
            revision if revision > now => return Err(errors::future_revision()),
            revision if revision < compacted => return Err(errors::compacted()),
            revision => revision,
        };
        let mut kvs = self.live(&request.key, &request.range_end, at);
        let count = kvs.len() as i64;
        if request.count_only {
            return Ok(pb::RangeResponse { header: header(now), count, ..Default::default() });
        }
        let limit = if request.limit > 0 { request.limit as usize } else { usize::MAX };
        // R14, R15: without an order and without filters only the first limit + 1 keys are read.
        let filtered = request.min_mod_revision != 0
            || request.max_mod_revision != 0
            || request.min_create_revision != 0
            || request.max_create_revision != 0;
        if request.sort_order == NONE && !filtered {
            kvs.truncate(limit.saturating_add(1));
        }
        kvs.retain(|kv| passes(request, kv));
        sort(request, &mut kvs);
        let more = kvs.len() > limit;
        kvs.truncate(limit);
        if request.keys_only {
            for kv in &mut kvs {
                kv.value = Default::default();
                if request.sort_target != BY_VALUE {
                    kv.lease = 0;
                }
            }
        }
        Ok(pb::RangeResponse { header: header(now), kvs, more, count })
    }

    /// The live records of a range as of revision `at`, by key.
    pub(super) fn live(&self, key: &[u8], range_end: &[u8], at: i64) -> Vec<KeyValue> {
        let mut found = Vec::new();
        for (candidate, versions) in self.keys.range(key.to_vec()..) {
            let inside = match range_end {
                [] => candidate == key,
                [0] => true,
                end => candidate.as_slice() < end,
            };
            if !inside {
                break;
            }
            let newest = versions.iter().rev().find(|version| version.mod_revision <= at);
            if let Some(version) = newest.filter(|version| version.version > 0) {
                found.push(version.shown(candidate));
            }
        }
        found
    }
}

/// R16.
fn passes(request: &pb::RangeRequest, kv: &KeyValue) -> bool {
    (request.min_mod_revision == 0 || kv.mod_revision >= request.min_mod_revision)
        && (request.max_mod_revision == 0 || kv.mod_revision <= request.max_mod_revision)
        && (request.min_create_revision == 0 || kv.create_revision >= request.min_create_revision)
        && (request.max_create_revision == 0 || kv.create_revision <= request.max_create_revision)
}

/// R13. Ties are unspecified; here they stay in key order, as the product does it.
fn sort(request: &pb::RangeRequest, kvs: &mut [KeyValue]) {
    let number = |kv: &KeyValue| match request.sort_target {
        1 => kv.version,
        2 => kv.create_revision,
        3 => kv.mod_revision,
        _ => 0,
    };
    kvs.sort_by(|a, b| {
        let order = match request.sort_target {
            0 => a.key.cmp(&b.key),
            BY_VALUE => a.value.cmp(&b.value),
            _ => number(a).cmp(&number(b)),
        };
        if request.sort_order == DESCEND { order.reverse() } else { order }
    });
}
