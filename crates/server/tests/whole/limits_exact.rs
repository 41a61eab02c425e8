//! Rates and quotas to the last call and the last unit: 64 connections at once, with and without kills.
//!
//! The judges (`bucket`, `daily`) know what clients saw and nothing of the server. Each is first shown to
//! find planted faults, and the first of them again with a real server that has another limit.

mod bucket;
mod daily;
mod load;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use self::bucket::{Call, Ended, Moment, Seen};
use self::load::{FIRST, Keys, Post, Victim};
use crate::support::Setup;

/// The default of the configuration.
const RATE: u32 = 20;
const CONNECTIONS: usize = 64;
const KILLS: u64 = 4;
/// See [`Pace::Spread`].
const EACH: Duration = Duration::from_millis(100);

const OTHER_ACCOUNT: &str = "
[[account]]
uin = 3
[[account.key]]
secret_id = \"AKIDthirdaccount000000000000000000003\"
secret_key = \"ThirdGARNpq86cd98joQYCN3EXAMPLE\"
[[account.domain]]
name = \"third.test\"
";

/// How long the limit is hammered at, seconds. The promise was shown with 30 once, and after each change
/// of the limiter should be again.
fn seconds() -> u64 {
    std::env::var("CATHARSIS_TEST_RATE_SECONDS").map_or(8, |text| text.parse().expect("a number of seconds"))
}

fn setup(rate: u32) -> Setup {
    Setup::with_limits(&format!("urls_per_day = 100000000\nrequests_per_second = {rate}\n")).section(OTHER_ACCOUNT)
}

/// Who calls what over how many connections.
#[derive(Clone, Debug)]
struct Caller {
    keys: Keys,
    action: &'static str,
    parameters: Value,
    connections: usize,
}

/// 64 connections of one account and action; beside them the same account with another action, and
/// another account with the same.
fn callers() -> [Caller; 3] {
    let purge = |host: &str| json!({ "Urls": [format!("http://{host}/x")] });
    let third = Keys { id: "AKIDthirdaccount000000000000000000003", secret: "ThirdGARNpq86cd98joQYCN3EXAMPLE" };
    let history = json!({ "StartTime": "2020-01-01 00:00:00", "Limit": 1 });
    [
        Caller { keys: FIRST, action: "PurgeUrlsCache", parameters: purge("www.a.test"), connections: CONNECTIONS },
        Caller { keys: FIRST, action: "DescribePurgeTasks", parameters: history, connections: 8 },
        Caller { keys: third, action: "PurgeUrlsCache", parameters: purge("third.test"), connections: 8 },
    ]
}

/// How often a connection calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// As soon as it has an answer. Calls then wait in the server for most of their time, and nobody knows
    /// when they were counted.
    Flood,
    /// All at once at the start and after a kill, and then ten times a second each, evenly spread: 32 times
    /// the limit, and each is answered soon, so that one call too many or too few shows.
    Spread,
}

/// What came of a run.
struct Outcome {
    /// What each caller saw.
    seen: Vec<Seen>,
    /// See [`Victim`].
    shortest_absence: Duration,
}

/// All call on and on for so many seconds, while the server is killed so many times.
async fn hammer(setup: &Setup, pace: Pace, seconds: u64, kills: u64) -> Outcome {
    let mut victim = Victim::start(setup);
    let until = seconds * 1_000_000_000;
    let mut clients = JoinSet::new();
    for (number, caller) in callers().into_iter().enumerate() {
        for place in 0..caller.connections {
            let phase = match pace {
                Pace::Flood => None,
                Pace::Spread => Some(EACH.mul_f64(place as f64 / caller.connections as f64)),
            };
            let calls = call_on(victim.post(), caller.clone(), phase, until);
            clients.spawn(async move { (number, calls.await) });
        }
    }
    // Of the three callers together.
    let expected = u64::from(RATE) * seconds * 3;
    for kill in 1..=kills {
        victim.until_accepted(expected * kill / (kills + 1)).await;
        victim.restart();
        victim.announce();
    }
    let mut seen = callers().map(|_| Seen { calls: Vec::new(), deaths: victim.deaths.clone() });
    while let Some(client) = clients.join_next().await {
        let (number, calls) = client.expect("no client panics");
        seen[number].calls.extend(calls);
    }
    Outcome { seen: seen.into(), shortest_absence: victim.shortest_absence }
}

