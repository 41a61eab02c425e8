//! One call: a signed request of any documented form, brought to one shape.
//!
//! | HTTP | Content-Type | Signature | Parameters |
//! |---|---|---|---|
//! | GET | any | TC3 header | query, flat; the common ones in headers |
//! | GET | any or none | v1 | query, flat |
//! | POST | `application/x-www-form-urlencoded` | v1 only | body, flat |
//! | POST | `application/json` | TC3 header only | body; the common ones in headers |
//!
//! Mixtures are refused, and so are multipart bodies, which the API documents for particular actions and for none of the CDN's.
//!
//! The order in which a caller uses it is kept by types: [`Call`] → [`Timely`] → [`Verified`] → parameters. So nothing of a body is interpreted for a
//! stranger, and an action cannot see the parameters of a request whose signature was not checked. (A v1 request is its own exception: its signature
//! stands among its parameters, so they are decoded, though not interpreted, before.)

use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};

use crate::auth::{AuthError, SecretId, SecretKey, Token};
use crate::code::{ErrorCode, WireError};
pub use crate::language::Language;
use crate::limits::{MAX_ACTION, MAX_GET_URL, MAX_REQUEST_CLIENT, MAX_SKEW_SECONDS, MAX_TRACE_ID};
use crate::params::{ParamError, Params, flat};
use crate::request::{Carrier, Head, RequestParts, only, text_of};
use crate::tc3::{self, UnsignedPayload};
use crate::text::shown;
use crate::time::MAX_UNIX;
use crate::v1::{self, HmacMethod};

/// Common parameters of a v1 request; they are no part of the action's own.
const COMMON: [&str; 11] = [
    "Action",
    "Version",
    "Timestamp",
    "Nonce",
    "SecretId",
    "Signature",
    "SignatureMethod",
    "Region",
    "Token",
    "Language",
    "RequestClient",
];

/// A request that is well formed as far as it had to be read to find its signature. Its `Debug` shows neither parameters nor token.
#[derive(Clone)]
pub struct Call {
    action: String,
    version: String,
    timestamp: i64,
    host: HeaderValue,
    language: Language,
    token: Option<Token>,
    trace_id: Option<String>,
    request_client: Option<String>,
    signed: Signed,
}

/// The signature with the parameters in the form that goes with it.
#[derive(Clone)]
enum Signed {
    Tc3Json { proof: tc3::Proof, body: Bytes },
    Tc3Query { proof: tc3::Proof, pairs: Vec<(String, String)> },
    V1 { proof: v1::Proof, pairs: Vec<(String, String)> },
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call")
            .field("action", &self.action)
            .field("version", &self.version)
            .field("timestamp", &self.timestamp)
            .field("secret_id", self.secret_id())
            .finish_non_exhaustive()
    }
}

impl Call {
    /// Reads a request. Checked in this order: method, content type, path, size, mixture of forms, action, version, timestamp, signature's form.
    ///
    /// # Errors
    /// [`CallError`], each with its documented code.
    pub fn parse(parts: &RequestParts<'_>) -> Result<Call, CallError> {
        let head = Head::read(parts)?;
        let query = parts.query.unwrap_or("");
        match (head.carrier, head.authorization) {
            (Carrier::Form, Some(_)) => Err(AuthError::FormWithTc3.into()),
            (Carrier::Json, None) => Err(AuthError::JsonWithoutTc3.into()),
            (Carrier::Json | Carrier::Query, Some(_)) if has_signature(query) => Err(AuthError::BothSignatures.into()),
            (Carrier::Json, Some(header)) => {
                let (body, raw_query) = (parts.body.clone(), "");
                Call::from_headers(parts.headers, &head, header, raw_query, |proof| Ok(Signed::Tc3Json { proof, body }))
            }
            (Carrier::Query, Some(header)) => Call::from_headers(parts.headers, &head, header, query, |proof| {
                let pairs = flat::decode(query.as_bytes())?;
                Ok(Signed::Tc3Query { proof, pairs })
            }),
            (Carrier::Query, None) => Call::from_pairs(parts.headers, &head, flat::decode(query.as_bytes())?),
            (Carrier::Form, None) => Call::from_pairs(parts.headers, &head, flat::decode(parts.body)?),
        }
    }

