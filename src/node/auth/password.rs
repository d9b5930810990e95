//! Passwords and their bcrypt hashes, in the form that Go's library writes and reads.

use crate::types::Error;

/// bcrypt looks at no more than this.
const MAX_PASSWORD_BYTES: usize = 72;

/// The hash of `password`; takes 2 to the power of `cost` rounds. Errors: PasswordTooLong.
pub(super) fn hash(password: &str, cost: u32, salt: [u8; 16]) -> Result<Vec<u8>, Error> {
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(Error::PasswordTooLong);
    }
    // What is left to fail is the cost, which is checked where it is read.
    let parts = bcrypt::hash_with_salt(password, cost, salt).map_err(|_| Error::PasswordTooLong)?;
    Ok(parts.format_for_version(bcrypt::Version::TwoA).into_bytes())
}

/// Whether `password` has `hash`; nothing has one that is none.
pub(super) fn is_right(password: &str, hash: &[u8]) -> bool {
    let hash = std::str::from_utf8(hash).ok();
    password.len() <= MAX_PASSWORD_BYTES
        && hash.is_some_and(|hash| bcrypt::verify(password, hash).unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(hash(&"x".repeat(72), 4, [0; 16]).is_ok());
    }
}
