//! What a wall clock decides, and what it does not: shown on a server and an edge whose clocks are turned by hours.
//!
//! What this is: the proof that a turned clock is seen at all, without which the schedules would turn nothing, and each thing that
//! the contract ties to the time of day, as users see it then.

use std::sync::Arc;

use catharsis_tcapi::cdn::{
    DescribePurgeTasksRequest, DescribePurgeTasksResponse, PurgeUrlsCacheResponse, TaskFilter, TaskStatus,
};
use catharsis_tcapi::time::parse_utc8;
use catharsis_testkit::client::{Fetched, Source, get};
use catharsis_testkit::origin::Origin;
use serde_json::json;
use tokio::time::Instant;

use super::Clock;
use crate::oracle::HOST;
use crate::support::{Answer, Client, PATIENCE, Server, Setup, free_address, purge_urls};

const HOUR: i64 = 3_600;
/// For calls of the test to be answered in.
const NEAR: i64 = 60;

/// What the server shows of a task: its status, and how far the time of its acceptance is from this machine's.
async fn shown(client: &Client, task: &str) -> (TaskStatus, i64) {
    let request = DescribePurgeTasksRequest::of(TaskFilter::Task(task.into(), None));
    let answer: DescribePurgeTasksResponse = client.call("DescribePurgeTasks", &request).await.expect("it is known");
    let row = &answer.purge_logs[0];
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let accepted = parse_utc8(&row.create_time).expect("a time");
    (row.status, accepted - i64::try_from(now).expect("before 292 billion"))
}

fn no_lease(page: &Fetched) -> bool {
    let status = page.fields.get("cache-status").and_then(|value| value.to_str().ok()).expect("the edge tells");
    status.ends_with("; detail=no-lease")
}

/// Asks for a page until what comes is as it should be.
async fn await_page(edge: std::net::SocketAddr, wanted: impl Fn(&Fetched) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let page = get(edge, HOST, "/p", &[]).await;
        if wanted(&page) {
            return;
        }
        assert!(Instant::now() < deadline, "the edge goes on answering {page:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_turned_clock_is_seen_by_the_server_and_by_clients_who_sign_by_another() {
    let clock = Arc::new(Clock::right());
    let server = Setup::new().clock(&clock).start();
    for hours in [3, -30, 0] {
        clock.turn(hours * HOUR);
        let own = server.client().turned(hours * HOUR);
        let task = own.purge(&["http://www.a.test/"]).await;
        let (status, off) = shown(&own, &task).await;
        assert_eq!(status, TaskStatus::Done);
        assert!((off - hours * HOUR).abs() < NEAR, "accepted {off} s from now, turned by {hours} h");

        let answer: Answer<PurgeUrlsCacheResponse> = server
            .client()
            .turned((hours + 1) * HOUR)
            .call("PurgeUrlsCache", &purge_urls(&["http://www.a.test/"]))
            .await;
        assert_eq!(answer.code(), "AuthFailure.SignatureExpire");
    }
}

/// A copy's age counts by the wall clock, as its lifetime does; a lease does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_edge_whose_clock_is_turned_ages_its_copies_and_keeps_to_its_lease() {
    let (origin, clock) = (Origin::start().await, Arc::new(Clock::right()));
    let (traffic, control) = (free_address(), free_address());
    let _edge = Setup::edge_only(traffic, control, origin.address()).clock(&clock).start();
    let server: Server = Setup::new().node("edge", "mainland", "edge", control, "lease = \"1s\"\n").start();
    let client = server.client();
    client.await_status(&client.purge(&["http://www.a.test/p"]).await, TaskStatus::Done).await;
    await_page(traffic, |page| page.source() == Source::Hit).await;

    clock.turn(HOUR);
    let aged = get(traffic, HOST, "/p", &[]).await;
    assert!(aged.source() == Source::Miss && !no_lease(&aged), "it is fresh for ten minutes: {aged:?}");
    await_page(traffic, |page| page.source() == Source::Hit).await;

    // Set back, and its relay stands still: what is fresh for hours by its wall clock is still not trusted.
    clock.turn(-3 * HOUR);
    server.signal("STOP");
    await_page(traffic, no_lease).await;
    server.signal("CONT");
    await_page(traffic, |page| page.source() == Source::Hit).await;
    origin.set_version("/p", 2);
    client.await_status(&client.purge(&["http://www.a.test/p"]).await, TaskStatus::Done).await;
    assert_eq!(get(traffic, HOST, "/p", &[]).await.body, "v2");
}

/// `fail_after` is time of the wall clock: turned ahead, it is over; turned back, there is no `fail` that stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_task_that_waits_is_shown_as_failed_while_the_clock_is_ahead_and_not_after() {
    let clock = Arc::new(Clock::right());
    let nowhere = "127.0.0.1:1".parse().expect("an address");
    let server = Setup::new().clock(&clock).node("away", "mainland", "varnish", nowhere, "").start();
    let task = server.client().purge(&["http://www.a.test/"]).await;
    for (hours, expected) in
        [(0, TaskStatus::Process), (1, TaskStatus::Fail), (-1, TaskStatus::Process), (0, TaskStatus::Process)]
    {
        clock.turn(hours * HOUR);
        assert_eq!(shown(&server.client().turned(hours * HOUR), &task).await.0, expected, "{hours} h");
    }
}

/// A quota is of the day that the server's clock shows: a day that comes twice has it once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_day_that_the_clock_shows_twice_has_its_quota_once() {
    let clock = Arc::new(Clock::right());
    let limits = "urls_per_day = 2\npaths_per_day = 2\nrequests_per_second = 1000000\n";
    let server = Setup::with_limits(limits).clock(&clock).start();
    let mut left = Vec::new();
    for days in [0, 1, 0, -1, 1] {
        clock.turn(days * 24 * HOUR);
        let client = server.client().turned(days * 24 * HOUR);
        let mut taken = 0;
        loop {
            let answer = client.call("PurgeUrlsCache", &purge_urls(&["http://inland.a.test/"])).await;
            let Answer::Ok(PurgeUrlsCacheResponse { .. }) = answer else {
                assert_eq!(answer.code(), "LimitExceeded.CdnPurgeUrlExceedDayLimit");
                break;
            };
            taken += 1;
        }
        left.push(taken);
    }
    assert_eq!(left, [2, 2, 0, 2, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_claim_holds_while_the_clock_is_turned_by_less_than_a_day() {
    let clock = Arc::new(Clock::right());
    let server = Setup::new().clock(&clock).start();
    let call = json!({ "Urls": ["http://www.a.test/"], "ClientToken": "one" });
    let mut tasks = Vec::new();
    for hours in [0, 20, -20, 0] {
        clock.turn(hours * HOUR);
        let answer: Answer<PurgeUrlsCacheResponse> =
            server.client().turned(hours * HOUR).call("PurgeUrlsCache", &call).await;
        tasks.push(answer.expect("it is accepted").task_id);
    }
    assert!(tasks.iter().all(|task| *task == tasks[0]), "{tasks:?}");
}
