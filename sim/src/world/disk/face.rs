//! The disk as the node's program sees it.

use std::io;
use std::sync::Arc;

use etched::runtime::{BlockFile, Disk, File, OpenMode};

use super::{DiskNode, NameChange, SyncEvent};
use crate::world::node::Place;
use crate::world::runtime::charge;
use crate::world::{Inner, NodeId};

/// One directory of a node's disk.
#[derive(Clone)]
pub struct SimDisk {
    inner: Arc<Inner>,
    disk: Arc<DiskNode>,
    owner: Option<Place>,
    prefix: String,
}

/// An open file.
#[derive(Clone)]
pub struct SimFile(Opened);

/// An open file for synchronous use.
pub struct SimBlockFile(Opened);

#[derive(Clone)]
struct Opened {
    inner: Arc<Inner>,
    disk: Arc<DiskNode>,
    /// Who opened it, if a node did: it does nothing any more once that incarnation is over, whoever
    /// still holds it.
    owner: Option<Place>,
    id: usize,
    path: Arc<str>,
}

impl SimDisk {
    pub(in crate::world) fn root(inner: Arc<Inner>, disk: Arc<DiskNode>) -> Self {
        let owner = inner.opener(disk.node);
        SimDisk { inner, disk, owner, prefix: String::new() }
    }

    fn path(&self, path: &str) -> io::Result<String> {
        let plain = path.split('/').all(|part| part != ".." && part != ".") && !path.starts_with('/');
        if !plain {
            let why = format!("{path:?} is not a plain path inside the data directory");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        Ok(match (self.prefix.as_str(), path) {
            ("", path) => path.to_string(),
            (prefix, "") => prefix.to_string(),
            (prefix, path) => format!("{prefix}/{path}"),
        })
    }

    /// Takes the time of an operation on names, then counts it.
    async fn step(&self, what: &str, path: &str) -> io::Result<()> {
        let (ns, failed) = self.disk.delay(&self.inner, self.owner, false)?;
        self.inner.sleep_true(ns).await;
        self.disk.begin(&self.inner, self.owner, what, path)?;
        failed.map_or(Ok(()), Err)
    }

    fn open_now(&self, path: &str, mode: OpenMode) -> io::Result<Opened> {
        let mut medium = self.disk.medium();
        let id = match (medium.names.get(path).copied(), mode) {
            (Some(_), OpenMode::CreateNew) => {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{path} exists")));
            }
            (Some(id), _) => id,
            (None, OpenMode::Read | OpenMode::Write) => return Err(medium.file(path).expect_err("missing")),
            (None, OpenMode::Create | OpenMode::CreateNew) => {
                let id = medium.contents.len();
                medium.contents.push(Default::default());
                medium.rename(NameChange::Set(path.to_string(), id));
                id
            }
        };
        let (inner, disk) = (self.inner.clone(), self.disk.clone());
        Ok(Opened { inner, disk, owner: self.owner, id, path: path.into() })
    }
}

impl Opened {
    async fn step(&self, what: &str, sync: bool) -> io::Result<()> {
        let (ns, failed) = self.disk.delay(&self.inner, self.owner, sync)?;
        self.inner.sleep_true(ns).await;
        self.disk.begin(&self.inner, self.owner, what, &self.path)?;
        self.fails(sync, failed)
    }

    fn step_now(&self, what: &str, sync: bool) -> io::Result<()> {
        let (ns, failed) = self.disk.delay(&self.inner, self.owner, sync)?;
        charge(ns);
        self.disk.begin(&self.inner, self.owner, what, &self.path)?;
        self.fails(sync, failed)
    }

    fn fails(&self, sync: bool, failed: Option<io::Error>) -> io::Result<()> {
        if sync && failed.is_some() {
            self.disk.medium().fail_sync(self.id);
        }
        failed.map_or(Ok(()), Err)
    }

    fn read(&self, offset: u64, length: usize) -> Vec<u8> {
        self.disk.medium().contents[self.id].read(offset, length).to_vec()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut medium = self.disk.medium();
        if let Some(capacity) = medium.faults.capacity_bytes {
            let grows = (offset + data.len() as u64).saturating_sub(medium.contents[self.id].length());
            if grows > 0 && medium.used_bytes() + grows > capacity {
                return Err(io::Error::new(
                    io::ErrorKind::StorageFull,
                    "no space left on the simulated disk",
                ));
            }
        }
        medium.contents[self.id].write(offset, data);
        Ok(())
    }

