//! Pages of the history.
//!
//! What this is: the filters of a [`HistoryQuery`], answered with as little unpacking as possible:
//! whole tasks are kept or passed over by their index row, then by their block's header, and only
//! what is left is unpacked. What this is not: the rule that derives a status; that is
//! [`StatusView::item`](catharsis_core::status::StatusView::item).
//!
//! Invariant: every short cut gives what unpacking would give (the conformance suite compares it
//! with the store in memory, which has none).

use std::collections::HashSet;

use catharsis_core::area::{Area, AreaSet, PerArea};
use catharsis_core::clock::UnixMillis;
use catharsis_core::error::StoreError;
use catharsis_core::history::{HistoryPage, HistoryQuery, HostScope, ItemRow, Keyword};
use catharsis_core::invalidation::Seq;
use catharsis_core::status::{ItemStatus, Refusals};
use catharsis_core::target::{CacheUrl, Encode, Mode};
use catharsis_core::task::{TaskId, TaskKind};
use rusqlite::{Connection, Row, params};

use super::reader::position;
use super::schema::{area_code, damaged, io, kind_of, signed, unsigned};
use crate::codec::block::{Block, HostShare, StoredItem};

/// A task as the history's index shows it.
#[derive(Clone, Copy, Debug)]
struct Summary {
    row: i64,
    accepted_at: UnixMillis,
    items: u64,
    spans: PerArea<Option<Span>>,
    kind: TaskKind,
    mode: Mode,
}

/// A row of the index, as it is read.
type RawSummary = (i64, i64, i64, [Option<i64>; 4], i64);

/// Where a task stands in the log of an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    first: Seq,
    last: Seq,
    count: u64,
}

impl Summary {
    fn read(row: &Row<'_>) -> rusqlite::Result<RawSummary> {
        let spans = [row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?];
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, spans, row.get(7)?))
    }

    fn of((row, accepted_at, items, spans, kind): RawSummary) -> Result<Self, StoreError> {
        let span = |first, count: Option<i64>| -> Result<Option<Span>, StoreError> {
            let Some(first) = position(first)? else {
                return Ok(None);
            };
            let count = unsigned(count.unwrap_or(0))?;
            Ok(Some(Span { first, last: Seq(first.0 + count.max(1) - 1), count }))
        };
        let (kind, mode) = kind_of(kind)?;
        Ok(Self {
            row,
            kind,
            mode,
            accepted_at: UnixMillis(unsigned(accepted_at)?),
            items: unsigned(items)?,
            spans: PerArea { mainland: span(spans[0], spans[1])?, overseas: span(spans[2], spans[3])? },
        })
    }

    /// The areas of all items, when they are alike.
    fn uniform(&self) -> Option<AreaSet> {
        let all = |area| {
            let span: Option<Span> = *self.spans.get(area);
            span.is_some_and(|span| span.count == self.items)
        };
        let none = |area| self.spans.get(area).is_none();
        match (all(Area::Mainland), all(Area::Overseas)) {
            (true, true) => Some(AreaSet::Global),
            (true, false) if none(Area::Overseas) => Some(AreaSet::One(Area::Mainland)),
            (false, true) if none(Area::Mainland) => Some(AreaSet::One(Area::Overseas)),
            _ => None,
        }
    }
}

/// Which items of a task a filter keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    None,
    All,
    /// Only unpacking tells.
    Some,
}

impl Share {
    /// What two filters together keep.
    const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::None, _) | (_, Self::None) => Self::None,
            (Self::All, Self::All) => Self::All,
            (Self::All | Self::Some, Self::All | Self::Some) => Self::Some,
        }
    }
}

impl From<HostShare> for Share {
    fn from(share: HostShare) -> Self {
        match share {
            HostShare::None => Self::None,
            HostShare::All => Self::All,
            HostShare::Some => Self::Some,
        }
    }
}

/// The keyword as the blocks are searched for it.
enum Wanted<'a> {
    Host(&'a str),
    Url {
        url: &'a str,
        /// `None` when it is no URL at all; then nothing was ever accepted under it.
        host: Option<String>,
    },
}

