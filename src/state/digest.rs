//! The digest of the replicated state.
//!
//! It is a sum (mod 2^128) of hashes over the newest record of each *live* key, the leases (id,
//! TTL and deadline), the members, clients, users and roles, plus a hash of the scalars: revision, compact revision, level,
//! lease clock and its term, and the event chain. The chain is a running hash over every event and compaction since the cluster's
//! first. So the history is covered by the chain and the present by the sum; a compaction changes
//! only scalars, and neither part sees how far removal got.
//!
//! The hash is our own, fixed for ever, and not cryptographic: two lanes of multiply and mix.

use crate::types::{Digest, KeyValue, LeaseRecord, Member, Outcome, RetryRecord, Role, User};

const SEEDS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f];
const FACTORS: [u64; 2] = [0xff51_afd7_ed55_8ccd, 0xd6e8_feb8_6659_fd93];

/// What a hash is about, so that equal bytes of different kinds differ.
#[derive(Clone, Copy)]
#[repr(u64)]
enum Kind {
    Record = 1,
    Lease = 2,
    Member = 3,
    Event = 4,
    Compaction = 5,
    Whole = 6,
    Retry = 7,
    User = 8,
    Role = 9,
    Auth = 10,
}

/// A hash over a list of words and byte strings.
struct Hasher([u64; 2]);

impl Hasher {
    fn new(kind: Kind) -> Self {
        let mut hasher = Hasher(SEEDS);
        hasher.word(kind as u64);
        hasher
    }

    fn word(&mut self, word: u64) {
        for (lane, factor) in self.0.iter_mut().zip(FACTORS) {
            let mixed = (*lane ^ word).wrapping_mul(factor);
            *lane = mixed ^ (mixed >> 29);
            *lane = lane.rotate_left(23);
        }
    }

    fn number(&mut self, number: i64) {
        self.word(number.cast_unsigned());
    }

    /// Length first, so that no two lists of strings look the same.
    fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.word(u64::from_le_bytes(last));
    }

    fn finish(mut self) -> Digest {
        self.word(SEEDS[1]);
        self.word(SEEDS[0]);
        u128::from(self.0[0]) << 64 | u128::from(self.0[1])
    }

    fn digest(&mut self, digest: Digest) {
        self.word((digest >> 64) as u64);
        self.word(digest as u64);
    }
}

/// What the digest covers besides sum and chain.
pub(super) struct Scalars {
    pub revision: i64,
    pub compact_revision: i64,
    pub level: u32,
    pub lease_clock: u64,
    pub lease_term: u64,
}

/// The sum and the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Accumulators {
    pub sum: Digest,
    pub chain: Digest,
}

impl Accumulators {
    pub fn add(&mut self, part: Digest) {
        self.sum = self.sum.wrapping_add(part);
    }

    pub fn remove(&mut self, part: Digest) {
        self.sum = self.sum.wrapping_sub(part);
    }

    /// Chains the event of a record whose [`record`] hash is `record`.
    pub fn chain_event(&mut self, record: Digest) {
        let mut hasher = Hasher::new(Kind::Event);
        hasher.digest(self.chain);
        hasher.digest(record);
        self.chain = hasher.finish();
    }

    pub fn chain_compaction(&mut self, revision: i64) {
        let mut hasher = Hasher::new(Kind::Compaction);
        hasher.digest(self.chain);
        hasher.number(revision);
        self.chain = hasher.finish();
    }

    /// The digest of the state with these accumulators.
    pub fn whole(&self, scalars: &Scalars) -> Digest {
        let mut hasher = Hasher::new(Kind::Whole);
        hasher.number(scalars.revision);
        hasher.number(scalars.compact_revision);
        hasher.word(u64::from(scalars.level));
        hasher.word(scalars.lease_clock);
        hasher.word(scalars.lease_term);
        hasher.digest(self.chain);
        self.sum.wrapping_add(hasher.finish())
    }
}