/// One connection calls until the time is over, over a new connection after each kill.
async fn call_on(mut post: Post, caller: Caller, phase: Option<Duration>, until: Moment) -> Vec<Call> {
    let mut calls = Vec::new();
    while post.now() < until {
        let (api, mut connection) = post.connect().await;
        let request = caller.keys.sign(api, caller.action, &caller.parameters);
        let mut pace = phase.map(|phase| {
            let mut pace = interval_at(Instant::now() + phase, EACH);
            pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
            pace
        });
        while post.now() < until {
            let (sent, ended, answer) = post.exchange(&mut connection, request.clone()).await;
            let how = answer.as_deref().map_or(Ended::Unanswered, how_ended);
            calls.push(Call { sent, ended, how });
            match how {
                Ended::Accepted => post.report_accepted(),
                Ended::Refused => {}
                Ended::Unanswered => break,
            }
            if let Some(pace) = &mut pace {
                pace.tick().await;
            }
        }
    }
    calls
}

fn how_ended(body: &[u8]) -> Ended {
    let answer: Value = serde_json::from_slice(body).expect("JSON");
    match answer["Response"]["Error"]["Code"].as_str() {
        None => Ended::Accepted,
        Some("RequestLimitExceeded") => Ended::Refused,
        Some(code) => panic!("{code}: {answer}"),
    }
}

fn assert_exact(seen: &[Seen], what: &str) {
    for (caller, seen) in callers().into_iter().zip(seen) {
        let verdict = seen.judge(RATE);
        let [accepted, refused, unanswered] =
            [Ended::Accepted, Ended::Refused, Ended::Unanswered].map(|how| seen.count(how));
        let action = caller.action;
        println!("{what}, {action}: {accepted} accepted, {refused} refused, {unanswered} unanswered; {verdict:?}");
        assert!(accepted > 20 && refused > 20, "{what}, {action}: the limit was not reached");
        // At each death one on each connection, and another where it reached a server that was dying.
        assert!(unanswered <= 2 * seen.deaths.len() * caller.connections, "{what}, {action}: a call was dropped");
        assert!(verdict.is_exact(), "{what}, {action}: {verdict:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_rate_holds_for_each_account_and_action_under_a_flood_from_64_connections() {
    let outcome = hammer(&setup(RATE), Pace::Flood, seconds() / 2, 0).await;
    assert_exact(&outcome.seen, "flood");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_rate_is_exact_for_64_connections() {
    let outcome = hammer(&setup(RATE), Pace::Spread, seconds(), 0).await;
    assert_exact(&outcome.seen, "without kills");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_rate_is_exact_for_64_connections_across_kills() {
    let outcome = hammer(&setup(RATE), Pace::Spread, seconds(), KILLS).await;
    println!("the shortest absence was {:?}", outcome.shortest_absence);
    assert_exact(&outcome.seen, "with kills");
    // After a second a bucket is full again, remembered or not.
    assert!(outcome.shortest_absence < Duration::from_secs(1), "each restart took so long that nothing was shown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_judge_finds_a_server_that_admits_one_more_or_one_less() {
    // The 64 connections: the few beside them call too seldom to tell 20 from 21 in two seconds.
    let more = hammer(&setup(RATE + 1), Pace::Spread, 2, 0).await.seen.swap_remove(0);
    assert!(more.judge(RATE).exceeds() && more.judge(RATE + 1).is_exact());
    let less = hammer(&setup(RATE - 1), Pace::Spread, 2, 0).await.seen.swap_remove(0);
    assert!(less.judge(RATE).refuses_early() && less.judge(RATE - 1).is_exact());
}
