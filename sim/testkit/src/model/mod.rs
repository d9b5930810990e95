//! A deliberately simple etcd: each key with all its versions, plain loops, nothing clever. It keeps
//! the whole history, also what is compacted, so that it can answer at any revision.

mod errors;
pub mod form;
mod read;
mod txn;

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::ops::Bound;

use etched_proto::etcdserverpb as pb;
use etched_proto::mvccpb;

use crate::{Failure, Request, Response};

/// One version of a key; a tombstone has version 0.
#[derive(Clone, Debug, PartialEq, Hash)]
struct Version {
    create_revision: i64,
    mod_revision: i64,
    version: i64,
    lease: i64,
    value: Vec<u8>,
}

/// One change of a revision, as a watcher with `prev_kv` sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Whether it deletes.
    pub is_delete: bool,
    /// The record; of a delete only key and `mod_revision` (D5).
    pub kv: mvccpb::KeyValue,
    /// The live record one revision earlier, compacted or not.
    pub prev_kv: Option<mvccpb::KeyValue>,
}

/// The store.
#[derive(Clone, Debug)]
pub struct Model {
    revision: i64,
    compact_revision: i64,
    keys: BTreeMap<Vec<u8>, Vec<Version>>,
    leases: BTreeMap<i64, i64>,
    changes: BTreeMap<i64, Vec<Change>>,
}

impl Default for Model {
    fn default() -> Self {
        Model::new()
    }
}

impl Model {
    /// The empty store, at revision 1.
    pub fn new() -> Self {
        Model {
            revision: 1,
            compact_revision: -1,
            keys: BTreeMap::new(),
            leases: BTreeMap::new(),
            changes: BTreeMap::new(),
        }
    }

    /// The newest revision.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// The compact revision; -1 before the first compaction.
    pub fn compact_revision(&self) -> i64 {
        self.compact_revision
    }

    /// Ids of the leases that exist.
    pub fn leases(&self) -> impl Iterator<Item = i64> {
        self.leases.keys().copied()
    }

    /// The keys that hold lease `id` at `revision`, in order.
    pub fn keys_of(&self, id: i64, revision: i64) -> impl Iterator<Item = &[u8]> {
        self.keys.iter().filter_map(move |(key, versions)| {
            let newest = versions.iter().rev().find(|version| version.mod_revision <= revision)?;
            (newest.version > 0 && newest.lease == id).then_some(key.as_slice())
        })
    }

    /// What `revision` changed, in order; empty when it is not there.
    pub fn events(&self, revision: i64) -> &[Change] {
        self.changes.get(&revision).map_or(&[], Vec::as_slice)
    }

    /// All changes from revision `from` to `to`, both inclusive, in order.
    pub fn changes(&self, from: i64, to: i64) -> impl Iterator<Item = (i64, &[Change])> {
        let to = to.max(from.saturating_sub(1));
        let range = (Bound::Included(from), Bound::Excluded(to.saturating_add(1)));
        self.changes.range(range).map(|(revision, changes)| (*revision, changes.as_slice()))
    }

