//! Domains that come over the control listener, on a whole edge before real origins.
#![cfg(feature = "proxy")]

#[expect(dead_code, unreachable_pub, reason = "shared with the other tests of the whole edge")]
mod support;

use std::net::SocketAddr;

use catharsis_edge::config::Secret;
use catharsis_edge::protocol::LocalOrigins;
use catharsis_edge::{Edge, EdgeConfig, RunningEdge};
use support::{Answer, Door, Gate, Origin, Page};

/// An edge without a fixed route.
fn edge_with(change: impl FnOnce(&mut EdgeConfig)) -> (RunningEdge, Door) {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut config = EdgeConfig::new("test", free, free, Vec::new());
    config.local_origins = LocalOrigins::Allow;
    change(&mut config);
    let edge = Edge::start(&config).expect("it starts");
    let door = Door { traffic: edge.traffic_addr(), control: edge.control_addr() };
    (edge, door)
}

fn edge() -> (RunningEdge, Door) {
    edge_with(|_| {})
}

fn at(addr: SocketAddr, weight: u8) -> String {
    format!(r#"{{"address":"{}","port":{},"weight":{weight}}}"#, addr.ip(), addr.port())
}

fn domain(name: &str, state: &str, origins: &[String]) -> String {
    let origins = origins.join(",");
    format!(r#"{{"name":"{name}","state":"{state}","origins":[{origins}],"host_header":null,"scheme":"follow"}}"#)
}

/// Has the edge serve these domains.
async fn serve(door: Door, log: &str, generation: u64, domains: &[String]) -> Answer {
    let domains = domains.join(",");
    let body = format!(r#"{{"log":"{log}","generation":{generation},"domains":[{domains}]}}"#);
    door.tell("PUT", "/v1/domains", &body, None).await
}

/// A port that nobody listens on.
async fn nobody() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("bound")
}

#[tokio::test]
async fn domain_is_served_once_added_and_misdirected_once_deleted() {
    let (_edge, door) = edge();
    let origin = Origin::start().await;
    origin.put("/x", Page::fresh("v1"));
    assert_eq!(door.status().await["domains"], serde_json::Value::Null);
    assert_eq!(door.get("/x").await.status, 421);
    let added = serve(door, "l", 1, &[domain("A.test", "online", &[at(origin.addr, 1)])]).await;
    assert_eq!((added.status.as_u16(), added.text()), (200, r#"{"generation":1}"#));
    assert_eq!(door.status().await["domains"], 1);
    assert_eq!(door.get("/x").await.seen(), ("MISS", "v1"));
    assert_eq!(door.get("/x").await.seen(), ("HIT", "v1"));
    assert_eq!(origin.asked("/x")[0].headers["host"], "a.test");
    assert_eq!(door.request("GET", "/x", &[("host", "www.a.test")]).await.status, 421);
    serve(door, "l", 2, &[]).await;
    assert_eq!(door.get("/x").await.status, 421);
    assert_eq!(origin.asked("/x").len(), 1);
}

#[tokio::test]
async fn stopped_domain_is_not_found_and_its_copies_stay_purgeable() {
    let (_edge, door) = edge();
    let origin = Origin::start().await;
    let state = |state: &str| [domain("a.test", state, &[at(origin.addr, 1)])];
    for path in ["/kept", "/purged"] {
        origin.put(path, Page::fresh("v1"));
    }
    serve(door, "l", 1, &state("online")).await;
    for path in ["/kept", "/purged"] {
        door.get(path).await;
    }
    serve(door, "l", 2, &state("offline")).await;
    let stopped = door.get("/kept").await;
    assert_eq!((stopped.status.as_u16(), stopped.text()), (404, "this domain is not served at present\n"));
    assert_eq!((stopped.header("cache-control"), stopped.header("x-cache")), ("no-store", ""));
    let head = door.request("HEAD", "/kept", &[]).await;
    assert_eq!((head.status.as_u16(), head.text()), (404, ""));
    door.purge(1, "delete", "/purged").await;
    origin.put("/purged", Page::fresh("v2"));
    serve(door, "l", 3, &state("online")).await;
    assert_eq!(door.get("/kept").await.seen(), ("HIT", "v1"));
    assert_eq!(door.get("/purged").await.seen(), ("MISS", "v2"));
}

#[tokio::test]
async fn late_table_is_refused_and_a_new_servers_taken() {
    let (_edge, door) = edge();
    let origin = Origin::start().await;
    origin.put("/x", Page::fresh("x"));
    let online = [domain("a.test", "online", &[at(origin.addr, 1)])];
    assert_eq!(serve(door, "l", 8, &online).await.status, 200);
    let late = serve(door, "l", 7, &[]).await;
    assert_eq!((late.status.as_u16(), late.text()), (409, r#"{"error":"generation 8 is in use already"}"#));
    assert_eq!(door.get("/x").await.status, 200);
    assert_eq!(serve(door, "another", 1, &[]).await.status, 200);
    assert_eq!(door.get("/x").await.status, 421);
    assert_eq!(door.status().await["domains"], 1);
}

#[tokio::test]
async fn request_under_way_ends_by_the_table_it_began_with() {
    let (_edge, door) = edge();
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.put("/x", Page::fresh("v1").held(&gate));
    serve(door, "l", 1, &[domain("a.test", "online", &[at(origin.addr, 1)])]).await;
    let under_way = door.getting("/x");
    gate.reached(1).await;
    serve(door, "l", 2, &[]).await;
    gate.open();
    assert_eq!(under_way.await.expect("no panic").text(), "v1");
}

#[tokio::test]
async fn dead_origin_is_passed_over_whatever_is_sent() {
    let (_edge, door) = edge();
    let origin = Origin::start().await;
    let origins = [at(nobody().await, 100), at(nobody().await, 1), at(origin.addr, 1)];
    serve(door, "l", 1, &[domain("a.test", "online", &origins)]).await;
    origin.put("/x", Page::new("x"));
    for method in ["GET", "POST", "DELETE", "GET"] {
        assert_eq!(door.request(method, "/x", &[]).await.text(), "x", "{method}");
    }
    assert_eq!(origin.asked("/x").len(), 4);
    serve(door, "l", 2, &[domain("a.test", "online", &origins[..2])]).await;
    assert_eq!(door.get("/x").await.status, 502, "none is left");
}

#[tokio::test]
async fn origins_take_turns_by_weight() {
    let (_edge, door) = edge();
    let (one, two) = (Origin::start().await, Origin::start().await);
    let origins = [at(one.addr, 3), at(two.addr, 1)];
    serve(door, "l", 1, &[domain("*.test", "online", &origins)]).await;
    for origin in [&one, &two] {
        origin.put("/x", Page::new("x"));
    }
    for _ in 0..12 {
        door.get("/x").await;
    }
    assert_eq!((one.asked("/x").len(), two.asked("/x").len()), (9, 3));
}

#[tokio::test]
async fn origin_gets_the_host_of_the_configuration_and_copies_stay_apart() {
    let (_edge, door) = edge();
    let origin = Origin::start().await;
    let named = domain("*.a.test", "online", &[at(origin.addr, 1)]).replace("null", "\"bucket.test:8080\"");
    serve(door, "l", 1, &[named]).await;
    origin.put("/x", Page::fresh("one"));
    assert_eq!(door.request("GET", "/x", &[("host", "1.a.test")]).await.text(), "one");
    origin.put("/x", Page::fresh("two"));
    assert_eq!(door.request("GET", "/x", &[("host", "2.a.test")]).await.text(), "two");
    assert_eq!(door.request("GET", "/x", &[("host", "1.a.test")]).await.seen(), ("HIT", "one"));
    for asked in origin.asked("/x") {
        assert_eq!(asked.headers["host"], "bucket.test:8080");
        assert_eq!(asked.headers.get_all("host").iter().count(), 1);
    }
}

#[tokio::test]
async fn origin_that_speaks_no_tls_gets_nothing_over_it() {
    let (_edge, door) = edge();
    let origin = Origin::start().await;
    origin.put("/x", Page::fresh("x"));
    serve(door, "l", 1, &[domain("a.test", "online", &[at(origin.addr, 1)]).replace("follow", "https")]).await;
    assert_eq!(door.get("/x").await.status, 502);
    assert!(origin.asked("/x").is_empty());
}

#[tokio::test]
async fn table_wants_the_token_and_may_hold_ten_thousand_domains() {
    let (_edge, door) = edge_with(|it| it.control_token = Some(Secret::new("right")));
    let origin = Origin::start().await;
    origin.put("/x", Page::fresh("x"));
    let name = |at: usize| format!("{}.{at}.test", "h".repeat(60));
    let domains: Vec<_> = (0..10_000).map(|it| domain(&name(it), "online", &vec![at(origin.addr, 1); 8])).collect();
    let body = format!(r#"{{"log":"l","generation":1,"domains":[{}]}}"#, domains.join(","));
    let one = format!(r#"{{"log":"l","generation":1,"domains":[{}]}}"#, domains[0]);
    for token in [None, Some("wrong")] {
        assert_eq!(door.tell("PUT", "/v1/domains", &one, token).await.status, 401);
    }
    assert_eq!(door.tell("PUT", "/v1/domains", "{}", Some("right")).await.status, 400);
    assert_eq!(door.tell("POST", "/v1/domains", &one, Some("right")).await.status, 405);
    assert_eq!(door.request("GET", "/x", &[("host", &name(0))]).await.status, 421);
    assert_eq!(door.tell("PUT", "/v1/domains", &body, Some("right")).await.status, 200);
    assert_eq!(door.request("GET", "/x", &[("host", &name(9_999))]).await.text(), "x");
}

#[tokio::test]
async fn origin_on_the_edges_own_machine_is_not_fetched_from_unless_that_is_allowed() {
    let origin = Origin::start().await;
    origin.put("/x", Page::fresh("x"));
    let named = |name: &str| at(origin.addr, 1).replace("127.0.0.1", name);
    // An address, a name whose addresses are looked up, and an old spelling that systems read as one.
    for server in [at(origin.addr, 1), named("localhost"), named("0x7f000001")] {
        for (local, status, text) in [(LocalOrigins::Refuse, 502, ""), (LocalOrigins::Allow, 200, "x")] {
            let (_edge, door) = edge_with(|it| it.local_origins = local);
            serve(door, "l", 1, &[domain("a.test", "online", std::slice::from_ref(&server))]).await;
            let before = origin.asked("/x").len();
            let answer = door.get("/x").await;
            assert_eq!((answer.status.as_u16(), answer.text()), (status, text), "{server} {local:?}");
            assert_eq!(origin.asked("/x").len() - before, usize::from(local == LocalOrigins::Allow));
        }
    }
}

/// Has the edge serve `a.test` by these key rules.
async fn ruled(door: Door, generation: u64, origin: &Origin, rules: &str) {
    let domain = domain("a.test", "online", &[at(origin.addr, 1)]);
    let rules = format!(r#"{{"name":"a.test","rules":"{rules}"}}"#);
    let body = format!(r#"{{"log":"l","generation":{generation},"domains":[{domain}],"rules":[{rules}]}}"#);
    assert_eq!(door.tell("PUT", "/v1/domains", &body, None).await.status, 200);
}

#[tokio::test]
async fn urls_that_the_rules_call_the_same_share_a_copy_and_a_purge() {
    let (_edge, door) = edge();
    let origin = Origin::start().await;
    ruled(door, 1, &origin, "query=without:sid case=folded order=sorted").await;
    origin.put("/A?b=1&a=2&sid=9", Page::fresh("v1"));
    assert_eq!(door.get("/A?b=1&a=2&sid=9").await.seen(), ("MISS", "v1"));
    // The origin was asked for what the client wrote.
    assert_eq!(origin.asked("/A?b=1&a=2&sid=9").len(), 1);
    assert_eq!(door.get("/a?sid=3&a=2&b=1").await.seen(), ("HIT", "v1"));
    origin.put("/a?a=2&b=1", Page::fresh("v2"));
    assert_eq!(door.purge(1, "delete", "/a?a=2&b=1&sid=purge").await, "applied");
    assert_eq!(door.get("/a?a=2&b=1").await.seen(), ("MISS", "v2"));
    assert_eq!(door.get("/A?b=1&a=2&sid=9").await.seen(), ("HIT", "v2"));
    assert_eq!(door.purge_below(2, "delete", "/A").await, "applied");
    assert_eq!(door.get("/a?a=2&b=1").await.seen(), ("MISS", "v2"));
}

#[tokio::test]
async fn what_was_kept_by_other_rules_is_used_no_more_even_when_they_come_back() {
    let (_edge, door) = edge();
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.put("/x?q=1", Page::fresh("v1"));
    origin.put("/slow?q=1", Page::fresh("v1").held(&gate));
    ruled(door, 1, &origin, "query=drop").await;
    assert_eq!(door.get("/x?q=1").await.seen(), ("MISS", "v1"));
    let under_way = door.getting("/slow?q=1");
    gate.reached(1).await;
    ruled(door, 2, &origin, "default").await;
    origin.put("/x", Page::fresh("another"));
    origin.put("/slow", Page::fresh("another"));
    // By the old rules this would have been `/x?q=1`.
    assert_eq!(door.get("/x").await.seen(), ("MISS", "another"));
    gate.open();
    under_way.await.expect("answered");
    assert_eq!(door.get("/slow").await.seen(), ("MISS", "another"));
    // A purge by the rules of now does not name what the old ones kept.
    door.purge(1, "delete", "/x?q=1").await;
    origin.put("/x?q=1", Page::fresh("v2"));
    ruled(door, 3, &origin, "query=drop").await;
    assert_eq!(door.get("/x?q=1").await.seen(), ("MISS", "v2"));
}

#[tokio::test]
async fn schemes_are_kept_apart_where_the_rules_say_so() {
    let (_edge, door) = edge();
    let origin = Origin::start().await;
    ruled(door, 1, &origin, "scheme=separate").await;
    origin.put("/x", Page::fresh("v1"));
    let secure = |path: &'static str| async move {
        door.request("GET", path, &[("host", "a.test"), ("x-forwarded-proto", "https")]).await
    };
    assert_eq!(door.get("/x").await.seen(), ("MISS", "v1"));
    assert_eq!(secure("/x").await.seen(), ("MISS", "v1"));
    let named = r#"{"url":{"host":"a.test","scheme":"https","paths":["/x"]}}"#;
    door.invalidate("l", 1, "delete", named).await;
    assert_eq!(door.get("/x").await.seen(), ("HIT", "v1"));
    assert_eq!(secure("/x").await.seen(), ("MISS", "v1"));
    door.purge(2, "delete", "/x").await;
    assert_eq!(door.get("/x").await.seen(), ("MISS", "v1"));
    assert_eq!(secure("/x").await.seen(), ("MISS", "v1"));
}
