//! `TC3-HMAC-SHA256`: the header, the canonical request, verification and signing.
//!
//! What it covers with the SDKs' choice of signed headers: method, query, body, host, content type, timestamp. Action, version, token and region are
//! **not** covered unless the client signs their headers too, so a valid signature is no proof of the action.
//!
//! Clients disagree about what they sign: some leave the port out of the host, some lower-case values, an old one signs `; charset=utf-8` that it
//! does not send. Verification therefore tries a bounded set of candidates, at most eight, each compared in constant time.

use hmac::{Hmac, KeyInit, Mac};
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::auth::{AuthError, Malformed, Mismatch, SecretId, SecretKey};
use crate::call::CallError;
use crate::limits::MAX_SIGNED_HEADERS;
use crate::request::{Method, only};
use crate::time::utc_date;

/// The algorithm's name, first word of the header.
pub const ALGORITHM: &str = "TC3-HMAC-SHA256";

/// The only value of `X-TC-Content-SHA256` in use: the body is not covered by the signature.
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

const TERMINATOR: &str = "tc3_request";
const LATE_CHARSET: &str = "; charset=utf-8";

type Key = [u8; 32];

/// Whether a deployer takes requests whose signature does not cover the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnsignedPayload {
    /// As the vendor does.
    #[default]
    Accept,
    /// Answer `AuthFailure.SignatureFailure`.
    Refuse,
}

/// What the signature says of the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payload<'a> {
    Signed(&'a [u8]),
    Unsigned,
}

impl Payload<'_> {
    fn digest_hex(self) -> String {
        match self {
            Payload::Signed(body) => hex(&Sha256::digest(body)),
            Payload::Unsigned => hex(&Sha256::digest(UNSIGNED_PAYLOAD)),
        }
    }
}

/// The parsed `Authorization` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authorization {
    pub(crate) secret_id: SecretId,
    date: String,
    pub(crate) service: String,
    signed_headers: String,
    signature: [u8; 32],
}

impl Authorization {
    /// Reads `TC3-HMAC-SHA256 Credential=…/…/…/tc3_request, SignedHeaders=…;…, Signature=…`, with any run of blanks between its parts.
    pub(crate) fn parse(header: &str) -> Result<Self, AuthError> {
        let header = header.trim();
        if header.eq_ignore_ascii_case("SKIP") {
            return Err(AuthError::Skip);
        }
        let rest = header.strip_prefix(ALGORITHM).filter(|r| r.starts_with(|c: char| c.is_ascii_whitespace()));
        let rest = rest.ok_or(AuthError::Malformed(Malformed::NoAlgorithm))?;
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for part in rest.split(',') {
            let (name, value) = part.split_once('=').ok_or(AuthError::Malformed(Malformed::NoEquals))?;
            let slot = match name.trim() {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return Err(AuthError::Malformed(Malformed::UnknownPart)),
            };
            if slot.replace(value.trim()).is_some() {
                return Err(AuthError::Malformed(Malformed::PartTwice));
            }
        }
        let credential = credential.ok_or(AuthError::Malformed(Malformed::NoCredential))?;
        let signed_headers = signed_headers.ok_or(AuthError::Malformed(Malformed::NoSignedHeaders))?;
        let signature = signature.ok_or(AuthError::Malformed(Malformed::NoSignature))?;
        let scope: Vec<&str> = credential.splitn(5, '/').collect();
        let &[secret_id, date, service, TERMINATOR] = scope.as_slice() else {
            return Err(AuthError::Malformed(Malformed::Scope));
        };
        Ok(Self {
            secret_id: SecretId::parse(secret_id).ok_or(AuthError::SecretIdForm)?,
            date: date.to_owned(),
            service: service.to_owned(),
            signed_headers: signed_headers.to_owned(),
            signature: unhex(signature).ok_or(AuthError::Malformed(Malformed::SignatureDigits))?,
        })
    }
}

/// Everything of a request that its TC3 signature speaks of, except the body, which the call keeps.
#[derive(Debug, Clone)]
pub(crate) struct Proof {
    pub(crate) authorization: Authorization,
    method: Method,
    query: String,
    host: HeaderValue,
    content_type: HeaderValue,
    /// The signed headers in the order of the list; values as received.
    signed: Vec<(HeaderName, HeaderValue)>,
    pub(crate) payload_is_signed: bool,
}

