//! Rules for what a store keeps beside tasks: claims, notices, records.

use std::sync::Arc;

use catharsis_core::area::{AreaSet, PerArea};
use catharsis_core::clock::UnixMillis;
use catharsis_core::error::{ChangeError, SubmitError};
use catharsis_core::invalidation::Seq;
use catharsis_core::limits::CLIENT_TOKEN_KEPT;
use catharsis_core::notice::{Notice, Told};
use catharsis_core::plan::{Claim, Plan};
use catharsis_core::record::{Change, Record, RecordKey};
use catharsis_core::status::StatusView;
use catharsis_core::target::{Mode, Target};
use catharsis_core::task::{AccountId, TaskId, TaskKind};

use super::{Fixture, MAINLAND, Pair, submit};
use crate::plans::{ACCOUNT, plan};

fn claiming(id: u64, token: &str, digest: u8) -> Plan {
    let claim = Some(Claim { token: token.into(), digest: [digest; 32] });
    Plan { claim, ..plan(id, &["http://a.test/1"], MAINLAND) }
}

/// A repeated call under one token is the first one, and costs nothing; another content is refused.
///
/// # Panics
/// When it is not so.
pub async fn claim_is_kept_once_for_a_day(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let first = claiming(1, "t", 1);
    let (id, toll) = (first.task.id.clone(), first.toll);
    assert_eq!(pair.store.submit(first).await, Ok(id.clone()));
    assert_eq!(pair.store.submit(claiming(2, "t", 1)).await, Ok(id.clone()));
    assert_eq!(pair.store.submit(claiming(3, "t", 2)).await, Err(SubmitError::TokenReused(id.clone())));
    let of_another = Plan {
        task: catharsis_core::task::Task { account: AccountId(2), ..claiming(4, "t", 2).task },
        ..claiming(4, "t", 2)
    };
    assert!(pair.store.submit(of_another).await.is_ok(), "tokens belong to an account");
    let used = pair.store.quota_used(ACCOUNT, toll.day).await.expect("readable");
    assert_eq!(used.url.mainland, 1, "repeats are free");
    assert_eq!(pair.log.head(catharsis_core::area::Area::Mainland), Seq(2));

    drop(pair);
    let pair = fixture.reopen().await;
    let claim = Claim { token: "t".into(), digest: [1; 32] };
    let since = UnixMillis(1_700_000_001_000);
    assert_eq!(pair.store.claimed(ACCOUNT, &claim, since).await, Ok(Some(id)));
    assert_eq!(pair.store.claimed(ACCOUNT, &claim, UnixMillis(since.0 + 1)).await, Ok(None), "too old");
    let next_day = claiming(2 + CLIENT_TOKEN_KEPT.as_secs(), "t", 9);
    let next_id = next_day.task.id.clone();
    assert_eq!(pair.store.submit(next_day).await, Ok(next_id), "a day later the token is free");
}

