//! The official clients, unchanged but for their endpoint: each form of request that each of them has.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::support::{SECRET_ID, SECRET_KEY, Server, Setup};

const PYTHON_FORMS: [&str; 7] =
    ["tc3-post", "tc3-get", "tc3-post-unsigned", "v1-sha1-get", "v1-sha1-post", "v1-sha256-get", "v1-sha256-post"];
const NODE_FORMS: [&str; 6] = ["tc3-post", "tc3-get", "v1-sha1-get", "v1-sha1-post", "v1-sha256-get", "v1-sha256-post"];

/// Texts that one client or another escapes in its own way; more than ten, so that v1's order by ASCII
/// (`Urls.10` before `Urls.2`) matters.
const URLS: [&str; 14] = [
    "http://www.a.test/a b",
    "http://www.a.test/a+b",
    "http://www.a.test/a*b?c=*.jpg",
    "http://www.a.test/~user/'quoted'",
    "http://www.a.test/(x)!\"y\"",
    "http://www.a.test/%20",
    "http://www.a.test/a%2Fb",
    "http://www.a.test/中文/图片.jpg?名=值",
    "http://www.a.test/😀",
    "http://www.a.test/?a=1&b=<2>",
    "https://www.a.test/11",
    "https://WWW.a.test:443/12",
    "http://www.a.test/a_b.c-d",
    "http://www.a.test/100%",
];

fn variable(name: &str) -> PathBuf {
    let value = std::env::var_os(name);
    value.unwrap_or_else(|| panic!("{name} is not set: run scripts/test --setup, then . target/test-tools/env")).into()
}

/// A client process that takes a call a line.
struct Sdk {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Sdk {
    fn python() -> Self {
        Self::start(&variable("CATHARSIS_TEST_PYTHON"), "python_client.py")
    }

    fn node() -> Self {
        // Read by the program itself; asked for here so that its absence is told the same way.
        let _folder = variable("CATHARSIS_TEST_NODE_DIR");
        Self::start(&variable("CATHARSIS_TEST_NODE"), "node_client.mjs")
    }

    fn start(program: &Path, script: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
        let mut child = Command::new(program)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the client can be started");
        let input = child.stdin.take().expect("it is piped");
        let output = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Self { _child: child, input, output }
    }

