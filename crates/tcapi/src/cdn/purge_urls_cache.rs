//! PurgeUrlsCache: forget URLs. What a URL may be, whose it is and how many there may be is not decided here.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::options::{RawOptions, TASK_OPTIONS};
use super::{Action, CallOptions, PurgeArea, Request, param_error, word};
use crate::code::{ErrorCode, WireError};
use crate::params::Params;

/// The 32 codes that the vendor's SDK lists for the action.
pub(super) const CODES: &[ErrorCode] = &[
    ErrorCode::AuthInvalidAuthorization,
    ErrorCode::CamSystemError,
    ErrorCode::CdnConfigError,
    ErrorCode::CdnDbError,
    ErrorCode::CdnQueryParamError,
    ErrorCode::CdnQuerySystemError,
    ErrorCode::CdnSystemError,
    ErrorCode::InternalServiceError,
    ErrorCode::ProxyServer,
    ErrorCode::RouteError,
    ErrorCode::UnknownError,
    ErrorCode::CdnHostInvalidStatus,
    ErrorCode::CdnInterfaceError,
    ErrorCode::CdnParamError,
    ErrorCode::CdnPurgeWildcardNotAllowed,
    ErrorCode::CdnStatInvalidDate,
    ErrorCode::CdnUrlExceedLength,
    ErrorCode::CdnPurgeExceedBatchLimit,
    ErrorCode::CdnPurgeExceedDayLimit,
    ErrorCode::CdnPurgeUrlExceedBatchLimit,
    ErrorCode::CdnPurgeUrlExceedDayLimit,
    ErrorCode::CdnHostNotExists,
    ErrorCode::CdnUserNotExists,
    ErrorCode::CdnHostIsNotOnline,
    ErrorCode::CdnCamUnauthorized,
    ErrorCode::CdnHostUnauthorized,
    ErrorCode::CdnUserAuthFail,
    ErrorCode::CdnUserAuthWait,
    ErrorCode::CdnUserIsSuspended,
    ErrorCode::EcdnMigratedCdn,
    ErrorCode::OpNoAuth,
    ErrorCode::OperationTooOften,
];

/// The request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PurgeUrlsCacheRequest<'a> {
    /// The URLs as written, each with its scheme; at least one after `from_params`. Their number is bounded by [`crate::limits::MAX_VALUES`] only.
    pub urls: Vec<Cow<'a, str>>,
    /// Where; absent means the domain's own area.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub area: Option<PurgeArea>,
    /// Whether characters outside of ASCII are to be percent-encoded before purging; `false` when absent.
    pub url_encode: bool,
    /// Beyond the contract.
    #[serde(flatten)]
    pub options: CallOptions<'a>,
}

impl<'a> PurgeUrlsCacheRequest<'a> {
    /// These URLs, wherever their domains are served.
    #[must_use]
    pub fn of(urls: Vec<Cow<'a, str>>) -> Self {
        Self { urls, ..Self::default() }
    }
}

impl<'a> Request<'a> for PurgeUrlsCacheRequest<'a> {
    const ACTION: Action = Action::PurgeUrlsCache;

    fn from_params(mut params: Params<'a>) -> Result<Self, WireError> {
        params.only(&[&["Urls", "Area", "UrlEncode"], TASK_OPTIONS.as_slice()].concat())?;
        params.require("Urls")?;
        let urls = params.required_texts("Urls")?;
        let area = params.text("Area")?;
        let url_encode = params.boolean("UrlEncode")?.unwrap_or(false);
        let options = RawOptions::take(&mut params)?;
        if urls.is_empty() {
            return Err(param_error("Urls", "must not be empty", "不能为空"));
        }
        // An empty Area is refused, not taken as absent: an unset variable in a script must not purge more than was meant.
        let area = area.map(|text| word("Area", &text)).transpose()?;
        Ok(Self { urls, area, url_encode, options: options.check()? })
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PurgeUrlsCacheResponse {
    /// One for the whole batch. A JSON string always: Go's decoder refuses a number.
    pub task_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<PurgeUrlsCacheRequest<'_>, WireError> {
        PurgeUrlsCacheRequest::from_params(Params::from_json(json.as_bytes())?)
    }

    fn code(json: &str) -> ErrorCode {
        read(json).expect_err("a refusal").code
    }

    #[test]
    fn urls_are_borrowed_from_the_body() {
        let request =
            read(r#"{"Urls":["http://a.example/1"],"Area":"overseas","UrlEncode":true}"#).expect("a valid request");
        assert!(matches!(request.urls.as_slice(), [Cow::Borrowed("http://a.example/1")]));
        assert_eq!((request.area, request.url_encode), (Some(PurgeArea::Overseas), true));
    }

    #[test]
    fn each_mistake_has_its_code() {
        assert_eq!(code("{}"), ErrorCode::MissingParameter);
        assert_eq!(code(r#"{"Urls":null}"#), ErrorCode::MissingParameter);
        assert_eq!(code(r#"{"Urls":[1],"Zone":2}"#), ErrorCode::UnknownParameter);
        assert_eq!(code(r#"{"Area":1}"#), ErrorCode::MissingParameter);
        assert_eq!(code(r#"{"Urls":"http://a/"}"#), ErrorCode::InvalidParameter);
        assert_eq!(code(r#"{"Urls":[null]}"#), ErrorCode::InvalidParameter);
        assert_eq!(code(r#"{"Urls":["x"],"UrlEncode":"true"}"#), ErrorCode::InvalidParameter);
        assert_eq!(code(r#"{"Urls":[]}"#), ErrorCode::CdnParamError);
        for area in ["global", "", "Mainland"] {
            assert_eq!(code(&format!(r#"{{"Urls":["x"],"Area":"{area}"}}"#)), ErrorCode::CdnParamError);
        }
    }

    #[test]
    fn the_vendor_lists_thirty_two_codes() {
        let unique: std::collections::HashSet<_> = CODES.iter().collect();
        assert_eq!((CODES.len(), unique.len()), (32, 32));
    }
}
