//! The admin API through real HTTP: every route's answer and refusals, who may come in, and that no
//! secret is told twice.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use catharsis_adapters::clock::SystemClock;
use catharsis_core::area::PerArea;
use catharsis_core::board::Board;
use catharsis_core::clock::UnixMillis;
use catharsis_core::invalidation::Seq;
use catharsis_core::notice::Told;
use catharsis_core::plan::{Caller, Purge, plan};
use catharsis_core::ports::{Clock, Store};
use catharsis_core::service::PurgeService;
use catharsis_core::status::StatusView;
use catharsis_core::target::{Encode, Mode};
use catharsis_core::task::{AccountId, TaskKind};
use catharsis_registry::vault::Vault;
use catharsis_registry::{Defaults, Registry};
use catharsis_server::admin::{self, Admin};
use catharsis_server::config::{CheckedAdmin, Secret};
use catharsis_server::receipts::Notary;
use catharsis_testkit::mem_store::MemStore;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{Setup, free_address};

const TOKEN: &str = "operator-4815162342";

/// Every route, as the CLI and other programs know it.
const ROUTES: [&str; 41] = [
    "GET /openapi.json",
    "GET /v1/accounts",
    "POST /v1/accounts",
    "GET /v1/accounts/{uin}",
    "PATCH /v1/accounts/{uin}",
    "DELETE /v1/accounts/{uin}",
    "GET /v1/accounts/{uin}/users",
    "POST /v1/accounts/{uin}/users",
    "GET /v1/users/{uin}",
    "PATCH /v1/users/{uin}",
    "DELETE /v1/users/{uin}",
    "GET /v1/principals/{uin}/keys",
    "POST /v1/principals/{uin}/keys",
    "POST /v1/principals/{uin}/tokens",
    "PATCH /v1/keys/{id}",
    "DELETE /v1/keys/{id}",
    "GET /v1/accounts/{uin}/policies",
    "GET /v1/accounts/{uin}/policies/{name}",
    "PUT /v1/accounts/{uin}/policies/{name}",
    "DELETE /v1/accounts/{uin}/policies/{name}",
    "GET /v1/users/{uin}/policies",
    "PUT /v1/users/{uin}/policies/{name}",
    "DELETE /v1/users/{uin}/policies/{name}",
    "POST /v1/explain",
    "GET /v1/domains",
    "GET /v1/domains/{name}",
    "PATCH /v1/domains/{name}",
    "DELETE /v1/domains/{name}",
    "POST /v1/accounts/{uin}/domains",
    "GET /v1/accounts/{uin}/quota",
    "PUT /v1/accounts/{uin}/quota",
    "DELETE /v1/accounts/{uin}/quota",
    "GET /v1/accounts/{uin}/webhooks",
    "POST /v1/accounts/{uin}/webhooks",
    "GET /v1/accounts/{uin}/webhooks/{name}",
    "DELETE /v1/accounts/{uin}/webhooks/{name}",
    "GET /v1/accounts/{uin}/webhooks/{name}/failures",
    "GET /v1/tasks/{task}/receipts",
    "GET /v1/tasks/{task}/receipts/signed",
    "GET /v1/receipts/key",
    "HEAD /v1/accounts",
];

/// A running admin API.
struct Door {
    address: SocketAddr,
    admin: Admin,
    _doors: JoinSet<()>,
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// Status and code of a refusal.
    fn refusal(&self) -> (u16, String) {
        (self.status, self.json()["Error"]["Code"].as_str().unwrap_or_default().to_owned())
    }
}

impl Door {
    async fn open() -> Self {
        let (store, log) = MemStore::new();
        let (store, log): (Arc<dyn Store>, Arc<dyn catharsis_core::ports::Log>) = (Arc::new(store), Arc::new(log));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let defaults = Defaults { limits: Default::default(), requests_per_second: 20 };
        let registry = Registry::open(Arc::clone(&store), Arc::clone(&clock), Vault::new(&[7; 32]), defaults).await;
        let registry = Arc::new(registry.expect("an empty store"));
        let board = Arc::new(Board::new(&[], Vec::new(), Arc::clone(&log)));
        let newest = Arc::clone(&registry);
        let service = Arc::new(PurgeService::new(
            Arc::clone(&store),
            log,
            Arc::clone(&clock),
            board,
            Arc::new(move || Arc::clone(&newest.snapshot().directory)),
            Duration::from_secs(600),
        ));
        let folder = tempfile::tempdir().expect("a folder");
        let notary = Notary::open("test", &folder.path().join("receipts.pem")).expect("a new key");
        let admin = Admin { registry, store, service, notary: Arc::new(notary), clock };
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = CheckedAdmin { listen, credential: Secret::new(TOKEN.to_owned()), tls: None };
        let mut doors = JoinSet::new();
        let address = admin::start(Some(&config), admin.clone(), &mut doors, CancellationToken::new()).await;
        Self { address: address.expect("a free port").expect("a listener"), admin, _doors: doors }
    }

