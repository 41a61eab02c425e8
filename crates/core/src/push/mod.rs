//! Prefetch: URLs that the caches fetch before a client asks for them.
//!
//! What this is: the nouns of a prefetch (a task, its items, the fetch of one item through one node),
//! the plan ([`plan`]), what is decided about an answer and what an item's status is derived from
//! ([`status`]), the ports that it needs of the world ([`ports`]), the workers ([`worker`]) and the
//! front ([`service`]).
//!
//! What this is not: part of the log. A prefetch orders nothing to be forgotten and moves no cursor; it
//! only waits for cursors, so that no purge that was accepted before it removes what it brings.

pub mod field;
pub mod plan;
pub mod ports;
pub mod service;
pub mod status;
pub mod worker;

use std::sync::Arc;

use crate::area::{Area, AreaSet, PerArea};
use crate::clock::UnixMillis;
use crate::domain::DomainName;
use crate::invalidation::Seq;
use crate::plan::{Claim, Permits, Scope, Toll};
use crate::quota::QuotaDay;
use crate::receipt::Reason;
use crate::target::Encode;
use crate::task::{AccountId, TaskId};
use crate::topology::NodeId;

pub use self::field::{InvalidField, PushField, PushFields, UserAgent};

/// Which nodes of an area fetch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Layer {
    /// The shields, and then the edges behind them.
    #[default]
    All,
    /// The shields only (`middle` of the contract); in an area without one, its edges.
    Shields,
}

/// What is done about a fetched playlist (`ParseM3U8` of the contract).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Playlist {
    /// Nothing: it is a file like others.
    #[default]
    AsIs,
    /// What it names is fetched too.
    Expand,
}

/// A call to prefetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushUrls {
    /// The URLs, as submitted.
    pub urls: Vec<Box<str>>,
    /// Where they are fetched.
    pub areas: AreaSet,
    /// Which nodes fetch them.
    pub layer: Layer,
    /// The `User-Agent` of the fetches.
    pub user_agent: UserAgent,
    /// Further fields of the fetches.
    pub fields: PushFields,
    /// What is done about playlists.
    pub playlist: Playlist,
    /// How the URLs are spelled for the caches.
    pub encode: Encode,
    /// Makes a repeated call the same call.
    pub claim: Option<Claim>,
}

/// To which domains playlists of a task may lead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Links {
    /// To all of the account.
    #[default]
    Account,
    /// To those that the user's policies permitted when the call was made: what is fetched later must
    /// not reach further than the call could.
    Among(Arc<[DomainName]>),
}

impl Links {
    /// The scope that this is.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self {
            Self::Account => Scope::Account,
            Self::Among(domains) => Scope::Policies(Arc::new(Among(Arc::clone(domains)))),
        }
    }
}

struct Among(Arc<[DomainName]>);

impl Permits for Among {
    fn permits(&self, domain: &DomainName) -> bool {
        self.0.contains(domain)
    }
}

/// One accepted call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushTask {
    /// Its id.
    pub id: TaskId,
    /// The account that asked.
    pub account: AccountId,
    /// When it was accepted.
    pub accepted_at: UnixMillis,
    /// How its URLs are fetched.
    pub how: Arc<How>,
    /// Its items, in the order submitted; what playlists name is appended later.
    pub items: Vec<PushItem>,
}

/// How the URLs of a task are fetched: the same for all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct How {
    /// How they are spelled for the caches.
    pub encode: Encode,
    /// The `User-Agent`.
    pub user_agent: UserAgent,
    /// Further fields.
    pub fields: PushFields,
    /// What is done about playlists.
    pub playlist: Playlist,
    /// To which domains they may lead.
    pub links: Links,
}

/// One URL of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushItem {
    /// The URL, letter by letter as submitted or found.
    pub url: Box<str>,
    /// Where it is fetched.
    pub areas: AreaSet,
    /// 0 when it was submitted, else one more than the playlist's that names it.
    pub level: u8,
}

/// A node that is to fetch the items of an area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The node.
    pub node: NodeId,
    /// The shield that must have ended an item before this node begins it, so that it finds it there.
    pub shield: Option<NodeId>,
}

/// A task that may be accepted, and what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushPlan {
    /// The task.
    pub task: PushTask,
    /// The nodes of each area that fetch, shields first; none where the area has no node.
    pub expected: PerArea<Vec<Expected>>,
    /// What it costs.
    pub toll: Toll,
    /// Makes a repeated call the same call.
    pub claim: Option<Claim>,
}

impl PushPlan {
    /// The nodes that are to fetch an item, each with its area.
    pub fn expected_of(&self, item: &PushItem) -> impl Iterator<Item = (Area, &Expected)> {
        item.areas.iter().flat_map(|area| self.expected.get(area).iter().map(move |expected| (area, expected)))
    }
}

/// An item in the store: its place in the order in which items were accepted or found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PushItemId(pub u64);

/// A fetch that a node has not ended yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenFetch {
    /// The item.
    pub item: PushItemId,
    /// Its task.
    pub task: TaskId,
    /// Whose task it is.
    pub account: AccountId,
    /// When the task was accepted.
    pub accepted_at: UnixMillis,
    /// The newest position of the node's log when the task was accepted: purges up to there must be
    /// settled first, or their repetitions would remove what is fetched.
    pub head: Seq,
    /// How it is fetched.
    pub how: Arc<How>,
    /// The URL.
    pub url: Box<str>,
    /// Where the item is fetched.
    pub areas: AreaSet,
    /// See [`PushItem::level`].
    pub level: u8,
}

/// How one fetch ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchEnd {
    /// The node answered 2xx or 3xx, whole.
    Complete {
        /// The status.
        status: u16,
        /// Bytes of the body.
        bytes: u64,
    },
    /// The origin does not have it: the node answered 4xx or 5xx.
    Invalid {
        /// The status.
        status: u16,
    },
    /// The node did not answer, not whole or not in time.
    Failed {
        /// Why, for people.
        why: Reason,
    },
}

impl FetchEnd {
    /// Why the item is not at the node; `None` when it is.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Complete { .. } => None,
            Self::Invalid { status } => Some(format!("the origin answered {status}")),
            Self::Failed { why } => Some(why.as_str().to_owned()),
        }
    }
}

/// A fetch that ended, and what it found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedFetch {
    /// The item.
    pub item: PushItemId,
    /// The node.
    pub node: NodeId,
    /// How it ended.
    pub end: FetchEnd,
    /// Attempts made.
    pub attempts: u32,
    /// When.
    pub at: UnixMillis,
    /// What its playlist names; `None` when nothing of it may be fetched.
    pub found: Option<Found>,
}

/// URLs that a playlist names, and the quota that they draw on: each takes a unit in each of the areas of
/// the item that led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The URLs, in the playlist's order, none twice.
    pub urls: Vec<Box<str>>,
    /// The day whose quota they draw on.
    pub day: QuotaDay,
    /// The account's quota of that day in each area.
    pub quota: PerArea<u32>,
}