    /// TC3: the common parameters are headers.
    fn from_headers(
        headers: &HeaderMap,
        head: &Head<'_>,
        authorization: &str,
        raw_query: &str,
        signed: impl FnOnce(tc3::Proof) -> Result<Signed, CallError>,
    ) -> Result<Call, CallError> {
        let common = |name: &'static str| only(headers, &HeaderName::from_static(name))?.map(text_of).transpose();
        let action = action_name(common("x-tc-action")?)?;
        let version = common("x-tc-version")?.ok_or_else(|| ParamError::Missing("Version".into()))?.to_owned();
        let timestamp = timestamp(common("x-tc-timestamp")?)?;
        let proof = tc3::Proof::collect(authorization, head.method, raw_query, &head.host, headers)?;
        Ok(Call {
            action,
            version,
            timestamp,
            host: head.host.clone(),
            language: Language::named(common("x-tc-language")?),
            token: token(common("x-tc-token")?)?,
            trace_id: trace_id(headers)?,
            request_client: request_client(common("x-tc-requestclient")?),
            signed: signed(proof)?,
        })
    }

    /// v1: the common parameters are among the others.
    fn from_pairs(headers: &HeaderMap, head: &Head<'_>, pairs: Vec<(String, String)>) -> Result<Call, CallError> {
        let common = Common::find(&pairs)?;
        let required = |name: &'static str| common.get(name).ok_or_else(|| ParamError::Missing(name.into()));
        let action = action_name(common.get("Action"))?;
        let version = required("Version")?.to_owned();
        let timestamp = timestamp(common.get("Timestamp"))?;
        required("Nonce")?.parse::<u64>().map_err(|_| ParamError::Number("Nonce"))?;
        let secret_id = SecretId::parse(required("SecretId")?).ok_or(AuthError::SecretIdForm)?;
        let hmac = match common.get("SignatureMethod") {
            None | Some("") => HmacMethod::default(),
            Some(text) => HmacMethod::parse(text).ok_or(ParamError::Value("SignatureMethod"))?,
        };
        let proof = v1::Proof { secret_id, method: head.method, hmac, signature: required("Signature")?.to_owned() };
        Ok(Call {
            action,
            version,
            timestamp,
            host: head.host.clone(),
            language: common
                .get("Language")
                .map_or_else(|| Language::of_headers(headers), |text| Language::named(Some(text))),
            token: token(common.get("Token"))?,
            trace_id: trace_id(headers)?,
            request_client: request_client(common.get("RequestClient")),
            signed: Signed::V1 { proof, pairs },
        })
    }

    /// The action's name: 1 to 64 ASCII letters and digits, the first upper-cased as two SDKs do before sending. Not covered by a TC3 signature.
    #[must_use]
    pub fn action(&self) -> &str {
        &self.action
    }

    /// The version as sent; see [`crate::cdn::Action::of`].
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The request's time, Unix seconds, 0 to the year 9999.
    #[must_use]
    pub const fn timestamp(&self) -> i64 {
        self.timestamp
    }

    /// `Host` as received: visible ASCII, perhaps with a port, perhaps beginning with `http://`.
    #[must_use]
    pub fn host(&self) -> &str {
        self.host.to_str().unwrap_or("")
    }

    /// The language asked for messages.
    #[must_use]
    pub const fn language(&self) -> Language {
        self.language
    }

    /// Whose key signed, by the request's own word.
    #[must_use]
    pub const fn secret_id(&self) -> &SecretId {
        match &self.signed {
            Signed::Tc3Json { proof, .. } | Signed::Tc3Query { proof, .. } => &proof.authorization.secret_id,
            Signed::V1 { proof, .. } => &proof.secret_id,
        }
    }

