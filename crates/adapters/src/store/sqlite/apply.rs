//! What each command does to the tables, inside the writer's transaction.
//!
//! What this is: the SQL that changes something. Invariant: a command that is refused by its own
//! rules (quota, a repeated id, a gap) has changed nothing when that is found out, so that the
//! transaction can go on to the next command.

use catharsis_core::area::{Area, PerArea};
use catharsis_core::clock::UnixMillis;
use catharsis_core::error::{StoreError, SubmitError};
use catharsis_core::invalidation::Seq;
use catharsis_core::limits::CLIENT_TOKEN_KEPT;
use catharsis_core::plan::{Claim, Toll};
use catharsis_core::ports::Membership;
use catharsis_core::quota::{PerKind, QuotaDay, QuotaKind, check_quota};
use catharsis_core::receipt::{Receipt, Settled};
use catharsis_core::task::{AccountId, TaskId};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, params};

use super::audits;
use super::notices;
use super::push;
use super::schema::{
    area_code, damaged, encode_code, fence_code, floors, io, kind_code, membership_code, quota_code, signed, unsigned,
};
use super::writer::{Positions, PruneStep, Submission};
use crate::codec::outcomes;

/// Rows of one table that a step of pruning deletes: a few milliseconds in which others wait.
pub(super) const PRUNE_STEP: i64 = 256;

/// A command's own result, or SQLite's failure.
pub(super) type Done<T, E = StoreError> = Result<Result<T, E>, rusqlite::Error>;

/// Where the writer goes on after a start.
pub(super) fn positions(connection: &Connection) -> Result<Positions, StoreError> {
    let newest = "SELECT coalesce(max(row), 0) FROM task";
    let row = connection.query_row(newest, [], |row| row.get(0));
    let mut heads = floors(connection)?;
    for area in Area::ALL {
        let sql = match area {
            Area::Mainland => {
                "SELECT mainland_first + mainland_count - 1 FROM task
                 WHERE mainland_first IS NOT NULL ORDER BY mainland_first DESC LIMIT 1"
            }
            Area::Overseas => {
                "SELECT overseas_first + overseas_count - 1 FROM task
                 WHERE overseas_first IS NOT NULL ORDER BY overseas_first DESC LIMIT 1"
            }
        };
        let last = connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        if let Some(last) = last.optional().map_err(|error| io(&error))? {
            *heads.get_mut(area) = Seq(unsigned(last)?);
        }
    }
    Ok(Positions { row: row.map_err(|error| io(&error))?, heads, pushes: 0 })
}

/// What an account has used of a day's quotas.
pub(super) fn quota_used(
    connection: &Connection,
    account: AccountId,
    day: QuotaDay,
) -> Result<PerKind<PerArea<u32>>, StoreError> {
    let mut all = PerKind::default();
    for kind in QuotaKind::ALL {
        *all.get_mut(kind) = used(connection, account, day, kind).map_err(|error| io(&error))?;
    }
    Ok(all)
}

pub(super) fn used(
    connection: &Connection,
    account: AccountId,
    day: QuotaDay,
    kind: QuotaKind,
) -> rusqlite::Result<PerArea<u32>> {
    let mut statement = connection
        .prepare_cached("SELECT used FROM quota_used WHERE account = ?1 AND day = ?2 AND kind = ?3 AND area = ?4")?;
    let mut used = PerArea::default();
    for area in Area::ALL {
        let key = params![account.0.cast_signed(), day.0, quota_code(kind), area_code(area)];
        let found = statement.query_row(key, |row| row.get::<_, u32>(0));
        *used.get_mut(area) = found.optional()?.unwrap_or(0);
    }
    Ok(used)
}

/// What decides whether a task may be kept.
pub(super) struct Admission<'a> {
    pub(super) account: AccountId,
    pub(super) at: UnixMillis,
    pub(super) claim: Option<&'a Claim>,
    pub(super) toll: &'a Toll,
}

/// Whether a task may be kept, or the one that was accepted under its claim before; changes nothing.
pub(super) fn admit(tx: &Transaction<'_>, admission: &Admission<'_>) -> Done<Option<TaskId>, SubmitError> {
    if let Some(claim) = admission.claim {
        let since = admission.at.before(CLIENT_TOKEN_KEPT);
        match notices::claimed(tx, admission.account, claim, since) {
            Ok(None) => {}
            claimed => return Ok(claimed),
        }
    }
    let used = used(tx, admission.account, admission.toll.day, admission.toll.kind)?;
    let Toll { kind, charge, quota, .. } = admission.toll;
    Ok(check_quota(*kind, &used, charge, quota).map(|()| None).map_err(SubmitError::from))
}

