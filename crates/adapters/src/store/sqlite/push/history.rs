//! Pages of the history of prefetches.
//!
//! What this is: the filters of a [`PushQuery`], task by task, item by item. The fetches of an item are
//! counted only where its row or its status is asked for.

use catharsis_core::area::Area;
use catharsis_core::clock::UnixMillis;
use catharsis_core::error::StoreError;
use catharsis_core::push::FetchEnd;
use catharsis_core::push::ports::{PushPage, PushQuery, PushRow};
use catharsis_core::push::status::Tally;
use catharsis_core::receipt::Reason;
use catharsis_core::task::TaskId;
use rusqlite::{Connection, params};

use super::{COMPLETE, FAILED, INVALID, OPEN, task_id, without_node};
use crate::store::sqlite::schema::{area_code, areas_of, damaged, io, signed, unsigned};

/// Answers a query.
pub(in crate::store::sqlite) fn page(connection: &Connection, query: &PushQuery) -> Result<PushPage, StoreError> {
    let mut page = PushPage::default();
    let end = query.offset.saturating_add(u64::from(query.limit));
    for task in tasks(connection, query)? {
        if query.filter.keeps_all_items() {
            let items = count(connection, &task)?;
            if page.total >= end || page.total + items <= query.offset {
                page.total += items;
                continue;
            }
        }
        scan(connection, query, &task, &mut page)?;
    }
    Ok(page)
}

struct Task {
    row: i64,
    id: TaskId,
    accepted_at: UnixMillis,
}

fn tasks(connection: &Connection, query: &PushQuery) -> Result<Vec<Task>, StoreError> {
    let filter = &query.filter;
    let read = || -> rusqlite::Result<Vec<(i64, String, i64)>> {
        let mut statement = connection.prepare_cached(
            "SELECT row, task_id, accepted_at FROM push_task
             WHERE account = ?1 AND accepted_at BETWEEN ?2 AND ?3 AND (?4 IS NULL OR task_id = ?4)
             ORDER BY accepted_at DESC, row DESC",
        )?;
        let key = params![
            filter.account.0.cast_signed(),
            signed(filter.from.map_or(0, |from| from.0)),
            signed(filter.to.map_or(u64::MAX, |to| to.0)),
            filter.task.as_ref().map(TaskId::as_str),
        ];
        statement.query_map(key, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
    };
    let task = |(row, id, accepted_at): (i64, String, i64)| {
        Ok(Task { row, id: task_id(&id)?, accepted_at: UnixMillis(unsigned(accepted_at)?) })
    };
    read().map_err(|error| io(&error))?.into_iter().map(task).collect()
}

/// How many items a task has.
fn count(connection: &Connection, task: &Task) -> Result<u64, StoreError> {
    let counted = connection
        .prepare_cached("SELECT count(*) FROM push_item WHERE task = ?1")
        .and_then(|mut statement| statement.query_row([task.row], |row| row.get::<_, i64>(0)));
    unsigned(counted.map_err(|error| io(&error))?)
}

fn scan(connection: &Connection, query: &PushQuery, task: &Task, page: &mut PushPage) -> Result<(), StoreError> {
    let sql = "SELECT row, url, host, areas FROM push_item WHERE task = ?1 ORDER BY row";
    let mut statement = connection.prepare_cached(sql).map_err(|error| io(&error))?;
    let mut items = statement.query([task.row]).map_err(|error| io(&error))?;
    let end = query.offset.saturating_add(u64::from(query.limit));
    while let Some(item) = items.next().map_err(|error| io(&error))? {
        let read = || -> rusqlite::Result<(i64, Box<str>, String, i64)> {
            Ok((item.get(0)?, item.get(1)?, item.get(2)?, item.get(3)?))
        };
        let (row, url, host, areas) = read().map_err(|error| io(&error))?;
        let areas = areas_of(areas)?;
        if !query.filter.keeps_areas(areas) || !query.filter.keeps_url(&url, &host) {
            continue;
        }
        let on_page = (query.offset..end).contains(&page.total);
        if query.filter.status.is_none() && !on_page {
            page.total += 1;
            continue;
        }
        let fetches = Fetches::read(connection, row)?;
        let tally = Tally { without_node: without_node(areas, |area| fetches.served.contains(&area)), ..fetches.tally };
        let status = tally.status(task.accepted_at, &query.view);
        if query.filter.status.is_some_and(|wanted| wanted != status) {
            continue;
        }
        // Known only now: a status that is filtered by moves the page's borders.
        if (query.offset..end).contains(&page.total) {
            page.rows.push(PushRow {
                task: task.id.clone(),
                url,
                status,
                percent: tally.percent(),
                accepted_at: task.accepted_at,
                areas,
                updated_at: fetches.last,
                why: fetches.why,
            });
        }
        page.total += 1;
    }
    Ok(())
}

/// The fetches of an item, counted.
#[derive(Default)]
struct Fetches {
    tally: Tally,
    served: Vec<Area>,
    last: Option<UnixMillis>,
    why: Option<Box<str>>,
}

impl Fetches {
    fn read(connection: &Connection, item: i64) -> Result<Self, StoreError> {
        let sql = "SELECT node, area, state, status, bytes, why, at FROM push_fetch WHERE item = ?1 ORDER BY node";
        let mut statement = connection.prepare_cached(sql).map_err(|error| io(&error))?;
        let mut rows = statement.query([item]).map_err(|error| io(&error))?;
        let mut fetches = Self::default();
        while let Some(row) = rows.next().map_err(|error| io(&error))? {
            let read = || -> rusqlite::Result<_> {
                Ok(Raw {
                    node: row.get(0)?,
                    area: row.get(1)?,
                    state: row.get(2)?,
                    status: row.get(3)?,
                    bytes: row.get(4)?,
                    why: row.get(5)?,
                    at: row.get(6)?,
                })
            };
            fetches.add(&read().map_err(|error| io(&error))?)?;
        }
        Ok(fetches)
    }

    fn add(&mut self, raw: &Raw) -> Result<(), StoreError> {
        let area = Area::ALL.into_iter().find(|area| area_code(*area) == raw.area);
        self.served.push(area.ok_or_else(|| damaged("the area of a fetch"))?);
        let Some(end) = raw.end()? else {
            self.tally.open += 1;
            return Ok(());
        };
        self.tally.count(&end);
        let at = unsigned(raw.at.ok_or_else(|| damaged("the time of a fetch"))?)?;
        self.last = self.last.max(Some(UnixMillis(at)));
        if self.why.is_none() {
            self.why = end.reason().map(|why| format!("{}: {why}", raw.node).into());
        }
        Ok(())
    }
}

struct Raw {
    node: String,
    area: i64,
    state: i64,
    status: Option<u16>,
    bytes: i64,
    why: String,
    at: Option<i64>,
}

impl Raw {
    fn end(&self) -> Result<Option<FetchEnd>, StoreError> {
        let status = || self.status.ok_or_else(|| damaged("the status of a fetch"));
        Ok(match self.state {
            OPEN => None,
            COMPLETE => Some(FetchEnd::Complete { status: status()?, bytes: unsigned(self.bytes)? }),
            INVALID => Some(FetchEnd::Invalid { status: status()? }),
            FAILED => Some(FetchEnd::Failed { why: Reason::new(&self.why) }),
            _ => return Err(damaged("the state of a fetch")),
        })
    }
}
