//! What a purge tells the caches to forget.
//!
//! What this is: the parser of submitted URLs and directories and the types it yields. A [`CacheUrl`]
//! is what a cache would see of the URL: host, port, and the bytes of the request target. A
//! [`CachePrefix`] names all URLs below a directory.
//!
//! What this is not: a normaliser. Caches compare keys byte by byte (measured on Varnish, nginx,
//! Squid and Traffic Server: `%7E` and `~`, `%c3` and `%C3`, `//` and `/` are different objects), so
//! a path is kept as submitted. Only the host is put into the one form that clients send.
//!
//! Invariant: whatever [`CacheUrl::request_targets`] yields may stand in an HTTP/1.1 request line,
//! and the host in a `Host` header, with nothing escaped any further.

use std::borrow::{Borrow, Cow};
use std::fmt;

use crate::limits::{HOST_BYTES_MAX, LABEL_BYTES_MAX, URL_BYTES_MAX};

/// What is to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// One URL with all its variants.
    Url(CacheUrl),
    /// All URLs at and below a directory.
    Prefix(CachePrefix),
    /// Whatever the cache holds: for a node of unknown content.
    Everything,
}

impl Target {
    /// The host that it is about; `None` for everything.
    #[must_use]
    pub const fn host(&self) -> Option<&HostName> {
        match self {
            Self::Url(url) => Some(url.host()),
            Self::Prefix(prefix) => Some(prefix.host()),
            Self::Everything => None,
        }
    }
}

/// How a removed copy may still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Marked stale: the next request revalidates it with the origin.
    Expire,
    /// Gone: the next request fetches it whole.
    Delete,
}

/// Whether non-ASCII characters are percent-encoded before the purge (`UrlEncode` of the contract).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encode {
    /// `UrlEncode: false`, the default: the URL is purged in the spelling submitted and, since HTTP
    /// clients disagree about sending non-ASCII characters raw, in the percent-encoded one too.
    #[default]
    AsSubmitted,
    /// `UrlEncode: true`: non-ASCII characters are percent-encoded (UTF-8), and only that spelling
    /// is purged. Existing `%xx` stay, so that encoding twice changes nothing.
    PercentEncode,
}

/// `http` or `https`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain HTTP, default port 80.
    Http,
    /// HTTP over TLS, default port 443.
    Https,
}

impl Scheme {
    /// The scheme as it stands before `://`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A host name in the form that clients send: lower case, punycode, no trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(Box<str>);

impl HostName {
    /// Parses a host name; international names become punycode (UTS 46).
    ///
    /// # Errors
    /// [`InvalidUrl::Wildcard`] when it holds a `*`, else [`InvalidUrl::BadHost`] when it is empty,
    /// too long, or holds anything but letters, digits, `-`, `_` and `.`.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        if text.contains('*') {
            return Err(InvalidUrl::Wildcard);
        }
        // A raw name longer than this cannot become a valid one, and the bound keeps IDNA cheap.
        if text.len() > 4 * HOST_BYTES_MAX {
            return Err(InvalidUrl::BadHost);
        }
        let ascii: Cow<'_, str> = if text.is_ascii() {
            Cow::Borrowed(text)
        } else {
            Cow::Owned(idna::domain_to_ascii(text).map_err(|_| InvalidUrl::BadHost)?)
        };
        let name = ascii.strip_suffix('.').unwrap_or(&ascii);
        if name.len() > HOST_BYTES_MAX || !name.split('.').all(label_is_valid) {
            return Err(InvalidUrl::BadHost);
        }
        Ok(Self(name.to_ascii_lowercase().into_boxed_str()))
    }

    /// The name.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.0
    }

    /// The names above it, the nearest first: `b.c` and `c` for `a.b.c`.
    pub fn parents(&self) -> impl Iterator<Item = Self> + '_ {
        let name = self.as_str();
        name.match_indices('.').filter_map(|(dot, _)| Self::parse(&name[dot + 1..]).ok())
    }
}