    async fn send<B>(&self, request: Request<B>) -> Answer
    where
        B: hyper::body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        let stream = TcpStream::connect(self.address).await.expect("the door is open");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
        let running = tokio::spawn(connection);
        let (parts, body) = sender.send_request(request).await.expect("an answer").into_parts();
        let body = body.collect().await.expect("a whole answer").to_bytes();
        running.abort();
        let text = String::from_utf8(body.to_vec()).expect("text");
        Answer { status: parts.status.as_u16(), headers: parts.headers, text }
    }

    /// A request as a line and a body; `Null` for none.
    async fn ask(&self, line: &str, body: Value) -> Answer {
        let bytes = if body.is_null() { String::new() } else { body.to_string() };
        self.send(request(line, Some(TOKEN), bytes)).await
    }

    /// One that must succeed.
    async fn done(&self, line: &str, body: Value) -> Value {
        let answer = self.ask(line, body).await;
        assert!((200..300).contains(&answer.status), "{line}: {answer:?}");
        answer.json()
    }

    async fn account(&self) -> u64 {
        self.done("POST /v1/accounts", json!({ "Name": "acme" })).await["Uin"].as_u64().expect("a number")
    }
}

fn request(line: &str, token: Option<&str>, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let (method, path) = line.split_once(' ').expect("a method and a path");
    let mut request = Request::builder().method(method).uri(path).header("host", "admin");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.body(Full::new(body.into())).expect("a valid request")
}

/// Each operation of the description, as `METHOD /path`.
fn described(description: &Value) -> BTreeSet<String> {
    let paths = description["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().into_iter().flatten().map(|(method, _)| method.to_ascii_uppercase());
        methods.map(move |method| format!("{method} {path}"))
    });
    operations.collect()
}

/// A path with something in place of its variables.
fn filled(line: &str) -> String {
    line.replace("{uin}", "1").replace("{name}", "x").replace("{id}", "x").replace("{task}", "1-x")
}

#[tokio::test]
async fn description_lists_every_route_and_every_route_is_there() {
    let door = Door::open().await;
    let description = door.done("GET /openapi.json", Value::Null).await;
    let known: BTreeSet<String> =
        ROUTES.iter().filter(|line| !line.starts_with("HEAD")).map(|line| (*line).to_owned()).collect();
    assert_eq!(described(&description), known);
    for line in ROUTES {
        let answer = door.ask(&filled(line), Value::Null).await;
        let message = answer.json()["Error"]["Message"].as_str().unwrap_or_default().to_owned();
        assert!(answer.status != 405 && !message.contains("no such path"), "{line}: {answer:?}");
    }
    // Programs are generated from it: names are unique, and every reference leads somewhere.
    let paths = description["paths"].as_object().expect("paths");
    let operations = paths.values().flat_map(|item| item.as_object().into_iter().flatten());
    let names: BTreeSet<&str> = operations.filter_map(|(_, operation)| operation["operationId"].as_str()).collect();
    assert_eq!(names.len(), known.len(), "{names:?}");
    let new = &description["components"]["schemas"]["NewAccount"];
    assert!(new["properties"]["Uin"].is_object() && new["properties"]["UrlsPerDay"].is_object(), "{new}");
    assert_eq!(new["additionalProperties"], false);
    let text = description.to_string();
    for part in text.split("\"$ref\":\"#").skip(1) {
        let pointer = part.split('"').next().expect("a text ends");
        assert!(description.pointer(pointer).is_some(), "{pointer}");
    }
    assert_eq!(description["components"]["securitySchemes"]["operator"]["scheme"], "bearer");
    assert!(description["paths"]["/v1/explain"]["post"]["responses"]["default"].is_object());
}

