//! Questions about past tasks, and their answers.
//!
//! What this is: the filter and page of `DescribePurgeTasks` in the engine's words, and the record
//! of one task from which receipts are told.

use std::sync::Arc;

use crate::area::{Area, AreaSet, PerArea};
use crate::clock::UnixMillis;
use crate::domain::{DomainMap, DomainName};
use crate::invalidation::Seq;
use crate::status::{ItemStatus, StatusView};
use crate::target::{HostName, Mode};
use crate::task::{AccountId, Task, TaskId, TaskKind};

/// Which items to show. Absent filters keep everything; all present ones must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryFilter {
    /// Whose tasks.
    pub account: AccountId,
    /// Items whose hosts the caller may see.
    pub hosts: HostScope,
    /// Items of this task only.
    pub task: Option<TaskId>,
    /// Items of this kind only.
    pub kind: Option<TaskKind>,
    /// Accepted at or after this.
    pub from: Option<UnixMillis>,
    /// Accepted at or before this.
    pub to: Option<UnixMillis>,
    /// Items of this host, or this very URL.
    pub keyword: Option<Keyword>,
    /// Items purged there: one area keeps items of both too, `Global` only those of both.
    pub areas: Option<AreaSet>,
    /// Items of this status now.
    pub status: Option<ItemStatus>,
}

/// Whose items a caller may see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostScope {
    /// All of the account.
    #[default]
    All,
    /// Those of some domains.
    Some(Arc<HostTable>),
}

impl HostScope {
    /// Whether items of a host may be seen.
    #[must_use]
    pub fn allows(&self, host: &str) -> bool {
        match self {
            Self::All => true,
            Self::Some(table) => table.allows(host),
        }
    }
}

/// Domains of an account, and which of them may be seen. The most specific one decides about a host;
/// a host of none is not shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostTable(DomainMap<bool>);

impl HostTable {
    /// A table of domains, each with the answer of `may_see`.
    pub fn new<'a>(
        domains: impl IntoIterator<Item = &'a DomainName>,
        mut may_see: impl FnMut(&DomainName) -> bool,
    ) -> Self {
        let mut table = Self::default();
        for name in domains {
            table.0.insert(name, may_see(name));
        }
        table
    }

    /// Whether items of a host may be seen.
    #[must_use]
    pub fn allows(&self, host: &str) -> bool {
        HostName::parse(host).is_ok_and(|host| self.0.of(host.as_str()).copied().unwrap_or(false))
    }
}

/// What the contract's `Keyword` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keyword {
    /// A domain.
    Host(HostName),
    /// A full URL, letter by letter as submitted.
    Url(Box<str>),
}

/// A filter, a page of its result, and the view that statuses are derived from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Which items.
    pub filter: HistoryFilter,
    /// Rows to pass over; newest tasks come first, their items in the order submitted.
    pub offset: u64,
    /// Rows to return, at most [`crate::limits::HISTORY_PAGE_MAX`].
    pub limit: u32,
    /// What statuses are derived from.
    pub view: StatusView,
}

/// One row of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemRow {
    /// The item's task.
    pub task: TaskId,
    /// What it is.
    pub kind: TaskKind,
    /// How its copies are forgotten.
    pub mode: Mode,
    /// The URL as submitted.
    pub url: Box<str>,
    /// Its status at the view's moment.
    pub status: ItemStatus,
    /// When its task was accepted.
    pub accepted_at: UnixMillis,
}

/// A page of the history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryPage {
    /// The rows of the page.
    pub rows: Vec<ItemRow>,
    /// How many rows the filter keeps in all.
    pub total: u64,
}

/// A stored task and where its items stand in the logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRecord {
    /// The task.
    pub task: Task,
    /// The position of its first item in each area's log; absent where it has none. Its items of
    /// an area follow each other without a gap, in the order submitted.
    pub first: PerArea<Option<Seq>>,
}

impl TaskRecord {
    /// The items that are purged in an area, with their positions in its log.
    pub fn positions(&self, area: Area) -> impl Iterator<Item = (Seq, usize)> + '_ {
        let first = *self.first.get(area);
        let members = self.task.items.iter().enumerate().filter(move |(_, item)| item.areas.contains(area));
        first.into_iter().flat_map(move |first| {
            members.clone().zip(0u64..).map(move |((index, _), place)| (first.plus(place), index))
        })
    }
}