// Equal, ordered and hashed as its text is, so that a map by host can be asked with a text.
impl Borrow<str> for HostName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn label_is_valid(label: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// A URL as caches see it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CacheUrl {
    scheme: Scheme,
    host: HostName,
    port: Option<u16>,
    path: Box<str>,
}

impl CacheUrl {
    /// Parses a submitted URL.
    ///
    /// # Errors
    /// [`InvalidUrl`] says what is wrong; nothing is ever repaired silently, except that an absent
    /// path means `/`, a default port is dropped and blanks in the path are percent-encoded when
    /// the URL is sent (no request line can hold them).
    pub fn parse(text: &str, encode: Encode) -> Result<Self, InvalidUrl> {
        // Encoding makes a byte into three at most, so this bounds all that follows.
        if text.len() > URL_BYTES_MAX {
            return Err(InvalidUrl::TooLong);
        }
        let (scheme, rest) = split_scheme(text)?;
        if let Some(position) = text.char_indices().find(|(_, c)| c.is_control()) {
            return Err(InvalidUrl::ControlCharacter { position: position.0 });
        }
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (host, port) = parse_authority(authority, scheme)?;
        let path = parse_path(path, encode)?;
        let url = Self { scheme, host, port, path };
        let length = scheme.as_str().len() + "://".len() + url.host_header().len() + encoded_len(&url.path);
        if length > URL_BYTES_MAX { Err(InvalidUrl::TooLong) } else { Ok(url) }
    }

    /// The scheme.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host name.
    #[must_use]
    pub const fn host(&self) -> &HostName {
        &self.host
    }

    /// The port, when it is not the scheme's default.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// The value of the `Host` header of a request for this URL.
    #[must_use]
    pub fn host_header(&self) -> Cow<'_, str> {
        match self.port {
            None => Cow::Borrowed(self.host.as_str()),
            Some(port) => Cow::Owned(format!("{}:{port}", self.host)),
        }
    }

    /// Path and query, in the spelling that is purged first: bytes 0x21 to 0x7e only.
    #[must_use]
    pub fn encoded_path(&self) -> Cow<'_, str> {
        if self.path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Cow::Borrowed(&self.path);
        }
        let mut encoded = String::with_capacity(encoded_len(&self.path));
        for byte in self.path.bytes() {
            push_encoded(&mut encoded, byte);
        }
        Cow::Owned(encoded)
    }

    /// The request targets (RFC 9112 section 3.2.1) under which caches can hold this URL: one, or
    /// two when it was submitted with raw non-ASCII characters. Never a blank, a control character
    /// or a fragment.
    #[must_use]
    pub fn request_targets(&self) -> RequestTargets<'_> {
        let raw = (!self.path.is_ascii()).then(|| encode_blanks(&self.path));
        RequestTargets { encoded: self.encoded_path(), raw }
    }
}

impl fmt::Display for CacheUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.as_str(), self.host_header(), self.encoded_path())
    }
}

/// A directory: all URLs of a host whose request target lies at or below it.
///
/// A prefix ends at a segment boundary. `/img/` covers every request target that begins with it;
/// `/img` covers `/img` itself, what begins with `/img/` and what begins with `/img?`, but not
/// `/img2`. `/` covers the whole host, and a path is compared byte by byte as everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CachePrefix(CacheUrl);

impl CachePrefix {
    /// Parses a submitted directory, by the rules of [`CacheUrl::parse`]; a query is refused.
    ///
    /// # Errors
    /// [`InvalidUrl`] says what is wrong.
    pub fn parse(text: &str, encode: Encode) -> Result<Self, InvalidUrl> {
        let url = CacheUrl::parse(text, encode)?;
        if url.path.contains('?') { Err(InvalidUrl::Query) } else { Ok(Self(url)) }
    }

