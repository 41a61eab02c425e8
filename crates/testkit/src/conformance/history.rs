//! Rules for the history.

use std::sync::Arc;
use std::time::Duration;

use catharsis_core::area::{Area, AreaSet, PerArea};
use catharsis_core::clock::UnixMillis;
use catharsis_core::domain::DomainName;
use catharsis_core::history::{HistoryFilter, HistoryQuery, HostScope, HostTable, Keyword};
use catharsis_core::invalidation::Seq;
use catharsis_core::ports::Store;
use catharsis_core::receipt::{Refusal, Settled};
use catharsis_core::status::{ItemStatus, StatusView};
use catharsis_core::target::{HostName, Mode};
use catharsis_core::task::{AccountId, TaskId, TaskKind};

use super::{Fixture, MAINLAND, OVERSEAS, cursor, receipt, submit};
use crate::mem_store::MemStore;
use crate::plans::{ACCOUNT, mixed, node, plan};
use crate::sim::Chance;

pub(super) fn all_of(account: AccountId) -> HistoryFilter {
    HistoryFilter {
        account,
        hosts: HostScope::All,
        task: None,
        kind: None,
        from: None,
        to: None,
        keyword: None,
        areas: None,
        status: None,
    }
}

pub(super) fn query(filter: HistoryFilter, mainland: u64, overseas: u64) -> HistoryQuery {
    HistoryQuery {
        filter,
        offset: 0,
        limit: 100,
        view: StatusView {
            watermark: PerArea { mainland: Seq(mainland), overseas: Seq(overseas) },
            now: UnixMillis(1_700_000_010_000),
            fail_after: Duration::from_secs(600),
        },
    }
}

/// A refusal belongs to its item.
///
/// # Panics
/// When it does not.
pub async fn refused_item_fails_and_no_other(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let node = node("n");
    cursor(&pair, &node).await;
    let urls = ["http://a.test/1", "http://a.test/2", "http://a.test/3"];
    submit(&pair, plan(1, &urls, MAINLAND)).await;
    submit(&pair, plan(2, &urls, MAINLAND)).await;
    let why = Refusal::Malformed { status: 400 };
    let outcomes =
        vec![Settled::Applied, Settled::Refused(why), Settled::Refused(Refusal::Unanswered { attempts: 10 })];
    pair.store.advance(receipt(&node, 0, outcomes)).await.expect("writable");
    let page = pair.store.history(query(all_of(ACCOUNT), 3, 0)).await;
    let page = page.expect("readable");
    use ItemStatus::{Done, Fail, Process};
    let statuses: Vec<ItemStatus> = page.rows.iter().map(|row| row.status).collect();
    assert_eq!(statuses, [Process, Process, Process, Done, Fail, Fail]);
    let failed = HistoryFilter { status: Some(Fail), ..all_of(ACCOUNT) };
    let page = pair.store.history(query(failed, 3, 0)).await.expect("readable");
    let urls: Vec<&str> = page.rows.iter().map(|row| &*row.url).collect();
    assert_eq!((page.total, urls), (2, vec!["http://a.test/2", "http://a.test/3"]));
}

/// Random tasks, receipts and filters: the store finds what plain filtering finds.
///
/// # Panics
/// When it does not.
pub async fn history_agrees_with_the_plainest_store(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let (oracle, _) = MemStore::new();
    let chance = Chance::new(0x0dd5);
    let node = node("n");
    cursor(&pair, &node).await;
    let cursors = oracle.cursors(&[Arc::new(node.clone())]).await;
    cursors.expect("memory never fails");
    for id in 0..60 {
        let plan = random_plan(&chance, id);
        oracle.submit(plan.clone()).await.expect("within the quota");
        submit(&pair, plan).await;
    }
    let mut after = 0;
    while after + 20 < pair.log.head(Area::Mainland).0 / 2 {
        let outcomes: Vec<Settled> = (0..20)
            .map(|_| match chance.below(30) {
                0 => Settled::Refused(Refusal::Unsupported),
                1..15 => Settled::Applied,
                _ => Settled::Absent,
            })
            .collect();
        let one = receipt(&node, after, outcomes);
        oracle.advance(one.clone()).await.expect("memory never fails");
        pair.store.advance(one).await.expect("writable");
        after += 20;
    }
    let heads = PerArea::from_fn(|area| pair.log.head(area).0);
    let mut found = 0;
    for round in 0..1_500 {
        let query = random_query(&chance, after, heads);
        let expect = oracle.history(query.clone()).await.expect("memory never fails");
        let page = pair.store.history(query.clone()).await.expect("readable");
        assert_eq!(page, expect, "round {round}: {query:?}");
        found += page.rows.len();
    }
    assert!(found > 1_000, "the filters are not too narrow: {found}");
}

