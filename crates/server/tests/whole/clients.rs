//! The official clients, unchanged but for their endpoint: each form of request that each of them has,
//! and each documented code as their exceptions show it.
//!
//! What no client can be made to send (a clock that is off, a malformed authorization) is signed and sent by hand.
//! Invariant of every refusal here: history and quota are afterwards what they were before.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use catharsis_tcapi::auth::{SecretId, SecretKey};
use catharsis_tcapi::cdn::VERSION;
use catharsis_tcapi::client::{Credentials, Moment, SignForm, Signer};
use catharsis_tcapi::v1::HmacMethod;
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::support::{Connection, SECRET_ID, SECRET_KEY, Server, Setup};

pub(crate) const PYTHON_FORMS: [&str; 7] =
    ["tc3-post", "tc3-get", "tc3-post-unsigned", "v1-sha1-get", "v1-sha1-post", "v1-sha256-get", "v1-sha256-post"];
pub(crate) const NODE_FORMS: [&str; 6] =
    ["tc3-post", "tc3-get", "v1-sha1-get", "v1-sha1-post", "v1-sha256-get", "v1-sha256-post"];

/// Texts that one client or another escapes in its own way; more than ten, so that v1's order by ASCII
/// (`Urls.10` before `Urls.2`) matters.
pub(crate) const URLS: [&str; 15] = [
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
    "http://www.a.test/?q=a+b c&r=%2B%26&s=%E4%B8%AD=;,$@[|]",
];

const PARAM_ERROR: &str = "InvalidParameter.CdnParamError";
const WILDCARD: &str = "InvalidParameter.CdnPurgeWildcardNotAllowed";
const TOO_LONG: &str = "InvalidParameter.CdnUrlExceedLength";
const NO_HOST: &str = "ResourceNotFound.CdnHostNotExists";
const OFFLINE: &str = "ResourceUnavailable.CdnHostIsNotOnline";
const BATCH_LIMIT: &str = "LimitExceeded.CdnPurgeUrlExceedBatchLimit";
const DAY_LIMIT: &str = "LimitExceeded.CdnPurgeUrlExceedDayLimit";

pub(crate) fn variable(name: &str) -> PathBuf {
    let value = std::env::var_os(name);
    value.unwrap_or_else(|| panic!("{name} is not set: run scripts/test --setup, then . target/test-tools/env")).into()
}

/// A client process that takes a call a line.
pub(crate) struct Sdk {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Sdk {
    pub(crate) fn python() -> Self {
        Self::start(&variable("CATHARSIS_TEST_PYTHON"), "python_client.py")
    }

    pub(crate) fn node() -> Self {
        // Read by the program itself; asked for here so that its absence is told the same way.
        let _folder = variable("CATHARSIS_TEST_NODE_DIR");
        Self::start(&variable("CATHARSIS_TEST_NODE"), "node_client.mjs")
    }

