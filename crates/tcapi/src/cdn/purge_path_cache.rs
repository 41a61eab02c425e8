//! PurgePathCache: forget directories. What a directory may be, whose it is and how many there may be is not decided here.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::options::{RawOptions, TASK_OPTIONS};
use super::{Action, CallOptions, FlushType, PurgeArea, Request, param_error, word};
use crate::code::{ErrorCode, WireError};
use crate::params::Params;

/// The 29 codes that the vendor's SDK lists for the action.
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
    ErrorCode::CdnHostInvalidStatus,
    ErrorCode::CdnInterfaceError,
    ErrorCode::CdnParamError,
    ErrorCode::CdnPurgeWildcardNotAllowed,
    ErrorCode::CdnStatInvalidDate,
    ErrorCode::CdnUrlExceedLength,
    ErrorCode::CdnPurgeExceedBatchLimit,
    ErrorCode::CdnPurgeExceedDayLimit,
    ErrorCode::CdnPurgePathExceedBatchLimit,
    ErrorCode::CdnPurgePathExceedDayLimit,
    ErrorCode::CdnPurgeUrlExceedBatchLimit,
    ErrorCode::CdnPurgeUrlExceedDayLimit,
    ErrorCode::CdnHostNotExists,
    ErrorCode::CdnUserNotExists,
    ErrorCode::CdnCamUnauthorized,
    ErrorCode::CdnHostUnauthorized,
    ErrorCode::CdnUserAuthFail,
    ErrorCode::CdnUserAuthWait,
    ErrorCode::CdnUserIsSuspended,
    ErrorCode::OperationTooOften,
];

/// The request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PurgePathCacheRequest<'a> {
    /// The directories as written, each with its scheme; at least one after `from_params`. Their number is bounded by
    /// [`crate::limits::MAX_VALUES`] only.
    pub paths: Vec<Cow<'a, str>>,
    /// How; there is no default, as in the contract.
    pub flush_type: FlushType,
    /// Whether characters outside of ASCII are to be percent-encoded before purging; `false` when absent.
    pub url_encode: bool,
    /// Where; absent means the domain's own area.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub area: Option<PurgeArea>,
    /// Beyond the contract.
    #[serde(flatten)]
    pub options: CallOptions<'a>,
}

impl<'a> PurgePathCacheRequest<'a> {
    /// These directories, wherever their domains are served.
    #[must_use]
    pub fn of(paths: Vec<Cow<'a, str>>, flush_type: FlushType) -> Self {
        Self { paths, flush_type, url_encode: false, area: None, options: CallOptions::default() }
    }
}

impl<'a> Request<'a> for PurgePathCacheRequest<'a> {
    const ACTION: Action = Action::PurgePathCache;

    fn from_params(mut params: Params<'a>) -> Result<Self, WireError> {
        params.only(&[&["Paths", "FlushType", "UrlEncode", "Area"], TASK_OPTIONS.as_slice()].concat())?;
        params.require("Paths")?;
        params.require("FlushType")?;
        let paths = params.required_texts("Paths")?;
        let flush_type = params.required_text("FlushType")?;
        let url_encode = params.boolean("UrlEncode")?.unwrap_or(false);
        let area = params.text("Area")?;
        let options = RawOptions::take(&mut params)?;
        if paths.is_empty() {
            return Err(param_error("Paths", "must not be empty", "不能为空"));
        }
        // An empty FlushType or Area is refused, not taken as absent: an unset variable in a script must not purge more than was meant.
        let flush_type = word("FlushType", &flush_type)?;
        let area = area.map(|text| word("Area", &text)).transpose()?;
        Ok(Self { paths, flush_type, url_encode, area, options: options.check()? })
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PurgePathCacheResponse {
    /// One for the whole batch. A JSON string always.
    pub task_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cdn::DryRun;

    fn read(json: &str) -> Result<PurgePathCacheRequest<'_>, WireError> {
        PurgePathCacheRequest::from_params(Params::from_json(json.as_bytes())?)
    }

    #[test]
    fn directories_are_read_with_their_mode() {
        let json = r#"{"Paths":["http://a.example/d/"],"FlushType":"flush","Area":"mainland","DryRun":true}"#;
        let request = read(json).expect("a valid request");
        assert!(matches!(request.paths.as_slice(), [Cow::Borrowed("http://a.example/d/")]));
        assert_eq!((request.flush_type, request.area), (FlushType::Flush, Some(PurgeArea::Mainland)));
        assert_eq!((request.url_encode, request.options.dry_run), (false, DryRun::On));
    }

    #[test]
    fn each_mistake_has_its_code() {
        for (json, code, named) in [
            (r#"{"FlushType":"flush"}"#, ErrorCode::MissingParameter, "Paths"),
            (r#"{"Paths":["x"]}"#, ErrorCode::MissingParameter, "FlushType"),
            (r#"{"Paths":["x"],"FlushType":"flush","Urls":[]}"#, ErrorCode::UnknownParameter, "Urls"),
            (r#"{"Paths":["x",2],"FlushType":"flush"}"#, ErrorCode::InvalidParameter, "Paths.1"),
            (r#"{"Paths":[],"FlushType":"flush"}"#, ErrorCode::CdnParamError, "Paths"),
            (r#"{"Paths":["x"],"FlushType":""}"#, ErrorCode::CdnParamError, "FlushType"),
            (r#"{"Paths":["x"],"FlushType":"Delete"}"#, ErrorCode::CdnParamError, "FlushType"),
            (r#"{"Paths":["x"],"FlushType":"delete","Area":"global"}"#, ErrorCode::CdnParamError, "Area"),
            (r#"{"Paths":["x"],"FlushType":"delete","ClientToken":""}"#, ErrorCode::CdnParamError, "ClientToken"),
        ] {
            let error = read(json).expect_err(json);
            assert_eq!(error.code, code, "{json}");
            assert!(error.message.contains(named), "{json}: {}", error.message);
        }
    }
}
