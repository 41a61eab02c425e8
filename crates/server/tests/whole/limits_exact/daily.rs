//! Whether what clients saw fits daily quotas of `total` units in each area, charged whole or not at all.
//!
//! What this is: a judge that knows nothing of the server, as `bucket` is for rates, and the runs that it
//! judges. A quota is only ever used up during a day, which makes it simple: a call that was refused must
//! not have fitted even when all calls that were begun by then had been charged.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::CONNECTIONS;
use super::bucket::{Ended, Moment};
use super::load::{FIRST, Post, Victim};
use crate::support::{Answer, Setup};

/// URLs a day in each area.
const TOTAL: u32 = 3_000;
/// URLs in one call.
const BATCH: u32 = 7;
/// Each connection has used everything up long before.
const CALLS_MAX: usize = 20_000;
const KILLS: u64 = 4;

/// Where a batch is purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Mainland,
    Overseas,
    Both,
}

impl Place {
    const ALL: [Self; 3] = [Self::Mainland, Self::Overseas, Self::Both];

    const fn host(self) -> &'static str {
        match self {
            Self::Mainland => "inland.a.test",
            Self::Overseas => "abroad.a.test",
            Self::Both => "www.a.test",
        }
    }

    /// Whether it draws on the quotas of the mainland and of overseas.
    const fn draws(self) -> [bool; 2] {
        match self {
            Self::Mainland => [true, false],
            Self::Overseas => [false, true],
            Self::Both => [true, true],
        }
    }
}

/// A call as its client saw it. Refused means: for the quota.
#[derive(Clone, Copy, Debug)]
struct Batch {
    sent: Moment,
    ended: Moment,
    how: Ended,
    place: Place,
    units: u32,
}

/// What is wrong with a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// More than the total was accepted.
    Exceeded,
    /// A call was refused that had fitted.
    Early,
}

/// The units that these calls took from each area.
fn used<'a>(batches: impl Iterator<Item = &'a Batch>) -> [u32; 2] {
    batches.fold([0; 2], |used, batch| {
        let draws = batch.place.draws();
        [0, 1].map(|area| used[area] + if draws[area] { batch.units } else { 0 })
    })
}

fn judge(batches: &[Batch], total: u32) -> Result<(), Fault> {
    if used(batches.iter().filter(|batch| batch.how == Ended::Accepted)).iter().any(|used| *used > total) {
        return Err(Fault::Exceeded);
    }
    for refused in batches.iter().filter(|batch| batch.how == Ended::Refused) {
        let before = |batch: &&Batch| batch.how != Ended::Refused && batch.sent <= refused.ended;
        let most = used(batches.iter().filter(before));
        let draws = refused.place.draws();
        if [0, 1].into_iter().all(|area| !draws[area] || most[area] + refused.units <= total) {
            return Err(Fault::Early);
        }
    }
    Ok(())
}

/// One connection purges batches of any size at any place until nothing fits any more.
async fn use_up(mut post: Post, seed: u64) -> Vec<Batch> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut batches = Vec::new();
    let (mut api, mut connection) = post.connect().await;
    // Until a single URL was refused in both areas.
    let mut open = [true; 2];
    while open.contains(&true) {
        assert!(batches.len() < CALLS_MAX, "the quota is never used up");
        let place = Place::ALL[random.random_range(0..3)];
        let units = random.random_range(1..=BATCH);
        let mut urls: Vec<String> = (0..units).map(|n| format!("http://{}/{n}", place.host())).collect();
        // Now and then one that is refused for another reason, and must cost nothing.
        let spoiled = random.random_range(0..16) == 0;
        if spoiled {
            urls.push("http://other.test/".to_owned());
        }
        let request = FIRST.sign(api, "PurgeUrlsCache", &json!({ "Urls": urls }));
        let (sent, ended, answer) = post.exchange(&mut connection, request).await;
        let code = answer.as_deref().map(code_of);
        let how = match code.as_ref().map(Option::as_deref) {
            None => Ended::Unanswered,
            Some(None) => Ended::Accepted,
            Some(Some("LimitExceeded.CdnPurgeUrlExceedDayLimit")) if !spoiled => Ended::Refused,
            Some(Some("ResourceNotFound.CdnHostNotExists")) if spoiled => continue,
            Some(Some(other)) => panic!("{other}"),
        };
        match how {
            Ended::Accepted => post.report_accepted(),
            Ended::Refused if units == 1 && place != Place::Both => {
                open = [0, 1].map(|area| open[area] && !place.draws()[area]);
            }
            Ended::Refused => {}
            Ended::Unanswered => (api, connection) = post.connect().await,
        }
        if !(spoiled && how == Ended::Unanswered) {
            batches.push(Batch { sent, ended, how, place, units });
        }
    }
    batches
}

/// The code of a refusal.
fn code_of(body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).expect("JSON");
    answer["Response"]["Error"]["Code"].as_str().map(str::to_owned)
}

