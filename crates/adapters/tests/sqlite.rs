//! The embedded store keeps the port's word, and what only a file can break.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use catharsis_adapters::log::embedded::EmbeddedLog;
use catharsis_adapters::store::sqlite::{OpenError, SqliteOptions, SqliteStore};
use catharsis_core::area::{Area, AreaSet};
use catharsis_core::clock::UnixMillis;
use catharsis_core::error::{StoreError, SubmitError};
use catharsis_core::invalidation::Seq;
use catharsis_core::ports::{Cursor, Log, Membership, Store};
use catharsis_testkit::conformance::{Fixture, Pair};
use catharsis_testkit::plans::{behind, plan, shield};
use tempfile::TempDir;

const MAINLAND: AreaSet = AreaSet::One(Area::Mainland);

struct Sqlite {
    directory: TempDir,
    open: Option<Arc<SqliteStore>>,
}

impl Sqlite {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a writable temporary directory"), open: None }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("catharsis.db")
    }

    fn opened(&self) -> Result<(SqliteStore, EmbeddedLog), OpenError> {
        SqliteStore::open(&self.path(), SqliteOptions::default())
    }

    fn store(&self) -> (SqliteStore, EmbeddedLog) {
        self.opened().expect("it opens")
    }
}

#[async_trait]
impl Fixture for Sqlite {
    async fn open(&mut self) -> Pair {
        let (store, log) = self.store();
        let store = Arc::new(store);
        self.open = Some(Arc::clone(&store));
        Pair { store: store.clone(), log: Arc::new(log), pushes: store }
    }

    async fn reopen(&mut self) -> Pair {
        if let Some(store) = self.open.take() {
            store.close().await;
        }
        self.open().await
    }

    async fn prune(&mut self, before: UnixMillis) {
        let store = self.open.as_ref().expect("opened before");
        store.prune(before).await.expect("writable");
    }
}

catharsis_testkit::store_conformance!(Sqlite::new());

#[tokio::test]
async fn second_server_on_one_file_is_told_that_it_is_in_use() {
    let fixture = Sqlite::new();
    let (store, log) = fixture.store();
    let second = fixture.opened().map(|_| ());
    assert!(matches!(&second, Err(OpenError::InUse { .. })), "{second:?}");
    store.close().await;
    drop((store, log));
    fixture.store();
}

/// Version 6 did not keep whom a node fetches through: nobody moves by the upgrade, and the next move is seen.
#[tokio::test]
async fn store_that_did_not_keep_shields_takes_those_of_the_file_and_sees_the_next_move() {
    let fixture = Sqlite::new();
    let nodes = |of: &str| [shield("s1"), shield("s2"), behind("e", of)].map(Arc::new);
    let cursors = async |of: &str| -> Vec<Cursor> {
        let (store, _) = fixture.store();
        let cursors = store.cursors(&nodes(of)).await.expect("readable");
        store.close().await;
        cursors
    };
    let (store, _) = fixture.store();
    store.cursors(&nodes("s1")).await.expect("readable");
    store.submit(plan(1, &["http://a.test/1"], MAINLAND)).await.expect("writable");
    store.close().await;
    drop(store);
    let connection = rusqlite::Connection::open(fixture.path()).expect("a database");
    let before = "ALTER TABLE cursor DROP COLUMN shield; ALTER TABLE cursor DROP COLUMN stay; PRAGMA user_version = 6";
    connection.execute_batch(before).expect("editable");
    drop(connection);

    let upgraded = cursors("s1").await;
    assert_eq!((upgraded[2].membership, upgraded[2].stay), (Membership::Member, None), "it stays as it is");
    let moved = cursors("s2").await;
    assert_eq!((moved[2].membership, moved[0].stay), (Membership::Joining, None));
    assert!(moved[2].stay.is_some());
}

#[tokio::test]
async fn file_of_a_later_version_or_another_program_is_left_alone() {
    let fixture = Sqlite::new();
    let (store, _) = fixture.store();
    store.close().await;
    drop(store);
    let newer = "PRAGMA user_version = 99";
    let edit = |sql: &str| {
        let connection = rusqlite::Connection::open(fixture.path()).expect("a database");
        connection.execute_batch(sql).expect("editable");
    };
    edit(newer);
    let refused = fixture.opened().map(|_| ());
    assert!(matches!(&refused, Err(OpenError::Newer { found: 99, known: 7 })), "{refused:?}");
    edit("PRAGMA user_version = 1; PRAGMA application_id = 7");
    let refused = fixture.opened().map(|_| ());
    assert!(matches!(&refused, Err(OpenError::NotOurs)), "{refused:?}");
}

