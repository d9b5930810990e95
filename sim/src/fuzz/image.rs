//! A folder's files as plain bytes, on and off a disk in memory.

use std::collections::BTreeMap;

use etched::runtime::memory::{MemoryDisk, observations, run};
use etched::runtime::{Disk, File, OpenMode};

/// Contents of files by name.
pub type Image = BTreeMap<String, Vec<u8>>;

/// Runs `work` in the world in memory.
pub fn in_memory<T>(work: impl Future<Output = T>) -> T {
    let result = run(work).unwrap_or_else(|crashed| panic!("it gave up: {}", crashed.0));
    drop(observations());
    result
}

/// The files in `folder`.
pub async fn read(disk: &MemoryDisk, folder: &str) -> Image {
    let folder = disk.subdirectory(folder);
    let mut image = Image::new();
    for name in folder.list("").await.expect("there") {
        let file = folder.open(&name, OpenMode::Read).await.expect("there");
        let length = file.len().await.expect("readable") as usize;
        image.insert(name, file.read_at(0, length).await.expect("readable"));
    }
    image
}

/// Puts `image` durably into `folder` of a new disk.
pub async fn write(disk: &MemoryDisk, folder: &str, image: &Image) {
    let folder = disk.subdirectory(folder);
    for (name, bytes) in image {
        let file = folder.open(name, OpenMode::CreateNew).await.expect("new");
        file.write_sync(0, bytes.clone()).await.expect("the disk is good");
    }
    folder.sync_dir("").await.expect("the disk is good");
}
