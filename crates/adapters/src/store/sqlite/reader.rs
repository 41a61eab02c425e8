//! Reading beside the writer.
//!
//! What this is: a few connections for reads, each read in one snapshot, and the questions that
//! are not about the history. What this is not: a cache; see `log::embedded` for that.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use catharsis_core::area::{Area, PerArea};
use catharsis_core::clock::UnixMillis;
use catharsis_core::error::{LogError, StoreError};
use catharsis_core::history::TaskRecord;
use catharsis_core::invalidation::Seq;
use catharsis_core::receipt::Receipt;
use catharsis_core::target::{Encode, Mode};
use catharsis_core::task::{AccountId, Task, TaskId, TaskKind};
use catharsis_core::topology::NodeId;
use rusqlite::{Connection, OptionalExtension, Row, params};
use tokio::sync::Semaphore;

use super::schema::{self, area_code, damaged, encode_of, fence_of, floor, io, kind_of, signed, unsigned};
use crate::codec::block::Block;
use crate::codec::outcomes;

/// The connections for reads.
#[derive(Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    permits: Arc<Semaphore>,
    /// Connections that nobody uses. Never more than there are permits.
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(super) fn new(path: &Path, count: usize) -> Self {
        Self { path: path.to_owned(), permits: Arc::new(Semaphore::new(count)), idle: Arc::default() }
    }

    /// Does a read in one snapshot, on a thread that may block. Waits for a connection: those who
    /// wait are bounded by the calls that the server lets in.
    pub(crate) async fn run<T, E>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| StoreError::Closed)?;
        let idle = Arc::clone(&self.idle);
        let path = self.path.clone();
        let work = tokio::task::spawn_blocking(move || {
            let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match kept {
                Some(connection) => connection,
                None => schema::connect(&path).map_err(|error| io(&error))?,
            };
            // Deferred, and never committed: it only pins one snapshot for all statements of a read.
            let snapshot = connection.unchecked_transaction().map_err(|error| io(&error))?;
            let answer = read(&snapshot);
            drop(snapshot);
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            drop(permit);
            answer
        });
        let answer = work.await;
        // A read that panicked has lost its connection, not the store: the next one opens another.
        answer.map_err(|_| StoreError::Io("a read ended early".to_owned()))?
    }

    /// Refuses reads from now on and closes the idle connections.
    pub(super) fn close(&self) {
        self.permits.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// One task of an account.
pub(super) fn task(connection: &Connection, account: AccountId, id: &TaskId) -> Result<Option<TaskRecord>, StoreError> {
    struct Raw {
        kind: i64,
        encode: i64,
        accepted_at: i64,
        first: PerArea<Option<i64>>,
        block: Vec<u8>,
    }
    let found = connection
        .prepare_cached(
            "SELECT kind, encode, accepted_at, mainland_first, overseas_first, block
             FROM task WHERE task_id = ?1 AND account = ?2",
        )
        .and_then(|mut statement| {
            let key = params![id.as_str(), account.0.cast_signed()];
            let read = |row: &Row<'_>| {
                Ok(Raw {
                    kind: row.get(0)?,
                    encode: row.get(1)?,
                    accepted_at: row.get(2)?,
                    first: PerArea { mainland: row.get(3)?, overseas: row.get(4)? },
                    block: row.get(5)?,
                })
            };
            statement.query_row(key, read).optional()
        })
        .map_err(|error| io(&error))?;
    let Some(raw) = found else { return Ok(None) };
    let items = Block::parse(&raw.block)?.unpack()?;
    let (kind, mode) = kind_of(raw.kind)?;
    let task = Task {
        id: id.clone(),
        account,
        kind,
        mode,
        encode: encode_of(raw.encode)?,
        accepted_at: UnixMillis(unsigned(raw.accepted_at)?),
        items: items.into_iter().map(|stored| stored.item).collect(),
    };
    let first = PerArea { mainland: position(raw.first.mainland)?, overseas: position(raw.first.overseas)? };
    Ok(Some(TaskRecord { task, first }))
}

/// Whose a task is.
pub(super) fn account_of(connection: &Connection, id: &TaskId) -> Result<Option<AccountId>, StoreError> {
    let found = connection
        .prepare_cached("SELECT account FROM task WHERE task_id = ?1")
        .and_then(|mut statement| statement.query_row([id.as_str()], |row| row.get::<_, i64>(0)).optional());
    Ok(found.map_err(|error| io(&error))?.map(|account| AccountId(account.cast_unsigned())))
}

pub(super) fn position(value: Option<i64>) -> Result<Option<Seq>, StoreError> {
    value.map(|value| unsigned(value).map(Seq)).transpose()
}

