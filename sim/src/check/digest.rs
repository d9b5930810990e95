//! The end of a run: checker `digest` (all members hold the same state) and checker `liveness` (what
//! was promised after the heal came in time, G1).

use std::collections::BTreeMap;

use super::violation::{Checked, Violation, violation};

/// How one member stands when the run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndState {
    /// Its node.
    pub node: u32,
    /// Index of its last applied entry.
    pub applied: Option<u64>,
    /// Its store's revision.
    pub revision: i64,
    /// Digest of its state.
    pub digest: u128,
}

/// All members that ended healthy must be equal in everything.
pub fn equal(ends: &[EndState]) -> Checked {
    let Some(first) = ends.first() else { return Ok(()) };
    for other in &ends[1..] {
        if (EndState { node: first.node, ..*other }) != *first {
            violation!("digest", "after the heal {first:x?} and {other:x?} differ");
        }
    }
    Ok(())
}

/// Promises with a deadline in true time: a leader, a write, a read, a watch event, convergence.
#[derive(Debug, Default)]
pub struct Liveness {
    open: BTreeMap<String, u64>,
}

impl Liveness {
    /// `what` must be kept before `deadline_ns`.
    pub fn expect(&mut self, what: impl Into<String>, deadline_ns: u64) {
        self.open.insert(what.into(), deadline_ns);
    }

    /// `what` happened; it is an error if that was too late, and nothing if nobody waited.
    pub fn kept(&mut self, time_ns: u64, what: &str) -> Checked {
        match self.open.remove(what) {
            Some(deadline) if time_ns > deadline => Err(late(what, deadline)),
            _ => Ok(()),
        }
    }

    /// Fails on the first promise whose deadline is over.
    pub fn tick(&self, time_ns: u64) -> Checked {
        match self.open.iter().find(|(_, deadline)| **deadline < time_ns) {
            Some((what, deadline)) => Err(late(what, *deadline)),
            None => Ok(()),
        }
    }

    /// Whether all promises were kept.
    pub fn is_done(&self) -> bool {
        self.open.is_empty()
    }
}

fn late(what: &str, deadline_ns: u64) -> Violation {
    let seconds = deadline_ns as f64 / 1e9;
    Violation::new("liveness", format!("{what} did not happen before {seconds:.3} s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_must_end_equal() {
        let end = |node, digest| EndState { node, applied: Some(9), revision: 4, digest };
        assert_eq!(equal(&[end(1, 7), end(2, 7), end(3, 7)]), Ok(()));
        assert_eq!(equal(&[end(1, 7), end(2, 8)]).unwrap_err().checker, "digest");
    }

    #[test]
    fn promises_are_kept_in_time() {
        let mut liveness = Liveness::default();
        liveness.expect("leader", 100);
        liveness.expect("write", 200);
        assert_eq!(liveness.kept(90, "leader"), Ok(()));
        assert_eq!(liveness.tick(150), Ok(()));
        assert_eq!(liveness.tick(201).unwrap_err().checker, "liveness");
        assert_eq!(liveness.kept(250, "write").unwrap_err().checker, "liveness");
        assert!(liveness.is_done());
    }
}