/// What the server says while nobody calls: the units used in each area by its quotas, and by the items
/// in its history.
async fn books(victim: &Victim<'_>) -> [[u64; 2]; 2] {
    let client = victim.server().client();
    let quota: Answer<Value> = client.call("DescribePurgeQuota", &json!({})).await;
    let quota = quota.expect("the quotas");
    let charged = ["mainland", "overseas"].map(|area| {
        let rows = quota["UrlPurge"].as_array().expect("a list");
        let row = rows.iter().find(|row| row["Area"] == area).expect("a row for each area");
        assert_eq!(row["Total"], TOTAL);
        u64::from(TOTAL) - row["Available"].as_u64().expect("a number")
    });
    let mut kept = [0; 2];
    for place in Place::ALL {
        let filter = json!({ "StartTime": "2020-01-01 00:00:00", "Keyword": place.host(), "Limit": 1 });
        let page: Answer<Value> = client.call("DescribePurgeTasks", &filter).await;
        let items = page.expect("the history")["TotalCount"].as_u64().expect("a number");
        let draws = place.draws();
        kept = [0, 1].map(|area| kept[area] + if draws[area] { items } else { 0 });
    }
    [charged, kept]
}

/// 64 connections use everything up while the server is killed so many times.
async fn assert_used_to_the_last_unit(kills: u64) {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let setup = Setup::with_limits(&format!("urls_per_day = {TOTAL}\nrequests_per_second = 1000000\n"));
    let mut victim = Victim::start(&setup);
    let mut clients = JoinSet::new();
    for number in 0..CONNECTIONS as u64 {
        clients.spawn(use_up(victim.post(), seed.wrapping_add(number)));
    }
    // At the least so many calls are accepted: all to both areas, and each of the largest size.
    let accepted = u64::from(TOTAL / BATCH);
    for kill in 1..=kills {
        victim.until_accepted(accepted * kill / (kills + 1)).await;
        victim.restart();
        let [charged, kept] = books(&victim).await;
        assert_eq!(charged, kept, "what is charged is what is kept");
        victim.announce();
    }
    let mut batches = Vec::new();
    while let Some(client) = clients.join_next().await {
        batches.extend(client.expect("no client panics"));
    }
    let count = |how| batches.iter().filter(|batch| batch.how == how).count();
    let (accepted, refused, unanswered) = (count(Ended::Accepted), count(Ended::Refused), count(Ended::Unanswered));
    println!("{kills} kills: {accepted} accepted, {refused} refused, {unanswered} unanswered");
    // At each death one on each connection, and another where it reached a server that was dying.
    assert!(unanswered as u64 <= 2 * kills * CONNECTIONS as u64, "a call was dropped");
    assert_eq!(judge(&batches, TOTAL), Ok(()));
    // To the last unit, since each connection ended with single URLs; and not beyond.
    assert_eq!(books(&victim).await, [[u64::from(TOTAL); 2]; 2]);
    if kills == 0 {
        let answered = used(batches.iter().filter(|batch| batch.how == Ended::Accepted));
        assert_eq!(answered, [TOTAL; 2], "what was acknowledged is what was charged");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_quota_is_used_to_the_last_unit_by_64_connections_and_never_beyond() {
    assert_used_to_the_last_unit(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_quota_is_used_to_the_last_unit_across_kills() {
    assert_used_to_the_last_unit(KILLS).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a quota with a fault does to calls that overlap; `None`: none.
    fn run(total: u32, fault: Option<fn(&mut [u32; 2], &Batch)>) -> Vec<Batch> {
        let mut random = SmallRng::seed_from_u64(7);
        let mut used = [0_u32; 2];
        let mut batches = Vec::new();
        for n in 0..400 {
            // Decided at `n`, in that order.
            let at = n * 10;
            let mut batch = Batch {
                sent: at + 40 - random.random_range(0..40),
                ended: at + 41 + random.random_range(0..40),
                how: Ended::Accepted,
                place: Place::ALL[random.random_range(0..3)],
                units: random.random_range(1..=BATCH),
            };
            let draws = batch.place.draws();
            let new = [0, 1].map(|area| used[area] + if draws[area] { batch.units } else { 0 });
            if [0, 1].into_iter().any(|area| draws[area] && new[area] > total) {
                batch.how = Ended::Refused;
            } else {
                used = new;
            }
            if let Some(fault) = fault {
                fault(&mut used, &batch);
            }
            batches.push(batch);
        }
        batches
    }

    #[test]
    fn exact_quota_is_not_accused_and_faults_are_found() {
        assert_eq!(judge(&run(500, None), 500), Ok(()));
        assert_eq!(judge(&run(501, None), 500), Err(Fault::Exceeded));
        assert_eq!(judge(&run(480, None), 500), Err(Fault::Early));
        let charges_refused: fn(&mut [u32; 2], &Batch) = |used, batch| {
            if batch.how == Ended::Refused {
                used[0] += batch.units;
            }
        };
        assert_eq!(judge(&run(500, Some(charges_refused)), 500), Err(Fault::Early));
        // Some units are forgotten, as after a lost transaction.
        let forgets: fn(&mut [u32; 2], &Batch) = |used, _| used[1] -= if used[1] > 490 { 9 } else { 0 };
        assert_eq!(judge(&run(500, Some(forgets)), 500), Err(Fault::Exceeded));
        // One area's calls are charged to the other too.
        let mixes: fn(&mut [u32; 2], &Batch) = |used, batch| {
            if batch.how == Ended::Accepted && batch.place == Place::Mainland {
                used[1] += batch.units;
            }
        };
        assert_eq!(judge(&run(500, Some(mixes)), 500), Err(Fault::Early));
    }
}
