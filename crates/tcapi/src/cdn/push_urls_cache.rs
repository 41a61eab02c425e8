//! PushUrlsCache: fetch URLs into the caches before a client asks. Whose they are and how many there may be is not decided here.
//!
//! Invariant: no header that `from_params` lets through can end a line, frame a message or name another host.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::options::{RawOptions, TASK_OPTIONS};
use super::{Action, CallOptions, Layer, Request, TaskArea, param_error, word};
use crate::code::{ErrorCode, WireError};
use crate::limits::{MAX_HEADER_NAME, MAX_HEADER_VALUE, MAX_PUSH_HEADERS};
use crate::params::{ParamError, Params};
use crate::text::shown;

/// The 33 codes that the vendor's SDK lists for the action.
pub(super) const CODES: &[ErrorCode] = &[
    ErrorCode::CamSystemError,
    ErrorCode::CdnConfigError,
    ErrorCode::CdnDbError,
    ErrorCode::CdnQuerySystemError,
    ErrorCode::CdnSystemError,
    ErrorCode::InternalServiceError,
    ErrorCode::ProxyServer,
    ErrorCode::RouteError,
    ErrorCode::CdnHostInvalidMiddleConfig,
    ErrorCode::CdnHostInvalidParam,
    ErrorCode::CdnHostInvalidStatus,
    ErrorCode::CdnInterfaceError,
    ErrorCode::CdnParamError,
    ErrorCode::CdnPushWildcardNotAllowed,
    ErrorCode::CdnStatInvalidDate,
    ErrorCode::CdnStatInvalidProjectId,
    ErrorCode::CdnHostOpTooOften,
    ErrorCode::CdnPushExceedBatchLimit,
    ErrorCode::CdnPushExceedDayLimit,
    ErrorCode::CdnOpInProgress,
    ErrorCode::CdnHostNotExists,
    ErrorCode::CdnUserNotExists,
    ErrorCode::CdnHostIsLocked,
    ErrorCode::CdnHostIsNotOnline,
    ErrorCode::CdnCamUnauthorized,
    ErrorCode::CdnHostUnauthorized,
    ErrorCode::CdnUserAuthFail,
    ErrorCode::CdnUserAuthWait,
    ErrorCode::CdnUserIsSuspended,
    ErrorCode::CdnUserNoWhitelist,
    ErrorCode::EcdnMigratedCdn,
    ErrorCode::OpNoAuth,
    ErrorCode::OperationTooOften,
];

/// `User-Agent` of a prefetch that names none, as documented.
const DEFAULT_USER_AGENT: &str = "TencentCdn";

/// Headers that a prefetch may not set: those of one connection (RFC 9110, section 7.6.1), of the message's frame, and of its target.
const FORBIDDEN_HEADERS: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PushUrlsCacheRequest<'a> {
    /// The URLs as written, each with its scheme; at least one after `from_params`. Their number is bounded by [`crate::limits::MAX_VALUES`] only.
    pub urls: Vec<Cow<'a, str>>,
    /// `User-Agent` of the fetches: 1 to 1,024 visible ASCII characters and blanks; `TencentCdn` when absent or empty.
    pub user_agent: Cow<'a, str>,
    /// Where; `mainland` when absent.
    pub area: TaskArea,
    /// To which tier; absent or empty, the area's usual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<Layer>,
    /// Whether the segments that a playlist lists are fetched too; `false` when absent.
    #[serde(rename = "ParseM3U8")]
    pub parse_m3u8: bool,
    /// Whether the origin is asked for whole files only; `false` when absent.
    pub disable_range: bool,
    /// Headers of the fetches, at most 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HttpHeader<'a>>,
    /// Whether characters outside of ASCII are to be percent-encoded before fetching; `false` when absent.
    pub url_encode: bool,
    /// Beyond the contract.
    #[serde(flatten)]
    pub options: CallOptions<'a>,
}

/// A header of a prefetch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HttpHeader<'a> {
    /// A token of HTTP, 1 to 128 bytes; none of the headers of a connection, of a message's frame, nor `Host`.
    pub name: Cow<'a, str>,
    /// At most 1,024 visible ASCII characters and blanks.
    pub value: Cow<'a, str>,
}

impl<'a> PushUrlsCacheRequest<'a> {
    /// These URLs into `area`, everything else as when absent.
    #[must_use]
    pub fn of(urls: Vec<Cow<'a, str>>, area: TaskArea) -> Self {
        Self {
            urls,
            user_agent: Cow::Borrowed(DEFAULT_USER_AGENT),
            area,
            layer: None,
            parse_m3u8: false,
            disable_range: false,
            headers: Vec::new(),
            url_encode: false,
            options: CallOptions::default(),
        }
    }
}

