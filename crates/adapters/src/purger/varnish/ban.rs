//! The text of bans: directories as one regular expression over stored keys.
//!
//! What this is: [`merge`], which puts all directories of a batch into as few expressions as fit, and
//! the closed grammar of these. What this is not: a whole ban. The VCL writes `obj.http.X-Catharsis-Key ~`
//! itself and takes only the expression, so that a ban can look at nothing else.
//!
//! Invariant: whatever the directories hold, an expression is a word of
//! ```text
//! ban   = "^(?:" host *( "|" host ) ")"
//! host  = text "(?:" paths ")"
//! paths = closed / open / closed "|" open      paths that end with a slash are open
//! closed = "(?:" text *( "|" text ) ")(?:[/?]|$)"
//! open  = text *( "|" text )
//! text  = 1*( literal / "\" mark / "\x" hex hex )
//! ```
//! where a literal means itself wherever it stands, and a mark is other ASCII punctuation, which means
//! itself behind a backslash. No blank can occur, so the expression stays one word of the ban; and it
//! matches exactly what [`catharsis_core::target::prefix_covers`] says of the keys `host target`.

use std::borrow::Cow;

use catharsis_core::keys::KeyForms;
use catharsis_core::target::prefix_covers;

/// Bytes of one expression. The longest directory takes 16,000 (8,000 marks); Varnish's request
/// (`http_req_size`) is 32 KiB by default, and its workspace holds two copies (measured: 20,000 pass).
pub(super) const BYTES_MAX: usize = 17_000;
/// Paths of one expression. Varnish stops matching after `pcre2_match_limit` steps, 10,000 by default,
/// and then takes a ban for not matching; 2,500 paths passed without the just-in-time compiler too.
pub(super) const PATHS_MAX: usize = 1_000;

/// Text of a host beside its name and its paths.
const HOST_FRAME: usize = "|(?:(?:)(?:[/?]|$)|)".len();
/// Text of an expression beside its hosts.
const FRAME: usize = "^(?:)".len();

/// One ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ban {
    /// The regular expression.
    pub(super) pattern: String,
    /// Which of the directories it removes, or a part of their forms: positions, ascending.
    pub(super) directories: Vec<usize>,
}

/// A form of a directory.
struct Place<'a> {
    /// What stands before the path in a stored key.
    authority: String,
    path: &'a str,
    /// The directory's position.
    of: usize,
}

/// A place that is not below another one, and the directories that are forgotten with it.
struct Kept<'a> {
    place: Place<'a>,
    stands_for: Vec<usize>,
}

