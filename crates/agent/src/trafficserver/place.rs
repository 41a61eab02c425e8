//! What a rule names, and the pattern that says so.
//!
//! What this is: a [`Place`], its pattern for the plugin's PCRE, and the way back. What this is not: a
//! general pattern. There are three forms, and each byte that is not a letter, a digit, `/`, `_` or `-`
//! stands as `\xNN`; so nothing of a directory's name is ever read as a pattern, a blank or a new line.
//!
//! Invariant: the pattern of a place matches a URL exactly when the place covers it, as
//! `catharsis_core::target::prefix_covers` says.

use std::fmt::Write as _;

use catharsis_core::keys::{KeyRules, SchemeRule};
use catharsis_core::target::{Scheme, prefix_covers};
use catharsis_edge::protocol::WirePrefix;

/// Bytes of a line, its end included: the plugin cuts a longer one in two (`LINE_MAX`, 2,048).
pub const LINE_BYTES_MAX: usize = 2_000;
/// Bytes of a line beside its pattern: two blanks, a time of 10 digits, the word, the end.
const BESIDE_PATTERN: usize = 20;

const BEGIN: &str = "^http://";
const BOUNDARY: &str = r"(?:[/?]|\z)";

/// What a rule names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Whatever there is.
    Everything,
    /// What lies at and below a directory.
    Below {
        /// Host, and port where that is part of the key, as Traffic Server has them after mapping.
        host: Box<str>,
        /// The directory, from its first and only leading slash on.
        path: Box<str>,
    },
}

impl Place {
    /// A directory of a host. Traffic Server drops all but one of a path's leading slashes. One whose pattern
    /// does not fit into a line becomes the nearest directory above that does, so more than was asked is purged.
    #[must_use]
    pub fn below(host: &str, path: &str) -> Self {
        let mut path = format!("/{}", path.trim_start_matches('/'));
        while pattern_of(host, &path).len() + BESIDE_PATTERN > LINE_BYTES_MAX && path.len() > 1 {
            path = parent(&path).to_owned();
        }
        Self::Below { host: host.into(), path: path.into() }
    }

    /// The places that stand for a directory on the wire, by the rules of its domain. Without rules, each form that any
    /// rules could give it.
    #[must_use]
    pub fn of_prefix(prefix: &WirePrefix, rules: Option<&KeyRules>) -> Vec<Self> {
        let (name, port) = (prefix.host().name(), prefix.host().port());
        let mut hosts = Vec::new();
        let shared = rules.is_none_or(|rules| rules.port(port).is_none());
        if let Some(port) = port {
            hosts.push(format!("{name}:{port}"));
        }
        let https_apart = match rules.map(|rules| rules.scheme) {
            Some(SchemeRule::Shared) => false,
            Some(SchemeRule::Separate) | None => true,
        };
        if shared {
            // The https copies lie at port 443: see the sample's script.
            if https_apart && prefix.scheme() != Some(Scheme::Http) {
                hosts.push(format!("{name}:443"));
            }
            if !https_apart || rules.is_none() || prefix.scheme() != Some(Scheme::Https) {
                hosts.push(name.to_owned());
            }
        }
        let mut paths: Vec<String> = Vec::new();
        // Traffic Server answers 400 to a raw byte above 0x7f, so there is nothing below it.
        for path in prefix.paths().iter().map(|path| path.as_str()).filter(|path| path.is_ascii()) {
            let canonical = rules.map_or_else(|| path.to_ascii_lowercase(), |it| it.directory(path).into_owned());
            paths.extend([path.to_owned(), canonical]);
        }
        paths.sort_unstable();
        paths.dedup();
        hosts.iter().flat_map(|host| paths.iter().map(|path| Self::below(host, path))).collect()
    }

    /// The pattern.
    #[must_use]
    pub fn pattern(&self) -> String {
        match self {
            Self::Everything => BEGIN.to_owned(),
            Self::Below { host, path } => pattern_of(host, path),
        }
    }

    /// The place of a pattern; `None` for one that no place has.
    #[must_use]
    pub fn parse(pattern: &str) -> Option<Self> {
        let rest = pattern.strip_prefix(BEGIN)?;
        if rest.is_empty() {
            return Some(Self::Everything);
        }
        let plain = unescape(rest.strip_suffix(BOUNDARY).unwrap_or(rest))?;
        let (host, path) = plain.split_at(plain.find('/')?);
        let place = Self::Below { host: host.into(), path: path.into() };
        // One form for each place: else a rule could be written twice.
        (place.pattern() == pattern && !host.is_empty()).then_some(place)
    }

    /// Whether all that another names is named by this.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Everything, _) => true,
            (Self::Below { .. }, Self::Everything) => false,
            (Self::Below { host, path }, Self::Below { host: other_host, path: other }) => {
                host == other_host && prefix_covers(path, other)
            }
        }
    }

    /// The narrowest directory that covers both.
    #[must_use]
    pub fn above_both(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Below { host, path }, Self::Below { host: other_host, path: other }) if host == other_host => {
                let common = path.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
                let end = path.as_bytes()[..common].iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
                Self::below(host, &path[..end])
            }
            (Self::Everything | Self::Below { .. }, _) => Self::Everything,
        }
    }
}

fn pattern_of(host: &str, path: &str) -> String {
    let mut pattern = BEGIN.to_owned();
    for byte in host.bytes().chain(path.bytes()) {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-') {
            pattern.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _written = write!(pattern, "\\x{byte:02X}");
        }
    }
    if !path.ends_with('/') {
        pattern.push_str(BOUNDARY);
    }
    pattern
}

fn unescape(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let code = after.strip_prefix('x')?.get(..2)?;
        plain.push(u8::from_str_radix(code, 16).ok().filter(u8::is_ascii_graphic).map(char::from)?);
        rest = &after[3..];
    }
    plain.push_str(rest);
    Some(plain)
}

/// The directory above; `/` is its own.
fn parent(path: &str) -> &str {
    let inner = path.strip_suffix('/').unwrap_or(path);
    inner.rfind('/').map_or("/", |at| &path[..=at])
}

#[cfg(test)]
#[path = "place_tests.rs"]
mod tests;
