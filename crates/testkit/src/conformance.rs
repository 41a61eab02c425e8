//! What every store with its log, and every purger, must do.
//!
//! What this is: one function for each rule; [`store_conformance!`](crate::store_conformance) makes
//! a test of each. What this is not: tests of one implementation's inside.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use catharsis_core::area::{Area, AreaSet, PerArea};
use catharsis_core::clock::UnixMillis;
use catharsis_core::error::{LogError, SubmitError};
use catharsis_core::history::{HistoryFilter, HistoryQuery, Keyword};
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::ports::{Log, Membership, Purger, Store};
use catharsis_core::quota::QuotaExceeded;
use catharsis_core::receipt::{Outcome, Receipt, Refusal, Settled};
use catharsis_core::status::{ItemStatus, StatusView};
use catharsis_core::target::{CacheUrl, Encode, HostName, Mode, Target};
use catharsis_core::task::{AccountId, TaskId};
use catharsis_core::topology::{FenceStrength, Node};

use crate::client::{Fetched, Source};
use crate::mem_store::MemStore;
use crate::plans::{ACCOUNT, mixed, node, plan};
use crate::sim::Chance;

const MAINLAND: AreaSet = AreaSet::One(Area::Mainland);
const OVERSEAS: AreaSet = AreaSet::One(Area::Overseas);

/// A store and its log.
#[derive(Clone)]
pub struct Pair {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Its log.
    pub log: Arc<dyn Log>,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").finish_non_exhaustive()
    }
}

/// How the suite gets the stores that it tests.
#[async_trait]
pub trait Fixture: Send {
    /// An empty store.
    async fn open(&mut self) -> Pair;
    /// The same store after an orderly end and a new start.
    async fn reopen(&mut self) -> Pair;
    /// Forgets tasks accepted before this.
    async fn prune(&mut self, before: UnixMillis);
}

/// Makes a test of each rule for stores. The argument makes a new [`Fixture`].
#[macro_export]
macro_rules! store_conformance {
    ($fixture:expr) => {
        $crate::store_conformance!(@each $fixture;
            accepted_task_is_read_back_as_it_was,
            positions_are_gapless_in_each_area,
            reader_that_waits_is_woken_and_finds_the_task,
            quota_is_charged_whole_or_not_at_all,
            quota_is_never_exceeded_by_calls_at_once,
            repeated_task_id_is_refused_and_costs_nothing,
            new_node_begins_at_the_head_and_must_join_unless_the_log_is_empty,
            node_that_has_forgotten_everything_is_a_member,
            receipt_moves_the_cursor_once_however_often_it_comes,
            receipt_that_leaves_a_gap_is_an_error,
            receipts_are_found_by_the_positions_they_cover,
            refused_item_fails_and_no_other,
            history_agrees_with_the_plainest_store,
            hostile_filters_find_nothing_and_break_nothing,
            other_account_sees_nothing,
            everything_survives_a_restart,
            pruned_log_says_so_and_goes_on
        );
    };
    (@each $fixture:expr; $($rule:ident),+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                $crate::conformance::$rule(&mut $fixture).await;
            }
        )+
    };
}

fn urls_of(batch: &[Invalidation]) -> Vec<String> {
    let text = |invalidation: &Invalidation| match invalidation.target.as_ref() {
        Target::Url(url) => url.to_string(),
        Target::Everything => "everything".to_owned(),
    };
    batch.iter().map(text).collect()
}

async fn submit(pair: &Pair, plan: catharsis_core::plan::Plan) -> TaskId {
    let id = plan.task.id.clone();
    pair.store.submit(plan).await.expect("within the quota");
    id
}

fn receipt(node: &Node, after: u64, outcomes: Vec<Settled>) -> Receipt {
    Receipt {
        node: node.id.clone(),
        area: node.area,
        after: Seq(after),
        outcomes,
        fence: FenceStrength::Bounded,
        waited: Duration::from_secs(45),
        attempts: 3,
        at: UnixMillis(1_700_000_100_000 + after),
    }
}

async fn cursor(pair: &Pair, node: &Node) -> (Seq, Membership) {
    let node = Arc::new(node.clone());
    let cursors = pair.store.cursors(&[node]).await.expect("readable");
    (cursors[0].seq, cursors[0].membership)
}