impl Proof {
    /// Collects what the signature covers. `raw_query` is empty for a POST.
    pub(crate) fn collect(
        header: &str,
        method: Method,
        raw_query: &str,
        host: &HeaderValue,
        headers: &HeaderMap,
    ) -> Result<Self, CallError> {
        let authorization = Authorization::parse(header)?;
        let content_type = only(headers, &CONTENT_TYPE)?.ok_or(AuthError::Malformed(Malformed::NoContentType))?;
        let mut signed: Vec<(HeaderName, HeaderValue)> = Vec::new();
        for text in authorization.signed_headers.split(';') {
            let name =
                HeaderName::from_lowercase(text.as_bytes()).map_err(|_| AuthError::Malformed(Malformed::HeaderName))?;
            // Sorted and unique: the list itself is signed, so another order could not match the canonical one.
            if signed.last().is_some_and(|(last, _)| last.as_str() >= name.as_str()) {
                return Err(AuthError::Malformed(Malformed::HeaderOrder).into());
            }
            if signed.len() == MAX_SIGNED_HEADERS {
                return Err(AuthError::Malformed(Malformed::TooManyHeaders).into());
            }
            let value = if name == HOST { Some(host) } else { only(headers, &name)? };
            let value = value.ok_or(AuthError::Malformed(Malformed::AbsentHeader))?;
            signed.push((name, value.clone()));
        }
        if ![&CONTENT_TYPE, &HOST].iter().all(|need| signed.iter().any(|(name, _)| name == *need)) {
            return Err(AuthError::Malformed(Malformed::NeededHeaders).into());
        }
        let payload_is_signed = match only(headers, &HeaderName::from_static("x-tc-content-sha256"))? {
            None => true,
            Some(value) if value == UNSIGNED_PAYLOAD => false,
            Some(_) => return Err(AuthError::Malformed(Malformed::ContentSha256).into()),
        };
        let (query, host, content_type) = (raw_query.to_owned(), host.clone(), content_type.clone());
        Ok(Self { authorization, method, query, host, content_type, signed, payload_is_signed })
    }

    /// Whether the scope's service may stand for `product` here: its name, or, as half of the SDKs have it, whatever stands before the first `.` of
    /// the endpoint.
    pub(crate) fn is_for(&self, product: &str) -> bool {
        let host = self.host.to_str().unwrap_or("");
        let label = host.split('.').next().unwrap_or(host);
        let service = self.authorization.service.as_str();
        service == product || (!service.is_empty() && service.eq_ignore_ascii_case(label))
    }

    /// # Errors
    /// [`AuthError::ScopeDate`] when the scope's date is not the UTC day of the timestamp, [`AuthError::Mismatch`] when no candidate matches.
    pub(crate) fn verify(&self, timestamp: i64, body: &[u8], secret: &SecretKey) -> Result<(), AuthError> {
        let auth = &self.authorization;
        let expected = utc_date(timestamp);
        if auth.date != expected {
            return Err(AuthError::ScopeDate { scope: auth.date.clone(), expected });
        }
        let key = signing_key(secret, &auth.date, &auth.service);
        let payload = if self.payload_is_signed { Payload::Signed(body) } else { Payload::Unsigned };
        let payload_sha256 = payload.digest_hex();
        let mut prefix = Sha256::new();
        start_canonical(&mut prefix, self.method, &self.query);
        let mut as_received = None;
        for candidate in self.candidates() {
            let mut hasher = prefix.clone();
            let headers = self.signed.iter().map(|(name, value)| (name.as_str(), candidate.value(self, name, value)));
            end_canonical(&mut hasher, headers, &auth.signed_headers, &payload_sha256);
            let canonical = hex(&hasher.finalize());
            let to_sign = string_to_sign(timestamp, &auth.date, &auth.service, &canonical);
            let signature = hmac256(&key, to_sign.as_bytes());
            if bool::from(signature.ct_eq(&auth.signature)) {
                return Ok(());
            }
            as_received.get_or_insert(canonical);
        }
        Err(AuthError::Mismatch(Box::new(Mismatch::Tc3 {
            host: lossy(&self.host),
            content_type: lossy(&self.content_type),
            signed_headers: auth.signed_headers.clone(),
            payload_sha256,
            canonical_request_sha256: as_received.unwrap_or_default(),
        })))
    }

