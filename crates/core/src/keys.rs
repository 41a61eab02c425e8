//! Which URLs are the same resource.
//!
//! What this is: a domain's rules for cache keys as its caches apply them, and the canonical form in
//! which all spellings of one resource meet. What this is not: a wish. The rules say what the caches
//! of the domain do (the built-in edge and the agents follow them by themselves, the sample
//! configurations show how the others are told), so that a purge reaches what they keep.
//!
//! Invariant: [`KeyRules::target`] and [`KeyRules::directory`] are idempotent, so "has the same
//! canonical form" is an equivalence; a URL that is purged is among the forms that are purged for it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::limits::{KEY_PARAM_BYTES_MAX, KEY_PARAMS_MAX};
use crate::target::{CachePrefix, CacheUrl, HostName, Scheme};

/// The rules of a domain. The default calls two URLs the same when they differ in nothing but the
/// scheme: what caches do when nobody tells them anything else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeyRules {
    /// Which parameters of the query count.
    pub query: QueryRule,
    /// Whether their order counts.
    pub order: QueryOrder,
    /// Whether upper and lower case of the path differ.
    pub case: PathCase,
    /// Whether http and https are two resources. Default: they are one.
    pub scheme: SchemeRule,
    /// Whether ports are different resources. Default: they are.
    pub port: PortRule,
}

/// Which parameters of a query count. A parameter is what stands between `&`; its name is what stands
/// before its first `=`, compared byte by byte.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum QueryRule {
    /// The query counts as it is, byte by byte.
    #[default]
    Keep,
    /// No query counts.
    Drop,
    /// Only these parameters count.
    KeepOnly(ParamNames),
    /// All parameters count but these.
    DropNamed(ParamNames),
}

/// Whether the order of parameters counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum QueryOrder {
    /// `?a&b` and `?b&a` are two resources.
    #[default]
    AsSent,
    /// They are one.
    Sorted,
}

/// Whether the case of letters in the path counts. That of the query always does, that of the host never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PathCase {
    /// `/A` and `/a` are two resources.
    #[default]
    Sensitive,
    /// They are one; of ASCII letters only, so `%C3` and `%c3` are one as well.
    Insensitive,
}

/// Whether the scheme is part of the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SchemeRule {
    /// http and https share their copies.
    #[default]
    Shared,
    /// They do not: a purge of one leaves the other, and names its scheme to the caches.
    Separate,
}

/// Whether a port that is not the scheme's default is part of the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PortRule {
    /// It is.
    #[default]
    Separate,
    /// It is not: all ports of a host share their copies.
    Shared,
}

/// Names of parameters: 1 to [`KEY_PARAMS_MAX`], sorted, each once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ParamNames(Arc<[Box<str>]>);

/// Why a list of names of parameters is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidParams {
    /// None, or too many.
    #[error("name 1 to {KEY_PARAMS_MAX} parameters")]
    Count,
    /// Empty, too long, or with a character that no cache's configuration could hold as it is.
    #[error("a parameter's name is 1 to {KEY_PARAM_BYTES_MAX} letters, digits, '-', '_', '.', '~' or '%'")]
    Name,
}

impl ParamNames {
    /// Takes names; the order and repetitions make no difference.
    ///
    /// # Errors
    /// [`InvalidParams`].
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidParams> {
        let mut kept: Vec<Box<str>> = Vec::new();
        for name in names {
            let fits = (1..=KEY_PARAM_BYTES_MAX).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~' | b'%'));
            if !fits {
                return Err(InvalidParams::Name);
            }
            kept.push(name.into());
        }
        kept.sort_unstable();
        kept.dedup();
        if (1..=KEY_PARAMS_MAX).contains(&kept.len()) { Ok(Self(kept.into())) } else { Err(InvalidParams::Count) }
    }

    /// The names, in the order of their bytes.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }

    fn contain(&self, name: &str) -> bool {
        self.0.binary_search_by(|known| known.as_ref().cmp(name)).is_ok()
    }
}

/// The forms under which caches can hold what is purged: each host with each target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyForms<'a> {
    /// Values of the `Host` header: as submitted, and in canonical form where that differs.
    pub hosts: Vec<Cow<'a, str>>,
    /// Request targets, or directories: as submitted (percent-encoded, and raw where it was so), and the
    /// canonical form of each where that differs.
    pub targets: Vec<Cow<'a, str>>,
    /// The scheme, when it is part of the key.
    pub scheme: Option<Scheme>,
}

impl KeyForms<'_> {
    /// Each host with each target.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.hosts.iter().flat_map(|host| self.targets.iter().map(move |target| (host.as_ref(), target.as_ref())))
    }
}

