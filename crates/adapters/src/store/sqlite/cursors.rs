//! The cursors of nodes in the writer's transactions.
//!
//! What this is: how a node's cursor is created, marked and forgotten. What this is not: how a receipt moves it;
//! that is in `apply`. Invariant: a node that was taken out is unknown, but its row stays as long as its receipts.

use std::sync::Arc;
use std::time::Duration;

use catharsis_core::area::{Area, PerArea};
use catharsis_core::beginning::cursor_now;
use catharsis_core::clock::UnixMillis;
use catharsis_core::duty::Duty;
use catharsis_core::error::StoreError;
use catharsis_core::invalidation::Seq;
use catharsis_core::ports::{Cursor, Membership};
use catharsis_core::topology::{Node, NodeId, Stay};
use rusqlite::{OptionalExtension, Transaction, params};

use super::apply::Done;
use super::schema::{area_code, damaged, membership_code, membership_of, signed, unsigned};

/// `cursor.duty` of a node that was taken out.
const TAKEN_OUT: i64 = 2;

/// `cursor.shield` of a node that fetches from origins.
const NOBODY: &str = "";

/// What is stored: a node that returns does not count yet, and after a restart it still returns.
const fn duty_code(duty: Duty) -> i64 {
    match duty {
        Duty::Counts => 0,
        Duty::Returning | Duty::Drained => 1,
        Duty::Lapsed => 3,
    }
}

fn duty_of(code: i64) -> Result<Duty, StoreError> {
    match code {
        0 => Ok(Duty::Counts),
        1 => Ok(Duty::Drained),
        3 => Ok(Duty::Lapsed),
        other => Err(damaged(&format!("{other} is no duty"))),
    }
}

/// The cursors of these nodes from now on: see [`cursor_now`].
pub(super) fn of(tx: &Transaction<'_>, nodes: &[Arc<Node>], heads: &PerArea<Seq>) -> Done<Vec<Cursor>> {
    let known = match known(tx, nodes)? {
        Ok(known) => known,
        Err(error) => return Ok(Err(error)),
    };
    let mut cursors = Vec::with_capacity(nodes.len());
    for (node, kept) in nodes.iter().zip(&known) {
        let others = nodes.iter().zip(&known).filter(|(other, _)| other.area == node.area);
        let others = others.filter_map(|(_, it)| it.as_ref());
        let stay = tx.prepare_cached("SELECT random()")?.query_row([], |row| row.get::<_, i64>(0))?;
        let stay = Stay(stay.unsigned_abs() >> 1);
        let now = cursor_now(node, kept.as_ref(), others, *heads.get(node.area), stay);
        let is_kept = |old: &Cursor| duty_code(old.duty) == duty_code(now.duty) && old.stay == now.stay;
        if !kept.as_ref().is_some_and(is_kept) {
            put(tx, node, &now)?;
        }
        cursors.push(now);
    }
    Ok(Ok(cursors))
}

fn put(tx: &Transaction<'_>, node: &Node, now: &Cursor) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO cursor (node, area, seq, membership, last_receipt, duty, shield, stay)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT DO UPDATE SET seq = excluded.seq, membership = excluded.membership,
             last_receipt = excluded.last_receipt, duty = excluded.duty, shield = excluded.shield,
             stay = excluded.stay",
    )?
    .execute(params![
        node.id.as_str(),
        area_code(node.area),
        signed(now.seq.0),
        membership_code(now.membership),
        now.last_receipt.map(|at| signed(at.0)),
        duty_code(now.duty),
        shield_code(now.shield.as_ref()),
        now.stay.map(|stay| signed(stay.0)),
    ])?;
    Ok(())
}

fn shield_code(shield: Option<&NodeId>) -> &str {
    shield.map_or(NOBODY, NodeId::as_str)
}

/// The stored cursor of each node, if it has one.
fn known(tx: &Transaction<'_>, nodes: &[Arc<Node>]) -> Done<Vec<Option<Cursor>>> {
    // Of a time when it was not kept: whom it fetches through now.
    let mut keep =
        tx.prepare_cached("UPDATE cursor SET shield = ?3 WHERE area = ?1 AND node = ?2 AND shield IS NULL")?;
    let mut read = tx.prepare_cached(
        "SELECT seq, membership, last_receipt, duty, lease, shield, stay FROM cursor
         WHERE area = ?1 AND node = ?2 AND duty <> ?3",
    )?;
    let mut known = Vec::with_capacity(nodes.len());
    for node in nodes {
        let (area, id) = (area_code(node.area), node.id.as_str());
        keep.execute(params![area, id, shield_code(node.shield.as_ref())])?;
        let row = read.query_row(params![area, id, TAKEN_OUT], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?))
        });
        match row.optional()?.map(|row| cursor_of(&node.id, row)).transpose() {
            Ok(cursor) => known.push(cursor),
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(known))
}

