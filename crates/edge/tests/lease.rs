//! An edge that needs a lease, with one, without one and with one again.
#![cfg(feature = "proxy")]

#[expect(dead_code, unreachable_pub, reason = "shared with the tests of the whole edge, which use all of it")]
mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use catharsis_edge::config::{HostPattern, Lease, Route, Upstream};
use catharsis_edge::{Edge, EdgeConfig, RunningEdge};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use support::{Answer, Door, Gate, Origin, Page, in_time};

struct Stage {
    origin: Origin,
    door: Door,
    edge: RunningEdge,
}

fn edge(upstream: SocketAddr, lease: Lease) -> (RunningEdge, Door) {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let route = Route { hosts: HostPattern::Any, upstream: Upstream::Address(upstream) };
    let mut config = EdgeConfig::new("test", free, free, vec![route]);
    config.lease = lease;
    let edge = Edge::start(&config).expect("it starts");
    let door = Door { traffic: edge.traffic_addr(), control: edge.control_addr() };
    (edge, door)
}

async fn stage() -> Stage {
    let origin = Origin::start().await;
    let (edge, door) = edge(origin.addr, Lease::Required);
    Stage { origin, door, edge }
}

impl Stage {
    async fn call(&self, body: Value) -> Value {
        let answer = self.door.tell("POST", "/v1/lease", &body.to_string(), None).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    /// Grants a lease of so many milliseconds.
    async fn grant(&self, millis: u64) {
        let named = self.call(json!({ "log": "log" })).await;
        let until = named["clock"].as_u64().expect("a clock") + millis;
        let held = self.call(json!({ "log": "log", "grant": { "run": named["run"], "until": until } })).await;
        assert_eq!((&held["until"], &held["run"], &held["trusts"]), (&json!(until), &named["run"], &json!("leased")));
    }

    /// What a relay of another log does by asking.
    async fn end_lease(&self) {
        assert_eq!(self.call(json!({ "log": "another" })).await["until"], Value::Null);
    }
}

fn says_no_lease(answer: &Answer) -> bool {
    answer.header("cache-status").ends_with("; detail=no-lease")
}

fn dated(body: &str, day: u8) -> Page {
    Page::fresh(body).header("last-modified", &format!("Mon, 0{day} Jan 2024 00:00:00 GMT"))
}

#[tokio::test]
async fn who_waits_until_an_edge_trusts_its_copies_waits_for_its_lease() {
    let stage = stage().await;
    let mut trusts = std::pin::pin!(stage.edge.trusts());
    tokio::select! {
        biased;
        () = &mut trusts => panic!("it holds none"),
        () = stage.grant(60_000) => {}
    }
    in_time("the edge trusts its copies", trusts).await;
}

#[tokio::test]
async fn edge_without_a_lease_has_each_copy_confirmed_and_says_so() {
    let stage = stage().await;
    let Stage { origin, door, .. } = &stage;
    origin.put("/p", dated("v1", 1));
    let first = door.get("/p").await;
    assert_eq!(first.header("cache-status"), "catharsis-edge; fwd=miss; stored; detail=no-lease");
    let confirmed = door.get("/p").await;
    assert_eq!(
        confirmed.header("cache-status"),
        "catharsis-edge; fwd=stale; fwd-status=304; stored; detail=no-lease",
        "never granted"
    );
    assert_eq!(confirmed.seen(), ("MISS", "v1"));

    stage.grant(60_000).await;
    assert_eq!(door.get("/p").await.seen(), ("HIT", "v1"), "what was confirmed is kept and used");
    assert_eq!(origin.asked("/p").len(), 2);

    stage.end_lease().await;
    origin.put("/p", dated("v2", 2));
    let changed = door.get("/p").await;
    assert_eq!(changed.header("cache-status"), "catharsis-edge; fwd=stale; stored; detail=no-lease");
    assert_eq!(changed.text(), "v2", "a change is seen at once, though no purge came");
    assert_eq!(origin.asked("/p")[2].headers["if-modified-since"], "Mon, 01 Jan 2024 00:00:00 GMT");
}

#[tokio::test]
async fn lease_ends_by_itself_when_nobody_renews_it() {
    let stage = stage().await;
    let Stage { origin, door, .. } = &stage;
    origin.put("/p", Page::fresh("v1"));
    door.get("/p").await;
    let granted = Instant::now();
    stage.grant(500).await;
    assert_eq!(door.get("/p").await.seen(), ("HIT", "v1"));
    origin.put("/p", Page::fresh("v2"));
    let ended = async {
        loop {
            let answer = door.get("/p").await;
            if says_no_lease(&answer) {
                return answer;
            }
            assert_eq!(answer.seen(), ("HIT", "v1"));
        }
    };
    assert_eq!(in_time("the end of the lease", ended).await.text(), "v2");
    assert!(granted.elapsed() >= Duration::from_millis(500), "not before its time");
}

/// Answers one request and is gone.
async fn origin_of_one_answer(listener: TcpListener) {
    let (mut stream, _) = listener.accept().await.expect("a connection");
    drop(listener);
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut seen).await.expect("a request"), 0, "it is whole");
    }
    let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\
                  cache-control: max-age=600, stale-if-error=600, stale-while-revalidate=600\r\n\r\nv1";
    stream.write_all(answer.as_bytes()).await.expect("an answer");
}