    /// The scheme.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.0.scheme()
    }

    /// The host name.
    #[must_use]
    pub const fn host(&self) -> &HostName {
        self.0.host()
    }

    /// The port, when it is not the scheme's default.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.0.port()
    }

    /// The value of the `Host` header of a request for what it covers.
    #[must_use]
    pub fn host_header(&self) -> Cow<'_, str> {
        self.0.host_header()
    }

    /// The directory, in the spelling that is purged first: bytes 0x21 to 0x7e only.
    #[must_use]
    pub fn encoded_path(&self) -> Cow<'_, str> {
        self.0.encoded_path()
    }

    /// The spellings of the directory with which the request targets begin: one, or two when it was
    /// submitted with raw non-ASCII characters.
    #[must_use]
    pub fn request_targets(&self) -> RequestTargets<'_> {
        self.0.request_targets()
    }

    /// Whether a purge of this directory purges that URL too: each request target of the URL is at
    /// or below one of its spellings, on the same host and port. The scheme is no part of it.
    #[must_use]
    pub fn covers(&self, url: &CacheUrl) -> bool {
        let spellings = self.request_targets();
        let covered = |target: &str| spellings.iter().any(|prefix| prefix_covers(prefix, target));
        self.host() == url.host() && self.port() == url.port() && url.request_targets().iter().all(covered)
    }
}

impl fmt::Display for CachePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether a request target is at or below one spelling of a directory: see [`CachePrefix`].
#[must_use]
pub fn prefix_covers(prefix: &str, target: &str) -> bool {
    target
        .strip_prefix(prefix)
        .is_some_and(|rest| prefix.ends_with('/') || rest.is_empty() || rest.starts_with(['/', '?']))
}

/// Where in a request target the directories end that cover it, ascending: beside each `/` of its
/// path, and at the end of the path. A directory covers the target exactly when it is what stands
/// before one of these ends.
pub fn prefix_ends(target: &[u8]) -> impl Iterator<Item = usize> {
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let is_end = |end: &usize| path[end - 1] == b'/' || path.get(*end).is_none_or(|next| *next == b'/');
    (1..=path.len()).filter(is_end)
}

/// The spellings of a URL's path and query that go into request lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestTargets<'a> {
    /// All non-ASCII bytes and blanks percent-encoded.
    pub encoded: Cow<'a, str>,
    /// Non-ASCII characters as submitted; absent when there are none.
    pub raw: Option<Cow<'a, str>>,
}

impl RequestTargets<'_> {
    /// The spellings.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.encoded.as_ref()).chain(self.raw.as_deref())
    }
}

/// Why a text is not a URL that can be purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// Neither `http://` nor `https://` stands in front.
    #[error("it must begin with http:// or https://")]
    NoScheme,
    /// A wildcard host, or a path segment that begins or ends with `*`.
    #[error("wildcards are not purged: name each URL (a literal * may stand inside a path segment or in the query)")]
    Wildcard,
    /// Longer than [`URL_BYTES_MAX`] once percent-encoded.
    #[error("it is longer than {URL_BYTES_MAX} bytes when percent-encoded")]
    TooLong,
    /// CR, LF, NUL, tab or another control character.
    #[error("a control character stands at byte {position}")]
    ControlCharacter {
        /// Byte offset in the submitted text.
        position: usize,
    },
    /// `user:password@` before the host.
    #[error("user information before the host is not allowed")]
    UserInfo,
    /// A `#fragment`, which no cache ever sees.
    #[error("a fragment (#...) is never sent to a cache: leave it out")]
    Fragment,
    /// A `?query` after a directory.
    #[error("a directory has no query (?...): leave it out")]
    Query,
    /// A port that is empty, not a number, 0 or above 65535.
    #[error("the port is not a number from 1 to 65535")]
    BadPort,
    /// A host that is no host name.
    #[error("the host is not a valid host name")]
    BadHost,
}