/// The bans that forget these directories, in each form. A directory whose forms fall into several
/// bans is forgotten when all of them are carried out.
pub(super) fn merge(directories: &[KeyForms<'_>]) -> Vec<Ban> {
    let mut bans = Vec::new();
    let mut open = Building::default();
    for kept in topmost(places(directories)) {
        if !open.takes(&kept.place) {
            bans.extend(open.ban());
            open = Building::default();
        }
        open.add(kept);
    }
    bans.extend(open.ban());
    bans
}

fn places<'a>(directories: &'a [KeyForms<'a>]) -> Vec<Place<'a>> {
    let of_one = |(of, forms): (usize, &'a KeyForms<'a>)| {
        let scheme = forms.scheme;
        forms.iter().map(move |(host, path)| {
            let scheme = scheme.map_or(String::new(), |scheme| format!("{}://", scheme.as_str()));
            Place { authority: scheme + known_host(host), path, of }
        })
    };
    directories.iter().enumerate().flat_map(of_one).collect()
}

/// The host as the VCL keeps it: it knows no scheme, so both default ports mean none.
fn known_host(host: &str) -> &str {
    host.strip_suffix(":80").or_else(|| host.strip_suffix(":443")).unwrap_or(host)
}

/// Drops what lies below another directory. In the order of their bytes, whatever begins with a path
/// follows it without a gap, so one walk with the open paths on a stack finds it.
fn topmost(mut places: Vec<Place<'_>>) -> Vec<Kept<'_>> {
    places.sort_by(|a, b| (&a.authority, a.path).cmp(&(&b.authority, b.path)));
    let mut kept: Vec<Kept<'_>> = Vec::with_capacity(places.len());
    let mut open: Vec<usize> = Vec::new();
    for place in places {
        let begins = |above: &Place<'_>| above.authority == place.authority && place.path.starts_with(above.path);
        while open.last().is_some_and(|at| !begins(&kept[*at].place)) {
            open.pop();
        }
        match open.iter().find(|at| prefix_covers(kept[**at].place.path, place.path)) {
            Some(above) => kept[*above].stands_for.push(place.of),
            None => {
                open.push(kept.len());
                kept.push(Kept { stands_for: vec![place.of], place });
            }
        }
    }
    kept
}

/// An expression that is being written: hosts with their escaped paths.
#[derive(Default)]
struct Building {
    hosts: Vec<Host>,
    directories: Vec<usize>,
    bytes: usize,
    paths: usize,
}

struct Host {
    authority: String,
    closed: Vec<String>,
    open: Vec<String>,
}

impl Building {
    /// Whether a path still fits. The first always does: [`BYTES_MAX`] is above the longest.
    fn takes(&self, place: &Place<'_>) -> bool {
        self.paths == 0 || self.paths < PATHS_MAX && FRAME + self.bytes + self.cost(place) <= BYTES_MAX
    }

    /// What a path adds, at most.
    fn cost(&self, place: &Place<'_>) -> usize {
        let host = if self.is_open(place) { 0 } else { escaped(&place.authority).len() + HOST_FRAME };
        host + escaped(place.path).len() + "|".len()
    }

    fn is_open(&self, place: &Place<'_>) -> bool {
        self.hosts.last().is_some_and(|host| host.authority == place.authority)
    }

    fn add(&mut self, kept: Kept<'_>) {
        let Kept { place, stands_for } = kept;
        self.bytes += self.cost(&place);
        self.paths += 1;
        if !self.is_open(&place) {
            let authority = place.authority.clone();
            self.hosts.push(Host { authority, closed: Vec::new(), open: Vec::new() });
        }
        if let Some(host) = self.hosts.last_mut() {
            let list = if place.path.ends_with('/') { &mut host.open } else { &mut host.closed };
            list.push(escaped(place.path).into_owned());
        }
        self.directories.extend(stands_for);
    }

    fn ban(mut self) -> Option<Ban> {
        if self.hosts.is_empty() {
            return None;
        }
        let hosts: Vec<String> = self.hosts.iter().map(Host::text).collect();
        self.directories.sort_unstable();
        self.directories.dedup();
        Some(Ban { pattern: format!("^(?:{})", hosts.join("|")), directories: self.directories })
    }
}

impl Host {
    fn text(&self) -> String {
        let closed = (!self.closed.is_empty()).then(|| format!("(?:{})(?:[/?]|$)", self.closed.join("|")));
        let paths: Vec<&str> = closed.iter().chain(&self.open).map(String::as_str).collect();
        format!("{}(?:{})", escaped(&self.authority), paths.join("|"))
    }
}

/// The text as an expression that matches it and nothing else.
fn escaped(text: &str) -> Cow<'_, str> {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    if text.bytes().all(is_literal) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(2 * text.len());
    for byte in text.bytes() {
        if is_literal(byte) {
            out.push(char::from(byte));
        } else if byte.is_ascii_graphic() {
            out.push('\\');
            out.push(char::from(byte));
        } else {
            out.push_str("\\x");
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    Cow::Owned(out)
}

/// What means itself everywhere in this grammar. `<` and `>` are among it: they mean something only
/// behind `\` (to some engines) or `(?`, which is followed by `:` here.
const fn is_literal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'/' | b'_' | b'-' | b'%' | b'~' | b'!' | b'&' | b',' | b';' | b'=' | b':' | b'@' | b'<' | b'>'
        )
}

#[cfg(test)]
#[path = "ban_tests.rs"]
mod tests;
