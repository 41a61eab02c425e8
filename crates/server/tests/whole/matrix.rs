//! Every action in every form of every official client, on one server.
//!
//! A cell is a client and a form. In each, all actions succeed with their documented fields, a text is stored as it was submitted
//! whatever the client does to it on the way, and a domain of the cell's own goes through its whole life.

use catharsis_tcapi::cdn::Action;
use serde_json::{Value, json};

use crate::clients::{NODE_FORMS, PYTHON_FORMS, Sdk, URLS, call, with};
use crate::support::{Server, Setup};

/// Its two ways to write parameters; it signs in one.
const TCCLI_FORMS: [&str; 2] = ["json", "unfolded"];

/// Directories with what one client or another escapes in its own way; more than ten, as with [`URLS`].
const PATHS: [&str; 13] = [
    "http://www.a.test/a b/",
    "http://www.a.test/a+b/",
    "http://www.a.test/a*b/c.d/",
    "http://www.a.test/~user/'quoted'/",
    "http://www.a.test/(x)!\"y\"/",
    "http://www.a.test/%20/",
    "http://www.a.test/a%2Fb/",
    "http://www.a.test/中文/图片/",
    "http://www.a.test/😀/",
    "https://www.a.test/100%/",
    "https://WWW.a.test:443/11/",
    "http://www.a.test/a&b=c;d,e$f@g[h]|<i>/",
    "http://www.a.test/",
];

/// A text that is no URL, with the same.
const TEXT: &str = "中文 +*~'\"()!%20%2F😀&=";

/// A documented field of an answer.
type Field = (&'static str, fn(&Value) -> bool);

const TASK: [Field; 1] = [("TaskId", Value::is_string)];
const PURGE_LOG: [Field; 6] = [
    ("TaskId", Value::is_string),
    ("Url", Value::is_string),
    ("Status", Value::is_string),
    ("PurgeType", Value::is_string),
    ("FlushType", Value::is_string),
    ("CreateTime", is_time),
];
const QUOTA: [Field; 4] =
    [("Batch", Value::is_u64), ("Total", Value::is_u64), ("Available", Value::is_u64), ("Area", Value::is_string)];
const DOMAIN: [Field; 15] = [
    ("ResourceId", Value::is_string),
    ("AppId", Value::is_u64),
    ("Domain", Value::is_string),
    ("Cname", Value::is_string),
    ("Status", Value::is_string),
    ("ProjectId", Value::is_u64),
    ("ServiceType", Value::is_string),
    ("CreateTime", is_time),
    ("UpdateTime", is_time),
    ("Origin", Value::is_object),
    ("Disable", Value::is_string),
    ("Area", Value::is_string),
    ("Readonly", Value::is_string),
    ("Product", Value::is_string),
    ("ParentHost", Value::is_string),
];

const PUSH_LOG: [Field; 6] = [
    ("TaskId", Value::is_string),
    ("Url", Value::is_string),
    ("Status", Value::is_string),
    ("Percent", Value::is_u64),
    ("CreateTime", is_time),
    ("Area", Value::is_string),
];

/// `YYYY-MM-DD HH:MM:SS`.
fn is_time(value: &Value) -> bool {
    let shape = |text: &str| text.replace(|it: char| it.is_ascii_digit(), "0");
    value.as_str().is_some_and(|text| shape(text) == "0000-00-00 00:00:00")
}

/// The fields with a value are these, no more and no fewer. (The SDK for Python shows all that it knows, null when absent.)
fn assert_fields(object: &Value, fields: &[Field], what: &str) {
    let given = object.as_object().unwrap_or_else(|| panic!("{what}: no structure: {object}"));
    let mut given: Vec<_> = given.iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name.as_str()).collect();
    let mut expected: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
    given.sort_unstable();
    expected.sort_unstable();
    assert_eq!(given, expected, "{what}: {object}");
    for (name, fits) in fields {
        assert!(fits(&object[name]), "{what} {name}: {object}");
    }
}

/// One client in one form.
struct Cell<'a> {
    sdk: &'a mut Sdk,
    server: &'a Server,
    client: &'static str,
    form: &'static str,
    extra: Value,
    /// Of the actions that were called.
    called: Vec<Action>,
}

