//! CAM policies: whatever parses is evaluated, explained as it was decided, and matches what a plain second reading of its actions and resources says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use catharsis_cam::limits::{MAX_BYTES, MAX_CHARACTERS};
use catharsis_cam::{
    Considered, Context, Effect, Mfa, Policy, Request, Resource, Tag, Verdict, Why, allows_somewhere, evaluate, trace,
};
use serde_json::Value;

use crate::outcome::disguises;
use crate::planted;

/// Longest reason, bytes: two shown texts of 96 characters, each escaped to ten bytes, and the list of operators.
const REASON_BYTES_MAX: usize = 4_096;

const ROOT: u64 = 100_000_000_001;
const USER: u64 = 100_000_000_007;
const HOST: &str = "www.test1.com";

/// `data` is a policy document.
pub fn cam_policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let policy = match Policy::parse(text) {
        Ok(policy) => policy,
        Err(error) => return assert_text(&error.to_string()),
    };
    assert!(text.len() <= MAX_BYTES && text.chars().filter(|c| !c.is_whitespace()).count() <= MAX_CHARACTERS);
    let spaced = spaced(text);
    if spaced.len() <= MAX_BYTES {
        assert_eq!(Policy::parse(&spaced).as_ref(), Ok(&policy), "blanks between the tokens change it");
    }
    let document: Value = serde_json::from_str(text).expect("a policy is JSON");
    let tags = [Tag { key: "team", value: "web" }, Tag { key: "city", value: "sz" }];
    for context in contexts(&tags) {
        for action in ["cdn:PurgeUrlsCache", "cdn:DescribePurgeQuota", "ecdn:PurgeUrlsCache"] {
            let own = Resource::Domain { owner_uin: ROOT, name: HOST };
            let foreign = Resource::Domain { owner_uin: USER, name: HOST };
            for resource in [Resource::Any, own, foreign] {
                assert_decided(&policy, &document, Request { action, resource }, &context);
            }
        }
    }
}

fn contexts<'a>(tags: &'a [Tag<'a>]) -> [Context<'a>; 3] {
    let plain = Context {
        ip: Some(IpAddr::from([10, 217, 182, 77])),
        now: 1_464_739_260,
        uin: USER,
        owner_uin: ROOT,
        mfa: Mfa::Unknown,
        resource_tags: &[],
    };
    let mapped = Ipv4Addr::new(111, 21, 33, 72).to_ipv6_mapped();
    [
        plain,
        Context { ip: Some(mapped.into()), mfa: Mfa::Passed, resource_tags: tags, ..plain },
        Context {
            ip: Some(Ipv6Addr::LOCALHOST.into()),
            now: i64::MAX,
            mfa: Mfa::NotPassed,
            resource_tags: &tags[..1],
            ..plain
        },
    ]
}

fn assert_decided(policy: &Policy, document: &Value, request: Request<'_>, context: &Context<'_>) {
    let decision = evaluate([("p", policy)], request, context);
    let traced = trace([("p", policy)], request, context);
    assert_eq!(traced.decision, decision, "explained otherwise than decided");
    assert_eq!(traced.statements.len(), policy.statements().len());
    traced.to_string().lines().for_each(assert_text);
    let first = |effect: Effect| {
        let mut of_effect = traced.statements.iter().filter(|it| it.why == Why::Matched && it.effect == effect);
        of_effect.next().map(|it| it.statement)
    };
    let verdict = match (first(Effect::Deny), first(Effect::Allow)) {
        (Some(statement), _) => Verdict::Denied(statement),
        (None, Some(statement)) => Verdict::Allowed(statement),
        (None, None) => Verdict::NoMatch { policies: 1 },
    };
    assert_eq!(decision.verdict, verdict);
    for (considered, statement) in traced.statements.iter().zip(many(&document["statement"])) {
        assert_considered(considered, statement, request);
    }
    assert_weighed(policy, request, context, decision.is_allowed());
}

