//! What auditors saw.
//!
//! What this is: rows of looks, kept, read and pruned with the positions that they are about. What this is not: the
//! judgement, or anything that a task's status depends on.

use catharsis_core::area::Area;
use catharsis_core::audit::{Audit, Verdict};
use catharsis_core::clock::UnixMillis;
use catharsis_core::error::StoreError;
use catharsis_core::invalidation::Seq;
use catharsis_core::receipt::Reason;
use catharsis_core::topology::NodeId;
use rusqlite::{Connection, Row, Transaction, params};

use super::apply::{Done, PRUNE_STEP};
use super::schema::{area_code, damaged, io, signed, unsigned};

const fn verdict_code(verdict: Verdict) -> i64 {
    match verdict {
        Verdict::Younger => 0,
        Verdict::Older => 1,
        Verdict::NoCopy => 2,
        Verdict::Untold => 3,
    }
}

fn verdict_of(code: i64) -> Result<Verdict, StoreError> {
    let verdict = Verdict::ALL.into_iter().find(|verdict| verdict_code(*verdict) == code);
    verdict.ok_or_else(|| damaged("the verdict of an audit"))
}

pub(super) fn keep(tx: &Transaction<'_>, audit: &Audit) -> Done<()> {
    tx.prepare_cached(
        "INSERT INTO audit (area, seq, node, at, verdict, why) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
    )?
    .execute(params![
        area_code(audit.area),
        signed(audit.seq.0),
        audit.node.as_str(),
        signed(audit.at.0),
        verdict_code(audit.verdict),
        audit.why.as_str(),
    ])?;
    Ok(Ok(()))
}

/// In the order of time, then of positions.
pub(super) fn of(connection: &Connection, area: Area, first: Seq, last: Seq) -> Result<Vec<Audit>, StoreError> {
    let read = |row: &Row<'_>| {
        let numbers: (i64, i64, i64) = (row.get(0)?, row.get(2)?, row.get(3)?);
        Ok((numbers, row.get::<_, String>(1)?, row.get::<_, String>(4)?))
    };
    let rows = || -> rusqlite::Result<Vec<_>> {
        let mut statement = connection.prepare_cached(
            "SELECT seq, node, at, verdict, why FROM audit WHERE area = ?1 AND seq BETWEEN ?2 AND ?3
             ORDER BY at, seq, node",
        )?;
        statement.query_map([area_code(area), signed(first.0), signed(last.0)], read)?.collect()
    };
    let mut found = Vec::new();
    for ((seq, at, verdict), node, why) in rows().map_err(|error| io(&error))? {
        found.push(Audit {
            node: NodeId::parse(&node).ok_or_else(|| damaged("the name of a node"))?,
            area,
            seq: Seq(unsigned(seq)?),
            at: UnixMillis(unsigned(at)?),
            verdict: verdict_of(verdict)?,
            why: Reason::new(&why),
        });
    }
    Ok(found)
}

/// Deletes some of what is about positions that were pruned; returns how many.
pub(super) fn prune(tx: &Transaction<'_>, area: i64) -> rusqlite::Result<usize> {
    tx.execute(
        "DELETE FROM audit WHERE area = ?1 AND (seq, node, at) IN (
             SELECT seq, node, at FROM audit WHERE area = ?1
                 AND seq <= (SELECT seq FROM log_floor WHERE area = ?1) LIMIT ?2)",
        [area, PRUNE_STEP],
    )
}
