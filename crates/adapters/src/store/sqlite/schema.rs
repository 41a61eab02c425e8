//! The tables, their versions, and how a connection is set up.
//!
//! What this is: the migrations, applied in order at the start, and the numbers under which enums
//! are stored. Invariant: a migration that was released is never edited; a later one follows it.

use std::path::Path;

use catharsis_core::area::{Area, AreaSet, PerArea};
use catharsis_core::error::StoreError;
use catharsis_core::invalidation::Seq;
use catharsis_core::ports::Membership;
use catharsis_core::quota::QuotaKind;
use catharsis_core::target::{Encode, Mode};
use catharsis_core::task::TaskKind;
use catharsis_core::topology::FenceStrength;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::OpenError;

/// Marks a file as a store of Catharsis (SQLite's `application_id`): "Cath".
const APPLICATION_ID: i32 = 0x4361_7468;
/// How long a statement waits for the lock that a finishing checkpoint holds for a moment.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
/// Statements kept prepared a connection: more than there are.
const STATEMENTS_KEPT: usize = 64;

/// Each entry brings the schema from the version of its index to the next. `STRICT` everywhere, so
/// that a column never holds another type than the one named here.
const MIGRATIONS: [&str; 7] = [
    r"
CREATE TABLE meta (
    name TEXT PRIMARY KEY,             -- 'log_id': names this log to nodes that remember positions of it
    value TEXT NOT NULL                -- log_id: 32 hexadecimal digits, drawn once
) STRICT, WITHOUT ROWID;
INSERT INTO meta (name, value) VALUES ('log_id', lower(hex(randomblob(16))));

CREATE TABLE task (
    row INTEGER PRIMARY KEY,           -- order of acceptance, from 1, given by the writer
    task_id TEXT NOT NULL UNIQUE,      -- as callers know it
    account INTEGER NOT NULL,          -- account number, its 64 bits read as signed
    kind INTEGER NOT NULL,             -- 0: each item is one URL
    encode INTEGER NOT NULL,           -- 0: spelled as submitted, 1: percent-encoded
    accepted_at INTEGER NOT NULL,      -- milliseconds since 1970-01-01T00:00:00Z
    items INTEGER NOT NULL,            -- number of items, 1 or more
    mainland_first INTEGER,            -- position of its first item in the mainland log, NULL without one
    mainland_count INTEGER NOT NULL,   -- number of items there; they follow each other without a gap
    overseas_first INTEGER,            -- the same for the overseas log
    overseas_count INTEGER NOT NULL,
    block BLOB NOT NULL                -- the items: codec/block.rs; last, so that other columns are read without it
) STRICT;

-- The log of an area is its tasks in the order of their positions: it is not stored twice.
CREATE UNIQUE INDEX log_mainland ON task (mainland_first, mainland_count) WHERE mainland_first IS NOT NULL;
CREATE UNIQUE INDEX log_overseas ON task (overseas_first, overseas_count) WHERE overseas_first IS NOT NULL;
CREATE VIEW log AS                     -- for people: which task stands where
    SELECT 0 AS area, mainland_first AS first_seq, mainland_count AS count, row AS task
      FROM task WHERE mainland_first IS NOT NULL
    UNION ALL
    SELECT 1, overseas_first, overseas_count, row FROM task WHERE overseas_first IS NOT NULL;

-- Whatever a page of the history needs to be counted, so that the count reads no block.
CREATE INDEX task_history ON task (account, accepted_at, row, items,
    mainland_first, mainland_count, overseas_first, overseas_count);

CREATE TABLE log_floor (
    area INTEGER PRIMARY KEY,          -- 0: mainland, 1: overseas
    seq INTEGER NOT NULL               -- everything up to this position has been pruned
) STRICT;
INSERT INTO log_floor (area, seq) VALUES (0, 0), (1, 0);

CREATE TABLE quota_used (
    account INTEGER NOT NULL,          -- as in task
    area INTEGER NOT NULL,             -- as in log_floor
    day INTEGER NOT NULL,              -- days since 1970-01-01 in UTC+8
    kind INTEGER NOT NULL,             -- as in task
    used INTEGER NOT NULL,             -- items accepted that day
    PRIMARY KEY (account, day, kind, area)
) STRICT, WITHOUT ROWID;

CREATE TABLE cursor (
    node TEXT NOT NULL,                -- the node's name
    area INTEGER NOT NULL,             -- whose log it follows
    seq INTEGER NOT NULL,              -- everything up to this position is settled there
    membership INTEGER NOT NULL,       -- 0: must forget everything first, 1: the cursor tells what it forgot
    last_receipt INTEGER,              -- milliseconds since 1970; NULL before the first receipt
    PRIMARY KEY (area, node)
) STRICT, WITHOUT ROWID;

CREATE TABLE receipt (
    area INTEGER NOT NULL,
    node TEXT NOT NULL,
    after_seq INTEGER NOT NULL,        -- the cursor before
    upto_seq INTEGER NOT NULL,         -- the cursor after
    at INTEGER NOT NULL,               -- milliseconds since 1970 when they were settled
    fence INTEGER NOT NULL,            -- 0: exact, 1: bounded, 2: none
    waited INTEGER NOT NULL,           -- milliseconds that the fence waited after the first purge
    attempts INTEGER NOT NULL,         -- attempts of the last pass, from 1
    outcomes BLOB NOT NULL,            -- codec/outcomes.rs
    PRIMARY KEY (area, node, after_seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE refusal (
    area INTEGER NOT NULL,
    seq INTEGER NOT NULL,              -- the position that was refused
    node TEXT NOT NULL,                -- by whom
    why TEXT NOT NULL,                 -- for people; the receipt holds the code
    PRIMARY KEY (area, seq, node)
) STRICT, WITHOUT ROWID;
",
    r"
-- task.kind is now 0: URLs, deleted; 1: directories, deleted; 2: directories, marked stale; 3: URLs, marked stale.
-- quota_used.kind is now 0: URLs, 1: directories, 2: URLs to prefetch.
DROP INDEX task_history;
CREATE INDEX task_history ON task (account, accepted_at, row, items,
    mainland_first, mainland_count, overseas_first, overseas_count, kind);

CREATE TABLE claim (
    account INTEGER NOT NULL,          -- as in task
    token TEXT NOT NULL,               -- the caller's ClientToken
    digest BLOB NOT NULL,              -- SHA-256 of the call's content
    task_id TEXT NOT NULL,             -- the task that was accepted under it
    at INTEGER NOT NULL,               -- milliseconds since 1970 when it was accepted
    PRIMARY KEY (account, token)
) STRICT, WITHOUT ROWID;
CREATE INDEX claim_age ON claim (at);

CREATE TABLE record (
    kind TEXT NOT NULL,                -- a word: account, user, key, policy, domain, ...
    id TEXT NOT NULL,                  -- unique within its kind
    value TEXT NOT NULL,               -- JSON with its version; secrets in it are encrypted
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE record_generation (
    generation INTEGER NOT NULL        -- sets of changes kept so far; one row
) STRICT;
INSERT INTO record_generation (generation) VALUES (0);

CREATE TABLE notice (
    row INTEGER PRIMARY KEY,           -- order of acceptance
    account INTEGER NOT NULL,          -- as in task
    endpoint TEXT NOT NULL,            -- its name within the account
    task_id TEXT NOT NULL,             -- the task whose end is told
    accepted_at INTEGER NOT NULL,      -- as in task
    mainland_last INTEGER NOT NULL,    -- last position of the task in the mainland log, 0 without one
    overseas_last INTEGER NOT NULL,    -- the same for the overseas log
    attempts INTEGER NOT NULL,         -- attempts made
    next_at INTEGER,                   -- milliseconds since 1970, not to be told before; NULL: given up
    why TEXT NOT NULL DEFAULT ''       -- what happened at the last attempt, for people
) STRICT;
CREATE UNIQUE INDEX notice_name ON notice (account, endpoint, task_id);
CREATE INDEX notice_due ON notice (next_at) WHERE next_at IS NOT NULL;
",
    r"
CREATE TABLE push_task (
    row INTEGER PRIMARY KEY AUTOINCREMENT, -- order of acceptance; never given twice
    task_id TEXT NOT NULL UNIQUE,      -- as callers know it
    account INTEGER NOT NULL,          -- as in task
    accepted_at INTEGER NOT NULL,      -- milliseconds since 1970
    encode INTEGER NOT NULL,           -- as in task
    mainland_head INTEGER NOT NULL,    -- newest position of the mainland log when it was accepted
    overseas_head INTEGER NOT NULL,    -- the same for the overseas log
    how TEXT NOT NULL                  -- JSON with its version: push/how.rs
) STRICT;
CREATE INDEX push_history ON push_task (account, accepted_at, row);
CREATE INDEX push_age ON push_task (accepted_at);

CREATE TABLE push_item (
    row INTEGER PRIMARY KEY AUTOINCREMENT, -- order of acceptance or discovery; never given twice
    task INTEGER NOT NULL,             -- push_task.row
    url TEXT NOT NULL,                 -- letter by letter as submitted or found
    host TEXT NOT NULL,                -- its host, normalised
    areas INTEGER NOT NULL,            -- 0: mainland, 1: overseas, 2: both
    level INTEGER NOT NULL             -- 0: submitted, else one more than that of the playlist that names it
) STRICT;
CREATE INDEX push_item_task ON push_item (task, row);
CREATE INDEX push_item_url ON push_item (task, url);

CREATE TABLE push_fetch (
    item INTEGER NOT NULL,             -- push_item.row
    node TEXT NOT NULL,                -- who is to fetch it
    area INTEGER NOT NULL,             -- as in log_floor
    shield TEXT,                       -- the node that must have ended the item before; NULL without one
    state INTEGER NOT NULL,            -- 0: open, 1: complete, 2: the origin answered 4xx or 5xx, 3: failed
    status INTEGER,                    -- HTTP status, for 1 and 2
    bytes INTEGER NOT NULL DEFAULT 0,  -- of the body, for 1
    attempts INTEGER NOT NULL DEFAULT 0,
    at INTEGER,                        -- milliseconds since 1970 when it ended
    why TEXT NOT NULL DEFAULT '',      -- for 3, for people
    PRIMARY KEY (item, node)
) STRICT, WITHOUT ROWID;
CREATE INDEX push_open ON push_fetch (node, item) WHERE state = 0;
",
    r"
-- A node that was taken out keeps its row, by which its receipts are found and pruned.
ALTER TABLE cursor ADD COLUMN duty INTEGER NOT NULL DEFAULT 0; -- 0: counts, 1: does not, 2: was taken out, 3: its lease has ended
",
    r"
-- The longest lease that a node may have been granted, in milliseconds; NULL when it is not known to need one.
ALTER TABLE cursor ADD COLUMN lease INTEGER;
",
    r"
CREATE TABLE audit (                   -- what was seen from outside after a purge was done
    area INTEGER NOT NULL,             -- as in log_floor
    seq INTEGER NOT NULL,              -- the position of the purge
    node TEXT NOT NULL,                -- through which node
    at INTEGER NOT NULL,               -- milliseconds since 1970 when it was looked at
    verdict INTEGER NOT NULL,          -- 0: younger than the acceptance, 1: older, 2: no copy, 3: cannot be told
    why TEXT NOT NULL,                 -- for people
    PRIMARY KEY (area, seq, node, at)
) STRICT, WITHOUT ROWID;
",
    r"
ALTER TABLE cursor ADD COLUMN shield TEXT; -- whom the node fetches through, '' for nobody; NULL until the first start with this version
-- Drawn anew, 63 bits, whenever the cursor begins anew: a part of the name by which the node is told the log. NULL for a
-- cursor that began before there were any.
ALTER TABLE cursor ADD COLUMN stay INTEGER;
",
];

/// The schema version that this program writes.
const NEWEST: i32 = 7;

/// Opens a connection for writing, for reading or for checkpoints; all are set up alike.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    // WAL: readers never wait for the writer. FULL: a commit is on disk before it returns.
    // No automatic checkpoints: they would make single commits slow; a thread of its own does them.
    connection.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0;
         PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF;",
    )?;
    Ok(connection)
}

/// Brings the schema up to date.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    // One transaction: a crash in between leaves the old version whole.
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i32 = tx.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let application: i32 = tx.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: i64 = tx.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 && application != APPLICATION_ID {
        return Err(OpenError::NotOurs);
    }
    if found > NEWEST {
        return Err(OpenError::Newer { found, known: NEWEST });
    }
    if found == NEWEST {
        return Ok(());
    }
    let done = usize::try_from(found).map_err(|_| OpenError::NotOurs)?;
    for migration in MIGRATIONS.iter().skip(done) {
        tx.execute_batch(migration)?;
    }
    // `PRAGMA` takes no parameters; both are constants of this file.
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", NEWEST)?;
    tx.commit()?;
    Ok(())
}

