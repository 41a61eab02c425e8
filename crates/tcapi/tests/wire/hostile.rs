//! Whatever is sent in whatever place: no panic, and a refusal with a code, one line of text, and no secret in it.

use bytes::Bytes;
use catharsis_tcapi::call::VerifyRules;
use catharsis_tcapi::cdn::{
    self, Action, AddCdnDomainRequest, DeleteCdnDomainRequest, DescribeCacheNodesRequest, DescribeDomainsRequest,
    DescribePurgeQuotaRequest, DescribePurgeReceiptsRequest, DescribePurgeTasksRequest, DescribePushQuotaRequest,
    DescribePushTasksRequest, ModifyPurgeFetchTaskStatusRequest, PurgePathCacheRequest, PurgeUrlsCacheRequest,
    PushUrlsCacheRequest, Request, StartCdnDomainRequest, StopCdnDomainRequest,
};
use catharsis_tcapi::client::{Credentials, Moment, SignForm, Signer};
use catharsis_tcapi::params::Params;
use catharsis_tcapi::tc3::UnsignedPayload;
use catharsis_tcapi::v1::HmacMethod;
use catharsis_tcapi::{Call, Language, RequestId, RequestParts, SecretId, SecretKey, WireError, envelope, request};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use serde_json::{Value, json};

const SECRET: &str = "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE";
const NOW: i64 = 1_551_113_065;