#[tokio::test]
async fn log_keeps_its_name() {
    let fixture = Sqlite::new();
    let (store, _) = fixture.store();
    let name = store.log_id().to_owned();
    store.close().await;
    drop(store);
    let (store, _) = fixture.store();
    assert_eq!(store.log_id(), name);
    assert_eq!(name.len(), 32);
    let other = Sqlite::new();
    assert_ne!(other.store().0.log_id(), name);
}

#[tokio::test]
async fn closing_finishes_what_was_asked_and_refuses_the_rest() {
    let fixture = Sqlite::new();
    let (store, log) = fixture.store();
    let store = Arc::new(store);
    let asked: Vec<_> = (0..200)
        .map(|id| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.submit(plan(id, &["http://a.test/1"], MAINLAND)).await })
        })
        .collect();
    log.wait(Area::Mainland, Seq::ZERO).await;
    store.close().await;
    let mut kept = 0;
    for call in asked {
        match call.await.expect("no panic") {
            Ok(_) => kept += 1,
            Err(error) => assert_eq!(error, SubmitError::Store(StoreError::Closed)),
        }
    }
    let late = store.submit(plan(999, &["http://a.test/1"], MAINLAND)).await;
    assert_eq!(late, Err(SubmitError::Store(StoreError::Closed)));
    drop((store, log));
    let wal = fixture.path().with_extension("db-wal");
    assert!(std::fs::metadata(wal).map_or(0, |it| it.len()) == 0, "all is in the main file");
    assert_eq!(fixture.store().1.head(Area::Mainland), Seq(kept));
}

#[tokio::test]
async fn full_queue_is_an_answer_and_not_a_wait() {
    let fixture = Sqlite::new();
    let options = SqliteOptions { queue_bytes: 1_024, ..SqliteOptions::default() };
    let (store, _log) = SqliteStore::open(&fixture.path(), options).expect("it opens");
    let store = Arc::new(store);
    let asked: Vec<_> = (0..400)
        .map(|id| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.submit(plan(id, &["http://a.test/1"], MAINLAND)).await })
        })
        .collect();
    let (mut kept, mut busy) = (0, 0);
    for call in asked {
        match call.await.expect("no panic") {
            Ok(_) => kept += 1,
            Err(error) => {
                assert_eq!(error, SubmitError::Store(StoreError::Busy));
                busy += 1;
            }
        }
    }
    assert!(kept > 0 && busy > 0, "{kept} kept, {busy} told to come again");
    store.submit(plan(500, &["http://a.test/1"], MAINLAND)).await.expect("room again");
}

#[tokio::test]
async fn full_disk_fails_the_calls_concerned_and_later_ones_work_again() {
    let fixture = Sqlite::new();
    let (store, log) = fixture.store();
    store.submit(plan(1, &["http://a.test/1"], MAINLAND)).await.expect("room");
    // SQLite's own limit of the file's size, as a full disk: a trigger that fails like one.
    let edit = |sql: &str| {
        let connection = rusqlite::Connection::open(fixture.path()).expect("a database");
        connection.busy_timeout(std::time::Duration::from_secs(5)).expect("settable");
        connection.execute_batch(sql).expect("editable");
    };
    edit(
        "CREATE TRIGGER full AFTER INSERT ON quota_used BEGIN SELECT raise(ROLLBACK, 'disk full'); END;
          CREATE TRIGGER full2 AFTER UPDATE ON quota_used BEGIN SELECT raise(ROLLBACK, 'disk full'); END;",
    );
    let full = store.submit(plan(2, &["http://a.test/2"], MAINLAND)).await;
    assert!(matches!(&full, Err(SubmitError::Store(StoreError::Io(_)))), "{full:?}");
    assert_eq!(log.head(Area::Mainland), Seq(1), "no position is taken");
    edit("DROP TRIGGER full; DROP TRIGGER full2;");
    store.submit(plan(3, &["http://a.test/3"], MAINLAND)).await.expect("room again");
    let read = log.read(Area::Mainland, Seq::ZERO, 9).await.expect("gapless");
    assert_eq!(read.iter().map(|it| it.seq.0).collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test]
async fn damaged_block_is_an_error_and_no_panic() {
    let fixture = Sqlite::new();
    let (store, log) = fixture.store();
    store.submit(plan(1, &["http://a.test/1"], MAINLAND)).await.expect("room");
    store.close().await;
    drop((store, log));
    let connection = rusqlite::Connection::open(fixture.path()).expect("a database");
    connection.execute_batch("UPDATE task SET block = x'0104ffffff'").expect("editable");
    drop(connection);
    let (_store, log) = fixture.store();
    let read = log.read(Area::Mainland, Seq::ZERO, 9).await;
    let corrupt = StoreError::Corrupt(String::new());
    let error = read.expect_err("nothing to read");
    assert_eq!(error.retryable(), corrupt.retryable(), "{error}");
}
