//! Domain actions take effect on the running system, called with the official SDK for Python.
//!
//! A server, two built-in edges in processes of their own, one in each area, without a route in their files, and a real origin. What a
//! test asks an edge for comes from that origin, or from nowhere.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use catharsis_testkit::client::{Fetched, Source, get};
use catharsis_testkit::origin::Origin;
use serde_json::{Value, json};

use crate::clients::{Sdk, assert_refused, call, with};
use crate::support::{PATIENCE, Server, Setup};

const PARAM_ERROR: &str = "InvalidParameter.CdnParamError";
const NO_HOST: &str = "ResourceNotFound.CdnHostNotExists";
const WRONG_STATE: &str = "InvalidParameter.CDNStatusInvalidDomain";

/// The server, and the client that calls it.
struct Api {
    server: Server,
    python: Sdk,
}

impl Api {
    fn start(setup: &Setup) -> Self {
        Self { server: setup.start(), python: Sdk::python() }
    }

    /// A server without a cache, that takes any origin.
    fn alone() -> Self {
        Self::start(&Setup::new().api_line("local_origins = \"allow\""))
    }

    async fn call(&mut self, action: &str, params: Value) -> Value {
        let call = call(&self.server, "tc3-post", action, params);
        self.python.call(&call).await
    }

    /// With what the SDK's own request cannot hold.
    async fn untyped(&mut self, action: &str, params: Value) -> Value {
        let call = call(&self.server, "tc3-post", action, params);
        self.python.call(&with(call, &json!({ "untyped": true }))).await
    }

    async fn ok(&mut self, action: &str, params: Value) -> Value {
        let what = format!("{action} {params}");
        let answer = self.call(action, params).await;
        assert!(answer["ok"]["RequestId"].is_string(), "{what}: {answer}");
        answer["ok"].clone()
    }

    async fn refused(&mut self, action: &str, params: Value, code: &str) -> String {
        let what = format!("{action} {params}");
        let answer = self.call(action, params).await;
        assert_refused(&answer, code, &what);
        answer["error"]["message"].as_str().expect("a text").to_owned()
    }

    async fn purge_is_refused(&mut self, url: &str, code: &str) {
        self.refused("PurgeUrlsCache", json!({ "Urls": [url] }), code).await;
    }

    async fn describe(&mut self, params: Value) -> Value {
        self.ok("DescribeDomains", params).await
    }

    /// The names of all domains that a filter keeps.
    async fn names(&mut self, filters: Value) -> Vec<String> {
        let page = self.describe(json!({ "Filters": filters })).await;
        let names = domain_names(&page);
        assert_eq!(page["TotalNumber"], names.len());
        names
    }

    async fn shown(&mut self, name: &str) -> Value {
        let page = self.describe(json!({ "Filters": [{ "Name": "domain", "Value": [name] }] })).await;
        assert_eq!(page["TotalNumber"], 1, "{name}: {page}");
        page["Domains"][0].clone()
    }

