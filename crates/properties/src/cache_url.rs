//! Submitted URLs: whatever is accepted may stand in a request line as it is, and is the same URL when written out and read again.

use catharsis_core::domain::DomainName;
use catharsis_core::limits::{HOST_BYTES_MAX, URL_BYTES_MAX};
use catharsis_core::target::{CacheUrl, Encode, HostName, InvalidUrl};
use url::{Host, Url};

use crate::planted;

/// Longest reason, bytes: one sentence with two numbers.
const REASON_BYTES_MAX: usize = 200;

/// `data` is a URL in UTF-8; other bytes are no text and cannot come as far.
pub fn cache_url(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let submitted = CacheUrl::parse(text, Encode::AsSubmitted);
    let encoded = CacheUrl::parse(text, Encode::PercentEncode);
    match (submitted, encoded) {
        (Ok(submitted), Ok(encoded)) => {
            assert_url(&submitted);
            assert_url(&encoded);
            assert_eq!(submitted.encoded_path(), encoded.encoded_path(), "both spell the encoded path alike");
            assert_eq!(encoded.request_targets().raw, None, "an encoded URL has one spelling");
            assert_written_out(&submitted, &encoded);
            assert_seen_alike(text, &submitted);
        }
        (Err(submitted), Err(encoded)) => {
            assert_eq!(submitted, encoded, "how it is spelled does not matter to its form");
            assert_reason(text, submitted);
        }
        (submitted, encoded) => panic!("{submitted:?} as submitted, {encoded:?} when encoded"),
    }
    if let Err(error) = HostName::parse(text) {
        assert_reason(text, error);
    }
}

fn assert_url(url: &CacheUrl) {
    let host = url.host().as_str();
    let clean = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_');
    assert!((1..=HOST_BYTES_MAX).contains(&host.len()) && host.bytes().all(clean), "{host:?} is no host");
    assert!(!host.starts_with('.') && !host.ends_with('.') && !host.contains(".."), "{host:?} has an empty label");
    let targets = url.request_targets();
    let mut first = targets.encoded.to_string();
    if planted(url.port().is_some() && first.contains("%20")) {
        first = first.replace("%20", " ");
    }
    assert!(first.starts_with('/') && first.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'), "{first:?}");
    assert!(url.to_string().len() <= URL_BYTES_MAX, "{} bytes", url.to_string().len());
    if let Some(raw) = targets.raw.as_deref() {
        assert!(raw.starts_with('/') && !raw.is_ascii(), "{raw:?} is a second spelling of nothing");
        assert!(!raw.chars().any(|c| c.is_control() || c == ' ' || c == '#'), "{raw:?} breaks a request line");
        assert_eq!(percent_encoded(raw), targets.encoded, "two spellings of one path");
    }
    assert_eq!(HostName::parse(host).as_ref(), Ok(url.host()));
    assert_eq!(DomainName::parse(&format!("*.{host}")), Ok(DomainName::Below(url.host().clone())));
}

/// Written out, it is read as the same URL, however often.
fn assert_written_out(submitted: &CacheUrl, encoded: &CacheUrl) {
    assert_eq!(submitted.to_string(), encoded.to_string());
    assert_eq!(CacheUrl::parse(&encoded.to_string(), Encode::PercentEncode).as_ref(), Ok(encoded));
    assert_eq!(CacheUrl::parse(&encoded.to_string(), Encode::AsSubmitted).as_ref(), Ok(encoded));
}

/// Another reader of URLs, the one that browsers and many clients follow, sees the same scheme, host and port: else a purge would name another
/// site than the client fetches from. It reads a host of numbers as an address, which no domain here can be.
fn assert_seen_alike(text: &str, url: &CacheUrl) {
    let Ok(seen) = Url::parse(text) else { return };
    assert_eq!(seen.scheme(), url.scheme().as_str());
    assert_eq!(seen.port(), url.port(), "{text:?}");
    if let Some(Host::Domain(host)) = seen.host() {
        assert_eq!(host.strip_suffix('.').unwrap_or(host), url.host().as_str(), "{text:?}");
    }
}

fn assert_reason(text: &str, error: InvalidUrl) {
    let reason = error.to_string();
    assert!(!reason.is_empty() && reason.len() <= REASON_BYTES_MAX && !reason.contains(char::is_control), "{reason:?}");
    if let InvalidUrl::ControlCharacter { position } = error {
        let found = text.get(position..).and_then(|rest| rest.chars().next());
        assert!(found.is_some_and(char::is_control), "no control character at {position}");
    }
}

fn percent_encoded(raw: &str) -> String {
    raw.bytes().map(|b| if b.is_ascii_graphic() { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