/// Calls at once under one token make one task.
///
/// # Panics
/// When they make more.
pub async fn claims_at_once_make_one_task(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let calls = (0..32u64).map(|id| {
        let store = Arc::clone(&pair.store);
        tokio::spawn(async move { store.submit(claiming(id, "t", 1)).await })
    });
    let mut ids = std::collections::HashSet::new();
    for call in calls.collect::<Vec<_>>() {
        ids.insert(call.await.expect("no panic").expect("accepted"));
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(pair.log.head(catharsis_core::area::Area::Mainland), Seq(1));
}

fn view(mainland: u64, overseas: u64, now: u64) -> StatusView {
    StatusView {
        watermark: PerArea { mainland: Seq(mainland), overseas: Seq(overseas) },
        now: UnixMillis(1_700_000_000_000 + now * 1_000),
        fail_after: std::time::Duration::from_secs(600),
    }
}

async fn due(pair: &Pair, view: StatusView) -> Vec<(TaskId, String)> {
    let due = pair.store.notices_due(view, 10).await.expect("readable");
    due.into_iter().map(|it| (it.task, it.endpoint.into_string())).collect()
}

/// A notice is due when its task has ended everywhere, or is overdue; once for each endpoint.
///
/// # Panics
/// When it is not so.
pub async fn notice_is_due_when_its_task_has_ended(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let notify = vec!["a".into(), "b".into()];
    let id = submit(&pair, Plan { notify, ..plan(1, &["http://a.test/1", "http://a.test/2"], AreaSet::Global) }).await;
    submit(&pair, plan(2, &["http://a.test/3"], MAINLAND)).await;
    assert_eq!(due(&pair, view(2, 1, 5)).await, []);
    assert_eq!(due(&pair, view(1, 2, 5)).await, []);
    let both = vec![(id.clone(), "a".to_owned()), (id.clone(), "b".to_owned())];
    assert_eq!(due(&pair, view(2, 2, 5)).await, both);
    assert_eq!(due(&pair, view(0, 0, 602)).await, both, "overdue");
    drop(pair);
    let pair = fixture.reopen().await;
    assert_eq!(due(&pair, view(2, 2, 5)).await, both);
}

/// A notice is told until it is confirmed or given up, and what failed is told about.
///
/// # Panics
/// When it is not so.
pub async fn notice_is_told_until_it_is_confirmed_or_given_up(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let notify = vec!["a".into(), "b".into()];
    let id = submit(&pair, Plan { notify, ..plan(1, &["http://a.test/1"], MAINLAND) }).await;
    let notice =
        |endpoint: &str, attempts| Notice { task: id.clone(), account: ACCOUNT, endpoint: endpoint.into(), attempts };
    let tell = async |endpoint, attempts, told| pair.store.told(&notice(endpoint, attempts), told).await.expect("kept");
    tell("a", 0, Told::Confirmed).await;
    let later = UnixMillis(1_700_000_000_000 + 9_000);
    let again = Told::Again { at: later, why: "no answer".into() };
    tell("b", 0, again.clone()).await;
    tell("b", 0, again).await;
    assert_eq!(due(&pair, view(1, 0, 8)).await, [], "not before its time");
    assert_eq!(pair.store.notices_due(view(1, 0, 9), 10).await, Ok(vec![notice("b", 1)]));
    let open = pair.store.undelivered(ACCOUNT, "b", 10).await.expect("readable");
    assert_eq!(open.len(), 1);
    assert_eq!((open[0].notice.attempts, open[0].again, &*open[0].why), (1, Some(later), "no answer"));
    tell("b", 1, Told::GaveUp { why: "gone".into() }).await;
    assert_eq!(due(&pair, view(1, 0, 999)).await, []);
    let given_up = pair.store.undelivered(ACCOUNT, "b", 10).await.expect("readable");
    assert_eq!((given_up[0].notice.attempts, given_up[0].again, &*given_up[0].why), (2, None, "gone"));
    assert_eq!(pair.store.undelivered(ACCOUNT, "a", 10).await, Ok(vec![]));
}

fn record(kind: &str, id: &str, value: &str) -> Record {
    Record { key: RecordKey { kind: kind.into(), id: id.into() }, value: value.into() }
}

/// Changes are kept whole, on top of the newest generation only.
///
/// # Panics
/// When they are not.
pub async fn records_change_whole_and_only_on_top_of_the_newest(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    assert_eq!(pair.store.records().await.map(|it| it.generation), Ok(0));
    let (one, two) = (record("a", "1", "x"), record("b", "1", "'; DROP TABLE record; --"));
    let put = |record: &Record| Change::Put(record.clone());
    assert_eq!(pair.store.change(0, vec![put(&one), put(&two)]).await, Ok(1));
    assert_eq!(pair.store.change(0, vec![Change::Delete(one.key.clone())]).await, Err(ChangeError::Outdated));
    let newer = record("a", "1", "y");
    let absent = RecordKey { kind: "a".into(), id: "absent".into() };
    assert_eq!(pair.store.change(1, vec![put(&newer), Change::Delete(absent)]).await, Ok(2));
    drop(pair);
    let pair = fixture.reopen().await;
    let records = pair.store.records().await.expect("readable");
    assert_eq!((records.generation, records.all), (2, vec![newer.clone(), two]));
    assert_eq!(pair.store.change(2, vec![Change::Delete(newer.key)]).await, Ok(3));
    assert_eq!(pair.store.records().await.map(|it| it.all.len()), Ok(1));
}

/// A task of directories is read back as such, and so are its invalidations.
///
/// # Panics
/// When they are not.
pub async fn directories_and_their_mode_are_read_back(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let mut plan = plan(1, &["http://a.test/img/"], MAINLAND);
    plan.task.kind = TaskKind::Path;
    plan.task.mode = Mode::Expire;
    let task = plan.task.clone();
    submit(&pair, plan).await;
    drop(pair);
    let pair = fixture.reopen().await;
    let found = pair.store.task(ACCOUNT, &task.id).await.expect("readable").expect("kept");
    assert_eq!(found.task, task);
    let read = pair.log.read(catharsis_core::area::Area::Mainland, Seq::ZERO, 1).await.expect("there");
    assert_eq!(read[0].mode, Mode::Expire);
    assert!(matches!(read[0].target.as_ref(), Target::Prefix(prefix) if prefix.to_string() == "http://a.test/img/"));
}
