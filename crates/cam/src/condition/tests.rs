//! Tables: each operator, each key, each ending and qualifier, against one request.

use super::*;
use crate::evaluate::tests::context;
use crate::json;

/// 2016-06-01T00:01:00Z, from 10.217.182.77, by sub-account 7 of root 100, with a second factor, on a resource with two tags.
fn request() -> Context<'static> {
    Context {
        ip: Some(IpAddr::from([10, 217, 182, 77])),
        now: 1_464_739_260,
        uin: 7,
        owner_uin: 100,
        mfa: Mfa::Passed,
        resource_tags: &[Tag { key: "env", value: "prod" }, Tag { key: "Team", value: "Web&Mobile" }],
    }
}

fn parse(text: &str) -> Result<Condition, String> {
    let value = json::parse(text).expect("valid JSON");
    Condition::parse(&value, 1).map_err(|(place, problem)| format!("{place}: {problem}"))
}

fn held(text: &str, context: &Context<'_>) -> Held {
    let condition = parse(text).expect(text);
    condition.failing(context, Tags::Given).map_or(Held::Yes, |(_, held)| held)
}

#[track_caller]
fn check(context: &Context<'_>, want: Held, conditions: &[&str]) {
    for condition in conditions {
        assert_eq!(held(condition, context), want, "{condition}");
    }
}

#[test]
fn text_operators_compare_whole_texts() {
    check(
        &request(),
        Held::Yes,
        &[
            r#"{"string_equal":{"qcs:uin":"7"}}"#,
            r#"{"string_equal":{"qcs:uin":["8","7"]}}"#,
            r#"{"string_equal":{"qcs:owner_uin":"${owner_uin}"}}"#,
            r#"{"string_equal":{"qcs:uin":"${uin}"}}"#,
            r#"{"string_equal":{"mfa":"1"}}"#,
            r#"{"string_not_equal":{"qcs:uin":"8"}}"#,
            r#"{"string_not_equal":{"qcs:uin":["8","9"]}}"#,
            r#"{"binary_equal":{"qcs:uin":"7"}}"#,
            r#"{"string_equal_ignore_case":{"qcs:uin":"7"}}"#,
            r#"{"string_not_equal_ignore_case":{"qcs:uin":"70"}}"#,
        ],
    );
    check(
        &request(),
        Held::No,
        &[
            r#"{"string_equal":{"qcs:uin":"77"}}"#,
            r#"{"string_equal":{"qcs:uin":"*"}}"#,
            r#"{"string_equal":{"qcs:uin":"07"}}"#,
            r#"{"string_equal":{"qcs:uin":"${owner_uin}"}}"#,
            r#"{"string_equal":{"mfa":"0"}}"#,
            r#"{"string_not_equal":{"qcs:uin":["8","7"]}}"#,
            r#"{"binary_equal":{"qcs:uin":"8"}}"#,
            r#"{"string_not_equal_ignore_case":{"qcs:uin":"7"}}"#,
        ],
    );
}