impl Cell<'_> {
    /// Calls an action; its answer has these fields and a `RequestId`.
    async fn ok(&mut self, action: Action, params: Value, fields: &[Field]) -> Value {
        self.called.push(action);
        let what = format!("{} {} {}", self.client, self.form, action.as_str());
        let request = with(call(self.server, self.form, action.as_str(), params), &self.extra);
        let answer = self.sdk.call(&request).await;
        assert!(answer["ok"].is_object(), "{what}: {answer}");
        let is_request_id: fn(&Value) -> bool = |it| it.as_str().is_some_and(|id| id.len() == 36);
        let fields: Vec<Field> = fields.iter().copied().chain([("RequestId", is_request_id)]).collect();
        assert_fields(&answer["ok"], &fields, &what);
        answer["ok"].clone()
    }

    /// A list in an answer, each row with these fields.
    fn rows(&self, answer: &Value, list: &str, fields: &[Field]) -> Vec<Value> {
        let what = format!("{} {} {list}", self.client, self.form);
        let rows = answer[list].as_array().unwrap_or_else(|| panic!("{what}: no list: {answer}"));
        rows.iter().for_each(|row| assert_fields(row, fields, &what));
        rows.clone()
    }

    /// What was purged is shown by its task, text for text, in order.
    async fn purge(&mut self, action: Action, params: Value, texts: &[&str], (kind, flush): (&str, &str)) {
        let task = self.ok(action, params, &TASK).await;
        let shown = json!({ "TaskId": task["TaskId"], "PurgeType": kind, "Limit": 100 });
        let fields: [Field; 2] = [("PurgeLogs", Value::is_array), ("TotalCount", Value::is_u64)];
        let page = self.ok(Action::DescribePurgeTasks, shown, &fields).await;
        let rows = self.rows(&page, "PurgeLogs", &PURGE_LOG);
        let urls: Vec<_> = rows.iter().map(|row| row["Url"].as_str().expect("a text")).collect();
        assert_eq!(urls, texts, "{} {}", self.client, self.form);
        assert_eq!(page["TotalCount"], texts.len());
        for row in &rows {
            let seen = (&row["TaskId"], &row["PurgeType"], &row["FlushType"], &row["Status"]);
            assert_eq!(seen, (&task["TaskId"], &json!(kind), &json!(flush), &json!("done")));
        }
    }

    async fn purges(&mut self) {
        let urls = json!({ "Urls": URLS });
        self.purge(Action::PurgeUrlsCache, urls, &URLS, ("url", "delete")).await;
        let flush = json!({ "Paths": PATHS, "FlushType": "flush", "Area": "overseas" });
        self.purge(Action::PurgePathCache, flush, &PATHS, ("path", "flush")).await;
        // One that is encoded when it is purged is shown as it was submitted too.
        let delete = json!({ "Paths": PATHS, "FlushType": "delete", "UrlEncode": true });
        self.purge(Action::PurgePathCache, delete, &PATHS, ("path", "delete")).await;
    }

    /// What was prefetched is shown by its task, text for text, in order.
    async fn pushes(&mut self) {
        let urls = json!({
            "Urls": URLS,
            "Area": "global",
            "UserAgent": "a b+c*~'/1.0",
            "ParseM3U8": false,
            "Headers": [{ "Name": "X-A", "Value": "a b+c*~'%20" }, { "Name": "X-B", "Value": "c" }],
        });
        let task = self.ok(Action::PushUrlsCache, urls, &TASK).await;
        let fields: [Field; 2] = [("PushLogs", Value::is_array), ("TotalCount", Value::is_u64)];
        let shown = json!({ "TaskId": task["TaskId"], "Area": "global", "Limit": 100 });
        let mut page = self.ok(Action::DescribePushTasks, shown, &fields).await;
        for row in page["PushLogs"].as_array_mut().expect("a list") {
            let changed = row.as_object_mut().and_then(|row| row.remove("UpdateTime")).unwrap_or_default();
            assert!(changed.is_null() || is_time(&changed), "{changed}");
        }
        let rows = self.rows(&page, "PushLogs", &PUSH_LOG);
        let urls: Vec<_> = rows.iter().map(|row| row["Url"].as_str().expect("a text")).collect();
        assert_eq!(urls, URLS, "{} {}", self.client, self.form);
        assert_eq!(page["TotalCount"], URLS.len());
        for row in &rows {
            assert_eq!((&row["TaskId"], &row["Area"]), (&task["TaskId"], &json!("global")));
            let status = row["Status"].as_str().expect("a text");
            assert!(["process", "done", "fail", "invalid"].contains(&status), "{row}");
        }
    }

    async fn quotas(&mut self) {
        let fields: [Field; 2] = [("UrlPurge", Value::is_array), ("PathPurge", Value::is_array)];
        let purges = self.ok(Action::DescribePurgeQuota, json!({}), &fields).await;
        let pushes = self.ok(Action::DescribePushQuota, json!({}), &[("UrlPush", Value::is_array)]).await;
        for (answer, list) in [(&purges, "UrlPurge"), (&purges, "PathPurge"), (&pushes, "UrlPush")] {
            let rows = self.rows(answer, list, &QUOTA);
            let areas: Vec<_> = rows.iter().map(|row| row["Area"].as_str().expect("a text")).collect();
            assert_eq!(areas, ["mainland", "overseas"], "{list}");
        }
    }

    /// A domain is added, stopped, started, stopped and deleted, and shown at each step.
    async fn domains(&mut self) {
        let name = format!("{}.{}.matrix.test", self.form, self.client);
        let named = json!({ "Domain": name });
        let origin = json!({
            "Origins": ["o.matrix.test:8080:70", "192.0.2.1::30"],
            "OriginType": "ip_domain",
            "ServerName": "s.matrix.test",
            "OriginPullProtocol": "follow",
        });
        let added = json!({
            "Domain": name,
            "ServiceType": "download",
            "Origin": origin,
            "ProjectId": 7,
            "Area": "global",
            // Kept by nobody, but to be understood in each form.
            "Tag": [{ "TagKey": TEXT, "TagValue": TEXT }, { "TagKey": "b", "TagValue": "c" }],
            "Quic": { "Switch": "off" },
        });
        self.ok(Action::AddCdnDomain, added, &[]).await;
        let first = self.shown(&name).await;
        assert_eq!(first["Status"], "online");
        let constant = (&first["ServiceType"], &first["ProjectId"], &first["Area"], &first["AppId"], &first["Domain"]);
        assert_eq!(constant, (&json!("download"), &json!(7), &json!("global"), &json!(1), &json!(name)));
        for (field, value) in origin.as_object().expect("it is one") {
            assert_eq!(&first["Origin"][field], value, "{field}");
        }
        for (action, status) in
            [(Action::StopCdnDomain, "offline"), (Action::StartCdnDomain, "online"), (Action::StopCdnDomain, "offline")]
        {
            self.ok(action, named.clone(), &[]).await;
            assert_eq!(self.shown(&name).await["Status"], status);
        }
        self.ok(Action::DeleteCdnDomain, named, &[]).await;
        assert!(self.found(&name).await.is_empty(), "{name} is still there");
    }

    async fn found(&mut self, name: &str) -> Vec<Value> {
        let filters = json!([
            { "Name": "domain", "Value": ["nowhere.test", name] },
            { "Name": "origin", "Value": ["matrix"], "Fuzzy": true },
        ]);
        let fields: [Field; 2] = [("Domains", Value::is_array), ("TotalNumber", Value::is_u64)];
        let params = json!({ "Offset": 0, "Limit": 10, "Filters": filters });
        let page = self.ok(Action::DescribeDomains, params, &fields).await;
        let rows = self.rows(&page, "Domains", &DOMAIN);
        assert_eq!(page["TotalNumber"], rows.len());
        rows
    }

    async fn shown(&mut self, name: &str) -> Value {
        let mut rows = self.found(name).await;
        assert_eq!(rows.len(), 1, "{name}");
        rows.remove(0)
    }

    async fn report(&mut self) {
        let params = json!({
            "ExecutionTime": "2026-01-02T03:04:05+08:00",
            "ExecutionStatus": "success",
            "Id": TEXT,
            "ExecutionStatusDesc": TEXT,
        });
        self.ok(Action::ModifyPurgeFetchTaskStatus, params, &[]).await;
    }

    async fn everything(mut self) -> Vec<Action> {
        self.purges().await;
        self.pushes().await;
        self.quotas().await;
        self.domains().await;
        self.report().await;
        self.called
    }
}

