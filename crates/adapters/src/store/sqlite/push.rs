//! Prefetches.
//!
//! What this is: the SQL behind the port `PushStore`: what a plan, an ended fetch and pruning change, and
//! the questions of workers and of the history. What this is not: the rule that derives a status; that is
//! [`Tally::status`].
//!
//! Invariant: a fetch is open until its end is kept, and then never again; what a playlist names is kept,
//! charged and opened in the transaction that ends the fetch which found it.

use std::sync::Arc;

use catharsis_core::area::{Area, AreaSet, PerArea};
use catharsis_core::clock::UnixMillis;
use catharsis_core::error::{StoreError, SubmitError};
use catharsis_core::invalidation::Seq;
use catharsis_core::plan::Toll;
use catharsis_core::push::{EndedFetch, FetchEnd, Found, How, OpenFetch, PushItem, PushItemId, PushPlan};
use catharsis_core::quota::{Charge, QuotaKind, check_quota};
use catharsis_core::target::{CacheUrl, Encode};
use catharsis_core::task::{AccountId, TaskId};
use catharsis_core::topology::NodeId;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use tokio::sync::OwnedSemaphorePermit;

use super::apply::{self, Admission, Done};
use super::notices;
use super::schema::{area_code, areas_code, areas_of, damaged, encode_code, encode_of, io, signed, unsigned};
use super::writer::Positions;

mod history;
mod how;

pub(super) use self::history::page;

/// Items that a step of pruning deletes: a few milliseconds in which others wait.
const PRUNE_STEP: i64 = 64;

/// The states of a fetch.
const OPEN: i64 = 0;
const COMPLETE: i64 = 1;
const INVALID: i64 = 2;
const FAILED: i64 = 3;

/// A plan with its share of the queue's room.
#[derive(Debug)]
pub(super) struct PushSubmission {
    pub(super) plan: PushPlan,
    pub(super) _room: OwnedSemaphorePermit,
}

/// Bytes that a plan takes in the queue, roughly.
pub(super) fn weight(plan: &PushPlan) -> usize {
    plan.task.items.iter().map(|item| item.url.len() + size_of::<PushItem>()).sum()
}

/// Keeps a plan: quota, claim, task, items and open fetches.
pub(super) fn submit(tx: &Transaction<'_>, plan: &PushPlan, positions: &mut Positions) -> Done<TaskId, SubmitError> {
    let task = &plan.task;
    let admission =
        Admission { account: task.account, at: task.accepted_at, claim: plan.claim.as_ref(), toll: &plan.toll };
    match apply::admit(tx, &admission)? {
        Ok(None) => {}
        Ok(Some(first)) => return Ok(Ok(first)),
        Err(refused) => return Ok(Err(refused)),
    }
    let row = match apply::inserted(insert_task(tx, plan, &positions.heads), &task.id)? {
        Ok(row) => row,
        Err(twice) => return Ok(Err(twice)),
    };
    for item in &task.items {
        let id = insert_item(tx, row, task.how.encode, item)?;
        let mut open =
            tx.prepare_cached("INSERT INTO push_fetch (item, node, area, shield, state) VALUES (?1, ?2, ?3, ?4, 0)")?;
        for (area, expected) in plan.expected_of(item) {
            let shield = expected.shield.as_ref().map(NodeId::as_str);
            open.execute(params![id, expected.node.as_str(), area_code(area), shield])?;
        }
    }
    apply::charge(tx, task.account, &plan.toll)?;
    if let Some(claim) = &plan.claim {
        notices::keep_claim(tx, task.account, claim, &task.id, task.accepted_at)?;
    }
    positions.pushes += 1;
    Ok(Ok(task.id.clone()))
}

fn insert_task(tx: &Transaction<'_>, plan: &PushPlan, heads: &PerArea<Seq>) -> rusqlite::Result<i64> {
    let task = &plan.task;
    tx.prepare_cached(
        "INSERT INTO push_task (task_id, account, accepted_at, encode, mainland_head, overseas_head, how)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        task.id.as_str(),
        task.account.0.cast_signed(),
        signed(task.accepted_at.0),
        encode_code(task.how.encode),
        signed(heads.mainland.0),
        signed(heads.overseas.0),
        how::encode(&task.how),
    ])?;
    Ok(tx.last_insert_rowid())
}

