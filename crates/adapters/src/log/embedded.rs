//! The log of the embedded store.
//!
//! What this is: the port `Log` over the same SQLite file: the log of an area is its tasks in the
//! order of the positions that the writer gave them. What this is not: a copy of anything, except
//! for decoded tasks that several workers of an area are about to read.
//!
//! Invariant: a position is visible here only after its transaction is on disk.

use std::sync::Arc;

use async_trait::async_trait;
use catharsis_core::area::{Area, AreaSet};
use catharsis_core::clock::UnixMillis;
use catharsis_core::error::{LogError, StoreError};
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::ports::Log;
use catharsis_core::target::{Mode, Target};
use catharsis_core::task::TaskId;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use rusqlite::Connection;

use crate::codec::block::Block;
use crate::store::sqlite::Shared;
use crate::store::sqlite::reader::{LogRow, log_rows, logged_task};

/// A task ready to be read by the workers.
#[derive(Debug)]
struct Decoded {
    task: TaskId,
    mode: Mode,
    accepted_at: UnixMillis,
    targets: Vec<(AreaSet, Arc<Target>)>,
}

/// Weighs a task by its URLs.
#[derive(Clone, Debug)]
struct ByUrls;

impl Weighter<i64, Arc<Decoded>> for ByUrls {
    fn weight(&self, _row: &i64, task: &Arc<Decoded>) -> u64 {
        // One for the task itself; a task has at least one URL anyway.
        task.targets.len() as u64 + 1
    }
}

/// The log of the embedded store.
#[derive(Debug)]
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    decoded: Arc<Cache<i64, Arc<Decoded>, ByUrls>>,
}

impl EmbeddedLog {
    pub(crate) fn new(shared: Arc<Shared>, decoded_urls: usize) -> Self {
        let tasks = decoded_urls.min(4_096);
        Self { shared, decoded: Arc::new(Cache::with_weighter(tasks, decoded_urls as u64, ByUrls)) }
    }
}

#[async_trait]
impl Log for EmbeddedLog {
    fn head(&self, area: Area) -> Seq {
        *self.shared.heads.get(area).borrow()
    }

    async fn wait(&self, area: Area, after: Seq) -> Seq {
        let mut heads = self.shared.heads.get(area).subscribe();
        // The sender lives in `self.shared`, so waiting cannot fail while this future exists.
        let moved = heads.wait_for(|head| *head > after).await.map(|head| *head);
        match moved {
            Ok(head) => head,
            Err(_) => std::future::pending().await,
        }
    }

    async fn read(&self, area: Area, after: Seq, max: usize) -> Result<Vec<Invalidation>, LogError> {
        if after >= self.head(area) || max == 0 {
            return Ok(Vec::new());
        }
        let decoded = Arc::clone(&self.decoded);
        self.shared
            .readers
            .run(move |connection| {
                let rows = log_rows(connection, area, after, max)?;
                assemble(connection, &decoded, area, after, max, rows)
            })
            .await
    }
}

/// Makes the batch that follows `after` from the tasks that hold it.
fn assemble(
    connection: &Connection,
    decoded: &Cache<i64, Arc<Decoded>, ByUrls>,
    area: Area,
    after: Seq,
    max: usize,
    rows: Vec<LogRow>,
) -> Result<Vec<Invalidation>, LogError> {
    let mut batch = Vec::new();
    let mut next = after.plus(1);
    for row in rows {
        if batch.len() == max {
            break;
        }
        if row.first > next || row.first.plus(row.count) <= next {
            return Err(corrupt(format!("the log of {area} has a gap at {next}")));
        }
        let task = match decoded.get(&row.row) {
            Some(task) => task,
            None => {
                let task = Arc::new(decode(connection, row.row)?);
                decoded.insert(row.row, Arc::clone(&task));
                task
            }
        };
        let there = task.targets.iter().filter(|(areas, _)| areas.contains(area)).map(|(_, target)| target);
        let skipped = usize::try_from(next.distance_from(row.first)).unwrap_or(usize::MAX);
        let before = batch.len();
        for target in there.skip(skipped).take(max - before) {
            batch.push(Invalidation {
                seq: next,
                task: task.task.clone(),
                target: Arc::clone(target),
                mode: task.mode,
                accepted_at: task.accepted_at,
            });
            next = next.plus(1);
        }
        if batch.len() < max && next != row.first.plus(row.count) {
            return Err(corrupt(format!("task {} has fewer items than it says", task.task)));
        }
    }
    Ok(batch)
}

fn decode(connection: &Connection, row: i64) -> Result<Decoded, LogError> {
    let stored = logged_task(connection, row)?;
    let task = TaskId::parse(&stored.id).ok_or_else(|| corrupt("the id of a task is none".to_owned()))?;
    let items = Block::parse(&stored.block).and_then(|block| block.unpack()).map_err(StoreError::from)?;
    let mut targets = Vec::with_capacity(items.len());
    for (index, one) in items.into_iter().enumerate() {
        // Parsed anew from what was submitted, so that a rule changed in between cannot let
        // through what the planner of an older version did.
        let target = stored
            .kind
            .target(&one.item.url, stored.encode)
            .map_err(|why| corrupt(format!("item {index} of task {task}: {why}")))?;
        targets.push((one.item.areas, Arc::new(target)));
    }
    Ok(Decoded { task, mode: stored.mode, accepted_at: stored.accepted_at, targets })
}

fn corrupt(what: String) -> LogError {
    LogError::Store(StoreError::Corrupt(what))
}