fn split_scheme(text: &str) -> Result<(Scheme, &str), InvalidUrl> {
    let strip = |prefix: &str| {
        let head = text.get(..prefix.len())?;
        head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
    };
    if let Some(rest) = strip("http://") {
        Ok((Scheme::Http, rest))
    } else if let Some(rest) = strip("https://") {
        Ok((Scheme::Https, rest))
    } else {
        Err(InvalidUrl::NoScheme)
    }
}

fn parse_authority(text: &str, scheme: Scheme) -> Result<(HostName, Option<u16>), InvalidUrl> {
    if text.contains('@') {
        return Err(InvalidUrl::UserInfo);
    }
    let (host, port) = match text.split_once(':') {
        None => (text, None),
        Some((host, port)) => (host, Some(parse_port(port)?)),
    };
    let host = HostName::parse(host)?;
    Ok((host, port.filter(|port| *port != scheme.default_port())))
}

fn parse_port(text: &str) -> Result<u16, InvalidUrl> {
    if text.len() > 5 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidUrl::BadPort);
    }
    text.parse().ok().filter(|port| *port != 0).ok_or(InvalidUrl::BadPort)
}

fn parse_path(text: &str, encode: Encode) -> Result<Box<str>, InvalidUrl> {
    if text.contains('#') {
        return Err(InvalidUrl::Fragment);
    }
    // `http://host\path`: browsers read a slash, other clients a host; neither reading is safe.
    if text.starts_with('\\') {
        return Err(InvalidUrl::BadHost);
    }
    let path = text.split('?').next().unwrap_or_default();
    if path.split('/').any(|segment| segment.starts_with('*') || segment.ends_with('*')) {
        return Err(InvalidUrl::Wildcard);
    }
    let rooted = if text.starts_with('/') { Cow::Borrowed(text) } else { Cow::Owned(format!("/{text}")) };
    Ok(match encode {
        Encode::PercentEncode if !rooted.is_ascii() || rooted.contains(' ') => {
            let mut encoded = String::with_capacity(encoded_len(&rooted));
            rooted.bytes().for_each(|byte| push_encoded(&mut encoded, byte));
            encoded.into_boxed_str()
        }
        Encode::PercentEncode | Encode::AsSubmitted => rooted.into_owned().into_boxed_str(),
    })
}

fn encoded_len(text: &str) -> usize {
    text.bytes().map(|byte| if byte.is_ascii_graphic() { 1 } else { 3 }).sum()
}

fn push_encoded(out: &mut String, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if byte.is_ascii_graphic() {
        out.push(char::from(byte));
    } else {
        out.push('%');
        out.push(char::from(HEX[usize::from(byte >> 4)]));
        out.push(char::from(HEX[usize::from(byte & 15)]));
    }
}

