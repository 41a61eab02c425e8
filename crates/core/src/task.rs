//! Tasks and their items.
//!
//! What this is: one accepted call ([`Task`]) with its items, each a row of the history.
//! What this is not: a running thing (tokio's tasks are called workers here) nor a holder of
//! status: see [`crate::status`].

use std::fmt;
use std::sync::Arc;

use crate::area::AreaSet;
use crate::clock::UnixMillis;
use crate::limits::TASK_ID_BYTES_MAX;
use crate::quota::QuotaKind;
use crate::target::{CachePrefix, CacheUrl, Encode, InvalidUrl, Mode, Target};

/// A root account, by its number (`uin` of the contract).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub u64);

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name under which a task is known to its caller: `<unix seconds>-<12 random characters>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TaskId(Arc<str>);

impl TaskId {
    /// Makes the id of a task accepted at `now`; 60 bits of `random` are used, so that two tasks of
    /// one second do not meet (and if they did, the store would refuse the second).
    #[must_use]
    pub fn new(now: UnixMillis, random: u64) -> Self {
        const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let suffix: String =
            (0..12).map(|place| char::from(ALPHABET[((random >> (place * 5)) & 31) as usize])).collect();
        Self(format!("{}-{suffix}", now.seconds()).into())
    }

    /// Takes an id that a caller names; `None` when no task can have such an id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=TASK_ID_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        fits.then(|| Self(text.into()))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the items of a task are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskKind {
    /// Each item is one URL (`PurgeUrlsCache`).
    Url,
    /// Each item is one directory with all that is below it (`PurgePathCache`).
    Path,
}

impl TaskKind {
    /// Whose quota its items draw on.
    #[must_use]
    pub const fn quota(self) -> QuotaKind {
        match self {
            Self::Url => QuotaKind::Url,
            Self::Path => QuotaKind::Path,
        }
    }
}

/// One accepted call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// The account that asked.
    pub account: AccountId,
    /// What its items are.
    pub kind: TaskKind,
    /// Whether copies are deleted or marked stale.
    pub mode: Mode,
    /// How its URLs are spelled for the caches.
    pub encode: Encode,
    /// When it was accepted. A copy fetched before this must not be served once the task is done.
    pub accepted_at: UnixMillis,
    /// Its items, in the order submitted.
    pub items: Vec<Item>,
}

impl TaskKind {
    /// What an item of this kind names.
    ///
    /// # Errors
    /// When its text is nothing that can be purged.
    pub fn target(self, text: &str, encode: Encode) -> Result<Target, InvalidUrl> {
        match self {
            Self::Url => CacheUrl::parse(text, encode).map(Target::Url),
            Self::Path => CachePrefix::parse(text, encode).map(Target::Prefix),
        }
    }
}

/// One URL or directory of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The URL, letter by letter as submitted.
    pub url: Box<str>,
    /// Where it is purged.
    pub areas: AreaSet,
}