/// What was submitted comes back letter by letter, with its positions.
///
/// # Panics
/// When it does not.
pub async fn accepted_task_is_read_back_as_it_was(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let mut plan = mixed(
        7,
        [("http://a.test/%7Ex?q='\"", MAINLAND), ("HTTP://B.test/é", AreaSet::Global), ("https://a.test", OVERSEAS)],
    );
    plan.task.encode = Encode::PercentEncode;
    let expect = plan.task.clone();
    let id = submit(&pair, plan).await;
    let record = pair.store.task(ACCOUNT, &id).await.expect("readable");
    let record = record.expect("just accepted");
    assert_eq!(record.task, expect);
    let first = PerArea { mainland: Some(Seq(1)), overseas: Some(Seq(1)) };
    assert_eq!(record.first, first);
    let absent = TaskId::parse("1-none").expect("an id");
    assert_eq!(pair.store.task(ACCOUNT, &absent).await, Ok(None));
}

/// Each area counts its own items, without a gap, and reads begin and end anywhere.
///
/// # Panics
/// When it does not.
pub async fn positions_are_gapless_in_each_area(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    submit(&pair, plan(1, &["http://a.test/1", "http://a.test/2"], AreaSet::Global)).await;
    submit(&pair, plan(2, &["http://a.test/3"], OVERSEAS)).await;
    let both = [("http://a.test/4", MAINLAND), ("http://a.test/5", OVERSEAS), ("http://a.test/6", AreaSet::Global)];
    let last = submit(&pair, mixed(3, both)).await;
    for (area, expect) in [(Area::Mainland, vec!["1", "2", "4", "6"]), (Area::Overseas, vec!["1", "2", "3", "5", "6"])]
    {
        let expect: Vec<String> = expect.iter().map(|it| format!("http://a.test/{it}")).collect();
        assert_eq!(pair.log.head(area), Seq(expect.len() as u64));
        for after in 0..=expect.len() {
            for max in 0..=expect.len() + 1 {
                let read = pair.log.read(area, Seq(after as u64), max).await;
                let read = read.expect("nothing is pruned");
                let end = (after + max).min(expect.len());
                assert_eq!(urls_of(&read), expect[after..end], "{area} {after} {max}");
                let seqs: Vec<u64> = read.iter().map(|it| it.seq.0).collect();
                assert!(seqs.iter().copied().eq(after as u64 + 1..=end as u64));
                assert!(read.iter().all(|it| it.mode == Mode::Delete));
            }
        }
    }
    let tail = pair.log.read(Area::Mainland, Seq(2), 9).await.expect("there");
    assert!(tail.iter().all(|it| it.task == last));
}

/// Waiting and then reading misses nothing.
///
/// # Panics
/// When it does.
pub async fn reader_that_waits_is_woken_and_finds_the_task(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let log = Arc::clone(&pair.log);
    let reader = tokio::spawn(async move {
        let mut seen = 0;
        while seen < 50 {
            let head = log.wait(Area::Mainland, Seq(seen)).await;
            let read = log.read(Area::Mainland, Seq(seen), 100).await.expect("there");
            assert!(read.len() as u64 >= head.0 - seen, "what was announced is there");
            seen += read.len() as u64;
        }
    });
    for id in 0..50 {
        submit(&pair, plan(id, &[&format!("http://a.test/{id}")], MAINLAND)).await;
        assert!(pair.log.head(Area::Mainland) >= Seq(id + 1), "announced when answered");
    }
    let read = tokio::time::timeout(Duration::from_secs(20), reader).await;
    read.expect("woken in time").expect("no assertion failed");
}

/// A plan that exceeds one area's quota changes nothing in any.
///
/// # Panics
/// When it does.
pub async fn quota_is_charged_whole_or_not_at_all(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let urls = ["http://a.test/1", "http://a.test/2"];
    let mut first = plan(1, &urls, MAINLAND);
    first.quota = PerArea { mainland: 3, overseas: 10 };
    let (day, quota) = (first.day, first.quota);
    submit(&pair, first).await;
    let mut second = plan(2, &urls, AreaSet::Global);
    second.quota = quota;
    let second_id = second.task.id.clone();
    let refused = pair.store.submit(second).await;
    let exceeded = QuotaExceeded { area: Area::Mainland, available: 1, needed: 2 };
    assert_eq!(refused, Err(SubmitError::QuotaExceeded(exceeded)));
    let used = pair.store.quota_used(ACCOUNT, day).await;
    let expect = PerArea { mainland: 2, overseas: 0 };
    assert_eq!(used, Ok(expect));
    assert_eq!(pair.log.head(Area::Overseas), Seq::ZERO);
    assert_eq!(pair.store.task(ACCOUNT, &second_id).await, Ok(None));
    let other = AccountId(ACCOUNT.0 + 1);
    assert_eq!(pair.store.quota_used(other, day).await, Ok(PerArea::default()));
}

