//! Tests of the key rules, in a file of their own for its length.

use proptest::prelude::*;

use super::*;
use crate::target::Encode;

fn names(list: &[&str]) -> ParamNames {
    ParamNames::new(list.iter().copied()).expect("valid names in a test")
}

fn url(text: &str) -> CacheUrl {
    CacheUrl::parse(text, Encode::AsSubmitted).expect("a valid URL in a test")
}

fn check(rules: &KeyRules, target: &str, expect: &str) {
    assert_eq!(rules.target(target), expect, "{target} by {rules:?}");
}

#[test]
fn query_counts_as_the_rule_says() {
    let keep = KeyRules::default();
    let drop = KeyRules { query: QueryRule::Drop, ..KeyRules::default() };
    let only = KeyRules { query: QueryRule::KeepOnly(names(&["id", "v"])), ..KeyRules::default() };
    let without = KeyRules { query: QueryRule::DropNamed(names(&["utm", "sid"])), ..KeyRules::default() };
    for same in ["/a", "/a?", "/a?x=1&x=1", "/a?&&"] {
        check(&keep, same, same);
        check(&drop, same, "/a");
    }
    check(&only, "/a?v=2&x=1&id=7&idx=3", "/a?v=2&id=7");
    check(&only, "/a?x=1", "/a");
    check(&only, "/a?id", "/a?id");
    check(&only, "/a?ID=1", "/a");
    check(&without, "/a?utm=1&b=2&sid&c", "/a?b=2&c");
    check(&without, "/a?utm=1&&", "/a");
    check(&without, "/a?b=utm", "/a?b=utm");
}

#[test]
fn order_and_case_count_as_the_rule_says() {
    let sorted = KeyRules { order: QueryOrder::Sorted, ..KeyRules::default() };
    check(&sorted, "/A?b=2&a=1&a=0", "/A?a=0&a=1&b=2");
    check(&sorted, "/A?", "/A");
    let folded = KeyRules { case: PathCase::Insensitive, ..KeyRules::default() };
    check(&folded, "/Img/%C3%89?Q=A", "/img/%c3%89?Q=A");
    check(&folded, "/a?", "/a?");
    assert_eq!(folded.directory("/Img/"), "/img/");
}

#[test]
fn both_the_submitted_and_the_canonical_form_are_purged() {
    let rules = KeyRules {
        query: QueryRule::DropNamed(names(&["utm"])),
        order: QueryOrder::Sorted,
        case: PathCase::Insensitive,
        scheme: SchemeRule::Separate,
        port: PortRule::Shared,
    };
    let submitted = url("https://a.test:8443/É?b=1&utm=3&a");
    let forms = rules.forms(&submitted);
    assert_eq!(forms.hosts, ["a.test:8443", "a.test"]);
    assert_eq!(forms.targets, ["/%C3%89?b=1&utm=3&a", "/É?b=1&utm=3&a", "/%c3%89?a&b=1", "/É?a&b=1"]);
    assert_eq!(forms.scheme, Some(Scheme::Https));
    assert_eq!(forms.iter().count(), 8);

    let simple = url("https://a.test/x");
    let forms = KeyRules::default().forms(&simple);
    assert_eq!((forms.hosts.len(), forms.targets.len(), forms.scheme), (1, 1, None));

    let directory = CachePrefix::parse("http://a.test/Img/", Encode::AsSubmitted).expect("a directory");
    assert_eq!(rules.directory_forms(&directory).targets, ["/Img/", "/img/"]);
}

#[test]
fn names_that_no_configuration_could_hold_are_refused() {
    for bad in ["", "a b", "a\"", "a&b", "a=b", "a\n", "é"] {
        assert_eq!(ParamNames::new([bad]), Err(InvalidParams::Name), "{bad:?}");
    }
    assert_eq!(ParamNames::new([]), Err(InvalidParams::Count));
    assert_eq!(names(&["b", "a", "b"]).iter().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn rules_are_written_as_words() {
    let all = "query=without:sid,utm_source order=sorted case=folded scheme=separate port=shared";
    let rules = KeyRules::parse(all).expect("valid rules");
    assert_eq!(rules.to_string(), all);
    assert_eq!(
        KeyRules::parse(" port=shared  query=only:b,a ").expect("in any order").to_string(),
        "query=only:a,b port=shared"
    );
    for default in ["default", "", "query=keep order=sent case=sensitive scheme=shared port=separate"] {
        assert_eq!(KeyRules::parse(default), Ok(KeyRules::default()), "{default}");
    }
    assert_eq!(KeyRules::default().to_string(), "default");
    for bad in ["query", "query=", "query=only", "query=some:a", "sort=1", "order=up", "default port=shared"] {
        assert!(matches!(KeyRules::parse(bad), Err(InvalidRules::Word(_))), "{bad}");
    }
    assert_eq!(KeyRules::parse("port=shared port=shared"), Err(InvalidRules::Twice("port".into())));
    assert_eq!(KeyRules::parse("query=only:"), Err(InvalidRules::Params(InvalidParams::Name)));
}

fn rules() -> impl Strategy<Value = KeyRules> {
    let list = prop::sample::subsequence(vec!["a", "b", "ab"], 1..=3);
    let query = prop_oneof![
        Just(QueryRule::Keep),
        Just(QueryRule::Drop),
        list.clone().prop_map(|list| QueryRule::KeepOnly(names(&list))),
        list.prop_map(|list| QueryRule::DropNamed(names(&list))),
    ];
    let order = prop_oneof![Just(QueryOrder::AsSent), Just(QueryOrder::Sorted)];
    let case = prop_oneof![Just(PathCase::Sensitive), Just(PathCase::Insensitive)];
    (query, order, case).prop_map(|(query, order, case)| KeyRules { query, order, case, ..KeyRules::default() })
}

proptest! {
    #[test]
    fn rules_are_read_back_as_they_were_written(rules in rules()) {
        prop_assert_eq!(KeyRules::parse(&rules.to_string()), Ok(rules));
    }

    #[test]
    fn canonical_form_is_its_own(rules in rules(), target in "(/[aA%é]{0,2}){1,3}(\\?[abB=&?]{0,8})?") {
        let once = rules.target(&target).into_owned();
        prop_assert_eq!(rules.target(&once), once.as_str());
        prop_assert!(once.starts_with('/'));
        prop_assert!(once.len() <= target.len());
    }

    #[test]
    fn what_a_directory_covers_its_canonical_form_covers_too(
        rules in rules(),
        prefix in "(/[aA]{0,2}){1,3}",
        target in "(/[aA]{0,2}){1,4}(\\?[ab=&]{0,4})?",
    ) {
        if crate::target::prefix_covers(&prefix, &target) {
            prop_assert!(crate::target::prefix_covers(&rules.directory(&prefix), &rules.target(&target)));
        }
    }

    #[test]
    fn submitted_url_is_among_its_forms(rules in rules(), path in "(/[aA%é]{0,2}){1,3}(\\?[abB=&]{0,8})?") {
        if let Ok(url) = CacheUrl::parse(&format!("http://a.test{path}"), Encode::AsSubmitted) {
            let forms = rules.forms(&url);
            for target in url.request_targets().iter() {
                prop_assert!(forms.targets.iter().any(|form| form == target));
                prop_assert!(forms.targets.iter().any(|form| *form == rules.target(target)));
            }
        }
    }
}