/// A request of parts that need not fit each other.
#[derive(Debug, Clone)]
struct Parts {
    method: String,
    path: String,
    query: Option<String>,
    authority: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// The whole way of a request, the actions' own readers at its end.
fn whole_way(parts: &Parts) -> Result<(), WireError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &parts.headers {
        // What no HTTP server would hand over is left out, not repaired.
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    let body = Bytes::from(parts.body.clone());
    let view = RequestParts {
        method: &parts.method,
        path: &parts.path,
        query: parts.query.as_deref(),
        authority: parts.authority.as_deref(),
        headers: &headers,
        body: &body,
    };
    let _ = request::body_limit(&parts.method, &headers);
    let _ = Language::of_parts(&view);
    let call = Call::parse(&view)?;
    let action = Action::of(&call)?;
    let rules = VerifyRules { product: cdn::PRODUCT, unsigned_payload: UnsignedPayload::Accept };
    let verified = call.timely(NOW)?.verify(&SecretKey::new(SECRET), rules)?;
    read(action, verified.params()?)
}

fn read(action: Action, params: Params<'_>) -> Result<(), WireError> {
    match action {
        Action::PurgeUrlsCache => PurgeUrlsCacheRequest::from_params(params).map(drop),
        Action::PurgePathCache => PurgePathCacheRequest::from_params(params).map(drop),
        Action::PushUrlsCache => PushUrlsCacheRequest::from_params(params).map(drop),
        Action::DescribePurgeTasks => DescribePurgeTasksRequest::from_params(params).map(drop),
        Action::DescribePushTasks => DescribePushTasksRequest::from_params(params).map(drop),
        Action::DescribePurgeQuota => DescribePurgeQuotaRequest::from_params(params).map(drop),
        Action::DescribePushQuota => DescribePushQuotaRequest::from_params(params).map(drop),
        Action::ModifyPurgeFetchTaskStatus => ModifyPurgeFetchTaskStatusRequest::from_params(params).map(drop),
        Action::AddCdnDomain => AddCdnDomainRequest::from_params(params).map(drop),
        Action::StartCdnDomain => StartCdnDomainRequest::from_params(params).map(drop),
        Action::StopCdnDomain => StopCdnDomainRequest::from_params(params).map(drop),
        Action::DeleteCdnDomain => DeleteCdnDomainRequest::from_params(params).map(drop),
        Action::DescribeDomains => DescribeDomainsRequest::from_params(params).map(drop),
        Action::DescribePurgeReceipts => DescribePurgeReceiptsRequest::from_params(params).map(drop),
        Action::DescribeCacheNodes => DescribeCacheNodesRequest::from_params(params).map(drop),
    }
}

fn check(outcome: Result<(), WireError>) -> Result<(), TestCaseError> {
    let Err(error) = outcome else { return Ok(()) };
    for language in [Language::English, Language::Chinese] {
        let message = error.message(language);
        prop_assert!(!message.is_empty() && !message.chars().any(char::is_control), "{:?}", message);
        prop_assert!(!message.contains(SECRET));
        prop_assert!(message.len() < 4_000, "{} bytes", message.len());
        let body = envelope::error(RequestId::from_random_bytes([0; 16]), &error, language);
        let Err(envelope::AnswerError::Api(seen)) = envelope::parse::<cdn::PurgeUrlsCacheResponse>(&body) else {
            return Err(TestCaseError::fail("an error is read back as one"));
        };
        prop_assert_eq!((seen.known(), seen.message.as_str()), (Some(error.code), message.as_ref()));
    }
    // Each refusal is told in Chinese too, and not by its code's meaning only.
    prop_assert!(!error.message(Language::Chinese).contains(&error.message), "{}", error.message);
    Ok(())
}

fn forms() -> impl Strategy<Value = SignForm> {
    prop::sample::select(vec![
        SignForm::Tc3Post,
        SignForm::Tc3PostUnsigned,
        SignForm::Tc3Get,
        SignForm::V1Get(HmacMethod::Sha1),
        SignForm::V1Post(HmacMethod::Sha256),
    ])
}

/// A good request of one of the forms.
fn good(form: SignForm, action: &str, parameters: &impl serde::Serialize) -> Parts {
    let credentials = Credentials {
        secret_id: SecretId::parse("AKID").expect("a valid id"),
        secret_key: SecretKey::new(SECRET),
        token: None,
    };
    let signer = Signer::new("cdn.example.com", credentials, form).expect("a host");
    let request = signer.sign(action, cdn::VERSION, parameters, Moment { unix: NOW, nonce: 1 }).expect("a request");
    let (head, body) = request.into_parts();
    Parts {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().map(str::to_owned),
        authority: None,
        headers: head.headers.iter().map(|(n, v)| (n.to_string(), v.as_bytes().to_vec())).collect(),
        body: body.to_vec(),
    }
}

fn names() -> impl Strategy<Value = String> {
    let known = [
        "authorization",
        "host",
        "content-type",
        "x-tc-action",
        "x-tc-version",
        "x-tc-timestamp",
        "x-tc-token",
        "x-tc-language",
    ];
    let more = ["x-tc-traceid", "x-tc-requestclient", "x-tc-content-sha256", "x-tc-region", "x-other"];
    prop::sample::select(known.into_iter().chain(more).map(str::to_owned).collect::<Vec<_>>())
}

fn values() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        "[ -~]{0,60}".prop_map(String::into_bytes),
        "TC3-HMAC-SHA256 Credential=[a-z/]{0,9}/2019-02-2[0-9]/cdn/tc3_request, ?SignedHeaders=[a-z;-]{0,30}, Signature=[0-9a-f]{60,64}"
            .prop_map(String::into_bytes),
        prop::sample::select(vec!["application/json", "application/x-www-form-urlencoded", "GET", "SKIP", "UNSIGNED-PAYLOAD", "1551113065", "PurgeUrlsCache"])
            .prop_map(|text| text.as_bytes().to_vec()),
    ]
}

fn flat() -> impl Strategy<Value = String> {
    let name = "(Urls|Limit|Action|Version|Timestamp|Nonce|SecretId|Signature|[A-Za-z%+]{0,4})(\\.(-?[0-9]{0,9}|[A-Za-z]{0,3})){0,9}";
    prop::collection::vec((name, "[ -~]{0,12}|%[0-9a-fA-F]{0,2}|中"), 0..12)
        .prop_map(|pairs| pairs.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join("&"))
}