impl<'a> Request<'a> for PushUrlsCacheRequest<'a> {
    const ACTION: Action = Action::PushUrlsCache;

    fn from_params(mut params: Params<'a>) -> Result<Self, WireError> {
        let own =
            ["Urls", "UserAgent", "Area", "Layer", "ParseM3U8", "DisableRange", "Headers", "UrlEncode"].as_slice();
        params.only(&[own, TASK_OPTIONS.as_slice()].concat())?;
        params.require("Urls")?;
        let urls = params.required_texts("Urls")?;
        let (user_agent, area, layer) = (params.text("UserAgent")?, params.text("Area")?, params.text("Layer")?);
        let mut truth = |name| Ok::<_, ParamError>(params.boolean(name)?.unwrap_or(false));
        let (parse_m3u8, disable_range) = (truth("ParseM3U8")?, truth("DisableRange")?);
        let url_encode = truth("UrlEncode")?;
        let headers = params.objects("Headers")?.unwrap_or_default();
        let headers = headers.into_iter().map(raw_header).collect::<Result<Vec<_>, _>>()?;
        let options = RawOptions::take(&mut params)?;
        if urls.is_empty() {
            return Err(param_error("Urls", "must not be empty", "不能为空"));
        }
        check_user_agent(user_agent.as_deref().unwrap_or(""))?;
        check_headers(&headers)?;
        Ok(Self {
            urls,
            user_agent: user_agent.filter(|text| !text.is_empty()).unwrap_or(Cow::Borrowed(DEFAULT_USER_AGENT)),
            area: area.map_or(Ok(TaskArea::Mainland), |text| word("Area", &text))?,
            layer: layer.filter(|text| !text.is_empty()).map(|text| word("Layer", &text)).transpose()?,
            parse_m3u8,
            disable_range,
            headers,
            url_encode,
            options: options.check()?,
        })
    }
}

/// One header with its types right; its values are not looked at.
fn raw_header(mut params: Params<'_>) -> Result<HttpHeader<'_>, ParamError> {
    params.only(&["Name", "Value"])?;
    let name = params.required_text("Name")?;
    Ok(HttpHeader { name, value: params.required_text("Value")? })
}

fn check_user_agent(text: &str) -> Result<(), WireError> {
    if text.len() <= MAX_HEADER_VALUE && is_header_value(text) {
        return Ok(());
    }
    Err(param_error(
        "UserAgent",
        &format!("must be at most {MAX_HEADER_VALUE} visible ASCII characters and blanks"),
        &format!("必须是最多 {MAX_HEADER_VALUE} 个可见的 ASCII 字符和空格"),
    ))
}

fn check_headers(headers: &[HttpHeader<'_>]) -> Result<(), WireError> {
    if headers.len() > MAX_PUSH_HEADERS {
        let given = headers.len();
        return Err(param_error(
            "Headers",
            &format!("may have {MAX_PUSH_HEADERS} entries, and has {given}"),
            &format!("最多 {MAX_PUSH_HEADERS} 项，现有 {given} 项"),
        ));
    }
    headers.iter().enumerate().try_for_each(|(n, header)| check_header(n, header))
}

fn check_header(n: usize, header: &HttpHeader<'_>) -> Result<(), WireError> {
    let (name, value) = (header.name.as_ref(), header.value.as_ref());
    let at = |part: &str| format!("Headers.{n}.{part}");
    if !(1..=MAX_HEADER_NAME).contains(&name.len()) || !name.bytes().all(is_token_byte) {
        return Err(param_error(
            &at("Name"),
            &format!("must be a header's name of 1 to {MAX_HEADER_NAME} bytes, and is `{}`", shown(name)),
            &format!("必须是 1 到 {MAX_HEADER_NAME} 字节的请求头名称，现为 `{}`", shown(name)),
        ));
    }
    if FORBIDDEN_HEADERS.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden)) {
        return Err(param_error(
            &at("Name"),
            &format!("is `{}`, which a prefetch may not set", shown(name)),
            &format!("是 `{}`，预热不能设置该请求头", shown(name)),
        ));
    }
    if value.len() > MAX_HEADER_VALUE || !is_header_value(value) {
        return Err(param_error(
            &at("Value"),
            &format!("must be at most {MAX_HEADER_VALUE} visible ASCII characters and blanks"),
            &format!("必须是最多 {MAX_HEADER_VALUE} 个可见的 ASCII 字符和空格"),
        ));
    }
    Ok(())
}

