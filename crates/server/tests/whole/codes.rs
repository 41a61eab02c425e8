//! Each code of docs/compat.md that a caller can meet, made to happen: through the official SDK for Python, against the
//! real binary, in a state that an operator has set through the admin API.
//!
//! The words of a call are tested in `clients`; here it is who calls, what the account may do, and where its domains stand.
//! The expected codes are written out, not derived: what the server derives is what is checked.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use catharsis_tcapi::cdn::{ADD_DOMAIN_PARAMETERS, Action};
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::clients::{Sdk, assert_refused, variable};
use crate::support::{Connection, PATIENCE, Server, Setup, free_address};

const OPERATOR: &str = "operator-1123581321";

const PARAM_ERROR: &str = "InvalidParameter.CdnParamError";
const NO_USER: &str = "ResourceNotFound.CdnUserNotExists";
const NO_HOST: &str = "ResourceNotFound.CdnHostNotExists";
const NOT_ONLINE: &str = "ResourceUnavailable.CdnHostIsNotOnline";
const NOT_OFFLINE: &str = "ResourceUnavailable.CdnHostIsNotOffline";
const LOCKED: &str = "ResourceUnavailable.CdnHostIsLocked";
const HOST_STATUS: &str = "InvalidParameter.CdnHostInvalidStatus";
const DOMAIN_STATUS: &str = "InvalidParameter.CDNStatusInvalidDomain";
const IN_PROGRESS: &str = "ResourceInUse.CdnOpInProgress";
const NO_POLICY: &str = "UnauthorizedOperation.CdnCamUnauthorized";
const NOT_THIS_HOST: &str = "UnauthorizedOperation.CdnHostUnauthorized";
const DENIED: &str = "AuthFailure.UnauthorizedOperation";
const DRY_RUN: &str = "DryRunOperation";
const DB_ERROR: &str = "InternalError.CdnDbError";
const SIGNATURE: &str = "AuthFailure.SignatureFailure";
const NO_KEY: &str = "AuthFailure.SecretIdNotFound";
const TOKEN_FAILURE: &str = "AuthFailure.TokenFailure";

/// The actions that change something, in the order of the columns below.
const CHANGING: [Action; 8] = [
    Action::PurgeUrlsCache,
    Action::PurgePathCache,
    Action::PushUrlsCache,
    Action::ModifyPurgeFetchTaskStatus,
    Action::AddCdnDomain,
    Action::StartCdnDomain,
    Action::StopCdnDomain,
    Action::DeleteCdnDomain,
];

/// Those for which the vendor lists no code of a user without a policy.
const WITHOUT_CAM_CODE: [Action; 4] =
    [Action::DescribePurgeQuota, Action::DescribePushQuota, Action::DescribePurgeReceipts, Action::DescribeCacheNodes];

/// Those that look only at what is in memory.
const IN_MEMORY: [Action; 3] =
    [Action::DescribeDomains, Action::DescribeCacheNodes, Action::ModifyPurgeFetchTaskStatus];

/// Those that want an offline domain.
const OF_OFFLINE: [Action; 2] = [Action::StartCdnDomain, Action::DeleteCdnDomain];

/// A key pair.
#[derive(Clone, Debug)]
struct Keys {
    id: String,
    secret: String,
    token: Option<String>,
}

/// A root account with its first pair.
#[derive(Clone, Debug)]
struct Account {
    uin: u64,
    keys: Keys,
}

/// A running server with its operator and a caller.
struct World {
    server: Server,
    admin: SocketAddr,
    python: Sdk,
}

impl World {
    fn start() -> Self {
        let admin = free_address();
        let setup = Setup::new().section(&format!("[admin]\nlisten = \"{admin}\"\ntoken = \"{OPERATOR}\""));
        Self { server: setup.start(), admin, python: Sdk::python() }
    }