    /// Makes the file durable; whoever follows syncs hears of it before the node does.
    fn sync(&self) {
        let image = {
            let mut medium = self.disk.medium();
            medium.contents[self.id].sync();
            medium.contents[self.id].durable().clone()
        };
        let event = SyncEvent { node: NodeId(self.disk.node), path: &self.path, image: &image };
        self.inner.synced(&event);
    }

    fn set_len(&self, length: u64) {
        self.disk.medium().contents[self.id].set_length(length);
    }

    fn len(&self) -> u64 {
        self.disk.medium().contents[self.id].length()
    }
}

impl File for SimFile {
    async fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.0.step("read", false).await?;
        Ok(self.0.read(offset, length))
    }

    async fn write_at(&self, offset: u64, data: Vec<u8>) -> io::Result<()> {
        self.0.step("write", false).await?;
        self.0.write(offset, &data)
    }

    async fn write_sync(&self, offset: u64, data: Vec<u8>) -> io::Result<()> {
        self.write_at(offset, data).await?;
        self.sync().await
    }

    async fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.step("set_len", false).await?;
        self.0.set_len(length);
        Ok(())
    }

    async fn sync(&self) -> io::Result<()> {
        self.0.step("sync", true).await?;
        self.0.sync();
        Ok(())
    }

    async fn len(&self) -> io::Result<u64> {
        Ok(self.0.len())
    }
}

impl std::fmt::Debug for SimBlockFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SimBlockFile({})", self.0.path)
    }
}

impl BlockFile for SimBlockFile {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.step_now("read", false)?;
        let read = self.0.read(offset, buffer.len());
        if read.len() < buffer.len() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends before that"));
        }
        buffer.copy_from_slice(&read);
        Ok(())
    }

    fn write_all_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.step_now("write", false)?;
        self.0.write(offset, data)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.step_now("set_len", false)?;
        self.0.set_len(length);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.step_now("sync", true)?;
        self.0.sync();
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len())
    }
}

impl Disk for SimDisk {
    type File = SimFile;
    type BlockFile = SimBlockFile;

    async fn open(&self, path: &str, mode: OpenMode) -> io::Result<SimFile> {
        let path = self.path(path)?;
        self.step("open", &path).await?;
        self.open_now(&path, mode).map(SimFile)
    }

    fn block_file(&self, path: &str, mode: OpenMode) -> io::Result<SimBlockFile> {
        let path = self.path(path)?;
        self.disk.begin(&self.inner, self.owner, "open", &path)?;
        self.open_now(&path, mode).map(SimBlockFile)
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.path(from)?, self.path(to)?);
        self.step("rename", &from).await?;
        let mut medium = self.disk.medium();
        let id = medium.file(&from)?;
        medium.rename(NameChange::Rename(from, to, id));
        Ok(())
    }

    async fn remove(&self, path: &str) -> io::Result<()> {
        let path = self.path(path)?;
        self.step("remove", &path).await?;
        let mut medium = self.disk.medium();
        medium.file(&path)?;
        medium.rename(NameChange::Remove(path));
        Ok(())
    }

    async fn create_dir(&self, path: &str) -> io::Result<()> {
        // Folders are only prefixes here: a file whose name is durable brings its folders along.
        let path = self.path(path)?;
        self.step("create_dir", &path).await
    }

    async fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let folder = self.path(path)?;
        self.step("list", &folder).await?;
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let medium = self.disk.medium();
        let inside = medium.names.keys().filter_map(|name| name.strip_prefix(&prefix));
        let names: std::collections::BTreeSet<String> =
            inside.map(|rest| rest.split('/').next().unwrap_or(rest).to_string()).collect();
        Ok(names.into_iter().collect())
    }

    async fn sync_dir(&self, path: &str) -> io::Result<()> {
        let folder = self.path(path)?;
        self.step("sync_dir", &folder).await?;
        self.disk.medium().sync_names(&folder);
        Ok(())
    }

    fn subdirectory(&self, path: &str) -> SimDisk {
        let prefix = self.path(path).expect("folders of the product have plain names");
        let (inner, disk) = (self.inner.clone(), self.disk.clone());
        SimDisk { inner, disk, owner: self.owner, prefix }
    }

    async fn lock(&self, path: &str) -> io::Result<()> {
        let path = self.path(path)?;
        self.step("lock", &path).await?;
        let place = self.inner.acting(self.disk.node);
        let mut medium = self.disk.medium();
        match medium.locked {
            Some(holder) if holder != place.incarnation => {
                Err(io::Error::new(io::ErrorKind::WouldBlock, "another process holds the lock"))
            }
            _ => {
                medium.locked = Some(place.incarnation);
                Ok(())
            }
        }
    }

    fn display(&self) -> String {
        format!("n{}:/{}", self.disk.node, self.prefix)
    }
}