impl KeyRules {
    /// Whether a path and query stand for themselves only.
    #[must_use]
    pub fn is_bytewise(&self) -> bool {
        self.query == QueryRule::Keep && self.order == QueryOrder::AsSent && self.case == PathCase::Sensitive
    }

    /// The canonical form of a request target: two targets of one host are the same resource exactly
    /// when theirs are equal.
    #[must_use]
    pub fn target<'a>(&self, target: &'a str) -> Cow<'a, str> {
        if self.is_bytewise() {
            return Cow::Borrowed(target);
        }
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let mut canonical = self.directory(path).into_owned();
        if let Some(query) =
            query.map(|query| self.query(query)).filter(|query| !query.is_empty() || self.keeps_query())
        {
            canonical.push('?');
            canonical.push_str(&query);
        }
        if canonical == target { Cow::Borrowed(target) } else { Cow::Owned(canonical) }
    }

    /// The same of a target as it stands in a request. Bytes that are no UTF-8 are taken for one character
    /// each: rules look at ASCII only, and the order of such characters is that of the bytes.
    ///
    /// # Panics
    /// Never: each character was made from a byte.
    #[must_use]
    pub fn target_of_bytes<'a>(&self, target: &'a [u8]) -> Cow<'a, [u8]> {
        if let Ok(text) = std::str::from_utf8(target) {
            return match self.target(text) {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            };
        }
        let text: String = target.iter().map(|byte| char::from(*byte)).collect();
        let byte = |c| u8::try_from(u32::from(c)).expect("each character was made from a byte");
        Cow::Owned(self.target(&text).chars().map(byte).collect())
    }

    /// The canonical form of a directory.
    #[must_use]
    pub fn directory<'a>(&self, path: &'a str) -> Cow<'a, str> {
        match self.case {
            PathCase::Insensitive if path.bytes().any(|byte| byte.is_ascii_uppercase()) => {
                Cow::Owned(path.to_ascii_lowercase())
            }
            PathCase::Sensitive | PathCase::Insensitive => Cow::Borrowed(path),
        }
    }

    /// The port that is part of the key.
    #[must_use]
    pub const fn port(&self, port: Option<u16>) -> Option<u16> {
        match self.port {
            PortRule::Separate => port,
            PortRule::Shared => None,
        }
    }

    /// The forms under which caches can hold a URL.
    #[must_use]
    pub fn forms<'a>(&self, url: &'a CacheUrl) -> KeyForms<'a> {
        let spelled = url.request_targets();
        let spelled = std::iter::once(spelled.encoded).chain(spelled.raw);
        self.forms_of(url.host(), url.port(), url.scheme(), spelled, |target| self.target(target).into_owned())
    }

    /// The forms in which caches can hold what lies at and below a directory: what begins with one of
    /// them, at a segment boundary.
    #[must_use]
    pub fn directory_forms<'a>(&self, prefix: &'a CachePrefix) -> KeyForms<'a> {
        let spelled = prefix.request_targets();
        let spelled = std::iter::once(spelled.encoded).chain(spelled.raw);
        let canonical = |path: &str| self.directory(path).into_owned();
        self.forms_of(prefix.host(), prefix.port(), prefix.scheme(), spelled, canonical)
    }

    fn forms_of<'a>(
        &self,
        host: &'a HostName,
        port: Option<u16>,
        scheme: Scheme,
        spelled: impl Iterator<Item = Cow<'a, str>>,
        canonical: impl Fn(&str) -> String,
    ) -> KeyForms<'a> {
        let with_port = port.map(|port| Cow::Owned(format!("{host}:{port}")));
        let without = self.port(port).is_none().then(|| Cow::Borrowed(host.as_str()));
        let mut targets: Vec<Cow<'a, str>> = spelled.collect();
        if !self.is_bytewise() {
            for at in 0..targets.len() {
                let canonical = canonical(&targets[at]);
                if !targets.iter().any(|known| *known == canonical) {
                    targets.push(Cow::Owned(canonical));
                }
            }
        }
        KeyForms {
            hosts: with_port.into_iter().chain(without).collect(),
            targets,
            scheme: (self.scheme == SchemeRule::Separate).then_some(scheme),
        }
    }

    /// Whether a `?` with nothing behind it is a resource of its own.
    fn keeps_query(&self) -> bool {
        self.query == QueryRule::Keep && self.order == QueryOrder::AsSent
    }

    fn query<'a>(&self, query: &'a str) -> Cow<'a, str> {
        if self.keeps_query() {
            return Cow::Borrowed(query);
        }
        let counts = |parameter: &&str| {
            let name = parameter.split('=').next().unwrap_or_default();
            !parameter.is_empty()
                && match &self.query {
                    QueryRule::Keep => true,
                    QueryRule::Drop => false,
                    QueryRule::KeepOnly(names) => names.contain(name),
                    QueryRule::DropNamed(names) => !names.contain(name),
                }
        };
        let mut kept: Vec<&str> = query.split('&').filter(counts).collect();
        if self.order == QueryOrder::Sorted {
            kept.sort_unstable();
        }
        Cow::Owned(kept.join("&"))
    }
}