#[tokio::test]
async fn nobody_comes_in_without_exactly_the_credential() {
    let door = Door::open().await;
    for line in ROUTES.iter().chain(&["GET /nowhere", "BREW /v1/accounts"]) {
        for token in [None, Some(""), Some("operator-481516234"), Some("operator-48151623421")] {
            let answer = door.send(request(&filled(line), token, "")).await;
            assert_eq!(answer.status, 401, "{line} {token:?}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
            assert!(line.starts_with("HEAD") || answer.refusal().1 == "Unauthorized", "{answer:?}");
        }
    }
    let basic = Request::get("/v1/accounts").header("authorization", format!("Basic {TOKEN}"));
    assert_eq!(door.send(basic.body(Full::default()).expect("a request")).await.status, 401);
}

#[tokio::test]
async fn account_is_made_shown_changed_and_deleted() {
    let door = Door::open().await;
    let wish = json!({ "Uin": 42, "Name": "acme & co", "State": "auth_pending", "UrlsPerDay": 50, "DomainsMax": null });
    let made = door.ask("POST /v1/accounts", wish).await;
    assert_eq!(made.status, 201);
    let made = made.json();
    assert_eq!(
        (&made["Uin"], &made["Name"], &made["State"]),
        (&json!(42), &json!("acme & co"), &json!("auth_pending"))
    );
    assert_eq!(
        (&made["UrlsPerDay"], &made["PathsPerDay"], &made["DomainsMax"]),
        (&json!(50), &Value::Null, &Value::Null)
    );
    assert!(made["CreatedAt"].as_str().is_some_and(|text| text.ends_with('Z')), "{made}");
    assert_eq!(door.done("GET /v1/accounts/42", Value::Null).await, made);

    // Absent stays, null is the default.
    let changed = door.done("PATCH /v1/accounts/42", json!({ "State": "active", "RequestsPerSecond": 7 })).await;
    assert_eq!((&changed["Name"], &changed["UrlsPerDay"]), (&made["Name"], &json!(50)));
    assert_eq!((&changed["State"], &changed["RequestsPerSecond"]), (&json!("active"), &json!(7)));
    let back = door.done("PATCH /v1/accounts/42", json!({ "UrlsPerDay": null })).await;
    assert_eq!((&back["UrlsPerDay"], &back["RequestsPerSecond"]), (&Value::Null, &json!(7)));

    let user = door.done("POST /v1/accounts/42/users", json!({ "Name": "ci" })).await["Uin"].clone();
    assert_eq!(door.ask("DELETE /v1/accounts/42", Value::Null).await.refusal(), (409, "WrongState".to_owned()));
    door.done(&format!("DELETE /v1/users/{user}"), Value::Null).await;
    let deleted = door.ask("DELETE /v1/accounts/42", Value::Null).await;
    assert_eq!((deleted.status, deleted.text.as_str()), (204, ""));
    assert_eq!(door.ask("GET /v1/accounts/42", Value::Null).await.refusal(), (404, "NotFound".to_owned()));
}

#[tokio::test]
async fn key_and_webhook_secrets_are_told_once() {
    let door = Door::open().await;
    let account = door.account().await;
    let user = door.done(&format!("POST /v1/accounts/{account}/users"), json!({ "Name": "ci" })).await["Uin"].clone();
    let keys = format!("/v1/principals/{user}/keys");
    let pair = door.ask(&format!("POST {keys}"), Value::Null).await;
    assert_eq!((pair.status, &pair.headers["cache-control"]), (201, &"no-store".parse().expect("a header")));
    let pair = pair.json();
    let token = format!("POST /v1/principals/{account}/tokens");
    let temporary = door.done(&token, json!({ "DurationSeconds": 60 })).await;
    let hook = json!({ "Name": "ops", "Url": "https://a.test/hook" });
    let hook = door.done(&format!("POST /v1/accounts/{account}/webhooks"), hook).await;
    let secrets = [&pair["SecretKey"], &temporary["SecretKey"], &temporary["Token"], &hook["Secret"]];
    let secrets = secrets.map(|it| it.as_str().expect("a secret is told where it is made").to_owned());
    assert!(secrets[3].starts_with("whsec_") && temporary["ExpiresAt"].as_str().is_some_and(|it| it.ends_with('Z')));

    let id = pair["SecretId"].as_str().expect("an id");
    let mut seen = String::new();
    for line in [
        format!("GET {keys}"),
        format!("GET /v1/principals/{account}/keys"),
        format!("PATCH /v1/keys/{id}"),
        format!("GET /v1/accounts/{account}/webhooks"),
        format!("GET /v1/accounts/{account}/webhooks/ops"),
        format!("GET /v1/accounts/{account}"),
    ] {
        let body = if line.starts_with("PATCH") { json!({ "State": "disabled" }) } else { Value::Null };
        seen += &door.done(&line, body).await.to_string();
    }
    assert!(seen.contains(id) && seen.contains("https://a.test/hook"), "{seen}");
    assert!(secrets.iter().all(|secret| !seen.contains(secret)), "{seen}");

    let listed = door.done(&format!("GET {keys}"), Value::Null).await;
    let shown = json!([{ "SecretId": id, "State": "disabled", "CreatedAt": pair["CreatedAt"] }]);
    assert_eq!(listed["Keys"], shown);
    door.done(&format!("POST {keys}"), Value::Null).await;
    let third = door.ask(&format!("POST {keys}"), json!({})).await;
    assert_eq!(third.refusal(), (409, "LimitExceeded".to_owned()));
    door.done(&format!("DELETE /v1/keys/{id}"), Value::Null).await;
    assert_eq!(door.ask(&format!("DELETE /v1/keys/{id}"), Value::Null).await.status, 404);
}

#[tokio::test]
async fn explanation_names_the_statement_that_decides() {
    let door = Door::open().await;
    let account = door.account().await;
    let user = door.done(&format!("POST /v1/accounts/{account}/users"), json!({ "Name": "ci" })).await["Uin"].clone();
    let resource = format!("qcs::cdn::uin/{account}:domain/www.a.test");
    let ask = |resource: &str, ip: Option<&str>| json!({ "User": user, "Action": "cdn:PurgeUrlsCache", "Resource": resource, "Ip": ip });
    let none = door.done("POST /v1/explain", ask(&resource, None)).await;
    assert_eq!((&none["Allowed"], &none["Trace"]), (&json!(false), &json!([])));

    let document = format!(
        r#"{{"version":"2.0","statement":[
            {{"effect":"allow","action":"cdn:Purge*","resource":"qcs::cdn::uin/{account}:domain/*.a.test"}},
            {{"effect":"deny","action":"*","resource":"*","condition":{{"ip_not_equal":{{"qcs:ip":"10.0.0.0/8"}}}}}}]}}"#
    );
    let policy = format!("/v1/accounts/{account}/policies/purge");
    door.done(&format!("PUT {policy}"), json!({ "Document": document })).await;
    door.done(&format!("PUT /v1/users/{user}/policies/purge"), Value::Null).await;

    let inside = door.done("POST /v1/explain", ask(&resource, Some("10.1.2.3"))).await;
    assert_eq!(inside["Allowed"], true);
    let why = inside["Decision"].as_str().expect("a text");
    assert!(why.starts_with("statement 1 of policy `purge` allows cdn:PurgeUrlsCache"), "{why}");
    assert_eq!(inside["Trace"].as_array().map(Vec::len), Some(2));
    let outside = door.done("POST /v1/explain", ask(&resource, Some("192.0.2.1"))).await;
    assert_eq!(outside["Allowed"], false);
    assert!(outside["Decision"].as_str().is_some_and(|it| it.starts_with("statement 2 of policy `purge` denies")));
    let other = door.done("POST /v1/explain", ask("b.test", Some("10.1.2.3"))).await;
    assert_eq!(other["Allowed"], false);

    door.done(&format!("PATCH /v1/users/{user}"), json!({ "State": "disabled" })).await;
    let disabled = door.done("POST /v1/explain", ask(&resource, Some("10.1.2.3"))).await;
    assert!(disabled["Allowed"] == false && disabled["Decision"].as_str().is_some_and(|it| it.contains("disabled")));
    let root = json!({ "User": account, "Action": "cdn:PurgeUrlsCache", "Resource": resource });
    let root = door.done("POST /v1/explain", root).await;
    assert!(root["Allowed"] == true && root["Decision"].as_str().is_some_and(|it| it.contains("root account")));
    door.done(&format!("PATCH /v1/accounts/{account}"), json!({ "State": "suspended" })).await;
    let foreign =
        json!({ "User": account, "Action": "cdn:PurgeUrlsCache", "Resource": "qcs::cdn::uin/7:domain/c.test" });
    let foreign = door.done("POST /v1/explain", foreign).await;
    assert!(foreign["Allowed"] == false && foreign["Trace"][0].as_str().is_some_and(|it| it.contains("suspended")));
}

