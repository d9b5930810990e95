//! One directory of durable storage.
//!
//! Nothing is durable before a sync returns: file contents need `sync`, a created, renamed or
//! removed name needs `sync_dir` of its folder. After a failed sync the file's state is unknown:
//! the node must stop and recover by reading again. Paths are relative to the directory and use
//! `/`; `..` and absolute paths are refused.

use std::future::Future;
use std::io;

/// How [`Disk::open`] and [`Disk::block_file`] treat a missing or an existing file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// The file must exist; it is opened for reading only.
    Read,
    /// The file must exist; it is opened for reading and writing.
    Write,
    /// Opened for reading and writing, created when missing.
    Create,
    /// Created; an existing file is an error.
    CreateNew,
}

/// The asynchronous face of an open file (log, snapshots, identity).
#[expect(clippy::len_without_is_empty, reason = "the length is asked of the disk and may fail")]
pub trait File: Clone + Send + Sync + 'static {
    /// Fills `length` bytes from `offset`; short only at the end of the file.
    fn read_at(&self, offset: u64, length: usize) -> impl Future<Output = io::Result<Vec<u8>>> + Send;
    /// Writes all of `data` at `offset`, growing the file if needed. Not durable before `sync`.
    fn write_at(&self, offset: u64, data: Vec<u8>) -> impl Future<Output = io::Result<()>> + Send;
    /// `write_at` followed by `sync`, in one hop to the thread that owns the file.
    fn write_sync(&self, offset: u64, data: Vec<u8>) -> impl Future<Output = io::Result<()>> + Send;
    /// Sets the length, filling with zeros. Not durable before `sync`.
    fn set_len(&self, length: u64) -> impl Future<Output = io::Result<()>> + Send;
    /// Makes contents and length durable.
    fn sync(&self) -> impl Future<Output = io::Result<()>> + Send;
    /// The length in bytes.
    fn len(&self) -> impl Future<Output = io::Result<u64>> + Send;
}

/// The synchronous face of an open file: what redb's storage backend needs. Run it inside
/// [`super::Runtime::spawn_blocking`]. In simulation it counts operations, so that a crash can
/// fall inside a commit.
#[expect(clippy::len_without_is_empty, reason = "the length is asked of the disk and may fail")]
pub trait BlockFile: std::fmt::Debug + Send + Sync + 'static {
    /// Fills `buffer` from `offset`; short reads are an error.
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// Writes all of `data` at `offset`.
    fn write_all_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    /// Sets the length, filling with zeros.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// Makes contents and length durable.
    fn sync(&self) -> io::Result<()>;
    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;
}

/// One directory, exclusively owned by one node while `lock` is held.
pub trait Disk: Clone + Send + Sync + 'static {
    /// The asynchronous face of its files.
    type File: File;
    /// The synchronous face of its files.
    type BlockFile: BlockFile;

    /// Opens one file.
    fn open(&self, path: &str, mode: OpenMode) -> impl Future<Output = io::Result<Self::File>> + Send;
    /// Opens one file for synchronous use. Blocking.
    fn block_file(&self, path: &str, mode: OpenMode) -> io::Result<Self::BlockFile>;
    /// Renames a file over another. Durable after `sync_dir` of both folders.
    fn rename(&self, from: &str, to: &str) -> impl Future<Output = io::Result<()>> + Send;
    /// Removes a file. Durable after `sync_dir` of its folder.
    fn remove(&self, path: &str) -> impl Future<Output = io::Result<()>> + Send;
    /// Creates a folder and its parents; existing ones are fine.
    fn create_dir(&self, path: &str) -> impl Future<Output = io::Result<()>> + Send;
    /// Names in a folder, sorted. A missing folder is an error of kind `NotFound`.
    fn list(&self, path: &str) -> impl Future<Output = io::Result<Vec<String>>> + Send;
    /// Makes created, renamed and removed names of a folder durable. `""` is the root.
    fn sync_dir(&self, path: &str) -> impl Future<Output = io::Result<()>> + Send;
    /// A handle for the sub-folder `path`, with its own I/O thread in production.
    fn subdirectory(&self, path: &str) -> Self;
    /// Takes the exclusive lock on file `path`; `WouldBlock` when another process holds it. The
    /// lock is held until the last clone of this handle drops.
    fn lock(&self, path: &str) -> impl Future<Output = io::Result<()>> + Send;
    /// The place, for messages to people.
    fn display(&self) -> String;
}
