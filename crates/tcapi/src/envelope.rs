//! The answer's envelope: `{"Response":{…,"RequestId":"…"}}`.
//!
//! The official SDKs decide by its exact shape: `RequestId` always, `Error` only on failure and never `null`, HTTP status 200 for both, and the
//! content type [`CONTENT_TYPE`] to the byte (with a charset behind it, the Python SDK takes an error for a success).

use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::code::{ErrorCode, WireError};
use crate::language::Language;
use crate::text::shown;

/// `Content-Type` of every answer; nothing may follow it.
pub const CONTENT_TYPE: &str = "application/json";

/// HTTP status of every answer, errors included.
pub const STATUS: u16 = 200;

/// Name of one answer: a UUID of version 4, shown in lower case with hyphens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(Uuid);

impl RequestId {
    /// A fresh one, from the operating system's randomness.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// One made of given random bytes, so that a test or simulation can repeat itself.
    #[must_use]
    pub const fn from_random_bytes(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// Why an answer could not be written. Both are mistakes in the server's code, not in the request; answer `InternalError`.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// The fields do not serialize.
    #[error("the answer does not serialize: {0}")]
    Serialize(#[from] serde_json::Error),
    /// The fields serialize to something that is not an object.
    #[error("the answer is not an object")]
    NotAnObject,
}

/// The body of a success: the fields of `answer`, a structure, with `RequestId` after them. `answer` must have no field of that name.
///
/// # Errors
/// [`EnvelopeError`].
pub fn ok(request_id: RequestId, answer: &impl Serialize) -> Result<Bytes, EnvelopeError> {
    const HEAD: &[u8] = b"{\"Response\":";
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(HEAD);
    serde_json::to_writer(&mut out, answer)?;
    // Re-opening the object costs nothing; serde's `flatten` would buffer each field of a page of 1,000 rows.
    match out.get(HEAD.len()..) {
        Some([b'{', b'}']) => out.truncate(out.len() - 1),
        Some([b'{', .., b'}']) => {
            out.truncate(out.len() - 1);
            out.push(b',');
        }
        Some(_) | None => return Err(EnvelopeError::NotAnObject),
    }
    out.extend_from_slice(format!("\"RequestId\":\"{request_id}\"}}}}").as_bytes());
    Ok(out.into())
}

/// The body of a failure, its text in the language that the client asked for.
#[must_use]
pub fn error(request_id: RequestId, error: &WireError, language: Language) -> Bytes {
    // Serializing a text cannot fail; the code has no character that JSON escapes.
    let message = serde_json::Value::String(error.message(language).into_owned());
    format!(
        "{{\"Response\":{{\"Error\":{{\"Code\":\"{}\",\"Message\":{message}}},\"RequestId\":\"{request_id}\"}}}}",
        error.code
    )
    .into()
}

/// An error as a client received it; its code need not be one that this crate knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message} (RequestId {request_id})")]
pub struct ApiError {
    /// `Response.Error.Code`.
    pub code: String,
    /// `Response.Error.Message`.
    pub message: String,
    /// `Response.RequestId`.
    pub request_id: String,
}

impl ApiError {
    /// The code, when it is one of those listed here.
    #[must_use]
    pub fn known(&self) -> Option<ErrorCode> {
        ErrorCode::from_wire(&self.code)
    }
}

/// A success as a client received it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// `Response.RequestId`.
    pub request_id: String,
    /// The action's own fields.
    pub fields: T,
}

/// Why an answer is no success.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The server answered with an error of the API.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Whatever answered does not speak the API, or the action's fields are missing. The text is the beginning of what it said.
    #[error("the answer is not one of the API ({reason}): {beginning}")]
    Foreign {
        /// Where reading stopped.
        reason: serde_json::Error,
        /// At most 96 characters, escaped.
        beginning: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope<T> {
    response: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Verdict {
    error: Option<Failure>,
    request_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failure {
    code: String,
    message: String,
}

/// Reads an answer's body. Fields that `T` does not know are passed over.
///
/// # Errors
/// [`AnswerError`].
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<Answer<T>, AnswerError> {
    let foreign = |reason| AnswerError::Foreign {
        reason,
        beginning: shown(&String::from_utf8_lossy(body.get(..400).unwrap_or(body))),
    };
    let verdict: Envelope<Verdict> = serde_json::from_slice(body).map_err(foreign)?;
    let request_id = verdict.response.request_id;
    if let Some(Failure { code, message }) = verdict.response.error {
        return Err(ApiError { code, message, request_id }.into());
    }
    let fields: Envelope<T> = serde_json::from_slice(body).map_err(foreign)?;
    Ok(Answer { request_id, fields: fields.response })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cdn::{DescribePurgeTasksResponse, PurgeUrlsCacheResponse};

    const ID: RequestId = RequestId::from_random_bytes([0xab; 16]);
    const ID_TEXT: &str = "abababab-abab-4bab-abab-abababababab";

    fn text(body: &Bytes) -> &str {
        std::str::from_utf8(body).expect("answers are UTF-8")
    }

    #[test]
    fn a_success_has_its_fields_and_the_request_id_and_no_error() {
        let task = PurgeUrlsCacheResponse { task_id: "1533045796-i60rfmzm".into() };
        let body = ok(ID, &task).expect("a structure");
        assert_eq!(
            text(&body),
            format!(r#"{{"Response":{{"TaskId":"1533045796-i60rfmzm","RequestId":"{ID_TEXT}"}}}}"#)
        );
        let answer = parse::<PurgeUrlsCacheResponse>(&body).expect("a success");
        assert_eq!((answer.request_id.as_str(), answer.fields), (ID_TEXT, task));
    }

    #[test]
    fn an_empty_list_is_written_as_one_and_an_empty_structure_needs_no_comma() {
        #[derive(Serialize)]
        struct Nothing {}
        let page = DescribePurgeTasksResponse { purge_logs: vec![], total_count: 0 };
        let body = ok(ID, &page).expect("a structure");
        assert_eq!(text(&body), format!(r#"{{"Response":{{"PurgeLogs":[],"TotalCount":0,"RequestId":"{ID_TEXT}"}}}}"#));
        assert_eq!(
            text(&ok(ID, &Nothing {}).expect("a structure")),
            format!(r#"{{"Response":{{"RequestId":"{ID_TEXT}"}}}}"#)
        );
        assert!(matches!(ok(ID, &[1, 2]), Err(EnvelopeError::NotAnObject)));
        assert!(matches!(ok(ID, &"{}"), Err(EnvelopeError::NotAnObject)));
    }

    #[test]
    fn an_error_keeps_its_code_and_escapes_its_text() {
        let failure = WireError::new(ErrorCode::CdnParamError, "bad \"url\"\n<中>");
        let body = error(ID, &failure, Language::English);
        assert_eq!(
            text(&body),
            format!(
                r#"{{"Response":{{"Error":{{"Code":"InvalidParameter.CdnParamError","Message":"bad \"url\"\n<中>"}},"RequestId":"{ID_TEXT}"}}}}"#
            )
        );
        let Err(AnswerError::Api(seen)) = parse::<PurgeUrlsCacheResponse>(&body) else { panic!("an error of the API") };
        assert_eq!((seen.known(), seen.message.as_str()), (Some(ErrorCode::CdnParamError), failure.message.as_str()));
    }

    #[test]
    fn an_error_is_told_in_the_language_that_was_asked_for() {
        let failure = WireError::new(ErrorCode::CdnParamError, "bad").with_chinese("坏");
        let body = error(ID, &failure, Language::Chinese);
        assert!(text(&body).contains(r#""Message":"坏""#), "{}", text(&body));
    }

    #[test]
    fn what_is_no_answer_says_how_it_begins() {
        for body in ["", "<html>502</html>", "{}", r#"{"Response":{}}"#, r#"{"Response":{"RequestId":"x"}}"#] {
            let Err(AnswerError::Foreign { beginning, .. }) = parse::<PurgeUrlsCacheResponse>(body.as_bytes()) else {
                panic!("{body}")
            };
            assert_eq!(beginning, body);
        }
    }
}
