//! The client's side: a signed HTTP request for an action, in each form that the server reads. No network, no clock, no randomness.
//!
//! Percent-encoding is RFC 3986's: everything but letters, digits and `-_.~` is `%XX`. The answer is read with [`crate::envelope::parse`].

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, Request};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::Value;

use crate::auth::{SecretId, SecretKey, Token};
use crate::request::Method;
use crate::tc3::{self, Payload, ToSign, UNSIGNED_PAYLOAD};
use crate::v1::{self, HmacMethod};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// RFC 3986's unreserved characters stay.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// How a request is written and signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignForm {
    /// POST of JSON with TC3: what every SDK does by default, and the only form for large batches.
    #[default]
    Tc3Post,
    /// The same with a signature that does not cover the body.
    Tc3PostUnsigned,
    /// GET with TC3, parameters in the query.
    Tc3Get,
    /// GET with a signature of the first kind.
    V1Get(HmacMethod),
    /// POST of a form with a signature of the first kind.
    V1Post(HmacMethod),
}

/// A key pair, perhaps temporary. Its `Debug` shows the id only.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Sent with each request.
    pub secret_id: SecretId,
    /// Never sent.
    pub secret_key: SecretKey,
    /// Needed by temporary keys.
    pub token: Option<Token>,
}

/// Signs requests for one endpoint.
#[derive(Debug, Clone)]
pub struct Signer {
    host: HeaderValue,
    credentials: Credentials,
    form: SignForm,
    service: String,
}

/// When a request is made. A nonce makes two v1 requests of one second differ; TC3 has none.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Unix seconds.
    pub unix: i64,
    /// Random.
    pub nonce: u64,
}

/// Why a request could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The endpoint's host is no header value.
    #[error("the endpoint `{0}` is not a host with an optional port")]
    Host(String),
    /// The action, version or token is no header value.
    #[error("the {0} holds characters that a header cannot")]
    Header(&'static str),
    /// The parameters do not serialize to an object.
    #[error("the parameters are not a structure: {0}")]
    Parameters(String),
    /// The form's URL is more than HTTP carries.
    #[error("the parameters are too large for a GET: use POST")]
    TooLarge,
}

impl Signer {
    /// A signer for the endpoint `host`, which is sent and signed as it is, port included (`cdn.example.com`, `127.0.0.1:18080`).
    ///
    /// # Errors
    /// [`SignError::Host`].
    pub fn new(host: &str, credentials: Credentials, form: SignForm) -> Result<Self, SignError> {
        let clean = !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
        let value = HeaderValue::from_str(host).ok().filter(|_| clean);
        let host = value.ok_or_else(|| SignError::Host(host.to_owned()))?;
        Ok(Self { host, credentials, form, service: crate::cdn::PRODUCT.to_owned() })
    }

    /// The service for TC3's scope instead of `cdn`: half of the SDKs put the first label of the endpoint there.
    #[must_use]
    pub fn with_service(mut self, service: impl Into<String>) -> Self {
        self.service = service.into();
        self
    }

