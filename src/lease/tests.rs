//! Rows L1, L2, L4, L13 on the bare table.

use super::{Leases, MAX_TTL_S};
use crate::types::{Error, KeyValue, KeyValueFields};

fn record(key: &[u8], lease: i64) -> KeyValue {
    KeyValue::new(KeyValueFields { version: 1, lease, ..KeyValueFields::default() }, key, b"")
}

#[test]
fn l1_l2_grant_is_checked() {
    let mut leases = Leases::default();
    assert_eq!(leases.grant(7, 10), Ok(()));
    assert_eq!(leases.grant(7, 10), Err(Error::LeaseExists));
    assert_eq!(leases.grant(0, 10), Err(Error::LeaseNotFound));
    assert_eq!(leases.grant(8, MAX_TTL_S + 1), Err(Error::LeaseTtlTooLarge));
    assert_eq!(leases.get(7).map(super::Lease::ttl), Some(10));
}

#[test]
fn l4_l13_keys_follow_their_lease() {
    let mut leases = Leases::default();
    leases.grant(7, 10).expect("new id");
    assert!(leases.attach(&record(b"b", 7)));
    assert!(leases.attach(&record(b"a", 7)));
    assert!(leases.attach(&record(b"free", 0)));
    assert!(!leases.attach(&record(b"a", 9)));
    let keys = |leases: &Leases| -> Vec<Vec<u8>> {
        leases.get(7).into_iter().flat_map(super::Lease::keys).map(|kv| kv.key().to_vec()).collect()
    };
    assert_eq!(keys(&leases), [b"a", b"b"]);
    leases.detach(&record(b"a", 7));
    assert_eq!(keys(&leases), [b"b"]);
    assert!(leases.revoke(7).is_ok());
    assert_eq!(leases.revoke(7).err(), Some(Error::LeaseNotFound));
}
