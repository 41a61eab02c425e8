//! Pairs of URLs, and what a purge of the one must do to a copy of the other.
//!
//! What this is: the reader of `corpus/pairs.txt`; an origin that numbers its answers; the run of all pairs
//! against one cache ([`run`]); the page that tells how each cache did ([`page`]). What this is not: a
//! judge that asks the code under test: the answers stand in the file, written by hand.
//!
//! Invariant: a pair counts only when its copy was seen to be kept before the purge, and what cannot be shown
//! at a cache is an exception with a reason, never silent.

mod client;
mod origin;
pub mod page;
pub mod run;

use std::num::NonZeroUsize;

use catharsis_core::keys::KeyRules;
use catharsis_core::target::{CachePrefix, CacheUrl, Encode, HostName, Scheme, Target};

pub use self::origin::NumberingOrigin;

/// The pairs.
const PAIRS: &str = include_str!("../../corpus/pairs.txt");

/// The hosts of the corpus below `rules.test`, each with its rules. The sample configurations of the caches
/// hold the same.
pub const HOSTS: [(&str, &str); 10] = [
    ("plain", "default"),
    ("drop", "query=drop"),
    ("only", "query=only:id,v"),
    ("without", "query=without:utm_source,sid"),
    ("sorted", "order=sorted"),
    ("folded", "case=folded"),
    ("scheme", "scheme=separate"),
    ("port", "port=shared"),
    ("all", "query=without:utm_source,sid order=sorted case=folded port=shared"),
    ("other", "default"),
];

/// The rules of a host, as [`HOSTS`] has them; the default for a host that is not there.
///
/// # Panics
/// When the rules there cannot be read.
#[must_use]
pub fn rules_of(host: &HostName) -> KeyRules {
    let name = host.as_str().strip_suffix(".rules.test").unwrap_or_default();
    let listed = HOSTS.iter().find(|(known, _)| *known == name);
    listed.map_or_else(KeyRules::default, |(_, rules)| KeyRules::parse(rules).expect("the rules of HOSTS are rules"))
}

/// What the purge of the one does to a copy of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is the same resource, or lies in the directory: the copy goes.
    Same,
    /// It is not: the copy stays.
    Differs,
}

/// What is purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One URL.
    Url,
    /// A directory.
    Directory,
}

/// How the copy comes into the cache, and how it is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// By GET.
    Get,
    /// By GET after a HEAD.
    HeadFirst,
    /// By HEAD only.
    Head,
    /// By GET after a GET for a range.
    RangeFirst,
    /// By GET for a range only.
    Range,
}

/// Beside what a pair may be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Beside all others.
    Among,
    /// Beside no other: what is purged reaches beyond the pair.
    Alone,
}

/// A header field by which an answer varies, and the values that are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variants {
    /// The field.
    pub field: &'static str,
    /// Its values.
    pub values: Vec<&'static str>,
}

/// A URL as a client asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// What a terminator before the cache says of the scheme.
    pub scheme: Scheme,
    /// The `Host` field.
    pub host: String,
    /// The request target, byte for byte.
    pub target: String,
}

/// One pair.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Its line in the file, from 1.
    pub line: NonZeroUsize,
    /// What it is about.
    pub category: &'static str,
    /// Whose rules it is about: a name of [`HOSTS`].
    pub rule: &'static str,
    /// What must happen.
    pub answer: Answer,
    /// What is purged.
    pub scope: Scope,
    /// The URL or directory that is purged, as submitted.
    pub purged: String,
    /// How it is submitted.
    pub encode: Encode,
    /// What was fetched before.
    pub fetched: Fetched,
    /// How.
    pub by: By,
    /// In which variants; `None` when it does not vary.
    pub variants: Option<Variants>,
    /// Beside what.
    pub place: Place,
    /// A word of why.
    pub why: &'static str,
}

impl Pair {
    /// What a purger is told.
    ///
    /// # Panics
    /// When what is purged cannot be submitted: then the file is wrong.
    #[must_use]
    pub fn target(&self) -> Target {
        let bad = |error| -> Target { panic!("line {}: {}: {error}", self.line, self.purged) };
        match self.scope {
            Scope::Url => CacheUrl::parse(&self.purged, self.encode).map_or_else(bad, Target::Url),
            Scope::Directory => CachePrefix::parse(&self.purged, self.encode).map_or_else(bad, Target::Prefix),
        }
    }
}

/// All pairs, in the order of the file.
///
/// # Panics
/// When the file cannot be read.
#[must_use]
pub fn pairs() -> Vec<Pair> {
    let mut category = "";
    let mut pairs = Vec::new();
    for (line, number) in PAIRS.lines().zip((1..).filter_map(NonZeroUsize::new)) {
        if let Some(name) = line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            category = name;
        } else if !line.is_empty() && !line.starts_with('#') {
            pairs.push(pair(line, number, category).unwrap_or_else(|| panic!("line {number} is no pair: {line}")));
        }
    }
    pairs
}