    /// The operator's request: status and answer.
    async fn ask(&self, line: &str, body: &Value) -> (u16, Value) {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let bytes = if body.is_null() { String::new() } else { body.to_string() };
        let request = Request::builder().method(method).uri(path).header("host", "admin");
        let request = request.header("authorization", format!("Bearer {OPERATOR}"));
        let request = request.body(Full::new(bytes.into())).expect("a valid request");
        let answer = Connection::open(self.admin).await.expect("the door is open").send(request).await;
        let (status, body) = answer.expect("an answer");
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// One that must succeed.
    async fn done(&self, line: &str, body: Value) -> Value {
        let (status, answer) = self.ask(line, &body).await;
        assert!((200..300).contains(&status), "{line} {body}: {status} {answer}");
        answer
    }

    async fn account(&self, fields: Value) -> Account {
        let uin = self.done("POST /v1/accounts", fields).await["Uin"].as_u64().expect("a number");
        Account { uin, keys: self.pair(uin).await }
    }

    async fn pair(&self, principal: u64) -> Keys {
        keys(&self.done(&format!("POST /v1/principals/{principal}/keys"), Value::Null).await)
    }

    async fn domain(&self, account: &Account, name: &str) {
        let fields = json!({ "Name": name, "Area": "global" });
        self.done(&format!("POST /v1/accounts/{}/domains", account.uin), fields).await;
    }

    async fn user(&self, account: &Account, name: &str) -> (u64, Keys) {
        let made = self.done(&format!("POST /v1/accounts/{}/users", account.uin), json!({ "Name": name })).await;
        let uin = made["Uin"].as_u64().expect("a number");
        (uin, self.pair(uin).await)
    }

    /// Gives a user exactly one policy, of these statements.
    async fn policy(&self, account: &Account, user: u64, statements: &Value) {
        let document = json!({ "version": "2.0", "statement": statements });
        let path = format!("PUT /v1/accounts/{}/policies/p{user}", account.uin);
        self.done(&path, json!({ "Document": document })).await;
        self.done(&format!("PUT /v1/users/{user}/policies/p{user}"), Value::Null).await;
    }

    async fn set_status(&self, domain: &str, status: &str) {
        self.done(&format!("PATCH /v1/domains/{domain}"), json!({ "Status": status })).await;
    }

    /// What a call can change: items drawn from each quota, and the domains with their states.
    async fn ledger(&self, account: &Account) -> (Vec<u64>, Value) {
        let quota = self.done(&format!("GET /v1/accounts/{}/quota", account.uin), Value::Null).await;
        let rows = quota["Quotas"].as_array().expect("rows").iter();
        let used = rows.map(|row| row["Used"].as_u64().expect("a number")).collect();
        (used, self.done(&format!("GET /v1/domains?account={}", account.uin), Value::Null).await)
    }

    async fn call(&mut self, keys: &Keys, action: Action, params: Value) -> Value {
        self.call_with(keys, action.as_str(), params, json!({})).await
    }

    /// A call with further settings of the client.
    async fn call_with(&mut self, keys: &Keys, action: &str, params: Value, more: Value) -> Value {
        let call = request(self.server.api, keys, action, &params, &more);
        self.python.call(&call).await
    }

    /// The code that a call gets; `None` for an answer.
    async fn code(&mut self, keys: &Keys, action: Action, params: Value) -> Option<String> {
        let answer = self.call(keys, action, params).await;
        assert!(answer["ok"]["RequestId"].is_string() || answer["error"]["requestId"].is_string(), "{answer}");
        answer["error"]["code"].as_str().map(str::to_owned)
    }
}

/// One line for the client.
fn request(api: SocketAddr, keys: &Keys, action: &str, params: &Value, more: &Value) -> Value {
    let mut call = json!({
        "endpoint": api.to_string(), "secretId": keys.id, "secretKey": keys.secret, "token": keys.token,
        "form": "tc3-post", "untyped": true, "action": action, "params": params,
    });
    let fields = more.as_object().expect("an object").clone();
    call.as_object_mut().expect("an object").extend(fields);
    call
}

/// A pair as the admin API tells it.
fn keys(told: &Value) -> Keys {
    let text = |field: &str| told[field].as_str().map(str::to_owned);
    Keys { id: text("SecretId").expect("an id"), secret: text("SecretKey").expect("a secret"), token: text("Token") }
}

/// Parameters that are right for an action on a domain; a new one is added below it.
fn right(action: Action, host: &str) -> Value {
    match action {
        Action::PurgeUrlsCache => json!({ "Urls": [format!("http://{host}/x")] }),
        Action::PurgePathCache => json!({ "Paths": [format!("http://{host}/x/")], "FlushType": "delete" }),
        Action::PushUrlsCache => json!({ "Urls": [format!("http://{host}/x")], "Area": "global" }),
        Action::DescribePurgeTasks | Action::DescribePushTasks => json!({ "StartTime": "2020-01-01 00:00:00" }),
        Action::ModifyPurgeFetchTaskStatus => {
            json!({ "ExecutionTime": "2026-11-24T08:00:00+08:00", "ExecutionStatus": "success", "Id": "1" })
        }
        Action::AddCdnDomain => json!({
            "Domain": format!("new.{host}"), "ServiceType": "web", "Area": "global",
            "Origin": { "Origins": ["192.0.2.1:8080"], "OriginType": "ip" },
        }),
        Action::StartCdnDomain | Action::StopCdnDomain | Action::DeleteCdnDomain => json!({ "Domain": host }),
        Action::DescribePurgeReceipts => json!({ "TaskId": "1-none" }),
        Action::DescribePurgeQuota
        | Action::DescribePushQuota
        | Action::DescribeDomains
        | Action::DescribeCacheNodes => json!({}),
    }
}

/// The same, only tried: then the code of a success is `DryRunOperation`, and nothing changes.
fn tried(action: Action, host: &str) -> Value {
    let mut params = right(action, host);
    // A report changes nothing that could be tried.
    if action != Action::ModifyPurgeFetchTaskStatus {
        params["DryRun"] = json!(true);
    }
    params
}

/// What an account's state makes of each action that changes something; empty: it does not matter to it.
#[rustfmt::skip]
const ACCOUNT_STATES: [(&str, [&str; 8]); 8] = [
    //                urls, directories, prefetch, report, add, start, stop, delete
    ("active",        [""; 8]),
    ("not_activated", [NO_USER, NO_USER, NO_USER, ANY_STATE, NO_USER, NO_USER, NO_USER, NO_USER]),
    ("auth_pending",  [AUTH_WAIT, AUTH_WAIT, AUTH_WAIT, ANY_STATE, AUTH_WAIT, AUTH_WAIT, AUTH_WAIT, AUTH_WAIT]),
    ("auth_failed",   [AUTH_FAIL, AUTH_FAIL, AUTH_FAIL, ANY_STATE, AUTH_FAIL, AUTH_FAIL, AUTH_FAIL, AUTH_FAIL]),
    ("suspended",     [SUSPENDED, SUSPENDED, SUSPENDED, ANY_STATE, SUSPENDED, SUSPENDED, SUSPENDED, NO_AUTH]),
    ("isolated",      ["", "", "", "", ISOLATED, ISOLATED, "", ""]),
    ("migrated",      [MIGRATED, PLATFORM, MIGRATED, ANY_STATE, UPGRADED, NO_AUTH, UPGRADED, NO_AUTH]),
    ("not_allowed",   [NO_AUTH, PLATFORM, NO_AUTH, ANY_STATE, NO_AUTH, NO_AUTH, NO_AUTH, NO_AUTH]),
];

const AUTH_WAIT: &str = "UnauthorizedOperation.CdnUserAuthWait";
const AUTH_FAIL: &str = "UnauthorizedOperation.CdnUserAuthFail";
const SUSPENDED: &str = "UnauthorizedOperation.CdnUserIsSuspended";
const ISOLATED: &str = "UnauthorizedOperation.CdnUserIsIsolated";
const MIGRATED: &str = "UnauthorizedOperation.EcdnMigratedCdn";
const UPGRADED: &str = "OperationDenied.ProductUpgraded";
const NO_AUTH: &str = "UnauthorizedOperation.OpNoAuth";
const ANY_STATE: &str = "UnauthorizedOperation.Unknown";
/// Where the action lists no code for it.
const PLATFORM: &str = "UnauthorizedOperation";

#[tokio::test]
async fn each_state_of_an_account_refuses_each_action_with_its_code() {
    let mut world = World::start();
    let account = world.account(json!({ "Name": "acme" })).await;
    let host = "www.acme.test";
    world.domain(&account, host).await;
    let before = world.ledger(&account).await;
    for (state, codes) in ACCOUNT_STATES {
        world.done(&format!("PATCH /v1/accounts/{}", account.uin), json!({ "State": state })).await;
        for action in Action::ALL {
            let what = format!("{state} {}", action.as_str());
            let expected = match CHANGING.iter().position(|it| *it == action) {
                Some(column) => codes[column],
                // To look is allowed in every state in which there is anything to see.
                None if state != "not_activated" => "",
                None if action.codes().iter().any(|code| code.as_str() == NO_USER) => NO_USER,
                None => PLATFORM,
            };
            // Of an account whose state does not matter, the rest of the call decides.
            let (online, unknown) = (Action::StartCdnDomain, Action::DescribePurgeReceipts);
            let expected = match (expected, action) {
                ("", it) if it == online => DOMAIN_STATUS,
                ("", Action::DeleteCdnDomain) => NOT_OFFLINE,
                ("", it) if it == unknown => "ResourceNotFound",
                ("", Action::ModifyPurgeFetchTaskStatus) => "",
                ("", it) if CHANGING.contains(&it) => DRY_RUN,
                (code, _) => code,
            };
            let params = if CHANGING.contains(&action) { tried(action, host) } else { right(action, host) };
            let code = world.code(&account.keys, action, params).await;
            assert_eq!(code.unwrap_or_default(), expected, "{what}");
        }
    }
    assert_eq!(world.ledger(&account).await, before);
}

/// What a domain's state makes of each action on it.
#[rustfmt::skip]
const DOMAIN_STATES: [(&str, [&str; 6]); 6] = [
    //             urls, directories, prefetch, start, stop, delete
    ("online",     [DRY_RUN, DRY_RUN, DRY_RUN, DOMAIN_STATUS, DRY_RUN, NOT_OFFLINE]),
    ("offline",    [NOT_ONLINE, HOST_STATUS, NOT_ONLINE, DRY_RUN, DOMAIN_STATUS, DRY_RUN]),
    ("processing", [DRY_RUN, DRY_RUN, DRY_RUN, IN_PROGRESS, IN_PROGRESS, IN_PROGRESS]),
    ("locked",     [HOST_STATUS, HOST_STATUS, LOCKED, LOCKED, LOCKED, LOCKED]),
    ("rejected",   [HOST_STATUS, HOST_STATUS, HOST_STATUS, DOMAIN_STATUS, DOMAIN_STATUS, DRY_RUN]),
    ("closing",    [HOST_STATUS, HOST_STATUS, HOST_STATUS, IN_PROGRESS, IN_PROGRESS, IN_PROGRESS]),
];

#[tokio::test]
async fn each_state_of_a_domain_refuses_each_action_with_its_code() {
    let mut world = World::start();
    let account = world.account(json!({ "Name": "acme" })).await;
    let host = "www.acme.test";
    world.domain(&account, host).await;
    let columns = CHANGING
        .into_iter()
        .filter(|action| !matches!(action, Action::ModifyPurgeFetchTaskStatus | Action::AddCdnDomain));
    for (state, codes) in DOMAIN_STATES {
        world.set_status(host, state).await;
        let before = world.ledger(&account).await;
        for (action, expected) in columns.clone().zip(codes) {
            let answer = world.call(&account.keys, action, tried(action, host)).await;
            assert_refused(&answer, expected, &format!("{state} {}", action.as_str()));
        }
        // The contract has no word for a locked domain.
        let shown = world.call(&account.keys, Action::DescribeDomains, json!({})).await["ok"]["Domains"][0].clone();
        let (status, disable) = if state == "locked" { ("online", "readonly") } else { (state, "normal") };
        assert_eq!((&shown["Status"], &shown["Disable"]), (&json!(status), &json!(disable)), "{shown}");
        assert_eq!(shown["Cname"], "");
        assert_eq!(world.ledger(&account).await, before, "{state}");
    }
}

#[tokio::test]
async fn domain_that_cannot_be_added_is_refused_with_the_reason() {
    let mut world = World::start();
    let account = world.account(json!({ "Name": "acme", "DomainsMax": 3 })).await;
    let other = world.account(json!({ "Name": "other" })).await;
    world.domain(&account, "www.acme.test").await;
    world.domain(&other, "www.other.test").await;
    world.domain(&other, "*.wild.test").await;
    let before = world.ledger(&account).await;
    let origin = json!({ "Origins": ["192.0.2.1:8080"], "OriginType": "ip" });
    let add = |domain: &str, more: Value| {
        let mut params = json!({ "Domain": domain, "ServiceType": "web", "Origin": origin });
        params.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        params
    };
    let backup = json!({ "Origins": ["192.0.2.1"], "OriginType": "ip", "BackupOrigins": ["10.0.0.1"], "BackupOriginType": "ip" });
    let named = json!({ "Switch": "on", "Action": "includeCustom", "Value": "a b" });
    for (params, code) in [
        (add("www.acme.test", json!({})), "ResourceInUse.CdnHostExists"),
        (add("www.other.test", json!({})), "UnauthorizedOperation.CdnHostIsUsedByOther"),
        (add("a.wild.test", json!({})), "ResourceInUse.CdnConflictHostExists"),
        (add("*.other.test", json!({})), "ResourceInUse.CdnConflictHostExists"),
        (add(&format!("{}.test", "a".repeat(77)), json!({})), "InvalidParameter.CdnHostTooLongHost"),
        (add("http://a.test", json!({})), "InvalidParameter.CdnConfigInvalidHost"),
        (add("10.0.0.1", json!({})), "InvalidParameter.CdnConfigInvalidHost"),
        (add("a.test", json!({ "ServiceType": "ftp" })), PARAM_ERROR),
        (add("a.test", json!({ "Area": "moon" })), PARAM_ERROR),
        (add("a.test", json!({ "Origin": { "Origins": [], "OriginType": "ip" } })), PARAM_ERROR),
        (add("a.test", json!({ "Origin": { "Origins": ["a.cos.test"], "OriginType": "cos" } })), PARAM_ERROR),
        (add("a.test", json!({ "Origin": { "Origins": vec!["10.0.0.1"; 65], "OriginType": "ip" } })), PARAM_ERROR),
        (add("a.test", json!({ "Origin": backup })), PARAM_ERROR),
        (add("a.test", json!({ "Origin": { "Origins": ["127.0.0.1:8080"], "OriginType": "ip" } })), PARAM_ERROR),
        (add("a.test", json!({ "Origin": { "Origins": ["169.254.169.254"], "OriginType": "ip" } })), PARAM_ERROR),
        (add("a.test", json!({ "Referer": { "Switch": "on" } })), PARAM_ERROR),
        (add("a.test", json!({ "CacheKey": { "Cookie": { "Switch": "on" } } })), PARAM_ERROR),
        (
            add("a.test", json!({ "CacheKey": { "QueryString": named } })),
            "InvalidParameter.CdnKeyRulesInvalidQueryStringValue",
        ),
        (add("a.test", json!({ "Origin": "127.0.0.1" })), "InvalidParameter"),
    ] {
        let answer = world.call(&account.keys, Action::AddCdnDomain, params.clone()).await;
        assert_refused(&answer, code, &params.to_string());
        assert_eq!(world.ledger(&account).await, before, "{params}");
    }
    for domain in ["a.test", "b.test"] {
        let added = world.call(&account.keys, Action::AddCdnDomain, add(domain, json!({}))).await;
        assert!(added["ok"]["RequestId"].is_string(), "{added}");
    }
    let fourth = world.call(&account.keys, Action::AddCdnDomain, add("c.test", json!({}))).await;
    assert_refused(&fourth, "LimitExceeded.CdnUserTooManyHosts", "a fourth of three");
}

#[tokio::test]
async fn each_action_names_what_is_missing_unknown_or_wrong() {
    let mut world = World::start();
    let account = world.account(json!({ "Name": "acme" })).await;
    let other = world.account(json!({ "Name": "other" })).await;
    let host = "www.acme.test";
    world.domain(&account, host).await;
    world.domain(&other, "www.other.test").await;
    let before = world.ledger(&account).await;
    for action in Action::ALL {
        let mut unknown = right(action, host);
        unknown["Zone"] = json!("x");
        let answer = world.call(&account.keys, action, unknown).await;
        assert_refused(&answer, "UnknownParameter", action.as_str());
        for name in required(action) {
            let mut without = right(action, host);
            without.as_object_mut().expect("an object").remove(*name);
            let answer = world.call(&account.keys, action, without).await;
            assert_refused(&answer, "MissingParameter", &format!("{} {name}", action.as_str()));
            let mut wrong = right(action, host);
            wrong[*name] = json!(7.5);
            let answer = world.call(&account.keys, action, wrong).await;
            assert_refused(&answer, "InvalidParameter", &format!("{} {name}", action.as_str()));
        }
    }
    for (action, params, code) in wrong_values(host) {
        let what = format!("{} {params:.200}", action.as_str());
        assert_refused(&world.call(&account.keys, action, params).await, code, &what);
    }
    // An unknown domain, and one of another account, which is not told apart.
    for action in CHANGING.into_iter().filter(|it| right(*it, "a").to_string().contains("\"a\"") || is_of_urls(*it)) {
        for host in ["nowhere.test", "www.other.test"] {
            assert_refused(&world.call(&account.keys, action, right(action, host)).await, NO_HOST, action.as_str());
        }
    }
    assert_eq!(world.ledger(&account).await, before);
}

const fn is_of_urls(action: Action) -> bool {
    matches!(action, Action::PurgeUrlsCache | Action::PurgePathCache | Action::PushUrlsCache)
}

/// The parameters without which an action cannot be.
const fn required(action: Action) -> &'static [&'static str] {
    match action {
        Action::PurgeUrlsCache | Action::PushUrlsCache => &["Urls"],
        Action::PurgePathCache => &["Paths", "FlushType"],
        Action::ModifyPurgeFetchTaskStatus => &["ExecutionTime", "ExecutionStatus", "Id"],
        Action::AddCdnDomain => &["Domain", "ServiceType", "Origin"],
        Action::StartCdnDomain | Action::StopCdnDomain | Action::DeleteCdnDomain => &["Domain"],
        Action::DescribePurgeReceipts => &["TaskId"],
        // These two want one of two, which is a value's mistake.
        Action::DescribePurgeTasks
        | Action::DescribePushTasks
        | Action::DescribePurgeQuota
        | Action::DescribePushQuota
        | Action::DescribeDomains
        | Action::DescribeCacheNodes => &[],
    }
}