/// Calls that meet in one transaction are decided one by one.
///
/// # Panics
/// When they are not.
pub async fn quota_is_never_exceeded_by_calls_at_once(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let calls = (0..60u64).map(|id| {
        let store = Arc::clone(&pair.store);
        let mut plan = plan(id % 5, &["http://a.test/1", "http://a.test/2"], MAINLAND);
        plan.task.id = TaskId::new(UnixMillis(1), id);
        plan.quota.mainland = 41;
        tokio::spawn(async move { store.submit(plan).await })
    });
    let mut kept = 0;
    for call in calls.collect::<Vec<_>>() {
        match call.await.expect("no panic") {
            Ok(()) => kept += 1,
            Err(SubmitError::QuotaExceeded(exceeded)) => assert_eq!(exceeded.available, 1),
            Err(SubmitError::Store(error)) => panic!("{error}"),
        }
    }
    assert_eq!(kept, 20);
    assert_eq!(pair.log.head(Area::Mainland), Seq(40));
    let read = pair.log.read(Area::Mainland, Seq::ZERO, 100).await;
    let tasks: HashSet<TaskId> = read.expect("there").into_iter().map(|it| it.task).collect();
    assert_eq!(tasks.len(), 20);
}

/// An id that meets an older one is refused without any trace.
///
/// # Panics
/// When it is not.
pub async fn repeated_task_id_is_refused_and_costs_nothing(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let one = plan(1, &["http://a.test/1"], MAINLAND);
    submit(&pair, one.clone()).await;
    assert!(matches!(pair.store.submit(one.clone()).await, Err(SubmitError::Store(_))));
    let used = pair.store.quota_used(ACCOUNT, one.day).await;
    assert_eq!(used.map(|used| used.mainland), Ok(1));
    submit(&pair, plan(2, &["http://a.test/2"], MAINLAND)).await;
    assert_eq!(pair.log.head(Area::Mainland), Seq(2));
}

/// Where a node begins is decided once.
///
/// # Panics
/// When it is not.
pub async fn new_node_begins_at_the_head_and_must_join_unless_the_log_is_empty(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let (early, late) = (node("early"), node("late"));
    assert_eq!(cursor(&pair, &early).await, (Seq(0), Membership::Member));
    submit(&pair, plan(1, &["http://a.test/1"], MAINLAND)).await;
    assert_eq!(cursor(&pair, &late).await, (Seq(1), Membership::Joining));
    submit(&pair, plan(2, &["http://a.test/2"], MAINLAND)).await;
    assert_eq!(cursor(&pair, &early).await, (Seq(0), Membership::Member));
    assert_eq!(cursor(&pair, &late).await, (Seq(1), Membership::Joining));
    let elsewhere = Node { area: Area::Overseas, ..late };
    assert_eq!(cursor(&pair, &elsewhere).await, (Seq(0), Membership::Member));
}

/// Joining moves a cursor forward only.
///
/// # Panics
/// When it does not.
pub async fn node_that_has_forgotten_everything_is_a_member(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let late = node("late");
    for id in 1..=3 {
        submit(&pair, plan(id, &["http://a.test/1"], MAINLAND)).await;
    }
    assert_eq!(cursor(&pair, &late).await, (Seq(3), Membership::Joining));
    for upto in [2, 5, 4] {
        let joined = pair.store.joined(&late.id, late.area, Seq(upto)).await;
        joined.expect("writable");
    }
    assert_eq!(cursor(&pair, &late).await, (Seq(5), Membership::Member));
}