fn pair(text: &'static str, line: NonZeroUsize, category: &'static str) -> Option<Pair> {
    let (words, why) = text.split_once(" # ")?;
    let mut words = words.split_ascii_whitespace();
    let rule = words.next().filter(|rule| HOSTS.iter().any(|(name, _)| name == rule))?;
    let answer = match words.next()? {
        "same" => Answer::Same,
        "differs" => Answer::Differs,
        _ => return None,
    };
    let scope = match words.next()? {
        "url" => Scope::Url,
        "dir" => Scope::Directory,
        _ => return None,
    };
    let (purged, fetched) = (words.next()?, words.next()?);
    let (mut by, mut encode, mut variants) = (By::Get, Encode::AsSubmitted, None);
    let (mut place, mut below) = (Place::Among, format!("/c{line}"));
    for option in words {
        match option {
            "bare" => below.clear(),
            "alone" => (place, below) = (Place::Alone, String::new()),
            "encode" => encode = Encode::PercentEncode,
            "head" => by = By::HeadFirst,
            "head-only" => by = By::Head,
            "range" => by = By::RangeFirst,
            "range-only" => by = By::Range,
            vary => {
                let (field, values) = vary.strip_prefix("vary=")?.split_once(':')?;
                variants = Some(Variants { field, values: values.split(',').collect() });
            }
        }
    }
    let (scheme, host, target) = split(fetched, rule)?;
    let fetched = Fetched {
        scheme: if scheme.eq_ignore_ascii_case("https") { Scheme::Https } else { Scheme::Http },
        host,
        target: if target.starts_with('/') { format!("{below}{target}") } else { format!("{below}/{target}") },
    };
    let (scheme, host, path) = split(purged, rule)?;
    let purged = format!("{scheme}://{host}{below}{path}");
    Some(Pair { line, category, rule, answer, scope, purged, encode, fetched, by, variants, place, why })
}

/// Scheme, host with port, and the rest. `@` at the beginning of the host is the rule's.
fn split<'a>(url: &'a str, rule: &str) -> Option<(&'a str, String, &'a str)> {
    let (scheme, rest) = url.split_once("://")?;
    let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let host = host.strip_prefix('@').map_or_else(|| host.to_owned(), |port| format!("{rule}.rules.test{port}"));
    Some((scheme, host, path))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use catharsis_core::keys::SchemeRule;
    use catharsis_core::target::prefix_covers;

    use super::*;

    /// The host of a key: 80 and 443 are no port.
    fn keyed(rules: &KeyRules, host: &HostName, port: Option<u16>) -> (HostName, Option<u16>) {
        (host.clone(), rules.port(port).filter(|port| !matches!(port, 80 | 443)))
    }

    /// What the rules of the code say of a pair.
    fn by_the_rules(pair: &Pair) -> Answer {
        let Fetched { scheme, host, target } = &pair.fetched;
        let (name, port) = host.split_once(':').map_or((host.as_str(), None), |(name, port)| (name, Some(port)));
        let name = HostName::parse(name).expect("a host");
        let rules = rules_of(&name);
        let asked = keyed(&rules, &name, port.map(|port| port.parse().expect("a port")));
        let asked_for = rules.target(target);
        let (purged, forms, covers): (_, _, fn(&str, &str) -> bool) = match &pair.target() {
            Target::Url(url) => {
                let forms = rules_of(url.host()).forms(url);
                let targets: Vec<String> = forms.targets.iter().map(|it| rules.target(it).into_owned()).collect();
                (keyed(&rules, url.host(), url.port()), (targets, forms.scheme), |purged, asked| purged == asked)
            }
            Target::Prefix(directory) => {
                let forms = rules_of(directory.host()).directory_forms(directory);
                let targets: Vec<String> = forms.targets.iter().map(|it| rules.directory(it).into_owned()).collect();
                (keyed(&rules, directory.host(), directory.port()), (targets, forms.scheme), prefix_covers)
            }
            Target::Everything => panic!("no pair purges everything"),
        };
        let scheme = rules.scheme == SchemeRule::Shared || forms.1.is_none_or(|purged| purged == *scheme);
        let same = scheme && purged == asked && forms.0.iter().any(|purged| covers(purged, &asked_for));
        if same { Answer::Same } else { Answer::Differs }
    }

    #[test]
    fn rules_of_the_code_answer_as_the_pairs_do() {
        for pair in pairs() {
            assert_eq!(by_the_rules(&pair), pair.answer, "line {}: {}", pair.line, pair.why);
        }
    }

    #[test]
    fn there_are_enough_pairs_of_each_kind_and_each_is_there_once() {
        let pairs = pairs();
        assert!(pairs.len() >= 500, "{}", pairs.len());
        for (rule, _) in HOSTS {
            for answer in [Answer::Same, Answer::Differs] {
                let count = pairs.iter().filter(|it| it.rule == rule && it.answer == answer).count();
                assert!(count >= 5, "{rule}: {answer:?}: {count}");
            }
        }
        let mut seen = HashSet::new();
        for line in PAIRS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let words: Vec<&str> = line.split(" # ").next().unwrap_or_default().split_ascii_whitespace().collect();
            assert!(seen.insert(words), "twice: {line}");
        }
    }
}
