//! Why a log cannot be opened.

use std::fmt;
use std::io;

use crate::codec::CodecError;

/// The log cannot be opened; the node must not start.
#[derive(Debug)]
pub enum WalError {
    /// The medium failed.
    Io {
        /// The file or folder.
        file: String,
        /// What the medium said.
        error: io::Error,
    },
    /// Bytes that were proved durable are damaged.
    Corrupt {
        /// The segment's file.
        file: String,
        /// Where the damage begins, in bytes.
        offset: u64,
        /// How we know.
        why: String,
    },
    /// Written by another build in a format that this one does not know.
    Format {
        /// The segment's file.
        file: String,
        /// Where, in bytes.
        offset: u64,
        /// What is unknown.
        error: CodecError,
    },
    /// Entries that were not purged are in no segment.
    Missing {
        /// First missing index.
        from: u64,
        /// Index after the last missing one.
        to: u64,
        /// The oldest segment's file.
        file: String,
    },
}

impl WalError {
    pub(super) fn io(file: &str, error: io::Error) -> Self {
        WalError::Io { file: file.to_owned(), error }
    }

    /// Whether the medium failed, which says nothing about what lies on it.
    pub fn is_medium(&self) -> bool {
        matches!(self, WalError::Io { .. })
    }

    /// Whether a newer build wrote the log, rather than something damaging it.
    pub fn is_newer_format(&self) -> bool {
        matches!(self, WalError::Format { error, .. } if error.is_newer_format())
    }
}

impl fmt::Display for WalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WalError::Io { file, error } => write!(f, "log {file}: {error}"),
            WalError::Corrupt { file, offset, why } => {
                write!(f, "log {file}: damaged at offset {offset}: {why}")
            }
            WalError::Format { file, offset, error } => write!(f, "log {file}: at offset {offset}: {error}"),
            WalError::Missing { from, to, file } => {
                write!(f, "log entries {from} to {} are missing before segment {file}", to - 1)
            }
        }
    }
}

impl std::error::Error for WalError {}