fn random_plan(chance: &Chance, id: u64) -> catharsis_core::plan::Plan {
    let uniform = random_areas(chance);
    let mixed_areas = chance.percent(40);
    let hosts = 1 + chance.below(3);
    let count = 1 + chance.below(if chance.percent(20) { 90 } else { 6 });
    let items: Vec<(String, AreaSet)> = (0..count)
        .map(|_| {
            let areas = if mixed_areas { random_areas(chance) } else { uniform };
            let host = match chance.below(8) {
                0 => format!("H{}.TEST", chance.below(hosts)),
                _ => format!("h{}.test", chance.below(hosts)),
            };
            (format!("http://{host}/{}", chance.below(5)), areas)
        })
        .collect();
    // Not in order of time: a wall clock may be set back.
    let at = id + chance.below(4);
    let mut plan = mixed(at, items.iter().map(|(url, areas)| (url.as_str(), *areas)));
    plan.task.id = TaskId::new(plan.task.accepted_at, 1_000 + id);
    if chance.percent(20) {
        plan.task.kind = TaskKind::Path;
        plan.task.mode = if chance.percent(50) { Mode::Delete } else { Mode::Expire };
    }
    if chance.percent(15) {
        plan.task.account = AccountId(2);
    }
    plan
}

fn random_areas(chance: &Chance) -> AreaSet {
    match chance.below(3) {
        0 => MAINLAND,
        1 => OVERSEAS,
        _ => AreaSet::Global,
    }
}

/// Some domains of which some may be seen; a host of none is not shown.
fn random_hosts(chance: &Chance) -> HostScope {
    let names = ["h0.test", "h1.test", "*.test"].map(|name| DomainName::parse(name).expect("a valid name"));
    let known = names.iter().filter(|_| chance.percent(70));
    HostScope::Some(Arc::new(HostTable::new(known, |_| chance.percent(50))))
}

fn random_query(chance: &Chance, settled: u64, heads: PerArea<u64>) -> HistoryQuery {
    let some = |percent| chance.percent(percent);
    let at = |offset: u64| UnixMillis(1_700_000_000_000 + chance.below(64) * 1_000 + offset);
    let keyword = match chance.below(6) {
        0 => {
            let host = HostName::parse(&format!("h{}.test", chance.below(4)));
            Some(Keyword::Host(host.expect("a valid host")))
        }
        1 => {
            let url = format!("http://h{}.test/{}", chance.below(3), chance.below(6));
            Some(Keyword::Url(url.into()))
        }
        _ => None,
    };
    let status = match chance.below(6) {
        0 => Some(ItemStatus::Done),
        1 => Some(ItemStatus::Process),
        2 => Some(ItemStatus::Fail),
        _ => None,
    };
    let filter = HistoryFilter {
        account: if some(80) { ACCOUNT } else { AccountId(2) },
        task: None,
        hosts: if some(40) { random_hosts(chance) } else { HostScope::All },
        kind: some(20).then(|| if some(50) { TaskKind::Url } else { TaskKind::Path }),
        from: some(30).then(|| at(0)),
        to: some(30).then(|| at(999)),
        keyword,
        areas: some(40).then(|| random_areas(chance)),
        status,
    };
    HistoryQuery {
        filter,
        offset: if some(50) { 0 } else { chance.below(300) },
        limit: u32::try_from(chance.below(40)).expect("small"),
        view: StatusView {
            // Never below what is settled: statuses are asked for after receipts are kept.
            watermark: PerArea {
                mainland: Seq(settled + chance.below(heads.mainland - settled + 1)),
                overseas: Seq(chance.below(heads.overseas + 1)),
            },
            now: UnixMillis(1_700_000_060_000),
            fail_after: Duration::from_secs(chance.below(90)),
        },
    }
}

/// Whatever stands in a keyword is compared, never carried out.
///
/// # Panics
/// When it is not.
pub async fn hostile_filters_find_nothing_and_break_nothing(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let id = submit(&pair, plan(1, &["http://a.test/'"], MAINLAND)).await;
    for keyword in ["' OR 1=1 --", "http://a.test/'; DROP TABLE task; --", "%", "", "\0", "http://a.test/%"] {
        let filter = HistoryFilter { keyword: Some(Keyword::Url(keyword.into())), ..all_of(ACCOUNT) };
        let page = pair.store.history(query(filter, 0, 0)).await.expect("readable");
        assert_eq!(page.total, 0, "{keyword:?}");
    }
    let filter =
        HistoryFilter { keyword: Some(Keyword::Url("http://a.test/'".into())), task: Some(id), ..all_of(ACCOUNT) };
    let page = pair.store.history(query(filter, 0, 0)).await.expect("readable");
    assert_eq!(page.total, 1);
}

/// Neither history nor task of another account is told.
///
/// # Panics
/// When one is.
pub async fn other_account_sees_nothing(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let id = submit(&pair, plan(1, &["http://a.test/1"], MAINLAND)).await;
    let other = AccountId(ACCOUNT.0 + 1);
    assert_eq!(pair.store.task(other, &id).await, Ok(None));
    for task in [None, Some(id)] {
        let filter = HistoryFilter { task, ..all_of(other) };
        let page = pair.store.history(query(filter, 0, 0)).await.expect("readable");
        assert_eq!((page.total, page.rows.len()), (0, 0));
    }
}
