//! Records in the tables: read whole, changed on top of the generation that the author saw.

use catharsis_core::error::{ChangeError, StoreError};
use catharsis_core::record::{Change, Record, RecordKey, Records};
use rusqlite::{Connection, Transaction, params};

use super::apply::Done;
use super::schema::{io, signed, unsigned};

/// All records, with the generation of the same snapshot.
pub(super) fn all(connection: &Connection) -> Result<Records, StoreError> {
    let read = || -> rusqlite::Result<(i64, Vec<Record>)> {
        let mut statement = connection.prepare_cached("SELECT kind, id, value FROM record ORDER BY kind, id")?;
        let rows = statement.query_map([], |row| {
            let key = RecordKey { kind: row.get::<_, String>(0)?.into(), id: row.get::<_, String>(1)?.into() };
            Ok(Record { key, value: row.get::<_, String>(2)?.into() })
        })?;
        Ok((generation(connection)?, rows.collect::<rusqlite::Result<_>>()?))
    };
    let (generation, all) = read().map_err(|error| io(&error))?;
    Ok(Records { generation: unsigned(generation)?, all })
}

fn generation(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("SELECT generation FROM record_generation")?.query_row([], |row| row.get(0))
}

/// Keeps changes on top of a generation.
pub(super) fn change(tx: &Transaction<'_>, expected: u64, changes: &[Change]) -> Done<u64, ChangeError> {
    if generation(tx)? != signed(expected) {
        return Ok(Err(ChangeError::Outdated));
    }
    for change in changes {
        match change {
            Change::Put(record) => tx
                .prepare_cached("INSERT OR REPLACE INTO record (kind, id, value) VALUES (?1, ?2, ?3)")?
                .execute(params![&*record.key.kind, &*record.key.id, &*record.value])?,
            Change::Delete(key) => tx
                .prepare_cached("DELETE FROM record WHERE kind = ?1 AND id = ?2")?
                .execute(params![&*key.kind, &*key.id])?,
        };
    }
    let next = expected + 1;
    tx.prepare_cached("UPDATE record_generation SET generation = ?1")?.execute([signed(next)])?;
    Ok(Ok(next))
}