impl<'a> Wanted<'a> {
    fn of(keyword: &'a Keyword) -> Self {
        match keyword {
            Keyword::Host(host) => Wanted::Host(host.as_str()),
            Keyword::Url(url) => Wanted::Url {
                url,
                host: CacheUrl::parse(url, Encode::AsSubmitted).ok().map(|url| url.host().as_str().to_owned()),
            },
        }
    }

    fn share(&self, block: &Block<'_>) -> Share {
        match self {
            Self::Host(host) => Share::from(block.host_share(host)),
            Self::Url { host: None, .. } => Share::None,
            Self::Url { host: Some(host), .. } => match block.host_share(host) {
                HostShare::None => Share::None,
                HostShare::All | HostShare::Some => Share::Some,
            },
        }
    }

    fn keeps(&self, block: &Block<'_>, stored: &StoredItem) -> bool {
        match self {
            Self::Host(host) => block.has_host(stored, host),
            Self::Url { url, .. } => *stored.item.url == **url,
        }
    }
}

/// Answers a query.
pub(super) fn page(connection: &Connection, query: &HistoryQuery) -> Result<HistoryPage, StoreError> {
    let mut scan = Scan::new(connection, query)?;
    let from = signed(query.filter.from.map_or(0, |from| from.0));
    let to = signed(query.filter.to.map_or(u64::MAX, |to| to.0));
    let account = query.filter.account.0.cast_signed();
    // The same columns in both, so that one function reads them.
    let listing = "SELECT row, accepted_at, items, mainland_first, mainland_count, overseas_first, overseas_count,
                          kind
                   FROM task WHERE account = ?1 AND accepted_at BETWEEN ?2 AND ?3
                   ORDER BY accepted_at DESC, row DESC";
    let naming = "SELECT row, accepted_at, items, mainland_first, mainland_count, overseas_first, overseas_count,
                          kind
                  FROM task WHERE account = ?1 AND accepted_at BETWEEN ?2 AND ?3 AND task_id = ?4";
    let sql = if query.filter.task.is_some() { naming } else { listing };
    let mut statement = connection.prepare_cached(sql).map_err(|error| io(&error))?;
    let mut rows = match &query.filter.task {
        Some(id) => statement.query(params![account, from, to, id.as_str()]),
        None => statement.query(params![account, from, to]),
    }
    .map_err(|error| io(&error))?;
    while let Some(row) = rows.next().map_err(|error| io(&error))? {
        let raw = Summary::read(row).map_err(|error| io(&error))?;
        let summary = Summary::of(raw)?;
        if query.filter.kind.is_some_and(|wanted| wanted != summary.kind) {
            continue;
        }
        scan.task(&summary)?;
        if scan.only_counts() && query.filter.task.is_none() {
            return scan.finish_by_counting(account, from, to);
        }
    }
    Ok(scan.page)
}

struct Scan<'a> {
    connection: &'a Connection,
    query: &'a HistoryQuery,
    wanted: Option<Wanted<'a>>,
    /// The lowest and highest refused position of each area: most tasks lie outside.
    refused: PerArea<Option<(Seq, Seq)>>,
    page: HistoryPage,
}

impl<'a> Scan<'a> {
    fn new(connection: &'a Connection, query: &'a HistoryQuery) -> Result<Self, StoreError> {
        let mut refused = PerArea::default();
        for area in Area::ALL {
            *refused.get_mut(area) = refused_range(connection, area)?;
        }
        Ok(Self {
            connection,
            query,
            wanted: query.filter.keyword.as_ref().map(Wanted::of),
            refused,
            page: HistoryPage::default(),
        })
    }

    /// Whether the page is full and every further item counts.
    fn only_counts(&self) -> bool {
        let filter = &self.query.filter;
        let counted_by_index = filter.keyword.is_none()
            && filter.areas.is_none()
            && filter.status.is_none()
            && filter.kind.is_none()
            && filter.hosts == HostScope::All;
        counted_by_index && self.page.total >= self.end()
    }

    const fn end(&self) -> u64 {
        self.query.offset.saturating_add(self.query.limit as u64)
    }