/// Values that no call of an action may have, with the code.
fn wrong_values(host: &str) -> Vec<(Action, Value, &'static str)> {
    let long = format!("http://{host}/{}", "x".repeat(8_000));
    let star = format!("http://{host}/*");
    let (purge_star, push_star) =
        ("InvalidParameter.CdnPurgeWildcardNotAllowed", "InvalidParameter.CdnPushWildcardNotAllowed");
    let (urls, paths, push) = (Action::PurgeUrlsCache, Action::PurgePathCache, Action::PushUrlsCache);
    let path = |path: &str| json!({ "Paths": [path], "FlushType": "delete" });
    let headers = |name: &str, count: usize| {
        let header = json!({ "Name": name, "Value": "x" });
        json!({ "Urls": [format!("http://{host}/")], "Headers": vec![header; count] })
    };
    let report = |field: &str, value: &str| {
        let mut params = right(Action::ModifyPurgeFetchTaskStatus, host);
        params[field] = json!(value);
        params
    };
    let mut rows = vec![
        (urls, json!({ "Urls": [host] }), PARAM_ERROR),
        (urls, json!({ "Urls": [star] }), purge_star),
        (urls, json!({ "Urls": [long] }), "InvalidParameter.CdnUrlExceedLength"),
        (paths, path(host), PARAM_ERROR),
        (paths, path(&star), purge_star),
        (paths, path(&long), "InvalidParameter.CdnUrlExceedLength"),
        (push, json!({ "Urls": [host] }), PARAM_ERROR),
        (push, json!({ "Urls": [star] }), push_star),
        (push, json!({ "Urls": [long] }), PARAM_ERROR),
        (push, headers("X-A", 21), PARAM_ERROR),
        (push, headers("Host", 1), PARAM_ERROR),
        (push, json!({ "Urls": [format!("http://{host}/")], "UserAgent": "x".repeat(1_025) }), PARAM_ERROR),
        (Action::DescribeDomains, json!({ "Limit": 1_001 }), PARAM_ERROR),
        (Action::DescribeDomains, json!({ "Filters": [{ "Name": "colour", "Value": ["x"] }] }), PARAM_ERROR),
        (Action::DescribePurgeReceipts, json!({ "TaskId": "" }), PARAM_ERROR),
        (Action::DescribePurgeReceipts, json!({ "TaskId": "1-none" }), "ResourceNotFound"),
        (Action::ModifyPurgeFetchTaskStatus, report("ExecutionTime", "noon"), "InvalidParameterValue"),
        (Action::ModifyPurgeFetchTaskStatus, report("ExecutionStatus", "perhaps"), "InvalidParameterValue"),
    ];
    for action in [Action::DescribePurgeTasks, Action::DescribePushTasks] {
        rows.push((action, json!({}), PARAM_ERROR));
        rows.push((action, json!({ "StartTime": "yesterday" }), PARAM_ERROR));
        rows.push((action, json!({ "TaskId": "x", "Limit": 0 }), PARAM_ERROR));
    }
    for action in [Action::DescribePurgeTasks, Action::DescribePushTasks, Action::DescribeDomains] {
        rows.push((action, json!({ "Limit": "many" }), "InvalidParameter"));
    }
    for action in [Action::StartCdnDomain, Action::StopCdnDomain, Action::DeleteCdnDomain] {
        rows.push((action, json!({ "Domain": "http://a" }), PARAM_ERROR));
    }
    // An endpoint that the account does not have; a token that is none. Domain actions know neither.
    for action in [urls, paths, push] {
        for (option, value) in [("Webhook", "nowhere"), ("ClientToken", "")] {
            let mut params = right(action, host);
            params[option] = json!(value);
            rows.push((action, params, PARAM_ERROR));
        }
    }
    for action in [Action::AddCdnDomain, Action::StartCdnDomain, Action::StopCdnDomain, Action::DeleteCdnDomain] {
        for option in ["Webhook", "ClientToken"] {
            let mut params = right(action, host);
            params[option] = json!("x");
            rows.push((action, params, "UnknownParameter"));
        }
    }
    rows
}

