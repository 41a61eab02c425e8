//! Whole policies: what is refused as one, who may do what by them, and what people are told.

use std::net::IpAddr;

use catharsis_cam::limits::{MAX_BYTES, MAX_CHARACTERS};
use catharsis_cam::{
    Context, Decision, Effect, Mfa, Policy, PolicyError, Request, Resource, StatementRef, Tag, Verdict, Why,
    allows_somewhere, evaluate, trace,
};
use proptest::prelude::*;

const ROOT: u64 = 100_000_000_001;
const USER: u64 = 100_000_000_007;
const PURGE: &str = "cdn:PurgeUrlsCache";

fn context() -> Context<'static> {
    Context {
        ip: Some(IpAddr::from([10, 217, 182, 77])),
        now: 1_464_739_260,
        uin: USER,
        owner_uin: ROOT,
        mfa: Mfa::Unknown,
        resource_tags: &[],
    }
}

fn domain(name: &str) -> Resource<'_> {
    Resource::Domain { owner_uin: ROOT, name }
}

fn policy(text: &str) -> Policy {
    Policy::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// A policy of the given statements, each `effect action resource`, with `'` for the quotation marks of a condition after them.
fn statements(lines: &[&str]) -> Policy {
    let one = |line: &&str| {
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().expect("effect, action, resource");
        let (effect, action, resource) = (word(), word(), word());
        let condition = words.next().map(|c| format!(r#","condition":{}"#, c.replace('\'', "\""))).unwrap_or_default();
        format!(r#"{{"effect":"{effect}","action":"{action}","resource":"{resource}"{condition}}}"#)
    };
    let lines: Vec<String> = lines.iter().map(one).collect();
    policy(&format!(r#"{{"version":"2.0","statement":[{}]}}"#, lines.join(",")))
}

fn decide<'a>(policies: &'a [(&'a str, Policy)], action: &'a str, resource: Resource<'a>) -> Decision<'a> {
    evaluate(policies.iter().map(|(name, policy)| (*name, policy)), Request { action, resource }, &context())
}

fn allowed(policy: &Policy, action: &str, resource: Resource<'_>) -> bool {
    evaluate([("p", policy)], Request { action, resource }, &context()).is_allowed()
}

fn refusal(text: &str) -> String {
    Policy::parse(text).expect_err(text).to_string()
}

mod documents {
    use super::*;

    #[test]
    fn the_order_of_elements_is_free_and_brackets_may_be_left_out() {
        let short = policy(
            r#" {"statement":{"resource":"*","condition":{},"action":"cdn:*","effect":"allow"},"version":"2.0"} "#,
        );
        let long = policy(r#"{"version":"2.0","statement":[{"effect":"allow","action":["cdn:*"],"resource":["*"]}]}"#);
        assert_eq!(short, long);
        let statement = &long.statements()[0];
        assert_eq!(statement.effect(), Effect::Allow);
        assert_eq!(statement.actions()[0].as_str(), "cdn:*");
        assert_eq!(statement.resources()[0].as_str(), "*");
    }

    #[test]
    fn what_is_no_policy_is_refused_with_its_place() {
        for (text, why) in [
            ("", "not JSON: EOF while parsing a value at line 1 column 0"),
            ("[]", "policy: a policy must be a JSON object"),
            (r#"{"statement":[]}"#, "policy: version is missing"),
            (r#"{"version":"2.0"}"#, "policy: statement is missing"),
            (r#"{"version":"2.0","statement":[]}"#, "policy: statement is empty"),
            (r#"{"version":"1.0","statement":[]}"#, "policy: version must be the text \"2.0\""),
            (r#"{"version":2.0,"statement":[]}"#, "policy: version must be the text \"2.0\""),
            (
                r#"{"Version":"2.0","statement":[]}"#,
                "policy: `Version` is no element here; there are version, statement, in lower case",
            ),
            (r#"{"version":"2.0","version":"2.0","statement":[]}"#, "policy: `version` stands there twice"),
            (
                r#"{"version":"2.0","principal":{"qcs":"*"},"statement":[]}"#,
                "policy: principal belongs to the trust policy of a role",
            ),
            (&format!(r#"{{"version":{}"#, "[".repeat(20)), "not a policy: nested deeper than 8 levels"),
        ] {
            let text = refusal(text);
            assert!(text.starts_with(why), "{text}\nwanted: {why}");
        }
    }

    #[test]
    fn what_is_no_statement_is_refused_with_its_number() {
        let statement = |text: &str| {
            format!(r#"{{"version":"2.0","statement":[{{"effect":"deny","action":"*","resource":"*"}},{text}]}}"#)
        };
        for (text, why) in [
            (&statement("7"), "statement 2: a statement must be a JSON object"),
            (&statement(r#"{"action":"*","resource":"*"}"#), "statement 2: effect is missing"),
            (&statement(r#"{"effect":"allow","resource":"*"}"#), "statement 2: action is missing"),
            (&statement(r#"{"effect":"allow","action":"*"}"#), "statement 2: resource is missing"),
            (
                &statement(r#"{"effect":"Allow","action":"*","resource":"*"}"#),
                "statement 2: effect must be allow or deny in lower case, not `Allow`",
            ),
            (
                &statement(r#"{"effect":["allow"],"action":"*","resource":"*"}"#),
                "statement 2: effect must be the text allow or deny",
            ),
            (&statement(r#"{"effect":"allow","action":[],"resource":"*"}"#), "statement 2: action is empty"),
            (
                &statement(r#"{"effect":"allow","action":"*","resource":[1]}"#),
                "statement 2: resource must be a text or a list of texts",
            ),
            (
                &statement(r#"{"effect":"allow","action":null,"resource":"*"}"#),
                "statement 2: action must be a text or a list of texts",
            ),
            (
                &statement(r#"{"effect":"allow","action":["*","cdn"],"resource":"*"}"#),
                "statement 2, action 2: `cdn` is no action; write *, cdn:*",
            ),
            (
                &statement(r#"{"effect":"allow","action":"*","resource":["*","*","a.com"]}"#),
                "statement 2, resource 3: `a.com` is no resource: write * or six segments",
            ),
            (
                &statement(r#"{"effect":"allow","action":"*","resource":"*","sid":"x"}"#),
                "statement 2: `sid` is no element here; there are effect, action, resource, condition",
            ),
            (
                &statement(r#"{"effect":"allow","action":"*","resource":"*","principal":"*"}"#),
                "statement 2: principal belongs",
            ),
            (
                &statement(r#"{"effect":"allow","effect":"deny","action":"*","resource":"*"}"#),
                "statement 2: `effect` stands there twice",
            ),
            (
                &statement(r#"{"effect":"allow","action":"*","resource":"*","condition":null}"#),
                "statement 2, condition: condition must be an object",
            ),
        ] {
            let text = refusal(text);
            assert!(text.starts_with(why), "{text}\nwanted: {why}");
        }
    }

    #[test]
    fn a_refusal_repeats_the_policys_text_harmlessly() {
        let text = refusal(&format!(r#"{{"version":"2.0","statement":[],"a\n`\u202e{}":1}}"#, "x".repeat(500)));
        assert!(text.starts_with("policy: `a\\n'\\u{202e}xxx") && text.len() < 250, "{text}");
    }

    /// A policy of exactly `characters` that are no blanks, with as many blanks as asked for.
    fn sized(characters: usize, blanks: usize) -> String {
        let around = |action: &str| {
            format!(r#"{{"version":"2.0","statement":{{"effect":"allow","action":"{action}","resource":"*"}}}}"#)
        };
        let length = characters - around("").len() - "cdn:".len();
        format!("{}{}", around(&format!("cdn:{}", "x".repeat(length))), " \n\t\r".repeat(blanks / 4))
    }

    #[test]
    fn the_limit_is_6144_characters_without_blanks() {
        assert_eq!(MAX_CHARACTERS, 6_144);
        assert!(Policy::parse(&sized(6_144, 0)).is_ok());
        assert!(Policy::parse(&sized(6_144, 40_000)).is_ok());
        assert_eq!(Policy::parse(&sized(6_145, 0)), Err(PolicyError::TooLong(6_145)));
        assert_eq!(
            refusal(&sized(6_145, 400)),
            "a policy has at most 6144 characters not counting blanks, this one has 6145"
        );
    }

    #[test]
    fn characters_are_counted_not_bytes() {
        let tags = |n: usize| {
            let start = r#"{"version":"2.0","statement":{"effect":"allow","action":"*","resource":"*","condition":{"string_equal":{"qcs:resource_tag":"k&"#;
            let end = "\"}}}}";
            format!("{start}{}{end}", "例".repeat(n - start.len() - end.len()))
        };
        assert!(Policy::parse(&tags(6_144)).is_ok());
        assert_eq!(Policy::parse(&tags(6_145)), Err(PolicyError::TooLong(6_145)));
    }

    #[test]
    fn blanks_are_not_without_end() {
        let blanks = " ".repeat(MAX_BYTES + 1);
        assert_eq!(Policy::parse(&blanks), Err(PolicyError::TooManyBytes(MAX_BYTES + 1)));
    }
}

mod samples {
    use super::*;

    #[test]
    fn an_address_with_host_bits_stands_for_its_network() {
        let sample = policy(
            r#"{
    "version": "2.0",
    "statement":[
    {
        "effect": "allow",
        "action": "cos:PutObject",
        "resource": "*",
        "condition": {
            "ip_equal": {
                "qcs:ip": [
                    "10.217.182.3/24",
                    "111.21.33.72/24"
                ]
            }
        }
    }
  ]
}"#,
        );
        assert!(allowed(&sample, "cos:PutObject", Resource::Any));
        let elsewhere = Context { ip: Some(IpAddr::from([10, 217, 183, 3])), ..context() };
        let request = Request { action: "cos:PutObject", resource: Resource::Any };
        assert!(!evaluate([("p", &sample)], request, &elsewhere).is_allowed());
    }

    #[test]
    fn blanks_in_the_names_of_a_condition_are_dropped() {
        for condition in [
            r#"{" date_greater_than ":{"qcs:current_time":"2016-05-01T00:01:00Z"}}"#,
            r#"{" date_less_than ":{"qcs:current_time":"2016-07-01T 00:01:00Z"}}"#,
            r#"{"date_equal ":{"qcs:current_time":"2016-06-01T00:01:00Z"}}"#,
            r#"{"ip_equal":{"qcs:ip ":"10.217.182.10/24"}}"#,
            r#"{" numeric_equal_if_exist":{"mfa":1}}"#,
        ] {
            let text = format!(
                r#"{{"version":"2.0","statement":[{{"effect":"allow","action":"cdn:*","resource":"*","condition":{condition}}}]}}"#
            );
            assert!(allowed(&policy(&text), PURGE, domain("www.test1.com")), "{condition}");
        }
    }

    #[test]
    fn one_domain_can_be_granted_for_purging() {
        let sample = statements(&["allow name/cdn:PurgeUrlsCache qcs::cdn::uin/100000000001:domain/www.test1.com"]);
        assert!(allowed(&sample, PURGE, domain("www.test1.com")));
        assert!(!allowed(&sample, PURGE, domain("www.test2.com")));
        assert!(!allowed(&sample, "cdn:PurgePathCache", domain("www.test1.com")));
        let foreign = Resource::Domain { owner_uin: ROOT + 1, name: "www.test1.com" };
        assert!(!allowed(&sample, PURGE, foreign));
    }

    #[test]
    fn a_tag_can_be_asked_for() {
        let sample =
            statements(&["allow cdn:* * {'for_any_value:string_equal':{'qcs:resource_tag':['game&webpage']}}"]);
        let tags = [Tag { key: "owner", value: "x" }, Tag { key: "game", value: "webpage" }];
        let request = Request { action: PURGE, resource: domain("www.test1.com") };
        let by =
            |resource_tags| evaluate([("p", &sample)], request, &Context { resource_tags, ..context() }).is_allowed();
        assert!(by(&tags));
        assert!(!by(&tags[..1]));
        assert!(!by(&[]));
    }
}

mod order {
    use super::*;

    fn by(policy: &'static str, statement: usize) -> StatementRef<'static> {
        StatementRef { policy, statement }
    }

    #[test]
    fn what_no_statement_matches_is_denied() {
        assert_eq!(decide(&[], PURGE, domain("a.com")).verdict, Verdict::NoMatch { policies: 0 });
        let policies = [("readers", statements(&["allow cdn:Describe* *"])), ("other", statements(&["deny ecdn:* *"]))];
        let decision = decide(&policies, PURGE, domain("a.com"));
        assert_eq!(
            (decision.verdict, decision.is_allowed(), decision.decided_by()),
            (Verdict::NoMatch { policies: 2 }, false, None)
        );
    }

    #[test]
    fn an_explicit_deny_wins_wherever_it_stands() {
        let allow = || statements(&["allow cdn:Describe* *", "allow cdn:* qcs::cdn:::domain/*"]);
        let deny = || statements(&["deny cdn:Push* *", "deny cdn:Purge* qcs::cdn:::domain/*.a.com"]);
        for policies in [[("allow", allow()), ("deny", deny())], [("deny", deny()), ("allow", allow())]] {
            let denied = decide(&policies, PURGE, domain("www.a.com"));
            assert_eq!(denied.verdict, Verdict::Denied(by("deny", 2)));
            assert_eq!(denied.decided_by(), Some((by("deny", 2), Effect::Deny)));
            let allowed = decide(&policies, PURGE, domain("www.b.com"));
            assert_eq!(allowed.verdict, Verdict::Allowed(by("allow", 2)));
        }
        let both = statements(&["allow * *", "deny * *"]);
        assert!(!allowed(&both, PURGE, Resource::Any));
    }

    #[test]
    fn a_deny_whose_condition_fails_denies_nothing() {
        let policies =
            [("p", statements(&["deny cdn:* * {'ip_not_equal':{'qcs:ip':'10.217.0.0/16'}}", "allow cdn:* *"]))];
        assert_eq!(decide(&policies, PURGE, domain("a.com")).verdict, Verdict::Allowed(by("p", 2)));
    }

    #[test]
    fn an_action_without_a_resource_needs_everything() {
        let action = "cdn:DescribePurgeQuota";
        assert!(!allowed(&statements(&["allow cdn:* qcs::cdn:::domain/*"]), action, Resource::Any));
        assert!(allowed(&statements(&["allow cdn:* *"]), action, Resource::Any));
        assert!(allowed(&statements(&["allow cdn:* qcs::cdn::uin/100000000001:*"]), action, Resource::Any));
    }
}

mod somewhere {
    use super::*;

    fn check(lines: &[&str]) -> bool {
        allows_somewhere([("p", &statements(lines))], PURGE, &context())
    }

    #[test]
    fn a_policy_for_another_domain_is_a_policy_for_the_action() {
        assert!(check(&["allow cdn:Purge* qcs::cdn:::domain/b.com"]));
        assert!(check(&["allow cdn:Purge* qcs::cdn:::domain/b.com", "deny cdn:* qcs::cdn:::domain/a.com"]));
        assert!(check(&["allow * *", "deny cdn:Push* *"]));
    }

    #[test]
    fn without_an_effective_allow_there_is_none() {
        assert!(!check(&["allow cdn:Describe* *"]));
        assert!(!check(&["deny cdn:Purge* qcs::cdn:::domain/b.com"]));
        assert!(!check(&["allow cdn:* qcs::cvm:::*"]));
        assert!(!check(&["allow cdn:* qcs::cdn::uin/5:domain/*"]));
        assert!(!check(&["allow cdn:* * {'ip_equal':{'qcs:ip':'192.0.2.0/24'}}"]));
        assert!(!allows_somewhere([], PURGE, &context()));
    }

    #[test]
    fn a_deny_on_everything_shadows_each_allow() {
        assert!(!check(&["allow cdn:* qcs::cdn:::domain/b.com", "deny cdn:Purge* *"]));
        assert!(!check(&["deny * qcs::cdn:::*", "allow cdn:* *"]));
        assert!(check(&["allow cdn:* *", "deny cdn:* * {'ip_equal':{'qcs:ip':'192.0.2.0/24'}}"]));
    }

    #[test]
    fn tags_are_left_open_as_no_resource_is_named() {
        assert!(check(&["allow cdn:* * {'for_any_value:string_equal':{'qcs:resource_tag':'a&b'}}"]));
        assert!(check(&[
            "allow cdn:* *",
            "deny cdn:* * {'for_any_value:string_equal_if_exist':{'qcs:resource_tag':'a&b'}}"
        ]));
    }
}

mod told {
    use super::*;

    #[test]
    fn a_decision_names_the_statement() {
        let policies = [("editors", statements(&["allow cdn:* *", "deny cdn:Purge* qcs::cdn:::domain/*.a.com"]))];
        assert_eq!(
            decide(&policies, PURGE, domain("www.a.com")).to_string(),
            "denied: statement 2 of policy `editors` denies cdn:PurgeUrlsCache on qcs::cdn::uin/100000000001:domain/www.a.com"
        );
        assert_eq!(
            decide(&policies, PURGE, domain("www.b.com")).to_string(),
            "allowed: statement 1 of policy `editors` allows cdn:PurgeUrlsCache on qcs::cdn::uin/100000000001:domain/www.b.com"
        );
        assert_eq!(
            decide(&policies[..0], PURGE, domain("a.com")).to_string(),
            "denied: no statement of 0 policies matches cdn:PurgeUrlsCache on qcs::cdn::uin/100000000001:domain/a.com"
        );
        let readers = [("readers", statements(&["allow cdn:* qcs::cdn:::domain/*"]))];
        assert_eq!(
            decide(&readers, "cdn:DescribePurgeQuota", Resource::Any).to_string(),
            "denied: no statement of 1 policy matches cdn:DescribePurgeQuota on * (the action names no domain, so only a statement with resource * can allow it)"
        );
    }

    #[test]
    fn a_trace_tells_for_each_statement_why() {
        let first = statements(&["allow cdn:Describe* *", "allow cdn:* qcs::cdn:::domain/b.com"]);
        let second = statements(&[
            "allow cdn:* * {'ip_equal':{'qcs:ip':'192.0.2.0/24'}}",
            "deny cdn:* * {'numeric_not_equal':{'mfa':1}}",
            "allow cdn:Purge* qcs::cdn:::domain/*",
        ]);
        let request = Request { action: PURGE, resource: domain("a.com") };
        let trace = trace([("first", &first), ("second", &second)], request, &context());
        let whys: Vec<Why<'_>> = trace.statements.iter().map(|considered| considered.why).collect();
        assert_eq!(
            whys,
            [
                Why::Action,
                Why::Resource,
                Why::Condition { operator: "ip_equal", key: "qcs:ip" },
                Why::KeyAbsent { operator: "numeric_not_equal", key: "mfa" },
                Why::Matched,
            ]
        );
        assert_eq!(
            trace.to_string(),
            "allowed: statement 3 of policy `second` allows cdn:PurgeUrlsCache on qcs::cdn::uin/100000000001:domain/a.com
  statement 1 of policy `first` (allow) does not match: its actions do not name this one
  statement 2 of policy `first` (allow) does not match: its resources do not describe this one
  statement 1 of policy `second` (allow) does not match: its condition ip_equal on qcs:ip does not hold
  statement 2 of policy `second` (deny) does not match: its condition numeric_not_equal asks for mfa, which this request does not have
  statement 3 of policy `second` (allow) matches"
        );
    }
}

mod properties {
    use super::*;

    fn statement(effect: &'static str) -> impl Strategy<Value = String> {
        let action =
            prop::sample::select(vec!["*", "cdn:*", "cdn:Purge*", "cdn:PurgeUrlsCache", "cdn:Describe*", "ecdn:*"]);
        let resource = prop::sample::select(vec![
            "*",
            "qcs::cdn:::*",
            "qcs::cdn:::domain/*",
            "qcs::cdn:::domain/a.com",
            "qcs::cdn:::domain/*.com",
            "qcs::cdn::uin/5:domain/*",
            "qcs::cdn:::domain/${uin}.com",
        ]);
        let condition = prop::sample::select(vec![
            "{}",
            r#"{"ip_equal":{"qcs:ip":"10.0.0.0/8"}}"#,
            r#"{"ip_not_equal":{"qcs:ip":"10.0.0.0/8"}}"#,
            r#"{"null_equal":{"mfa":true}}"#,
            r#"{"for_all_value:string_equal":{"qcs:resource_tag":"a&b"}}"#,
            r#"{"string_equal_if_exist":{"qcs:uin":"${uin}"}}"#,
        ]);
        (action, resource, condition).prop_map(move |(action, resource, condition)| {
            format!(r#"{{"effect":"{effect}","action":"{action}","resource":"{resource}","condition":{condition}}}"#)
        })
    }

    fn any_statement() -> impl Strategy<Value = String> {
        prop_oneof![2 => statement("allow"), 1 => statement("deny")]
    }

    fn of(statements: &[String]) -> Policy {
        policy(&format!(r#"{{"version":"2.0","statement":[{}]}}"#, statements.join(",")))
    }

    fn any_request() -> impl Strategy<Value = Request<'static>> {
        let action = prop::sample::select(vec![PURGE, "cdn:DescribePurgeTasks", "ecdn:PurgeUrlsCache", "", "no colon"]);
        let resource = prop::sample::select(vec![
            Resource::Any,
            Resource::Domain { owner_uin: ROOT, name: "a.com" },
            Resource::Domain { owner_uin: ROOT, name: "100000000007.com" },
            Resource::Domain { owner_uin: 5, name: "a.com" },
        ]);
        (action, resource).prop_map(|(action, resource)| Request { action, resource })
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in any::<String>()) {
            let _ = Policy::parse(&text).map_err(|e| e.to_string());
        }

        /// Text that is nearly a policy reaches deeper than any text does.
        #[test]
        fn any_damage_to_a_policy_is_answered(
            statements in prop::collection::vec(any_statement(), 1..4),
            at in any::<prop::sample::Index>(),
            put in "[\"{}\\[\\]:,*$ \\\\0é-]{0,3}",
        ) {
            let mut text = format!(r#"{{"version":"2.0","statement":[{}]}}"#, statements.join(","));
            let at = at.index(text.len());
            text.replace_range(at..=at, &put);
            let _ = Policy::parse(&text).map_err(|e| e.to_string());
        }

        #[test]
        fn an_extra_deny_never_allows_more(
            statements in prop::collection::vec(any_statement(), 1..6),
            deny in statement("deny"),
            at in any::<prop::sample::Index>(),
            request in any_request(),
        ) {
            let before = of(&statements);
            let mut more = statements.clone();
            more.insert(at.index(statements.len() + 1), deny);
            let after = of(&more);
            let allows = |policy| evaluate([("p", policy)], request, &context()).is_allowed();
            prop_assert!(allows(&before) || !allows(&after));
            let somewhere = |policy| allows_somewhere([("p", policy)], request.action, &context());
            prop_assert!(somewhere(&before) || !somewhere(&after));
        }

        #[test]
        fn an_explanation_decides_as_the_evaluation_does(
            first in prop::collection::vec(any_statement(), 1..6),
            second in prop::collection::vec(any_statement(), 1..6),
            request in any_request(),
        ) {
            let (first, second) = (of(&first), of(&second));
            let policies = [("first", &first), ("second", &second)];
            let trace = trace(policies, request, &context());
            prop_assert_eq!(trace.decision, evaluate(policies, request, &context()));
            prop_assert!(!trace.to_string().is_empty());
        }

        #[test]
        fn what_is_allowed_is_allowed_somewhere(
            statements in prop::collection::vec(any_statement(), 1..6),
            request in any_request(),
        ) {
            let policy = of(&statements);
            if evaluate([("p", &policy)], request, &context()).is_allowed() {
                prop_assert!(allows_somewhere([("p", &policy)], request.action, &context()));
            }
        }

        #[test]
        fn nothing_reaches_another_root_account(statements in prop::collection::vec(any_statement(), 1..6)) {
            let foreign = Resource::Domain { owner_uin: 5, name: "a.com" };
            prop_assert!(!allowed(&of(&statements), PURGE, foreign));
        }
    }
}