/// The result of the first statement of a command that changes anything: an id that exists already is the
/// command's own failure, and it has changed nothing.
pub(super) fn inserted<T>(result: rusqlite::Result<T>, id: &TaskId) -> Done<T, SubmitError> {
    match result {
        Ok(it) => Ok(Ok(it)),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            Ok(Err(StoreError::Io(format!("a task with the id {id} exists already")).into()))
        }
        Err(error) => Err(error),
    }
}

/// Keeps a submission: quota, task, log positions, claim and notices.
pub(super) fn submit(
    tx: &Transaction<'_>,
    submission: &Submission,
    positions: &mut Positions,
) -> Done<TaskId, SubmitError> {
    let admission = Admission {
        account: submission.account,
        at: submission.accepted_at,
        claim: submission.claim.as_ref(),
        toll: &submission.toll,
    };
    match admit(tx, &admission)? {
        Ok(None) => {}
        Ok(Some(first)) => return Ok(Ok(first)),
        Err(refused) => return Ok(Err(refused)),
    }
    let mut next = *positions;
    next.row += 1;
    if let Err(twice) = inserted(insert_task(tx, submission, &mut next), &submission.id)? {
        return Ok(Err(twice));
    }
    charge(tx, submission.account, &submission.toll)?;
    if let Some(claim) = &submission.claim {
        notices::keep_claim(tx, submission.account, claim, &submission.id, submission.accepted_at)?;
    }
    if !submission.notify.is_empty() {
        let last = |area| (*submission.counts.get(area) > 0).then(|| *next.heads.get(area));
        notices::keep_notices(tx, submission, [last(Area::Mainland), last(Area::Overseas)])?;
    }
    *positions = next;
    Ok(Ok(submission.id.clone()))
}

fn insert_task(tx: &Transaction<'_>, submission: &Submission, next: &mut Positions) -> rusqlite::Result<()> {
    let mut first: PerArea<Option<i64>> = PerArea::default();
    for area in Area::ALL {
        let count = *submission.counts.get(area);
        if count > 0 {
            let head = next.heads.get_mut(area);
            *first.get_mut(area) = Some(signed(head.0 + 1));
            *head = head.plus(count);
        }
    }
    let mut statement = tx.prepare_cached(
        "INSERT INTO task (row, task_id, account, kind, encode, accepted_at, items,
             mainland_first, mainland_count, overseas_first, overseas_count, block)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    statement.execute(params![
        next.row,
        submission.id.as_str(),
        submission.account.0.cast_signed(),
        kind_code(submission.kind, submission.mode),
        encode_code(submission.encode),
        signed(submission.accepted_at.0),
        signed(submission.items),
        first.mainland,
        signed(submission.counts.mainland),
        first.overseas,
        signed(submission.counts.overseas),
        submission.block,
    ])?;
    Ok(())
}

/// Takes a call's units.
pub(super) fn charge(tx: &Transaction<'_>, account: AccountId, toll: &Toll) -> rusqlite::Result<()> {
    let mut statement = tx.prepare_cached(
        "INSERT INTO quota_used (account, area, day, kind, used) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET used = used + excluded.used",
    )?;
    for area in Area::ALL {
        let units = *toll.charge.get(area);
        if units > 0 {
            statement.execute(params![
                account.0.cast_signed(),
                area_code(area),
                toll.day.0,
                quota_code(toll.kind),
                units,
            ])?;
        }
    }
    Ok(())
}

/// Keeps a receipt and moves the node's cursor; a receipt that was kept before changes nothing.
pub(super) fn advance(tx: &Transaction<'_>, receipt: &Receipt) -> Done<()> {
    let cursor = tx
        .prepare_cached("SELECT seq FROM cursor WHERE area = ?1 AND node = ?2")?
        .query_row(params![area_code(receipt.area), receipt.node.as_str()], |row| row.get::<_, i64>(0))
        .optional()?
        .unwrap_or(0);
    let after = signed(receipt.after.0);
    if after < cursor {
        return Ok(Ok(()));
    }
    if after > cursor {
        return Ok(Err(damaged(&format!("a receipt of {} follows {after}, but its cursor is {cursor}", receipt.node))));
    }
    // One that is there already is of a time before the node was taken out: what it says now counts.
    let outcomes = match outcomes::encode(&receipt.outcomes) {
        Ok(outcomes) => outcomes,
        Err(error) => return Ok(Err(error.into())),
    };
    tx.prepare_cached(
        "INSERT INTO cursor (node, area, seq, membership, last_receipt) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET seq = excluded.seq, last_receipt = excluded.last_receipt",
    )?
    .execute(params![
        receipt.node.as_str(),
        area_code(receipt.area),
        signed(receipt.cursor().0),
        membership_code(Membership::Joining),
        signed(receipt.at.0),
    ])?;
    tx.prepare_cached(
        "INSERT INTO receipt (area, node, after_seq, upto_seq, at, fence, waited, attempts, outcomes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT DO UPDATE SET upto_seq = excluded.upto_seq, at = excluded.at, fence = excluded.fence,
             waited = excluded.waited, attempts = excluded.attempts, outcomes = excluded.outcomes",
    )?
    .execute(params![
        area_code(receipt.area),
        receipt.node.as_str(),
        after,
        signed(receipt.cursor().0),
        signed(receipt.at.0),
        fence_code(receipt.fence),
        i64::try_from(receipt.waited.as_millis()).unwrap_or(i64::MAX),
        receipt.attempts,
        outcomes,
    ])?;
    refusals(tx, receipt)?;
    Ok(Ok(()))
}

