//! A disk in memory that loses what was not synced when its power is cut.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use crate::runtime::{BlockFile, Disk, File, OpenMode, lock};

const SECTOR_BYTES: usize = 512;

/// What happens to writes and names that were not synced when the power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// They are lost.
    All,
    /// They are kept.
    None,
    /// Each sector and each name is lost or kept by a draw from this seed.
    Some(u64),
}

#[derive(Clone, Default)]
struct Content {
    durable: Vec<u8>,
    now: Vec<u8>,
    /// Writes since the last sync: offset and bytes, or a new length.
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Clone)]
enum NameChange {
    Set(String, usize),
    Remove(String),
}

#[derive(Default)]
struct Medium {
    contents: Vec<Content>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    pending_names: Vec<NameChange>,
    operations: u64,
    /// The power goes when this many operations were begun.
    fails_at: Option<u64>,
}

/// One directory in memory; clones share it.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    medium: Arc<Mutex<Medium>>,
    prefix: String,
}

#[derive(Clone)]
pub struct MemoryFile {
    medium: Arc<Mutex<Medium>>,
    id: usize,
}

impl std::fmt::Debug for MemoryFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MemoryFile({})", self.id)
    }
}

fn off() -> io::Error {
    io::Error::other("the power is off")
}

impl Medium {
    /// Counts one operation. `Err`: the power is off; `Ok(true)`: it goes during this one.
    fn step(&mut self) -> io::Result<bool> {
        self.operations += 1;
        match self.fails_at {
            Some(at) if self.operations > at => Err(off()),
            Some(at) => Ok(self.operations == at),
            None => Ok(false),
        }
    }

    fn ended(last: bool) -> io::Result<()> {
        if last { Err(off()) } else { Ok(()) }
    }

    fn apply(bytes: &mut Vec<u8>, change: &Change) {
        match change {
            Change::Write(offset, data) => {
                if bytes.len() < offset + data.len() {
                    bytes.resize(offset + data.len(), 0);
                }
                bytes[*offset..offset + data.len()].copy_from_slice(data);
            }
            Change::Length(length) => bytes.resize(*length, 0),
        }
    }

    fn apply_name(names: &mut BTreeMap<String, usize>, change: &NameChange) {
        match change {
            NameChange::Set(name, id) => {
                names.retain(|_, other| other != id);
                names.insert(name.clone(), *id);
            }
            NameChange::Remove(name) => {
                names.remove(name);
            }
        }
    }

    fn change(&mut self, id: usize, change: Change) -> io::Result<()> {
        let last = self.step()?;
        let content = &mut self.contents[id];
        Self::apply(&mut content.now, &change);
        content.pending.push(change);
        Self::ended(last)
    }

    fn sync(&mut self, id: usize) -> io::Result<()> {
        Self::ended(self.step()?)?;
        let content = &mut self.contents[id];
        for change in std::mem::take(&mut content.pending) {
            Self::apply(&mut content.durable, &change);
        }
        Ok(())
    }

    fn change_name(&mut self, change: NameChange) -> io::Result<()> {
        let last = self.step()?;
        Self::apply_name(&mut self.names, &change);
        self.pending_names.push(change);
        Self::ended(last)
    }

    fn open(&mut self, name: String, mode: OpenMode) -> io::Result<usize> {
        match (self.names.get(&name), mode) {
            (Some(_), OpenMode::CreateNew) => Err(io::ErrorKind::AlreadyExists.into()),
            (Some(id), _) => Ok(*id),
            (None, OpenMode::Read | OpenMode::Write) => Err(io::ErrorKind::NotFound.into()),
            (None, OpenMode::Create | OpenMode::CreateNew) => {
                let id = self.contents.len();
                self.contents.push(Content::default());
                self.change_name(NameChange::Set(name, id))?;
                Ok(id)
            }
        }
    }

    /// Makes the names of `folder` durable, and of no folder in it.
    fn sync_names(&mut self, folder: &str) {
        for change in std::mem::take(&mut self.pending_names) {
            let (NameChange::Set(name, _) | NameChange::Remove(name)) = &change;
            if name.strip_prefix(folder).is_some_and(|name| !name.contains('/')) {
                Self::apply_name(&mut self.durable_names, &change);
            } else {
                self.pending_names.push(change);
            }
        }
    }

    fn cut(&mut self, loss: Loss) {
        let mut random = match loss {
            Loss::Some(seed) => seed,
            _ => 0,
        };
        let mut kept = || match loss {
            Loss::All => false,
            Loss::None => true,
            Loss::Some(_) => draw(&mut random).is_multiple_of(2),
        };
        for content in &mut self.contents {
            let mut bytes = std::mem::take(&mut content.durable);
            for change in content.pending.drain(..) {
                match change {
                    Change::Write(offset, data) => {
                        let mut at = 0;
                        while at < data.len() {
                            let end = (at + SECTOR_BYTES - (offset + at) % SECTOR_BYTES).min(data.len());
                            if kept() {
                                Self::apply(&mut bytes, &Change::Write(offset + at, data[at..end].to_vec()));
                            }
                            at = end;
                        }
                    }
                    length @ Change::Length(_) if kept() => Self::apply(&mut bytes, &length),
                    Change::Length(_) => {}
                }
            }
            content.durable = bytes.clone();
            content.now = bytes;
        }
        let mut names = std::mem::take(&mut self.durable_names);
        for change in std::mem::take(&mut self.pending_names) {
            if kept() {
                Self::apply_name(&mut names, &change);
            }
        }
        self.durable_names = names.clone();
        self.names = names;
        self.fails_at = None;
        self.operations = 0;
    }
}

