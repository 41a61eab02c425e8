//! The text of bans, for any directories.

use std::sync::Arc;

use catharsis_core::keys::{KeyRules, PortRule, SchemeRule};
use catharsis_core::target::{CachePrefix, CacheUrl, Encode};
use proptest::prelude::*;
use regex::Regex;
use regex::bytes::Regex as Bytes;

use super::*;

fn prefix(text: &str) -> CachePrefix {
    CachePrefix::parse(text, Encode::AsSubmitted).expect("a valid directory")
}

fn bans_of(rules: &KeyRules, directories: &[CachePrefix]) -> Vec<Ban> {
    let forms: Vec<KeyForms<'_>> = directories.iter().map(|directory| rules.directory_forms(directory)).collect();
    merge(&forms)
}

fn bans(directories: &[&str]) -> Vec<Ban> {
    let directories: Vec<CachePrefix> = directories.iter().map(|text| prefix(text)).collect();
    bans_of(&KeyRules::default(), &directories)
}

/// The grammar once more, as an expression.
fn grammar() -> Regex {
    let text = r##"(?:[A-Za-z0-9/_%~!&,;=:@<>-]|\\["#$'()*+.?\[\\\]^`{|}]|\\x[0-9a-f]{2})+"##;
    let texts = format!(r"{text}(?:\|{text})*");
    let closed = format!(r"\(\?:{texts}\)\(\?:\[/\?\]\|\$\)");
    let paths = format!(r"(?:{closed}(?:\|{texts})?|{texts})");
    let host = format!(r"{text}\(\?:{paths}\)");
    Regex::new(&format!(r"\A\^\(\?:{host}(?:\|{host})*\)\z")).expect("a grammar")
}

/// As Varnish matches: bytes, not characters.
fn matches(ban: &Ban, key: &str) -> bool {
    Bytes::new(&format!("(?-u){}", ban.pattern)).expect(&ban.pattern).is_match(key.as_bytes())
}

#[test]
fn directories_of_a_batch_are_one_ban() {
    let merged = bans(&[
        "http://b.test/x.y/",
        "http://a.test/img",
        "https://a.test/",
        "http://a.test:8080/q",
        "http://a.test:443/",
    ]);
    let pattern = r"^(?:a\.test(?:/)|a\.test:8080(?:(?:/q)(?:[/?]|$))|b\.test(?:/x\.y/))";
    assert_eq!(merged, [Ban { pattern: pattern.to_owned(), directories: vec![0, 1, 2, 3, 4] }]);
    let merged = bans(&["http://a.test/img/", "http://a.test/img", "http://a.test/img-2/x", "http://a.test/img/a"]);
    let pattern = r"^(?:a\.test(?:(?:/img|/img-2/x)(?:[/?]|$)))";
    assert_eq!(merged, [Ban { pattern: pattern.to_owned(), directories: vec![0, 1, 2, 3] }]);
    assert!(merge(&[]).is_empty());
}

#[test]
fn scheme_stands_in_front_where_it_is_part_of_the_key() {
    let rules = KeyRules { scheme: SchemeRule::Separate, port: PortRule::Shared, ..KeyRules::default() };
    let merged = bans_of(&rules, &[prefix("https://a.test:8443/x/")]);
    assert_eq!(merged[0].pattern, r"^(?:https://a\.test(?:/x/)|https://a\.test:8443(?:/x/))");
}

#[test]
fn texts_that_wipe_or_crash_a_cache_cannot_be_produced() {
    // reference: a dot alone wipes everything, `tag1` takes tag10 too, the third has no effect and the
    // last one makes Varnish 7.1.1 panic.
    for evil in [".", "tag1", "( && x", "obj.http. ~ foo"] {
        for text in
            [format!("http://a.test/{evil}"), format!("http://a.test/{evil}/"), format!("http://a.test/x{evil}/y")]
        {
            let merged = bans(&[&text]);
            let pattern = &merged[0].pattern;
            assert!(grammar().is_match(pattern), "{pattern}");
            assert!(!pattern.contains(char::is_whitespace) && pattern.starts_with(r"^(?:a\.test(?:"), "{pattern}");
            for other in ["a.test/", "a.test/other", "a.test/tag10", "b.test/tag1", "a.test/x/y"] {
                assert!(!matches(&merged[0], other), "{pattern} {other}");
            }
        }
    }
}