/// How an SQLite failure is told to the engine.
pub(super) fn io(error: &rusqlite::Error) -> StoreError {
    StoreError::Io(error.to_string())
}

pub(super) fn damaged(what: &str) -> StoreError {
    StoreError::Corrupt(what.to_owned())
}

pub(super) const fn area_code(area: Area) -> i64 {
    match area {
        Area::Mainland => 0,
        Area::Overseas => 1,
    }
}

pub(super) const fn areas_code(areas: AreaSet) -> i64 {
    match areas {
        AreaSet::One(area) => area_code(area),
        AreaSet::Global => 2,
    }
}

pub(super) fn areas_of(code: i64) -> Result<AreaSet, StoreError> {
    match code {
        0 => Ok(AreaSet::One(Area::Mainland)),
        1 => Ok(AreaSet::One(Area::Overseas)),
        2 => Ok(AreaSet::Global),
        _ => Err(damaged("the areas of an item")),
    }
}

pub(super) const fn kind_code(kind: TaskKind, mode: Mode) -> i64 {
    match (kind, mode) {
        (TaskKind::Url, Mode::Delete) => 0,
        (TaskKind::Path, Mode::Delete) => 1,
        (TaskKind::Path, Mode::Expire) => 2,
        (TaskKind::Url, Mode::Expire) => 3,
    }
}