    /// The ways in which known clients differ from what they send, the plain one first, equal ones left out.
    fn candidates(&self) -> Vec<Candidate> {
        let hosts: &[HostPort] = if without_port(self.host.as_bytes()).len() < self.host.len() {
            &[HostPort::Kept, HostPort::Dropped]
        } else {
            &[HostPort::Kept]
        };
        let mixed = self.signed.iter().any(|(_, value)| value.as_bytes().iter().any(u8::is_ascii_uppercase));
        let cases: &[Case] = if mixed { &[Case::Kept, Case::Lower] } else { &[Case::Kept] };
        let named = self.content_type.as_bytes().windows(7).any(|w| w.eq_ignore_ascii_case(b"charset"));
        let types: &[ContentType] =
            if named { &[ContentType::Kept] } else { &[ContentType::Kept, ContentType::WithCharset] };
        let mut all = Vec::with_capacity(hosts.len() * cases.len() * types.len());
        for &content_type in types {
            for &case in cases {
                all.extend(hosts.iter().map(|&host| Candidate { host, case, content_type }));
            }
        }
        all
    }
}

#[derive(Debug, Clone, Copy)]
enum HostPort {
    Kept,
    Dropped,
}

#[derive(Debug, Clone, Copy)]
enum Case {
    Kept,
    Lower,
}

#[derive(Debug, Clone, Copy)]
enum ContentType {
    Kept,
    WithCharset,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    host: HostPort,
    case: Case,
    content_type: ContentType,
}

impl Candidate {
    fn value(self, proof: &Proof, name: &HeaderName, value: &HeaderValue) -> Vec<u8> {
        let raw = value.as_bytes().trim_ascii();
        let mut out = match (self.host, self.content_type) {
            (HostPort::Dropped, _) if name == HOST => without_port(proof.host.as_bytes()).to_vec(),
            (_, ContentType::WithCharset) if name == CONTENT_TYPE => [raw, LATE_CHARSET.as_bytes()].concat(),
            (HostPort::Kept | HostPort::Dropped, ContentType::Kept | ContentType::WithCharset) => raw.to_vec(),
        };
        match self.case {
            Case::Kept => {}
            Case::Lower => out.make_ascii_lowercase(),
        }
        out
    }
}

/// What a client signs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ToSign<'a> {
    pub(crate) method: Method,
    /// Raw, as it will be sent; empty for a POST.
    pub(crate) query: &'a str,
    pub(crate) host: &'a str,
    pub(crate) content_type: &'a str,
    pub(crate) payload: Payload<'a>,
    pub(crate) timestamp: i64,
    pub(crate) service: &'a str,
}

/// The `Authorization` header for a request, over `content-type;host`, as every SDK signs it.
pub(crate) fn authorize(what: &ToSign<'_>, id: &SecretId, secret: &SecretKey) -> String {
    const SIGNED: &str = "content-type;host";
    let date = utc_date(what.timestamp);
    let mut hasher = Sha256::new();
    start_canonical(&mut hasher, what.method, what.query);
    let headers = [("content-type", what.content_type.as_bytes()), ("host", what.host.as_bytes())];
    end_canonical(&mut hasher, headers.into_iter(), SIGNED, &what.payload.digest_hex());
    let to_sign = string_to_sign(what.timestamp, &date, what.service, &hex(&hasher.finalize()));
    let signature = hex(&hmac256(&signing_key(secret, &date, what.service), to_sign.as_bytes()));
    format!(
        "{ALGORITHM} Credential={id}/{date}/{}/{TERMINATOR}, SignedHeaders={SIGNED}, Signature={signature}",
        what.service
    )
}

fn start_canonical(hasher: &mut Sha256, method: Method, query: &str) {
    hasher.update(method.as_str());
    hasher.update("\n/\n");
    hasher.update(query);
    hasher.update("\n");
}