    async fn call(&mut self, call: &Value) -> Value {
        self.input.write_all(format!("{call}\n").as_bytes()).await.expect("the client reads");
        let line = self.output.next_line().await.expect("the client writes").expect("the client goes on");
        serde_json::from_str(&line).expect("one JSON line")
    }
}

/// A call of the test account.
fn call(server: &Server, form: &str, action: &str, params: Value) -> Value {
    let mut call = json!({ "endpoint": server.api.to_string(), "secretId": SECRET_ID, "secretKey": SECRET_KEY });
    let fields = [("form", json!(form)), ("action", json!(action)), ("params", params)];
    let all = call.as_object_mut().expect("an object");
    all.extend(fields.map(|(name, value)| (name.to_owned(), value)));
    call
}

/// The URLs of a task, as the history has them.
fn urls_of(answer: &Value) -> Vec<&str> {
    let rows = answer["ok"]["PurgeLogs"].as_array().unwrap_or_else(|| panic!("no rows: {answer}"));
    rows.iter().map(|row| row["Url"].as_str().expect("a text")).collect()
}

/// All three actions in one form; the stored texts are those submitted.
async fn works(sdk: &mut Sdk, server: &Server, form: &str, extra: &Value) {
    let with = |action: &str, params: Value| {
        let mut call = call(server, form, action, params);
        let fields = call.as_object_mut().expect("an object");
        fields.extend(extra.as_object().expect("an object").clone());
        call
    };
    let purged = sdk.call(&with("PurgeUrlsCache", json!({ "Urls": URLS }))).await;
    let task = purged["ok"]["TaskId"].as_str().unwrap_or_else(|| panic!("{form}: {purged}")).to_owned();
    let params = json!({ "TaskId": task, "Limit": 100, "Status": "done" });
    let history = sdk.call(&with("DescribePurgeTasks", params)).await;
    assert_eq!(urls_of(&history), URLS, "{form}");
    let quota = sdk.call(&with("DescribePurgeQuota", json!({}))).await;
    assert_eq!(quota["ok"]["UrlPurge"][0]["Area"], "mainland", "{form}: {quota}");
}

#[tokio::test]
async fn python_sdk_works_in_every_form_sync_and_async() {
    let server = Setup::new().start();
    let mut python = Sdk::python();
    for form in PYTHON_FORMS {
        works(&mut python, &server, form, &json!({})).await;
        works(&mut python, &server, form, &json!({ "async": true })).await;
    }
}

#[tokio::test]
async fn node_sdk_works_in_every_form() {
    let server = Setup::new().start();
    let mut node = Sdk::node();
    for form in NODE_FORMS {
        works(&mut node, &server, form, &json!({})).await;
    }
}

#[tokio::test]
async fn tccli_works_with_only_its_endpoint_changed() {
    let server = Setup::new().start();
    let home = tempfile::tempdir().expect("a temporary folder");
    let run = async |action: &str, flags: &[&str]| {
        let output = Command::new(variable("CATHARSIS_TEST_TCCLI"))
            .args(["cdn", action, "--endpoint", &format!("http://{}", server.api)])
            .args(flags)
            .env("HOME", home.path())
            .env("TENCENTCLOUD_SECRET_ID", SECRET_ID)
            .env("TENCENTCLOUD_SECRET_KEY", SECRET_KEY)
            .env("TENCENTCLOUD_REGION", "ap-guangzhou")
            .output()
            .await
            .expect("tccli can be started");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let fields: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (fields, told)
    };
    let urls = json!(URLS).to_string();
    let (purged, told) = run("PurgeUrlsCache", &["--Urls", &urls]).await;
    let task = purged["TaskId"].as_str().unwrap_or_else(|| panic!("{told}")).to_owned();
    let (history, told) = run("DescribePurgeTasks", &["--TaskId", &task]).await;
    assert_eq!(history["TotalCount"], URLS.len(), "{told}");
    assert_eq!(urls_of(&json!({ "ok": history })), URLS);
    let (quota, told) = run("DescribePurgeQuota", &[]).await;
    assert_eq!(quota["UrlPurge"][1]["Area"], "overseas", "{told}");
    let (_, told) = run("PurgeUrlsCache", &["--Urls", "[\"http://nowhere.test/\"]"]).await;
    assert!(told.contains("ResourceNotFound.CdnHostNotExists"), "{told}");
}

/// Each mistake that a caller can make, as the exception of the Python SDK shows it.
#[tokio::test]
async fn python_sdk_raises_the_documented_code_for_each_mistake() {
    let server = Setup::new().start();
    let mut python = Sdk::python();
    let urls = |url: &str| json!({ "Urls": [url] });
    let long = format!("http://www.a.test/{}", "x".repeat(8_000));
    let many = vec!["http://www.a.test/"; 1_001];
    let rows = [
        ("PurgeUrlsCache", json!({}), "MissingParameter"),
        ("PurgeUrlsCache", json!({ "Urls": ["http://www.a.test/"], "Zone": "x" }), "UnknownParameter"),
        ("PurgeUrlsCache", json!({ "Urls": "http://www.a.test/" }), "InvalidParameter"),
        ("PurgeUrlsCache", json!({ "Urls": ["http://www.a.test/", 7] }), "InvalidParameter"),
        ("PurgeUrlsCache", json!({ "Urls": [] }), "InvalidParameter.CdnParamError"),
        (
            "PurgeUrlsCache",
            json!({ "Urls": ["http://www.a.test/"], "Area": "global" }),
            "InvalidParameter.CdnParamError",
        ),
        (
            "PurgeUrlsCache",
            json!({ "Urls": ["http://inland.a.test/"], "Area": "overseas" }),
            "InvalidParameter.CdnParamError",
        ),
        ("PurgeUrlsCache", urls("www.a.test/no-scheme"), "InvalidParameter.CdnParamError"),
        ("PurgeUrlsCache", urls("http://www.a.test/\r\nX: y"), "InvalidParameter.CdnParamError"),
        ("PurgeUrlsCache", urls("http://u:p@www.a.test/"), "InvalidParameter.CdnParamError"),
        ("PurgeUrlsCache", urls("http://www.a.test/#f"), "InvalidParameter.CdnParamError"),
        ("PurgeUrlsCache", urls("http://www.a.test:0/"), "InvalidParameter.CdnParamError"),
        ("PurgeUrlsCache", urls("http://*.a.test/"), "InvalidParameter.CdnPurgeWildcardNotAllowed"),
        ("PurgeUrlsCache", urls("http://www.a.test/img/*"), "InvalidParameter.CdnPurgeWildcardNotAllowed"),
        ("PurgeUrlsCache", urls(&long), "InvalidParameter.CdnUrlExceedLength"),
        ("PurgeUrlsCache", urls("http://nowhere.test/"), "ResourceNotFound.CdnHostNotExists"),
        ("PurgeUrlsCache", urls("http://other.test/"), "ResourceNotFound.CdnHostNotExists"),
        ("PurgeUrlsCache", urls("http://off.a.test/"), "ResourceUnavailable.CdnHostIsNotOnline"),
        ("PurgeUrlsCache", json!({ "Urls": many }), "LimitExceeded.CdnPurgeUrlExceedBatchLimit"),
        ("DescribePurgeTasks", json!({}), "InvalidParameter.CdnParamError"),
        ("DescribePurgeTasks", json!({ "TaskId": "x", "Limit": 0 }), "InvalidParameter.CdnParamError"),
        ("DescribePurgeTasks", json!({ "StartTime": "yesterday" }), "InvalidParameter.CdnParamError"),
        ("PurgePathCache", json!({ "Paths": ["http://www.a.test/"], "FlushType": "flush" }), "InvalidAction"),
    ];
    for (action, params, code) in rows {
        let mut request = call(&server, "tc3-post", action, params.clone());
        request["untyped"] = json!(true);
        let answer = python.call(&request).await;
        assert_eq!(answer["error"]["code"], code, "{action} {params:.100}: {answer}");
        assert!(answer["error"]["requestId"].as_str().is_some_and(|id| id.len() == 36), "{answer}");
    }
    let history = call(&server, "tc3-post", "DescribePurgeTasks", json!({ "StartTime": "2020-01-01 00:00:00" }));
    assert_eq!(python.call(&history).await["ok"]["TotalCount"], 0, "a refused call changes nothing");
    let quota = python.call(&call(&server, "tc3-post", "DescribePurgeQuota", json!({}))).await;
    assert_eq!(quota["ok"]["UrlPurge"][0]["Available"], quota["ok"]["UrlPurge"][0]["Total"]);
}

#[tokio::test]
async fn python_sdk_raises_the_documented_code_for_each_wrong_signature() {
    let server = Setup::new().start();
    let mut python = Sdk::python();
    let quota = |form: &str| call(&server, form, "DescribePurgeQuota", json!({}));
    for form in PYTHON_FORMS {
        for (field, value, code) in [
            ("secretKey", "another", "AuthFailure.SignatureFailure"),
            ("secretId", "AKIDunknown", "AuthFailure.SecretIdNotFound"),
            ("token", "none-of-ours", "AuthFailure.TokenFailure"),
        ] {
            let mut request = quota(form);
            request[field] = json!(value);
            let answer = python.call(&request).await;
            assert_eq!(answer["error"]["code"], code, "{form} {field}: {answer}");
        }
    }
}

#[tokio::test]
async fn quota_is_drawn_in_each_area_concerned_and_a_refused_call_charges_nothing() {
    let server = Setup::with_limits("urls_per_day = 5\nrequests_per_second = 1000\n").start();
    let mut python = Sdk::python();
    let mut purge = async |urls: &[&str]| {
        let answer = python.call(&call(&server, "tc3-post", "PurgeUrlsCache", json!({ "Urls": urls }))).await;
        let quota = python.call(&call(&server, "tc3-post", "DescribePurgeQuota", json!({}))).await;
        let available: Vec<Value> =
            quota["ok"]["UrlPurge"].as_array().expect("areas").iter().map(|area| area["Available"].clone()).collect();
        (answer["error"]["code"].clone(), available)
    };
    let refused = json!("LimitExceeded.CdnPurgeUrlExceedDayLimit");
    assert_eq!(purge(&["http://www.a.test/1", "http://www.a.test/1"]).await, (Value::Null, vec![json!(3), json!(3)]));
    assert_eq!(purge(&["http://inland.a.test/1"]).await, (Value::Null, vec![json!(2), json!(3)]));
    assert_eq!(purge(&["http://www.a.test/"; 3]).await, (refused.clone(), vec![json!(2), json!(3)]));
    assert_eq!(purge(&["http://www.a.test/"; 2]).await, (Value::Null, vec![json!(0), json!(1)]));
    assert_eq!(purge(&["http://inland.a.test/"]).await, (refused, vec![json!(0), json!(1)]));
    assert_eq!(purge(&["http://abroad.a.test/"]).await, (Value::Null, vec![json!(0), json!(0)]));
}

#[tokio::test]
async fn call_over_the_rate_is_told_to_wait_and_other_actions_are_not_concerned() {
    let server = Setup::with_limits("requests_per_second = 20\n").start();
    let client = server.client();
    let ask = async |action: &str, params: Value| {
        let answer: crate::support::Answer<Value> = client.call(action, &params).await;
        match answer {
            crate::support::Answer::Refused { code, .. } => code,
            crate::support::Answer::Ok(_) => String::new(),
            crate::support::Answer::Silence(why) => panic!("{why}"),
        }
    };
    // More than a burst, faster than the rate refills: some must be refused, the first 20 must not.
    let mut codes = Vec::new();
    for _ in 0..60 {
        codes.push(ask("DescribePurgeQuota", json!({})).await);
    }
    assert!(codes[..20].iter().all(String::is_empty), "{codes:?}");
    assert!(codes.contains(&"RequestLimitExceeded".to_owned()), "{codes:?}");
    assert_eq!(ask("DescribePurgeTasks", json!({ "TaskId": "x" })).await, "");
}
