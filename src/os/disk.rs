//! Files. Each handle of a directory owns one I/O thread, so a write and its sync cost one hop.

use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use crate::runtime::channel::oneshot;
use crate::runtime::{BlockFile, Disk, File, OpenMode, lock};

#[expect(clippy::disallowed_types, reason = "this is the disk")]
type RawFile = std::fs::File;
type Work = Box<dyn FnOnce() + Send>;

/// Operations that may wait for one I/O thread.
const QUEUE: usize = 1024;
/// So many zeros are written ahead in an allocated file.
const ZEROS_BYTES: usize = 1024 * 1024;
static ZEROS: [u8; ZEROS_BYTES] = [0; ZEROS_BYTES];

/// One directory.
#[derive(Clone)]
pub struct OsDisk(Arc<Inner>);

struct Inner {
    root: PathBuf,
    thread: SyncSender<Work>,
    /// The lock file, held as long as any handle of the directory lives.
    lock: Mutex<Option<RawFile>>,
    /// Whether syncs are real; `--unsafe-no-fsync` is etcd's documented exception.
    sync: bool,
    /// The handle of the directory above, whose lock covers this one.
    _parent: Option<OsDisk>,
}

impl OsDisk {
    /// The directory `root`, created with its parents when missing; their names are durable.
    pub fn open(root: &Path, sync: bool) -> io::Result<OsDisk> {
        let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let missing: Vec<&Path> = root.ancestors().take_while(is_missing).collect();
        std::fs::create_dir_all(root)?;
        for made in missing.into_iter().rev().filter(|_| sync) {
            let above = made.parent().filter(|above| !above.as_os_str().is_empty());
            open(above.unwrap_or(Path::new(".")), OpenMode::Read)?.sync_all()?;
        }
        Ok(OsDisk::at(root.to_path_buf(), sync, None))
    }

    fn at(root: PathBuf, sync: bool, parent: Option<OsDisk>) -> OsDisk {
        let (thread, queue) = sync_channel::<Work>(QUEUE);
        #[expect(clippy::disallowed_methods, reason = "this thread owns the directory's files")]
        std::thread::spawn(move || {
            for work in queue {
                work();
            }
        });
        OsDisk(Arc::new(Inner { root, thread, lock: Mutex::new(None), sync, _parent: parent }))
    }

    fn path(&self, path: &str) -> io::Result<PathBuf> {
        let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        if !plain {
            let why = format!("{path:?} is not a plain path inside the data directory");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        Ok(self.0.root.join(path))
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        run_on(&self.0.thread, work).await
    }
}

/// Runs work on the I/O thread and waits for it. A full queue makes the caller's thread wait: the
/// disk is then slower than everything else.
async fn run_on<T: Send + 'static>(
    thread: &SyncSender<Work>,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let gone = || io::Error::other("the directory's I/O thread ended");
    let (sender, receiver) = oneshot::channel();
    let work: Work = Box::new(move || {
        // A receiver that went away no longer wants the result.
        let _ = sender.send(work());
    });
    thread.send(work).map_err(|_| gone())?;
    receiver.await.map_err(|_| gone())?
}

fn open(path: &Path, mode: OpenMode) -> io::Result<RawFile> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true);
    match mode {
        OpenMode::Read => {}
        OpenMode::Write => drop(options.write(true)),
        OpenMode::Create => drop(options.write(true).create(true)),
        OpenMode::CreateNew => drop(options.write(true).create_new(true)),
    }
    options.open(path)
}

/// An open file and whether its length changed since the last sync.
struct Opened {
    file: RawFile,
    resized: AtomicBool,
    sync: bool,
    /// What this handle allocated and nobody has written to yet: zeros, as the file system says.
    unwritten: Mutex<Range<u64>>,
}

impl Opened {
    fn new(file: RawFile, sync: bool) -> Self {
        Opened { file, resized: AtomicBool::new(true), sync, unwritten: Mutex::new(0..0) }
    }

    /// Writes, and once every [`ZEROS_BYTES`] also the zeros that come next. The first write to an
    /// allocated block changes the file's extents, which every sync would have to write as well.
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let end = offset + data.len() as u64;
        let mut unwritten = lock(&self.unwritten);
        if unwritten.contains(&end) {
            let upto = unwritten.end.min(end + ZEROS_BYTES as u64);
            unwritten.start = upto;
            self.file.write_all_at(&ZEROS[..usize::try_from(upto - end).unwrap_or(0)], end)?;
        } else if unwritten.contains(&offset) {
            *unwritten = 0..0;
        }
        self.file.write_all_at(data, offset)
    }

    fn sync(&self) -> io::Result<()> {
        if !self.sync {
            return Ok(());
        }
        // fdatasync also writes the length; fsync after an allocation writes the extents' state.
        if self.resized.swap(false, Ordering::AcqRel) { self.file.sync_all() } else { self.file.sync_data() }
    }

    /// Grows by allocating, so that later writes need no metadata; shrinks by cutting.
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.resized.store(true, Ordering::Release);
        let now = self.file.metadata()?.len();
        *lock(&self.unwritten) = 0..0;
        if length > now {
            let (offset, grow) = (i64::try_from(now), i64::try_from(length - now));
            if let (Ok(offset), Ok(grow)) = (offset, grow) {
                #[expect(unsafe_code, reason = "a system call on a descriptor that self owns")]
                let result = unsafe { libc::posix_fallocate(self.file.as_raw_fd(), offset, grow) };
                match result {
                    0 => {
                        *lock(&self.unwritten) = now..length;
                        return Ok(());
                    }
                    libc::EOPNOTSUPP | libc::EINVAL => {}
                    code => return Err(io::Error::from_raw_os_error(code)),
                }
            }
        }
        self.file.set_len(length)
    }
}