/// splitmix64.
pub fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl MemoryDisk {
    /// The power goes during the `step`-th operation from the last cut on.
    pub fn fail_at(&self, step: u64) {
        lock(&self.medium).fails_at = Some(step);
    }

    /// Operations since the last cut.
    pub fn operations(&self) -> u64 {
        lock(&self.medium).operations
    }

    /// Cuts the power and turns it on again.
    pub fn cut(&self, loss: Loss) {
        lock(&self.medium).cut(loss);
    }

    /// Only the node died: what was written is there, still not durable.
    pub fn restart(&self) {
        let mut medium = lock(&self.medium);
        medium.fails_at = None;
        medium.operations = 0;
    }

    /// Changes a file's bytes behind everybody's back.
    pub fn damage(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut medium = lock(&self.medium);
        let id = medium.names[path];
        change(&mut medium.contents[id].now);
        medium.contents[id].durable = medium.contents[id].now.clone();
    }

    /// As after a sync that failed: what is shown stays, nothing of it is durable, and no later sync
    /// writes it.
    pub fn forget(&self, path: &str) {
        let mut medium = lock(&self.medium);
        let id = medium.names[path];
        medium.contents[id].durable.clear();
        medium.contents[id].pending.clear();
    }

    /// Gives a file another name behind everybody's back; `None` takes it away.
    pub fn misplace(&self, path: &str, to: Option<&str>) {
        let mut medium = lock(&self.medium);
        if let Some(id) = medium.names.remove(path)
            && let Some(to) = to
        {
            medium.names.insert(to.to_owned(), id);
        }
        medium.durable_names = medium.names.clone();
    }

    /// All names, with their folders.
    pub fn names(&self) -> Vec<String> {
        lock(&self.medium).names.keys().cloned().collect()
    }

    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

impl Disk for MemoryDisk {
    type File = MemoryFile;
    type BlockFile = MemoryFile;

    async fn open(&self, path: &str, mode: OpenMode) -> io::Result<MemoryFile> {
        self.block_file(path, mode)
    }
    fn block_file(&self, path: &str, mode: OpenMode) -> io::Result<MemoryFile> {
        let id = lock(&self.medium).open(self.path(path), mode)?;
        Ok(MemoryFile { medium: self.medium.clone(), id })
    }
    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut medium = lock(&self.medium);
        let id = *medium.names.get(&self.path(from)).ok_or(io::ErrorKind::NotFound)?;
        medium.change_name(NameChange::Set(self.path(to), id))
    }
    async fn remove(&self, path: &str) -> io::Result<()> {
        let mut medium = lock(&self.medium);
        medium.names.get(&self.path(path)).ok_or(io::ErrorKind::NotFound)?;
        medium.change_name(NameChange::Remove(self.path(path)))
    }
    async fn create_dir(&self, _path: &str) -> io::Result<()> {
        Ok(())
    }
    async fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let folder = if path.is_empty() { self.prefix.clone() } else { format!("{}{path}/", self.prefix) };
        let medium = lock(&self.medium);
        let names = medium.names.keys().filter_map(|name| name.strip_prefix(&folder));
        Ok(names.filter(|name| !name.contains('/')).map(str::to_owned).collect())
    }
    async fn sync_dir(&self, path: &str) -> io::Result<()> {
        let folder = if path.is_empty() { self.prefix.clone() } else { self.path(path) + "/" };
        let mut medium = lock(&self.medium);
        Medium::ended(medium.step()?)?;
        medium.sync_names(&folder);
        Ok(())
    }
    fn subdirectory(&self, path: &str) -> MemoryDisk {
        MemoryDisk { medium: self.medium.clone(), prefix: format!("{}{path}/", self.prefix) }
    }
    async fn lock(&self, _path: &str) -> io::Result<()> {
        Ok(())
    }
    fn display(&self) -> String {
        format!("memory:{}", self.prefix)
    }
}

impl File for MemoryFile {
    async fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let medium = lock(&self.medium);
        let bytes = &medium.contents[self.id].now;
        let from = (offset as usize).min(bytes.len());
        Ok(bytes[from..from.saturating_add(length).min(bytes.len())].to_vec())
    }
    async fn write_at(&self, offset: u64, data: Vec<u8>) -> io::Result<()> {
        lock(&self.medium).change(self.id, Change::Write(offset as usize, data))
    }
    async fn write_sync(&self, offset: u64, data: Vec<u8>) -> io::Result<()> {
        self.write_at(offset, data).await?;
        super::yield_now().await;
        lock(&self.medium).sync(self.id)
    }
    async fn set_len(&self, length: u64) -> io::Result<()> {
        lock(&self.medium).change(self.id, Change::Length(length as usize))
    }
    async fn sync(&self) -> io::Result<()> {
        lock(&self.medium).sync(self.id)
    }
    async fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.medium).contents[self.id].now.len() as u64)
    }
}

impl BlockFile for MemoryFile {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let medium = lock(&self.medium);
        let bytes = &medium.contents[self.id].now;
        let range = bytes.get(offset as usize..offset as usize + buffer.len());
        buffer.copy_from_slice(range.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
    fn write_all_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        lock(&self.medium).change(self.id, Change::Write(offset as usize, data.to_vec()))
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        lock(&self.medium).change(self.id, Change::Length(length as usize))
    }
    fn sync(&self) -> io::Result<()> {
        lock(&self.medium).sync(self.id)
    }
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.medium).contents[self.id].now.len() as u64)
    }
}
