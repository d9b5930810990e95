//! Passwords and their bcrypt hashes, in the form that Go's library writes and reads.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::types::Error;

/// bcrypt looks at no more than this.
const MAX_PASSWORD_BYTES: usize = 72;

/// Requests that may wait for each hash that is computed at a time: about what can be done before the
/// first of them times out.
const WAITING: usize = 64;
/// Rounds, as a power of two, above which the hash that a client gives is not taken: it would be paid by
/// each attempt to log in.
pub(super) const MAX_GIVEN_COST: u32 = 16;

/// Who may hash now.
#[derive(Debug)]
pub(in crate::node) struct Hashing {
    slots: Semaphore,
    may_wait: usize,
    waiting: AtomicUsize,
}

impl Hashing {
    /// `at_a_time` hashes are computed at a time: more would only take processors from everything else.
    pub fn new(at_a_time: usize) -> Self {
        let (slots, may_wait) = (Semaphore::new(at_a_time), WAITING * at_a_time);
        Hashing { slots, may_wait, waiting: AtomicUsize::new(0) }
    }

    /// Waits for a turn; may be dropped. Errors: TooManyRequests when too many do.
    pub async fn turn(&self) -> Result<SemaphorePermit<'_>, Error> {
        let waits = Waits(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.may_wait {
            return Err(Error::TooManyRequests);
        }
        let turn = self.slots.acquire().await;
        drop(waits);
        turn.map_err(|_| Error::Stopped)
    }
}

/// One that waits, until it is dropped.
struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The rounds of a bcrypt hash, as a power of two; `None` for what is none.
pub(super) fn cost(hash: &[u8]) -> Option<u32> {
    std::str::from_utf8(hash).ok()?.parse::<bcrypt::HashParts>().ok().map(|parts| parts.get_cost())
}

/// The hash of `password`; takes 2 to the power of `cost` rounds. Errors: PasswordTooLong.
pub(super) fn hash(password: &str, cost: u32, salt: [u8; 16]) -> Result<Vec<u8>, Error> {
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(Error::PasswordTooLong);
    }
    // What is left to fail is the cost, which is checked where it is read.
    let parts = bcrypt::hash_with_salt(password, cost, salt).map_err(|_| Error::PasswordTooLong)?;
    Ok(parts.format_for_version(bcrypt::Version::TwoA).into_bytes())
}

/// Whether `password` has `hash`; nothing has one that is none. What is behind the 72nd byte does not
/// count, as in Go.
pub(super) fn is_right(password: &str, hash: &[u8]) -> bool {
    let hash = std::str::from_utf8(hash).ok();
    hash.is_some_and(|hash| bcrypt::verify(password, hash).unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn turns_are_bounded() {
        fn poll<F: Future>(one: &mut Pin<Box<F>>) -> Poll<F::Output> {
            one.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        }
        let hashing = Hashing::new(1);
        let mut first = Box::pin(hashing.turn());
        let Poll::Ready(Ok(turn)) = poll(&mut first) else { panic!("nobody else has one") };
        let mut waiting: Vec<_> = (0..WAITING).map(|_| Box::pin(hashing.turn())).collect();
        assert!(waiting.iter_mut().all(|one| poll(one).is_pending()));
        let late = poll(&mut Box::pin(hashing.turn()));
        assert!(matches!(late, Poll::Ready(Err(Error::TooManyRequests))));
        // One that goes away makes room.
        waiting.pop();
        assert!(poll(&mut Box::pin(hashing.turn())).is_pending());
        drop(turn);
        assert!(matches!(poll(&mut waiting[0]), Poll::Ready(Ok(_))));
    }

    #[test]
    fn hashes_are_go_s() {
        let own = hash("secret", 4, [7; 16]).expect("short enough");
        assert!(own.starts_with(b"$2a$04$") && own.len() == 60);
        assert!(is_right("secret", &own) && !is_right("Secret", &own) && !is_right("", &own));
        // golang.org/x/crypto/bcrypt's own test vector.
        assert!(is_right("allmine", b"$2a$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga"));
        for no_hash in [b"".as_slice(), b"secret", b"$2a$99$", &[0xff, 0xfe]] {
            assert!(!is_right("", no_hash) && !is_right("secret", no_hash));
        }
        assert_eq!(hash(&"x".repeat(73), 4, [0; 16]), Err(Error::PasswordTooLong));
        let longest = hash(&"x".repeat(72), 4, [0; 16]).expect("short enough");
        assert!(is_right(&"x".repeat(73), &longest) && !is_right(&"x".repeat(71), &longest));
        assert_eq!((cost(&longest), cost(b"$2a$")), (Some(4), None));
    }
}
