//! The whole edge between a client, a relay and an origin that can be held.
#![cfg(feature = "proxy")]

#[expect(unreachable_pub, reason = "shared with a test inside the crate")]
mod support;

use std::net::SocketAddr;
use std::time::Duration;

use catharsis_edge::config::{HostPattern, Route, Secret, Upstream};
use catharsis_edge::{Edge, EdgeConfig, EdgeError, RunningEdge};
use http_body_util::BodyExt;
use support::{Door, Gate, Origin, Overtaking, Page, content_after_a_fetch_that_a_purge_overtook, in_time};

struct Stage {
    origin: Origin,
    door: Door,
    edge: RunningEdge,
}

fn config(origin: &Origin) -> EdgeConfig {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let route = Route { hosts: HostPattern::Any, upstream: Upstream::Address(origin.addr) };
    EdgeConfig::new("test", free, free, vec![route])
}

async fn stage_with(change: impl FnOnce(&mut EdgeConfig)) -> Stage {
    let origin = Origin::start().await;
    let mut config = config(&origin);
    change(&mut config);
    let edge = Edge::start(&config).expect("it starts");
    let door = Door { traffic: edge.traffic_addr(), control: edge.control_addr() };
    Stage { origin, door, edge }
}

async fn stage() -> Stage {
    stage_with(|_| {}).await
}

#[tokio::test]
async fn purge_makes_the_next_request_fetch_the_new_content() {
    let Stage { origin, door, edge: _edge } = stage().await;
    origin.put("/a", Page::fresh("v1"));
    origin.put("/b", Page::fresh("b"));
    assert_eq!(door.get("/a").await.seen(), ("MISS", "v1"));
    let hit = door.get("/a").await;
    assert_eq!(hit.seen(), ("HIT", "v1"));
    assert!(hit.header("cache-status").starts_with("catharsis-edge; hit; ttl=5"), "{hit:?}");
    assert_eq!(hit.header("age"), "0");
    door.get("/b").await;
    origin.put("/a", Page::fresh("v2"));
    assert_eq!(door.purge(1, "delete", "/a").await, "applied");
    let miss = door.get("/a").await;
    assert_eq!(miss.seen(), ("MISS", "v2"));
    assert_eq!(miss.header("cache-status"), "catharsis-edge; fwd=miss; stored");
    assert_eq!(door.get("/a").await.seen(), ("HIT", "v2"));
    assert_eq!(door.get("/b").await.seen(), ("HIT", "b"), "another URL");
    assert_eq!(door.purge(2, "delete", "/never").await, "absent");
}

#[tokio::test]
async fn one_purge_removes_all_variants() {
    let Stage { origin, door, edge: _edge } = stage().await;
    origin.put("/v", Page::fresh("v1-").varying_by("accept-language"));
    let ask = async |language: &str| door.request("GET", "/v", &[("accept-language", language)]).await;
    for language in ["a", "b", "c"] {
        assert_eq!(ask(language).await.seen(), ("MISS", &*format!("v1-{language}")));
        assert_eq!(ask(language).await.seen(), ("HIT", &*format!("v1-{language}")));
    }
    assert_eq!(door.purge(1, "delete", "/v").await, "applied");
    assert_eq!(door.status().await["entries"], 0);
    origin.put("/v", Page::fresh("v2-").varying_by("accept-language"));
    for language in ["c", "b", "a"] {
        assert_eq!(ask(language).await.seen(), ("MISS", &*format!("v2-{language}")));
        assert_eq!(ask(language).await.seen(), ("HIT", &*format!("v2-{language}")));
    }
}