#[test]
fn letters_count_unless_the_operator_ignores_their_case() {
    let tag =
        |operator: &str, value: &str| format!(r#"{{"for_any_value:{operator}":{{"qcs:resource_tag":"{value}"}}}}"#);
    for (operator, value, want) in [
        ("string_equal", "env&prod", Held::Yes),
        ("string_equal", "ENV&prod", Held::No),
        ("binary_equal", "env&Prod", Held::No),
        ("string_equal_ignore_case", "ENV&Prod", Held::Yes),
        ("string_equal", "Team&Web&Mobile", Held::Yes),
        ("string_equal_ignore_case", "team&web&mobile", Held::Yes),
        ("string_equal", "env&prod2", Held::No),
        ("string_equal", "env&", Held::No),
    ] {
        assert_eq!(held(&tag(operator, value), &request()), want, "{operator} {value}");
    }
}

#[test]
fn dates_are_compared_with_the_time_of_the_request() {
    let sides = |operator: &str| {
        ["2016-06-01T00:00:59Z", "2016-06-01T00:01:00Z", "2016-06-01T00:01:01Z"].map(|date| {
            let condition = format!(r#"{{"date_{operator}":{{"qcs:current_time":"{date}"}}}}"#);
            held(&condition, &request()) == Held::Yes
        })
    };
    assert_eq!(sides("equal"), [false, true, false]);
    assert_eq!(sides("not_equal"), [true, false, true]);
    assert_eq!(sides("greater_than"), [true, false, false]);
    assert_eq!(sides("greater_than_equal"), [true, true, false]);
    assert_eq!(sides("less_than"), [false, false, true]);
    assert_eq!(sides("less_than_equal"), [false, true, true]);
}

#[test]
fn numbers_are_compared_as_numbers() {
    let sides = |operator: &str| {
        [6, 7, 8].map(|n| {
            let condition = format!(r#"{{"numeric_{operator}":{{"qcs:uin":{n}}}}}"#);
            held(&condition, &request()) == Held::Yes
        })
    };
    assert_eq!(sides("equal"), [false, true, false]);
    assert_eq!(sides("not_equal"), [true, false, true]);
    assert_eq!(sides("greater_than"), [true, false, false]);
    assert_eq!(sides("greater_than_equal"), [true, true, false]);
    assert_eq!(sides("less_than"), [false, false, true]);
    assert_eq!(sides("less_than_equal"), [false, true, true]);
    let great = Context { uin: u64::MAX, ..request() };
    check(&great, Held::Yes, &[r#"{"numeric_equal":{"qcs:uin":18446744073709551615}}"#]);
    check(&great, Held::No, &[r#"{"numeric_equal":{"qcs:uin":18446744073709551614}}"#]);
    check(
        &request(),
        Held::Yes,
        &[
            r#"{"numeric_equal":{"mfa":1}}"#,
            r#"{"numeric_equal":{"mfa":"1"}}"#,
            r#"{"numeric_not_equal":{"mfa":0}}"#,
            r#"{"numeric_equal":{"qcs:owner_uin":"${owner_uin}"}}"#,
            r#"{"numeric_equal":{"qcs:uin":[6,7]}}"#,
            r#"{"numeric_greater_than":{"qcs:uin":[100,6]}}"#,
        ],
    );
    check(
        &request(),
        Held::No,
        &[r#"{"numeric_not_equal":{"qcs:uin":[6,7]}}"#, r#"{"numeric_less_than":{"qcs:uin":[6,7]}}"#],
    );
}

#[test]
fn addresses_are_compared_with_networks() {
    check(
        &request(),
        Held::Yes,
        &[
            r#"{"ip_equal":{"qcs:ip":["10.217.182.3/24","111.21.33.72/24"]}}"#,
            r#"{"ip_equal":{"qcs:ip ":"10.217.182.77"}}"#,
            r#"{"ip_equal":{"qcs:ip":"::ffff:10.217.182.0/120"}}"#,
            r#"{"ip_equal":{"qcs:ip":"0.0.0.0/0"}}"#,
            r#"{"ip_not_equal":{"qcs:ip":["10.121.2.10/24","10.121.3.20/24"]}}"#,
            r#"{"ip_not_equal":{"qcs:ip":"::/0"}}"#,
        ],
    );
    check(
        &request(),
        Held::No,
        &[
            r#"{"ip_equal":{"qcs:ip":"10.217.183.3/24"}}"#,
            r#"{"ip_equal":{"qcs:ip":"::/0"}}"#,
            r#"{"ip_not_equal":{"qcs:ip":["10.121.2.10/24","10.217.182.3/24"]}}"#,
        ],
    );
    let mapped = Context { ip: Some("::ffff:10.217.182.77".parse().expect("an address")), ..request() };
    check(&mapped, Held::Yes, &[r#"{"ip_equal":{"qcs:ip":"10.217.182.3/24"}}"#]);
    let six = Context { ip: Some("2001:db8::77".parse().expect("an address")), ..request() };
    check(&six, Held::Yes, &[r#"{"ip_equal":{"qcs:ip":"2001:db8::1/32"}}"#]);
    check(&six, Held::No, &[r#"{"ip_equal":{"qcs:ip":"0.0.0.0/0"}}"#]);
}

#[test]
fn truth_is_compared_with_the_second_factor() {
    let without = Context { mfa: Mfa::NotPassed, ..request() };
    check(&request(), Held::Yes, &[r#"{"bool_equal":{"mfa":true}}"#, r#"{"bool_equal":{"mfa":"true"}}"#]);
    check(&request(), Held::No, &[r#"{"bool_equal":{"mfa":false}}"#]);
    check(
        &without,
        Held::Yes,
        &[r#"{"bool_equal":{"mfa":"false"}}"#, r#"{"string_equal":{"mfa":"0"}}"#, r#"{"numeric_equal":{"mfa":0}}"#],
    );
}

/// A request without the keys that a request may lack.
fn bare() -> Context<'static> {
    Context { ip: None, mfa: Mfa::Unknown, resource_tags: &[], ..context() }
}

#[test]
fn an_absent_key_fails_every_operator_without_if_exist() {
    for (operator, key, value) in [
        ("string_equal", "mfa", "\"1\""),
        ("string_not_equal", "mfa", "\"1\""),
        ("numeric_not_equal", "mfa", "1"),
        ("bool_equal", "mfa", "true"),
        ("ip_equal", "qcs:ip", "\"10.0.0.0/8\""),
        ("ip_not_equal", "qcs:ip", "\"10.0.0.0/8\""),
        ("string_not_equal", "qcs:resource_tag", "\"a&b\""),
        ("for_any_value:string_equal", "qcs:resource_tag", "\"a&b\""),
        ("for_all_value:string_equal", "qcs:resource_tag", "\"a&b\""),
    ] {
        let plain = format!(r#"{{"{operator}":{{"{key}":{value}}}}}"#);
        assert_eq!(held(&plain, &bare()), Held::KeyAbsent, "{plain}");
        let lenient = format!(r#"{{"{operator}_if_exist":{{"{key}":{value}}}}}"#);
        assert_eq!(held(&lenient, &bare()), Held::Yes, "{lenient}");
    }
}

#[test]
fn if_exist_changes_nothing_for_a_key_that_is_there() {
    check(
        &request(),
        Held::No,
        &[r#"{"ip_equal_if_exist":{"qcs:ip":"192.0.2.0/24"}}"#, r#"{"numeric_equal_if_exist":{"mfa":0}}"#],
    );
    check(&request(), Held::Yes, &[r#"{"ip_equal_if_exist":{"qcs:ip":"10.217.182.3/24"}}"#]);
}

#[test]
fn null_equal_asks_whether_the_key_is_absent() {
    for key in ["qcs:ip", "qcs:resource_tag", "mfa"] {
        let absent = format!(r#"{{"null_equal":{{"{key}":true}}}}"#);
        let present = format!(r#"{{"null_equal":{{"{key}":"false"}}}}"#);
        assert_eq!([held(&absent, &bare()), held(&present, &bare())], [Held::Yes, Held::No], "{key}");
        assert_eq!([held(&absent, &request()), held(&present, &request())], [Held::No, Held::Yes], "{key}");
    }
    for key in ["qcs:current_time", "qcs:uin", "qcs:owner_uin"] {
        assert_eq!(held(&format!(r#"{{"null_equal":{{"{key}":false}}}}"#), &bare()), Held::Yes, "{key}");
    }
}

#[test]
fn qualifiers_say_how_several_tags_count() {
    const BOTH: &str = r#"["env&prod","Team&Web&Mobile"]"#;
    const ONE: &str = r#"["env&prod"]"#;
    const NONE: &str = r#"["env&test"]"#;
    for (operator, both, one, none) in [
        ("for_any_value:string_equal", true, true, false),
        ("for_all_value:string_equal", true, false, false),
        ("for_any_value:string_not_equal", false, true, true),
        ("for_all_value:string_not_equal", false, false, true),
        ("string_equal", true, true, false),
        ("string_not_equal", false, false, true),
    ] {
        let holds = |values: &str| {
            held(&format!(r#"{{"{operator}":{{"qcs:resource_tag":{values}}}}}"#), &request()) == Held::Yes
        };
        assert_eq!([holds(BOTH), holds(ONE), holds(NONE)], [both, one, none], "{operator}");
    }
}

#[test]
fn a_qualifier_changes_nothing_for_one_value() {
    for qualifier in ["", "for_any_value:", "for_all_value:"] {
        check(&request(), Held::Yes, &[&format!(r#"{{"{qualifier}ip_equal":{{"qcs:ip":"10.217.182.3/24"}}}}"#)]);
        check(&request(), Held::No, &[&format!(r#"{{"{qualifier}ip_not_equal":{{"qcs:ip":"10.217.182.3/24"}}}}"#)]);
    }
}

#[test]
fn all_keys_and_all_operators_must_hold() {
    check(
        &request(),
        Held::Yes,
        &[
            "{}",
            r#"{"string_equal":{"qcs:uin":"7","qcs:owner_uin":"100"}}"#,
            r#"{"ip_equal":{"qcs:ip":"10.217.182.77"},"date_less_than":{"qcs:current_time":"2022-05-31 00:00:00"}}"#,
        ],
    );
    check(
        &request(),
        Held::No,
        &[
            r#"{"string_equal":{"qcs:uin":"7","qcs:owner_uin":"101"}}"#,
            r#"{"ip_equal":{"qcs:ip":"10.217.182.78"},"date_less_than":{"qcs:current_time":"2022-05-31 00:00:00"}}"#,
            r#"{"ip_equal":{"qcs:ip":"10.217.182.77"},"date_less_than":{"qcs:current_time":"2012-05-31 00:00:00"}}"#,
        ],
    );
}

#[test]
fn a_condition_that_could_never_hold_is_refused_with_its_place() {
    for (text, why) in [
        ("[]", "condition must be an object of operators"),
        (r#"{"ip_equal":[]}"#, "condition ip_equal: it must be an object of keys"),
        (r#"{"ip_equal":{}}"#, "condition ip_equal: it is empty"),
        (r#"{"ip_equal":{"qcs:ip":[]}}"#, "condition ip_equal on qcs:ip: its list of values is empty"),
        (r#"{"ip_like":{"qcs:ip":"::"}}"#, "`ip_like` is no operator"),
        (r#"{"ip_equal":{"qcs:IP":"::"}}"#, "condition ip_equal: `qcs:IP` is no key"),
        (r#"{"ip_equal":{"qcs:ip":"::"}," ip_equal":{"qcs:ip":"::"}}"#, "condition: `ip_equal` stands there twice"),
        (r#"{"ip_equal":{"qcs:ip":"::","qcs:ip ":"::"}}"#, "condition ip_equal: `qcs:ip` stands there twice"),
        (r#"{"ip_equal":{"qcs:ip":"10.0.0.0/33"}}"#, "`10.0.0.0/33` must be an address or a network"),
        (r#"{"ip_equal":{"qcs:ip":10}}"#, "`10` must be an address"),
        (r#"{"ip_equal":{"qcs:ip":["::",null]}}"#, "`null` must be an address"),
        (r#"{"date_equal":{"qcs:current_time":1464739260}}"#, "`1464739260` must be a date"),
        (r#"{"date_equal":{"qcs:current_time":"tomorrow"}}"#, "`tomorrow` must be a date"),
        (r#"{"numeric_equal":{"mfa":1.5}}"#, "`a number with a fraction` must be a whole number"),
        (r#"{"numeric_equal":{"mfa":"one"}}"#, "`one` must be a whole number"),
        (r#"{"bool_equal":{"mfa":1}}"#, "`1` must be true or false"),
        (r#"{"null_equal":{"mfa":""}}"#, "`` must be true or false"),
        (r#"{"string_equal":{"qcs:uin":7}}"#, "`7` must be a text in quotation marks"),
        (r#"{"string_equal":{"qcs:uin":[["7"]]}}"#, "must be a text in quotation marks"),
        (r#"{"string_equal":{"qcs:resource_tag":"prod"}}"#, "`prod` must be a tag as key&value"),
        (
            r#"{"string_equal":{"qcs:uin":"${app_id}"}}"#,
            "`app_id` is no variable here; there are ${uin} and ${owner_uin}",
        ),
        (r#"{"ip_equal":{"qcs:current_time":"::"}}"#, "it compares addresses, but qcs:current_time is a date"),
        (r#"{"date_equal":{"qcs:ip":"2016-06-01T00:01:00Z"}}"#, "it compares dates, but qcs:ip is an address"),
        (r#"{"string_equal":{"qcs:ip":"10.0.0.1"}}"#, "it compares texts, but qcs:ip is an address"),
        (r#"{"numeric_equal":{"qcs:resource_tag":1}}"#, "it compares numbers, but qcs:resource_tag is a list"),
        (r#"{"bool_equal":{"qcs:uin":true}}"#, "it compares true and false, but qcs:uin is"),
        (r#"{"null_equal_if_exist":{"mfa":true}}"#, "null_equal asks whether the key exists"),
    ] {
        let refusal = parse(text).expect_err(text);
        assert!(refusal.starts_with("statement 1, condition") && refusal.contains(why), "{text}: {refusal}");
    }
}
