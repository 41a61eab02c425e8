//! Identity and its failures: key ids, secret keys, tokens, and why a signature was refused.
//!
//! A signature that does not match is the commonest complaint about this API, because the answer does not say which part to look at. Each failure
//! here says what the server saw: both clocks, the host, the hash of the canonical request. Invariant: never a secret key, never a token, never a
//! signature that the server computed.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::code::{ErrorCode, WireError};
use crate::limits::{MAX_SECRET_ID, MAX_SKEW_SECONDS, MAX_TOKEN};
use crate::text::shown;
use crate::time::format_utc;

/// The id of a key pair: 1 to 128 visible ASCII characters without `/` and `,`, which end it in an `Authorization` header.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretId(String);

impl SecretId {
    /// Reads a key id; `None` for a text that breaks the rule.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=MAX_SECRET_ID).contains(&text.len());
        let clean = text.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b',');
        (fits && clean).then(|| Self(text.to_owned()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The secret half of a key pair. Its `Debug` shows nothing of it.
#[derive(Clone)]
pub struct SecretKey(String);

impl SecretKey {
    /// Takes a secret key as it is; any text is one.
    #[must_use]
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(redacted)")
    }
}

/// The token of a temporary key pair: 1 to 4,096 visible ASCII characters. Its `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Reads a token; `None` for a text that breaks the rule.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=MAX_TOKEN).contains(&text.len());
        (fits && text.bytes().all(|b| b.is_ascii_graphic())).then(|| Self(text.to_owned()))
    }

    /// Whether both are the same token; takes as long whichever byte differs.
    #[must_use]
    pub fn matches(&self, expected: &Token) -> bool {
        self.0.as_bytes().ct_eq(expected.0.as_bytes()).into()
    }

    /// Whether this is the token with that SHA-256 (hex, lower case), under which a server may keep it; takes as long whichever byte differs.
    #[must_use]
    pub fn has_sha256(&self, digest: &str) -> bool {
        crate::tc3::hex(&Sha256::digest(self.0.as_bytes())).as_bytes().ct_eq(digest.as_bytes()).into()
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

/// What the server signed when no candidate matched; everything here is the caller's own text or a digest of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// TC3-HMAC-SHA256.
    Tc3 {
        /// `Host` as received.
        host: String,
        /// `Content-Type` as received.
        content_type: String,
        /// `SignedHeaders` as received.
        signed_headers: String,
        /// Hex of the payload's digest, or of the text `UNSIGNED-PAYLOAD`.
        payload_sha256: String,
        /// Hex of the digest of the canonical request, built from the values as received.
        canonical_request_sha256: String,
    },
    /// HmacSHA1 or HmacSHA256.
    V1 {
        /// `Host` as received.
        host: String,
        /// `HmacSHA1` or `HmacSHA256`.
        method: &'static str,
        /// Hex of the digest of the string to sign, empty-valued parameters included.
        string_to_sign_sha256: String,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mismatch::Tc3 { host, content_type, signed_headers, payload_sha256, canonical_request_sha256 } => write!(
                f,
                "The server signed with host `{}`, content-type `{}`, signed headers `{}`, payload SHA-256 {payload_sha256}; \
                 SHA-256 of its canonical request: {canonical_request_sha256}. Where yours is the same, the secret key differs.",
                shown(host),
                shown(content_type),
                shown(signed_headers)
            ),
            Mismatch::V1 { host, method, string_to_sign_sha256 } => write!(
                f,
                "The server signed with host `{}` and {method}; SHA-256 of its string to sign: {string_to_sign_sha256}. \
                 Where yours is the same, the secret key differs.",
                shown(host)
            ),
        }
    }
}

/// What is wrong with the form of an authorization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// The header is longer than [`crate::limits::MAX_AUTHORIZATION`].
    Long,
    /// Another algorithm, or none.
    NoAlgorithm,
    /// A part is no `name=value`.
    NoEquals,
    /// A part that nobody defines.
    UnknownPart,
    /// A part given twice.
    PartTwice,
    /// No credential.
    NoCredential,
    /// No list of headers.
    NoSignedHeaders,
    /// No signature.
    NoSignature,
    /// The scope's form is wrong.
    Scope,
    /// The signature's form is wrong.
    SignatureDigits,
    /// The request has no content type.
    NoContentType,
    /// A name in the list is no header's.
    HeaderName,
    /// The list is signed itself, so its order matters.
    HeaderOrder,
    /// More than [`crate::limits::MAX_SIGNED_HEADERS`].
    TooManyHeaders,
    /// A header in the list is not in the request.
    AbsentHeader,
    /// The two that have to be signed.
    NeededHeaders,
    /// A value that nobody defines.
    ContentSha256,
}