/// A character of a token, RFC 9110, section 5.6.2.
const fn is_token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(
            b,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

fn is_header_value(text: &str) -> bool {
    text.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PushUrlsCacheResponse {
    /// One for the whole batch. A JSON string always.
    pub task_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<PushUrlsCacheRequest<'_>, WireError> {
        PushUrlsCacheRequest::from_params(Params::from_json(json.as_bytes())?)
    }

    #[test]
    fn what_is_absent_has_the_documented_defaults() {
        let request = read(r#"{"Urls":["http://a.example/1"],"UserAgent":"","Layer":""}"#).expect("a valid request");
        assert_eq!(request, PushUrlsCacheRequest::of(vec!["http://a.example/1".into()], TaskArea::Mainland));
        assert_eq!(request.user_agent, "TencentCdn");
    }

    #[test]
    fn everything_that_is_documented_is_read() {
        let request = read(
            r#"{"Urls":["x"],"UserAgent":"a b/1","Area":"global","Layer":"middle","ParseM3U8":true,"DisableRange":true,
                "Headers":[{"Name":"X-A","Value":""},{"Name":"Accept","Value":"text/html, */*;q=0.1"}],"UrlEncode":true}"#,
        )
        .expect("a valid request");
        assert_eq!((request.area, request.layer), (TaskArea::Global, Some(Layer::Middle)));
        assert!(request.parse_m3u8 && request.disable_range && request.url_encode);
        assert_eq!((request.headers.len(), request.headers[1].value.as_ref()), (2, "text/html, */*;q=0.1"));
    }

    #[test]
    fn a_header_can_neither_end_a_line_nor_frame_the_message() {
        let with = |name: &str, value: &str| {
            serde_json::json!({"Urls": ["x"], "Headers": [{"Name": "A", "Value": "b"}, {"Name": name, "Value": value}]})
                .to_string()
        };
        assert!(read(&with(&"n".repeat(128), &"v".repeat(1024))).is_ok());
        for (name, value, named) in [
            ("", "v", "Headers.1.Name"),
            ("a b", "v", "Headers.1.Name"),
            ("a:b", "v", "Headers.1.Name"),
            ("ä", "v", "Headers.1.Name"),
            (&"n".repeat(129), "v", "Headers.1.Name"),
            ("HOST", "v", "Headers.1.Name"),
            ("Content-Length", "1", "Headers.1.Name"),
            ("Transfer-Encoding", "chunked", "Headers.1.Name"),
            ("Connection", "close", "Headers.1.Name"),
            ("X-A", "a\r\nHost: b", "Headers.1.Value"),
            ("X-A", "中", "Headers.1.Value"),
            ("X-A", "\t", "Headers.1.Value"),
            ("X-A", &"v".repeat(1025), "Headers.1.Value"),
        ] {
            let error = read(&with(name, value)).map(drop).expect_err(name);
            assert_eq!(error.code, ErrorCode::CdnParamError);
            assert!(error.message.contains(named), "{}", error.message);
        }
    }

    #[test]
    fn each_mistake_has_its_code() {
        let many = format!(r#"{{"Urls":["x"],"Headers":[{}]}}"#, vec![r#"{"Name":"a","Value":"b"}"#; 21].join(","));
        for (json, code, named) in [
            ("{}", ErrorCode::MissingParameter, "Urls"),
            (r#"{"Urls":[]}"#, ErrorCode::CdnParamError, "Urls"),
            (r#"{"Urls":["x"],"Area":""}"#, ErrorCode::CdnParamError, "Area"),
            (r#"{"Urls":["x"],"Layer":"edge"}"#, ErrorCode::CdnParamError, "Layer"),
            (r#"{"Urls":["x"],"UserAgent":"a\nb"}"#, ErrorCode::CdnParamError, "UserAgent"),
            (r#"{"Urls":["x"],"Headers":{"Name":"a"}}"#, ErrorCode::InvalidParameter, "Headers"),
            (r#"{"Urls":["x"],"Headers":[{"Name":"a"}]}"#, ErrorCode::MissingParameter, "Headers.0.Value"),
            (r#"{"Urls":["x"],"Headers":[{"Name":"a","Value":1}]}"#, ErrorCode::InvalidParameter, "Headers.0.Value"),
            (
                r#"{"Urls":["x"],"Headers":[{"Name":"a","Value":"b","C":1}]}"#,
                ErrorCode::UnknownParameter,
                "Headers.0.C",
            ),
            (many.as_str(), ErrorCode::CdnParamError, "Headers"),
        ] {
            let error = read(json).map(drop).expect_err(json);
            assert_eq!(error.code, code, "{json}");
            assert!(error.message.contains(named), "{json}: {}", error.message);
        }
    }
}
