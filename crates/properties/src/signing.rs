//! Signatures as the vendor documents them, written apart from `catharsis-tcapi`, so that both can be compared.
//!
//! One key, one host, one second. Not a client: what is signed are raw texts, well formed or not.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use url::form_urlencoded;

/// The key that each target knows.
pub(crate) const SECRET: &str = "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE";
/// Its id.
pub(crate) const SECRET_ID: &str = "AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE";
/// The host that signed requests are for.
pub(crate) const HOST: &str = "cdn.tencentcloudapi.com";
/// 2019-02-25 16:44:25 UTC, the second of the documentation's samples.
pub(crate) const NOW: i64 = 1_551_113_065;
/// Its day.
pub(crate) const DAY: &str = "2019-02-25";

/// What a TC3 signature is computed from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tc3<'a> {
    pub(crate) method: &'a str,
    pub(crate) query: &'a str,
    /// Name and value of each signed header, in the order of the list.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    /// The body, or `UNSIGNED-PAYLOAD`.
    pub(crate) payload: &'a [u8],
    pub(crate) timestamp: i64,
    pub(crate) day: &'a str,
    pub(crate) service: &'a str,
}

impl Tc3<'_> {
    /// `SignedHeaders`.
    pub(crate) fn names(&self) -> String {
        self.headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";")
    }

    /// `Signature`.
    pub(crate) fn signature(&self) -> String {
        let Tc3 { method, query, payload, timestamp, day, service, .. } = *self;
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let canonical = format!("{method}\n/\n{query}\n{headers}\n{}\n{}", self.names(), hex(&Sha256::digest(payload)));
        let to_sign = format!(
            "TC3-HMAC-SHA256\n{timestamp}\n{day}/{service}/tc3_request\n{}",
            hex(&Sha256::digest(canonical.as_bytes()))
        );
        let day_key = hmac256(format!("TC3{SECRET}").as_bytes(), day);
        let service_key = hmac256(&day_key, service);
        let key = hmac256(&service_key, "tc3_request");
        hex(&hmac256(&key, &to_sign))
    }

    /// The whole `Authorization` header.
    pub(crate) fn authorization(&self) -> String {
        let Tc3 { day, service, .. } = *self;
        format!(
            "TC3-HMAC-SHA256 Credential={SECRET_ID}/{day}/{service}/tc3_request, SignedHeaders={}, Signature={}",
            self.names(),
            self.signature()
        )
    }
}

/// `SignatureMethod` of the first kind of signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum V1Method {
    Sha1,
    Sha256,
}

/// The raw parameters with the common ones and the signature behind them.
pub(crate) fn v1(http_method: &str, method: V1Method, action: &str, raw: &str) -> String {
    let name = match method {
        V1Method::Sha1 => "HmacSHA1",
        V1Method::Sha256 => "HmacSHA256",
    };
    let common = format!(
        "Action={action}&Version=2018-06-06&Timestamp={NOW}&Nonce=1&SecretId={SECRET_ID}&SignatureMethod={name}"
    );
    let unsigned = format!("{raw}&{common}");
    let mut pairs: Vec<_> = form_urlencoded::parse(unsigned.as_bytes()).into_owned().collect();
    pairs.sort();
    let joined: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let to_sign = format!("{http_method}{HOST}/?{}", joined.join("&"));
    let signature = STANDARD.encode(match method {
        V1Method::Sha1 => hmac1(SECRET.as_bytes(), &to_sign),
        V1Method::Sha256 => hmac256(SECRET.as_bytes(), &to_sign),
    });
    let signature: String = form_urlencoded::byte_serialize(signature.as_bytes()).collect();
    format!("{unsigned}&Signature={signature}")
}

fn hmac256(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hmac1(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