fn insert_item(tx: &Transaction<'_>, task: i64, encode: Encode, item: &PushItem) -> rusqlite::Result<i64> {
    // Whatever was planned or followed has a host.
    let url = CacheUrl::parse(&item.url, encode);
    let host = url.as_ref().map_or("", |url| url.host().as_str());
    tx.prepare_cached("INSERT INTO push_item (task, url, host, areas, level) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![task, &*item.url, host, areas_code(item.areas), item.level])?;
    Ok(tx.last_insert_rowid())
}

/// Keeps how a fetch ended, and what it found. Repeated, it changes nothing.
pub(super) fn end(tx: &Transaction<'_>, ended: &EndedFetch, positions: &mut Positions) -> Done<()> {
    let (state, status, bytes, why) = match &ended.end {
        FetchEnd::Complete { status, bytes } => (COMPLETE, Some(*status), signed(*bytes), ""),
        FetchEnd::Invalid { status } => (INVALID, Some(*status), 0, ""),
        FetchEnd::Failed { why } => (FAILED, None, 0, why.as_str()),
    };
    let (item, node) = (signed(ended.item.0), ended.node.as_str());
    let changed = tx
        .prepare_cached(
            "UPDATE push_fetch SET state = ?3, status = ?4, bytes = ?5, why = ?6, attempts = ?7, at = ?8
             WHERE item = ?1 AND node = ?2 AND state = 0",
        )?
        .execute(params![item, node, state, status, bytes, why, ended.attempts, signed(ended.at.0)])?;
    if changed == 0 {
        return Ok(Ok(()));
    }
    let mut more: bool = tx
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM push_fetch WHERE item = ?1 AND shield = ?2 AND state = 0)")?
        .query_row(params![item, node], |row| row.get(0))?;
    if let Some(found) = &ended.found {
        match append(tx, item, found)? {
            Ok(appended) => more |= appended > 0,
            Err(error) => return Ok(Err(error)),
        }
    }
    if more {
        positions.pushes += 1;
    }
    Ok(Ok(()))
}

/// Appends what an item's playlist names, as far as the quota goes, and charges it.
fn append(tx: &Transaction<'_>, parent: i64, found: &Found) -> Done<u32> {
    let (task, areas, level, account, encode) = tx
        .prepare_cached(
            "SELECT i.task, i.areas, i.level, t.account, t.encode FROM push_item i JOIN push_task t ON t.row = i.task
             WHERE i.row = ?1",
        )?
        .query_row([parent], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, u8>(2)?, row.get::<_, i64>(3)?, row.get(4)?))
        })?;
    let (areas, encode) = match (areas_of(areas), encode_of(encode)) {
        (Ok(areas), Ok(encode)) => (areas, encode),
        (Err(error), _) | (_, Err(error)) => return Ok(Err(error)),
    };
    let account = AccountId(account.cast_unsigned());
    let used = apply::used(tx, account, found.day, QuotaKind::Push)?;
    let charge = |units: u32| -> Charge { PerArea::from_fn(|area| if areas.contains(area) { units } else { 0 }) };
    let mut units = 0;
    for url in &found.urls {
        let known: bool = tx
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM push_item WHERE task = ?1 AND url = ?2)")?
            .query_row(params![task, &**url], |row| row.get(0))?;
        if known {
            continue;
        }
        if check_quota(QuotaKind::Push, &used, &charge(units + 1), &found.quota).is_err() {
            break;
        }
        let id = insert_item(tx, task, encode, &PushItem { url: url.clone(), areas, level: level + 1 })?;
        tx.prepare_cached(
            "INSERT INTO push_fetch (item, node, area, shield, state)
                 SELECT ?1, node, area, shield, 0 FROM push_fetch WHERE item = ?2",
        )?
        .execute([id, parent])?;
        units += 1;
    }
    let toll = Toll { kind: QuotaKind::Push, day: found.day, charge: charge(units), quota: found.quota };
    apply::charge(tx, account, &toll)?;
    Ok(Ok(units))
}