#[tokio::test]
async fn what_is_no_call_of_this_product_is_refused_with_the_platforms_code() {
    let mut world = World::start();
    let account = world.account(json!({ "Name": "acme" })).await;
    world.domain(&account, "www.acme.test").await;
    let before = world.ledger(&account).await;
    let odd = Keys { id: "AKID/odd".to_owned(), ..account.keys.clone() };
    let wrong = Keys { secret: "another".to_owned(), ..account.keys.clone() };
    let unknown = Keys { id: "AKIDunknown".to_owned(), ..account.keys.clone() };
    let keys = account.keys.clone();
    let with_token = Keys { token: Some("none-of-ours".to_owned()), ..account.keys.clone() };
    let big = json!({ "Urls": vec![format!("http://www.acme.test/{}", "x".repeat(2_000)); 600] });
    let rows = [
        (&keys, json!({ "options": { "SkipSign": true } }), "AuthFailure.InvalidAuthorization"),
        (&odd, json!({ "form": "v1-sha1-post" }), "AuthFailure.InvalidSecretId"),
        (&unknown, json!({}), NO_KEY),
        (&wrong, json!({}), SIGNATURE),
        (&with_token, json!({}), TOKEN_FAILURE),
        (&keys, json!({ "clockOff": 310 }), "AuthFailure.SignatureExpire"),
        (&keys, json!({ "clockOff": -310 }), "AuthFailure.SignatureExpire"),
        (&keys, json!({ "version": "2019-01-01" }), "NoSuchVersion"),
        (&keys, json!({ "service": "cvm" }), "NoSuchProduct"),
        (&keys, json!({ "options": { "IsMultipart": true } }), "UnsupportedProtocol"),
        (&keys, json!({ "form": "v1-sha1-post", "params": big }), "RequestSizeLimitExceeded"),
    ];
    for action in Action::ALL {
        for (keys, more, code) in &rows {
            let params = right(action, "www.acme.test");
            let answer = world.call_with(keys, action.as_str(), params, more.clone()).await;
            assert_refused(&answer, code, &format!("{} {more:.100}", action.as_str()));
        }
    }
    let nonsense = world.call_with(&keys, "PurgeEverything", json!({}), json!({})).await;
    assert_refused(&nonsense, "InvalidAction", "PurgeEverything");
    let region = world.call_with(
        &keys,
        "PurgeUrlsCache",
        tried(Action::PurgeUrlsCache, "www.acme.test"),
        json!({ "region": "moon" }),
    );
    assert_refused(&region.await, DRY_RUN, "a region is accepted and ignored");
    assert_eq!(world.ledger(&account).await, before);
}