/// All cells of one client.
async fn client(name: &'static str, mut sdk: Sdk, server: &Server, forms: &[&'static str], extra: Value) {
    for form in forms {
        let cell = Cell { sdk: &mut sdk, server, client: name, form, extra: extra.clone(), called: Vec::new() };
        let called = cell.everything().await;
        let all = Action::ALL.iter().filter(|action| !NOT_HERE.contains(action));
        let missing: Vec<_> = all.filter(|action| !called.contains(action)).collect();
        assert!(missing.is_empty(), "{name} {form}: {missing:?}");
    }
}

/// Ours, which no official client has.
const NOT_HERE: [Action; 2] = [Action::DescribePurgeReceipts, Action::DescribeCacheNodes];

#[tokio::test]
async fn every_client_calls_every_action_in_every_form_and_texts_are_kept_as_they_are() {
    let server = Setup::with_limits(
        "urls_per_day = 1000000\npaths_per_day = 1000000\npushes_per_day = 1000000\nrequests_per_second = 1000\n",
    )
    .start();
    tokio::join!(
        client("python", Sdk::python(), &server, &PYTHON_FORMS, json!({})),
        client("python-async", Sdk::python(), &server, &PYTHON_FORMS, json!({ "async": true })),
        client("node", Sdk::node(), &server, &NODE_FORMS, json!({})),
        client("tccli", Sdk::tccli(), &server, &TCCLI_FORMS, json!({})),
    );
}