fn refusals(tx: &Transaction<'_>, receipt: &Receipt) -> rusqlite::Result<()> {
    let mut statement =
        tx.prepare_cached("INSERT INTO refusal (area, seq, node, why) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING")?;
    for (outcome, place) in receipt.outcomes.iter().zip(1u64..) {
        if let Settled::Refused(why) = outcome {
            statement.execute(params![
                area_code(receipt.area),
                signed(receipt.after.plus(place).0),
                receipt.node.as_str(),
                why.to_string(),
            ])?;
        }
    }
    Ok(())
}

/// Deletes some of what is older than `before`: the oldest tasks up to the first younger one, and
/// whatever belongs to positions that are gone.
pub(super) fn prune_step(tx: &Transaction<'_>, before: UnixMillis, positions: &Positions) -> Done<PruneStep> {
    let mut step = PruneStep::default();
    let upto = oldest(tx)?
        .into_iter()
        // The newest row stays whatever its age: rows are counted on from it after a restart.
        .take_while(|(row, accepted_at)| {
            *row < positions.row && *accepted_at < signed(before.0)
        })
        .last()
        .map(|(row, _)| row);
    if let Some(upto) = upto {
        tx.execute(
            "UPDATE log_floor SET seq = max(seq, coalesce(CASE area
                 WHEN 0 THEN (SELECT max(mainland_first + mainland_count - 1) FROM task WHERE row <= ?1)
                 ELSE (SELECT max(overseas_first + overseas_count - 1) FROM task WHERE row <= ?1) END, 0))",
            [upto],
        )?;
        let tasks = tx.execute("DELETE FROM task WHERE row <= ?1", [upto])?;
        step.tasks = tasks as u64;
        step.deleted += tasks as u64;
    }
    for area in [Area::Mainland, Area::Overseas].map(area_code) {
        let receipts = tx.execute(
            "DELETE FROM receipt WHERE area = ?1 AND (node, after_seq) IN (
                 SELECT r.node, r.after_seq FROM log_floor f CROSS JOIN cursor c CROSS JOIN receipt r
                 WHERE f.area = ?1 AND c.area = f.area AND r.area = f.area AND r.node = c.node
                     AND r.after_seq < f.seq AND r.upto_seq <= f.seq LIMIT ?2)",
            [area, PRUNE_STEP],
        )?;
        let refusals = tx.execute(
            "DELETE FROM refusal WHERE area = ?1 AND (seq, node) IN (
                 SELECT seq, node FROM refusal WHERE area = ?1
                     AND seq <= (SELECT seq FROM log_floor WHERE area = ?1) LIMIT ?2)",
            [area, PRUNE_STEP],
        )?;
        step.deleted += (receipts + refusals + audits::prune(tx, area)?) as u64;
    }
    let quotas = tx.execute(
        "DELETE FROM quota_used WHERE (account, day, kind, area) IN (
             SELECT account, day, kind, area FROM quota_used WHERE day < ?1 LIMIT ?2)",
        params![QuotaDay::of(before).0, PRUNE_STEP],
    )?;
    // Notices that were given up are told about as long as their tasks are.
    let notices = tx.execute(
        "DELETE FROM notice WHERE row IN (SELECT row FROM notice WHERE accepted_at < ?1 LIMIT ?2)",
        params![signed(before.0), PRUNE_STEP],
    )?;
    let pushes = push::prune_step(tx, before)?;
    step.deleted += (quotas + notices + pushes) as u64;
    Ok(Ok(step))
}

/// The oldest tasks, as many as one step deletes: row and time of acceptance.
fn oldest(tx: &Transaction<'_>) -> rusqlite::Result<Vec<(i64, i64)>> {
    tx.prepare_cached("SELECT row, accepted_at FROM task ORDER BY row LIMIT ?1")?
        .query_map([PRUNE_STEP], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}