/// The receipts of an area that cover any position from `first` to `last`, oldest first. A node's
/// receipts follow each other, so the one that covers `first` is found without reading the others.
pub(super) fn receipts(connection: &Connection, area: Area, first: Seq, last: Seq) -> Result<Vec<Receipt>, StoreError> {
    let read = || -> rusqlite::Result<Vec<RawReceipt>> {
        let mut statement = connection.prepare_cached(
            "SELECT r.node, r.after_seq, r.at, r.fence, r.waited, r.attempts, r.outcomes
             FROM cursor c CROSS JOIN receipt r ON r.area = c.area AND r.node = c.node
                 AND r.after_seq >= coalesce((SELECT max(p.after_seq) FROM receipt p
                     WHERE p.area = c.area AND p.node = c.node AND p.after_seq < ?2), 0)
                 AND r.after_seq < ?3
             WHERE c.area = ?1 AND r.upto_seq >= ?2
             ORDER BY r.at, r.after_seq, r.node",
        )?;
        let key = [area_code(area), signed(first.0), signed(last.0)];
        statement.query_map(key, RawReceipt::read)?.collect()
    };
    let raw = read().map_err(|error| io(&error))?;
    raw.into_iter().map(|raw| raw.receipt(area)).collect()
}

struct RawReceipt {
    node: String,
    after: i64,
    at: i64,
    fence: i64,
    waited: i64,
    attempts: u32,
    outcomes: Vec<u8>,
}

impl RawReceipt {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            node: row.get(0)?,
            after: row.get(1)?,
            at: row.get(2)?,
            fence: row.get(3)?,
            waited: row.get(4)?,
            attempts: row.get(5)?,
            outcomes: row.get(6)?,
        })
    }

    fn receipt(self, area: Area) -> Result<Receipt, StoreError> {
        Ok(Receipt {
            node: NodeId::parse(&self.node).ok_or_else(|| damaged("the name of a node"))?,
            area,
            after: Seq(unsigned(self.after)?),
            outcomes: outcomes::decode(&self.outcomes)?,
            fence: fence_of(self.fence)?,
            waited: Duration::from_millis(unsigned(self.waited)?),
            attempts: self.attempts,
            at: UnixMillis(unsigned(self.at)?),
        })
    }
}

/// A task's place in the log of an area.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogRow {
    pub(crate) row: i64,
    pub(crate) first: Seq,
    pub(crate) count: u64,
}

/// The tasks that hold what follows `after`, at most `max` of them, in order.
///
/// # Errors
/// [`LogError::Truncated`] when some of it has been pruned.
pub(crate) fn log_rows(connection: &Connection, area: Area, after: Seq, max: usize) -> Result<Vec<LogRow>, LogError> {
    // Read in the same snapshot as the rows: pruning in between cannot open a gap unseen.
    if after < floor(connection, area)? {
        return Err(LogError::Truncated { after });
    }
    let sql = match area {
        Area::Mainland => {
            "SELECT row, mainland_first, mainland_count FROM task WHERE mainland_first >=
                 (SELECT max(mainland_first) FROM task WHERE mainland_first <= ?1)
             ORDER BY mainland_first LIMIT ?2"
        }
        Area::Overseas => {
            "SELECT row, overseas_first, overseas_count FROM task WHERE overseas_first >=
                 (SELECT max(overseas_first) FROM task WHERE overseas_first <= ?1)
             ORDER BY overseas_first LIMIT ?2"
        }
    };
    let read = || -> rusqlite::Result<Vec<(i64, i64, i64)>> {
        let mut statement = connection.prepare_cached(sql)?;
        let key = [signed(after.0.saturating_add(1)), i64::try_from(max).unwrap_or(i64::MAX)];
        statement.query_map(key, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
    };
    let mut rows = Vec::new();
    for (row, first, count) in read().map_err(|error| io(&error))? {
        rows.push(LogRow { row, first: Seq(unsigned(first)?), count: unsigned(count)? });
    }
    Ok(rows)
}

/// What the log needs to know of a task.
#[derive(Debug)]
pub(crate) struct LoggedTask {
    pub(crate) id: String,
    pub(crate) kind: TaskKind,
    pub(crate) mode: Mode,
    pub(crate) encode: Encode,
    pub(crate) accepted_at: UnixMillis,
    pub(crate) block: Vec<u8>,
}

/// A task by its row.
pub(crate) fn logged_task(connection: &Connection, row: i64) -> Result<LoggedTask, StoreError> {
    let (id, kind, encode, accepted_at, block) = connection
        .prepare_cached("SELECT task_id, kind, encode, accepted_at, block FROM task WHERE row = ?1")
        .and_then(|mut statement| {
            statement.query_row([row], |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, i64>(1)?,
                    row.get::<_, i64>(2)?,
                    row.get::<_, i64>(3)?,
                    row.get::<_, Vec<u8>>(4)?,
                ))
            })
        })
        .map_err(|error| io(&error))?;
    let (kind, mode) = kind_of(kind)?;
    let accepted_at = UnixMillis(unsigned(accepted_at)?);
    Ok(LoggedTask { id, kind, mode, encode: encode_of(encode)?, accepted_at, block })
}
