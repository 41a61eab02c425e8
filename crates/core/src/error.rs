//! What can go wrong, in the engine's words.
//!
//! What this is: the errors of the service and of its ports. What this is not: wire codes; the door
//! maps each of these to one.

use crate::account::AccountState;
use crate::area::AreaSet;
use crate::domain::DomainStatus;
use crate::quota::{QuotaExceeded, QuotaKind};
use crate::target::{HostName, InvalidUrl};
use crate::task::TaskId;

/// An item of a call, as its author finds it: `Urls.3`, `Paths.0`. Positions count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which list.
    pub kind: QuotaKind,
    /// Position in the list.
    pub index: usize,
}

impl Place {
    /// The name of a call's list.
    #[must_use]
    pub const fn list(kind: QuotaKind) -> &'static str {
        match kind {
            QuotaKind::Url | QuotaKind::Push => "Urls",
            QuotaKind::Path => "Paths",
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", Self::list(self.kind), self.index)
    }
}

/// Why a call was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PurgeError {
    /// The account is not in a state that allows it.
    #[error("the state of this account is `{}`: ask whoever runs this service", .0.as_str())]
    AccountState(AccountState),
    /// An empty list.
    #[error("{}: the list is empty", Place::list(*kind))]
    Empty {
        /// Which list.
        kind: QuotaKind,
    },
    /// More items than one call may hold.
    #[error("{}: {count} in one call, the limit is {limit}: split the list", Place::list(*kind))]
    TooMany {
        /// Which list.
        kind: QuotaKind,
        /// Items submitted.
        count: usize,
        /// Items allowed.
        limit: u32,
    },
    /// A text that is nothing that can be purged.
    #[error("{place}: {why}")]
    InvalidUrl {
        /// Which item.
        place: Place,
        /// What is wrong with it.
        why: InvalidUrl,
    },
    /// A host that is no domain of the caller's.
    #[error("{place}: the host {host} is not a domain of this account")]
    UnknownHost {
        /// Which item.
        place: Place,
        /// The host.
        host: HostName,
    },
    /// A domain of the account that the caller's policies do not permit.
    #[error("{place}: the policies of this user do not permit the action on the domain of {host}")]
    HostDenied {
        /// Which item.
        place: Place,
        /// The host.
        host: HostName,
    },
    /// A domain that its owner has stopped.
    #[error("{place}: the domain of {host} is offline: start it first")]
    HostOffline {
        /// Which item.
        place: Place,
        /// The host.
        host: HostName,
    },
    /// A domain whose status allows no purge.
    #[error("{place}: the domain of {host} is {}, which allows no purge", status.as_str())]
    HostHeld {
        /// Which item.
        place: Place,
        /// The host.
        host: HostName,
        /// Its status.
        status: DomainStatus,
    },
    /// An area in which the domain is not served.
    #[error("{place}: {host} is served in {}, not in {}", served.as_str(), area.as_str())]
    AreaMismatch {
        /// Which item.
        place: Place,
        /// The host.
        host: HostName,
        /// The areas of the call.
        area: AreaSet,
        /// The areas of the domain.
        served: AreaSet,
    },
    /// More items than are left today.
    #[error(transparent)]
    QuotaExceeded(#[from] QuotaExceeded),
    /// A `ClientToken` that another call has used within the last day.
    #[error("ClientToken: it was used for another call (task {task}) within the last 24 hours: take a new one")]
    TokenReused {
        /// The other call's task.
        task: TaskId,
    },
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
    /// Its `ClientToken` was used for another content, by the task named.
    #[error("the token was used for task {0}")]
    TokenReused(TaskId),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<SubmitError> for PurgeError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::QuotaExceeded(inner) => Self::QuotaExceeded(inner),
            SubmitError::TokenReused(task) => Self::TokenReused { task },
            SubmitError::Store(inner) => Self::Store(inner),
        }
    }
}

/// Why changes of records were not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Somebody else changed something meanwhile: look again and decide again.
    #[error("the records have changed meanwhile")]
    Outdated,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
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
