//! Prefetches.

use std::sync::Arc;
use std::time::Duration;

use catharsis_core::area::{Area, AreaSet, PerArea};
use catharsis_core::clock::UnixMillis;
use catharsis_core::domain::DomainName;
use catharsis_core::error::SubmitError;
use catharsis_core::history::{HostScope, HostTable, Keyword};
use catharsis_core::invalidation::Seq;
use catharsis_core::plan::Claim;
use catharsis_core::push::ports::{PushFilter, PushPage, PushQuery, PushStore};
use catharsis_core::push::status::{PushStatus, PushView};
use catharsis_core::push::{
    EndedFetch, FetchEnd, Found, How, Links, OpenFetch, Playlist, PushFields, PushItemId, PushPlan, UserAgent,
};
use catharsis_core::quota::QuotaDay;
use catharsis_core::receipt::Reason;
use catharsis_core::target::{Encode, HostName};
use catharsis_core::task::AccountId;
use catharsis_core::topology::{Node, NodeId};

use super::{Fixture, MAINLAND, OVERSEAS, Pair};
use crate::mem_store::MemStore;
use crate::plans::{ACCOUNT, behind, mixed, name, node, push, shield};
use crate::sim::Chance;

const COMPLETE: FetchEnd = FetchEnd::Complete { status: 200, bytes: 5 };

fn overseas(id: &str) -> Node {
    Node { area: Area::Overseas, ..node(id) }
}

async fn open(pushes: &dyn PushStore, node: &str) -> Vec<OpenFetch> {
    pushes.open_fetches(&name(node), &[], 1_000).await.expect("readable")
}

async fn open_urls(pair: &Pair, node: &str) -> Vec<String> {
    open(&*pair.pushes, node).await.into_iter().map(|fetch| fetch.url.into()).collect()
}

fn ended(item: PushItemId, node: &str, end: FetchEnd) -> EndedFetch {
    let at = UnixMillis(1_700_000_100_000 + item.0);
    EndedFetch { item, node: name(node), end, attempts: 1, at, found: None }
}

async fn end(pair: &Pair, fetch: EndedFetch) {
    pair.pushes.end_fetch(fetch).await.expect("writable");
}

fn query(filter: PushFilter) -> PushQuery {
    let view = PushView { now: UnixMillis(1_700_000_200_000), deadline: Duration::from_secs(600) };
    PushQuery { filter, offset: 0, limit: 1_000, view }
}

async fn history(pair: &Pair) -> PushPage {
    pair.pushes.pushes(query(PushFilter::of(ACCOUNT))).await.expect("readable")
}

async fn used(pair: &Pair, day: QuotaDay) -> PerArea<u32> {
    pair.store.quota_used(ACCOUNT, day).await.expect("readable").push
}

/// What is accepted is what a worker reads, at each node that is to fetch it, until that node ends it.
pub async fn prefetch_is_open_at_each_node_until_that_ends_it(fixture: &mut impl Fixture) {
    let pair = fixture.open().await;
    let urls = [("http://a.test/1", MAINLAND), ("http://a.test/é", AreaSet::Global)];
    let mut plan = push(1, urls, &[node("m"), overseas("o")]);
    plan.task.how = Arc::new(How {
        encode: Encode::PercentEncode,
        user_agent: UserAgent::parse("agent/1").expect("printable"),
        fields: PushFields::parse([("X-A", "1"), ("X-B", "\"2\"")]).expect("valid"),
        playlist: Playlist::Expand,
        links: Links::Among([DomainName::parse("*.a.test").expect("a name")].into()),
    });
    let seen = pair.pushes.push_version();
    pair.pushes.submit_push(plan.clone()).await.expect("within the quota");
    pair.pushes.push_beyond(seen).await;

    assert_eq!(open_urls(&pair, "o").await, ["http://a.test/é"]);
    let at_m = open(&*pair.pushes, "m").await;
    assert_eq!(at_m.len(), 2);
    let expect = OpenFetch {
        item: at_m[1].item,
        task: plan.task.id.clone(),
        account: ACCOUNT,
        accepted_at: plan.task.accepted_at,
        head: Seq::ZERO,
        how: Arc::clone(&plan.task.how),
        url: "http://a.test/é".into(),
        areas: AreaSet::Global,
        level: 0,
    };
    assert_eq!(at_m[1], expect);
    assert_eq!(pair.pushes.open_fetches(&name("m"), &[AccountId(7)], 1).await.expect("readable"), at_m[..1]);
    assert_eq!(pair.pushes.open_fetches(&name("m"), &[AccountId(7), ACCOUNT], 9).await.expect("readable"), []);
    assert_eq!(open_urls(&pair, "nobody").await, [""; 0]);

    end(&pair, ended(at_m[1].item, "m", COMPLETE)).await;
    assert_eq!(open_urls(&pair, "m").await, ["http://a.test/1"]);
    assert_eq!(open_urls(&pair, "o").await, ["http://a.test/é"]);
    // Whatever comes later about the same fetch changes nothing.
    end(&pair, ended(at_m[1].item, "m", FetchEnd::Invalid { status: 404 })).await;
    end(&pair, ended(at_m[1].item, "o", COMPLETE)).await;
    end(&pair, ended(PushItemId(9_999), "o", COMPLETE)).await;
    let rows = history(&pair).await.rows;
    assert_eq!((rows[0].status, rows[0].percent, rows[0].updated_at), (PushStatus::Process, 0, None));
    let at = UnixMillis(1_700_000_100_000 + at_m[1].item.0);
    assert_eq!((rows[1].status, rows[1].percent, rows[1].updated_at), (PushStatus::Done, 100, Some(at)));
}