#[test]
fn long_directories_are_shared_out_and_none_is_too_long() {
    let longest = |host: &str, mark: &str| {
        let start = format!("http://{host}.test/");
        format!("{start}{}", mark.repeat((8_000 - start.len()) / mark.len()))
    };
    let long: Vec<String> = ["a", "b", "c"].iter().flat_map(|host| [longest(host, "."), longest(host, "x")]).collect();
    let merged = bans(&long.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(merged.len() > 1);
    assert!(
        merged.iter().all(|ban| ban.pattern.len() <= BYTES_MAX),
        "{:?}",
        merged.iter().map(|it| it.pattern.len()).collect::<Vec<_>>()
    );
    let mut told: Vec<usize> = merged.iter().flat_map(|ban| ban.directories.iter().copied()).collect();
    told.sort_unstable();
    assert_eq!(told, (0..long.len()).collect::<Vec<_>>());
    let many: Vec<String> = (0..3 * PATHS_MAX).map(|it| format!("http://a.test/{it}/")).collect();
    let merged = bans(&many.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(merged.len(), 3);
}

/// A path of few letters, so that directories and keys meet, with everything that means something in
/// an expression.
fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        "(/[ab.]{0,2}){1,3}",
        "(/[ab.|()\\[\\]{}^$+\\\\*'\"<>`&;!~%x-]{1,4}b){1,2}/?",
        "(/[aé中]{0,2}){1,3}",
        "/[ -~]{0,12}a/?",
    ]
}

fn directory() -> impl Strategy<Value = String> {
    ("(a|b)\\.test(:8080|:443)?", path()).prop_map(|(host, path)| format!("http://{host}{path}"))
}

proptest! {
    #[test]
    fn nothing_outside_the_grammar_can_be_produced(list in prop::collection::vec(("https?://[a.]{1,3}test(:80|:7)?", "/\\PC{0,30}"), 1..8)) {
        let directories: Vec<CachePrefix> =
            list.iter().filter_map(|(host, path)| CachePrefix::parse(&format!("{host}{path}"), Encode::AsSubmitted).ok()).collect();
        let grammar = grammar();
        for ban in bans_of(&KeyRules::default(), &directories) {
            prop_assert!(grammar.is_match(&ban.pattern), "{}", ban.pattern);
            prop_assert!(ban.pattern.bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }

    #[test]
    fn keys_that_match_are_those_that_a_directory_covers(
        list in prop::collection::vec(directory(), 1..6),
        targets in prop::collection::vec((directory(), "(\\?[a/.]{0,3})?"), 1..6),
    ) {
        let parsed: Vec<CachePrefix> = list.iter().filter_map(|it| CachePrefix::parse(it, Encode::AsSubmitted).ok()).collect();
        let bans = bans_of(&KeyRules::default(), &parsed);
        // The directories themselves and what is near them, so that most trials say something.
        let near = list.iter().flat_map(|it| ["", "/", "?", "x", "/x?y", "\\"].map(|end| format!("{it}{end}")));
        let keys = near.chain(targets.iter().map(|(it, query)| format!("{it}{query}")));
        for url in keys.filter_map(|it| CacheUrl::parse(&it, Encode::AsSubmitted).ok()) {
            let host = url.host_header().into_owned();
            let host = known_host(&host);
            for target in url.request_targets().iter() {
                let covered = parsed.iter().any(|directory| {
                    known_host(&directory.host_header()) == host
                        && directory.request_targets().iter().any(|prefix| prefix_covers(prefix, target))
                });
                let key = format!("{host}{target}");
                prop_assert_eq!(bans.iter().any(|ban| matches(ban, &key)), covered, "{} {:?}", key, bans);
            }
        }
    }

    #[test]
    fn every_directory_is_told(list in prop::collection::vec(directory(), 0..12)) {
        let parsed: Vec<CachePrefix> = list.iter().filter_map(|it| CachePrefix::parse(it, Encode::AsSubmitted).ok()).collect();
        let rules = Arc::new(KeyRules::default());
        let bans = bans_of(&rules, &parsed);
        for (at, directory) in parsed.iter().enumerate() {
            prop_assert!(bans.iter().any(|ban| ban.directories.contains(&at)));
            for form in rules.directory_forms(directory).iter() {
                let key = format!("{}{}", known_host(form.0), form.1);
                prop_assert!(bans.iter().any(|ban| ban.directories.contains(&at) && matches(ban, &key)), "{}", key);
            }
        }
    }
}