#[tokio::test]
async fn policy_is_kept_as_it_was_written_and_deleted_when_nobody_has_it() {
    let door = Door::open().await;
    let account = door.account().await;
    let user = door.done(&format!("POST /v1/accounts/{account}/users"), json!({ "Name": "ci" })).await["Uin"].clone();
    let policy = format!("/v1/accounts/{account}/policies/p");
    // Blanks and the order of names survive, whether it comes as a document or as its text.
    let written = r#"{ "version": "2.0", "statement": [ { "resource": "*", "effect": "allow", "action": "cdn:*" } ] }"#;
    for body in [format!("{{\"Document\":{written}}}"), json!({ "Document": written }).to_string()] {
        assert_eq!(door.send(request(&format!("PUT {policy}"), Some(TOKEN), body)).await.status, 200);
        let shown = door.ask(&format!("GET {policy}"), Value::Null).await;
        assert_eq!(shown.text, format!("{{\"Name\":\"p\",\"Document\":{written}}}"));
    }
    // A name given twice must not be lost on the way to whoever refuses it.
    let twice = written.replace("\"effect\": \"allow\"", "\"effect\": \"deny\", \"effect\": \"allow\"");
    let twice = door.send(request(&format!("PUT {policy}"), Some(TOKEN), format!("{{\"Document\":{twice}}}"))).await;
    assert_eq!(twice.refusal(), (422, "InvalidParameter".to_owned()));

    let attached = format!("/v1/users/{user}/policies");
    door.done(&format!("PUT {attached}/p"), Value::Null).await;
    assert_eq!(door.done(&format!("GET {attached}"), Value::Null).await, json!({ "Policies": [{ "Name": "p" }] }));
    let listed = door.done(&format!("GET /v1/accounts/{account}/policies"), Value::Null).await;
    assert_eq!(listed, json!({ "Policies": [{ "Name": "p", "Users": 1 }] }));
    assert_eq!(door.ask(&format!("DELETE {policy}"), Value::Null).await.refusal(), (409, "WrongState".to_owned()));
    assert_eq!(door.ask(&format!("PUT {attached}/q"), Value::Null).await.status, 404);
    door.done(&format!("DELETE {attached}/p"), Value::Null).await;
    assert_eq!(door.ask(&format!("DELETE {attached}/p"), Value::Null).await.status, 404);
    door.done(&format!("DELETE {policy}"), Value::Null).await;
    assert_eq!(door.ask(&format!("GET {policy}"), Value::Null).await.status, 404);
}