    /// The token of a temporary key. Not covered by a TC3 signature.
    #[must_use]
    pub const fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    /// `X-TC-TraceId`, to be repeated in the answer's header of that name: at most 64 letters, digits and `-`; one that breaks the rule is dropped.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        self.trace_id.as_deref()
    }

    /// The client's description of itself, for logs: at most 256 of `0-9a-zA-Z-_,;.` and blank; one that breaks the rule is dropped.
    #[must_use]
    pub fn request_client(&self) -> Option<&str> {
        self.request_client.as_deref()
    }

    /// The service of a TC3 scope; v1 has none.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        match &self.signed {
            Signed::Tc3Json { proof, .. } | Signed::Tc3Query { proof, .. } => Some(&proof.authorization.service),
            Signed::V1 { .. } => None,
        }
    }

    /// Whether the request is meant for `product`: always for v1; for TC3 when the scope's service is that name or the first label of the host.
    #[must_use]
    pub fn is_for(&self, product: &str) -> bool {
        match &self.signed {
            Signed::Tc3Json { proof, .. } | Signed::Tc3Query { proof, .. } => proof.is_for(product),
            Signed::V1 { .. } => true,
        }
    }

    /// Whether the signature covers the parameters; not with `UNSIGNED-PAYLOAD`.
    #[must_use]
    pub const fn payload_is_signed(&self) -> bool {
        match &self.signed {
            Signed::Tc3Json { proof, .. } | Signed::Tc3Query { proof, .. } => proof.payload_is_signed,
            Signed::V1 { .. } => true,
        }
    }

    /// Checks the request's time against the server's clock, `now` in Unix seconds: five minutes either way.
    ///
    /// # Errors
    /// [`AuthError::Expired`].
    pub fn timely(&self, now: i64) -> Result<Timely<'_>, AuthError> {
        if self.timestamp.abs_diff(now) > MAX_SKEW_SECONDS {
            return Err(AuthError::Expired { timestamp: self.timestamp, now });
        }
        Ok(Timely { call: self })
    }
}

/// What a deployer decides about signatures.
#[derive(Debug, Clone, Copy)]
pub struct VerifyRules<'a> {
    /// The product served, [`crate::cdn::PRODUCT`].
    pub product: &'a str,
    /// Whether a signature may leave the body out.
    pub unsigned_payload: UnsignedPayload,
}

/// A call whose time is right; its signature is not checked yet.
#[derive(Debug, Clone, Copy)]
pub struct Timely<'c> {
    call: &'c Call,
}

impl<'c> Timely<'c> {
    /// Checks the signature with the key that belongs to [`Call::secret_id`].
    ///
    /// # Errors
    /// [`AuthError`]: scope, unsigned payload, or no candidate matches.
    pub fn verify(self, secret: &SecretKey, rules: VerifyRules<'_>) -> Result<Verified<'c>, AuthError> {
        let call = self.call;
        if !call.payload_is_signed() && rules.unsigned_payload == UnsignedPayload::Refuse {
            return Err(AuthError::UnsignedPayload);
        }
        if !call.is_for(rules.product) {
            let service = call.service().unwrap_or("").to_owned();
            return Err(AuthError::ScopeService { service, product: rules.product.to_owned() });
        }
        match &call.signed {
            Signed::Tc3Json { proof, body } => proof.verify(call.timestamp, body, secret)?,
            Signed::Tc3Query { proof, .. } => proof.verify(call.timestamp, b"", secret)?,
            Signed::V1 { proof, pairs } => proof.verify(call.host(), pairs, secret)?,
        }
        Ok(Verified { call })
    }
}

/// A call whose time and signature are right. Token, permissions and rate are the server's to check.
#[derive(Debug, Clone, Copy)]
pub struct Verified<'c> {
    call: &'c Call,
}

impl<'c> Verified<'c> {
    /// The call.
    #[must_use]
    pub const fn call(self) -> &'c Call {
        self.call
    }

    /// The action's own parameters, borrowed from the call; read anew at each use.
    ///
    /// # Errors
    /// [`ParamError`].
    pub fn params(self) -> Result<Params<'c>, ParamError> {
        match &self.call.signed {
            Signed::Tc3Json { body, .. } => Params::from_json(body),
            Signed::Tc3Query { pairs, .. } => Params::from_flat(pairs, |_| false),
            Signed::V1 { pairs, .. } => Params::from_flat(pairs, |name| COMMON.contains(&name)),
        }
    }
}

/// The common parameters of a v1 request, found in one pass.
struct Common<'a> {
    values: [Option<&'a str>; COMMON.len()],
}

impl<'a> Common<'a> {
    /// A common parameter given twice is refused here: the signature's check and the server might each believe another one.
    fn find(pairs: &'a [(String, String)]) -> Result<Self, ParamError> {
        let mut values = [None; COMMON.len()];
        for (name, value) in pairs {
            let slot = COMMON.iter().position(|common| common == name).and_then(|at| values.get_mut(at));
            if slot.is_some_and(|slot| slot.replace(value.as_str()).is_some()) {
                return Err(ParamError::Duplicate(name.clone()));
            }
        }
        Ok(Self { values })
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        COMMON.iter().position(|common| *common == name).and_then(|at| self.values.get(at).copied().flatten())
    }
}