/// A statement over these domains.
fn statement(effect: &str, actions: &Value, resources: &Value) -> Value {
    json!({ "effect": effect, "action": actions, "resource": resources })
}

#[tokio::test]
async fn user_without_a_policy_for_an_action_is_refused_by_every_action() {
    let mut world = World::start();
    let account = world.account(json!({ "Name": "acme" })).await;
    let host = "www.acme.test";
    world.domain(&account, host).await;
    let (user, keys) = world.user(&account, "ci").await;
    let before = world.ledger(&account).await;
    // Without any policy, and with one that is about another action.
    for policies in [0, 1] {
        if policies == 1 {
            let other = statement("allow", &json!("cos:*"), &json!("*"));
            world.policy(&account, user, &json!([other])).await;
        }
        for action in Action::ALL {
            let expected = if WITHOUT_CAM_CODE.contains(&action) { DENIED } else { NO_POLICY };
            let answer = world.call(&keys, action, right(action, host)).await;
            assert_refused(&answer, expected, action.as_str());
        }
    }
    assert_eq!(world.ledger(&account).await, before);
}

#[tokio::test]
async fn user_of_one_domain_is_refused_on_another_and_a_batch_needs_all() {
    let mut world = World::start();
    let account = world.account(json!({ "Name": "acme" })).await;
    let (mine, theirs) = ("mine.acme.test", "theirs.acme.test");
    world.domain(&account, mine).await;
    world.domain(&account, theirs).await;
    let (user, keys) = world.user(&account, "ci").await;
    let of = |host: &str| format!("qcs::cdn::uin/{}:domain/{host}", account.uin);
    let both = json!([of(mine), of(theirs)]);
    let allow = |resources: &Value| json!([statement("allow", &json!("cdn:*"), resources)]);

    world.policy(&account, user, &allow(&json!([of(mine)]))).await;
    let before = world.ledger(&account).await;
    let on_domains = CHANGING.into_iter().filter(|it| *it != Action::ModifyPurgeFetchTaskStatus);
    for action in on_domains {
        let answer = world.call(&keys, action, right(action, theirs)).await;
        assert_refused(&answer, NOT_THIS_HOST, action.as_str());
    }
    // What names no domain needs a policy for everything.
    for (action, code) in [
        (Action::ModifyPurgeFetchTaskStatus, NO_POLICY),
        (Action::DescribePurgeQuota, DENIED),
        (Action::DescribePushQuota, DENIED),
        (Action::DescribeCacheNodes, DENIED),
    ] {
        assert_refused(&world.call(&keys, action, right(action, mine)).await, code, action.as_str());
    }
    let batches = [
        (Action::PurgeUrlsCache, json!({ "Urls": [format!("http://{mine}/"), format!("http://{theirs}/")] }), "Urls.1"),
        (
            Action::PurgePathCache,
            json!({ "Paths": [format!("http://{mine}/a/"), format!("http://{theirs}/a/")], "FlushType": "delete" }),
            "Paths.1",
        ),
        (
            Action::PushUrlsCache,
            json!({ "Urls": [format!("http://{mine}/"), format!("http://{theirs}/")], "Area": "global" }),
            "Urls.1",
        ),
    ];
    for (action, params, place) in &batches {
        let answer = world.call(&keys, *action, params.clone()).await;
        assert_refused(&answer, NOT_THIS_HOST, action.as_str());
        assert!(answer["error"]["message"].as_str().is_some_and(|text| text.contains(place)), "{answer}");
    }
    assert_eq!(world.ledger(&account).await, before);

    world.policy(&account, user, &allow(&both)).await;
    for (action, params, _) in &batches {
        let mut params = params.clone();
        params["DryRun"] = json!(true);
        assert_refused(&world.call(&keys, *action, params).await, DRY_RUN, action.as_str());
    }
    // An explicit deny wins over every allow.
    let deny = statement("deny", &json!("cdn:Purge*"), &json!([of(theirs)]));
    world.policy(&account, user, &json!([statement("allow", &json!("*"), &json!("*")), deny])).await;
    let expected = [NOT_THIS_HOST, NOT_THIS_HOST, DRY_RUN];
    for ((action, params, _), expected) in batches.iter().zip(expected) {
        let mut params = params.clone();
        params["DryRun"] = json!(true);
        assert_refused(&world.call(&keys, *action, params).await, expected, action.as_str());
    }
    assert_eq!(world.ledger(&account).await, before);
}

