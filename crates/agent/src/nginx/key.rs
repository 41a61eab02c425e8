//! The key under which nginx keeps a copy, both ways.
//!
//! What this is: the text of `proxy_cache_key` as a type that makes keys and reads them back. What this
//! is not: nginx's language; the variables below are known, no others.
//!
//! Invariant: a template that was accepted is read back in one way only: where one variable ends and
//! the next begins is never in doubt.

use std::fmt;
use std::str::FromStr;

use catharsis_core::target::{HostName, Scheme};
use catharsis_edge::protocol::KeyHost;

/// The text of `proxy_cache_key`. Of `$scheme`, `$request_method`, `$host` or `$http_host`,
/// `$request_uri` and fixed text; the host and `$request_uri` must be there, the latter at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTemplate {
    text: Box<str>,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Scheme,
    Method,
    /// `$host`: lower case, without a port.
    Host,
    /// `$http_host`: as the client wrote it.
    HttpHost,
    Target,
}

/// Why a key's template is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// nginx's default key.
    #[error(
        "$proxy_host is the name of the origin, not of the site: two sites would share their copies. Write $host in \
         proxy_cache_key instead, as in $scheme://$host$request_uri"
    )]
    ProxyHost,
    /// Another variable.
    #[error("${0} is not known: use $scheme, $request_method, $host or $http_host, and $request_uri")]
    Unknown(String),
    /// A variable, or both forms of the host.
    #[error("{0} stands in the key twice")]
    Twice(&'static str),
    /// Without a host.
    #[error("the key has no $host or $http_host: two sites would share their copies")]
    NoHost,
    /// Without a target.
    #[error("the key does not end with $request_uri: put it there, and nothing behind it")]
    NoTarget,
    /// Two parts that run into each other.
    #[error("where {before} ends and {after} begins cannot be told: put a fixed text such as | between them")]
    Ambiguous {
        /// The first part.
        before: String,
        /// The one behind it.
        after: String,
    },
    /// A `$` without a name.
    #[error("a $ must be followed by a variable's name")]
    Dollar,
}

/// What a key says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ParsedKey<'a> {
    pub(super) scheme: Option<Scheme>,
    pub(super) host: HostName,
    pub(super) port: Option<u16>,
    pub(super) target: &'a [u8],
}

impl Part {
    const fn name(&self) -> &'static str {
        match self {
            Self::Text(_) => "a fixed text",
            Self::Scheme => "$scheme",
            Self::Method => "$request_method",
            Self::Host => "$host",
            Self::HttpHost => "$http_host",
            Self::Target => "$request_uri",
        }
    }

    /// Whether this byte behind the part could belong to it.
    const fn goes_on_with(&self, byte: u8) -> bool {
        match self {
            Self::Text(_) => false,
            // `http` and `s`.
            Self::Scheme => byte == b's',
            Self::Method => byte.is_ascii_uppercase(),
            Self::Host => byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.'),
            Self::HttpHost => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':'),
            Self::Target => true,
        }
    }

    /// Whether the part can begin with this byte.
    fn begins_with(&self, byte: u8) -> bool {
        match self {
            Self::Text(text) => text.as_bytes().first() == Some(&byte),
            Self::Scheme => byte == b'h',
            Self::Method | Self::Host | Self::HttpHost => self.goes_on_with(byte),
            Self::Target => byte == b'/',
        }
    }
}

impl KeyTemplate {
    /// Whether the key tells http from https.
    pub(super) fn has_scheme(&self) -> bool {
        self.parts.contains(&Part::Scheme)
    }

    /// Whether the key tells ports from each other.
    pub(super) fn has_port(&self) -> bool {
        self.parts.contains(&Part::HttpHost)
    }

