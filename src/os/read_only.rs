//! Looking at files without changing them: what `etched util` reads with.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use crate::runtime::{BlockFile, lock};

const PAGE_BYTES: usize = 4096;

/// A file whose writes stay in memory: a database may repair itself on it, and the file is left as
/// it was found.
#[derive(Debug)]
pub struct OverlayFile {
    #[expect(clippy::disallowed_types, reason = "this is the disk")]
    file: std::fs::File,
    changes: Mutex<Changes>,
}

#[derive(Debug)]
struct Changes {
    /// Whole pages that were written to, by number.
    pages: BTreeMap<u64, Box<[u8; PAGE_BYTES]>>,
    length: u64,
    /// Bytes of the file itself that still show; it may have been shortened and grown again.
    shown: u64,
}

impl OverlayFile {
    /// Opens an existing file.
    pub fn open(path: &Path) -> io::Result<OverlayFile> {
        let file = std::fs::OpenOptions::new().read(true).open(path)?;
        let length = file.metadata()?.len();
        Ok(OverlayFile {
            file,
            changes: Mutex::new(Changes { pages: BTreeMap::new(), length, shown: length }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Changes> {
        lock(&self.changes)
    }

    /// One page as it stands.
    fn page(&self, changes: &Changes, number: u64) -> io::Result<Box<[u8; PAGE_BYTES]>> {
        if let Some(page) = changes.pages.get(&number) {
            return Ok(page.clone());
        }
        let mut page = Box::new([0; PAGE_BYTES]);
        let start = number * PAGE_BYTES as u64;
        let shown =
            usize::try_from(changes.shown.saturating_sub(start)).unwrap_or(usize::MAX).min(PAGE_BYTES);
        self.file.read_exact_at(&mut page[..shown], start)?;
        Ok(page)
    }
}

/// Calls `visit` with page number, range inside the page, and range inside the buffer.
fn pages(
    offset: u64,
    length: usize,
    mut visit: impl FnMut(u64, std::ops::Range<usize>, std::ops::Range<usize>) -> io::Result<()>,
) -> io::Result<()> {
    let mut done = 0;
    while done < length {
        let at = offset + done as u64;
        let inside = usize::try_from(at % PAGE_BYTES as u64).unwrap_or(0);
        let count = (PAGE_BYTES - inside).min(length - done);
        visit(at / PAGE_BYTES as u64, inside..inside + count, done..done + count)?;
        done += count;
    }
    Ok(())
}

impl BlockFile for OverlayFile {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let changes = self.lock();
        if offset.saturating_add(buffer.len() as u64) > changes.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        pages(offset, buffer.len(), |number, inside, part| {
            buffer[part].copy_from_slice(&self.page(&changes, number)?[inside]);
            Ok(())
        })
    }

    fn write_all_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut changes = self.lock();
        changes.length = changes.length.max(offset + data.len() as u64);
        pages(offset, data.len(), |number, inside, part| {
            let mut page = self.page(&changes, number)?;
            page[inside].copy_from_slice(&data[part]);
            changes.pages.insert(number, page);
            Ok(())
        })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut changes = self.lock();
        if length < changes.length {
            changes.shown = changes.shown.min(length);
            let (number, keep) = (length / PAGE_BYTES as u64, (length % PAGE_BYTES as u64) as usize);
            let _ = changes.pages.split_off(&(number + u64::from(keep > 0)));
            if let Some(page) = changes.pages.get_mut(&number) {
                page[keep..].fill(0);
            }
        }
        changes.length = length;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().length)
    }
}

/// Whether a process holds the lock file `path`. A missing file is not locked.
pub fn is_locked(path: &Path) -> bool {
    let Ok(file) = std::fs::OpenOptions::new().read(true).open(path) else { return false };
    matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock))
}