/// Beside other policies, in whatever order and with the action in whatever case.
fn assert_weighed(policy: &Policy, request: Request<'_>, context: &Context<'_>, allowed: bool) {
    let one = |effect: &str| {
        let text = format!(r#"{{"version":"2.0","statement":{{"effect":"{effect}","action":"*","resource":"*"}}}}"#);
        Policy::parse(&text).expect("a policy")
    };
    let (all, none) = (one("allow"), one("deny"));
    let is_allowed =
        |policies: &[&Policy]| evaluate(policies.iter().map(|policy| ("q", *policy)), request, context).is_allowed();
    assert!(!is_allowed(&[policy, &none]) && !is_allowed(&[&none, policy]), "a deny outweighs every allow");
    assert_eq!(is_allowed(&[policy, &all]), is_allowed(&[&all, policy]), "the order of policies changes the result");
    assert!(!allowed || is_allowed(&[policy, policy]), "twice the same policy");
    let upper = request.action.to_ascii_uppercase();
    let loud = Request { action: &upper, resource: request.resource };
    assert_eq!(evaluate([("p", policy)], loud, context).is_allowed(), allowed, "case counts");
    if let Resource::Domain { owner_uin, .. } = request.resource {
        assert!(!allowed || owner_uin == ROOT, "a foreign domain is allowed");
    }
    let somewhere = allows_somewhere([("p", policy)], request.action, context);
    assert!(!allowed || somewhere, "{} is allowed, but nowhere", request.action);
}

/// Compares the first reason why a statement does not match with a plain reading of its actions and resources.
fn assert_considered(considered: &Considered<'_>, statement: &Value, request: Request<'_>) {
    let texts = |element: &str| many(&statement[element]).iter().map(|text| text.as_str().expect("a text"));
    let action = texts("action").any(|pattern| names_action(pattern, request.action));
    let resource = texts("resource").any(|pattern| names_resource(pattern, request));
    let expected = match considered.why {
        Why::Action => !action,
        Why::Resource => action && !resource,
        Why::Matched => action && resource,
        Why::Condition { .. } | Why::KeyAbsent { .. } => {
            action && resource && !many(&statement["condition"]).is_empty()
        }
    };
    assert!(expected, "{considered} {statement}");
}

fn names_action(pattern: &str, action: &str) -> bool {
    let pattern = pattern.trim();
    let bare = pattern.strip_prefix("name/").or_else(|| pattern.strip_prefix("actionName/")).unwrap_or(pattern);
    let bare: String = bare.chars().filter(|c| !c.is_whitespace()).collect();
    glob(bare.to_ascii_lowercase().as_bytes(), action.to_ascii_lowercase().as_bytes())
}

fn names_resource(pattern: &str, request: Request<'_>) -> bool {
    let host = match request.resource {
        Resource::Any => None,
        Resource::Domain { owner_uin: ROOT, name } => Some(name),
        Resource::Domain { .. } => return false,
    };
    let pattern = pattern.trim();
    let stars = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte == b'*');
    if pattern == "*" {
        return true;
    }
    let segments: Vec<&str> = pattern.splitn(6, ':').collect();
    let &["qcs", "", service, region, account, last] = segments.as_slice() else { return false };
    let asked = request.action.split(':').next().unwrap_or_default();
    let service = service.is_empty() || glob(service.to_ascii_lowercase().as_bytes(), asked.as_bytes());
    let region = region.is_empty() || stars(region);
    let account = matches!(account, "" | "*" | "uin/*")
        || account.strip_prefix("uin/").and_then(|uin| uin.parse::<u64>().ok()) == Some(ROOT);
    let last = last.replace("${uin}", &USER.to_string()).replace("${owner_uin}", &ROOT.to_string());
    let wanted = host.map(|host| format!("domain/{host}"));
    let described = wanted.is_some_and(|wanted| glob(last.to_ascii_lowercase().as_bytes(), wanted.as_bytes()));
    service && region && account && (stars(&last) || described)
}

/// `*` stands for any text, the empty one too.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    // Whether the pattern so far matches the first n bytes.
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for &byte in pattern {
        let before = reached.clone();
        let mut any = false;
        for n in 0..=text.len() {
            any |= before[n] && !(planted(n == text.len()));
            reached[n] = if byte == b'*' { any } else { n > 0 && before[n - 1] && text[n - 1] == byte };
        }
    }
    reached[text.len()]
}

/// A single value may stand without brackets.
fn many(value: &Value) -> &[Value] {
    match value {
        Value::Null => &[],
        Value::Array(list) => list,
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => std::slice::from_ref(value),
    }
}

/// The same document with blanks behind each token that is no text.
fn spaced(text: &str) -> String {
    let (mut out, mut inside, mut escaped) = (String::new(), false, false);
    for c in text.chars() {
        out.push(c);
        match c {
            _ if escaped => escaped = false,
            '\\' if inside => escaped = true,
            '"' => inside = !inside,
            ',' | ':' | '{' | '[' if !inside => out.push_str("\n "),
            _ => {}
        }
    }
    out
}

fn assert_text(text: &str) {
    assert!(!text.is_empty() && text.len() <= REASON_BYTES_MAX && !text.contains(disguises), "{text:?}");
}