/// Tells the rules of the domain that serves a host.
pub trait RulesOf: Send + Sync {
    /// The rules as they are now; the default for a host of no domain.
    fn rules_of(&self, host: &HostName) -> Arc<KeyRules>;
}

impl<F: Fn(&HostName) -> Arc<KeyRules> + Send + Sync> RulesOf for F {
    fn rules_of(&self, host: &HostName) -> Arc<KeyRules> {
        self(host)
    }
}

/// The default rules for every host.
#[derive(Clone, Debug, Default)]
pub struct Bytewise(Arc<KeyRules>);

impl RulesOf for Bytewise {
    fn rules_of(&self, _host: &HostName) -> Arc<KeyRules> {
        Arc::clone(&self.0)
    }
}

/// Why a text is not a set of rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRules {
    /// A word that is none of the rules.
    #[error(
        "`{0}` is no rule: write query=keep|drop|only:NAME,...|without:NAME,..., order=sent|sorted, \
         case=sensitive|folded, scheme=shared|separate, port=separate|shared, with blanks between them, or `default`"
    )]
    Word(Box<str>),
    /// One rule twice.
    #[error("`{0}` is given twice")]
    Twice(Box<str>),
    /// Names of parameters that cannot be.
    #[error("query: {0}")]
    Params(#[from] InvalidParams),
}

impl KeyRules {
    /// Reads rules from words with blanks between them, in any order, each rule at most once; what is not
    /// given is the default, and so is all of `default`. Their [`fmt::Display`] gives them in this form.
    ///
    /// # Errors
    /// [`InvalidRules`].
    pub fn parse(text: &str) -> Result<Self, InvalidRules> {
        let mut rules = Self::default();
        if text.trim() == "default" {
            return Ok(rules);
        }
        let mut seen: Vec<&str> = Vec::new();
        for word in text.split_ascii_whitespace() {
            let unknown = || InvalidRules::Word(word.chars().take(64).collect());
            let (rule, value) = word.split_once('=').ok_or_else(unknown)?;
            if seen.contains(&rule) {
                return Err(InvalidRules::Twice(rule.into()));
            }
            seen.push(rule);
            match (rule, value) {
                ("query", "keep") => rules.query = QueryRule::Keep,
                ("query", "drop") => rules.query = QueryRule::Drop,
                ("query", named) => rules.query = parse_named(named).ok_or_else(unknown)??,
                ("order", "sent") => rules.order = QueryOrder::AsSent,
                ("order", "sorted") => rules.order = QueryOrder::Sorted,
                ("case", "sensitive") => rules.case = PathCase::Sensitive,
                ("case", "folded") => rules.case = PathCase::Insensitive,
                ("scheme", "shared") => rules.scheme = SchemeRule::Shared,
                ("scheme", "separate") => rules.scheme = SchemeRule::Separate,
                ("port", "separate") => rules.port = PortRule::Separate,
                ("port", "shared") => rules.port = PortRule::Shared,
                _ => return Err(unknown()),
            }
        }
        Ok(rules)
    }
}

/// `only:a,b` or `without:a,b`; `None` for another word.
fn parse_named(value: &str) -> Option<Result<QueryRule, InvalidParams>> {
    let (rule, list) = value.split_once(':')?;
    let names = || ParamNames::new(list.split(','));
    match rule {
        "only" => Some(names().map(QueryRule::KeepOnly)),
        "without" => Some(names().map(QueryRule::DropNamed)),
        _ => None,
    }
}

impl fmt::Display for KeyRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = |rule: &str, names: &ParamNames| format!("query={rule}:{}", names.0.join(","));
        let query = match &self.query {
            QueryRule::Keep => None,
            QueryRule::Drop => Some("query=drop".to_owned()),
            QueryRule::KeepOnly(names) => Some(listed("only", names)),
            QueryRule::DropNamed(names) => Some(listed("without", names)),
        };
        let order = (self.order == QueryOrder::Sorted).then(|| "order=sorted".to_owned());
        let case = (self.case == PathCase::Insensitive).then(|| "case=folded".to_owned());
        let scheme = (self.scheme == SchemeRule::Separate).then(|| "scheme=separate".to_owned());
        let port = (self.port == PortRule::Shared).then(|| "port=shared".to_owned());
        let words: Vec<String> = [query, order, case, scheme, port].into_iter().flatten().collect();
        if words.is_empty() { f.write_str("default") } else { f.write_str(&words.join(" ")) }
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