impl Malformed {
    const fn english(self) -> &'static str {
        match self {
            Malformed::Long => "the header is longer than 2048 bytes",
            Malformed::NoAlgorithm => "it does not begin with TC3-HMAC-SHA256",
            Malformed::NoEquals => "a part has no `=`",
            Malformed::UnknownPart => "it has a part that is none of Credential, SignedHeaders and Signature",
            Malformed::PartTwice => "a part stands twice",
            Malformed::NoCredential => "Credential is missing",
            Malformed::NoSignedHeaders => "SignedHeaders is missing",
            Malformed::NoSignature => "Signature is missing",
            Malformed::Scope => "Credential is not <SecretId>/<Date>/<service>/tc3_request",
            Malformed::SignatureDigits => "Signature is not 64 lower-case hex digits",
            Malformed::NoContentType => "Content-Type is missing, and TC3 signs it",
            Malformed::HeaderName => "SignedHeaders has a name that is not one in lower case",
            Malformed::HeaderOrder => "SignedHeaders is not in ASCII order",
            Malformed::TooManyHeaders => "SignedHeaders has more than 16 names",
            Malformed::AbsentHeader => "SignedHeaders names a header that the request does not have",
            Malformed::NeededHeaders => "SignedHeaders must contain content-type and host",
            Malformed::ContentSha256 => "X-TC-Content-SHA256 may only be UNSIGNED-PAYLOAD",
        }
    }
}

/// Why a request's identity was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The `Authorization` header, or the headers it speaks of, are not well formed.
    #[error("The authorization is not well formed: {}.", .0.english())]
    Malformed(Malformed),
    /// `Authorization: SKIP`, the SDKs' mode for calls without a signature; nothing here takes such a call.
    #[error("The authorization `SKIP` is not accepted: each call has to be signed.")]
    Skip,
    /// An `Authorization` header and a `Signature` parameter in one request.
    #[error("The request has both an Authorization header and a parameter `Signature`: sign it one way.")]
    BothSignatures,
    /// A form body goes with `HmacSHA1` or `HmacSHA256` only.
    #[error(
        "A form body cannot be signed with TC3-HMAC-SHA256: send application/json, or sign with HmacSHA1 or HmacSHA256."
    )]
    FormWithTc3,
    /// A JSON body goes with TC3 only.
    #[error("A JSON body needs TC3-HMAC-SHA256: the Authorization header is missing.")]
    JsonWithoutTc3,
    /// The request's time and the server's differ too much; both in Unix seconds.
    #[error("{}", expired(*timestamp, *now))]
    Expired {
        /// The request's `Timestamp`.
        timestamp: i64,
        /// The server's clock.
        now: i64,
    },
    /// The scope's date is not the UTC day of the timestamp.
    #[error(
        "The provided credentials could not be validated: the date `{}` in Credential is not `{expected}`, the UTC day of the timestamp.",
        shown(scope)
    )]
    ScopeDate {
        /// The date in the scope.
        scope: String,
        /// The UTC day of the timestamp.
        expected: String,
    },
    /// The scope's service is neither the product nor the first label of the host.
    #[error(
        "The provided credentials could not be validated: the service `{}` in Credential is neither `{product}` nor the first label of the host.",
        shown(service)
    )]
    ScopeService {
        /// The service in the scope.
        service: String,
        /// The product served here.
        product: String,
    },
    /// `X-TC-Content-SHA256: UNSIGNED-PAYLOAD` where the deployer does not take it.
    #[error("UNSIGNED-PAYLOAD is not accepted here: the signature has to cover the body.")]
    UnsignedPayload,
    /// No candidate matched.
    #[error("The provided credentials could not be validated. Please check your signature is correct. {0}")]
    Mismatch(Box<Mismatch>),
    /// The v1 signature cannot be one of this method.
    #[error(
        "The provided credentials could not be validated: `Signature` is not the base64 of {expected} bytes that {method} gives."
    )]
    SignatureForm {
        /// `HmacSHA1` or `HmacSHA256`.
        method: &'static str,
        /// Length of that method's signature, bytes.
        expected: usize,
    },
    /// For the server: the key is unknown, deleted or disabled; a stranger is not told which.
    #[error(
        "The SecretId is not found, please ensure that your SecretId is correct. A key that was deleted or disabled counts as not found."
    )]
    SecretIdNotFound,
    /// The text given as key id cannot be one.
    #[error("The SecretId is not that of an API key.")]
    SecretIdForm,
    /// The token is missing, wrong, expired, or does not belong to the key.
    #[error("The token is missing, wrong or expired, or does not belong to this SecretId.")]
    Token,
    /// For the server: a temporary key without its token.
    #[error(
        "The token is missing: a temporary SecretId needs the token that was issued with it (X-TC-Token or `Token`)."
    )]
    TokenMissing,
    /// For the server: the temporary key's time is over; both in Unix seconds.
    #[error(
        "The token is expired since {expired} ({} UTC), the server's clock says {now} ({} UTC): ask for a new temporary key.",
        format_utc(*expired),
        format_utc(*now)
    )]
    TokenExpired {
        /// When it ended.
        expired: i64,
        /// The server's clock.
        now: i64,
    },
}