#[tokio::test]
async fn policy_is_of_its_account_and_its_condition_decides_by_address_and_time() {
    let mut world = World::start();
    let account = world.account(json!({ "Name": "acme" })).await;
    let host = "www.acme.test";
    world.domain(&account, host).await;
    let (user, keys) = world.user(&account, "ci").await;
    // A policy of another root account reaches nothing here.
    let foreign = statement("allow", &json!("cdn:*"), &json!("qcs::cdn::uin/999999:domain/*"));
    world.policy(&account, user, &json!([foreign])).await;
    let params = tried(Action::PurgeUrlsCache, host);
    assert_refused(&world.call(&keys, Action::PurgeUrlsCache, params).await, NO_POLICY, "another root account");
    for (condition, expected) in [
        (json!({ "ip_equal": { "qcs:ip": ["10.0.0.0/8", "127.0.0.1"] } }), DRY_RUN),
        (json!({ "ip_equal": { "qcs:ip": "10.0.0.0/8" } }), NO_POLICY),
        (json!({ "ip_not_equal": { "qcs:ip": "127.0.0.0/8" } }), NO_POLICY),
        (json!({ "date_greater_than": { "qcs:current_time": "2020-01-01T00:00:00Z" } }), DRY_RUN),
        (json!({ "date_less_than": { "qcs:current_time": "2020-01-01T00:00:00Z" } }), NO_POLICY),
        // A signed call has no second factor: the clause fails, unless it is only about those that do.
        (json!({ "bool_equal": { "mfa": true } }), NO_POLICY),
        (json!({ "bool_equal_if_exist": { "mfa": true } }), DRY_RUN),
    ] {
        let mut allow = statement("allow", &json!("CDN:purgeurlscache"), &json!("*"));
        allow["condition"] = condition.clone();
        world.policy(&account, user, &json!([allow])).await;
        let params = tried(Action::PurgeUrlsCache, host);
        assert_refused(&world.call(&keys, Action::PurgeUrlsCache, params).await, expected, &condition.to_string());
    }
}

#[tokio::test]
async fn history_shows_a_user_only_rows_of_its_domains() {
    let mut world = World::start();
    let account = world.account(json!({ "Name": "acme" })).await;
    let (mine, theirs) = ("mine.acme.test", "theirs.acme.test");
    world.domain(&account, mine).await;
    world.domain(&account, theirs).await;
    let (user, keys) = world.user(&account, "ci").await;
    let resource = format!("qcs::cdn::uin/{}:domain/{mine}", account.uin);
    world.policy(&account, user, &json!([statement("allow", &json!("cdn:Describe*"), &json!(resource))])).await;
    let mut tasks = Vec::new();
    for number in 0..3 {
        let urls =
            [format!("http://{theirs}/{number}"), format!("http://{mine}/{number}"), format!("http://{theirs}/x")];
        let purged = world.call(&account.keys, Action::PurgeUrlsCache, json!({ "Urls": urls })).await;
        tasks.push(purged["ok"]["TaskId"].as_str().unwrap_or_else(|| panic!("{purged}")).to_owned());
    }
    let pushed = json!({ "Urls": [format!("http://{theirs}/"), format!("http://{mine}/")], "Area": "global" });
    assert_eq!(world.code(&account.keys, Action::PushUrlsCache, pushed).await, None);
    for (keys, rows) in [(&account.keys, 2), (&keys, 1)] {
        let params = right(Action::DescribePushTasks, "");
        let pushes = world.call(keys, Action::DescribePushTasks, params).await["ok"].clone();
        let shown = pushes["PushLogs"].as_array().map(Vec::len);
        assert_eq!((&pushes["TotalCount"], shown), (&json!(rows), Some(rows)), "{pushes}");
    }
    let mut page = async |keys: &Keys, more: Value| {
        let mut params = right(Action::DescribePurgeTasks, "");
        params.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let answer = world.call(keys, Action::DescribePurgeTasks, params).await["ok"].clone();
        let rows = answer["PurgeLogs"].as_array().unwrap_or_else(|| panic!("{answer}")).iter();
        let urls: Vec<String> = rows.map(|row| row["Url"].as_str().expect("a text").to_owned()).collect();
        (answer["TotalCount"].as_u64().expect("a count"), urls)
    };
    let url = |number: u32| format!("http://{mine}/{number}");
    assert_eq!(page(&account.keys, json!({})).await.0, 9);
    assert_eq!(page(&keys, json!({})).await, (3, vec![url(2), url(1), url(0)]));
    assert_eq!(page(&keys, json!({ "Limit": 2 })).await, (3, vec![url(2), url(1)]));
    assert_eq!(page(&keys, json!({ "Offset": 2, "Limit": 2 })).await, (3, vec![url(0)]));
    assert_eq!(page(&keys, json!({ "TaskId": tasks[1] })).await, (1, vec![url(1)]));
    assert_eq!(page(&keys, json!({ "Keyword": theirs })).await, (0, vec![]));
    let domains = world.call(&keys, Action::DescribeDomains, json!({})).await;
    assert_eq!((&domains["ok"]["TotalNumber"], &domains["ok"]["Domains"][0]["Domain"]), (&json!(1), &json!(mine)));
}

#[tokio::test]
async fn key_works_until_it_is_disabled_deleted_or_its_user_is() {
    let mut world = World::start();
    let account = world.account(json!({ "Name": "acme" })).await;
    let (user, first) = world.user(&account, "ci").await;
    world.policy(&account, user, &json!([statement("allow", &json!("*"), &json!("*"))])).await;
    let second = world.pair(user).await;
    let (status, third) = world.ask(&format!("POST /v1/principals/{user}/keys"), &Value::Null).await;
    assert_eq!((status, &third["Error"]["Code"]), (409, &json!("LimitExceeded")), "two pairs at most");

    let (enabled, disabled) = (json!({ "State": "enabled" }), json!({ "State": "disabled" }));
    let patch_first = format!("PATCH /v1/keys/{}", first.id);
    let patch_user = format!("PATCH /v1/users/{user}");
    let delete_second = format!("DELETE /v1/keys/{}", second.id);
    let delete_user = format!("DELETE /v1/users/{user}");
    let steps = [
        (&patch_first, &disabled, [Some(NO_KEY), None]),
        (&patch_first, &enabled, [None, None]),
        (&patch_user, &disabled, [Some(NO_KEY), Some(NO_KEY)]),
        (&patch_user, &enabled, [None, None]),
        (&delete_second, &Value::Null, [None, Some(NO_KEY)]),
        (&delete_user, &Value::Null, [Some(NO_KEY), Some(NO_KEY)]),
    ];
    for (line, body, expected) in steps {
        world.done(line, body.clone()).await;
        for (keys, expected) in [&first, &second].into_iter().zip(expected) {
            let code = world.code(keys, Action::DescribePurgeQuota, json!({})).await;
            assert_eq!(code.as_deref(), expected, "{line} {body}");
        }
    }
    // Rotation: the new pair works before the old one goes.
    let new = world.pair(account.uin).await;
    world.done(&format!("DELETE /v1/keys/{}", account.keys.id), Value::Null).await;
    assert_eq!(world.code(&new, Action::DescribePurgeQuota, json!({})).await, None);
    assert_eq!(world.code(&account.keys, Action::DescribePurgeQuota, json!({})).await.as_deref(), Some(NO_KEY));
}