#[tokio::test]
async fn domain_is_made_with_its_origin_and_set_to_any_status() {
    let door = Door::open().await;
    let account = door.account().await;
    let create = format!("POST /v1/accounts/{account}/domains");
    let full = json!({
        "Name": "*.A.test", "Area": "global", "ServiceType": "download", "Origins": ["10.0.0.1:80:5", "o.test"],
        "ServerName": "o.test", "PullProtocol": "follow",
    });
    let made = door.done(&create, full).await;
    assert_eq!(
        (&made["Name"], &made["Status"], &made["Account"]),
        (&json!("*.a.test"), &json!("online"), &json!(account))
    );
    assert_eq!((&made["OriginType"], &made["PullProtocol"]), (&json!("ip_domain"), &json!("follow")));
    assert_eq!(made["Origins"], json!(["10.0.0.1:80:5", "o.test"]));
    let plain = door.done(&create, json!({ "Name": "b.test", "Area": "overseas" })).await;
    assert!(plain.get("Origins").is_none() && plain["ServiceType"] == "web", "{plain}");
    for status in ["offline", "processing", "locked", "rejected", "closing", "online"] {
        let set = door.done("PATCH /v1/domains/%2A.a.test", json!({ "Status": status })).await;
        assert_eq!((&set["Status"], &set["KeyRules"]), (&json!(status), &json!("default")));
    }
    let ruled = json!({ "KeyRules": "order=sorted query=without:sid" });
    let ruled = door.done("PATCH /v1/domains/%2A.a.test", ruled).await;
    assert_eq!((&ruled["KeyRules"], &ruled["Status"]), (&json!("query=without:sid order=sorted"), &json!("online")));
    for wrong in [json!({ "KeyRules": "query=some" }), json!({})] {
        let refused = door.ask("PATCH /v1/domains/%2A.a.test", wrong).await;
        assert_eq!(refused.refusal().0, 422);
    }
    let other = door.account().await;
    let theirs = json!({ "Name": "www.a.test", "Area": "global" });
    let theirs = door.ask(&format!("POST /v1/accounts/{other}/domains"), theirs).await;
    assert_eq!(theirs.refusal(), (409, "OwnedByOther".to_owned()));
    for (field, wrong) in [
        ("Name", json!("http://c.test")),
        ("Origins", json!([])),
        ("Origins", json!(["10.0.0.1:0"])),
        ("Origins", json!(["a b"])),
        ("OriginType", json!("ipv6")),
        ("ServerName", json!("a/b")),
    ] {
        let mut body = json!({ "Name": "c.test", "Area": "mainland", "Origins": ["o.test"] });
        body[field] = wrong;
        let refused = door.ask(&create, body.clone()).await;
        assert_eq!(refused.refusal(), (422, "InvalidParameter".to_owned()), "{body}");
    }
    let names =
        |list: &Value| list["Domains"].as_array().map(|rows| rows.iter().map(|row| row["Name"].clone()).collect());
    let all = door.done("GET /v1/domains", Value::Null).await;
    assert_eq!(names(&all), Some(vec![json!("*.a.test"), json!("b.test")]));
    let none = door.done(&format!("GET /v1/domains?account={other}"), Value::Null).await;
    assert_eq!(none, json!({ "Domains": [] }));
    door.done("DELETE /v1/domains/b.test", Value::Null).await;
    assert_eq!(door.ask("GET /v1/domains/b.test", Value::Null).await.status, 404);
}

/// Accepts a purge of these URLs, without an API.
async fn purge(door: &Door, account: u64, urls: &[&str], notify: &[&str]) {
    let caller = Caller::root(AccountId(account));
    let purge = Purge {
        kind: TaskKind::Url,
        mode: Mode::Delete,
        items: urls.iter().map(|url| (*url).into()).collect(),
        area: None,
        encode: Encode::AsSubmitted,
        claim: None,
        notify: notify.iter().map(|name| (*name).into()).collect(),
    };
    let directory = Arc::clone(&door.admin.registry.snapshot().directory);
    let plan = plan(&caller, purge, &directory, door.admin.clock.wall(), 7).expect("a valid purge");
    door.admin.store.submit(plan).await.expect("within the quota");
}