pub(super) fn kind_of(code: i64) -> Result<(TaskKind, Mode), StoreError> {
    match code {
        0 => Ok((TaskKind::Url, Mode::Delete)),
        1 => Ok((TaskKind::Path, Mode::Delete)),
        2 => Ok((TaskKind::Path, Mode::Expire)),
        3 => Ok((TaskKind::Url, Mode::Expire)),
        _ => Err(damaged("the kind of a task")),
    }
}

pub(super) const fn quota_code(kind: QuotaKind) -> i64 {
    match kind {
        QuotaKind::Url => 0,
        QuotaKind::Path => 1,
        QuotaKind::Push => 2,
    }
}

pub(super) const fn encode_code(encode: Encode) -> i64 {
    match encode {
        Encode::AsSubmitted => 0,
        Encode::PercentEncode => 1,
    }
}

pub(super) fn encode_of(code: i64) -> Result<Encode, StoreError> {
    match code {
        0 => Ok(Encode::AsSubmitted),
        1 => Ok(Encode::PercentEncode),
        _ => Err(damaged("the spelling of a task")),
    }
}

pub(super) const fn membership_code(membership: Membership) -> i64 {
    match membership {
        Membership::Joining => 0,
        Membership::Member => 1,
    }
}

pub(super) fn membership_of(code: i64) -> Result<Membership, StoreError> {
    match code {
        0 => Ok(Membership::Joining),
        1 => Ok(Membership::Member),
        _ => Err(damaged("the membership of a node")),
    }
}