impl AuthError {
    /// The documented code of this failure.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            AuthError::Malformed(_)
            | AuthError::Skip
            | AuthError::BothSignatures
            | AuthError::FormWithTc3
            | AuthError::JsonWithoutTc3 => ErrorCode::AuthInvalidAuthorization,
            AuthError::Expired { .. } => ErrorCode::AuthSignatureExpire,
            AuthError::ScopeDate { .. }
            | AuthError::ScopeService { .. }
            | AuthError::UnsignedPayload
            | AuthError::Mismatch(_)
            | AuthError::SignatureForm { .. } => ErrorCode::AuthSignatureFailure,
            AuthError::SecretIdNotFound => ErrorCode::AuthSecretIdNotFound,
            AuthError::SecretIdForm => ErrorCode::AuthInvalidSecretId,
            AuthError::Token | AuthError::TokenMissing | AuthError::TokenExpired { .. } => ErrorCode::AuthTokenFailure,
        }
    }
}

impl From<AuthError> for WireError {
    fn from(e: AuthError) -> Self {
        WireError::new(e.code(), e.to_string()).with_chinese(e.chinese())
    }
}

fn expired(timestamp: i64, now: i64) -> String {
    format!(
        "The signature is expired, please request again. The request says {timestamp} ({} UTC), the server's clock {now} ({} UTC): \
         {} s apart, {MAX_SKEW_SECONDS} are allowed.",
        format_utc(timestamp),
        format_utc(now),
        timestamp.abs_diff(now)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show_themselves() {
        let key = SecretKey::new("hunter2hunter2");
        let token = Token::parse("tokentoken").expect("a valid token");
        assert_eq!(format!("{key:?} {token:?}"), "SecretKey(redacted) Token(redacted)");
        assert!(token.matches(&token.clone()) && !token.matches(&Token::parse("tokentokem").expect("a valid token")));
    }

    #[test]
    fn a_key_id_cannot_leave_its_place_in_the_header() {
        assert!(SecretId::parse("AKIDz8krbsJ5yKBZQpn74WFkmLPx3*******").is_some());
        for bad in ["", "a/b", "a,b", "a b", "ä", "a\n"] {
            assert!(SecretId::parse(bad).is_none(), "{bad:?}");
        }
        assert!(SecretId::parse(&"a".repeat(129)).is_none());
    }

    #[test]
    fn an_expired_request_is_told_both_clocks() {
        let text = AuthError::Expired { timestamp: 1_551_113_065, now: 1_551_113_400 }.to_string();
        assert!(text.starts_with("The signature is expired, please request again."), "{text}");
        assert!(
            text.contains("2019-02-25 16:44:25") && text.contains("2019-02-25 16:50:00") && text.contains("335 s"),
            "{text}"
        );
    }
}