/// An edge that fetched first would find nothing at its shield.
pub async fn edge_fetches_only_what_its_shield_has_ended(fixture: &mut impl Fixture) {
    let pair = fixture.open().await;
    let nodes = [shield("s"), behind("e", "s"), node("alone")];
    let urls = [("http://a.test/1", MAINLAND), ("http://a.test/2", MAINLAND)];
    pair.pushes.submit_push(push(1, urls, &nodes)).await.expect("within the quota");
    assert_eq!(open_urls(&pair, "e").await, [""; 0]);
    assert_eq!(open_urls(&pair, "alone").await.len(), 2);
    let second = open(&*pair.pushes, "s").await[1].item;
    let seen = pair.pushes.push_version();
    let (waited, ()) = tokio::join!(
        tokio::time::timeout(Duration::from_secs(10), pair.pushes.push_beyond(seen)),
        end(&pair, ended(second, "s", FetchEnd::Failed { why: Reason::new("away") }))
    );
    assert!(waited.is_ok(), "nobody who waits for the shield is woken");
    assert_eq!(open_urls(&pair, "e").await, ["http://a.test/2"]);
}

/// Purges up to that position must be settled before the fetch.
pub async fn prefetch_remembers_the_head_that_it_follows(fixture: &mut impl Fixture) {
    let pair = fixture.open().await;
    super::submit(&pair, mixed(1, [("http://a.test/1", MAINLAND), ("http://a.test/2", AreaSet::Global)])).await;
    let urls = [("http://a.test/1", AreaSet::Global)];
    pair.pushes.submit_push(push(2, urls, &[node("m"), overseas("o")])).await.expect("within the quota");
    super::submit(&pair, mixed(3, [("http://a.test/3", AreaSet::Global)])).await;
    assert_eq!(open(&*pair.pushes, "m").await[0].head, Seq(2));
    assert_eq!(open(&*pair.pushes, "o").await[0].head, Seq(1));
}

/// One quota an area, charged whole or not at all, by calls at once too.
pub async fn prefetch_quota_is_used_to_the_last_unit_and_not_beyond(fixture: &mut impl Fixture) {
    let pair = fixture.open().await;
    let limited = |id: u64, areas: AreaSet| {
        let mut plan = push(id, [("http://a.test/1", areas), ("http://a.test/2", areas)], &[node("m")]);
        plan.toll.quota = PerArea { mainland: 20, overseas: 3 };
        plan.toll.day = QuotaDay(19_000);
        plan
    };
    pair.pushes.submit_push(limited(1, AreaSet::Global)).await.expect("within the quota");
    let refused = pair.pushes.submit_push(limited(2, AreaSet::Global)).await;
    assert!(matches!(refused, Err(SubmitError::QuotaExceeded(_))), "{refused:?}");
    assert_eq!(used(&pair, QuotaDay(19_000)).await, PerArea { mainland: 2, overseas: 2 });
    let mut calls = tokio::task::JoinSet::new();
    for id in 10..40 {
        let (pushes, plan) = (Arc::clone(&pair.pushes), limited(id, MAINLAND));
        calls.spawn(async move { pushes.submit_push(plan).await.is_ok() });
    }
    let accepted = calls.join_all().await.into_iter().filter(|accepted| *accepted).count();
    assert_eq!(accepted, 9);
    assert_eq!(used(&pair, QuotaDay(19_000)).await, PerArea { mainland: 20, overseas: 2 });
    assert_eq!(history(&pair).await.total, 20);
    let repeated = pair.pushes.submit_push(push(1, [("http://a.test/1", MAINLAND)], &[])).await;
    assert!(matches!(repeated, Err(SubmitError::Store(_))), "{repeated:?}");
}