/// A receipt may come again, and late.
///
/// # Panics
/// When that changes something.
pub async fn receipt_moves_the_cursor_once_however_often_it_comes(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let node = node("n");
    cursor(&pair, &node).await;
    let urls = ["http://a.test/1", "http://a.test/2", "http://a.test/3"];
    submit(&pair, plan(1, &urls, MAINLAND)).await;
    let first = receipt(&node, 0, vec![Settled::Applied, Settled::Absent]);
    let second = receipt(&node, 2, vec![Settled::Applied]);
    for receipt in [&first, &first, &second, &first, &second] {
        pair.store.advance(receipt.clone()).await.expect("writable");
    }
    assert_eq!(cursor(&pair, &node).await, (Seq(3), Membership::Member));
    let kept = pair.store.receipts(Area::Mainland, Seq(1), Seq(3)).await;
    assert_eq!(kept, Ok(vec![first, second.clone()]));
    let cursors = pair.store.cursors(&[Arc::new(node)]).await.expect("readable");
    assert_eq!(cursors[0].last_receipt, Some(second.at));
}

/// What lies between the cursor and a receipt would never be settled.
///
/// # Panics
/// When it is passed over.
pub async fn receipt_that_leaves_a_gap_is_an_error(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let node = node("n");
    cursor(&pair, &node).await;
    submit(&pair, plan(1, &["http://a.test/1", "http://a.test/2"], MAINLAND)).await;
    let gap = receipt(&node, 1, vec![Settled::Applied]);
    assert!(pair.store.advance(gap).await.is_err());
    assert_eq!(cursor(&pair, &node).await, (Seq(0), Membership::Member));
    let kept = pair.store.receipts(Area::Mainland, Seq(1), Seq(2)).await;
    assert_eq!(kept, Ok(Vec::new()));
}

/// Receipts of several nodes with other bounds each.
///
/// # Panics
/// When one is missed or one too many is found.
pub async fn receipts_are_found_by_the_positions_they_cover(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let nodes = [node("a"), node("b"), node("c")];
    for node in &nodes {
        cursor(&pair, node).await;
    }
    let urls: Vec<String> = (0..12).map(|it| format!("http://a.test/{it}")).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    submit(&pair, plan(1, &urls, MAINLAND)).await;
    let mut all = Vec::new();
    for (node, steps) in nodes.iter().zip([vec![1u64; 12], vec![5, 7], vec![2, 3]]) {
        let mut after = 0;
        for step in steps {
            let outcomes = vec![Settled::Applied; usize::try_from(step).expect("small")];
            let one = receipt(node, after, outcomes);
            pair.store.advance(one.clone()).await.expect("writable");
            all.push(one);
            after += step;
        }
    }
    for first in 1..=12u64 {
        for last in first..=12 {
            let found = pair.store.receipts(Area::Mainland, Seq(first), Seq(last)).await;
            let found: HashSet<(String, Seq)> =
                found.expect("readable").iter().map(|it| (it.node.to_string(), it.after)).collect();
            let expect: HashSet<(String, Seq)> = all
                .iter()
                .filter(|it| it.after.0 < last && it.cursor().0 >= first)
                .map(|it| (it.node.to_string(), it.after))
                .collect();
            assert_eq!(found, expect, "{first} to {last}");
        }
    }
    let elsewhere = pair.store.receipts(Area::Overseas, Seq(1), Seq(12)).await;
    assert_eq!(elsewhere, Ok(Vec::new()));
}

fn all_of(account: AccountId) -> HistoryFilter {
    HistoryFilter { account, task: None, kind: None, from: None, to: None, keyword: None, areas: None, status: None }
}