    /// Waits until a domain is shown with a status.
    async fn settled(&mut self, name: &str, status: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.shown(name).await;
            if shown["Status"] == status {
                return shown;
            }
            assert_eq!(shown["Status"], "processing", "{name} on its way to {status}");
            assert!(Instant::now() < deadline, "{name} does not become {status}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Purges directories and waits until that is done.
    async fn purge_paths(&mut self, paths: &[&str], flush: &str) {
        let task = self.ok("PurgePathCache", json!({ "Paths": paths, "FlushType": flush })).await;
        let done = json!({ "TaskId": task["TaskId"], "Status": "done" });
        let deadline = Instant::now() + PATIENCE;
        while self.ok("DescribePurgeTasks", done.clone()).await["TotalCount"] != paths.len() {
            assert!(Instant::now() < deadline, "{paths:?} are never done");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn domain_names(page: &Value) -> Vec<String> {
    let rows = page["Domains"].as_array().expect("a list");
    rows.iter().map(|row| row["Domain"].as_str().expect("a text").to_owned()).collect()
}

/// An edge in a process of its own.
struct EdgeProcess(Server);

impl EdgeProcess {
    fn start() -> Self {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        Self(Setup::edge_for_domains(free, free).start())
    }

    /// Kills it, and starts another in its place.
    fn replace(&mut self) {
        let (traffic, control) = self.0.edge;
        self.0.kill();
        self.0 = Setup::edge_for_domains(traffic, control).start();
    }

    async fn get(&self, host: &str, path: &str) -> Fetched {
        get(self.0.edge.0, host, path, &[]).await
    }

    async fn status(&self, host: &str) -> u16 {
        self.get(host, "/").await.status.as_u16()
    }

    /// Waits until the edge answers with a status.
    async fn answers(&self, host: &str, status: u16) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self.status(host).await;
            if seen == status {
                return;
            }
            assert!(Instant::now() < deadline, "{host} is answered {seen}, never {status}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A whole installation.
struct Stage {
    api: Api,
    origin: Origin,
    mainland: EdgeProcess,
    overseas: EdgeProcess,
}

impl Stage {
    async fn start() -> Self {
        let origin = Origin::start().await;
        let (mainland, overseas) = (EdgeProcess::start(), EdgeProcess::start());
        // An edge that is stopped for a moment is not given up.
        let setup = Setup::new()
            .api_line("local_origins = \"allow\"")
            .section("[relay]\nanswer_timeout = \"60s\"\nbatch_timeout = \"60s\"")
            .node("inland", "mainland", "edge", mainland.0.edge.1, "join = \"empty\"")
            .node("abroad", "overseas", "edge", overseas.0.edge.1, "join = \"empty\"");
        Self { api: Api::start(&setup), origin, mainland, overseas }
    }

    /// A domain of this origin, in an area.
    async fn add(&mut self, name: &str, area: &str) {
        let domain = new_domain(name, area, self.origin.address());
        self.api.ok("AddCdnDomain", domain).await;
    }

    async fn online(&mut self, name: &str, area: &str) {
        self.add(name, area).await;
        self.api.settled(name, "online").await;
    }
}

fn new_domain(name: &str, area: &str, origin: SocketAddr) -> Value {
    let origin = json!({ "Origins": [origin.to_string()], "OriginType": "ip" });
    json!({ "Domain": name, "ServiceType": "web", "Area": area, "Origin": origin })
}

fn named(name: &str) -> Value {
    json!({ "Domain": name })
}

fn seen(answer: &Fetched) -> (u16, Source, &str) {
    (answer.status.as_u16(), answer.source(), &answer.body)
}

#[tokio::test]
async fn added_domain_is_processing_until_the_edges_of_its_area_serve_it_and_no_other_edge_does() {
    let mut stage = Stage::start().await;
    let host = "new.shop.test";
    assert_eq!((stage.mainland.status(host).await, stage.overseas.status(host).await), (421, 421));
    stage.mainland.0.signal("STOP");
    stage.add(host, "mainland").await;
    let held = stage.api.shown(host).await;
    stage.api.refused("StopCdnDomain", named(host), "ResourceInUse.CdnOpInProgress").await;
    stage.mainland.0.signal("CONT");
    let shown = stage.api.settled(host, "online").await;
    let mut expected = shown.clone();
    expected["Status"] = json!("processing");
    assert_eq!(held, expected);

    assert_eq!(seen(&stage.mainland.get(host, "/a").await), (200, Source::Miss, "v1"));
    assert_eq!(seen(&stage.mainland.get(host, "/a").await), (200, Source::Hit, "v1"));
    assert_eq!(stage.overseas.status(host).await, 421);
    let texts = [
        ("Domain", host),
        ("Cname", ""),
        ("ServiceType", "web"),
        ("Disable", "normal"),
        ("Area", "mainland"),
        ("Readonly", "normal"),
        ("Product", "cdn"),
        ("ParentHost", ""),
    ];
    for (field, text) in texts {
        assert_eq!(shown[field], text, "{field}");
    }
    assert_eq!((&shown["AppId"], &shown["ProjectId"]), (&json!(1), &json!(0)));
    assert!(shown["ResourceId"].as_str().is_some_and(|id| id.starts_with("cdn-")), "{shown}");
    assert_eq!((shown["CreateTime"].as_str().map(str::len), &shown["CreateTime"]), (Some(19), &shown["UpdateTime"]));
    let origin = &shown["Origin"];
    let address = stage.origin.address().to_string();
    assert_eq!((&origin["Origins"], &origin["OriginType"]), (&json!([address]), &json!("ip")));
    assert_eq!((&origin["ServerName"], &origin["OriginPullProtocol"]), (&Value::Null, &json!("http")));
}

#[tokio::test]
async fn stopped_domain_is_not_found_at_its_edges_and_cannot_be_purged_until_it_is_started() {
    let mut stage = Stage::start().await;
    let host = "stop.shop.test";
    stage.online(host, "global").await;
    for edge in [&stage.mainland, &stage.overseas] {
        assert_eq!(edge.status(host).await, 200);
    }
    stage.api.refused("StartCdnDomain", named(host), WRONG_STATE).await;

    stage.api.ok("StopCdnDomain", named(host)).await;
    stage.api.settled(host, "offline").await;
    for edge in [&stage.mainland, &stage.overseas] {
        assert_eq!(edge.status(host).await, 404);
    }
    let url = format!("http://{host}/");
    stage.api.purge_is_refused(&url, "ResourceUnavailable.CdnHostIsNotOnline").await;
    let path = json!({ "Paths": [url], "FlushType": "flush" });
    stage.api.refused("PurgePathCache", path, "InvalidParameter.CdnHostInvalidStatus").await;
    stage.api.refused("StopCdnDomain", named(host), WRONG_STATE).await;

    stage.api.ok("StartCdnDomain", named(host)).await;
    stage.api.settled(host, "online").await;
    for edge in [&stage.mainland, &stage.overseas] {
        assert_eq!(edge.status(host).await, 200);
    }
    stage.api.ok("PurgeUrlsCache", json!({ "Urls": [url] })).await;
}

#[tokio::test]
async fn domain_is_deleted_when_it_is_offline_only_and_is_then_unknown_everywhere() {
    let mut stage = Stage::start().await;
    let host = "gone.shop.test";
    stage.online(host, "global").await;
    let before = stage.api.shown(host).await;
    stage.api.refused("DeleteCdnDomain", named(host), "ResourceUnavailable.CdnHostIsNotOffline").await;
    assert_eq!(stage.mainland.status(host).await, 200);

    stage.api.ok("StopCdnDomain", named(host)).await;
    stage.api.settled(host, "offline").await;
    stage.api.ok("DeleteCdnDomain", named(host)).await;
    stage.mainland.answers(host, 421).await;
    stage.overseas.answers(host, 421).await;
    assert!(stage.api.names(json!([{ "Name": "domain", "Value": [host] }])).await.is_empty());
    stage.api.purge_is_refused(&format!("http://{host}/"), NO_HOST).await;
    for action in ["StartCdnDomain", "StopCdnDomain", "DeleteCdnDomain"] {
        stage.api.refused(action, named(host), NO_HOST).await;
    }

    stage.online(host, "mainland").await;
    assert_ne!(stage.api.shown(host).await["ResourceId"], before["ResourceId"]);
    assert_eq!((stage.mainland.status(host).await, stage.overseas.status(host).await), (200, 421));
}

#[tokio::test]
async fn wildcard_domain_serves_what_is_below_it_and_a_domain_of_its_own_goes_before() {
    let mut stage = Stage::start().await;
    let special = Origin::start().await;
    special.set_version("/", 9);
    stage.online("*.wild.test", "mainland").await;
    // As many origins as the contract allows.
    let address = special.address().to_string();
    let mut domain = new_domain("special.wild.test", "mainland", special.address());
    domain["Origin"]["Origins"] = json!(vec![address; 64]);
    stage.api.ok("AddCdnDomain", domain).await;
    stage.api.settled("special.wild.test", "online").await;
    for (host, status, body) in [
        ("a.wild.test", 200, "v1"),
        ("b.c.wild.test", 200, "v1"),
        ("special.wild.test", 200, "v9"),
        ("wild.test", 421, ""),
        ("awild.test", 421, ""),
    ] {
        let answer = stage.mainland.get(host, "/").await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (status, body), "{host}");
    }
    stage.api.ok("PurgeUrlsCache", json!({ "Urls": ["http://a.wild.test/", "http://b.c.wild.test/"] })).await;
    stage.api.purge_is_refused("http://wild.test/", NO_HOST).await;
    stage.api.ok("StopCdnDomain", named("*.wild.test")).await;
    stage.api.settled("*.wild.test", "offline").await;
    assert_eq!(
        (stage.mainland.status("a.wild.test").await, stage.mainland.status("special.wild.test").await),
        (404, 200)
    );
}

#[tokio::test]
async fn directory_is_flushed_or_deleted_at_the_edge_and_its_siblings_stay() {
    let mut stage = Stage::start().await;
    let host = "paths.shop.test";
    stage.online(host, "mainland").await;
    let (inside, beside) = (["/img/a", "/img/sub/b?c=d"], ["/img", "/img-2/a", "/a"]);
    for path in inside.iter().chain(&beside) {
        stage.origin.set_validated(path);
        stage.mainland.get(host, path).await;
        assert_eq!(stage.mainland.get(host, path).await.source(), Source::Hit, "{path}");
    }
    let directory = format!("http://{host}/img/");
    // What the origin answered since the directory was purged: 304, and all.
    for (flush, expected) in [("flush", [1, 1]), ("delete", [0, 1])] {
        let before: Vec<_> = inside.map(|path| [stage.origin.confirmed(path), stage.origin.requests(path)]).into();
        stage.api.purge_paths(&[&directory], flush).await;
        for (path, before) in inside.into_iter().zip(before) {
            assert_eq!(seen(&stage.mainland.get(host, path).await), (200, Source::Miss, "v1"), "{flush} {path}");
            let now = [stage.origin.confirmed(path), stage.origin.requests(path)];
            assert_eq!([now[0] - before[0], now[1] - before[1]], expected, "{flush} {path}");
            assert_eq!(seen(&stage.mainland.get(host, path).await), (200, Source::Hit, "v1"), "{flush} {path}");
        }
        for path in beside {
            assert_eq!(stage.mainland.get(host, path).await.source(), Source::Hit, "{flush} {path}");
            assert_eq!(stage.origin.requests(path), 1, "{flush} {path}");
        }
    }
    stage.origin.set_version(inside[0], 2);
    stage.api.purge_paths(&[&directory], "flush").await;
    assert_eq!(seen(&stage.mainland.get(host, inside[0]).await), (200, Source::Miss, "v2"), "it has changed");
}

#[tokio::test]
async fn edge_that_was_killed_gets_its_domains_again() {
    let mut stage = Stage::start().await;
    stage.online("on.shop.test", "mainland").await;
    stage.online("off.shop.test", "mainland").await;
    stage.api.ok("StopCdnDomain", named("off.shop.test")).await;
    stage.api.settled("off.shop.test", "offline").await;
    stage.mainland.replace();
    stage.mainland.answers("on.shop.test", 200).await;
    assert_eq!(stage.mainland.status("off.shop.test").await, 404);
    // And it is told of what comes after.
    stage.online("late.shop.test", "mainland").await;
    assert_eq!(stage.mainland.status("late.shop.test").await, 200);
}

#[tokio::test]
async fn domains_of_other_accounts_are_out_of_reach_and_not_shown() {
    let others = "[[account]]\nuin = 3\n[[account.domain]]\nname = \"*.third.test\"\n";
    let setup = Setup::new().api_line("local_origins = \"allow\"").section(others);
    let mut api = Api::start(&setup);
    let origin = SocketAddr::from(([192, 0, 2, 1], 80));
    for (name, code) in [
        ("www.a.test", "ResourceInUse.CdnHostExists"),
        ("other.test", "UnauthorizedOperation.CdnHostIsUsedByOther"),
        ("x.third.test", "ResourceInUse.CdnConflictHostExists"),
        ("*.test", "ResourceInUse.CdnConflictHostExists"),
    ] {
        api.refused("AddCdnDomain", new_domain(name, "global", origin), code).await;
    }
    for action in ["StartCdnDomain", "StopCdnDomain", "DeleteCdnDomain"] {
        // The same as for one that nobody has.
        let foreign = api.refused(action, named("other.test"), NO_HOST).await;
        let unknown = api.refused(action, named("nobody.test"), NO_HOST).await;
        assert_eq!(foreign.replace("other", "nobody"), unknown);
    }
    let own = ["abroad.a.test", "inland.a.test", "off.a.test", "www.a.test"];
    assert_eq!(api.names(json!([])).await, own);
}

#[tokio::test]
async fn domains_are_filtered_by_each_name_and_paged() {
    let mut api = Api::alone();
    for (name, service, project, protocol, origins) in [
        ("one.f.test", "download", 5, "https", json!(["192.0.2.1:8080:3", "o1.origin.test"])),
        ("two.f.test", "media", 6, "follow", json!(["[2001:db8::7]:81", "o2.origin.test::9"])),
    ] {
        let origin_type = if name == "one.f.test" { "ip_domain" } else { "ipv6_domain" };
        let origin = json!({ "Origins": origins, "OriginType": origin_type, "OriginPullProtocol": protocol });
        let domain = json!({ "Domain": name, "ServiceType": service, "ProjectId": project, "Origin": origin });
        api.ok("AddCdnDomain", domain).await;
    }
    let (one, two) = ("one.f.test", "two.f.test");
    let all = vec!["abroad.a.test", "inland.a.test", "off.a.test", one, two, "www.a.test"];
    let seeded: Vec<_> = all.iter().copied().filter(|name| name.ends_with(".a.test")).collect();
    let id = api.shown(one).await["ResourceId"].clone();
    let exact = |name: &str, value: &str| json!([{ "Name": name, "Value": [value] }]);
    let fuzzy = |name: &str, value: &str| json!([{ "Name": name, "Value": [value], "Fuzzy": true }]);
    for (filters, expected) in [
        (json!([]), all.clone()),
        (exact("domain", one), vec![one]),
        (exact("domain", "f.test"), vec![]),
        (fuzzy("domain", "f.test"), vec![one, two]),
        (json!([{ "Name": "domain", "Value": [two, one, "nowhere.test"] }]), vec![one, two]),
        (exact("origin", "192.0.2.1"), vec![one]),
        (exact("origin", "192.0.2.1:8080:3"), vec![one]),
        (exact("origin", "2001:db8::7"), vec![two]),
        (exact("origin", "o2.origin.test"), vec![two]),
        (exact("origin", "192.0.2"), vec![]),
        (fuzzy("origin", "origin.te"), vec![one, two]),
        (json!([{ "Name": "resourceId", "Value": [id] }]), vec![one]),
        (exact("status", "offline"), vec!["off.a.test"]),
        (json!([{ "Name": "status", "Value": ["online", "offline"] }]), all.clone()),
        (exact("status", "deleted"), vec![]),
        (exact("serviceType", "media"), vec![two]),
        (exact("projectId", "5"), vec![one]),
        (exact("domainType", "cname"), all.clone()),
        (exact("domainType", "cos"), vec![]),
        (exact("fullUrlCache", "on"), all.clone()),
        (exact("https", "on"), vec![]),
        (exact("originPullProtocol", "follow"), vec![two]),
        (exact("originPullProtocol", "http"), seeded),
        (exact("tagKey", "k"), vec![]),
        (
            json!([{ "Name": "projectId", "Value": ["5", "6"] }, { "Name": "serviceType", "Value": ["media"] }]),
            vec![two],
        ),
    ] {
        let what = filters.to_string();
        assert_eq!(api.names(filters).await, expected, "{what}");
    }
    for (offset, limit, expected) in [(0, 2, &all[..2]), (2, 3, &all[2..5]), (5, 100, &all[5..]), (6, 1, &[])] {
        let page = api.describe(json!({ "Offset": offset, "Limit": limit })).await;
        assert_eq!(
            (domain_names(&page), &page["TotalNumber"]),
            (expected.iter().map(|it| (*it).to_owned()).collect(), &json!(6))
        );
    }
}

#[tokio::test]
async fn dry_run_of_each_domain_action_tells_what_would_come_and_changes_nothing() {
    let mut stage = Stage::start().await;
    stage.online("dry.shop.test", "global").await;
    stage.online("still.shop.test", "mainland").await;
    stage.api.ok("StopCdnDomain", named("still.shop.test")).await;
    stage.api.settled("still.shop.test", "offline").await;
    let before = stage.api.describe(json!({})).await["Domains"].clone();
    let new = new_domain("new.shop.test", "global", stage.origin.address());
    for (action, params, code, told) in [
        ("AddCdnDomain", new.clone(), "DryRunOperation", "2 nodes"),
        (
            "AddCdnDomain",
            new_domain("other.test", "global", stage.origin.address()),
            "UnauthorizedOperation.CdnHostIsUsedByOther",
            "other.test",
        ),
        ("StopCdnDomain", named("dry.shop.test"), "DryRunOperation", "2 nodes"),
        ("StartCdnDomain", named("dry.shop.test"), WRONG_STATE, "not offline"),
        ("DeleteCdnDomain", named("dry.shop.test"), "ResourceUnavailable.CdnHostIsNotOffline", "not offline"),
        ("StartCdnDomain", named("still.shop.test"), "DryRunOperation", "1 nodes"),
        ("DeleteCdnDomain", named("still.shop.test"), "DryRunOperation", "1 nodes"),
        ("StopCdnDomain", named("nowhere.test"), NO_HOST, "nowhere.test"),
    ] {
        let answer = stage.api.untyped(action, with(params, &json!({ "DryRun": true }))).await;
        assert_refused(&answer, code, action);
        assert!(answer["error"]["message"].as_str().is_some_and(|text| text.contains(told)), "{told}: {answer}");
        assert_eq!(stage.api.describe(json!({})).await["Domains"], before, "{action}");
    }
    assert_eq!(
        (stage.mainland.status("dry.shop.test").await, stage.mainland.status("new.shop.test").await),
        (200, 421)
    );
}

#[tokio::test]
async fn parameter_that_is_not_acted_on_is_accepted_when_harmless_and_else_refused_by_name() {
    let mut api = Api::alone();
    let rules = json!({ "RuleCache": [{ "RulePaths": ["*"], "RuleType": "all" }] });
    let mut added = 0;
    // One or two of each treatment, with the value that is taken and the one that is not.
    for (name, taken, refused) in [
        ("Area", json!("overseas"), json!("moon")),
        ("ServiceType", json!("hybrid"), json!("page")),
        ("ProjectId", json!(3), json!(-1)),
        ("Origin.OriginPullProtocol", json!("follow"), json!("ftp")),
        ("Origin.ServerName", json!("s.test"), json!("a b")),
        ("Origin.BackupOrigins", json!([]), json!(["192.0.2.2"])),
        ("Tag", json!([{ "TagKey": "k", "TagValue": "v" }]), Value::Null),
        ("Https", json!({ "Switch": "off" }), json!({ "Switch": "on" })),
        ("IpFilter", json!({ "Switch": "off" }), json!({ "Switch": "on" })),
        ("ResponseHeaderCache", json!({ "Switch": "on" }), json!({ "Switch": "off" })),
        ("CacheKey", json!({ "FullUrlCache": "off", "IgnoreCase": "on" }), json!({ "IgnoreCase": "perhaps" })),
        ("Origin.BasePath", json!("/"), json!("/b")),
        ("Cache", json!({}), rules),
    ] {
        let request = |value: &Value, host: &str| {
            let mut domain = new_domain(host, "mainland", "192.0.2.1:80".parse().expect("an address"));
            match name.split_once('.') {
                Some((object, member)) => domain[object][member] = value.clone(),
                None => domain[name] = value.clone(),
            }
            domain
        };
        if !refused.is_null() {
            let message = api.refused("AddCdnDomain", request(&refused, "refused.p.test"), PARAM_ERROR).await;
            assert!(message.contains(name), "{name}: {message}");
        }
        added += 1;
        api.ok("AddCdnDomain", request(&taken, &format!("{added}.p.test"))).await;
    }
    let names = api.names(json!([{ "Name": "domain", "Value": ["p.test"], "Fuzzy": true }])).await;
    assert!(names.len() == added && !names.contains(&"refused.p.test".to_owned()), "{names:?}");
}

#[tokio::test]
async fn origin_that_every_edge_would_look_for_on_its_own_machine_is_refused_by_name_unless_allowed() {
    let mut api = Api::start(&Setup::new());
    let domain = |origins: &[&str], of: &str| {
        let origin = json!({ "Origins": origins, "OriginType": of });
        json!({ "Domain": "local.test", "ServiceType": "web", "Origin": origin })
    };
    let rows = [
        ("127.0.0.1:80", "ip", "loopback"),
        ("169.254.169.254", "ip", "link-local"),
        ("0.0.0.0", "ip", "unspecified"),
        ("224.0.0.1", "ip", "multicast"),
        ("::1", "ipv6", "loopback"),
        ("[fe80::1]:80", "ipv6", "link-local"),
        ("::", "ipv6", "unspecified"),
        ("ff02::1", "ipv6", "multicast"),
        ("::ffff:127.0.0.1", "ipv6", "loopback"),
        ("localhost", "domain", "loopback"),
    ];
    for (address, of, why) in rows {
        let (fine, of) = match of {
            "domain" => ("o.test", "domain"),
            "ip" => ("10.0.0.1", "ip"),
            _ => ("fd00::1", "ipv6"),
        };
        let message = api.refused("AddCdnDomain", domain(&[fine, address], of), PARAM_ERROR).await;
        for told in ["`Origin.Origins.1`", address, why] {
            assert!(message.contains(told), "{told}: {message}");
        }
    }
    assert_eq!(api.names(json!([{ "Name": "domain", "Value": ["local.test"] }])).await, [""; 0]);
    api.ok("AddCdnDomain", domain(&["10.0.0.1", "192.168.0.1:8080"], "ip")).await;

    let mut allowed = Api::alone();
    for (n, (address, of, _)) in rows.into_iter().enumerate() {
        allowed.ok("AddCdnDomain", with(domain(&[address], of), &named(&format!("{n}.local.test")))).await;
    }
}