/// Fetches that a node has not ended and that wait for no shield, the oldest first.
pub(super) fn open(
    connection: &Connection,
    node: &NodeId,
    without: &[AccountId],
    max: usize,
) -> Result<Vec<OpenFetch>, StoreError> {
    let without: Vec<i64> = without.iter().map(|account| account.0.cast_signed()).collect();
    let without = serde_json::Value::from(without).to_string();
    let read = || -> rusqlite::Result<Vec<RawOpen>> {
        let mut statement = connection.prepare_cached(
            "SELECT i.row, i.url, i.areas, i.level, f.area, t.task_id, t.account, t.accepted_at, t.encode,
                    t.mainland_head, t.overseas_head, t.how
             FROM push_fetch f CROSS JOIN push_item i ON i.row = f.item CROSS JOIN push_task t ON t.row = i.task
             WHERE f.node = ?1 AND f.state = 0 AND t.account NOT IN (SELECT value FROM json_each(?3)) AND NOT EXISTS (
                 SELECT 1 FROM push_fetch s WHERE s.item = f.item AND s.node = f.shield AND s.state = 0)
             ORDER BY f.item LIMIT ?2",
        )?;
        let max = i64::try_from(max).unwrap_or(i64::MAX);
        statement.query_map(params![node.as_str(), max, without], RawOpen::read)?.collect()
    };
    read().map_err(|error| io(&error))?.into_iter().map(RawOpen::fetch).collect()
}

struct RawOpen {
    item: i64,
    url: String,
    areas: i64,
    level: u8,
    area: i64,
    task: String,
    account: i64,
    accepted_at: i64,
    encode: i64,
    heads: [i64; 2],
    how: String,
}

impl RawOpen {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            item: row.get(0)?,
            url: row.get(1)?,
            areas: row.get(2)?,
            level: row.get(3)?,
            area: row.get(4)?,
            task: row.get(5)?,
            account: row.get(6)?,
            accepted_at: row.get(7)?,
            encode: row.get(8)?,
            heads: [row.get(9)?, row.get(10)?],
            how: row.get(11)?,
        })
    }

    fn fetch(self) -> Result<OpenFetch, StoreError> {
        let head = if self.area == area_code(Area::Mainland) { self.heads[0] } else { self.heads[1] };
        Ok(OpenFetch {
            item: PushItemId(unsigned(self.item)?),
            task: task_id(&self.task)?,
            account: AccountId(self.account.cast_unsigned()),
            accepted_at: UnixMillis(unsigned(self.accepted_at)?),
            head: Seq(unsigned(head)?),
            how: Arc::new(self.how()?),
            areas: areas_of(self.areas)?,
            level: self.level,
            url: self.url.into(),
        })
    }

    fn how(&self) -> Result<How, StoreError> {
        how::decode(&self.how, encode_of(self.encode)?)
    }
}

fn task_id(text: &str) -> Result<TaskId, StoreError> {
    TaskId::parse(text).ok_or_else(|| damaged("the id of a prefetch"))
}

/// The areas of an item in which no node fetches it, of those in which some do.
fn without_node(areas: AreaSet, served: impl Fn(Area) -> bool) -> u32 {
    areas.iter().map(|area| u32::from(!served(area))).sum()
}

/// Deletes some of what was accepted before; returns how many rows went.
pub(super) fn prune_step(tx: &Transaction<'_>, before: UnixMillis) -> rusqlite::Result<usize> {
    let oldest = tx
        .prepare_cached("SELECT row FROM push_task WHERE accepted_at < ?1 ORDER BY accepted_at LIMIT 1")?
        .query_row([signed(before.0)], |row| row.get::<_, i64>(0))
        .optional()?;
    let Some(task) = oldest else { return Ok(0) };
    let items = "SELECT row FROM push_item WHERE task = ?1 ORDER BY row LIMIT ?2";
    let fetches =
        tx.prepare_cached(&format!("DELETE FROM push_fetch WHERE item IN ({items})"))?.execute([task, PRUNE_STEP])?;
    let items =
        tx.prepare_cached(&format!("DELETE FROM push_item WHERE row IN ({items})"))?.execute([task, PRUNE_STEP])?;
    let tasks = tx
        .prepare_cached(
            "DELETE FROM push_task WHERE row = ?1 AND NOT EXISTS (SELECT 1 FROM push_item WHERE task = ?1)",
        )?
        .execute([task])?;
    Ok(fetches + items + tasks)
}
