//! Claims and notices: what is kept beside a task for its caller.
//!
//! Invariant: both are written in the task's own transaction, so that neither exists without it.

use catharsis_core::clock::UnixMillis;
use catharsis_core::error::{StoreError, SubmitError};
use catharsis_core::invalidation::Seq;
use catharsis_core::limits::CLIENT_TOKEN_KEPT;
use catharsis_core::notice::{Notice, Told, Undelivered};
use catharsis_core::plan::Claim;
use catharsis_core::status::StatusView;
use catharsis_core::task::{AccountId, TaskId};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::apply::Done;
use super::schema::{damaged, io, signed, unsigned};
use super::writer::Submission;

/// Old claims that go with each new one, so that their number follows the rate of calls.
const CLAIMS_SWEPT: i64 = 4;

/// The task that was accepted under a claim's token since then.
pub(super) fn claimed(
    connection: &Connection,
    account: AccountId,
    claim: &Claim,
    since: UnixMillis,
) -> Result<Option<TaskId>, SubmitError> {
    let found = connection
        .prepare_cached("SELECT digest, task_id FROM claim WHERE account = ?1 AND token = ?2 AND at >= ?3")
        .and_then(|mut statement| {
            let key = params![account.0.cast_signed(), &*claim.token, signed(since.0)];
            statement.query_row(key, |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, String>(1)?))).optional()
        })
        .map_err(|error| io(&error))?;
    let Some((digest, task)) = found else { return Ok(None) };
    let task = TaskId::parse(&task).ok_or_else(|| damaged("the task of a claim"))?;
    if digest == claim.digest { Ok(Some(task)) } else { Err(SubmitError::TokenReused(task)) }
}

/// Keeps the claim of a task that was just inserted; one that is too old gives way.
pub(super) fn keep_claim(
    tx: &Transaction<'_>,
    account: AccountId,
    claim: &Claim,
    task: &TaskId,
    at: UnixMillis,
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT OR REPLACE INTO claim (account, token, digest, task_id, at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![account.0.cast_signed(), &*claim.token, &claim.digest[..], task.as_str(), signed(at.0)])?;
    tx.prepare_cached(
        "DELETE FROM claim WHERE (account, token) IN
             (SELECT account, token FROM claim WHERE at < ?1 ORDER BY at LIMIT ?2)",
    )?
    .execute(params![signed(at.before(CLIENT_TOKEN_KEPT).0), CLAIMS_SWEPT])?;
    Ok(())
}

/// Keeps the notices of a task that was just inserted. `last` holds its last position in each area.
pub(super) fn keep_notices(
    tx: &Transaction<'_>,
    submission: &Submission,
    last: [Option<Seq>; 2],
) -> rusqlite::Result<()> {
    let mut statement = tx.prepare_cached(
        "INSERT INTO notice (account, endpoint, task_id, accepted_at, mainland_last, overseas_last, attempts, next_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?4)",
    )?;
    let last = last.map(|seq| signed(seq.unwrap_or(Seq::ZERO).0));
    for endpoint in &submission.notify {
        statement.execute(params![
            submission.account.0.cast_signed(),
            &**endpoint,
            submission.id.as_str(),
            signed(submission.accepted_at.0),
            last[0],
            last[1],
        ])?;
    }
    Ok(())
}

/// Notices that are due and whose task has ended.
pub(super) fn due(connection: &Connection, view: &StatusView, max: u32) -> Result<Vec<Notice>, StoreError> {
    let read = || -> rusqlite::Result<Vec<RawNotice>> {
        let mut statement = connection.prepare_cached(
            "SELECT account, endpoint, task_id, attempts, next_at, why FROM notice
             WHERE next_at <= ?1
                 AND ((mainland_last <= ?2 AND overseas_last <= ?3) OR accepted_at < ?4)
             ORDER BY next_at LIMIT ?5",
        )?;
        let overdue = view.now.before(view.fail_after);
        let key = params![
            signed(view.now.0),
            signed(view.watermark.mainland.0),
            signed(view.watermark.overseas.0),
            signed(overdue.0),
            max,
        ];
        statement.query_map(key, RawNotice::read)?.collect()
    };
    let raw = read().map_err(|error| io(&error))?;
    raw.into_iter().map(|raw| raw.undelivered().map(|undelivered| undelivered.notice)).collect()
}

/// What an endpoint was not told after at least one attempt, the newest first.
pub(super) fn undelivered(
    connection: &Connection,
    account: AccountId,
    endpoint: &str,
    max: u32,
) -> Result<Vec<Undelivered>, StoreError> {
    let read = || -> rusqlite::Result<Vec<RawNotice>> {
        let mut statement = connection.prepare_cached(
            "SELECT account, endpoint, task_id, attempts, next_at, why FROM notice
             WHERE account = ?1 AND endpoint = ?2 AND attempts > 0 ORDER BY row DESC LIMIT ?3",
        )?;
        statement.query_map(params![account.0.cast_signed(), endpoint, max], RawNotice::read)?.collect()
    };
    let raw = read().map_err(|error| io(&error))?;
    raw.into_iter().map(RawNotice::undelivered).collect()
}

struct RawNotice {
    account: i64,
    endpoint: String,
    task: String,
    attempts: u32,
    next_at: Option<i64>,
    why: String,
}

impl RawNotice {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            account: row.get(0)?,
            endpoint: row.get(1)?,
            task: row.get(2)?,
            attempts: row.get(3)?,
            next_at: row.get(4)?,
            why: row.get(5)?,
        })
    }

    fn undelivered(self) -> Result<Undelivered, StoreError> {
        Ok(Undelivered {
            notice: Notice {
                task: TaskId::parse(&self.task).ok_or_else(|| damaged("the task of a notice"))?,
                account: AccountId(self.account.cast_unsigned()),
                endpoint: self.endpoint.into(),
                attempts: self.attempts,
            },
            again: self.next_at.map(unsigned).transpose()?.map(UnixMillis),
            why: self.why.into(),
        })
    }
}

/// Notes what became of an attempt. Repeated, it changes nothing.
pub(super) fn told(tx: &Transaction<'_>, notice: &Notice, told: &Told) -> Done<()> {
    let (account, endpoint, task) = (notice.account.0.cast_signed(), &*notice.endpoint, notice.task.as_str());
    let (next_at, why) = match told {
        Told::Confirmed => {
            tx.prepare_cached("DELETE FROM notice WHERE account = ?1 AND endpoint = ?2 AND task_id = ?3")?
                .execute(params![account, endpoint, task])?;
            return Ok(Ok(()));
        }
        Told::Again { at, why } => (Some(signed(at.0)), why),
        Told::GaveUp { why } => (None, why),
    };
    tx.prepare_cached(
        "UPDATE notice SET attempts = ?4, next_at = ?5, why = ?6
         WHERE account = ?1 AND endpoint = ?2 AND task_id = ?3",
    )?
    .execute(params![account, endpoint, task, notice.attempts.saturating_add(1), next_at, &**why])?;
    Ok(Ok(()))
}
