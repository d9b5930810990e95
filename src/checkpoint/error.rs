//! Why a checkpoint cannot be read or written.

use std::fmt;
use std::io;

use crate::codec::CodecError;
use crate::state::RestoreError;

/// What went wrong, in words that name the file or row.
#[derive(Debug)]
pub enum CheckpointError {
    /// The medium failed.
    Io {
        /// The file or folder.
        file: String,
        /// What the medium said.
        error: io::Error,
    },
    /// The database failed, or its file is damaged.
    Database(redb::Error),
    /// The database's file is damaged in a way that the database itself did not foresee.
    Damaged(String),
    /// A row does not decode.
    Row {
        /// Which row.
        row: String,
        /// What is wrong with it.
        error: CodecError,
    },
    /// Rows are missing.
    Count {
        /// How many belong to the checkpoint.
        recorded: u64,
        /// How many are there.
        found: u64,
    },
    /// The rows decode but are no state.
    State(RestoreError),
    /// The work was cut off, or a write failed before: the node must stop.
    Stopped,
}

impl CheckpointError {
    pub(super) fn io(file: &str, error: io::Error) -> Self {
        CheckpointError::Io { file: file.to_owned(), error }
    }

    pub(super) fn database(error: impl Into<redb::Error>) -> Self {
        CheckpointError::Database(error.into())
    }

    /// Whether the medium failed, which says nothing about what lies on it. A file that is too short or
    /// does not begin like a database was read well.
    pub fn is_medium(&self) -> bool {
        match self {
            CheckpointError::Io { .. } => true,
            CheckpointError::Database(redb::Error::Io(error)) => {
                !matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
            }
            _ => false,
        }
    }

    /// Whether a newer build wrote the checkpoint, rather than something damaging it.
    pub fn is_newer_format(&self) -> bool {
        matches!(self, CheckpointError::Row { error, .. } if error.is_newer_format())
    }
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckpointError::Io { file, error } => write!(f, "checkpoint {file}: {error}"),
            CheckpointError::Database(error) => write!(f, "checkpoint database: {error}"),
            CheckpointError::Damaged(how) => write!(f, "checkpoint database is damaged: {how}"),
            CheckpointError::Row { row, error } => write!(f, "checkpoint row {row}: {error}"),
            CheckpointError::Count { recorded, found } => {
                write!(f, "checkpoint has {found} rows where {recorded} belong to it")
            }
            CheckpointError::State(error) => write!(f, "checkpoint: {error}"),
            CheckpointError::Stopped => f.write_str("checkpoint: stopped after an earlier failure"),
        }
    }
}

impl std::error::Error for CheckpointError {}
