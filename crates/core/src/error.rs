//! What can go wrong, in the engine's words.
//!
//! What this is: the errors of the service and of its ports. What this is not: wire codes; the door
//! maps each of these to one.

use crate::area::{Area, AreaSet};
use crate::quota::QuotaExceeded;
use crate::target::{HostName, InvalidUrl};

/// Why a call was not carried out. Positions count from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PurgeError {
    /// The account has no purge service.
    #[error("the service is not activated for this account")]
    NotActivated,
    /// An empty list.
    #[error("the list of URLs is empty")]
    NoUrls,
    /// More URLs than one call may hold.
    #[error("{count} URLs in one call, the limit is {limit}: split the list")]
    TooManyUrls {
        /// URLs submitted.
        count: usize,
        /// URLs allowed.
        limit: u32,
    },
    /// A text that is not a URL that can be purged.
    #[error("Urls.{index}: {why}")]
    InvalidUrl {
        /// Position in the list.
        index: usize,
        /// What is wrong with it.
        why: InvalidUrl,
    },
    /// A host that is no domain of the caller's.
    #[error("Urls.{index}: the host {host} is not a domain of this account")]
    UnknownHost {
        /// Position in the list.
        index: usize,
        /// The host.
        host: HostName,
    },
    /// A domain that its owner has stopped.
    #[error("Urls.{index}: the domain of {host} is offline: start it first")]
    HostOffline {
        /// Position in the list.
        index: usize,
        /// The host.
        host: HostName,
    },
    /// An area in which the domain is not served.
    #[error("Urls.{index}: {host} is served in {}, not in {area}", served.as_str())]
    AreaMismatch {
        /// Position in the list.
        index: usize,
        /// The host.
        host: HostName,
        /// The area of the call.
        area: Area,
        /// The areas of the domain.
        served: AreaSet,
    },
    /// More URLs than are left today.
    #[error(transparent)]
    QuotaExceeded(#[from] QuotaExceeded),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a plan was not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// It needs more than is left today; nothing was charged.
    #[error(transparent)]
    QuotaExceeded(#[from] QuotaExceeded),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<SubmitError> for PurgeError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::QuotaExceeded(inner) => Self::QuotaExceeded(inner),
            SubmitError::Store(inner) => Self::Store(inner),
        }
    }
}

/// Why the store did not do its work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// More work is waiting than the store's queue holds.
    #[error("the store's queue is full")]
    Busy,
    /// It is shutting down.
    #[error("the store is closed")]
    Closed,
    /// Reading or writing failed (disk full, permission, locked by another process).
    #[error("the store failed: {0}")]
    Io(String),
    /// What is stored cannot be understood.
    #[error("the store holds what it should not: {0}")]
    Corrupt(String),
}

impl StoreError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn retryable(&self) -> bool {
        match self {
            Self::Busy | Self::Io(_) => true,
            Self::Closed | Self::Corrupt(_) => false,
        }
    }
}

/// Why the log could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The store below it failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The positions asked for are older than what is kept.
    #[error("the log no longer holds what follows {after}")]
    Truncated {
        /// The cursor from which was read.
        after: crate::invalidation::Seq,
    },
}

impl LogError {
    /// Whether the same read may succeed later.
    #[must_use]
    pub const fn retryable(&self) -> bool {
        match self {
            Self::Store(inner) => inner.retryable(),
            Self::Truncated { .. } => false,
        }
    }
}