#[tokio::test]
async fn quota_shows_what_is_used_and_is_set_raised_and_taken_back() {
    let door = Door::open().await;
    let account = door.account().await;
    let domain = json!({ "Name": "a.test", "Area": "overseas" });
    door.done(&format!("POST /v1/accounts/{account}/domains"), domain).await;
    purge(&door, account, &["http://a.test/1", "http://a.test/2"], &[]).await;
    let quota = format!("/v1/accounts/{account}/quota");
    let of = |report: &Value, kind: &str, area: &str| {
        let rows = report["Quotas"].as_array().expect("rows").clone();
        rows.into_iter().find(|row| row["Kind"] == kind && row["Area"] == area).expect("each kind and area has a row")
    };
    let report = door.done(&format!("GET {quota}"), Value::Null).await;
    assert_eq!(report["Quotas"].as_array().map(Vec::len), Some(6));
    let numbers = json!({
        "Kind": "url", "Area": "overseas", "Batch": 1_000, "Total": 10_000, "Used": 2, "Available": 9_998,
        "Permanent": 10_000,
    });
    assert_eq!(of(&report, "url", "overseas"), numbers);
    assert_eq!(of(&report, "url", "mainland")["Used"], 0);

    let today = report["Day"].as_str().expect("a day");
    let raise = json!({ "Kind": "url", "Area": "overseas", "Total": 20_000, "From": today, "To": today });
    assert_eq!(door.done(&format!("PUT {quota}"), raise.clone()).await, raise);
    let good = json!({ "Kind": "path", "Area": "mainland", "Total": 5 });
    assert_eq!(door.done(&format!("PUT {quota}"), good.clone()).await, good);
    let report = door.done(&format!("GET {quota}"), Value::Null).await;
    assert_eq!((&of(&report, "url", "overseas")["Total"], &report["Raises"]), (&json!(20_000), &json!([raise])));
    assert_eq!(of(&report, "path", "mainland")["Permanent"], 5);

    let unset = json!({ "Kind": "url", "Area": "overseas", "From": today, "To": today });
    assert_eq!(door.ask(&format!("DELETE {quota}"), unset.clone()).await.status, 204);
    assert_eq!(door.ask(&format!("DELETE {quota}"), unset).await.status, 404);
    for wrong in [
        json!({ "Kind": "url", "Area": "overseas", "Total": 5, "From": today }),
        json!({ "Kind": "url", "Area": "overseas", "Total": 5, "From": "2026-02-30", "To": "2026-03-01" }),
        json!({ "Kind": "url", "Area": "overseas", "Total": 5, "From": "2026-03-02", "To": "2026-03-01" }),
    ] {
        let refused = door.ask(&format!("PUT {quota}"), wrong.clone()).await;
        assert_eq!(refused.refusal(), (422, "InvalidParameter".to_owned()), "{wrong}");
    }
}

#[tokio::test]
async fn webhook_shows_what_could_not_be_delivered() {
    let door = Door::open().await;
    let account = door.account().await;
    let domain = json!({ "Name": "a.test", "Area": "global" });
    door.done(&format!("POST /v1/accounts/{account}/domains"), domain).await;
    let hooks = format!("/v1/accounts/{account}/webhooks");
    let hook = json!({ "Name": "ops", "Url": "https://a.test/hook" });
    door.done(&format!("POST {hooks}"), hook.clone()).await;
    assert_eq!(door.ask(&format!("POST {hooks}"), hook).await.refusal(), (409, "AlreadyExists".to_owned()));
    let failures = format!("GET {hooks}/ops/failures");
    assert_eq!(door.done(&failures, Value::Null).await, json!({ "Failures": [] }));

    purge(&door, account, &["http://a.test/1"], &["ops"]).await;
    let over = UnixMillis(door.admin.clock.wall().0 + 1_000);
    let view = StatusView { watermark: PerArea::from_fn(|_| Seq::ZERO), now: over, fail_after: Duration::ZERO };
    let due = door.admin.store.notices_due(view, 10).await.expect("a store");
    let told = Told::GaveUp { why: "it answered 500".into() };
    door.admin.store.told(&due[0], told).await.expect("a store");
    let listed = door.done(&failures, Value::Null).await;
    let row = &listed["Failures"][0];
    assert_eq!((&row["Reason"], &row["NextAttempt"]), (&json!("it answered 500"), &Value::Null));
    assert_eq!(row["TaskId"], due[0].task.as_str());

    assert_eq!(door.ask(&format!("{failures}?limit=0"), Value::Null).await.refusal().0, 422);
    door.done(&format!("DELETE {hooks}/ops"), Value::Null).await;
    assert_eq!(door.ask(&failures, Value::Null).await.status, 404);
}

