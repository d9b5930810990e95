//! The blocking part: redb over a block file.
//!
//! Rows lie in table `rows` under their revision (twelve bytes, big-endian, so that bytes sort as
//! revisions do); leases lie in table `leases` under their ids; the one meta row says which rows
//! count. Rules:
//!
//! - Rows beyond the meta row's revision do not count. New rows may therefore be written in
//!   transactions before the one that moves the meta row; after a crash in between they are
//!   dropped, and the log brings them again.
//! - Rows are deleted only in the transaction that moves the meta row: under the old one they
//!   still count, and under the new one a row whose successor is gone would come back to life.
//! - Lease rows are written and deleted only in the transaction that moves the meta row.

use std::io;

use redb::{Database, Durability, ReadableDatabase, ReadableTableMetadata, TableDefinition};

use super::CheckpointError;
use crate::codec::meta::{self, Meta};
use crate::codec::{lease, row};
use crate::runtime::BlockFile;
use crate::state::State;
use crate::types::{KeyValue, LeaseId, LeaseRecord, Revision};

pub(super) const ROWS: TableDefinition<'static, &'static [u8; 12], &'static [u8]> =
    TableDefinition::new("rows");
pub(super) const LEASES: TableDefinition<'static, i64, &'static [u8]> = TableDefinition::new("leases");
const META: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("meta");
const META_KEY: &str = "meta";
/// redb's default is a gigabyte.
const CACHE_BYTES: usize = 4 * 1024 * 1024;
/// A transaction of rows is closed after this many of them, or this many bytes.
const TRANSACTION_ROWS: usize = 10_000;
const TRANSACTION_BYTES: usize = 4 * 1024 * 1024;

/// A block file as redb wants it.
struct Backend<F, N> {
    file: F,
    /// Called after each sync that failed, also of those whose error redb keeps to itself.
    on_failed_sync: N,
}

impl<F: BlockFile, N> std::fmt::Debug for Backend<F, N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.file.fmt(f)
    }
}

impl<F: BlockFile, N: Fn() + Send + Sync + 'static> redb::StorageBackend for Backend<F, N> {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(offset, out)
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync().inspect_err(|_| (self.on_failed_sync)())
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(offset, data)
    }
}

/// Opens or creates a database in `file`. `on_failed_sync` hears of each sync that fails from here on.
pub(super) fn open<F: BlockFile>(
    file: F,
    on_failed_sync: impl Fn() + Send + Sync + 'static,
) -> Result<Database, CheckpointError> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    // Pages that rot are found here, as damage that is named, and not by whoever reads them later.
    builder.set_check_integrity_on_open(true);
    builder.create_with_backend(Backend { file, on_failed_sync }).map_err(CheckpointError::database)
}

/// What a database holds.
pub(super) struct Content {
    pub(super) meta: Meta,
    pub(super) state: State,
}

/// Reads everything; drops rows that an interrupted save left. `None` when nothing was ever saved.
pub(super) fn load(database: &Database) -> Result<Option<Content>, CheckpointError> {
    let transaction = database.begin_read().map_err(CheckpointError::database)?;
    let Some(meta) = read_meta(&transaction)? else { return Ok(None) };
    let rows = transaction.open_table(ROWS).map_err(CheckpointError::database)?;
    let end = key(Revision { main: meta.state.revision, sub: u32::MAX });
    let (mut failed, mut found) = (None, 0);
    let records = rows.range::<&[u8; 12]>(..=&end).map_err(CheckpointError::database)?.map_while(|entry| {
        found += 1;
        let record = entry
            .map_err(CheckpointError::database)
            .and_then(|(at, bytes)| decode_row(at.value(), bytes.value()));
        record.map_err(|error| failed = Some(error)).ok()
    });
    let restored = State::restore(meta.state.clone(), read_leases(&transaction)?, records);
    if let Some(error) = failed {
        return Err(error);
    }
    if found != meta.rows {
        return Err(CheckpointError::Count { recorded: meta.rows, found });
    }
    let state = restored.map_err(CheckpointError::State)?;
    let leftover = rows.len().map_err(CheckpointError::database)? > found;
    drop((rows, transaction));
    if leftover {
        drop_after(database, meta.state.revision)?;
    }
    Ok(Some(Content { meta, state }))
}

fn read_leases(transaction: &redb::ReadTransaction) -> Result<Vec<LeaseRecord>, CheckpointError> {
    let mut leases = Vec::new();
    let table = transaction.open_table(LEASES).map_err(CheckpointError::database)?;
    for entry in table.range::<i64>(..).map_err(CheckpointError::database)? {
        let (id, bytes) = entry.map_err(CheckpointError::database)?;
        leases.push(decode_lease(id.value(), bytes.value())?);
    }
    Ok(leases)
}

pub(super) fn decode_lease(id: i64, bytes: &[u8]) -> Result<LeaseRecord, CheckpointError> {
    let row = || format!("lease {id}");
    let lease = lease::decode(bytes).map_err(|error| CheckpointError::Row { row: row(), error })?;
    if lease.id != id {
        let why = format!("holds lease {}", lease.id);
        let error = crate::codec::CodecError::Malformed { what: "lease row", why };
        return Err(CheckpointError::Row { row: row(), error });
    }
    Ok(lease)
}