/// A `ClientToken` of a purge is none for a prefetch, and the other way round.
pub async fn token_is_one_for_purges_and_prefetches(fixture: &mut impl Fixture) {
    let pair = fixture.open().await;
    let claim = |digest: u8| Some(Claim { token: "t".into(), digest: [digest; 32] });
    let plan = |id: u64, digest: u8| PushPlan {
        claim: claim(digest),
        ..push(id, [("http://a.test/1", MAINLAND)], &[node("m")])
    };
    let first = pair.pushes.submit_push(plan(1, 1)).await.expect("new");
    assert_eq!(pair.pushes.submit_push(plan(2, 1)).await, Ok(first.clone()));
    assert_eq!(pair.pushes.submit_push(plan(3, 2)).await, Err(SubmitError::TokenReused(first.clone())));
    let mut purge = mixed(4, [("http://a.test/1", MAINLAND)]);
    purge.claim = claim(3);
    assert_eq!(pair.store.submit(purge).await, Err(SubmitError::TokenReused(first)));
    assert_eq!(history(&pair).await.total, 1);
}

/// What a playlist names is fetched by the same nodes, once, and never beyond the quota.
pub async fn playlist_is_expanded_as_far_as_the_quota_goes_and_once(fixture: &mut impl Fixture) {
    let pair = fixture.open().await;
    let nodes = [shield("s"), behind("e", "s"), overseas("o")];
    let plan = push(1, [("http://a.test/l.m3u8", AreaSet::Global), ("http://a.test/1", MAINLAND)], &nodes);
    let day = plan.toll.day;
    pair.pushes.submit_push(plan).await.expect("within the quota");
    let item = open(&*pair.pushes, "s").await[0].item;
    let found = |urls: &[&str]| {
        let urls = urls.iter().map(|url| (*url).into()).collect();
        Some(Found { urls, day, quota: PerArea { mainland: 5, overseas: 100 } })
    };
    let urls = ["http://a.test/1", "http://a.test/2", "http://a.test/l.m3u8", "http://a.test/3"];
    end(&pair, EndedFetch { found: found(&urls), ..ended(item, "s", COMPLETE) }).await;
    assert_eq!(used(&pair, day).await, PerArea { mainland: 4, overseas: 3 });
    let at_s = open(&*pair.pushes, "s").await;
    let levels: Vec<(&str, u8)> = at_s.iter().map(|fetch| (&*fetch.url, fetch.level)).collect();
    assert_eq!(levels, [("http://a.test/1", 0), ("http://a.test/2", 1), ("http://a.test/3", 1)]);
    assert_eq!(open_urls(&pair, "e").await, ["http://a.test/l.m3u8"]);
    assert_eq!(open_urls(&pair, "o").await, ["http://a.test/l.m3u8", "http://a.test/2", "http://a.test/3"]);
    // Another node reads the playlist later, when it names more: one unit is left.
    let urls = ["http://a.test/2", "http://a.test/3", "http://a.test/4", "http://a.test/5"];
    end(&pair, EndedFetch { found: found(&urls), ..ended(item, "e", COMPLETE) }).await;
    assert_eq!(used(&pair, day).await, PerArea { mainland: 5, overseas: 4 });
    // Repeated, it finds nothing more.
    let more = found(&["http://a.test/9"]);
    end(&pair, EndedFetch { found: more, ..ended(item, "e", COMPLETE) }).await;
    let rows = history(&pair).await.rows;
    let urls: Vec<&str> = rows.iter().map(|row| &*row.url).collect();
    let expect = ["l.m3u8", "1", "2", "3", "4"].map(|path| format!("http://a.test/{path}"));
    assert_eq!(urls, expect);
}