#[tokio::test]
async fn relay_that_asks_is_told_how_many_copies_there_were() {
    let Stage { origin, door, edge: _edge } = stage().await;
    origin.put("/v", Page::fresh("v-").varying_by("accept-language"));
    origin.put("/a", Page::fresh("a"));
    let keep = async || {
        for language in ["a", "b", "c"] {
            door.request("GET", "/v", &[("accept-language", language)]).await;
        }
        door.get("/a").await;
    };
    let url = r#"{"url":{"host":"a.test","paths":["/v"]}}"#;
    keep().await;
    assert_eq!(door.counted(1, "expire", url).await, r#"{"applied_to":3}"#);
    assert_eq!(door.counted(2, "delete", url).await, r#"{"applied_to":3}"#, "they were marked stale, and still there");
    assert_eq!(door.counted(3, "delete", url).await, r#""absent""#);
    keep().await;
    let below = r#"{"prefix":{"host":"a.test","paths":["/"]}}"#;
    assert_eq!(door.counted(4, "delete", below).await, r#""applied""#, "nothing is looked for");
    assert_eq!(door.counted(5, "delete", r#""everything""#).await, r#"{"applied_to":4}"#);
    // A fetch under way is no copy.
    let gate = Gate::closed();
    origin.put("/s", Page::fresh("begin.").piece("end").held_after_first_piece(&gate));
    let mut body = door.begin("GET", "/s", &[]).await;
    in_time("a piece", body.frame()).await.expect("a frame").expect("no error");
    assert_eq!(door.counted(6, "delete", r#"{"url":{"host":"a.test","paths":["/s"]}}"#).await, r#""applied""#);
    gate.open();
    in_time("the rest", body.collect()).await.expect("a whole body");
}

#[tokio::test]
async fn fetch_that_a_purge_overtook_is_not_served_afterwards() {
    for purge in [Overtaking::Url, Overtaking::Directory] {
        let Stage { origin, door, edge: _edge } = stage().await;
        assert_eq!(content_after_a_fetch_that_a_purge_overtook(door, &origin, purge).await, "v2", "{purge:?}");
    }
}

#[tokio::test]
async fn purge_of_a_directory_takes_what_lies_below_it_and_nothing_beside_it() {
    let Stage { origin, door, edge: _edge } = stage().await;
    let (below, beside) = (["/img", "/img?q", "/img/", "/img/a", "/img/a/b?c"], ["/img2/a", "/imgs", "/", "/x/img/a"]);
    for path in below.iter().chain(&beside) {
        origin.put(path, Page::fresh("v1"));
        door.get(path).await;
        origin.put(path, Page::fresh("v2"));
    }
    let other = [("host", "b.test")];
    door.request("GET", "/img/a", &other).await;
    assert_eq!(door.purge_below(1, "delete", "/img").await, "applied");
    for path in below {
        assert_eq!(door.get(path).await.seen(), ("MISS", "v2"), "{path}");
        assert_eq!(door.get(path).await.seen(), ("HIT", "v2"), "{path}");
    }
    for path in beside {
        assert_eq!(door.get(path).await.seen(), ("HIT", "v1"), "{path}");
    }
    assert_eq!(door.request("GET", "/img/a", &other).await.seen(), ("HIT", "v2"), "another host");
    assert_eq!(door.status().await["marks"], 1, "however much lies below");
}

#[tokio::test]
async fn expired_directory_is_confirmed_copy_by_copy() {
    let Stage { origin, door, edge: _edge } = stage().await;
    let page =
        |body: &str, day: u8| Page::fresh(body).header("last-modified", &format!("Mon, 0{day} Jan 2024 00:00:00 GMT"));
    for path in ["/d/same", "/d/new"] {
        origin.put(path, page("v1", 1));
        door.get(path).await;
    }
    assert_eq!(door.purge_below(1, "expire", "/d/").await, "applied");
    origin.put("/d/new", page("v2", 2));
    let confirmed = door.get("/d/same").await;
    assert_eq!(confirmed.header("cache-status"), "catharsis-edge; fwd=stale; fwd-status=304; stored");
    assert_eq!(confirmed.text(), "v1");
    assert_eq!(origin.asked("/d/same")[1].headers["if-modified-since"], "Mon, 01 Jan 2024 00:00:00 GMT");
    assert_eq!(door.get("/d/same").await.seen(), ("HIT", "v1"));
    assert_eq!(door.get("/d/new").await.seen(), ("MISS", "v2"), "it changed");
    assert_eq!(door.get("/d/new").await.seen(), ("HIT", "v2"));
}

#[tokio::test]
async fn request_after_a_purge_of_its_directory_does_not_wait_for_the_old_fetch() {
    let Stage { origin, door, edge: _edge } = stage().await;
    for (mode, path, seq) in [("delete", "/d/1", 1), ("expire", "/d/2", 2)] {
        let gate = Gate::closed();
        origin.put(path, Page::fresh("v1").held(&gate));
        let old = door.getting(path);
        gate.reached(1).await;
        door.purge_below(seq, mode, "/d").await;
        origin.put(path, Page::fresh("v2"));
        assert_eq!(door.get(path).await.seen(), ("MISS", "v2"), "{mode}, while the old fetch is held");
        gate.open();
        assert_eq!(old.await.expect("no panic").text(), "v1");
        assert_eq!(door.get(path).await.seen(), ("HIT", "v2"), "{mode}");
    }
}

/// Two fetches, one from each side of a purge, end in either order.
async fn two_fetches_around_a_purge(old_ends_first: [usize; 2]) {
    let Stage { origin, door, edge: _edge } = stage().await;
    let gates = [Gate::closed(), Gate::closed()];
    origin.put("/r", Page::fresh("v1").held(&gates[0]));
    let old = door.getting("/r");
    gates[0].reached(1).await;
    assert_eq!(door.purge(1, "delete", "/r").await, "absent");
    origin.put("/r", Page::fresh("v2").held(&gates[1]));
    let new = door.getting("/r");
    // It does not wait for the old fetch, which is still held: it has reached the origin.
    gates[1].reached(1).await;
    let mut old = Some(old);
    let mut new = Some(new);
    for which in old_ends_first {
        gates[which].open();
        let (fetch, expect) = if which == 0 { (&mut old, "v1") } else { (&mut new, "v2") };
        let answer = fetch.take().expect("once").await.expect("no panic");
        assert_eq!(answer.text(), expect);
        if which == 1 {
            assert_eq!(door.get("/r").await.seen(), ("HIT", "v2"));
        }
    }
    assert_eq!(door.get("/r").await.seen(), ("HIT", "v2"));
    assert_eq!(origin.asked("/r").len(), 2);
}

#[tokio::test]
async fn old_fetch_that_ends_first_leaves_no_old_content() {
    two_fetches_around_a_purge([0, 1]).await;
}

#[tokio::test]
async fn old_fetch_that_ends_last_leaves_no_old_content() {
    two_fetches_around_a_purge([1, 0]).await;
}

#[tokio::test]
async fn request_after_a_purge_that_arrives_while_others_wait_joins_the_new_fetch_only() {
    let Stage { origin, door, edge: _edge } = stage().await;
    let gates = [Gate::closed(), Gate::closed()];
    origin.put("/w", Page::fresh("v1").held(&gates[0]));
    let first = door.getting("/w");
    gates[0].reached(1).await;
    let waits = door.getting("/w");
    // The content changes first: the second request may arrive at any time.
    origin.put("/w", Page::fresh("v2").held(&gates[1]));
    door.purge(1, "delete", "/w").await;
    let after = [door.getting("/w"), door.getting("/w"), door.getting("/w")];
    gates[1].reached(1).await;
    gates[1].open();
    for request in after {
        assert_eq!(request.await.expect("no panic").text(), "v2");
    }
    gates[0].open();
    assert_eq!(first.await.expect("no panic").text(), "v1");
    in_time("the request that waited", waits).await.expect("no panic");
    assert_eq!(door.get("/w").await.seen(), ("HIT", "v2"));
}

#[tokio::test]
async fn body_that_streams_across_a_purge_is_whole_and_not_served_afterwards() {
    let Stage { origin, door, edge: _edge } = stage().await;
    let gate = Gate::closed();
    origin.put("/s", Page::fresh("v1-begin.").piece("v1-end").held_after_first_piece(&gate));
    let mut old = door.begin("GET", "/s", &[]).await;
    let first = in_time("a piece", old.frame()).await.expect("a frame").expect("no error");
    assert_eq!(first.into_data().expect("data"), "v1-begin.");
    gate.reached(1).await;
    // One who joins before the purge reads along.
    let mut joined = door.begin("GET", "/s", &[]).await;
    in_time("a piece", joined.frame()).await.expect("a frame").expect("no error");
    assert_eq!(door.purge(1, "delete", "/s").await, "applied");
    origin.put("/s", Page::fresh("v2"));
    assert_eq!(door.get("/s").await.seen(), ("MISS", "v2"), "while the old one still streams");
    gate.open();
    for body in [old, joined] {
        let rest = in_time("the rest", body.collect()).await.expect("a whole body");
        assert_eq!(rest.to_bytes(), "v1-end");
    }
    assert_eq!(door.get("/s").await.seen(), ("HIT", "v2"));
}

#[tokio::test]
async fn revalidation_across_a_purge_confirms_nothing() {
    let Stage { origin, door, edge: _edge } = stage().await;
    let gate = Gate::closed();
    let v1 = Page::new("v1").header("etag", "\"1\"").header("cache-control", "max-age=0");
    origin.put("/e", v1.clone());
    assert_eq!(door.get("/e").await.text(), "v1");
    origin.put("/e", v1.held(&gate));
    let revalidating = door.getting("/e");
    gate.reached(1).await;
    assert_eq!(origin.asked("/e")[1].headers["if-none-match"], "\"1\"");
    assert_eq!(door.purge(1, "delete", "/e").await, "applied");
    origin.put("/e", Page::fresh("v2").header("etag", "\"2\""));
    assert_eq!(door.get("/e").await.seen(), ("MISS", "v2"));
    gate.open();
    assert_eq!(revalidating.await.expect("no panic").text(), "v1");
    assert_eq!(door.get("/e").await.seen(), ("HIT", "v2"));
}

#[tokio::test]
async fn background_refresh_across_a_purge_brings_nothing_back() {
    let Stage { origin, door, edge: _edge } = stage().await;
    let gate = Gate::closed();
    let stale = |body: &str| Page::new(body).header("cache-control", "max-age=0, stale-while-revalidate=600");
    origin.put("/swr", stale("v1"));
    assert_eq!(door.get("/swr").await.seen(), ("MISS", "v1"));
    origin.put("/swr", stale("v1-refreshed").held(&gate));
    let served_stale = door.get("/swr").await;
    assert_eq!(served_stale.seen(), ("HIT", "v1"));
    assert!(served_stale.header("cache-status").starts_with("catharsis-edge; hit; ttl=-"));
    gate.reached(1).await;
    assert_eq!(door.purge(1, "delete", "/swr").await, "applied");
    origin.put("/swr", Page::fresh("v2"));
    assert_eq!(door.get("/swr").await.seen(), ("MISS", "v2"));
    gate.open();
    for _ in 0..50 {
        assert_eq!(door.get("/swr").await.seen(), ("HIT", "v2"));
    }
}

#[tokio::test]
async fn expired_copy_is_confirmed_before_it_is_used_again() {
    let Stage { origin, door, edge: _edge } = stage().await;
    let page = |body: &str, tag: &str| {
        Page::new(body).header("etag", tag).header("cache-control", "max-age=600, stale-while-revalidate=600")
    };
    origin.put("/x", page("v1", "\"1\""));
    door.get("/x").await;
    assert_eq!(door.purge(1, "expire", "/x").await, "applied");
    let confirmed = door.get("/x").await;
    assert_eq!(confirmed.seen(), ("MISS", "v1"));
    assert_eq!(confirmed.header("cache-status"), "catharsis-edge; fwd=stale; fwd-status=304; stored");
    assert_eq!(door.get("/x").await.seen(), ("HIT", "v1"));
    origin.put("/x", page("v2", "\"2\""));
    door.purge(2, "expire", "/x").await;
    assert_eq!(door.get("/x").await.text(), "v2", "stale-while-revalidate does not apply after a purge");
    assert_eq!(door.get("/x").await.seen(), ("HIT", "v2"));
}

#[tokio::test]
async fn replayed_invalidation_does_not_touch_newer_content() {
    let Stage { origin, door, edge: _edge } = stage().await;
    origin.put("/p", Page::fresh("v1"));
    door.get("/p").await;
    door.purge(5, "delete", "/p").await;
    door.get("/p").await;
    assert_eq!(door.purge(5, "delete", "/p").await, "absent");
    assert_eq!(door.purge(4, "delete", "/p").await, "absent");
    assert_eq!(door.get("/p").await.header("x-cache"), "HIT");
    let status = door.status().await;
    assert_eq!((&status["log"], &status["position"]), (&"log".into(), &5.into()));
}

#[tokio::test]
async fn another_log_or_everything_empties_the_edge() {
    let Stage { origin, door, edge: _edge } = stage().await;
    for path in ["/1", "/2"] {
        origin.put(path, Page::fresh("x"));
    }
    let warm = async || {
        for path in ["/1", "/2"] {
            door.get(path).await;
            assert_eq!(door.get(path).await.header("x-cache"), "HIT");
        }
    };
    warm().await;
    door.purge(900, "delete", "/other").await;
    warm().await;
    door.invalidate("another", 1, "delete", r#"{"url":{"host":"b.test","paths":["/"]}}"#).await;
    assert_eq!(door.status().await["entries"], 0);
    assert_eq!(door.get("/1").await.header("x-cache"), "MISS");
    warm().await;
    assert_eq!(door.invalidate("another", 2, "delete", "\"everything\"").await, "applied");
    assert_eq!(door.get("/1").await.header("x-cache"), "MISS");
    assert_eq!(door.get("/2").await.header("x-cache"), "MISS");
}

#[tokio::test]
async fn control_wants_its_token_and_a_well_formed_order() {
    let Stage { origin, door, edge: _edge } = stage_with(|it| it.control_token = Some(Secret::new("right"))).await;
    origin.put("/t", Page::fresh("x"));
    door.get("/t").await;
    let order = r#"{"log":"l","upto":1,"invalidations":[{"seq":1,"mode":"delete","target":"everything"}]}"#;
    for token in [None, Some("wrong"), Some("")] {
        assert_eq!(door.order(order, token).await.status, 401);
    }
    assert_eq!(door.order("{}", Some("right")).await.status, 400);
    assert_eq!(door.get("/t").await.header("x-cache"), "HIT");
    assert_eq!(door.order(order, Some("right")).await.status, 200);
    assert_eq!(door.get("/t").await.header("x-cache"), "MISS");
}

#[tokio::test]
async fn client_cannot_purge() {
    let Stage { origin, door, edge: _edge } = stage().await;
    origin.put("/c", Page::fresh("x"));
    door.get("/c").await;
    for method in ["PURGE", "BAN", "purge"] {
        assert_eq!(door.request(method, "/c", &[]).await.status, 405, "{method}");
    }
    assert_eq!(door.get("/c").await.header("x-cache"), "HIT");
    assert_eq!(origin.asked("/c").len(), 1);
}

#[tokio::test]
async fn private_responses_are_never_shared() {
    let Stage { origin, door, edge: _edge } = stage().await;
    origin.put("/cookie", Page::fresh("x").header("set-cookie", "a=b"));
    origin.put("/private", Page::new("x").header("cache-control", "private, max-age=600"));
    origin.put("/nostore", Page::new("x").header("cache-control", "no-store"));
    origin.put("/star", Page::fresh("x").header("vary", "*"));
    origin.put("/silent", Page::new("x"));
    for path in ["/cookie", "/private", "/nostore", "/star", "/silent"] {
        for _ in 0..2 {
            let answer = door.get(path).await;
            assert_eq!(answer.seen(), ("MISS", "x"), "{path}");
            assert_eq!(answer.header("cache-status"), "catharsis-edge; fwd=miss", "{path}");
        }
        assert_eq!(origin.asked(path).len(), 2, "{path}");
    }
    origin.put("/auth", Page::fresh("x"));
    for _ in 0..2 {
        let answer = door.request("GET", "/auth", &[("authorization", "Basic eA==")]).await;
        assert_eq!(answer.header("x-cache"), "MISS");
    }
}

#[tokio::test]
async fn ranges_and_heads_are_answered_from_the_whole_object() {
    let Stage { origin, door, edge: _edge } = stage().await;
    origin.put("/o", Page::fresh("0123456789").header("etag", "\"1\""));
    let head = door.request("HEAD", "/o", &[]).await;
    assert_eq!((head.status.as_u16(), head.text()), (200, ""));
    assert_eq!(origin.asked("/o")[0].method, "GET");
    let range = door.request("GET", "/o", &[("range", "bytes=2-4")]).await;
    assert_eq!((range.status.as_u16(), range.seen()), (206, ("HIT", "234")));
    assert_eq!(range.header("content-range"), "bytes 2-4/10");
    let head = door.request("HEAD", "/o", &[]).await;
    assert_eq!((head.seen(), head.header("content-length")), (("HIT", ""), "10"));
    let same = door.request("GET", "/o", &[("if-none-match", "\"1\"")]).await;
    assert_eq!(same.status, 304);
    assert_eq!(origin.asked("/o").len(), 1);
    origin.put("/o2", Page::fresh("0123456789"));
    let range = door.request("GET", "/o2", &[("range", "bytes=0-1")]).await;
    assert_eq!((range.status.as_u16(), range.text()), (206, "01"), "of an object not yet there");
}

#[tokio::test]
async fn other_methods_pass_through_and_the_upstream_sees_host_and_target_as_sent() {
    let Stage { origin, door, edge: _edge } = stage().await;
    origin.put("/m?a=%7E&b", Page::fresh("x"));
    for _ in 0..2 {
        let answer = door.request("POST", "/m?a=%7E&b", &[("host", "A.Test:8080")]).await;
        assert_eq!(answer.header("cache-status"), "catharsis-edge; fwd=method");
    }
    let asked = origin.asked("/m?a=%7E&b");
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].method, "POST");
    assert_eq!(asked[0].headers["host"], "A.Test:8080");
    assert_eq!(asked[0].headers["via"], "1.1 catharsis-edge");
    assert_eq!(asked[0].headers["x-forwarded-for"], "127.0.0.1");
}

#[tokio::test]
async fn purge_meets_the_host_in_any_spelling() {
    let Stage { origin, door, edge: _edge } = stage().await;
    origin.put("/h", Page::fresh("x"));
    for host in ["a.test", "A.TEST", "a.test.", "a.test:80"] {
        door.request("GET", "/h", &[("host", host)]).await;
    }
    assert_eq!(origin.asked("/h").len(), 1);
    assert_eq!(door.invalidate("log", 1, "delete", r#"{"url":{"host":"A.test:443","paths":["/h"]}}"#).await, "applied");
    assert_eq!(door.get("/h").await.header("x-cache"), "MISS");
}

#[tokio::test]
async fn body_too_large_to_keep_passes_through() {
    let Stage { origin, door, edge: _edge } = stage_with(|it| it.object_bytes_max = 1 << 20).await;
    let large = "x".repeat(3_000_000);
    // Announced as too large, and found too large under way.
    origin.put("/announced", Page::fresh(&large));
    let chunked = Page::fresh("x");
    origin.put("/chunked", (0..60).fold(chunked, |page, _| page.piece(vec![b'x'; 50_000])));
    for (path, length) in [("/announced", 3_000_000), ("/chunked", 3_000_001)] {
        for _ in 0..2 {
            let answer = door.get(path).await;
            assert_eq!((answer.body.len(), answer.header("x-cache")), (length, "MISS"), "{path}");
        }
        assert_eq!(origin.asked(path).len(), 2, "{path}");
    }
    assert_eq!(door.status().await["entries"], 0);
}

#[tokio::test]
async fn memory_stays_within_its_bound() {
    let memory = 1 << 20;
    let Stage { origin, door, edge: _edge } = stage_with(|it| {
        it.memory_bytes = memory;
        it.object_bytes_max = 50_000;
    })
    .await;
    for at in 0..100 {
        let path = format!("/{at}");
        origin.put(&path, Page::fresh(&"x".repeat(40_000)));
        door.get(&path).await;
    }
    let status = door.status().await;
    assert!(status["bytes"].as_u64().expect("a number") <= memory, "{status}");
    assert!(status["entries"].as_u64().expect("a number") > 10, "{status}");
}

#[tokio::test]
async fn unknown_host_and_dead_origin_have_their_own_answers() {
    let origin = Origin::start().await;
    let mut config = config(&origin);
    let dead = SocketAddr::from(([127, 0, 0, 1], 1));
    let host = catharsis_core::target::HostName::parse("dead.test").expect("a name");
    config.routes = vec![Route { hosts: HostPattern::Exact(host), upstream: Upstream::Address(dead) }];
    let edge = Edge::start(&config).expect("it starts");
    let door = Door { traffic: edge.traffic_addr(), control: edge.control_addr() };
    assert_eq!(door.get("/").await.status, 421);
    assert_eq!(door.request("GET", "/", &[("host", "dead.test")]).await.status, 502);
}

#[tokio::test]
async fn two_edges_stop_cleanly_even_with_a_request_under_way() {
    let first = stage_with(|it| it.stop_grace = Duration::from_millis(300)).await;
    let second = stage().await;
    let gate = Gate::closed();
    first.origin.put("/held", Page::fresh("x").held(&gate));
    let door = first.door;
    let held = tokio::spawn(async move {
        // Cut off: what comes is no whole answer.
        let stream = tokio::net::TcpStream::connect(door.traffic).await.expect("it listens");
        stream.writable().await.expect("connected");
        stream.try_write(b"GET /held HTTP/1.1\r\nhost: a.test\r\n\r\n").expect("room");
        stream.readable().await.expect("an end");
    });
    gate.reached(1).await;
    let began = std::time::Instant::now();
    first.edge.stop().await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    held.await.expect("no panic");
    assert!(tokio::net::TcpStream::connect(door.traffic).await.is_err(), "the port is free");
    assert!(tokio::net::TcpStream::connect(door.control).await.is_err(), "the port is free");
    second.origin.put("/", Page::fresh("x"));
    assert_eq!(second.door.get("/").await.text(), "x", "the other edge goes on");
    second.edge.stop().await;
}

#[tokio::test]
async fn taken_port_is_an_error() {
    let Stage { origin, door, edge: _edge } = stage().await;
    let mut config = config(&origin);
    config.control = door.control;
    assert!(matches!(Edge::start(&config), Err(EdgeError::Listen { address, .. }) if address == door.control));
}