pub(super) fn read_meta(transaction: &redb::ReadTransaction) -> Result<Option<Meta>, CheckpointError> {
    let table = match transaction.open_table(META) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(CheckpointError::database(error)),
    };
    let Some(bytes) = table.get(META_KEY).map_err(CheckpointError::database)? else { return Ok(None) };
    let decoded = meta::decode(bytes.value());
    decoded.map(Some).map_err(|error| CheckpointError::Row { row: META_KEY.into(), error })
}

pub(super) fn decode_row(at: &[u8; 12], bytes: &[u8]) -> Result<KeyValue, CheckpointError> {
    let name = || {
        let (main, sub) = at.split_at(8);
        let number = |bytes: &[u8]| bytes.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        format!("{}.{}", number(main), number(sub))
    };
    let record = row::decode(bytes).map_err(|error| CheckpointError::Row { row: name(), error })?;
    if key(record.revision()) != *at {
        let why = format!("holds the record of revision {:?}", record.revision());
        let error = crate::codec::CodecError::Malformed { what: "record row", why };
        return Err(CheckpointError::Row { row: name(), error });
    }
    Ok(record)
}

pub(super) fn key(revision: Revision) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&revision.main.to_be_bytes());
    key[8..].copy_from_slice(&revision.sub.to_be_bytes());
    key
}

fn begin(database: &Database) -> Result<redb::WriteTransaction, CheckpointError> {
    let mut transaction = database.begin_write().map_err(CheckpointError::database)?;
    transaction.set_durability(Durability::Immediate).map_err(CheckpointError::database)?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

fn drop_after(database: &Database, revision: i64) -> Result<(), CheckpointError> {
    let transaction = begin(database)?;
    {
        let mut rows = transaction.open_table(ROWS).map_err(CheckpointError::database)?;
        let from = key(Revision { main: revision.saturating_add(1), sub: 0 });
        rows.retain_in::<&[u8; 12], _>(&from.., |_, _| false).map_err(CheckpointError::database)?;
    }
    transaction.commit().map_err(CheckpointError::database)
}

/// What the transaction that moves the meta row does besides.
#[derive(Debug, Default)]
pub(super) struct Finish {
    /// Records to delete.
    pub removed: Vec<Revision>,
    /// Leases that changed: what they are now, or that they are gone.
    pub leases: Vec<(LeaseId, Option<LeaseRecord>)>,
}

/// Writes `records`, then moves the meta row and does `finish` in one transaction.
pub(super) fn save(
    database: &Database,
    records: impl Iterator<Item = KeyValue>,
    finish: &Finish,
    meta: Meta,
) -> Result<(), CheckpointError> {
    let mut records = records.peekable();
    loop {
        let transaction = begin(database)?;
        write_rows(&transaction, &mut records)?;
        let is_last = records.peek().is_none();
        if is_last {
            finish.write(&transaction, meta.clone())?;
        }
        transaction.commit().map_err(CheckpointError::database)?;
        if is_last {
            return Ok(());
        }
    }
}

fn write_rows(
    transaction: &redb::WriteTransaction,
    records: &mut impl Iterator<Item = KeyValue>,
) -> Result<(), CheckpointError> {
    let mut table = transaction.open_table(ROWS).map_err(CheckpointError::database)?;
    let (mut bytes, mut buffer) = (0, Vec::new());
    for record in records.take(TRANSACTION_ROWS) {
        buffer.clear();
        row::encode(&record, &mut buffer);
        table.insert(&key(record.revision()), buffer.as_slice()).map_err(CheckpointError::database)?;
        bytes += buffer.len();
        if bytes > TRANSACTION_BYTES {
            break;
        }
    }
    Ok(())
}

impl Finish {
    fn write(&self, transaction: &redb::WriteTransaction, meta: Meta) -> Result<(), CheckpointError> {
        let mut table = transaction.open_table(ROWS).map_err(CheckpointError::database)?;
        for revision in &self.removed {
            table.remove(&key(*revision)).map_err(CheckpointError::database)?;
        }
        let mut leases = transaction.open_table(LEASES).map_err(CheckpointError::database)?;
        for (id, lease) in &self.leases {
            match lease {
                Some(lease) => drop(
                    leases.insert(id, lease::encode(lease).as_slice()).map_err(CheckpointError::database)?,
                ),
                None => drop(leases.remove(id).map_err(CheckpointError::database)?),
            }
        }
        let rows = table.len().map_err(CheckpointError::database)?;
        write_meta(transaction, &Meta { rows, ..meta })
    }
}

fn write_meta(transaction: &redb::WriteTransaction, meta: &Meta) -> Result<(), CheckpointError> {
    let mut table = transaction.open_table(META).map_err(CheckpointError::database)?;
    table.insert(META_KEY, meta::encode(meta).as_slice()).map_err(CheckpointError::database)?;
    Ok(())
}

/// The planted bug: says that entries are applied whose effects are not in the checkpoint yet.
pub(super) fn save_applied_apart(database: &Database, newer: &Meta) -> Result<(), CheckpointError> {
    let read = database.begin_read().map_err(CheckpointError::database)?;
    let Some(older) = read_meta(&read)? else { return Ok(()) };
    let transaction = begin(database)?;
    write_meta(&transaction, &Meta { applied: newer.applied, ..older })?;
    transaction.commit().map_err(CheckpointError::database)
}