type Row = (i64, i64, Option<i64>, i64, Option<i64>, String, Option<i64>);

fn cursor_of(node: &NodeId, (seq, membership, last, duty, lease, shield, stay): Row) -> Result<Cursor, StoreError> {
    let shield = match &*shield {
        NOBODY => None,
        name => Some(NodeId::parse(name).ok_or_else(|| damaged("the name of a node's shield"))?),
    };
    Ok(Cursor {
        node: node.clone(),
        seq: Seq(unsigned(seq)?),
        membership: membership_of(membership)?,
        duty: duty_of(duty)?,
        last_receipt: last.map(unsigned).transpose()?.map(UnixMillis),
        lease: lease.map(unsigned).transpose()?.map(Duration::from_millis),
        shield,
        stay: stay.map(unsigned).transpose()?.map(Stay),
    })
}

/// Marks all nodes but these as taken out, forgets those among them that have no receipts, and returns whose
/// cursors were forgotten.
pub(super) fn forget_others(tx: &Transaction<'_>, nodes: &[Arc<Node>]) -> Done<Vec<NodeId>> {
    let stays = |area: i64, id: &str| nodes.iter().any(|node| area_code(node.area) == area && node.id.as_str() == id);
    let all: Vec<(i64, String, i64)> = tx
        .prepare_cached("SELECT area, node, duty FROM cursor")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut gone = Vec::new();
    for (area, id, duty) in all.into_iter().filter(|(area, id, _)| !stays(*area, id)) {
        let bare = tx
            .prepare_cached(
                "DELETE FROM cursor WHERE area = ?1 AND node = ?2
                     AND NOT EXISTS (SELECT 1 FROM receipt r WHERE r.area = ?1 AND r.node = ?2)",
            )?
            .execute(params![area, id])?;
        if bare == 0 {
            tx.prepare_cached("UPDATE cursor SET duty = ?3, lease = NULL WHERE area = ?1 AND node = ?2")?
                .execute(params![area, id, TAKEN_OUT])?;
        }
        if duty != TAKEN_OUT {
            let Some(node) = NodeId::parse(&id) else { return Ok(Err(damaged("a node's name is none"))) };
            gone.push(node);
        }
    }
    Ok(Ok(gone))
}

/// Notes that a node counts again.
pub(super) fn returned(tx: &Transaction<'_>, node: &NodeId, area: Area) -> Done<()> {
    tx.prepare_cached("UPDATE cursor SET duty = ?3 WHERE area = ?1 AND node = ?2 AND duty <> ?4")?.execute(params![
        area_code(area),
        node.as_str(),
        duty_code(Duty::Counts),
        TAKEN_OUT
    ])?;
    Ok(Ok(()))
}

/// Notes the leases of a node.
pub(super) fn leased(tx: &Transaction<'_>, node: &NodeId, area: Area, lease: Option<Duration>) -> Done<()> {
    let millis = lease.map(|it| signed(u64::try_from(it.as_millis()).unwrap_or(u64::MAX)));
    tx.prepare_cached("UPDATE cursor SET lease = ?3 WHERE area = ?1 AND node = ?2 AND duty <> ?4")?
        .execute(params![area_code(area), node.as_str(), millis, TAKEN_OUT])?;
    Ok(Ok(()))
}

/// Notes that a node's lease has ended. One that returns from a drain is kept as lapsed from then on.
pub(super) fn lapsed(tx: &Transaction<'_>, node: &NodeId, area: Area) -> Done<()> {
    tx.prepare_cached("UPDATE cursor SET duty = ?3 WHERE area = ?1 AND node = ?2 AND duty <> ?4")?.execute(params![
        area_code(area),
        node.as_str(),
        duty_code(Duty::Lapsed),
        TAKEN_OUT
    ])?;
    Ok(Ok(()))
}

/// Notes that a node has forgotten everything, which was true at `cursor`.
pub(super) fn joined(tx: &Transaction<'_>, node: &NodeId, area: Area, cursor: Seq) -> Done<()> {
    tx.prepare_cached(
        "INSERT INTO cursor (node, area, seq, membership) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq), membership = excluded.membership",
    )?
    .execute(params![node.as_str(), area_code(area), signed(cursor.0), membership_code(Membership::Member),])?;
    Ok(Ok(()))
}