#[tokio::test]
async fn edge_without_a_lease_serves_nothing_old_when_its_origin_is_gone() {
    for lease in [Lease::None, Lease::Required] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let (_edge, door) = edge(listener.local_addr().expect("bound"), lease);
        let answering = tokio::spawn(origin_of_one_answer(listener));
        assert_eq!(door.get("/p").await.text(), "v1");
        in_time("the end of the origin", answering).await.expect("it answered");
        let again = door.get("/p").await;
        match lease {
            Lease::None => assert_eq!(again.seen(), ("HIT", "v1"), "so the copy could have been used"),
            Lease::Required => assert_eq!((again.status.as_u16(), again.text()), (502, "")),
        }
    }
}

#[tokio::test]
async fn request_without_a_lease_neither_joins_nor_awaits_a_fetch_under_way() {
    let stage = stage().await;
    let Stage { origin, door, .. } = &stage;
    stage.grant(60_000).await;
    let (before, between) = (Gate::closed(), Gate::closed());
    origin.put("/waits", Page::fresh("v1").held(&before));
    origin.put("/joins", Page::fresh("v1-").piece("end").held_after_first_piece(&between));
    let (waits, joins) = (door.getting("/waits"), door.getting("/joins"));
    before.reached(1).await;
    between.reached(1).await;

    // Purged meanwhile, of which this edge, cut off, does not hear.
    stage.end_lease().await;
    for path in ["/waits", "/joins"] {
        origin.put(path, Page::fresh("v2"));
        let answer = door.get(path).await;
        assert_eq!((answer.text(), says_no_lease(&answer)), ("v2", true), "{path}");
    }
    before.open();
    between.open();
    assert_eq!(waits.await.expect("no panic").text(), "v1");
    assert_eq!(joins.await.expect("no panic").text(), "v1-end");
    for path in ["/waits", "/joins"] {
        assert_eq!(door.get(path).await.text(), "v2", "{path}, whatever the old fetch has left");
    }
    // Told at last, and only then trusted again.
    assert_eq!(door.purge(1, "delete", "/waits").await, "applied");
    assert_eq!(door.purge(2, "delete", "/joins").await, "applied");
    stage.grant(60_000).await;
    for path in ["/waits", "/joins"] {
        assert_eq!(door.get(path).await.seen(), ("MISS", "v2"), "{path}");
        assert_eq!(door.get(path).await.seen(), ("HIT", "v2"), "{path}");
    }
}

#[tokio::test]
async fn copy_confirmed_without_a_lease_is_refused_by_a_purge_that_comes_later() {
    let stage = stage().await;
    let Stage { origin, door, .. } = &stage;
    origin.put("/p", dated("v1", 1));
    door.get("/p").await;
    assert_eq!(door.get("/p").await.header("x-cache"), "MISS", "confirmed");
    origin.put("/p", dated("v2", 2));
    assert_eq!(door.purge(1, "delete", "/p").await, "applied");
    stage.grant(60_000).await;
    assert_eq!(door.get("/p").await.seen(), ("MISS", "v2"));
    assert_eq!(door.get("/p").await.seen(), ("HIT", "v2"));
}

#[tokio::test]
async fn edge_that_needs_no_lease_says_so() {
    let origin = Origin::start().await;
    let (_edge, door) = edge(origin.addr, Lease::None);
    let answer = door.tell("POST", "/v1/lease", r#"{"log":"log"}"#, None).await;
    let answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(answer["trusts"], "always");
    origin.put("/p", Page::fresh("v1"));
    door.get("/p").await;
    assert_eq!(door.get("/p").await.seen(), ("HIT", "v1"));
}
