//! The index against the key rules, and against what the engine says that a directory covers.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use catharsis_core::target::prefix_covers;
use catharsis_edge::protocol::{ServedName, WirePrefix, WireRules, WireUrl};
use proptest::prelude::*;

use super::*;

fn index(template: &str) -> Index<u32> {
    Index::new(template.parse().unwrap(), 1_000)
}

fn url(host: &str, scheme: Option<Scheme>, path: &str) -> WireTarget {
    WireTarget::Url(WireUrl::new(KeyHost::parse(host).unwrap(), scheme, vec![KeyPath::new(path).unwrap()]).unwrap())
}

fn directory(host: &str, path: &str) -> WireTarget {
    WireTarget::Prefix(WirePrefix::new(KeyHost::parse(host).unwrap(), None, vec![KeyPath::new(path).unwrap()]).unwrap())
}

fn rules(name: &str, rules: &str) -> DomainRules {
    let rules = WireRules::try_from(rules.to_owned()).unwrap();
    DomainRules { name: ServedName::parse(name).unwrap(), rules }
}

/// Which of these keys a purge names, by the rules of `a.test`.
fn found<'a>(rule: &str, template: &str, keys: &[&'a str], target: &WireTarget) -> Vec<&'a str> {
    let mut index = index(template);
    for (name, key) in (0..).zip(keys) {
        index.insert(name, key.as_bytes()).unwrap();
    }
    index.replace_rules(&[rules("a.test", rule)]);
    let mut found: Vec<u32> = index.find(target).into_iter().collect();
    found.sort_unstable();
    found.into_iter().map(|at| keys[at as usize]).collect()
}

#[test]
fn each_rule_brings_its_keys_together_and_no_others() {
    let plain = "$host$request_uri";
    let full = "$scheme://$http_host$request_uri";
    let keys = ["a.test/p", "a.test/p?a=1", "a.test/p?b=2&a=1", "a.test/p?a=1&b=2", "a.test/P?a=1", "b.test/p?a=1"];
    let one = url("a.test", None, "/p?a=1");
    assert_eq!(found("default", plain, &keys, &one), ["a.test/p?a=1"]);
    assert_eq!(found("query=drop", plain, &keys, &one), &keys[..4]);
    assert_eq!(found("query=only:a", plain, &keys, &one), &keys[1..4]);
    assert_eq!(found("query=without:b", plain, &keys, &one), &keys[1..4]);
    assert_eq!(found("case=folded", plain, &keys, &one), ["a.test/p?a=1", "a.test/P?a=1"]);
    assert_eq!(found("order=sorted", plain, &keys, &url("a.test", None, "/p?b=2&a=1")), &keys[2..4]);

    let keys = ["http://a.test/p", "https://a.test/p", "https://a.test:8443/p", "http://b.test/p"];
    let secure = url("a.test", Some(Scheme::Https), "/p");
    assert_eq!(found("default", full, &keys, &secure), &keys[..2]);
    assert_eq!(found("scheme=separate", full, &keys, &secure), &keys[1..2]);
    assert_eq!(found("scheme=separate", full, &keys, &url("a.test", None, "/p")), &keys[..2]);
    assert_eq!(found("port=shared", full, &keys, &secure), &keys[..3]);
    assert_eq!(found("default", full, &keys, &url("a.test:8443", None, "/p")), &keys[2..3]);
    // A key without them: whatever the rules say, it may hold the copy.
    assert_eq!(
        found("scheme=separate", plain, &["a.test/p"], &url("a.test:99", Some(Scheme::Http), "/p")),
        ["a.test/p"]
    );
}

#[test]
fn directory_ends_at_a_segment() {
    let keys = ["a.test/d", "a.test/d/", "a.test/d/x?y", "a.test/d?x", "a.test/d2", "a.test/d-/x", "b.test/d/x"];
    let plain = "$host$request_uri";
    assert_eq!(found("default", plain, &keys, &directory("a.test", "/d")), &keys[..4]);
    assert_eq!(found("default", plain, &keys, &directory("a.test", "/d/")), &keys[1..3]);
    assert_eq!(found("query=drop", plain, &keys, &directory("a.test", "/d")), &keys[..4]);
    assert_eq!(found("case=folded", plain, &["a.test/D/x", "a.test/d/X"], &directory("a.test", "/D/")).len(), 2);
    assert_eq!(found("default", plain, &keys, &directory("a.test", "/")), &keys[..6]);
}

#[test]
fn files_follow_their_rules_and_leave_nothing_behind() {
    let mut index = index("$host$request_uri");
    let keys = ["a.test/p?a", "a.test/p?b", "b.test/p?a", "a.test/\u{ff}"];
    for (name, key) in (0..).zip(keys) {
        index.insert(name, key.as_bytes()).unwrap();
    }
    index.insert(9, b"a.test/p?\xff").unwrap();
    let one = url("a.test", None, "/p?c");
    assert!(index.find(&one).is_empty());
    index.replace_rules(&[rules("*.test", "query=drop")]);
    assert_eq!(index.find(&one).len(), 3);
    index.replace_rules(&[rules("a.test", "query=keep"), rules("*.test", "query=drop")]);
    assert!(index.find(&one).is_empty());
    assert_eq!(index.find(&url("b.test", None, "/p")).len(), 1);
    for name in [0, 1, 2, 3, 9] {
        index.remove(&name);
    }
    assert!(index.entries.is_empty() && index.sites.is_empty() && index.known.is_empty());
}

#[test]
fn full_index_says_so() {
    let mut index = Index::new("$host$request_uri".parse().unwrap(), 1);
    index.insert(1, b"a.test/1").unwrap();
    index.insert(1, b"a.test/1").unwrap();
    assert_eq!(index.insert(2, b"a.test/2"), Err(Full { max: 1 }));
    index.remove(&1);
    index.insert(2, b"odd").unwrap();
    assert_eq!(index.names().collect::<Vec<_>>(), [2]);
}

proptest! {
    #[test]
    fn directory_finds_what_the_engine_says_it_covers(
        targets in proptest::collection::btree_set("/[aA/?.0-]{0,6}", 0..40),
        path in "/[aA/.-]{0,4}",
        at in 0usize..4,
    ) {
        let rule = ["default", "case=folded", "query=drop", "query=only:a order=sorted"][at];
        let parsed = KeyRules::parse(rule).unwrap();
        let keys: Vec<String> = targets.iter().map(|target| format!("a.test{target}")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let covers = |key: &&str| prefix_covers(&parsed.directory(&path), &parsed.target(&key["a.test".len()..]));
        let expect: Vec<&str> = keys.iter().copied().filter(covers).collect();
        prop_assert_eq!(found(rule, "$host$request_uri", &keys, &directory("a.test", &path)), expect);
    }
}
