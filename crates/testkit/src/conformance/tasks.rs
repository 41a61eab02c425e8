//! Rules for tasks, quotas and the log.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use catharsis_core::area::{Area, AreaSet, PerArea};
use catharsis_core::clock::UnixMillis;
use catharsis_core::error::{LogError, SubmitError};
use catharsis_core::invalidation::Seq;
use catharsis_core::ports::Membership;
use catharsis_core::quota::{PerKind, QuotaExceeded, QuotaKind};
use catharsis_core::receipt::{Refusal, Settled};
use catharsis_core::target::{Encode, Mode};
use catharsis_core::task::{AccountId, TaskId};

use super::history::{all_of, query};
use super::{Fixture, MAINLAND, OVERSEAS, cursor, receipt, submit, urls_of};
use crate::plans::{ACCOUNT, mixed, node, plan};

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
    assert_eq!(pair.store.account_of(&absent).await, Ok(None));
    assert_eq!(pair.store.account_of(&id).await, Ok(Some(ACCOUNT)));
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
    first.toll.quota = PerArea { mainland: 3, overseas: 10 };
    let (day, quota) = (first.toll.day, first.toll.quota);
    submit(&pair, first).await;
    let mut second = plan(2, &urls, AreaSet::Global);
    second.toll.quota = quota;
    let second_id = second.task.id.clone();
    let refused = pair.store.submit(second).await;
    let exceeded = QuotaExceeded { kind: QuotaKind::Url, area: Area::Mainland, available: 1, needed: 2 };
    assert_eq!(refused, Err(SubmitError::QuotaExceeded(exceeded)));
    let used = pair.store.quota_used(ACCOUNT, day).await;
    let expect = PerKind { url: PerArea { mainland: 2, overseas: 0 }, ..PerKind::default() };
    assert_eq!(used, Ok(expect));
    assert_eq!(pair.log.head(Area::Overseas), Seq::ZERO);
    assert_eq!(pair.store.task(ACCOUNT, &second_id).await, Ok(None));
    let other = AccountId(ACCOUNT.0 + 1);
    assert_eq!(pair.store.quota_used(other, day).await, Ok(PerKind::default()));
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
        plan.toll.quota.mainland = 41;
        tokio::spawn(async move { store.submit(plan).await })
    });
    let mut kept = 0;
    for call in calls.collect::<Vec<_>>() {
        match call.await.expect("no panic") {
            Ok(_) => kept += 1,
            Err(SubmitError::QuotaExceeded(exceeded)) => assert_eq!(exceeded.available, 1),
            Err(error @ (SubmitError::Store(_) | SubmitError::TokenReused(_))) => panic!("{error}"),
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
    let used = pair.store.quota_used(ACCOUNT, one.toll.day).await;
    assert_eq!(used.map(|used| used.url.mainland), Ok(1));
    submit(&pair, plan(2, &["http://a.test/2"], MAINLAND)).await;
    assert_eq!(pair.log.head(Area::Mainland), Seq(2));
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
    let day = first.toll.day;
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
    assert_eq!(used.map(|used| used.url.overseas), Ok(2));
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