    /// Reads a key; `None` for one of another template, or whose host is no host name.
    pub(super) fn read<'a>(&self, key: &'a [u8]) -> Option<ParsedKey<'a>> {
        let (mut scheme, mut host, mut rest) = (None, None, key);
        for part in &self.parts {
            let end = rest.iter().position(|byte| !part.goes_on_with(*byte)).unwrap_or(rest.len());
            match part {
                Part::Text(text) => rest = rest.strip_prefix(text.as_bytes())?,
                Part::Scheme => {
                    let of = [Scheme::Https, Scheme::Http].into_iter();
                    let (found, behind) =
                        of.filter_map(|it| Some((it, rest.strip_prefix(it.as_str().as_bytes())?))).next()?;
                    (scheme, rest) = (Some(found), behind);
                }
                Part::Method => rest = &rest[end..],
                Part::Host | Part::HttpHost => {
                    host = Some(KeyHost::parse(std::str::from_utf8(&rest[..end]).ok()?).ok()?);
                    rest = &rest[end..];
                }
                Part::Target => {}
            }
        }
        let host = host?;
        let name = HostName::parse(host.name()).ok()?;
        rest.starts_with(b"/").then_some(ParsedKey { scheme, host: name, port: host.port(), target: rest })
    }

    /// The keys under which nginx keeps what is asked for in this way; of both schemes when none is
    /// given. HEAD is asked for as GET unless nginx is told otherwise.
    pub(super) fn keys(&self, scheme: Option<Scheme>, host: &KeyHost, target: &str) -> Vec<String> {
        let mut keys = vec![String::new()];
        for part in &self.parts {
            let words: Vec<&str> = match part {
                Part::Text(text) => vec![text],
                Part::Scheme => scheme.map_or_else(|| vec!["http", "https"], |it| vec![it.as_str()]),
                Part::Method => vec!["GET", "HEAD"],
                Part::Host => vec![host.name()],
                Part::HttpHost => vec![host.as_str()],
                Part::Target => vec![target],
            };
            keys = keys.iter().flat_map(|key| words.iter().map(move |word| format!("{key}{word}"))).collect();
        }
        keys
    }

    fn check(&self) -> Result<(), InvalidTemplate> {
        for part in [Part::Scheme, Part::Method, Part::Host, Part::HttpHost, Part::Target] {
            if self.parts.iter().filter(|it| **it == part).count() > 1 {
                return Err(InvalidTemplate::Twice(part.name()));
            }
        }
        match (self.parts.contains(&Part::Host), self.parts.contains(&Part::HttpHost)) {
            (true, true) => return Err(InvalidTemplate::Twice("the host")),
            (false, false) => return Err(InvalidTemplate::NoHost),
            (true, false) | (false, true) => {}
        }
        if self.parts.last() != Some(&Part::Target) {
            return Err(InvalidTemplate::NoTarget);
        }
        for pair in self.parts.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            if (0..=u8::MAX).any(|byte| before.goes_on_with(byte) && after.begins_with(byte)) {
                let (before, after) = (before.name().to_owned(), after.name().to_owned());
                return Err(InvalidTemplate::Ambiguous { before, after });
            }
        }
        Ok(())
    }
}

impl FromStr for KeyTemplate {
    type Err = InvalidTemplate;

    fn from_str(text: &str) -> Result<Self, InvalidTemplate> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (fixed, from) = rest.split_at(rest.find('$').unwrap_or(rest.len()));
            if !fixed.is_empty() {
                parts.push(Part::Text(fixed.into()));
            }
            let Some(variable) = from.strip_prefix('$') else { break };
            let (name, behind) = match variable.strip_prefix('{') {
                Some(braced) => braced.split_once('}').ok_or(InvalidTemplate::Dollar)?,
                None => {
                    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                    variable.split_at(variable.find(|c| !is_name(c)).unwrap_or(variable.len()))
                }
            };
            parts.push(match name {
                "" => return Err(InvalidTemplate::Dollar),
                "scheme" => Part::Scheme,
                "request_method" => Part::Method,
                "host" => Part::Host,
                "http_host" => Part::HttpHost,
                "request_uri" => Part::Target,
                "proxy_host" => return Err(InvalidTemplate::ProxyHost),
                other => return Err(InvalidTemplate::Unknown(other.to_owned())),
            });
            rest = behind;
        }
        let template = Self { text: text.into(), parts };
        template.check()?;
        Ok(template)
    }
}

impl fmt::Display for KeyTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