    /// A request for an action; its target is `/` with a query, and the transport adds the authority.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign(
        &self,
        action: &str,
        version: &str,
        parameters: &impl Serialize,
        at: Moment,
    ) -> Result<Request<Bytes>, SignError> {
        let parameters = serde_json::to_value(parameters).map_err(|e| SignError::Parameters(e.to_string()))?;
        let Value::Object(_) = parameters else { return Err(SignError::Parameters("not an object".to_owned())) };
        match self.form {
            SignForm::Tc3Post => self.tc3(Method::Post, action, version, at, "", parameters.to_string().into()),
            SignForm::Tc3PostUnsigned => {
                let mut request = self.tc3(Method::Post, action, version, at, "", parameters.to_string().into())?;
                request
                    .headers_mut()
                    .insert(HeaderName::from_static("x-tc-content-sha256"), HeaderValue::from_static(UNSIGNED_PAYLOAD));
                Ok(request)
            }
            SignForm::Tc3Get => {
                let mut pairs = Vec::new();
                flatten("", &parameters, &mut pairs);
                self.tc3(Method::Get, action, version, at, &encode(&pairs), Bytes::new())
            }
            SignForm::V1Get(hmac) => self.v1(Method::Get, hmac, action, version, at, &parameters),
            SignForm::V1Post(hmac) => self.v1(Method::Post, hmac, action, version, at, &parameters),
        }
    }

    fn tc3(
        &self,
        method: Method,
        action: &str,
        version: &str,
        at: Moment,
        query: &str,
        body: Bytes,
    ) -> Result<Request<Bytes>, SignError> {
        let content_type = match method {
            Method::Get => FORM,
            Method::Post => JSON,
        };
        let what = ToSign {
            method,
            query,
            host: self.host.to_str().unwrap_or(""),
            content_type,
            payload: if self.form == SignForm::Tc3PostUnsigned { Payload::Unsigned } else { Payload::Signed(&body) },
            timestamp: at.unix,
            service: &self.service,
        };
        let authorization = tc3::authorize(&what, &self.credentials.secret_id, &self.credentials.secret_key);
        let mut request = self.bare(method, content_type, query, body)?;
        let headers = request.headers_mut();
        let value = |text: &str, named| HeaderValue::from_str(text).map_err(|_| SignError::Header(named));
        let mut authorization = value(&authorization, "credential")?;
        authorization.set_sensitive(true);
        headers.insert(AUTHORIZATION, authorization);
        headers.insert(HeaderName::from_static("x-tc-action"), value(action, "action")?);
        headers.insert(HeaderName::from_static("x-tc-version"), value(version, "version")?);
        headers.insert(HeaderName::from_static("x-tc-timestamp"), HeaderValue::from(at.unix));
        if let Some(token) = &self.credentials.token {
            let mut token = value(token.text(), "token")?;
            token.set_sensitive(true);
            headers.insert(HeaderName::from_static("x-tc-token"), token);
        }
        Ok(request)
    }

    fn v1(
        &self,
        method: Method,
        hmac: HmacMethod,
        action: &str,
        version: &str,
        at: Moment,
        parameters: &Value,
    ) -> Result<Request<Bytes>, SignError> {
        let mut pairs = Vec::new();
        flatten("", parameters, &mut pairs);
        let common = [
            ("Action", action.to_owned()),
            ("Version", version.to_owned()),
            ("Timestamp", at.unix.to_string()),
            ("Nonce", at.nonce.to_string()),
            ("SecretId", self.credentials.secret_id.as_str().to_owned()),
            ("SignatureMethod", hmac.as_str().to_owned()),
        ];
        pairs.extend(common.map(|(name, value)| (name.to_owned(), value)));
        if let Some(token) = &self.credentials.token {
            pairs.push(("Token".to_owned(), token.text().to_owned()));
        }
        pairs.sort_unstable();
        let host = self.host.to_str().unwrap_or("");
        let signature = v1::sign(method, host, &pairs, hmac, &self.credentials.secret_key);
        pairs.push(("Signature".to_owned(), signature));
        let encoded = encode(&pairs);
        match method {
            Method::Get => self.bare(method, FORM, &encoded, Bytes::new()),
            Method::Post => self.bare(method, FORM, "", encoded.into()),
        }
    }

    fn bare(
        &self,
        method: Method,
        content_type: &'static str,
        query: &str,
        body: Bytes,
    ) -> Result<Request<Bytes>, SignError> {
        let target = if query.is_empty() { "/".to_owned() } else { format!("/?{query}") };
        let request = Request::builder()
            .method(method.as_str())
            .uri(target)
            .header(HOST, self.host.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static(content_type));
        // Method, host and content type are valid already; a target can only be too long.
        request.body(body).map_err(|_| SignError::TooLarge)
    }
}

/// `{"Urls":["a"],"Filter":{"Name":"b"}}` to `Urls.0=a`, `Filter.Name=b`. Absent and `null` are the same; an empty list cannot be written flat.
fn flatten(name: &str, value: &Value, pairs: &mut Vec<(String, String)>) {
    let below = |part: &str| if name.is_empty() { part.to_owned() } else { format!("{name}.{part}") };
    match value {
        Value::Null => {}
        Value::Bool(truth) => pairs.push((name.to_owned(), truth.to_string())),
        Value::Number(number) => pairs.push((name.to_owned(), number.to_string())),
        Value::String(text) => pairs.push((name.to_owned(), text.clone())),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(n, item)| flatten(&below(&n.to_string()), item, pairs))
        }
        Value::Object(members) => members.iter().for_each(|(part, item)| flatten(&below(part), item, pairs)),
    }
}

fn encode(pairs: &[(String, String)]) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        out.extend(utf8_percent_encode(name, ENCODED));
        out.push('=');
        out.extend(utf8_percent_encode(value, ENCODED));
    }
    out
}