/// Parameters that use everything an action defines.
fn full(action: Action) -> Value {
    let options = |mut value: Value| {
        value["ClientToken"] = json!("8b1c6a80");
        value["DryRun"] = json!(true);
        value
    };
    let span = json!({"StartTime": "2018-07-31 22:03:16", "EndTime": "2018-08-31 22:03:16", "TaskId": "1", "Offset": 1,
                      "Limit": 2, "Keyword": "a.example", "Status": "fail", "Area": "global", "Extra": null});
    let domain = || json!({"Domain": "*.a.example", "DryRun": true, "Extra": null});
    match action {
        Action::PurgeUrlsCache => {
            options(json!({"Urls": ["x", "y"], "Area": "overseas", "UrlEncode": true, "Webhook": "w"}))
        }
        Action::PurgePathCache => {
            options(json!({"Paths": ["x"], "FlushType": "flush", "UrlEncode": true, "Webhook": "w"}))
        }
        Action::PushUrlsCache => options(json!({
            "Urls": ["x"], "UserAgent": "u", "Area": "global", "Layer": "middle", "ParseM3U8": true, "DisableRange": true,
            "Headers": [{"Name": "A", "Value": "b"}], "UrlEncode": true, "Webhook": "w"})),
        Action::DescribePurgeTasks | Action::DescribePushTasks => without_null(span),
        Action::ModifyPurgeFetchTaskStatus => json!({
            "ExecutionTime": "2021-06-10T11:27:01+08:00", "ExecutionStatus": "failed", "Id": "1", "ExecutionStatusDesc": "d"}),
        Action::AddCdnDomain => json!({
            "DryRun": true, "Domain": "a.example", "ServiceType": "web", "ProjectId": 7, "Area": "global", "Https": {"Switch": "off"},
            "Tag": [{"TagKey": "a"}], "CacheKey": {"FullUrlCache": "on", "QueryString": {"Switch": "off"}},
            "HttpsBilling": {"Switch": "on"},
            "Origin": {"Origins": ["o.example:80:5", "::1"], "OriginType": "ipv6_domain", "ServerName": "s", "BasePath": "/",
                       "OriginPullProtocol": "follow", "BackupOrigins": ["1.2.3.4"], "BackupOriginType": "ip"}}),
        Action::StartCdnDomain | Action::StopCdnDomain | Action::DeleteCdnDomain => without_null(domain()),
        Action::DescribeDomains => json!({
            "Offset": 1, "Limit": 2,
            "Filters": [{"Name": "domain", "Value": ["a"], "Fuzzy": true}, {"Name": "status", "Value": ["online", "offline"]}]}),
        Action::DescribePurgeReceipts => json!({"TaskId": "1"}),
        Action::DescribePurgeQuota | Action::DescribePushQuota | Action::DescribeCacheNodes => json!({}),
    }
}

fn without_null(mut value: Value) -> Value {
    if let Some(members) = value.as_object_mut() {
        members.retain(|_, member| !member.is_null());
    }
    value
}

