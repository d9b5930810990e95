//! What can be wrong with bytes.

use std::fmt;

/// Bytes that do not decode. Every variant names what was being read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodecError {
    /// The bytes do not begin as they must.
    Magic {
        /// What was read.
        what: &'static str,
        /// The first bytes found.
        found: u32,
    },
    /// A format version that this build does not know.
    Version {
        /// What was read.
        what: &'static str,
        /// Its kind number, 0 where there is only one kind.
        kind: u16,
        /// The version found.
        found: u16,
        /// The newest version this build knows.
        known: u16,
    },
    /// A kind that this build does not know.
    Kind {
        /// What was read.
        what: &'static str,
        /// The kind found.
        found: u16,
        /// The format version it came with.
        version: u16,
    },
    /// The checksum does not fit the bytes.
    Checksum {
        /// What was read.
        what: &'static str,
        /// The stored checksum.
        stored: u32,
        /// The computed one.
        computed: u32,
    },
    /// Fewer bytes than the layout needs.
    Short {
        /// What was read.
        what: &'static str,
        /// Bytes needed.
        needed: usize,
        /// Bytes there.
        found: usize,
    },
    /// A length above its bound.
    TooLong {
        /// What was read.
        what: &'static str,
        /// The length found, in bytes.
        found: usize,
        /// The bound, in bytes.
        limit: usize,
    },
    /// Transactions nested deeper than `limits::MAX_TXN_DEPTH`.
    TooDeep {
        /// The bound.
        limit: usize,
    },
    /// Anything else.
    Malformed {
        /// What was read.
        what: &'static str,
        /// The reason.
        why: String,
    },
}

impl CodecError {
    /// Whether the bytes are what a newer build writes, rather than damaged.
    pub fn is_newer_format(&self) -> bool {
        match self {
            CodecError::Version { found, known, .. } => found > known,
            CodecError::Kind { .. } => true,
            _ => false,
        }
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodecError::Magic { what, found } => {
                write!(f, "{what}: does not begin as it must (found {found:#010x})")
            }
            CodecError::Version { what, kind, found, known } => {
                write!(f, "{what}: kind {kind} has format version {found}, this build knows up to {known}")
            }
            CodecError::Kind { what, found, version } => {
                write!(f, "{what}: unknown kind {found} of format version {version}")
            }
            CodecError::Checksum { what, stored, computed } => {
                write!(f, "{what}: checksum is {computed:#010x}, stored is {stored:#010x}")
            }
            CodecError::Short { what, needed, found } => {
                write!(f, "{what}: {found} bytes where {needed} are needed")
            }
            CodecError::TooLong { what, found, limit } => {
                write!(f, "{what}: length {found} is above the bound {limit}")
            }
            CodecError::TooDeep { limit } => {
                write!(f, "transaction: nested deeper than {limit}")
            }
            CodecError::Malformed { what, why } => write!(f, "{what}: {why}"),
        }
    }
}

impl std::error::Error for CodecError {}