pub(super) const fn fence_code(fence: FenceStrength) -> i64 {
    match fence {
        FenceStrength::Exact => 0,
        FenceStrength::Bounded => 1,
        FenceStrength::None => 2,
        FenceStrength::Hop => 3,
    }
}

pub(super) fn fence_of(code: i64) -> Result<FenceStrength, StoreError> {
    match code {
        0 => Ok(FenceStrength::Exact),
        1 => Ok(FenceStrength::Bounded),
        2 => Ok(FenceStrength::None),
        3 => Ok(FenceStrength::Hop),
        _ => Err(damaged("the fence of a receipt")),
    }
}

/// A count, a position or a time as SQLite keeps it. Values beyond 2^63 occur only as "no bound".
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| damaged("a negative number"))
}

/// The positions up to which each area's log has been pruned.
pub(super) fn floors(connection: &Connection) -> Result<PerArea<Seq>, StoreError> {
    let mut floors = PerArea::default();
    for area in Area::ALL {
        *floors.get_mut(area) = floor(connection, area)?;
    }
    Ok(floors)
}

/// The position up to which an area's log has been pruned.
pub(super) fn floor(connection: &Connection, area: Area) -> Result<Seq, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT seq FROM log_floor WHERE area = ?1").map_err(|error| io(&error))?;
    let seq = statement.query_row([area_code(area)], |row| row.get::<_, i64>(0));
    Ok(Seq(unsigned(seq.map_err(|error| io(&error))?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_of_the_first_version_is_brought_up_to_date() {
        let mut connection = Connection::open_in_memory().expect("memory");
        let first = MIGRATIONS.first().expect("there is a first version");
        connection.execute_batch(first).expect("the first version's tables");
        connection.pragma_update(None, "application_id", APPLICATION_ID).expect("a constant");
        connection.pragma_update(None, "user_version", 1).expect("a constant");
        let task = "INSERT INTO task VALUES (1, 't', 1, 0, 0, 5, 1, 1, 1, NULL, 0, x'00')";
        connection.execute(task, []).expect("a task of the first version");
        migrate(&mut connection).expect("it can be brought up to date");
        let version: i32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("a number");
        let kept: i64 = connection.query_row("SELECT count(*) FROM task", [], |row| row.get(0)).expect("a number");
        assert_eq!((version, kept), (NEWEST, 1));
    }
}
