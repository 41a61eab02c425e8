//! The two ports of the prefetch.
//!
//! What this is: where prefetches are kept, and how one URL is fetched through one node. The rules of
//! [`crate::ports`] hold here too: what is repeated changes nothing, and nothing is answered before it
//! is durable.

use std::sync::Arc;

use async_trait::async_trait;

use super::status::{PushStatus, PushView};
use super::{EndedFetch, How, OpenFetch, Playlist, PushPlan};
use crate::area::AreaSet;
use crate::clock::UnixMillis;
use crate::error::{StoreError, SubmitError};
use crate::history::{HostScope, Keyword};
use crate::receipt::Reason;
use crate::target::CacheUrl;
use crate::task::{AccountId, TaskId};
use crate::topology::NodeId;

/// Where prefetches are kept.
#[async_trait]
pub trait PushStore: Send + Sync {
    /// Keeps a plan: quota, claim, task, items and the fetches that are to be made, in one transaction,
    /// with the head of each area's log at that moment. Claims are those of
    /// [`Store::submit`](crate::ports::Store::submit): a token of one is a token of the other.
    ///
    /// # Errors
    /// As there.
    async fn submit_push(&self, plan: PushPlan) -> Result<TaskId, SubmitError>;

    /// A number that rises whenever there may be more to fetch: a task was accepted, a playlist was
    /// expanded, or a shield has ended an item that an edge waits for.
    fn push_version(&self) -> u64;

    /// Waits until the version is beyond `after`. Returns at once when it is already: a caller that took
    /// the version, looked, found nothing, and then waits cannot miss what came in between.
    async fn push_beyond(&self, after: u64);

    /// At most `max` fetches that the node has not ended and whose shield, if it has one, has ended them,
    /// leaving out those of some accounts; the oldest first.
    ///
    /// # Errors
    /// When the store fails.
    async fn open_fetches(
        &self,
        node: &NodeId,
        without: &[AccountId],
        max: usize,
    ) -> Result<Vec<OpenFetch>, StoreError>;

    /// Keeps how a fetch ended and appends what it found, in one transaction: URLs that the task already
    /// has are left out, then as many are taken, from the front, as the quota allows, and the rest is
    /// dropped. The nodes that fetch the item fetch what it names. A fetch that had ended before, or that
    /// is forgotten, changes nothing.
    ///
    /// # Errors
    /// When the store fails.
    async fn end_fetch(&self, ended: EndedFetch) -> Result<(), StoreError>;

    /// A page of an account's prefetches, newest task first, its items in the order submitted and then
    /// found.
    ///
    /// # Errors
    /// When the store fails.
    async fn pushes(&self, query: PushQuery) -> Result<PushPage, StoreError>;
}

/// Which items to show. Absent filters keep everything; all present ones must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushFilter {
    /// Whose tasks.
    pub account: AccountId,
    /// Items whose hosts the caller may see.
    pub hosts: HostScope,
    /// Items of this task only.
    pub task: Option<TaskId>,
    /// Accepted at or after this.
    pub from: Option<UnixMillis>,
    /// Accepted at or before this.
    pub to: Option<UnixMillis>,
    /// Items of this host, or this very URL.
    pub keyword: Option<Keyword>,
    /// Items fetched there: one area keeps items of both too, `Global` only those of both.
    pub areas: Option<AreaSet>,
    /// Items of this status now.
    pub status: Option<PushStatus>,
}

impl PushFilter {
    /// Everything of an account.
    #[must_use]
    pub const fn of(account: AccountId) -> Self {
        Self {
            account,
            hosts: HostScope::All,
            task: None,
            from: None,
            to: None,
            keyword: None,
            areas: None,
            status: None,
        }
    }

    /// Whether every item of a task is kept, if the task is.
    #[must_use]
    pub fn keeps_all_items(&self) -> bool {
        self.keyword.is_none() && self.areas.is_none() && self.status.is_none() && self.hosts == HostScope::All
    }

    /// Whether an item's areas are among those asked for.
    #[must_use]
    pub fn keeps_areas(&self, areas: AreaSet) -> bool {
        self.areas.is_none_or(|wanted| wanted.keeps(areas))
    }

    /// Whether an item's URL is among those asked for and may be seen.
    #[must_use]
    pub fn keeps_url(&self, url: &str, host: &str) -> bool {
        let wanted = self.keyword.as_ref().is_none_or(|keyword| match keyword {
            Keyword::Host(wanted) => wanted.as_str() == host,
            Keyword::Url(wanted) => **wanted == *url,
        });
        wanted && self.hosts.allows(host)
    }
}

/// A filter, a page of its result, and the view that statuses are derived from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushQuery {
    /// Which items.
    pub filter: PushFilter,
    /// Rows to pass over.
    pub offset: u64,
    /// Rows to return, at most [`crate::limits::HISTORY_PAGE_MAX`].
    pub limit: u32,
    /// What statuses are derived from.
    pub view: PushView,
}

/// One row of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushRow {
    /// The item's task.
    pub task: TaskId,
    /// The URL as submitted or found.
    pub url: Box<str>,
    /// Its status at the view's moment.
    pub status: PushStatus,
    /// Ended fetches of all expected, 0 to 100.
    pub percent: u8,
    /// When its task was accepted.
    pub accepted_at: UnixMillis,
    /// Where it is fetched.
    pub areas: AreaSet,
    /// When its last fetch ended; `None` before the first one did.
    pub updated_at: Option<UnixMillis>,
    /// Why it is not fetched everywhere: the first node, by name, that failed or was told that the
    /// origin does not have it.
    pub why: Option<Box<str>>,
}

/// A page of the history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushPage {
    /// The rows of the page.
    pub rows: Vec<PushRow>,
    /// How many rows the filter keeps in all.
    pub total: u64,
}

/// How URLs are fetched through one node.
#[async_trait]
pub trait Fetcher: Send + Sync {
    /// Fetches a URL as a client would and reads the answer to its end. Bounded in time. What is dropped
    /// before it ends is as if it had not been asked.
    async fn fetch(&self, fetch: &Fetch) -> Fetched;
}

/// What to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The URL.
    pub url: CacheUrl,
    /// With what fields.
    pub how: Arc<How>,
    /// Whether the URLs that a playlist names are wanted.
    pub playlist: Playlist,
}

/// What became of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// 2xx or 3xx, and the body is whole.
    Complete {
        /// The status.
        status: u16,
        /// Bytes of the body.
        bytes: u64,
        /// What it names, when it is a playlist and that was asked for: absolute URLs.
        links: Vec<Box<str>>,
    },
    /// 4xx or 5xx.
    Status(u16),
    /// No answer, not a whole one, or not in time.
    Failed(Reason),
    /// Cannot be tried at all, now or later.
    Impossible(Reason),
}
