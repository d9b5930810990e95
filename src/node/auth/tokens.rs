//! The tokens that were given out: in memory only, on every member, each until it was not used for
//! `auth-token-ttl` (A14).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::runtime::Instant;
use crate::types::{LogPosition, UserId};

/// Tokens held before those that have ended are looked for.
const SWEEP_AT_LEAST: usize = 64;

/// The tokens of one member.
#[derive(Debug)]
pub(in crate::node) struct Tokens {
    ttl: Duration,
    /// Tokens of entries up to here were lost with the program that knew them.
    lost: Option<LogPosition>,
    /// By their secret part.
    given: BTreeMap<String, Given>,
    /// Held when ended ones are looked for again.
    sweep_at: usize,
}

/// What a token stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given {
    pub user: UserId,
    /// The auth revision at which it was given.
    pub auth_revision: u64,
    /// The log's index of its entry: its second part.
    pub index: u64,
    until: Instant,
}

impl Tokens {
    /// None yet; those of entries up to `lost`, which the log held when the member started, stay unknown.
    pub fn new(ttl: Duration, lost: Option<LogPosition>) -> Self {
        Tokens { ttl, lost, given: BTreeMap::new(), sweep_at: SWEEP_AT_LEAST }
    }

    /// Takes over the token of the entry at `at`.
    pub fn add(&mut self, letters: String, user: UserId, auth_revision: u64, at: LogPosition, now: Instant) {
        // A tail of the log that never counted may have been longer.
        if self.lost.is_some_and(|lost| at.term <= lost.term && at.index <= lost.index) {
            return;
        }
        if self.given.len() >= self.sweep_at {
            self.given.retain(|_, given| given.until > now);
            self.sweep_at = SWEEP_AT_LEAST.max(2 * self.given.len());
        }
        self.given.insert(letters, Given { user, auth_revision, index: at.index, until: now + self.ttl });
    }

    /// What `letters` stand for; from now on they last their whole time again.
    pub(super) fn use_one(&mut self, letters: &str, now: Instant) -> Option<Given> {
        let given = self.given.get_mut(letters)?;
        if given.until <= now {
            self.given.remove(letters);
            return None;
        }
        given.until = now + self.ttl;
        Some(*given)
    }
}

/// The two parts of a token.
pub(super) fn split(token: &str) -> Option<(&str, u64)> {
    let (letters, index) = token.split_once('.')?;
    // As it was given out, without zeros in front.
    (index.bytes().all(|byte| byte.is_ascii_digit()) && !(index.len() > 1 && index.starts_with('0')))
        .then_some(())?;
    Some((letters, index.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a14_a_token_slides_and_ends() {
        let at = |ms: u64| Instant::default() + Duration::from_millis(ms);
        let entry = |term, index| LogPosition { term, leader: 1, index };
        let mut tokens = Tokens::new(Duration::from_millis(300), Some(entry(2, 5)));
        tokens.add("old".into(), 2, 3, entry(2, 5), at(0));
        tokens.add("new".into(), 2, 3, entry(2, 6), at(0));
        tokens.add("instead".into(), 2, 3, entry(3, 5), at(0));
        assert!(tokens.use_one("instead", at(1)).is_some(), "of a later term");
        assert!(tokens.use_one("old", at(1)).is_none(), "it was lost at the start");
        assert_eq!(tokens.use_one("new", at(299)).map(|given| (given.user, given.index)), Some((2, 6)));
        assert!(tokens.use_one("new", at(598)).is_some());
        assert!(tokens.use_one("new", at(898)).is_none());
        assert!(tokens.use_one("new", at(0)).is_none(), "it ended");
    }

    #[test]
    fn ended_ones_are_forgotten() {
        let mut tokens = Tokens::new(Duration::from_millis(100), None);
        for n in 0..10_000 {
            let at = LogPosition { term: 1, leader: 1, index: n + 1 };
            tokens.add(format!("{n}"), 2, 2, at, Instant(n * 1_000_000));
        }
        assert!(tokens.given.len() <= 300, "{}", tokens.given.len());
    }

    #[test]
    fn tokens_have_two_parts() {
        assert_eq!(split("abc.12"), Some(("abc", 12)));
        for bad in
            ["", "abc", "abc.", "abc.x", "abc.-1", "abc.+1", "abc.1.2", "abc.012", "a.99999999999999999999"]
        {
            assert_eq!(split(bad), None, "{bad}");
        }
    }
}
