//! The raw request: what the HTTP server hands over, and what can be said of it before its body is read.
//!
//! It is not the call: no parameter and no signature is looked at. Invariant: a method, path, content type or size that the API does not define goes
//! no further than this module.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName};
use http::{HeaderMap, HeaderValue};

use crate::auth::{AuthError, Malformed};
use crate::call::CallError;
use crate::limits::{MAX_AUTHORIZATION, MAX_FORM_BODY, MAX_GET_URL, MAX_HOST, MAX_JSON_BODY};

/// A request as it stood on the wire; nothing may be decoded, re-encoded or re-ordered, because the signature covers the raw bytes.
#[derive(Clone, Copy)]
pub struct RequestParts<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// The path without the query; the API knows `/` only.
    pub path: &'a str,
    /// The raw query without its `?`.
    pub query: Option<&'a str>,
    /// HTTP/2's `:authority`, or the authority of an absolute target; used when there is no `Host` header.
    pub authority: Option<&'a str>,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The whole body, at most [`body_limit`] bytes.
    pub body: &'a Bytes,
}

/// Shows neither headers, query nor body: they hold tokens and signatures.
impl std::fmt::Debug for RequestParts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestParts").field("method", &self.method).field("path", &self.path).finish_non_exhaustive()
    }
}

impl<'a> RequestParts<'a> {
    /// The view of a request that the `http` crate's types hold.
    #[must_use]
    pub fn of(parts: &'a http::request::Parts, body: &'a Bytes) -> Self {
        Self {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query(),
            authority: parts.uri.authority().map(http::uri::Authority::as_str),
            headers: &parts.headers,
            body,
        }
    }
}

/// The two methods of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Parameters in the query, no body.
    Get,
    /// Parameters in the body; the query is ignored.
    Post,
}

impl Method {
    /// `GET` or `POST`, as it stands in both strings to sign.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
        }
    }

    fn parse(text: &str) -> Result<Self, CallError> {
        match text {
            "GET" => Ok(Method::Get),
            "POST" => Ok(Method::Post),
            other => Err(CallError::Method(other.to_owned())),
        }
    }
}

/// Where the parameters are, and in which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// GET: flat, in the query.
    Query,
    /// POST of `application/json`.
    Json,
    /// POST of `application/x-www-form-urlencoded`: flat, in the body.
    Form,
}

impl Carrier {
    /// # Errors
    /// [`CallError::Method`], [`CallError::ContentType`], [`CallError::Charset`]; a header sent twice.
    pub(crate) fn of(method: &str, headers: &HeaderMap) -> Result<(Method, Self), CallError> {
        let method = Method::parse(method)?;
        let media = only(headers, &CONTENT_TYPE)?.map(text_of).transpose()?.unwrap_or("");
        let (essence, rest) = media.split_once(';').unwrap_or((media, ""));
        let essence = essence.trim().to_ascii_lowercase();
        if essence.starts_with("multipart/") {
            return Err(CallError::ContentType(media.to_owned()));
        }
        refuse_other_charsets(rest, media)?;
        match (method, essence.as_str()) {
            // Clients send anything here, as a GET has no body to describe; where it matters (TC3) it is signed.
            (Method::Get, _) => Ok((method, Carrier::Query)),
            (Method::Post, "application/json") => Ok((method, Carrier::Json)),
            (Method::Post, "application/x-www-form-urlencoded") => Ok((method, Carrier::Form)),
            (Method::Post, _) => Err(CallError::ContentType(media.to_owned())),
        }
    }

    const fn body_limit(self) -> usize {
        match self {
            Carrier::Query => 0,
            Carrier::Json => MAX_JSON_BODY,
            Carrier::Form => MAX_FORM_BODY,
        }
    }
}

/// Bytes of body that a request with this method and these headers may have: 10 MB of JSON, 1 MB of form, nothing for a GET. A server stops reading
/// there and answers [`CallError::BodyTooLarge`].
///
/// # Errors
/// The request is refused whatever its body holds: method, content type, charset.
pub fn body_limit(method: &str, headers: &HeaderMap) -> Result<usize, CallError> {
    Carrier::of(method, headers).map(|(_, carrier)| carrier.body_limit())
}

/// The request less its parameters: everything that can be judged without knowing the action.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    pub(crate) method: Method,
    pub(crate) carrier: Carrier,
    pub(crate) host: HeaderValue,
    pub(crate) authorization: Option<&'a str>,
}

impl<'a> Head<'a> {
    pub(crate) fn read(parts: &RequestParts<'a>) -> Result<Self, CallError> {
        let (method, carrier) = Carrier::of(parts.method, parts.headers)?;
        if !matches!(parts.path, "/" | "") {
            return Err(CallError::Path(parts.path.to_owned()));
        }
        let limit = carrier.body_limit();
        if parts.body.len() > limit {
            return Err(CallError::BodyTooLarge { limit });
        }
        let url = parts.path.len() + parts.query.map_or(0, |q| q.len() + 1);
        if method == Method::Get && url > MAX_GET_URL {
            return Err(CallError::UrlTooLarge);
        }
        let authorization = only(parts.headers, &AUTHORIZATION)?.map(text_of).transpose()?;
        if authorization.is_some_and(|a| a.len() > MAX_AUTHORIZATION) {
            return Err(AuthError::Malformed(Malformed::Long).into());
        }
        Ok(Self { method, carrier, host: host(parts)?, authorization })
    }
}

fn host(parts: &RequestParts<'_>) -> Result<HeaderValue, CallError> {
    let host = match only(parts.headers, &HOST)? {
        Some(value) => value.clone(),
        None => HeaderValue::from_str(parts.authority.unwrap_or("")).map_err(|_| CallError::Host)?,
    };
    let fits = (1..=MAX_HOST).contains(&host.len());
    if fits && host.as_bytes().iter().all(u8::is_ascii_graphic) { Ok(host) } else { Err(CallError::Host) }
}

/// The value of a header that may stand once only: of two, a proxy and this server might each believe another one.
pub(crate) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, CallError> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { Err(CallError::HeaderTwice(name.clone())) } else { Ok(first) }
}

/// The text of a header that holds one of the API's own values, which are ASCII.
pub(crate) fn text_of(value: &HeaderValue) -> Result<&str, CallError> {
    value.to_str().map(str::trim).map_err(|_| CallError::HeaderText)
}

fn refuse_other_charsets(parameters: &str, media: &str) -> Result<(), CallError> {
    for parameter in parameters.split(';') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim().trim_matches('"');
        if name.trim().eq_ignore_ascii_case("charset")
            && !value.eq_ignore_ascii_case("utf-8")
            && !value.eq_ignore_ascii_case("utf8")
        {
            return Err(CallError::Charset(media.to_owned()));
        }
    }
    Ok(())
}
