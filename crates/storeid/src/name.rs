//! What a request asks for, in the form in which it is compared and stored.
//!
//! What this is: a line of Squid's helper protocol taken apart; the site and path of a URL by the key
//! rules; the store id. What this is not: a check of the request, which Squid has made.
//!
//! Invariant: two requests get one store id only when the rules call them the same resource and no
//! purge lies between them. So what a client writes is told apart whatever it holds.

use std::borrow::Cow;
use std::fmt::Write as _;

use catharsis_core::keys::{KeyRules, SchemeRule};
use catharsis_core::target::Scheme;
use catharsis_edge::protocol::KeyHost;
use sha2::{Digest, Sha256};

/// A URL as the rules of its domain see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Scheme and host, with the port where it counts.
    pub site: String,
    /// Path and query.
    pub path: Vec<u8>,
}

/// How a line came to be text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// It was UTF-8.
    Utf8,
    /// It was not: each character stands for a byte.
    Bytes,
}

/// A request, as a line of the helper protocol tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// The channel, which the answer repeats.
    pub channel: &'a str,
    /// The scheme that the client used.
    pub scheme: Scheme,
    /// The host with its port.
    pub host: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// What its characters stand for.
    pub coding: Coding,
}

impl<'a> Asked<'a> {
    /// Takes a line apart: channel, URL, and what a TLS terminator wrote into `X-Forwarded-Proto`.
    /// `None` when there is no such URL.
    #[must_use]
    pub fn parse(line: &'a str, coding: Coding) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let channel = words.next()?;
        let url = words.next()?;
        let (own, rest) = match url.strip_prefix("http://") {
            Some(rest) => (Scheme::Http, rest),
            None => (Scheme::Https, url.strip_prefix("https://")?),
        };
        let scheme = match words.next() {
            Some(word) if word.eq_ignore_ascii_case("https") => Scheme::Https,
            Some(word) if word.eq_ignore_ascii_case("http") => Scheme::Http,
            Some(_) | None => own,
        };
        let end = rest.find('/').unwrap_or(rest.len());
        let (host, path) = rest.split_at(end);
        let path = if path.is_empty() { "/" } else { path };
        Some(Self { channel, scheme, host, path, coding })
    }

    /// What it asks for by these rules.
    #[must_use]
    pub fn resource(&self, rules: &KeyRules, host: Option<&KeyHost>) -> Resource {
        // A host that is none can be named by no purge but one of everything.
        let site = match host {
            Some(host) => sites(rules, host, Some(self.scheme)).swap_remove(0),
            None => format!("http://{}", self.host),
        };
        let path = rules.target(self.path).into_owned();
        let path = match self.coding {
            Coding::Utf8 => path.into_bytes(),
            // Rules look at ASCII only, and the order of such characters is that of the bytes.
            Coding::Bytes => path.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect(),
        };
        Resource { site, path }
    }
}

/// What stands for a host: two where the scheme counts and none is named.
#[must_use]
pub fn sites(rules: &KeyRules, host: &KeyHost, scheme: Option<Scheme>) -> Vec<String> {
    let name = match rules.port(host.port()) {
        Some(_) => host.as_str(),
        None => host.name(),
    };
    let site = |scheme: Scheme| format!("{}://{name}", scheme.as_str());
    match (rules.scheme, scheme) {
        (SchemeRule::Shared, _) => vec![site(Scheme::Http)],
        (SchemeRule::Separate, Some(scheme)) => vec![site(scheme)],
        (SchemeRule::Separate, None) => [Scheme::Http, Scheme::Https].map(site).into(),
    }
}

impl Resource {
    /// The store id at a point of an epoch. Such as stands in a quoted word of the helper protocol as it
    /// is; a URL that does not is named by its hash.
    #[must_use]
    pub fn store_id(&self, epoch: &str, point: u64) -> String {
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'));
        if let Ok(path) = std::str::from_utf8(&self.path)
            && plain(&self.site)
            && plain(path)
        {
            return format!("{}{path}#{epoch}.{point}", self.site);
        }
        // No URL begins like this.
        format!("sha256:{}#{epoch}.{point}", self.hash())
    }

    fn hash(&self) -> String {
        let mut hash = Sha256::new();
        for part in [self.site.as_bytes(), &self.path] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hex(&hash.finalize())
    }
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a text cannot fail.
        let _written = write!(text, "{byte:02x}");
    }
    text
}

/// A line that may hold bytes that are no UTF-8, as text: each such line by one character a byte.
#[must_use]
pub fn text(line: &[u8]) -> (Cow<'_, str>, Coding) {
    match std::str::from_utf8(line) {
        Ok(text) => (Cow::Borrowed(text), Coding::Utf8),
        Err(_) => (Cow::Owned(line.iter().map(|byte| char::from(*byte)).collect()), Coding::Bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_is_taken_apart_and_the_terminators_scheme_wins() {
        let asked = Asked::parse("7 http://a.test:8080/x?y https other", Coding::Utf8).expect("a request");
        let expect = ("7", Scheme::Https, "a.test:8080", "/x?y");
        assert_eq!((asked.channel, asked.scheme, asked.host, asked.path), expect);
        let asked = Asked::parse("0 http://a.test -", Coding::Utf8).expect("a request");
        assert_eq!((asked.scheme, asked.path), (Scheme::Http, "/"));
        for none in ["", "7", "7 a.test:443", "7 ftp://a.test/"] {
            assert_eq!(Asked::parse(none, Coding::Utf8), None, "{none}");
        }
    }

    #[test]
    fn store_id_tells_apart_whatever_a_client_writes() {
        let id = |path: &str, point| Resource { site: "http://a.test".into(), path: path.into() }.store_id("e", point);
        assert_eq!(id("/x", 3), "http://a.test/x#e.3");
        assert_ne!(id("/x", 3), id("/x#e.3", 3));
        let quoted = id("/\" ttl=1", 3);
        assert!(quoted.starts_with("sha256:") && !quoted.contains('"') && quoted.ends_with("#e.3"), "{quoted}");
        assert_ne!(quoted, id("/%22 ttl=1", 3));
    }
}
