//! Answers of the admin API, and what each change leaves for the log.
//!
//! Invariant: a change's answer cannot be made without saying what was done to what.

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::error::{Code, Refusal};

/// What was done to what, for the log. Never holds a secret.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) what: &'static str,
    pub(super) object: String,
}

/// What was asked for.
#[derive(Debug)]
pub(super) struct Told<T>(pub(super) T);

/// A change that was made.
#[derive(Debug)]
pub(super) struct Changed<T> {
    change: Change,
    status: StatusCode,
    answer: Option<T>,
}

impl<T> Changed<T> {
    /// Something new.
    pub(super) fn created(what: &'static str, object: &dyn std::fmt::Display, answer: T) -> Self {
        let change = Change { what, object: object.to_string() };
        Self { change, status: StatusCode::CREATED, answer: Some(answer) }
    }

    /// Something that is different now.
    pub(super) fn now(what: &'static str, object: &dyn std::fmt::Display, answer: T) -> Self {
        let change = Change { what, object: object.to_string() };
        Self { change, status: StatusCode::OK, answer: Some(answer) }
    }
}

impl Changed<()> {
    /// Something of which nothing is to be told.
    pub(super) fn done(what: &'static str, object: &dyn std::fmt::Display) -> Self {
        let change = Change { what, object: object.to_string() };
        Self { change, status: StatusCode::NO_CONTENT, answer: None }
    }
}

impl<T: Serialize> IntoResponse for Told<T> {
    fn into_response(self) -> Response {
        json(StatusCode::OK, &self.0)
    }
}

impl<T: Serialize> IntoResponse for Changed<T> {
    fn into_response(self) -> Response {
        let mut response = match &self.answer {
            Some(answer) => json(self.status, answer),
            None => self.status.into_response(),
        };
        response.extensions_mut().insert(self.change);
        response
    }
}

/// An answer with a JSON body.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => (status, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))], bytes).into_response(),
        Err(error) => Refusal {
            code: Code::InternalError,
            message: "The server could not write its answer, and its log says why.".to_owned(),
            internal: Some(error.to_string()),
        }
        .into_response(),
    }
}

/// A point in time as RFC 3339 in UTC, to the second; the last one it can write for times beyond.
pub(super) fn rfc3339(millis: u64) -> String {
    const LAST: &str = "9999-12-31T23:59:59Z";
    let seconds = i64::try_from(millis / 1_000).unwrap_or(i64::MAX);
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok();
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| LAST.to_owned())
}

/// Seconds since 1970 of an RFC 3339 text.
pub(super) fn parse_rfc3339(field: &str, text: &str) -> Result<i64, Refusal> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map(OffsetDateTime::unix_timestamp)
        .map_err(|_| Refusal::invalid(field, "it must be a time such as 2026-01-31T12:00:00+08:00"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc_and_read_in_any_zone() {
        assert_eq!(rfc3339(1_533_045_796_999), "2018-07-31T14:03:16Z");
        assert_eq!(parse_rfc3339("Time", "2018-07-31T22:03:16+08:00").ok(), Some(1_533_045_796));
        assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59Z");
        assert!(parse_rfc3339("Time", "2018-07-31 22:03:16").is_err());
    }
}
