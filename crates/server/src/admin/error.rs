//! How the admin API refuses: one exhaustive mapping from the registry's errors.
//!
//! What a caller can mend is said in full; what only the machine's owner can mend is for the log, and
//! the caller is told that it is there.

use axum::response::{IntoResponse, Response};
use catharsis_core::error::StoreError;
use catharsis_registry::RegistryError;
use catharsis_tcapi::envelope::RequestId;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

/// Why a request is refused, by its name in `Error.Code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) enum Code {
    /// The request is not of the described form.
    InvalidRequest,
    /// The operator's credential is missing or wrong.
    Unauthorized,
    /// There is no such thing.
    NotFound,
    /// There is no such method on this path.
    MethodNotAllowed,
    /// The body did not arrive whole and in time.
    RequestTimeout,
    /// There is one already.
    AlreadyExists,
    /// It belongs to another account, or meets what does.
    OwnedByOther,
    /// There would be too many.
    LimitExceeded,
    /// It does not fit the present state.
    WrongState,
    /// The body is too large.
    RequestTooLarge,
    /// A value breaks a rule.
    InvalidParameter,
    /// The server's own fault; its log says more.
    InternalError,
    /// Try again.
    Unavailable,
}

impl Code {
    const fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::AlreadyExists | Self::OwnedByOther | Self::LimitExceeded | Self::WrongState => StatusCode::CONFLICT,
            Self::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::InvalidParameter => StatusCode::UNPROCESSABLE_ENTITY,
            Self::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// A refusal. The door gives it its body, since only the door knows the request's id.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) message: String,
    /// For the log only.
    pub(super) internal: Option<String>,
}

/// The body of a refusal.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Failure {
    error: Told,
}

/// What is wrong.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct Told {
    code: Code,
    /// For people.
    message: String,
    /// Under which the server's log tells of this request.
    request_id: String,
}

impl Refusal {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), internal: None }
    }

    pub(super) fn invalid(field: &str, why: impl std::fmt::Display) -> Self {
        Self::new(Code::InvalidParameter, format!("{field}: {why}"))
    }

    pub(super) fn not_found(kind: &'static str, id: &dyn std::fmt::Display) -> Self {
        RegistryError::NotFound { kind, id: id.to_string() }.into()
    }

    fn internal(code: Code, message: &str, internal: &dyn std::fmt::Display) -> Self {
        Self { code, message: message.to_owned(), internal: Some(internal.to_string()) }
    }

    /// The body of the answer.
    pub(super) fn body(&self, id: RequestId) -> Failure {
        Failure { error: Told { code: self.code, message: self.message.clone(), request_id: id.to_string() } }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<RegistryError> for Refusal {
    fn from(error: RegistryError) -> Self {
        const BROKEN: &str = "The server cannot use its records or its key file, and its log says why.";
        let code = match &error {
            RegistryError::NotFound { .. } => Code::NotFound,
            RegistryError::Exists { .. } => Code::AlreadyExists,
            RegistryError::OwnedByOther { .. } | RegistryError::Conflict { .. } => Code::OwnedByOther,
            RegistryError::TooMany { .. } => Code::LimitExceeded,
            RegistryError::Invalid { .. } => Code::InvalidParameter,
            RegistryError::State(_) => Code::WrongState,
            RegistryError::Contended => Code::Unavailable,
            RegistryError::Damaged { .. } | RegistryError::Vault(_) => {
                return Self::internal(Code::InternalError, BROKEN, &error);
            }
            RegistryError::Store(error) => return store(error),
        };
        Self::new(code, error.to_string())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        store(&error)
    }
}

fn store(error: &StoreError) -> Refusal {
    let message = match error {
        StoreError::Busy => "The server has more work waiting than it can keep: nothing was changed. Try again.",
        StoreError::Closed => "The server is stopping: nothing was changed. Try again.",
        StoreError::Io(_) | StoreError::Corrupt(_) => {
            "The server could not use its store, and its log says why. It is not known whether a change was kept: look \
             before you try again."
        }
    };
    Refusal::internal(Code::Unavailable, message, error)
}

#[cfg(test)]
mod tests {
    use catharsis_registry::error::StateProblem;

    use super::*;

    #[test]
    fn internals_are_for_the_log_only() {
        let damaged = || RegistryError::Damaged { kind: "key".into(), id: "AKID".into(), why: "hunter2".into() };
        for error in [damaged(), RegistryError::Store(StoreError::Io("hunter2".into()))] {
            let refusal = Refusal::from(error);
            let told = serde_json::to_string(&refusal.body(RequestId::random())).expect("plain data");
            assert!(!told.contains("hunter2"), "{told}");
            assert!(refusal.internal.is_some_and(|text| text.contains("hunter2")));
        }
    }

    #[test]
    fn each_kind_of_error_has_its_status() {
        let name = || "a.test".to_owned();
        for (error, status) in [
            (RegistryError::NotFound { kind: "user", id: name() }, 404),
            (RegistryError::Exists { kind: "user", id: name() }, 409),
            (RegistryError::OwnedByOther { name: name() }, 409),
            (RegistryError::Conflict { name: name(), other: name() }, 409),
            (RegistryError::TooMany { what: "keys", limit: 2 }, 409),
            (RegistryError::State(StateProblem::NotEmpty), 409),
            (RegistryError::Invalid { field: "Name", why: name() }, 422),
            (RegistryError::Contended, 503),
            (RegistryError::Store(StoreError::Busy), 503),
        ] {
            assert_eq!(Refusal::from(error).into_response().status().as_u16(), status);
        }
    }
}