    /// The command line client, which is asked for by its script's interpreter.
    pub(crate) fn tccli() -> Self {
        let _installed = variable("CATHARSIS_TEST_TCCLI");
        Self::start(&variable("CATHARSIS_TEST_PYTHON"), "tccli_client.py")
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

    pub(crate) async fn call(&mut self, call: &Value) -> Value {
        self.input.write_all(format!("{call}\n").as_bytes()).await.expect("the client reads");
        let line = self.output.next_line().await.expect("the client writes").expect("the client goes on");
        serde_json::from_str(&line).expect("one JSON line")
    }
}

/// A call of the test account.
pub(crate) fn call(server: &Server, form: &str, action: &str, params: Value) -> Value {
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

/// What a call can change: the rows of the account's history, and what is used up of the day's quota in each area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ledger {
    rows: u64,
    /// Mainland, overseas.
    charged: [u64; 2],
}

impl Ledger {
    async fn of(server: &Server) -> Self {
        let client = server.client();
        let filter = json!({ "StartTime": "2020-01-01 00:00:00" });
        let history: Value = client.call("DescribePurgeTasks", &filter).await.expect("a page");
        let quota: Value = client.call("DescribePurgeQuota", &json!({})).await.expect("the quota");
        Self { rows: history["TotalCount"].as_u64().expect("a count"), charged: charged(&quota) }
    }
}

/// What is used up in each area, from an answer of DescribePurgeQuota.
fn charged(quota: &Value) -> [u64; 2] {
    ["mainland", "overseas"].map(|area| {
        let of_area = quota["UrlPurge"].as_array().and_then(|all| all.iter().find(|one| one["Area"] == area));
        let count = |field: &str| of_area.and_then(|one| one[field].as_u64());
        let used = count("Total").zip(count("Available")).map(|(total, left)| total - left);
        used.unwrap_or_else(|| panic!("no quota of {area}: {quota}"))
    })
}

/// The same call with these further fields.
pub(crate) fn with(mut call: Value, extra: &Value) -> Value {
    let fields = extra.as_object().expect("an object").clone();
    call.as_object_mut().expect("an object").extend(fields);
    call
}

/// The exception has this code and says which request it was.
pub(crate) fn assert_refused(answer: &Value, code: &str, what: &str) {
    assert_eq!(answer["error"]["code"], code, "{what:.200}: {answer}");
    assert!(answer["error"]["requestId"].as_str().is_some_and(|id| id.len() == 36), "{what:.200}: {answer}");
}

/// All three actions in one form; the stored texts are those submitted, and each is charged.
async fn works(sdk: &mut Sdk, server: &Server, form: &str, extra: &Value) {
    let call = |action: &str, params: Value| with(call(server, form, action, params), extra);
    let before = charged(&sdk.call(&call("DescribePurgeQuota", json!({}))).await["ok"]);
    let purged = sdk.call(&call("PurgeUrlsCache", json!({ "Urls": URLS }))).await;
    let task = purged["ok"]["TaskId"].as_str().unwrap_or_else(|| panic!("{form}: {purged}")).to_owned();
    let params = json!({ "TaskId": task, "Limit": 100, "Status": "done" });
    let history = sdk.call(&call("DescribePurgeTasks", params)).await;
    assert_eq!(urls_of(&history), URLS, "{form}");
    let quota = sdk.call(&call("DescribePurgeQuota", json!({}))).await;
    assert_eq!(charged(&quota["ok"]), before.map(|used| used + URLS.len() as u64), "{form}: {quota}");
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
    assert!(told.contains(&format!("code:{NO_HOST}")), "{told}");
    assert_eq!(Ledger::of(&server).await, Ledger { rows: URLS.len() as u64, charged: [URLS.len() as u64; 2] });
}

#[tokio::test]
async fn thousand_urls_in_one_call_keep_their_order_in_json_and_in_a_form() {
    let server = Setup::new().start();
    let mut python = Sdk::python();
    let urls: Vec<String> = (0..1_000).map(|n| format!("http://www.a.test/{n}")).collect();
    for form in ["tc3-post", "v1-sha256-post"] {
        let purged = python.call(&call(&server, form, "PurgeUrlsCache", json!({ "Urls": urls }))).await;
        let task = purged["ok"]["TaskId"].as_str().unwrap_or_else(|| panic!("{form}: {purged}"));
        let params = json!({ "TaskId": task, "Limit": 1_000 });
        let history = python.call(&call(&server, form, "DescribePurgeTasks", params)).await;
        assert_eq!(urls_of(&history), urls, "{form}");
    }
}

/// Each mistake that a caller can make in a call: action, parameters, code.
fn mistakes() -> Vec<(&'static str, Value, &'static str)> {
    let purge = |params: Value, code: &'static str| ("PurgeUrlsCache", params, code);
    let url = |url: &str, code: &'static str| ("PurgeUrlsCache", json!({ "Urls": [url] }), code);
    let path = |params: Value, code: &'static str| ("PurgePathCache", params, code);
    let tasks = |params: Value, code: &'static str| ("DescribePurgeTasks", params, code);
    let fine = "http://www.a.test/";
    vec![
        purge(json!({}), "MissingParameter"),
        purge(json!({ "Urls": [fine], "Zone": "x" }), "UnknownParameter"),
        ("DescribePurgeQuota", json!({ "Zone": "x" }), "UnknownParameter"),
        tasks(json!({ "TaskId": "x", "taskid": "x" }), "UnknownParameter"),
        purge(json!({ "Urls": fine }), "InvalidParameter"),
        purge(json!({ "Urls": [fine, 7] }), "InvalidParameter"),
        purge(json!({ "Urls": [fine], "UrlEncode": "perhaps" }), "InvalidParameter"),
        tasks(json!({ "TaskId": "x", "Limit": "many" }), "InvalidParameter"),
        purge(json!({ "Urls": [] }), PARAM_ERROR),
        purge(json!({ "Urls": [fine], "Area": "global" }), PARAM_ERROR),
        purge(json!({ "Urls": [fine], "Area": "moon" }), PARAM_ERROR),
        purge(json!({ "Urls": ["http://inland.a.test/"], "Area": "overseas" }), PARAM_ERROR),
        purge(json!({ "Urls": ["http://abroad.a.test/"], "Area": "mainland" }), PARAM_ERROR),
        url("www.a.test/no-scheme", PARAM_ERROR),
        url("ftp://www.a.test/", PARAM_ERROR),
        url("http://www.a.test/\r\nX: y", PARAM_ERROR),
        url("http://u:p@www.a.test/", PARAM_ERROR),
        url("http://www.a.test/#f", PARAM_ERROR),
        url("http://www.a.test:0/", PARAM_ERROR),
        url("http://*.a.test/", WILDCARD),
        url("http://www.a.test/img/*", WILDCARD),
        url("http://www.a.test/*.jpg", WILDCARD),
        url(&url_of(8_001), TOO_LONG),
        url("http://nowhere.test/", NO_HOST),
        url("http://other.test/", NO_HOST),
        url("http://off.a.test/", OFFLINE),
        // One that is fine does not save the others, nor is it purged.
        purge(json!({ "Urls": [fine, "http://nowhere.test/"] }), NO_HOST),
        purge(json!({ "Urls": vec![fine; 1_001] }), BATCH_LIMIT),
        tasks(json!({}), PARAM_ERROR),
        tasks(json!({ "TaskId": "x", "Limit": 0 }), PARAM_ERROR),
        tasks(json!({ "TaskId": "x", "Status": "lost" }), PARAM_ERROR),
        tasks(json!({ "StartTime": "yesterday" }), PARAM_ERROR),
        path(json!({ "Paths": [fine] }), "MissingParameter"),
        path(json!({ "Paths": [fine], "FlushType": "soft" }), PARAM_ERROR),
        path(json!({ "Paths": ["http://www.a.test/?x"], "FlushType": "delete" }), PARAM_ERROR),
        path(json!({ "Paths": ["http://*.a.test/"], "FlushType": "delete" }), WILDCARD),
        path(
            json!({ "Paths": ["http://off.a.test/"], "FlushType": "delete" }),
            "InvalidParameter.CdnHostInvalidStatus",
        ),
        path(json!({ "Paths": ["http://nowhere.test/"], "FlushType": "delete" }), NO_HOST),
        ("Nonsense", json!({}), "InvalidAction"),
    ]
}

/// A URL of so many bytes.
fn url_of(bytes: usize) -> String {
    let host = "http://www.a.test/";
    format!("{host}{}", "x".repeat(bytes - host.len()))
}

#[tokio::test]
async fn python_sdk_raises_the_documented_code_for_each_mistake_and_nothing_changes() {
    let server = Setup::new().start();
    let mut python = Sdk::python();
    // Something to lose; and that the ledger sees a purge at all.
    let accepted = json!({ "Urls": ["http://www.a.test/"] });
    let first = python.call(&call(&server, "tc3-post", "PurgeUrlsCache", accepted)).await;
    assert!(first["ok"]["TaskId"].is_string(), "{first}");
    let before = Ledger::of(&server).await;
    assert_eq!(before, Ledger { rows: 1, charged: [1, 1] });
    for (action, params, code) in mistakes() {
        let what = format!("{action} {params:.100}");
        let request = with(call(&server, "tc3-post", action, params), &json!({ "untyped": true }));
        assert_refused(&python.call(&request).await, code, &what);
        assert_eq!(Ledger::of(&server).await, before, "{what}");
    }
}

#[tokio::test]
async fn url_of_8000_bytes_is_accepted_and_one_of_8001_is_not() {
    let server = Setup::new().start();
    let mut python = Sdk::python();
    let longest = json!({ "Urls": [url_of(8_000)] });
    let purged = python.call(&call(&server, "tc3-post", "PurgeUrlsCache", longest)).await;
    assert!(purged["ok"]["TaskId"].is_string(), "{purged}");
    let longer = json!({ "Urls": [url_of(8_001)] });
    let refused = python.call(&call(&server, "tc3-post", "PurgeUrlsCache", longer)).await;
    assert_refused(&refused, TOO_LONG, "8,001 bytes");
}

#[tokio::test]
async fn code_does_not_depend_on_the_form_nor_on_the_client() {
    let server = Setup::new().start();
    let (mut python, mut node) = (Sdk::python(), Sdk::node());
    let before = Ledger::of(&server).await;
    // Those that can be written flat, within the length of a GET.
    let flat = |(_, params, code): &(&str, Value, &str)| *code != BATCH_LIMIT && params["Urls"] != json!([]);
    let rows: Vec<_> = mistakes().into_iter().filter(flat).collect();
    for form in PYTHON_FORMS {
        for (action, params, code) in &rows {
            // A flat request has no types: there a number is the text of its digits, which is no URL.
            let number = params["Urls"].as_array().is_some_and(|urls| urls.iter().any(Value::is_number));
            let code = if number && !form.starts_with("tc3-post") { PARAM_ERROR } else { code };
            let what = format!("{form} {action} {params:.100}");
            let request = with(call(&server, form, action, params.clone()), &json!({ "untyped": true }));
            assert_refused(&python.call(&request).await, code, &what);
            if NODE_FORMS.contains(&form) {
                assert_refused(&node.call(&request).await, code, &format!("Node {what}"));
            }
        }
        let unknown = call(&server, form, "PurgeUrlsCache", json!({ "Urls": ["http://nowhere.test/"] }));
        let answer = python.call(&with(unknown, &json!({ "async": true }))).await;
        assert_refused(&answer, NO_HOST, &format!("async {form}"));
    }
    assert_eq!(Ledger::of(&server).await, before);
}

#[tokio::test]
async fn wrong_key_or_token_gets_the_documented_code_in_every_form() {
    let server = Setup::new().start();
    let (mut python, mut node) = (Sdk::python(), Sdk::node());
    let before = Ledger::of(&server).await;
    for form in PYTHON_FORMS {
        for (field, value, code) in [
            ("secretKey", "another", "AuthFailure.SignatureFailure"),
            ("secretId", "AKIDunknown", "AuthFailure.SecretIdNotFound"),
            ("token", "none-of-ours", "AuthFailure.TokenFailure"),
        ] {
            let what = format!("{form} {field}");
            let mut request = call(&server, form, "PurgeUrlsCache", json!({ "Urls": ["http://www.a.test/"] }));
            request[field] = json!(value);
            assert_refused(&python.call(&request).await, code, &what);
            assert_refused(&python.call(&with(request.clone(), &json!({ "async": true }))).await, code, &what);
            if NODE_FORMS.contains(&form) {
                assert_refused(&node.call(&request).await, code, &format!("Node {what}"));
            }
        }
    }
    assert_eq!(Ledger::of(&server).await, before);
}

/// A purge, signed by hand: its time is so many seconds off.
fn signed(server: &Server, form: SignForm, version: &str, seconds_off: i64) -> Request<Full<Bytes>> {
    let secret_id = SecretId::parse(SECRET_ID).expect("a valid id");
    let credentials = Credentials { secret_id, secret_key: SecretKey::new(SECRET_KEY), token: None };
    let signer = Signer::new(&server.api.to_string(), credentials, form).expect("a valid host");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let unix = i64::try_from(now).expect("before 292 billion") + seconds_off;
    let params = json!({ "Urls": ["http://www.a.test/"] });
    signer.sign("PurgeUrlsCache", version, &params, Moment { unix, nonce: 1 }).expect("it can be signed").map(Full::new)
}

/// The code in the answer to a request, `None` when it was accepted. The HTTP status is 200 either way.
async fn code_of(server: &Server, request: Request<Full<Bytes>>) -> Option<String> {
    let mut connection = Connection::open(server.api).await.expect("the door is open");
    let (status, body) = connection.send(request).await.expect("an answer");
    let answer: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(status, 200, "{answer}");
    assert!(answer["Response"]["RequestId"].as_str().is_some_and(|id| id.len() == 36), "{answer}");
    answer["Response"]["Error"]["Code"].as_str().map(str::to_owned)
}

const RAW_FORMS: [SignForm; 7] = [
    SignForm::Tc3Post,
    SignForm::Tc3PostUnsigned,
    SignForm::Tc3Get,
    SignForm::V1Get(HmacMethod::Sha1),
    SignForm::V1Post(HmacMethod::Sha1),
    SignForm::V1Get(HmacMethod::Sha256),
    SignForm::V1Post(HmacMethod::Sha256),
];

#[tokio::test]
async fn clock_may_be_five_minutes_off_and_no_more() {
    let server = Setup::new().start();
    let mut accepted = 0;
    for form in RAW_FORMS {
        // Ten seconds from the bound on both sides: the server reads its clock later than the test does.
        for off in [-290, 290] {
            assert_eq!(code_of(&server, signed(&server, form, VERSION, off)).await, None, "{form:?} {off}");
            accepted += 1;
        }
        for off in [-310, 3_600, 310] {
            let code = code_of(&server, signed(&server, form, VERSION, off)).await;
            assert_eq!(code.as_deref(), Some("AuthFailure.SignatureExpire"), "{form:?} {off}");
            assert_eq!(Ledger::of(&server).await, Ledger { rows: accepted, charged: [accepted; 2] });
        }
    }
}

#[tokio::test]
async fn other_version_and_malformed_authorization_and_method_get_the_documented_code() {
    let server = Setup::new().start();
    let before = Ledger::of(&server).await;
    for form in RAW_FORMS {
        let code = code_of(&server, signed(&server, form, "2019-01-01", 0)).await;
        assert_eq!(code.as_deref(), Some("NoSuchVersion"), "{form:?}");
        let mut put = signed(&server, form, VERSION, 0);
        *put.method_mut() = Method::PUT;
        assert_eq!(code_of(&server, put).await.as_deref(), Some("UnsupportedProtocol"), "{form:?}");
    }
    for authorization in ["", "TC3-HMAC-SHA256", "Basic dTpw", "SKIP", "TC3-HMAC-SHA256 Credential=x, Signature=y"] {
        let mut request = signed(&server, SignForm::Tc3Post, VERSION, 0);
        request.headers_mut().insert("authorization", HeaderValue::from_static(authorization));
        let code = code_of(&server, request).await;
        assert_eq!(code.as_deref(), Some("AuthFailure.InvalidAuthorization"), "{authorization:?}");
    }
    let mut unsigned = signed(&server, SignForm::Tc3Post, VERSION, 0);
    unsigned.headers_mut().remove("authorization");
    assert_eq!(code_of(&server, unsigned).await.as_deref(), Some("AuthFailure.InvalidAuthorization"));
    assert_eq!(Ledger::of(&server).await, before);
}

#[tokio::test]
async fn quota_is_drawn_in_each_area_concerned_and_a_refused_call_charges_nothing() {
    let server = Setup::with_limits("urls_per_day = 5\nrequests_per_second = 1000\n").start();
    let mut python = Sdk::python();
    let (www, inland, abroad) = ("http://www.a.test/", "http://inland.a.test/", "http://abroad.a.test/");
    // What is purged, where, the code of the refusal, and what is used up afterwards.
    let rows = [
        (vec![www, www], None, None, [2, 2]),
        (vec![inland], None, None, [3, 2]),
        // Three are left overseas, two in the mainland.
        (vec![www; 3], None, Some(DAY_LIMIT), [3, 2]),
        (vec![inland; 3], None, Some(DAY_LIMIT), [3, 2]),
        (vec![abroad, abroad, abroad, abroad], None, Some(DAY_LIMIT), [3, 2]),
        (vec![inland, abroad, www, www], None, Some(DAY_LIMIT), [3, 2]),
        (vec![www], Some("overseas"), None, [3, 3]),
        (vec![www; 2], None, None, [5, 5]),
        (vec![inland], None, Some(DAY_LIMIT), [5, 5]),
        (vec![abroad], None, Some(DAY_LIMIT), [5, 5]),
        (vec![www], Some("mainland"), Some(DAY_LIMIT), [5, 5]),
    ];
    let mut rows_stored = 0;
    for (n, (urls, area, refusal, charged)) in rows.into_iter().enumerate() {
        let mut params = json!({ "Urls": urls });
        if let Some(area) = area {
            params["Area"] = json!(area);
        }
        let answer = python.call(&call(&server, "tc3-post", "PurgeUrlsCache", params)).await;
        match refusal {
            Some(code) => assert_refused(&answer, code, &format!("row {n}")),
            None => {
                assert!(answer["ok"]["TaskId"].is_string(), "row {n}: {answer}");
                rows_stored += urls.len() as u64;
            }
        }
        assert_eq!(Ledger::of(&server).await, Ledger { rows: rows_stored, charged }, "row {n}");
    }
}

#[tokio::test]
async fn call_over_the_rate_is_refused_uncharged_and_other_actions_are_not_concerned() {
    let server = Setup::with_limits("urls_per_day = 100000\nrequests_per_second = 20\n").start();
    let mut python = Sdk::python();
    let purge = call(&server, "tc3-post", "PurgeUrlsCache", json!({ "Urls": ["http://www.a.test/"] }));
    // The SDK is imported and connected before the time is taken.
    let _ready = python.call(&call(&server, "tc3-post", "DescribePurgeQuota", json!({}))).await;
    let first = Instant::now();
    let mut accepted: u64 = 0;
    let refused = loop {
        let answer = python.call(&purge).await;
        if answer["ok"].is_null() {
            break answer;
        }
        accepted += 1;
        assert!(accepted < 2_000, "no call was ever refused, in {:?}", first.elapsed());
    };
    let took = first.elapsed();
    assert_refused(&refused, "RequestLimitExceeded", "over the rate");
    // A burst of 20, and one more for each twentieth of a second since the first.
    let most = 20 + took.as_millis() / Duration::from_millis(50).as_millis();
    assert!(accepted >= 20 && u128::from(accepted) <= most, "{accepted} accepted in {took:?}");
    assert_eq!(Ledger::of(&server).await, Ledger { rows: accepted, charged: [accepted; 2] });
}