fn end_canonical<'a, V: AsRef<[u8]>>(
    hasher: &mut Sha256,
    headers: impl Iterator<Item = (&'a str, V)>,
    signed: &str,
    payload_sha256: &str,
) {
    for (name, value) in headers {
        hasher.update(name);
        hasher.update(":");
        hasher.update(value.as_ref());
        hasher.update("\n");
    }
    hasher.update("\n");
    hasher.update(signed);
    hasher.update("\n");
    hasher.update(payload_sha256);
}

fn string_to_sign(timestamp: i64, date: &str, service: &str, canonical_sha256: &str) -> String {
    format!("{ALGORITHM}\n{timestamp}\n{date}/{service}/{TERMINATOR}\n{canonical_sha256}")
}

fn signing_key(secret: &SecretKey, date: &str, service: &str) -> Key {
    let first = [b"TC3", secret.bytes()].concat();
    let date_key = hmac256(&first, date.as_bytes());
    let service_key = hmac256(&date_key, service.as_bytes());
    hmac256(&service_key, TERMINATOR.as_bytes())
}

fn hmac256(key: &[u8], data: &[u8]) -> Key {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(data);
    mac.finalize().into_bytes().into()
}

/// The host less a trailing `:digits`.
fn without_port(host: &[u8]) -> &[u8] {
    let digits = host.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    match host.len().checked_sub(digits + 1) {
        Some(colon) if digits > 0 && host.get(colon) == Some(&b':') => host.get(..colon).unwrap_or(host),
        Some(_) | None => host,
    }
}

fn lossy(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for &b in bytes {
        out.push(char::from(DIGITS[usize::from(b >> 4)]));
        out.push(char::from(DIGITS[usize::from(b & 15)]));
    }
    out
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let mut out = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inner_keys_of_the_published_vector_match() {
        let secret = SecretKey::new("*".repeat(32));
        let date = hmac256(&[b"TC3", secret.bytes()].concat(), b"2019-02-25");
        assert_eq!(hex(&date), "da98fb70dcf6b112dc21038d1eeeb3a95c74b4dcb12c1131f864f6066bd02be0");
        assert_eq!(hex(&hmac256(&date, b"cvm")), "8d70cbefb03939f929db64d32dc2ba89b1095620119fe3e050e2b18c5bd2752f");
        assert_eq!(
            hex(&signing_key(&secret, "2019-02-25", "cvm")),
            "b596b923aad85185e2d1f6659d2a062e0a86731226e021e61bfe06f7ed05f5af"
        );
    }

    #[test]
    fn only_a_port_is_dropped_from_a_host() {
        for (host, bare) in [
            ("a:80", "a"),
            ("http://127.0.0.1:18080", "http://127.0.0.1"),
            ("a", "a"),
            ("a:", "a:"),
            ("80", "80"),
            ("[::1]:80", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(without_port(host.as_bytes()), bare.as_bytes(), "{host}");
        }
    }

    #[test]
    fn a_header_is_read_with_any_run_of_blanks_and_refused_when_torn() {
        let sig = "0".repeat(64);
        let good = format!(
            "TC3-HMAC-SHA256  Credential=AKID/2019-02-25/cdn/tc3_request,SignedHeaders=content-type;host,   Signature={sig}"
        );
        assert_eq!(Authorization::parse(&good).map(|a| a.service).as_deref(), Ok("cdn"));
        assert_eq!(Authorization::parse("SKIP"), Err(AuthError::Skip));
        let torn = [
            "".to_owned(),
            "TC3-HMAC-SHA256".to_owned(),
            "TC3-HMAC-SHA256Credential".to_owned(),
            "Basic abc".to_owned(),
            good.replace("tc3_request", "tc3_request/x"),
            good.replace("/cdn", ""),
            good.replace("Signature=", "Signature=Z"),
            good.replace(&sig, &"A".repeat(64)),
            good.replace("SignedHeaders", "Signature"),
            format!("{good}, Signature={sig}"),
            format!("{good}, Extra=1"),
            format!("{good},"),
        ];
        for header in torn {
            assert!(matches!(Authorization::parse(&header), Err(AuthError::Malformed(_))), "{header}");
        }
    }
}