/// An open file; its operations run on its directory's I/O thread.
#[derive(Clone)]
pub struct OsFile {
    opened: Arc<Opened>,
    thread: SyncSender<Work>,
}

impl OsFile {
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Opened) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let opened = self.opened.clone();
        run_on(&self.thread, move || work(&opened)).await
    }
}

impl File for OsFile {
    async fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.run(move |opened| {
            let mut buffer = vec![0; length];
            let mut filled = 0;
            while filled < length {
                match opened.file.read_at(&mut buffer[filled..], offset + filled as u64)? {
                    0 => break,
                    read => filled += read,
                }
            }
            buffer.truncate(filled);
            Ok(buffer)
        })
        .await
    }

    async fn write_at(&self, offset: u64, data: Vec<u8>) -> io::Result<()> {
        self.run(move |opened| opened.write(offset, &data)).await
    }

    async fn write_sync(&self, offset: u64, data: Vec<u8>) -> io::Result<()> {
        self.run(move |opened| {
            opened.write(offset, &data)?;
            opened.sync()
        })
        .await
    }

    async fn set_len(&self, length: u64) -> io::Result<()> {
        self.run(move |opened| opened.set_len(length)).await
    }

    async fn sync(&self) -> io::Result<()> {
        self.run(Opened::sync).await
    }

    async fn len(&self) -> io::Result<u64> {
        self.run(|opened| Ok(opened.file.metadata()?.len())).await
    }
}

/// An open file for synchronous use, on whatever thread calls it.
pub struct OsBlockFile(Opened);

impl std::fmt::Debug for OsBlockFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OsBlockFile({})", self.0.file.as_raw_fd())
    }
}

impl BlockFile for OsBlockFile {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.file.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.file.write_all_at(data, offset)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.resized.store(true, Ordering::Release);
        self.0.file.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.file.metadata()?.len())
    }
}

impl Disk for OsDisk {
    type File = OsFile;
    type BlockFile = OsBlockFile;

    async fn open(&self, path: &str, mode: OpenMode) -> io::Result<OsFile> {
        let (path, sync) = (self.path(path)?, self.0.sync);
        let opened = self.run(move || Ok(Opened::new(open(&path, mode)?, sync))).await?;
        Ok(OsFile { opened: Arc::new(opened), thread: self.0.thread.clone() })
    }

    fn block_file(&self, path: &str, mode: OpenMode) -> io::Result<OsBlockFile> {
        Ok(OsBlockFile(Opened::new(open(&self.path(path)?, mode)?, self.0.sync)))
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.path(from)?, self.path(to)?);
        self.run(move || std::fs::rename(from, to)).await
    }

    async fn remove(&self, path: &str) -> io::Result<()> {
        let path = self.path(path)?;
        self.run(move || std::fs::remove_file(path)).await
    }

    async fn create_dir(&self, path: &str) -> io::Result<()> {
        let path = self.path(path)?;
        self.run(move || std::fs::create_dir_all(path)).await
    }

    async fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let path = self.path(path)?;
        self.run(move || {
            let entries = std::fs::read_dir(path)?;
            let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
            let mut names = names.collect::<io::Result<Vec<_>>>()?;
            names.sort();
            Ok(names)
        })
        .await
    }

    async fn sync_dir(&self, path: &str) -> io::Result<()> {
        let (path, sync) = (self.path(path)?, self.0.sync);
        self.run(move || if sync { open(&path, OpenMode::Read)?.sync_all() } else { Ok(()) }).await
    }

    fn subdirectory(&self, path: &str) -> OsDisk {
        OsDisk::at(self.0.root.join(path), self.0.sync, Some(self.clone()))
    }

    async fn lock(&self, path: &str) -> io::Result<()> {
        let path = self.path(path)?;
        let file = self
            .run(move || {
                let file = open(&path, OpenMode::Create)?;
                #[expect(unsafe_code, reason = "a system call on a descriptor that file owns")]
                let result = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
                if result == 0 { Ok(file) } else { Err(io::Error::last_os_error()) }
            })
            .await?;
        *lock(&self.0.lock) = Some(file);
        Ok(())
    }

    fn display(&self) -> String {
        self.0.root.display().to_string()
    }
}