#[tokio::test]
async fn temporary_key_works_with_its_token_until_both_end() {
    let mut world = World::start();
    let account = world.account(json!({ "Name": "acme" })).await;
    let tokens = format!("POST /v1/principals/{}/tokens", account.uin);
    let lasting = keys(&world.done(&tokens, json!({ "DurationSeconds": 3_600 })).await);
    let other = keys(&world.done(&tokens, json!({ "DurationSeconds": 3_600 })).await);
    let forms = ["tc3-post", "tc3-get", "v1-sha1-get", "v1-sha256-post"];
    for form in forms {
        for (what, token, expected) in [
            ("right", lasting.token.clone(), None),
            ("missing", None, Some(TOKEN_FAILURE)),
            ("wrong", Some("none-of-ours".to_owned()), Some(TOKEN_FAILURE)),
            ("of another pair", other.token.clone(), Some(TOKEN_FAILURE)),
        ] {
            let keys = Keys { token, ..lasting.clone() };
            let answer = world.call_with(&keys, "DescribePurgeQuota", json!({}), json!({ "form": form })).await;
            assert_eq!(answer["error"]["code"].as_str(), expected, "{form} {what}: {answer}");
        }
    }
    let lasting_with_token = Keys { token: lasting.token.clone(), ..account.keys.clone() };
    let code = world.code(&lasting_with_token, Action::DescribePurgeQuota, json!({})).await;
    assert_eq!(code.as_deref(), Some(TOKEN_FAILURE), "a lasting key has no token");

    let short = keys(&world.done(&tokens, json!({ "DurationSeconds": 1 })).await);
    let deadline = Instant::now() + PATIENCE;
    let ended = loop {
        let answer = world.call(&short, Action::DescribePurgeQuota, json!({})).await;
        if answer["ok"].is_null() {
            break answer;
        }
        assert!(Instant::now() < deadline, "it does not end");
    };
    assert_refused(&ended, TOKEN_FAILURE, "after its second");
    assert!(ended["error"]["message"].as_str().is_some_and(|text| text.contains("expired")), "{ended}");
}

#[tokio::test]
async fn dry_run_tells_how_far_it_would_reach_and_changes_nothing() {
    let mut world = World::start();
    let account = world.account(json!({ "Name": "acme" })).await;
    let host = "www.acme.test";
    world.domain(&account, host).await;
    world.domain(&account, "off.acme.test").await;
    world.set_status("off.acme.test", "offline").await;
    let before = world.ledger(&account).await;
    for action in CHANGING.into_iter().filter(|it| *it != Action::ModifyPurgeFetchTaskStatus) {
        let host = if OF_OFFLINE.contains(&action) { "off.acme.test" } else { host };
        let answer = world.call(&account.keys, action, tried(action, host)).await;
        assert_refused(&answer, DRY_RUN, action.as_str());
        assert!(answer["error"]["message"].as_str().is_some_and(|text| text.contains("reach 0 nodes")), "{answer}");
        assert_eq!(world.ledger(&account).await, before, "{}", action.as_str());
    }
    let tasks = world.call(&account.keys, Action::DescribePurgeTasks, right(Action::DescribePurgeTasks, host)).await;
    assert_eq!(tasks["ok"]["TotalCount"], 0);
    // What it reports can be believed: the same calls in earnest.
    for action in [Action::PurgeUrlsCache, Action::PurgePathCache, Action::StopCdnDomain, Action::AddCdnDomain] {
        let answer = world.call(&account.keys, action, right(action, host)).await;
        assert!(answer["ok"]["RequestId"].is_string(), "{} {answer}", action.as_str());
    }
    assert_ne!(world.ledger(&account).await, before);
}

