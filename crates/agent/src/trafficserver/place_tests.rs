//! Patterns say exactly what places cover.

use catharsis_core::keys::PathCase;
use catharsis_edge::protocol::{KeyHost, KeyPath};
use proptest::prelude::*;
use regex::Regex;

use super::*;

fn matches(place: &Place, url: &str) -> bool {
    Regex::new(&place.pattern()).expect("a pattern").is_match(url)
}

fn wire(host: &str, scheme: Option<Scheme>, path: &str) -> WirePrefix {
    let host = KeyHost::parse(host).expect("a host");
    WirePrefix::new(host, scheme, vec![KeyPath::new(path).expect("a path")]).expect("a directory")
}

fn texts(places: &[Place]) -> Vec<String> {
    let text = |place: &Place| match place {
        Place::Everything => "everything".to_owned(),
        Place::Below { host, path } => format!("{host}{path}"),
    };
    let mut texts: Vec<String> = places.iter().map(text).collect();
    texts.sort_unstable();
    texts
}

#[test]
fn pattern_ends_at_a_segment_and_reads_nothing_of_a_name_as_a_pattern() {
    let place = Place::below("www.a.test", "/a.b(c)|*");
    assert_eq!(place.pattern(), r"^http://www\x2Ea\x2Etest/a\x2Eb\x28c\x29\x7C\x2A(?:[/?]|\z)");
    assert!(matches(&place, "http://www.a.test/a.b(c)|*/d"));
    assert!(!matches(&place, "http://www.a.test/aXb(c)|*/d"));
    assert!(!matches(&place, "http://wwwXa.test/a.b(c)|*"));
    assert!(!matches(&Place::below("a.test", "/img"), "http://a.test/img2"));
    assert!(!matches(&Place::below("a.test", "/"), "http://a.test:443/"));
}

#[test]
fn leading_slashes_become_one_and_a_long_name_the_directory_above() {
    assert_eq!(Place::below("a.test", "//b/"), Place::below("a.test", "/b/"));
    let long = format!("/a/b/{}/", "x".repeat(3_000));
    assert_eq!(Place::below("a.test", &long), Place::below("a.test", "/a/b/"));
}

#[test]
fn only_patterns_of_places_are_read_back() {
    for odd in [
        "",
        "http://a/",
        "^http://a",
        r"^http://a\x2/",
        r"^http://a/\x41",
        "^http://a/.*",
        r"^http://a/\x0A",
        "^http:///a",
    ] {
        assert_eq!(Place::parse(odd), None, "{odd}");
    }
}

#[test]
fn directory_stands_for_the_forms_that_its_rules_give_it() {
    let places = |host, scheme, rules: Option<&KeyRules>| texts(&Place::of_prefix(&wire(host, scheme, "/A/"), rules));
    let plain = KeyRules::default();
    assert_eq!(places("a.test", Some(Scheme::Https), Some(&plain)), ["a.test/A/"]);
    assert_eq!(places("a.test:8080", None, Some(&plain)), ["a.test:8080/A/"]);
    let apart = KeyRules { scheme: SchemeRule::Separate, ..KeyRules::default() };
    assert_eq!(places("a.test", Some(Scheme::Https), Some(&apart)), ["a.test:443/A/"]);
    assert_eq!(places("a.test", Some(Scheme::Http), Some(&apart)), ["a.test/A/"]);
    let folded = KeyRules { case: PathCase::Insensitive, ..KeyRules::default() };
    assert_eq!(places("a.test", None, Some(&folded)), ["a.test/A/", "a.test/a/"]);
    let all = ["a.test/A/", "a.test/a/", "a.test:443/A/", "a.test:443/a/", "a.test:81/A/", "a.test:81/a/"];
    assert_eq!(places("a.test:81", None, None), all, "unknown rules: whatever they could be");
}

proptest! {
    #[test]
    fn pattern_matches_exactly_what_the_directory_covers(
        directory in "/[a.*/?%(]{0,4}|/[!-~]{0,6}",
        target in "/[a.*/?%(]{0,6}|/[!-~]{0,8}",
        extends in any::<bool>(),
    ) {
        prop_assume!(!directory.contains('?') && !directory.starts_with("//"));
        let target = if extends { format!("{directory}{}", &target[1..]) } else { target };
        let place = Place::below("a.test", &directory);
        prop_assert_eq!(matches(&place, &format!("http://a.test{target}")), prefix_covers(&directory, &target));
        let elsewhere = format!("http://b.test{target}");
        prop_assert!(!matches(&place, &elsewhere));
        prop_assert_eq!(Place::parse(&place.pattern()), Some(place));
    }

    #[test]
    fn pattern_holds_no_blank_and_no_new_line(path in "\\PC{0,40}") {
        let pattern = Place::below("a.test", &path).pattern();
        prop_assert!(pattern.bytes().all(|byte| byte.is_ascii_graphic()), "{}", pattern);
    }

    #[test]
    fn place_above_both_covers_both(one in "/[ab/]{0,6}", other in "/[ab/]{0,6}") {
        let (one, other) = (Place::below("a", &one), Place::below("a", &other));
        let above = one.above_both(&other);
        prop_assert!(above.covers(&one) && above.covers(&other), "{:?}", above);
    }
}