#[tokio::test]
async fn lists_come_in_parts_without_gap_or_repeat() {
    let door = Door::open().await;
    let account = door.account().await;
    for index in 0..5 {
        door.done(&format!("POST /v1/accounts/{account}/users"), json!({ "Name": format!("u{index}") })).await;
        let document =
            json!({ "version": "2.0", "statement": [{ "effect": "allow", "action": "*", "resource": "*" }] });
        let policy = format!("PUT /v1/accounts/{account}/policies/p{index}");
        door.done(&policy, json!({ "Document": document })).await;
        let domain = json!({ "Name": format!("d{index}.test"), "Area": "global" });
        door.done(&format!("POST /v1/accounts/{account}/domains"), domain).await;
        door.account().await;
    }
    for (path, field, count) in [
        ("/v1/accounts".to_owned(), "Accounts", 6),
        (format!("/v1/accounts/{account}/users"), "Users", 5),
        (format!("/v1/accounts/{account}/policies"), "Policies", 5),
        ("/v1/domains".to_owned(), "Domains", 5),
    ] {
        let whole = door.done(&format!("GET {path}"), Value::Null).await;
        assert!(whole.get("Next").is_none(), "{whole}");
        let mut parts = Vec::new();
        let mut after = String::new();
        loop {
            let part = door.done(&format!("GET {path}?limit=2{after}"), Value::Null).await;
            parts.extend(part[field].as_array().expect("rows").clone());
            match part["Next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!((parts.len(), &json!(parts)), (count, &whole[field]), "{path}");
    }
}

#[tokio::test]
async fn what_is_not_described_is_refused() {
    let door = Door::open().await;
    for line in ROUTES.iter().filter(|line| !line.starts_with("GET") && !line.starts_with("HEAD")) {
        let refused = door.ask(&filled(line), json!({ "Nonsense": 1 })).await;
        assert_eq!(refused.refusal(), (400, "InvalidRequest".to_owned()), "{line}");
    }
    let account = door.account().await;
    let one = format!("/v1/accounts/{account}");
    for (line, body, status, code) in [
        ("GET /v1".to_owned(), "", 404, "NotFound"),
        ("DELETE /v1/accounts".to_owned(), "", 405, "MethodNotAllowed"),
        ("GET /v1/accounts/seven".to_owned(), "", 400, "InvalidRequest"),
        ("GET /v1/accounts?limit=1001".to_owned(), "", 422, "InvalidParameter"),
        ("GET /v1/accounts?after=x".to_owned(), "", 422, "InvalidParameter"),
        ("GET /v1/accounts?page=2".to_owned(), "", 400, "InvalidRequest"),
        ("GET /v1/domains?account=7".to_owned(), "", 404, "NotFound"),
        ("POST /v1/accounts".to_owned(), "", 400, "InvalidRequest"),
        ("POST /v1/accounts".to_owned(), "{", 400, "InvalidRequest"),
        ("POST /v1/accounts".to_owned(), "[1]", 400, "InvalidRequest"),
        ("POST /v1/accounts".to_owned(), "{\"Name\":\"\\u0007\"}", 422, "InvalidParameter"),
        ("POST /v1/accounts".to_owned(), "{\"Uin\":0}", 422, "InvalidParameter"),
        ("POST /v1/accounts".to_owned(), "{\"UrlsPerDay\":-1}", 400, "InvalidRequest"),
        ("POST /v1/accounts".to_owned(), "{\"State\":\"gone\"}", 400, "InvalidRequest"),
        (format!("PATCH {one}"), "{\"Uin\":7}", 400, "InvalidRequest"),
        (format!("PATCH {one}"), "{\"State\":null}", 400, "InvalidRequest"),
        (format!("PATCH {one}"), "{\"UrlsPerCall\":0}", 422, "InvalidParameter"),
        (format!("POST {one}/users"), "{\"Name\":\"a b\"}", 422, "InvalidParameter"),
        (format!("POST {one}/webhooks"), "{\"Name\":\"a\",\"Url\":\"ftp://a\"}", 422, "InvalidParameter"),
        (format!("POST /v1/principals/{account}/tokens"), "{\"DurationSeconds\":0}", 422, "InvalidParameter"),
        (format!("PUT {one}/policies/p"), "{\"Document\":7}", 422, "InvalidParameter"),
        (format!("PUT {one}/policies/a%2Fb"), "{\"Document\":{}}", 422, "InvalidParameter"),
        ("POST /v1/explain".to_owned(), "{\"User\":7,\"Action\":\"cdn:X\",\"Resource\":\"*\"}", 404, "NotFound"),
    ] {
        let refused = door.send(request(&line, Some(TOKEN), body)).await;
        assert_eq!(refused.refusal(), (status, code.to_owned()), "{line} {body}: {refused:?}");
        let told = refused.json()["Error"]["RequestId"].clone();
        assert_eq!(told.as_str(), refused.headers["x-request-id"].to_str().ok());
        assert!(status != 405 || refused.headers.contains_key("allow"), "{refused:?}");
    }
    for (action, resource, time) in
        [("Purge", "*", "2026-01-01T00:00:00Z"), ("cdn:X", "a:b", "2026-01-01T00:00:00Z"), ("cdn:X", "*", "noon")]
    {
        let question = json!({ "User": account, "Action": action, "Resource": resource, "Time": time });
        assert_eq!(door.ask("POST /v1/explain", question.clone()).await.refusal().0, 422, "{question}");
    }
}

#[tokio::test]
async fn body_is_bounded_whether_its_length_is_announced_or_not() {
    const MAX: usize = 64 * 1024;
    let door = Door::open().await;
    let fits = format!("{{\"Name\":\"{}\"}}", " ".repeat(MAX - 11));
    assert_eq!(fits.len(), MAX);
    assert_eq!(door.send(request("POST /v1/accounts", Some(TOKEN), fits.clone())).await.refusal().0, 422);
    let large = fits + " ";
    let announced = door.send(request("POST /v1/accounts", Some(TOKEN), large.clone())).await;
    assert_eq!(announced.refusal(), (413, "RequestTooLarge".to_owned()));
    let chunked = OneFrame(Some(Bytes::from(large)));
    let request = Request::builder().method(Method::POST).uri("/v1/accounts").header("host", "admin");
    let request = request.header("authorization", format!("Bearer {TOKEN}")).body(chunked).expect("a request");
    assert_eq!(door.send(request).await.refusal(), (413, "RequestTooLarge".to_owned()));
}

/// What the log was told.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn every_change_is_logged_with_its_request_id_and_without_a_secret() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().json().with_max_level(tracing::Level::TRACE);
    let _installed = tracing::subscriber::set_default(subscriber.with_writer(move || writer.clone()).finish());
    let door = Door::open().await;
    let account = door.account().await;
    let made = door.ask(&format!("POST /v1/principals/{account}/keys"), Value::Null).await;
    let token = door.done(&format!("POST /v1/principals/{account}/tokens"), json!({ "DurationSeconds": 60 })).await;
    let hook = json!({ "Name": "ops", "Url": "https://a.test/hook" });
    let hook = door.done(&format!("POST /v1/accounts/{account}/webhooks"), hook).await;
    door.send(request("GET /v1/accounts", Some("not-the-credential"), "")).await;

    let text = String::from_utf8(log.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).expect("text");
    let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let changes: Vec<&Value> = lines.iter().map(|line| &line["fields"]).filter(|it| it["what"].is_string()).collect();
    let what: Vec<&str> = changes.iter().filter_map(|it| it["what"].as_str()).collect();
    assert_eq!(what, ["account created", "key created", "temporary key created", "webhook created"]);
    let id = made.json()["SecretId"].as_str().expect("an id").to_owned();
    assert_eq!(changes[1]["object"], format!("{id} of {account}"));
    assert_eq!(
        (&changes[1]["who"], changes[1]["request_id"].as_str()),
        (&json!("operator"), made.headers["x-request-id"].to_str().ok())
    );
    assert_eq!(changes[1]["peer"], "127.0.0.1");
    assert!(lines.iter().any(|line| line["level"] == "WARN" && line["fields"]["path"] == "/v1/accounts"), "{text}");
    let secrets = [&made.json()["SecretKey"], &token["SecretKey"], &token["Token"], &hook["Secret"]];
    let secrets = secrets.map(|it| it.as_str().expect("a secret").to_owned());
    for secret in secrets.iter().map(String::as_str).chain([TOKEN, "not-the-credential"]) {
        assert!(!text.contains(secret), "a secret is in the log");
    }
}

/// A body of one frame, whose length is not announced.
struct OneFrame(Option<Bytes>);

impl hyper::body::Body for OneFrame {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(hyper::body::Frame::data(bytes))))
    }
}