#[tokio::test]
async fn client_token_makes_a_repeated_call_the_same_call() {
    let mut world = World::start();
    let account = world.account(json!({ "Name": "acme" })).await;
    let host = "www.acme.test";
    world.domain(&account, host).await;
    let token = |action: Action, token: &str| {
        let mut params = right(action, host);
        params["ClientToken"] = json!(token);
        params
    };
    for (action, name, column) in
        [(Action::PurgeUrlsCache, "Urls", 0), (Action::PurgePathCache, "Paths", 2), (Action::PushUrlsCache, "Urls", 4)]
    {
        let own = action.as_str();
        let mut seen = Vec::new();
        for _ in 0..2 {
            let answer = world.call(&account.keys, action, token(action, own)).await;
            seen.push(answer["ok"]["TaskId"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned());
        }
        assert_eq!(seen[0], seen[1], "{own}");
        let before = world.ledger(&account).await;
        assert_eq!(before.0[column..column + 2], [1, 1], "{own} is charged once");
        let mut other = token(action, own);
        other[name] = json!([format!("http://{host}/other/")]);
        let refused = world.call(&account.keys, action, other).await;
        assert_refused(&refused, PARAM_ERROR, "another content");
        assert!(refused["error"]["message"].as_str().is_some_and(|text| text.contains(&seen[0])), "{refused}");
        assert_eq!(world.ledger(&account).await, before);
    }
    // Four clients at once, each with the same call.
    let before = world.ledger(&account).await;
    let call =
        request(world.server.api, &account.keys, "PurgeUrlsCache", &token(Action::PurgeUrlsCache, "four"), &json!({}));
    let mut clients: Vec<Sdk> = (0..4).map(|_| Sdk::python()).collect();
    let mut clients = clients.iter_mut();
    let mut next = || clients.next().expect("there are four").call(&call);
    let (a, b, c, d) = tokio::join!(next(), next(), next(), next());
    let tasks =
        [a, b, c, d].map(|answer| answer["ok"]["TaskId"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned());
    assert!(tasks.iter().all(|task| *task == tasks[0]), "{tasks:?}");
    let after = world.ledger(&account).await;
    assert_eq!(after.0[..2], before.0[..2].iter().map(|used| used + 1).collect::<Vec<_>>(), "one of four is charged");
}

#[tokio::test]
async fn message_is_in_the_language_of_the_header_or_of_the_parameter() {
    let mut world = World::start();
    let account = world.account(json!({ "Name": "acme" })).await;
    for form in ["tc3-post", "tc3-get", "v1-sha1-post", "v1-sha256-get"] {
        for (language, text) in [("zh-CN", "账号下没有域名"), ("en-US", "is not a domain of this account")] {
            let params = right(Action::PurgeUrlsCache, "nowhere.test");
            let more = json!({ "form": form, "language": language });
            let answer = world.call_with(&account.keys, "PurgeUrlsCache", params, more).await;
            assert_refused(&answer, NO_HOST, form);
            assert!(answer["error"]["message"].as_str().is_some_and(|it| it.contains(text)), "{form} {answer}");
        }
    }
}

#[tokio::test]
async fn limits_refuse_until_the_operator_raises_them_for_good_or_for_today() {
    let mut world = World::start();
    let fields = json!({
        "Name": "acme", "UrlsPerCall": 2, "PathsPerCall": 2, "PushesPerCall": 2, "UrlsPerDay": 1, "PathsPerDay": 1, "PushesPerDay": 1,
    });
    let account = world.account(fields).await;
    let host = "www.acme.test";
    world.domain(&account, host).await;
    let quota = format!("PUT /v1/accounts/{}/quota", account.uin);
    let today = world.done(&format!("GET /v1/accounts/{}/quota", account.uin), Value::Null).await["Day"].clone();
    for (action, kind, list, batch, day) in [
        (Action::PurgeUrlsCache, "url", "Urls", "CdnPurgeUrlExceedBatchLimit", "CdnPurgeUrlExceedDayLimit"),
        (Action::PurgePathCache, "path", "Paths", "CdnPurgePathExceedBatchLimit", "CdnPurgePathExceedDayLimit"),
        (Action::PushUrlsCache, "push", "Urls", "CdnPushExceedBatchLimit", "CdnPushExceedDayLimit"),
    ] {
        let of = |count: usize| {
            let mut params = right(action, host);
            params[list] = json!(vec![format!("http://{host}/x/"); count]);
            params
        };
        let [batch, day] = [batch, day].map(|code| format!("LimitExceeded.{code}"));
        assert_refused(&world.call(&account.keys, action, of(3)).await, &batch, kind);
        assert_refused(&world.call(&account.keys, action, of(2)).await, &day, kind);
        assert_eq!(world.code(&account.keys, action, of(1)).await, None, "{kind}");
        assert_refused(&world.call(&account.keys, action, of(1)).await, &day, kind);
        for (total, from, to) in [(2, Value::Null, Value::Null), (3, today.clone(), today.clone())] {
            for area in ["mainland", "overseas"] {
                // In one of two areas it is not enough.
                assert_refused(&world.call(&account.keys, action, of(1)).await, &day, kind);
                let mut raise = json!({ "Kind": kind, "Area": area, "Total": total });
                if !from.is_null() {
                    (raise["From"], raise["To"]) = (from.clone(), to.clone());
                }
                world.done(&quota, raise).await;
            }
            assert_eq!(world.code(&account.keys, action, of(1)).await, None, "{kind} {total}");
            assert_refused(&world.call(&account.keys, action, of(1)).await, &day, kind);
        }
    }
    assert_eq!(world.ledger(&account).await.0, [3; 6]);
}

#[tokio::test]
async fn each_action_is_refused_over_its_rate_with_the_documented_text() {
    let mut world = World::start();
    let account = world.account(json!({ "Name": "acme", "RequestsPerSecond": 1 })).await;
    let host = "www.acme.test";
    world.domain(&account, host).await;
    for action in Action::ALL {
        let deadline = Instant::now() + PATIENCE;
        let refused = loop {
            let answer = world.call(&account.keys, action, right(action, host)).await;
            if answer["error"]["code"] == "RequestLimitExceeded" {
                break answer;
            }
            assert!(Instant::now() < deadline, "{} is never refused: {answer}", action.as_str());
        };
        let text = "Your current request times equals to `2` in a second, which exceeds the frequency limit `1` for a second. \
                    Please reduce the frequency of calls.";
        assert!(refused["error"]["message"].as_str().is_some_and(|it| it.contains(text)), "{refused}");
    }
}

/// Changes the store's file behind the server's back.
async fn tamper(path: &Path, statements: &str) {
    let script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.executescript(sys.argv[2]); db.commit()";
    let mut python = tokio::process::Command::new(variable("CATHARSIS_TEST_PYTHON"));
    let done = python.args(["-c", script]).arg(path).arg(statements).status().await;
    assert!(done.is_ok_and(|status| status.success()), "{statements}");
}

#[tokio::test]
async fn store_that_fails_is_told_as_such_by_every_action_that_needs_it() {
    let (host, off) = ("www.acme.test", "off.acme.test");
    let admin = free_address();
    let setup = Setup::new().section(&format!("[admin]\nlisten = \"{admin}\"\ntoken = \"{OPERATOR}\""));
    let path = setup.write().with_file_name("catharsis.db");
    let mut world = World { server: setup.start(), admin, python: Sdk::python() };
    let account = world.account(json!({ "Name": "acme" })).await;
    world.domain(&account, host).await;
    world.domain(&account, off).await;
    world.set_status(off, "offline").await;
    let tables = ["task", "quota_used", "push_fetch", "push_item", "push_task"];
    let gone = tables.map(|table| format!("DROP TABLE {table};")).concat();
    // Records can be read and not changed, as on a full disk.
    let full = "CREATE TRIGGER full BEFORE UPDATE ON record_generation BEGIN SELECT RAISE(ABORT, 'full'); END;";
    tamper(&path, &(gone + full)).await;
    for action in Action::ALL {
        let host = if OF_OFFLINE.contains(&action) { off } else { host };
        let expected = if IN_MEMORY.contains(&action) { None } else { Some(DB_ERROR) };
        let code = world.code(&account.keys, action, right(action, host)).await;
        assert_eq!(code.as_deref(), expected, "{}", action.as_str());
    }
}

/// The page, and the part of a table's row that says what becomes of a parameter.
#[test]
fn page_lists_every_parameter_of_add_cdn_domain_as_it_is_treated() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/compat.md")).expect("the page");
    let rows: Vec<String> = ADD_DOMAIN_PARAMETERS
        .iter()
        .map(|parameter| {
            let treatment = parameter.treatment.as_str();
            // Read by the wire's crate, and refused by the server: the test of AddCdnDomain has it.
            let (treatment, reason) = match parameter.treatment.reason() {
                None if parameter.name.starts_with("Origin.Backup") => (
                    "refused unless empty",
                    "list all origins in `Origins`; the next one is tried when one does not answer",
                ),
                None => (treatment, ""),
                Some(reason) => (treatment, reason.english),
            };
            format!("| `{}` | {treatment} | {reason} |", parameter.name)
        })
        .collect();
    let missing: Vec<&String> = rows.iter().filter(|row| !page.lines().any(|line| line == row.as_str())).collect();
    assert!(missing.is_empty(), "docs/compat.md lacks these rows:\n{}", rows.join("\n"));
    let listed = page.lines().skip_while(|line| *line != "| Parameter | Here | Why |").skip(2);
    let listed = listed.take_while(|line| line.starts_with('|')).count();
    assert_eq!(listed, rows.len(), "docs/compat.md has rows of no parameter");
}