fn encode_blanks(text: &str) -> Cow<'_, str> {
    if text.contains(' ') { Cow::Owned(text.replace(' ', "%20")) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, encode: Encode, expect: Result<&[&str], InvalidUrl>) {
        let parsed = CacheUrl::parse(text, encode);
        let seen = parsed.map(|url| {
            let host = url.host_header().into_owned();
            url.request_targets().iter().map(|path| format!("{host}{path}")).collect::<Vec<_>>()
        });
        assert_eq!(seen, expect.map(|list| list.iter().map(ToString::to_string).collect()), "{text:?}");
    }

    #[test]
    fn url_keeps_its_path_byte_by_byte_and_normalises_only_the_host() {
        use Encode::AsSubmitted as A;
        check("http://WWW.Example.test/a/../b//%7E%c3?b=1&a=2", A, Ok(&["www.example.test/a/../b//%7E%c3?b=1&a=2"]));
        check("HTTPS://example.test", A, Ok(&["example.test/"]));
        check("https://example.test.:443/x", A, Ok(&["example.test/x"]));
        check("http://example.test:80?q", A, Ok(&["example.test/?q"]));
        check("http://example.test:8080/", A, Ok(&["example.test:8080/"]));
        check("http://bücher.example/", A, Ok(&["xn--bcher-kva.example/"]));
        check("http://a.test/~it's(1)*x+y;&<", A, Ok(&["a.test/~it's(1)*x+y;&<"]));
        check("http://a.test/find?name=*.jpg", A, Ok(&["a.test/find?name=*.jpg"]));
    }

    #[test]
    fn url_with_raw_characters_is_purged_in_both_spellings_unless_encoded() {
        check("http://a.test/中 文", Encode::AsSubmitted, Ok(&["a.test/%E4%B8%AD%20%E6%96%87", "a.test/中%20文"]));
        check("http://a.test/中%20文", Encode::PercentEncode, Ok(&["a.test/%E4%B8%AD%20%E6%96%87"]));
        check("http://a.test/a b", Encode::AsSubmitted, Ok(&["a.test/a%20b"]));
    }

    #[test]
    fn url_that_no_cache_could_hold_is_refused_with_its_reason() {
        use Encode::AsSubmitted as A;
        for (text, why) in [
            ("", InvalidUrl::NoScheme),
            ("www.a.test/x", InvalidUrl::NoScheme),
            ("ftp://a.test/", InvalidUrl::NoScheme),
            ("http:/a.test/", InvalidUrl::NoScheme),
            ("http://", InvalidUrl::BadHost),
            ("http:///x", InvalidUrl::BadHost),
            ("http://a b.test/", InvalidUrl::BadHost),
            ("http://a..test/", InvalidUrl::BadHost),
            ("http://[::1]/", InvalidUrl::BadPort),
            ("http://a.test\\@b.test/", InvalidUrl::BadHost),
            ("http://*.a.test/", InvalidUrl::Wildcard),
            ("http://a.test/img/*", InvalidUrl::Wildcard),
            ("http://a.test/img/*.jpg?x", InvalidUrl::Wildcard),
            ("http://u:p@a.test/", InvalidUrl::UserInfo),
            ("http://a.test:/", InvalidUrl::BadPort),
            ("http://a.test:0/", InvalidUrl::BadPort),
            ("http://a.test:65536/", InvalidUrl::BadPort),
            ("http://a.test:8o/", InvalidUrl::BadPort),
            ("http://a.test/#x", InvalidUrl::Fragment),
            ("http://a.test/a\r\nHost: b", InvalidUrl::ControlCharacter { position: 15 }),
            ("http://a.test/\u{7f}", InvalidUrl::ControlCharacter { position: 14 }),
            ("http://a.test/\u{85}", InvalidUrl::ControlCharacter { position: 14 }),
        ] {
            check(text, A, Err(why));
        }
        let long = format!("http://a.test/{}", "中".repeat(URL_BYTES_MAX / 9));
        check(&long, A, Err(InvalidUrl::TooLong));
    }

    #[test]
    fn directory_ends_at_a_segment_boundary() {
        let covers = |prefix: &str, url: &str| {
            let prefix = CachePrefix::parse(prefix, Encode::AsSubmitted).expect("a valid directory");
            prefix.covers(&CacheUrl::parse(url, Encode::AsSubmitted).expect("a valid URL"))
        };
        for url in ["http://a.test/img", "https://A.test/img/", "http://a.test/img/a/b?q", "http://a.test/img?q=/"] {
            assert!(covers("http://a.test/img", url), "{url}");
        }
        for url in ["http://a.test/img2/x", "http://a.test/im", "http://a.test/IMG/x", "http://b.test/img/x"] {
            assert!(!covers("http://a.test/img", url), "{url}");
        }
        assert!(covers("http://a.test/img/", "http://a.test/img/?q"));
        assert!(!covers("http://a.test/img/", "http://a.test/img"));
        assert!(!covers("http://a.test:8080/", "http://a.test/"));
        assert!(covers("http://a.test", "http://a.test?q"));
        // The raw spelling of the URL is purged too, and a directory of the encoded one only does not reach it.
        assert!(covers("http://a.test/中", "http://a.test/中/文"));
        assert!(!covers("http://a.test/%E4%B8%AD", "http://a.test/中/文"));
        assert_eq!(CachePrefix::parse("http://a.test/x?q", Encode::AsSubmitted), Err(InvalidUrl::Query));
        assert_eq!(CachePrefix::parse("http://a.test/x/*", Encode::AsSubmitted), Err(InvalidUrl::Wildcard));
        assert_eq!(CachePrefix::parse("a.test/x/", Encode::AsSubmitted), Err(InvalidUrl::NoScheme));
    }

    /// What "at a segment boundary" means, written down once more without looking at the code: with
    /// one more slash at the end of both, or a query cut off, the one begins with the other.
    fn lies_below(prefix: &str, target: &str) -> bool {
        let path = target.split('?').next().unwrap_or_default();
        if prefix.ends_with('/') {
            path.starts_with(prefix)
        } else {
            format!("{path}/").starts_with(&format!("{prefix}/"))
        }
    }

    #[test]
    fn url_may_have_as_many_bytes_as_the_limit_says_and_no_more() {
        for start in ["http://a.test/", "https://a.test:8080/"] {
            let longest = format!("{start}{}", "x".repeat(URL_BYTES_MAX - start.len()));
            assert!(CacheUrl::parse(&longest, Encode::AsSubmitted).is_ok());
            check(&format!("{longest}x"), Encode::AsSubmitted, Err(InvalidUrl::TooLong));
        }
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_fits_a_request_line(text in "(http|https)://\\PC{0,20}(/[\\PC\\x00-\\x20]{0,40})?", encode in prop_oneof![Just(Encode::AsSubmitted), Just(Encode::PercentEncode)]) {
            if let Ok(url) = CacheUrl::parse(&text, encode) {
                prop_assert!(url.host().as_str().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_')));
                for target in url.request_targets().iter() {
                    prop_assert!(target.starts_with('/'));
                    prop_assert!(!target.chars().any(|c| c.is_control() || c == ' ' || c == '#'));
                    prop_assert!(target.len() <= URL_BYTES_MAX);
                }
                prop_assert!(url.encoded_path().bytes().all(|b| b.is_ascii_graphic()));
            }
        }

        #[test]
        fn directory_covers_what_lies_below_it(
            (host, prefix) in ("[ab]", "(/[ab中]{0,2}){1,3}"),
            (other, path) in ("[ab]", "(/[ab中]{0,2}){1,4}(\\?[ab/]{0,3})?"),
            encode in prop_oneof![Just(Encode::AsSubmitted), Just(Encode::PercentEncode)],
        ) {
            let directory = CachePrefix::parse(&format!("http://{host}.test{prefix}"), Encode::AsSubmitted);
            let directory = directory.expect("a valid directory");
            let url = CacheUrl::parse(&format!("https://{other}.test{path}"), encode).expect("a valid URL");
            // Both spellings of the directory are purged, so how the URL is spelt makes no difference.
            prop_assert_eq!(directory.covers(&url), host == other && lies_below(&prefix, &path));
        }

        #[test]
        fn directories_of_a_target_are_those_that_cover_it(
            prefix in "(/[ab]{0,2}){1,3}",
            target in "(/[ab]{0,2}){1,4}(\\?[ab/]{0,3})?",
        ) {
            let mut directories = prefix_ends(target.as_bytes()).map(|end| &target[..end]);
            prop_assert_eq!(directories.any(|it| it == prefix), prefix_covers(&prefix, &target));
            prop_assert!(prefix_ends(target.as_bytes()).is_sorted_by(|a, b| a < b));
        }

        #[test]
        fn encoding_twice_changes_nothing(path in "/\\PC{0,40}") {
            if let Ok(once) = CacheUrl::parse(&format!("http://a.test{path}"), Encode::PercentEncode) {
                prop_assert_eq!(CacheUrl::parse(&once.to_string(), Encode::PercentEncode), Ok(once));
            }
        }
    }
}
