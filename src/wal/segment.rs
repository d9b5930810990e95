//! Segment files: their names, and which of them are there.

use crate::runtime::Disk;

use super::WalError;

/// The folder of the log inside a data directory.
pub const DIRECTORY: &str = "wal";

/// Generation of a log's first segment.
pub(super) const FIRST_GENERATION: u64 = 1;

/// File name of the segment of a generation.
pub fn segment_name(generation: u64) -> String {
    format!("{generation:016x}.log")
}

/// File name of a spare: a purged segment that waits for reuse.
pub(super) fn spare_name(generation: u64) -> String {
    format!("{generation:016x}.spare")
}

/// The generation in a segment's file name.
pub fn parse_segment_name(name: &str) -> Option<u64> {
    generation_of(name, ".log")
}

fn generation_of(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix).filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}

/// What is in the log's folder.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Generations of segments, oldest first.
    pub(super) segments: Vec<u64>,
    /// Names of spares.
    pub(super) spares: Vec<String>,
}

pub(super) async fn list<D: Disk>(disk: &D) -> Result<Listing, WalError> {
    let names = disk.list("").await.map_err(|error| WalError::io(&disk.display(), error))?;
    let mut listing = Listing::default();
    for name in names {
        if let Some(generation) = parse_segment_name(&name) {
            listing.segments.push(generation);
        } else if generation_of(&name, ".spare").is_some() {
            listing.spares.push(name);
        }
    }
    listing.segments.sort_unstable();
    Ok(listing)
}