    /// A hash of everything, history included.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Fnv::default();
        self.revision.hash(&mut hash);
        self.compact_revision.hash(&mut hash);
        self.keys.hash(&mut hash);
        self.leases.hash(&mut hash);
        hash.finish()
    }

    /// Answers `request` now and changes the store accordingly. An error changes nothing.
    pub fn apply(&mut self, request: &Request) -> Result<Response, Failure> {
        form::check(request)?;
        Ok(match request {
            Request::Range(range) => {
                Response::Range(self.range(range, self.revision, self.compact_revision)?)
            }
            Request::Put(put) => {
                self.check_put(put)?;
                let answer = self.put(put)?;
                Response::Put(pb::PutResponse { header: self.commit(), ..answer })
            }
            Request::DeleteRange(delete) => {
                let answer = self.delete_range(delete);
                Response::DeleteRange(pb::DeleteRangeResponse { header: self.commit(), ..answer })
            }
            Request::Txn(txn) => Response::Txn(self.txn(txn)?),
            Request::Compact(compact) => {
                self.compact(compact.revision)?;
                Response::Compact(pb::CompactionResponse { header: header(self.revision) })
            }
            Request::LeaseGrant(grant) => {
                self.grant(grant.id, grant.ttl)?;
                let answer = pb::LeaseGrantResponse {
                    header: header(self.revision),
                    id: grant.id,
                    ..Default::default()
                };
                Response::LeaseGrant(pb::LeaseGrantResponse { ttl: grant.ttl, ..answer })
            }
            Request::LeaseRevoke(revoke) => {
                self.revoke(revoke.id)?;
                Response::LeaseRevoke(pb::LeaseRevokeResponse { header: header(self.revision) })
            }
        })
    }

    /// Answers a read as the store stood at `revision`, as if nothing had been compacted. Writes and
    /// revisions that are not there yet are refused with `None`.
    pub fn read_at(&self, request: &Request, revision: i64) -> Option<Result<Response, Failure>> {
        if revision > self.revision || !request.is_read() {
            return None;
        }
        let answer = form::check(request).and_then(|()| match request {
            Request::Range(range) => self.range(range, revision, i64::MIN).map(Response::Range),
            Request::Txn(txn) => self.read_txn(txn, revision, i64::MIN).map(Response::Txn),
            _ => unreachable!("only ranges and transactions are reads"),
        });
        Some(answer)
    }

    /// C1.
    fn compact(&mut self, revision: i64) -> Result<(), Failure> {
        if revision <= self.compact_revision {
            return Err(errors::compacted());
        }
        if revision > self.revision {
            return Err(errors::future_revision());
        }
        self.compact_revision = revision;
        Ok(())
    }

    /// L1.
    fn grant(&mut self, id: i64, ttl: i64) -> Result<(), Failure> {
        if self.leases.contains_key(&id) {
            return Err(errors::lease_exists());
        }
        self.leases.insert(id, ttl);
        Ok(())
    }

    /// L4, W26: the lease's keys go in one revision, by key.
    fn revoke(&mut self, id: i64) -> Result<(), Failure> {
        if self.leases.remove(&id).is_none() {
            return Err(errors::lease_not_found());
        }
        let newest = |versions: &Vec<Version>| {
            versions.last().is_some_and(|last| last.version > 0 && last.lease == id)
        };
        let keys = self.keys.iter().filter(|(_, versions)| newest(versions));
        let keys: Vec<Vec<u8>> = keys.map(|(key, _)| key.clone()).collect();
        keys.iter().for_each(|key| self.write(key, None));
        self.commit();
        Ok(())
    }

    /// P2, P5.
    fn check_put(&self, put: &pb::PutRequest) -> Result<(), Failure> {
        if put.lease != 0 && !self.leases.contains_key(&put.lease) {
            return Err(errors::lease_not_found());
        }
        if (put.ignore_value || put.ignore_lease) && self.newest(&put.key).is_none() {
            return Err(errors::key_not_found());
        }
        Ok(())
    }

    /// P5–P8. Fails only for a key that its own transaction deleted before.
    fn put(&mut self, put: &pb::PutRequest) -> Result<pb::PutResponse, Failure> {
        let before = self.newest(&put.key).cloned();
        if (put.ignore_value || put.ignore_lease) && before.is_none() {
            return Err(errors::key_not_found());
        }
        let (mut value, mut lease) = (put.value.to_vec(), put.lease);
        if let Some(before) = &before {
            if put.ignore_value {
                value = before.value.clone();
            }
            if put.ignore_lease {
                lease = before.lease;
            }
        }
        self.write(&put.key, Some((value, lease)));
        let prev_kv = before.filter(|_| put.prev_kv).map(|before| before.shown(&put.key));
        Ok(pb::PutResponse { header: header(self.revision_so_far()), prev_kv })
    }

    /// D1–D4.
    fn delete_range(&mut self, delete: &pb::DeleteRangeRequest) -> pb::DeleteRangeResponse {
        let gone = self.live(&delete.key, &delete.range_end, i64::MAX);
        gone.iter().for_each(|kv| self.write(&kv.key, None));
        pb::DeleteRangeResponse {
            header: header(self.revision_so_far()),
            deleted: gone.len() as i64,
            prev_kvs: if delete.prev_kv { gone } else { Vec::new() },
        }
    }

    /// The live version of `key`, what the running request wrote included.
    fn newest(&self, key: &[u8]) -> Option<&Version> {
        self.keys.get(key)?.last().filter(|version| version.version > 0)
    }

    /// Adds a version (`None`: a tombstone) in the revision that is being made.
    fn write(&mut self, key: &[u8], put: Option<(Vec<u8>, i64)>) {
        let revision = self.revision + 1;
        let prev_kv = self.live(key, &[], self.revision).pop();
        let before = self.newest(key).cloned();
        let version = match put {
            None => Version {
                create_revision: 0,
                mod_revision: revision,
                version: 0,
                lease: 0,
                value: Vec::new(),
            },
            Some((value, lease)) => Version {
                create_revision: before.as_ref().map_or(revision, |before| before.create_revision),
                mod_revision: revision,
                version: before.as_ref().map_or(1, |before| before.version + 1),
                lease,
                value,
            },
        };
        let change = Change { is_delete: version.version == 0, kv: version.shown(key), prev_kv };
        self.changes.entry(revision).or_default().push(change);
        self.keys.entry(key.to_vec()).or_default().push(version);
    }

    /// The newest revision, or the one above it once the running request changed something.
    fn revision_so_far(&self) -> i64 {
        self.revision + i64::from(self.changes.contains_key(&(self.revision + 1)))
    }

    /// Ends a request: if it changed anything, its revision is the newest now.
    fn commit(&mut self) -> Option<pb::ResponseHeader> {
        self.revision = self.revision_so_far();
        header(self.revision)
    }

    /// Takes back what the running request changed.
    fn roll_back(&mut self) {
        for change in self.changes.remove(&(self.revision + 1)).unwrap_or_default() {
            if let Some(versions) = self.keys.get_mut(change.kv.key.as_ref() as &[u8]) {
                versions.pop();
            }
        }
    }
}

impl Version {
    fn shown(&self, key: &[u8]) -> mvccpb::KeyValue {
        mvccpb::KeyValue {
            key: key.to_vec().into(),
            create_revision: self.create_revision,
            mod_revision: self.mod_revision,
            version: self.version,
            value: self.value.clone().into(),
            lease: self.lease,
        }
    }
}

fn header(revision: i64) -> Option<pb::ResponseHeader> {
    Some(pb::ResponseHeader { revision, ..Default::default() })
}

/// FNV-1a: the same in every process.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