pub(super) fn record(record: &KeyValue) -> Digest {
    let fields = record.fields();
    let mut hasher = Hasher::new(Kind::Record);
    hasher.number(fields.create_revision);
    hasher.number(fields.mod_revision);
    hasher.word(u64::from(fields.sub));
    hasher.number(fields.version);
    hasher.number(fields.lease);
    hasher.bytes(record.key());
    hasher.bytes(record.value());
    hasher.finish()
}

pub(super) fn lease(lease: &LeaseRecord) -> Digest {
    let mut hasher = Hasher::new(Kind::Lease);
    hasher.number(lease.id);
    hasher.number(lease.ttl);
    // No deadline is 0: the clock's grace lies before the first.
    hasher.word(lease.deadline.unwrap_or(0));
    hasher.finish()
}

pub(super) fn retry(record: &RetryRecord) -> Digest {
    let mut hasher = Hasher::new(Kind::Retry);
    for word in [record.client, record.sequence, record.used] {
        hasher.word(word);
    }
    hasher.number(record.revision);
    match &record.outcome {
        Outcome::Put => hasher.word(1),
        Outcome::DeleteRange(deleted) => {
            hasher.word(2);
            hasher.number(*deleted);
        }
        Outcome::Txn { succeeded, deleted } => {
            hasher.word(3 + u64::from(*succeeded));
            hasher.word(deleted.len() as u64);
            deleted.iter().for_each(|deleted| hasher.number(*deleted));
        }
    }
    hasher.finish()
}

pub(super) fn member(member: &Member) -> Digest {
    let mut hasher = Hasher::new(Kind::Member);
    hasher.word(member.id);
    hasher.bytes(member.name.as_bytes());
    for urls in [&member.peer_urls, &member.client_urls] {
        hasher.word(urls.len() as u64);
        for url in urls {
            hasher.bytes(url.as_bytes());
        }
    }
    hasher.word(u64::from(member.is_learner));
    hasher.finish()
}

pub(super) fn user(user: &User) -> Digest {
    let mut hasher = Hasher::new(Kind::User);
    hasher.word(user.id);
    hasher.bytes(user.name.as_bytes());
    hasher.bytes(&user.password_hash);
    hasher.word(u64::from(user.no_password));
    hasher.word(user.password_revision);
    hasher.word(user.roles.len() as u64);
    for role in &user.roles {
        hasher.bytes(role.as_bytes());
    }
    hasher.finish()
}

pub(super) fn role(role: &Role) -> Digest {
    let mut hasher = Hasher::new(Kind::Role);
    hasher.bytes(role.name.as_bytes());
    hasher.word(role.permissions.len() as u64);
    for permission in &role.permissions {
        hasher.word(u64::from(permission.access.reads()) | u64::from(permission.access.writes()) << 1);
        hasher.bytes(&permission.range.key);
        hasher.bytes(&permission.range.range_end);
    }
    hasher.finish()
}

/// Whether requests are checked, and since and at which auth revision.
pub(super) fn auth(enabled: bool, enabled_revision: u64, revision: u64) -> Digest {
    let mut hasher = Hasher::new(Kind::Auth);
    hasher.word(u64::from(enabled));
    hasher.word(enabled_revision);
    hasher.word(revision);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::{Accumulators, Scalars, lease};
    use crate::types::LeaseRecord;

    /// Members of different builds compare digests: these values must never change.
    #[test]
    fn hash_is_fixed() {
        let of = |id, ttl, deadline| lease(&LeaseRecord { id, ttl, deadline });
        assert_eq!(of(1, 2, None), of(1, 2, None));
        assert_ne!(of(1, 2, None), of(2, 1, None));
        assert_ne!(of(1, 2, None), of(1, 2, Some(1)));
        assert_eq!(format!("{:032x}", of(7, 60, Some(60_050))), "57c38e2c2c5fb16f578578837fca4148");
        let scalars = Scalars { revision: 1, compact_revision: -1, level: 1, lease_clock: 0, lease_term: 0 };
        assert_eq!(
            format!("{:032x}", Accumulators::default().whole(&scalars)),
            "47fd147454aac2bf4d9d924a61df0449"
        );
    }
}