    fn finish_by_counting(mut self, account: i64, from: i64, to: i64) -> Result<HistoryPage, StoreError> {
        let total = self
            .connection
            .prepare_cached(
                "SELECT coalesce(sum(items), 0) FROM task
                 WHERE account = ?1 AND accepted_at BETWEEN ?2 AND ?3",
            )
            .and_then(|mut statement| statement.query_row([account, from, to], |row| row.get::<_, i64>(0)))
            .map_err(|error| io(&error))?;
        self.page.total = unsigned(total)?;
        Ok(self.page)
    }

    /// Adds what the filter keeps of a task.
    fn task(&mut self, task: &Summary) -> Result<(), StoreError> {
        let by_area = self.by_area(task);
        if by_area == Share::None {
            return Ok(());
        }
        let whole = self.whole_status(task)?;
        let by_status = match (self.query.filter.status, whole) {
            (None, _) => Share::All,
            (Some(wanted), Some(status)) if wanted == status => Share::All,
            (Some(_), Some(_)) => return Ok(()),
            (Some(_), None) => Share::Some,
        };
        let on_page = self.page.total < self.end() && self.page.total.saturating_add(task.items) > self.query.offset;
        let settled = by_area == Share::All && by_status == Share::All;
        let hosts = &self.query.filter.hosts;
        if settled && self.wanted.is_none() && *hosts == HostScope::All && !on_page {
            self.page.total += task.items;
            return Ok(());
        }
        let (id, bytes) = self.block(task.row)?;
        let block = Block::parse(&bytes)?;
        let by_keyword = self.wanted.as_ref().map_or(Share::All, |wanted| wanted.share(&block));
        let by_host = match hosts {
            HostScope::All => Share::All,
            HostScope::Some(table) => Share::from(block.hosts_share(|host| table.allows(host))),
        };
        match by_keyword.and(by_host) {
            Share::None => Ok(()),
            Share::All if settled && !on_page => {
                self.page.total += task.items;
                Ok(())
            }
            Share::All | Share::Some => self.items(task, &id, &block, whole),
        }
    }

    fn by_area(&self, task: &Summary) -> Share {
        let Some(wanted) = self.query.filter.areas else {
            return Share::All;
        };
        match task.uniform() {
            Some(areas) if wanted.keeps(areas) => Share::All,
            Some(_) => Share::None,
            None => Share::Some,
        }
    }

    /// The status of all items, when they are alike and that can be told without unpacking.
    fn whole_status(&self, task: &Summary) -> Result<Option<ItemStatus>, StoreError> {
        let spans = || Area::ALL.into_iter().filter_map(|area| Some((area, (*task.spans.get(area))?)));
        for (area, span) in spans() {
            if self.any_refused(area, span)? {
                return Ok(None);
            }
        }
        let view = &self.query.view;
        // If even the last positions give `Done`, all do. If the first ones do not, and every item
        // is in every area of the task, none is done; then they differ in nothing.
        let last = view.item(spans().map(|(area, span)| (area, span.last)), task.accepted_at, Refusals::None);
        if last == ItemStatus::Done {
            return Ok(Some(last));
        }
        let first = view.item(spans().map(|(area, span)| (area, span.first)), task.accepted_at, Refusals::None);
        let alike = first != ItemStatus::Done && task.uniform().is_some();
        Ok(alike.then_some(first))
    }