fn query(filter: HistoryFilter, mainland: u64, overseas: u64) -> HistoryQuery {
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
        kind: some(20).then_some(catharsis_core::task::TaskKind::Url),
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

/// Tasks, positions, cursors, receipts, refusals and quotas outlive the process.
///
/// # Panics
/// When they do not.
pub async fn everything_survives_a_restart(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let node = node("n");
    cursor(&pair, &node).await;
    let first = plan(1, &["http://a.test/1", "http://a.test/2"], AreaSet::Global);
    let day = first.day;
    let id = submit(&pair, first).await;
    let one = receipt(&node, 0, vec![Settled::Refused(Refusal::Unsupported)]);
    pair.store.advance(one.clone()).await.expect("writable");
    let before = pair.store.history(query(all_of(ACCOUNT), 1, 0)).await;
    drop(pair);

    let pair = fixture.reopen().await;
    assert_eq!(pair.log.head(Area::Mainland), Seq(2));
    assert_eq!(cursor(&pair, &node).await, (Seq(1), Membership::Member));
    let receipts = pair.store.receipts(Area::Mainland, Seq(1), Seq(2)).await;
    assert_eq!(receipts, Ok(vec![one]));
    let after = pair.store.history(query(all_of(ACCOUNT), 1, 0)).await;
    assert_eq!(after, before);
    let used = pair.store.quota_used(ACCOUNT, day).await;
    assert_eq!(used.map(|used| used.overseas), Ok(2));
    assert!(pair.store.task(ACCOUNT, &id).await.expect("readable").is_some());
    submit(&pair, plan(2, &["http://a.test/3"], MAINLAND)).await;
    let tail = pair.log.read(Area::Mainland, Seq(2), 9).await.expect("there");
    assert_eq!(urls_of(&tail), ["http://a.test/3"]);
}

/// A reader behind the floor is told, one at the floor reads on, and the head does not move.
///
/// # Panics
/// When it is not so.
pub async fn pruned_log_says_so_and_goes_on(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let node = node("n");
    cursor(&pair, &node).await;
    for id in 1..=600 {
        submit(&pair, plan(id, &["http://a.test/1", "http://a.test/2"], MAINLAND)).await;
    }
    let early = receipt(&node, 0, vec![Settled::Applied; 4]);
    pair.store.advance(early).await.expect("writable");
    fixture.prune(UnixMillis(1_700_000_000_000 + 590 * 1_000)).await;
    drop(pair);
    let pair = fixture.reopen().await;
    let head = Seq(1_200);
    assert_eq!(pair.log.head(Area::Mainland), head);
    let behind = pair.log.read(Area::Mainland, Seq(1_177), 9).await;
    let after = Seq(1_177);
    assert_eq!(behind, Err(LogError::Truncated { after }));
    let there = pair.log.read(Area::Mainland, Seq(1_178), 100).await;
    assert_eq!(there.map(|read| read.len()), Ok(22));
    let page = pair.store.history(query(all_of(ACCOUNT), 0, 0)).await;
    assert_eq!(page.map(|page| page.total), Ok(22));
    let receipts = pair.store.receipts(Area::Mainland, Seq(1), Seq(1_200)).await;
    assert_eq!(receipts, Ok(Vec::new()));

    fixture.prune(UnixMillis(u64::MAX)).await;
    drop(pair);
    let pair = fixture.reopen().await;
    assert_eq!(pair.log.head(Area::Mainland), head, "the head outlives what it counted");
    let id = submit(&pair, plan(700, &["http://a.test/9"], MAINLAND)).await;
    let tail = pair.log.read(Area::Mainland, head, 9).await.expect("there");
    assert_eq!(tail.first().map(|it| (it.seq, it.task.clone())), Some((Seq(1_201), id)));
}

/// An invalidation of one URL, at a position.
///
/// # Panics
/// When it is no valid URL.
#[must_use]
pub fn invalidation(seq: u64, url: &str) -> Invalidation {
    let url = CacheUrl::parse(url, Encode::AsSubmitted).expect("a test's URL is valid");
    Invalidation {
        seq: Seq(seq),
        task: TaskId::new(UnixMillis(0), seq),
        target: Target::Url(url).into(),
        mode: Mode::Delete,
        accepted_at: UnixMillis(0),
    }
}

/// A purger purges: miss, hit, purge, miss; and says so when there is nothing.
///
/// `fetch` asks the cache for the URL, as a client would.
///
/// # Panics
/// When it does not.
pub async fn assert_purges<F>(purger: &dyn Purger, url: &str, mut fetch: impl FnMut() -> F)
where
    F: Future<Output = Fetched>,
{
    assert_eq!(fetch().await.source(), Source::Miss, "{url}: at first");
    assert_eq!(fetch().await.source(), Source::Hit, "{url}: kept");
    let purge = [invalidation(1, url)];
    assert_eq!(purger.apply(&purge).await, [Outcome::Applied], "{url}: purge");
    assert_eq!(fetch().await.source(), Source::Miss, "{url}: gone");
    assert_eq!(purger.apply(&purge).await, [Outcome::Applied], "{url}: again");
    assert_eq!(purger.apply(&purge).await, [Outcome::Absent], "{url}: nothing left");
}