#[tokio::test]
async fn whole_operator_makes_a_caller_whose_key_works_until_it_is_disabled() {
    let listen = free_address();
    let setup = Setup::new().section(&format!("[admin]\nlisten = \"{listen}\"\ntoken = \"{TOKEN}\""));
    let server = setup.start();
    let run = async |arguments: &[&str], key: [&str; 2]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_catharsis"));
        command.args(arguments).env("CATHARSIS_ADMIN", format!("http://{listen}")).env("CATHARSIS_ADMIN_TOKEN", TOKEN);
        command.env("CATHARSIS_ENDPOINT", format!("http://{}", server.api));
        command.env("TENCENTCLOUD_SECRET_ID", key[0]).env("TENCENTCLOUD_SECRET_KEY", key[1]);
        let output = command.output().await.expect("the binary was built");
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code(), told, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let done = async |arguments: &[&str]| {
        let (status, told, complaint) = run(&[arguments, &["--json"]].concat(), ["", ""]).await;
        assert_eq!(status, Some(0), "{arguments:?}: {complaint}");
        told
    };
    let account = done(&["account", "create", "acme"]).await["Uin"].to_string();
    done(&["domain", "create", &account, "www.acme.test", "--area", "global"]).await;
    let user = done(&["user", "create", &account, "ci"]).await["Uin"].to_string();
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    let resource = format!("qcs::cdn::uin/{account}:domain/www.acme.test");
    let statement = json!({ "effect": "allow", "action": "cdn:PurgeUrlsCache", "resource": resource });
    write!(file, "{}", json!({ "version": "2.0", "statement": [statement] })).expect("it is writable");
    done(&["policy", "put", &account, "purge", "--file", file.path().to_str().expect("plain")]).await;
    let pair = done(&["key", "create", &user]).await;
    let [id, secret] = [&pair["SecretId"], &pair["SecretKey"]].map(|it| it.as_str().expect("a text").to_owned());
    let purge = ["purge", "http://www.acme.test/", "--json"];

    let (status, told, _) = run(&purge, [&id, &secret]).await;
    assert_eq!((status, &told["Error"]["Code"]), (Some(3), &json!("UnauthorizedOperation.CdnCamUnauthorized")));
    done(&["policy", "attach", "purge", "--user", &user]).await;
    let (status, told, complaint) = run(&purge, [&id, &secret]).await;
    assert_eq!(status, Some(0), "{told} {complaint}");
    let quota = done(&["quota", "show", &account]).await.to_string();
    assert!(quota.contains("\"Used\":1"), "{quota}");
    done(&["key", "disable", &id]).await;
    let (status, told, _) = run(&purge, [&id, &secret]).await;
    assert!(
        status == Some(3) && told["Error"]["Code"].as_str().is_some_and(|it| it.starts_with("AuthFailure")),
        "{told}"
    );
}