/// A query next to a TC3 header must not carry a second signature.
fn has_signature(query: &str) -> bool {
    query.split('&').any(|pair| pair.split('=').next() == Some("Signature"))
}

fn action_name(text: Option<&str>) -> Result<String, CallError> {
    let text = text.filter(|t| !t.is_empty()).ok_or_else(|| ParamError::Missing("Action".into()))?;
    if text.len() > MAX_ACTION || !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(CallError::ActionName);
    }
    let mut name = text.to_owned();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    Ok(name)
}

fn timestamp(text: Option<&str>) -> Result<i64, ParamError> {
    let text = text.ok_or_else(|| ParamError::Missing("Timestamp".into()))?;
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|t| plain && (0..=MAX_UNIX).contains(t)).ok_or(ParamError::Number("Timestamp"))
}

/// An empty token is none: several SDKs send the empty text when they have no token.
fn token(text: Option<&str>) -> Result<Option<Token>, AuthError> {
    text.filter(|t| !t.is_empty()).map(|t| Token::parse(t).ok_or(AuthError::Token)).transpose()
}

/// A header with either kind of signature.
fn trace_id(headers: &HeaderMap) -> Result<Option<String>, CallError> {
    let text = only(headers, &HeaderName::from_static("x-tc-traceid"))?.map(text_of).transpose()?;
    Ok(kept(text, MAX_TRACE_ID, |b| b.is_ascii_alphanumeric() || b == b'-'))
}

fn request_client(text: Option<&str>) -> Option<String> {
    kept(text, MAX_REQUEST_CLIENT, |b| b.is_ascii_alphanumeric() || b"-_,;. ".contains(&b))
}

fn kept(text: Option<&str>, longest: usize, allowed: impl Fn(u8) -> bool) -> Option<String> {
    text.filter(|t| (1..=longest).contains(&t.len()) && t.bytes().all(allowed)).map(str::to_owned)
}

/// Why a request is no call. Texts in it are the caller's; messages show them shortened and escaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Neither GET nor POST.
    #[error("The request method `{}` is not supported: only GET and POST are.", shown(.0))]
    Method(String),
    /// Another path than `/`.
    #[error("The request path `{}` is not supported: only `/` is.", shown(.0))]
    Path(String),
    /// A POST of something that is neither JSON nor a form.
    #[error("The content type `{}` is not supported: send application/json or application/x-www-form-urlencoded.", shown(.0))]
    ContentType(String),
    /// A charset other than UTF-8.
    #[error("The content type `{}` is not supported: only UTF-8 is.", shown(.0))]
    Charset(String),
    /// No `Host`, or one that is no host.
    #[error("The request's Host is missing or not valid.")]
    Host,
    /// A header of the API, or a signed one, stands twice.
    #[error("The header `{0}` is given twice.")]
    HeaderTwice(HeaderName),
    /// A header of the API with bytes that are not visible ASCII.
    #[error("A header of the request holds bytes that are not ASCII text.")]
    HeaderText,
    /// The body is longer than its form allows.
    #[error("The request body is larger than the {limit} bytes that its method and content type allow.")]
    BodyTooLarge {
        /// Bytes; 0 for a GET.
        limit: usize,
    },
    /// Path and query of a GET are too long.
    #[error("The request's path and query are larger than the {MAX_GET_URL} bytes that a GET may have: use POST.")]
    UrlTooLarge,
    /// The action's name cannot be one.
    #[error("The request `Action` is invalid or not found.")]
    ActionName,
    /// The signature's form.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// A common parameter, or the form of the flat ones.
    #[error(transparent)]
    Param(#[from] ParamError),
}

impl CallError {
    /// The documented code of this failure.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            CallError::Method(_)
            | CallError::Path(_)
            | CallError::ContentType(_)
            | CallError::Charset(_)
            | CallError::Host
            | CallError::HeaderTwice(_)
            | CallError::HeaderText => ErrorCode::UnsupportedProtocol,
            CallError::BodyTooLarge { .. } | CallError::UrlTooLarge => ErrorCode::RequestSizeLimitExceeded,
            CallError::ActionName => ErrorCode::InvalidAction,
            CallError::Auth(e) => e.code(),
            CallError::Param(e) => e.code(),
        }
    }
}

impl From<CallError> for WireError {
    fn from(e: CallError) -> Self {
        WireError::new(e.code(), e.to_string()).with_chinese(e.chinese())
    }
}
