//! Taking turns: the queue below a name that locks and elections stand in (E1).
//!
//! Who wants a turn puts the key `name/lease` and waits until no key below `name/` is older. The
//! create revision of the key is the place in the queue and, once it is the first, the fencing token:
//! it is larger than that of every turn before it.

mod election;
mod queue;
mod wait;

pub use election::{Leading, Observed};
pub use queue::Turn;

use bytes::Bytes;

use crate::types::{Compare, CompareResult, CompareTarget, KeyRange};

/// Seconds that the lease of a client without one lasts (E7).
const SESSION_TTL_S: i64 = 60;

/// The keys below `name`.
fn below(name: &[u8]) -> KeyRange {
    KeyRange::new([name, b"/"].concat(), [name, b"0"].concat())
}

/// The key of `lease` below `name`: its number in hexadecimal, with a sign if it is negative.
fn key_of(name: &[u8], lease: i64) -> Bytes {
    let sign = if lease < 0 { "-" } else { "" };
    [name, format!("/{sign}{:x}", lease.unsigned_abs()).as_bytes()].concat().into()
}

/// Holds as long as nobody took the turn away: the key is the one created at `revision`, 0 for none.
fn created_at(key: &Bytes, revision: i64) -> Compare {
    Compare {
        range: KeyRange::single(key.clone()),
        result: CompareResult::Equal,
        target: CompareTarget::CreateRevision(revision),
    }
}
