//! A checkpoint's rows one by one, damaged or not: what `etched util checkpoint dump` reads with.

use redb::{ReadableDatabase, TableError};

use super::CheckpointError;
use super::database::{LEASES, ROWS, decode_lease, decode_row, key, open, read_meta};
use super::guard::guarded;
use crate::codec::meta::Meta;
use crate::runtime::BlockFile;
use crate::types::{KeyValue, LeaseRecord, Revision};

/// One row of a checkpoint.
#[derive(Debug)]
pub enum Row {
    /// The one that says what counts.
    Meta(Box<Meta>),
    /// A record.
    Record {
        /// The record.
        record: KeyValue,
        /// Whether it lies at or below the meta row's revision; others were left by an interrupted
        /// save.
        counts: bool,
    },
    /// A lease.
    Lease(LeaseRecord),
    /// A row that does not decode; the others may still.
    Damaged(CheckpointError),
}

/// Shows every row of the database in `file`. `file` is written to if the database repairs itself.
pub fn read_rows<F: BlockFile>(file: F, visit: impl FnMut(Row)) -> Result<(), CheckpointError> {
    guarded(|| read(file, visit))
}

fn read<F: BlockFile>(file: F, mut visit: impl FnMut(Row)) -> Result<(), CheckpointError> {
    let database = open(file, || {})?;
    let transaction = database.begin_read().map_err(CheckpointError::database)?;
    let (mut recorded, mut end) = (None, None);
    match read_meta(&transaction) {
        Ok(Some(meta)) => {
            end = Some(key(Revision { main: meta.state.revision, sub: u32::MAX }));
            recorded = Some(meta.rows);
            visit(Row::Meta(Box::new(meta)));
        }
        Ok(None) => {}
        Err(error) => visit(Row::Damaged(error)),
    }
    read_leases(&transaction, &mut visit)?;
    let rows = match transaction.open_table(ROWS) {
        Ok(rows) => rows,
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        Err(error) => return Err(CheckpointError::database(error)),
    };
    let mut found = 0;
    for entry in rows.range::<&[u8; 12]>(..).map_err(CheckpointError::database)? {
        let (at, bytes) = entry.map_err(CheckpointError::database)?;
        let counts = end.is_some_and(|end| *at.value() <= end);
        found += u64::from(counts);
        visit(match decode_row(at.value(), bytes.value()) {
            Ok(record) => Row::Record { record, counts },
            Err(error) => Row::Damaged(error),
        });
    }
    match recorded {
        Some(recorded) if recorded != found => Err(CheckpointError::Count { recorded, found }),
        _ => Ok(()),
    }
}

fn read_leases(
    transaction: &redb::ReadTransaction,
    visit: &mut impl FnMut(Row),
) -> Result<(), CheckpointError> {
    let leases = match transaction.open_table(LEASES) {
        Ok(leases) => leases,
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        Err(error) => return Err(CheckpointError::database(error)),
    };
    for entry in leases.range::<i64>(..).map_err(CheckpointError::database)? {
        let (id, bytes) = entry.map_err(CheckpointError::database)?;
        visit(decode_lease(id.value(), bytes.value()).map_or_else(Row::Damaged, Row::Lease));
    }
    Ok(())
}