/// The same pages, whatever the filter, as the store in memory gives.
pub async fn prefetch_history_agrees_with_the_plainest_store(fixture: &mut impl Fixture) {
    let pair = fixture.open().await;
    let (oracle, _log) = MemStore::new();
    let (chance, nodes) = (Chance::new(7), [shield("s"), behind("e", "s")]);
    let areas = [MAINLAND, OVERSEAS, AreaSet::Global];
    for id in 1..40u64 {
        let pick = || areas[usize::try_from(chance.below(3)).expect("small")];
        let urls: Vec<(String, AreaSet)> = (0..=chance.below(5))
            .map(|n| (format!("http://{}.test/{}", ["a", "b"][usize::from(chance.percent(30))], id + n), pick()))
            .collect();
        // Some of one moment, whose order is that of acceptance; the overseas area has no node.
        let mut plan = push(id / 2, urls.iter().map(|(url, areas)| (url.as_str(), *areas)), &nodes);
        plan.task.id = catharsis_core::task::TaskId::new(plan.task.accepted_at, id);
        for store in [&*pair.pushes, &oracle] {
            store.submit_push(plan.clone()).await.expect("within the quota");
        }
    }
    for node in ["s", "e"] {
        for fetch in open(&oracle, node).await {
            let end = match chance.below(6) {
                0 => FetchEnd::Invalid { status: 404 },
                1 => FetchEnd::Failed { why: Reason::new("away") },
                2 => continue,
                _ => COMPLETE,
            };
            for store in [&*pair.pushes, &oracle] {
                store.end_fetch(ended(fetch.item, node, end.clone())).await.expect("writable");
            }
        }
    }
    for filter in filters() {
        for (offset, limit) in [(0, 1_000), (3, 7), (50, 10), (1_000, 10)] {
            let asked = PushQuery { offset, limit, ..query(filter.clone()) };
            let expect = oracle.pushes(asked.clone()).await.expect("memory never fails");
            assert_eq!(pair.pushes.pushes(asked).await.expect("readable"), expect, "{filter:?} {offset} {limit}");
        }
    }
    let all = oracle.pushes(query(PushFilter::of(ACCOUNT))).await.expect("memory never fails");
    for status in [PushStatus::Process, PushStatus::Done, PushStatus::Fail, PushStatus::Invalid] {
        assert!(all.rows.iter().any(|row| row.status == status), "{status:?} is not among what is compared");
    }
    assert!(all.rows.iter().any(|row| row.why.as_deref() == Some("s: the origin answered 404")));
}

fn filters() -> Vec<PushFilter> {
    let all = PushFilter::of(ACCOUNT);
    let host = HostName::parse("b.test").expect("a host");
    let only_a = HostTable::new([&DomainName::parse("a.test").expect("a name")], |_| true);
    let some = [
        PushFilter { account: AccountId(9), ..all.clone() },
        PushFilter { hosts: HostScope::Some(Arc::new(only_a)), ..all.clone() },
        PushFilter { keyword: Some(Keyword::Host(host)), ..all.clone() },
        PushFilter { keyword: Some(Keyword::Url("http://a.test/5".into())), ..all.clone() },
        PushFilter { keyword: Some(Keyword::Url("' OR 1=1 --".into())), ..all.clone() },
        PushFilter {
            from: Some(UnixMillis(1_700_000_005_000)),
            to: Some(UnixMillis(1_700_000_010_000)),
            ..all.clone()
        },
        PushFilter { task: catharsis_core::task::TaskId::parse("none"), ..all.clone() },
        PushFilter { task: Some(catharsis_core::task::TaskId::new(UnixMillis(1_700_000_003_000), 7)), ..all.clone() },
    ];
    let areas = [MAINLAND, OVERSEAS, AreaSet::Global].map(|areas| PushFilter { areas: Some(areas), ..all.clone() });
    let statuses = [PushStatus::Process, PushStatus::Done, PushStatus::Fail, PushStatus::Invalid]
        .map(|status| PushFilter { status: Some(status), ..all.clone() });
    [all].into_iter().chain(some).chain(areas).chain(statuses).collect()
}

/// What was open is open, what had ended has ended; the oldest are forgotten, also while they are open.
pub async fn prefetches_survive_a_restart_and_are_pruned(fixture: &mut impl Fixture) {
    let pair = fixture.open().await;
    let mut plans = (1..=3).map(|id| push(id, [("http://a.test/1", MAINLAND)], &[node("m")]));
    super::submit(&pair, mixed(9, [("http://a.test/1", MAINLAND)])).await;
    for plan in plans.by_ref().take(2) {
        pair.pushes.submit_push(plan).await.expect("within the quota");
    }
    let first = open(&*pair.pushes, "m").await[0].item;
    end(&pair, ended(first, "m", COMPLETE)).await;
    let before = (open(&*pair.pushes, "m").await, history(&pair).await);
    drop(pair);

    let pair = fixture.reopen().await;
    assert_eq!((open(&*pair.pushes, "m").await, history(&pair).await), before);
    fixture.prune(UnixMillis(1_700_000_002_500)).await;
    assert_eq!((open_urls(&pair, "m").await.len(), history(&pair).await.total), (0, 0));
    let seen = pair.pushes.push_version();
    pair.pushes.submit_push(plans.next().expect("the third")).await.expect("within the quota");
    pair.pushes.push_beyond(seen).await;
    let after: Vec<NodeId> = vec![name("m")];
    let fetch = open(&*pair.pushes, after[0].as_str()).await;
    assert_eq!((fetch.len(), fetch[0].head), (1, Seq(1)));
}
