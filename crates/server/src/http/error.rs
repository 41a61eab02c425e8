//! From the engine's errors to wire codes: one exhaustive mapping.
//!
//! What this is: the only place where a code is chosen for an engine error. What a caller can mend
//! is said in full; what only an operator can mend is logged in full and told as an internal error.

use tracing::error;

use catharsis_core::account::AccountState;
use catharsis_core::error::{PurgeError, StoreError};
use catharsis_core::target::InvalidUrl;
use catharsis_tcapi::code::{ErrorCode, WireError};

/// The wire's form of an engine error.
#[must_use]
pub(super) fn wire(error: &PurgeError) -> WireError {
    let code = match error {
        PurgeError::AccountState(state) => account_state(*state),
        PurgeError::Empty { .. } | PurgeError::AreaMismatch { .. } => ErrorCode::CdnParamError,
        PurgeError::TooMany { .. } => ErrorCode::CdnPurgeUrlExceedBatchLimit,
        PurgeError::InvalidUrl { why, .. } => invalid_url(*why),
        PurgeError::UnknownHost { .. } => ErrorCode::CdnHostNotExists,
        PurgeError::HostDenied { .. } => ErrorCode::CdnHostUnauthorized,
        PurgeError::HostOffline { .. } => ErrorCode::CdnHostIsNotOnline,
        PurgeError::HostHeld { .. } => ErrorCode::CdnHostInvalidStatus,
        PurgeError::QuotaExceeded(_) => ErrorCode::CdnPurgeUrlExceedDayLimit,
        PurgeError::TokenReused { .. } => ErrorCode::CdnParamError,
        PurgeError::Store(inner) => return store(inner),
    };
    WireError::new(code, format!("{error}."))
}

const fn account_state(state: AccountState) -> ErrorCode {
    match state {
        AccountState::NotActivated => ErrorCode::CdnUserNotExists,
        AccountState::AuthPending => ErrorCode::CdnUserAuthWait,
        AccountState::AuthFailed => ErrorCode::CdnUserAuthFail,
        AccountState::Suspended => ErrorCode::CdnUserIsSuspended,
        AccountState::Migrated => ErrorCode::EcdnMigratedCdn,
        // An account that may is refused nothing.
        AccountState::Active | AccountState::Isolated | AccountState::NotAllowed => ErrorCode::OpNoAuth,
    }
}

const fn invalid_url(why: InvalidUrl) -> ErrorCode {
    match why {
        InvalidUrl::Wildcard => ErrorCode::CdnPurgeWildcardNotAllowed,
        InvalidUrl::TooLong => ErrorCode::CdnUrlExceedLength,
        InvalidUrl::NoScheme
        | InvalidUrl::ControlCharacter { .. }
        | InvalidUrl::UserInfo
        | InvalidUrl::Fragment
        | InvalidUrl::Query
        | InvalidUrl::BadPort
        | InvalidUrl::BadHost => ErrorCode::CdnParamError,
    }
}

/// The wire's form of a store's failure; its text stays in the log.
#[must_use]
pub(super) fn store(error: &StoreError) -> WireError {
    error!(%error, "a call failed on the store");
    match error {
        StoreError::Busy => WireError::new(
            ErrorCode::CdnSystemError,
            "The server has more calls waiting than it can keep: nothing was accepted. Try again.",
        ),
        StoreError::Closed => {
            WireError::new(ErrorCode::CdnSystemError, "The server is stopping: nothing was accepted. Try again.")
        }
        StoreError::Io(_) | StoreError::Corrupt(_) => WireError::new(
            ErrorCode::CdnDbError,
            "The server could not use its store, and its log says why. It is not known whether the call was accepted: \
             ask DescribePurgeTasks, or call again; purging twice is harmless.",
        ),
    }
}
