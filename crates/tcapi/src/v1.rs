//! Signatures of the first kind, `HmacSHA1` and `HmacSHA256`: all parameters, decoded, in ASCII order of their names, in one string.
//!
//! They cover everything, action and version too. Some old clients leave empty-valued parameters out of the string though they send them, so
//! verification tries both; the host as received and lower-cased, since HTTP stacks lower-case what the user typed; and, for a GET, `true` as
//! sent and as `True`, which the asynchronous client for Python signs where its HTTP library sends `true`. At most eight candidates.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::auth::{AuthError, Mismatch, SecretId, SecretKey};
use crate::request::Method;
use crate::tc3::hex;

/// `SignatureMethod`; `HmacSHA1` is meant when the parameter is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HmacMethod {
    /// The default.
    #[default]
    Sha1,
    /// Has to be named.
    Sha256,
}

impl HmacMethod {
    /// The value of `SignatureMethod`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            HmacMethod::Sha1 => "HmacSHA1",
            HmacMethod::Sha256 => "HmacSHA256",
        }
    }

    /// The method with this value of `SignatureMethod`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "HmacSHA1" => Some(HmacMethod::Sha1),
            "HmacSHA256" => Some(HmacMethod::Sha256),
            _ => None,
        }
    }

    const fn signature_len(self) -> usize {
        match self {
            HmacMethod::Sha1 => 20,
            HmacMethod::Sha256 => 32,
        }
    }

    fn mac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        match self {
            HmacMethod::Sha1 => {
                let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes a key of any length");
                mac.update(data);
                mac.finalize().into_bytes().to_vec()
            }
            HmacMethod::Sha256 => {
                let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
                mac.update(data);
                mac.finalize().into_bytes().to_vec()
            }
        }
    }
}

/// Whether parameters with an empty value stand in the string to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Empties {
    Kept,
    Dropped,
}

/// How `true` and `false` stand in the string to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Truths {
    AsSent,
    /// `True` and `False`.
    Capitalised,
}

/// What a v1 request says of its signature; the parameters themselves stay with the call.
#[derive(Debug, Clone)]
pub(crate) struct Proof {
    pub(crate) secret_id: SecretId,
    pub(crate) method: Method,
    pub(crate) hmac: HmacMethod,
    /// As sent; whitespace at its ends is stripped, since one client's base64 ends in a newline.
    pub(crate) signature: String,
}

impl Proof {
    /// # Errors
    /// [`AuthError::SignatureForm`] or [`AuthError::Mismatch`].
    pub(crate) fn verify(&self, host: &str, pairs: &[(String, String)], secret: &SecretKey) -> Result<(), AuthError> {
        let expected = self.hmac.signature_len();
        let sent = STANDARD.decode(self.signature.trim()).ok().filter(|s| s.len() == expected);
        let sent = sent.ok_or(AuthError::SignatureForm { method: self.hmac.as_str(), expected })?;
        let pairs = sorted(pairs);
        let lower = host.to_ascii_lowercase();
        let hosts: &[&str] = if lower == host { &[host] } else { &[host, &lower] };
        let any_empty = pairs.iter().any(|(_, value)| value.is_empty());
        let empties: &[Empties] = if any_empty { &[Empties::Kept, Empties::Dropped] } else { &[Empties::Kept] };
        let any_truth = self.method == Method::Get && pairs.iter().any(|(_, value)| capitalised(value).is_some());
        let truths: &[Truths] = if any_truth { &[Truths::AsSent, Truths::Capitalised] } else { &[Truths::AsSent] };
        for &host in hosts {
            for (&empties, &truths) in empties.iter().flat_map(|it| truths.iter().map(move |truths| (it, truths))) {
                let to_sign = string_to_sign(self.method, host, &pairs, empties, truths);
                let computed = self.hmac.mac(secret.bytes(), to_sign.as_bytes());
                if bool::from(computed.ct_eq(&sent)) {
                    return Ok(());
                }
            }
        }
        let plain = string_to_sign(self.method, host, &pairs, Empties::Kept, Truths::AsSent);
        Err(AuthError::Mismatch(Box::new(Mismatch::V1 {
            host: host.to_owned(),
            method: self.hmac.as_str(),
            string_to_sign_sha256: hex(&Sha256::digest(plain)),
        })))
    }
}

/// The `Signature` parameter for these parameters (decoded, in any order; one named `Signature` is left out).
pub(crate) fn sign(
    method: Method,
    host: &str,
    pairs: &[(String, String)],
    hmac: HmacMethod,
    secret: &SecretKey,
) -> String {
    let to_sign = string_to_sign(method, host, &sorted(pairs), Empties::Kept, Truths::AsSent);
    STANDARD.encode(hmac.mac(secret.bytes(), to_sign.as_bytes()))
}

fn sorted(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
    let mut sorted: Vec<(&str, &str)> = pairs
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| *name != "Signature")
        .collect();
    sorted.sort_unstable();
    sorted
}

/// The other spelling of a boolean.
fn capitalised(value: &str) -> Option<&'static str> {
    match value {
        "true" => Some("True"),
        "false" => Some("False"),
        _ => None,
    }
}

fn string_to_sign(method: Method, host: &str, sorted: &[(&str, &str)], empties: Empties, truths: Truths) -> String {
    let length: usize = sorted.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    let mut out = String::with_capacity(method.as_str().len() + host.len() + 2 + length);
    out.push_str(method.as_str());
    out.push_str(host);
    out.push_str("/?");
    let mut separator = "";
    for (name, value) in sorted {
        if empties == Empties::Dropped && value.is_empty() {
            continue;
        }
        let value = match truths {
            Truths::AsSent => *value,
            Truths::Capitalised => capitalised(value).unwrap_or(value),
        };
        for piece in [separator, *name, "=", value] {
            out.push_str(piece);
        }
        separator = "&";
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a request with `UrlEncode=sent`, signed as if it were `signed`, is accepted.
    fn accepted(method: Method, signed: &str, sent: &str) -> bool {
        let pairs = |value: &str| {
            let pairs = [("Action", "PurgeUrlsCache"), ("Nonce", ""), ("UrlEncode", value)];
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
        };
        let (hmac, secret) = (HmacMethod::Sha256, SecretKey::new("k"));
        let signature = sign(method, "h.example", &pairs(signed), hmac, &secret);
        let secret_id = SecretId::parse("AKID").expect("a valid id");
        Proof { secret_id, method, hmac, signature }.verify("h.example", &pairs(sent), &secret).is_ok()
    }

    #[test]
    fn boolean_of_a_get_may_be_signed_as_python_writes_it_and_nothing_else_may_differ() {
        for value in ["true", "True", "x"] {
            assert!(accepted(Method::Get, value, value) && accepted(Method::Post, value, value), "{value}");
        }
        assert!(accepted(Method::Get, "True", "true") && accepted(Method::Get, "False", "false"));
        for (signed, sent) in [("true", "True"), ("False", "true"), ("True", "false"), ("TRUE", "true"), ("True", "x")]
        {
            assert!(!accepted(Method::Get, signed, sent), "{signed} {sent}");
        }
        assert!(!accepted(Method::Post, "True", "true"), "no client does that");
    }
}