    fn any_refused(&self, area: Area, span: Span) -> Result<bool, StoreError> {
        match self.refused.get(area) {
            Some((low, high)) if span.first <= *high && span.last >= *low => self
                .connection
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM refusal WHERE area = ?1 AND seq BETWEEN ?2 AND ?3)")
                .and_then(|mut statement| {
                    let key = [area_code(area), signed(span.first.0), signed(span.last.0)];
                    statement.query_row(key, |row| row.get(0))
                })
                .map_err(|error| io(&error)),
            _ => Ok(false),
        }
    }

    fn refused_positions(&self, task: &Summary) -> Result<HashSet<(Area, Seq)>, StoreError> {
        let mut refused = HashSet::new();
        for area in Area::ALL {
            let Some(span) = *task.spans.get(area) else {
                continue;
            };
            if !self.any_refused(area, span)? {
                continue;
            }
            let read = || -> rusqlite::Result<Vec<i64>> {
                let mut statement = self
                    .connection
                    .prepare_cached("SELECT DISTINCT seq FROM refusal WHERE area = ?1 AND seq BETWEEN ?2 AND ?3")?;
                let key = [area_code(area), signed(span.first.0), signed(span.last.0)];
                statement.query_map(key, |row| row.get(0))?.collect()
            };
            for seq in read().map_err(|error| io(&error))? {
                refused.insert((area, Seq(unsigned(seq)?)));
            }
        }
        Ok(refused)
    }

    /// Unpacks a task and adds the items that every filter keeps.
    fn items(
        &mut self,
        task: &Summary,
        id: &TaskId,
        block: &Block<'_>,
        whole: Option<ItemStatus>,
    ) -> Result<(), StoreError> {
        let refused = match whole {
            Some(_) => HashSet::new(),
            None => self.refused_positions(task)?,
        };
        let mut next = PerArea::from_fn(|area| {
            let span: Option<Span> = *task.spans.get(area);
            span.map_or(Seq::ZERO, |span| span.first)
        });
        let filter = &self.query.filter;
        for stored in block.unpack()? {
            let positions = PerArea::from_fn(|area| {
                stored.item.areas.contains(area).then(|| {
                    let seq = *next.get(area);
                    *next.get_mut(area) = seq.plus(1);
                    seq
                })
            });
            let fits = filter.areas.is_none_or(|wanted| wanted.keeps(stored.item.areas))
                && self.wanted.as_ref().is_none_or(|wanted| wanted.keeps(block, &stored))
                && match &filter.hosts {
                    HostScope::All => true,
                    HostScope::Some(table) => block.host_allowed(&stored, |host| table.allows(host)),
                };
            if !fits {
                continue;
            }
            let status = whole.unwrap_or_else(|| self.status(&positions, task.accepted_at, &refused));
            if filter.status.is_some_and(|wanted| wanted != status) {
                continue;
            }
            let rank = self.page.total;
            self.page.total += 1;
            if (self.query.offset..self.end()).contains(&rank) {
                self.page.rows.push(ItemRow {
                    task: id.clone(),
                    kind: task.kind,
                    mode: task.mode,
                    url: stored.item.url,
                    status,
                    accepted_at: task.accepted_at,
                });
            }
        }
        Ok(())
    }

    fn status(
        &self,
        positions: &PerArea<Option<Seq>>,
        accepted_at: UnixMillis,
        refused: &HashSet<(Area, Seq)>,
    ) -> ItemStatus {
        let there = || Area::ALL.into_iter().filter_map(|area| Some((area, (*positions.get(area))?)));
        let refusals = if there().any(|place| refused.contains(&place)) { Refusals::Some } else { Refusals::None };
        self.query.view.item(there(), accepted_at, refusals)
    }

    fn block(&self, row: i64) -> Result<(TaskId, Vec<u8>), StoreError> {
        let (id, block) = self
            .connection
            .prepare_cached("SELECT task_id, block FROM task WHERE row = ?1")
            .and_then(|mut statement| {
                statement.query_row([row], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?)))
            })
            .map_err(|error| io(&error))?;
        let id = TaskId::parse(&id).ok_or_else(|| damaged("the id of a task"))?;
        Ok((id, block))
    }
}

fn refused_range(connection: &Connection, area: Area) -> Result<Option<(Seq, Seq)>, StoreError> {
    let (low, high) = connection
        // Two look-ups at the ends of the key, not a scan: hence two subqueries.
        .prepare_cached(
            "SELECT (SELECT min(seq) FROM refusal WHERE area = ?1),
                    (SELECT max(seq) FROM refusal WHERE area = ?1)",
        )
        .and_then(|mut statement| {
            statement.query_row([area_code(area)], |row| Ok((row.get(0)?, row.get(1)?)))
        })
        .map_err(|error| io(&error))?;
    Ok(position(low)?.zip(position(high)?))
}