/// The pointers of all values below the top.
fn all_places(at: &str, value: &Value, places: &mut Vec<String>) {
    let below: Vec<(String, &Value)> = match value {
        Value::Array(list) => list.iter().enumerate().map(|(n, item)| (n.to_string(), item)).collect(),
        Value::Object(members) => members.iter().map(|(name, item)| (name.clone(), item)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    for (name, item) in below {
        let pointer = format!("{at}/{name}");
        all_places(&pointer, item, places);
        places.push(pointer);
    }
}

fn hostile_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|b| json!(b)),
        any::<i64>().prop_map(|n| json!(n)),
        Just(json!(1.5)),
        any::<String>().prop_map(|t| json!(t)),
        prop::sample::select(vec!["", "on", "off", "cos", "a:b:c", "[::1", "\r\n", "%00", "中", "global"])
            .prop_map(|t| json!(t)),
        "x{0,5000}".prop_map(|t| json!(t)),
    ];
    leaf.prop_recursive(3, 40, 8, |inner| {
        let names = prop::sample::select(vec!["Name", "Value", "Switch", "Origins", "Extra", "0"]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..30).prop_map(|list| json!(list)),
            prop::collection::vec((names, inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().map(|(n, v)| (n.to_owned(), v)).collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn anything_in_all_places_at_once_is_answered(
        method in prop_oneof![Just("GET".to_owned()), Just("POST".to_owned()), ".{0,8}"],
        path in prop_oneof![4 => Just("/".to_owned()), 1 => ".{0,8}"],
        query in prop::option::of(prop_oneof![flat(), any::<String>()]),
        authority in prop::option::of(".{0,20}"),
        headers in prop::collection::vec((names(), values()), 0..10),
        body in prop_oneof![flat().prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..200)],
    ) {
        let parts = Parts { method, path, query, authority, headers, body };
        let outcome = whole_way(&parts);
        prop_assert!(outcome.is_err(), "nobody signs by chance");
        check(outcome)?;
    }

    #[test]
    fn a_good_request_with_anything_in_one_place_is_answered(
        form in forms(),
        place in 0..5,
        name in names(),
        value in values(),
        at in any::<prop::sample::Index>(),
        text in prop_oneof![flat(), any::<String>()],
    ) {
        let mut parts = good(form, "PurgeUrlsCache", &json!({"Urls": ["http://www.example.com/1"], "UrlEncode": true}));
        prop_assert_eq!(whole_way(&parts), Ok(()));
        match place {
            0 => parts.headers.push((name, value)),
            1 => {
                let at = at.index(parts.headers.len());
                parts.headers[at].1 = value;
            }
            2 => {
                let at = at.index(parts.body.len() + 1);
                parts.body.splice(at..at, value);
            }
            3 => parts.query = Some(text),
            _ => drop(parts.headers.remove(at.index(parts.headers.len()))),
        }
        check(whole_way(&parts))?;
    }

    #[test]
    fn any_signed_parameters_are_answered_by_any_action(
        form in forms(),
        action in prop::sample::select(Action::ALL.to_vec()),
        place in any::<prop::sample::Index>(),
        value in hostile_value(),
    ) {
        let mut parameters = full(action);
        prop_assert_eq!(whole_way(&good(form, action.as_str(), &parameters)), Ok(()), "{:?}", action);
        let mut places = Vec::new();
        all_places("", &parameters, &mut places);
        if places.is_empty() {
            parameters["Extra"] = value;
        } else {
            let pointer = &places[place.index(places.len())];
            *parameters.pointer_mut(pointer).expect("a place of the same value") = value;
        }
        // What no client can put into a GET goes as JSON.
        let form = if parameters.to_string().len() > 8_000 { SignForm::Tc3Post } else { form };
        check(whole_way(&good(form, action.as_str(), &parameters)))?;
    }

    #[test]
    fn any_signed_json_body_is_answered(
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..100),
            "[\\[\\]{}\",:0-9a-z\\\\ -]{0,60}".prop_map(String::into_bytes),
            "\\{\"Urls\": ?\\[(\"[a-z]{0,3}\",|[0-9],|null,|\\{\\},){0,5}\"x\"\\]\\}".prop_map(String::into_bytes),
        ],
    ) {
        // The signature does not cover the body of this form, so any body comes as far as the parser.
        let mut parts = good(SignForm::Tc3PostUnsigned, "PurgeUrlsCache", &json!({}));
        parts.body = body;
        check(whole_way(&parts))?;
    }
}

#[test]
fn what_is_unknown_is_told_by_its_code() {
    let code = |parts: &Parts| whole_way(parts).map_err(|e| (e.code.as_str(), e.message));
    assert_eq!(code(&good(SignForm::Tc3Post, "PurgeUrlCache", &json!({}))).expect_err("unknown").0, "InvalidAction");
    let set = |name: &str, from: &str, to: &str| {
        let mut parts = good(SignForm::Tc3Post, "PurgeUrlsCache", &json!({}));
        let header = parts.headers.iter_mut().find(|(n, _)| n == name).expect("a header");
        header.1 = String::from_utf8_lossy(&header.1).replace(from, to).into_bytes();
        code(&parts).expect_err("a refusal")
    };
    assert_eq!(
        set("x-tc-version", "2018", "2017").1,
        "The specified api version=`2017-06-06` does not exist in service=`cdn`."
    );
    assert_eq!(set("authorization", "/cdn/", "/cvm/").0, "NoSuchProduct");
}
