//! The one thread that writes.
//!
//! What this is: it takes whatever waits in the queue, carries it out in one transaction, syncs
//! once and answers everyone: a group commit. What this is not: the SQL of each command; that is
//! in `apply`.
//!
//! Invariants: each command is decided by itself, so a refused one disturbs no other; nobody is
//! answered and no position announced before the commit; a failed commit leaves the positions in
//! memory as they were.

use std::sync::Arc;
use std::time::Duration;

use catharsis_core::area::{Area, PerArea};
use catharsis_core::audit::Audit;
use catharsis_core::clock::UnixMillis;
use catharsis_core::error::{ChangeError, StoreError, SubmitError};
use catharsis_core::invalidation::Seq;
use catharsis_core::notice::{Notice, Told};
use catharsis_core::plan::{Claim, Plan, Toll};
use catharsis_core::ports::Cursor;
use catharsis_core::push::EndedFetch;
use catharsis_core::receipt::Receipt;
use catharsis_core::record::Change;
use catharsis_core::target::{Encode, Mode};
use catharsis_core::task::{AccountId, TaskId, TaskKind};
use catharsis_core::topology::{Node, NodeId};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::checkpoint::Checkpoints;
use super::push::PushSubmission;
use super::{Shared, apply, audits, cursors, notices, push, records, schema};
use crate::codec::block;

/// Commands of one transaction. More would not make the shared sync noticeably cheaper, but each
/// would wait for all others.
const GROUP_MAX: usize = 512;

/// Where the answer to a command goes.
pub(super) type Reply<T, E> = oneshot::Sender<Result<T, E>>;

/// What the writer can be asked.
#[derive(Debug)]
pub(super) enum Command {
    Submit(Box<Submission>, Reply<TaskId, SubmitError>),
    SubmitPush(Box<PushSubmission>, Reply<TaskId, SubmitError>),
    EndFetch(Box<EndedFetch>, Reply<(), StoreError>),
    Change(u64, Vec<Change>, Reply<u64, ChangeError>),
    Told(Box<Notice>, Told, Reply<(), StoreError>),
    Advance(Box<Receipt>, Reply<(), StoreError>),
    KeepAudit(Box<Audit>, Reply<(), StoreError>),
    Cursors(Vec<Arc<Node>>, Reply<Vec<Cursor>, StoreError>),
    ForgetOthers(Vec<Arc<Node>>, Reply<Vec<NodeId>, StoreError>),
    Returned(NodeId, Area, Reply<(), StoreError>),
    Leased(NodeId, Area, Option<Duration>, Reply<(), StoreError>),
    Lapsed(NodeId, Area, Reply<(), StoreError>),
    Joined(NodeId, Area, Seq, Reply<(), StoreError>),
    Prune(UnixMillis, Reply<PruneStep, StoreError>),
}

/// What one step of pruning deleted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PruneStep {
    pub(super) tasks: u64,
    /// Rows of any table; 0 when nothing is left to do.
    pub(super) deleted: u64,
}

/// A plan whose items are encoded already: that is done by the caller, on any core.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) id: TaskId,
    pub(super) account: AccountId,
    pub(super) kind: TaskKind,
    pub(super) mode: Mode,
    pub(super) encode: Encode,
    pub(super) accepted_at: UnixMillis,
    pub(super) items: u64,
    /// Items in each area.
    pub(super) counts: PerArea<u64>,
    pub(super) block: Vec<u8>,
    pub(super) toll: Toll,
    pub(super) claim: Option<Claim>,
    pub(super) notify: Vec<Box<str>>,
    /// Its share of the queue's room, free again when it is answered.
    room: Option<OwnedSemaphorePermit>,
}

impl Submission {
    pub(super) fn new(plan: Plan) -> Result<Self, StoreError> {
        let Plan { task, toll, claim, notify } = plan;
        let count = |area: Area| {
            let there = task.items.iter().filter(|item| item.areas.contains(area));
            there.count() as u64
        };
        Ok(Self {
            block: block::encode(&task.items)?,
            items: task.items.len() as u64,
            counts: PerArea::from_fn(count),
            id: task.id,
            account: task.account,
            kind: task.kind,
            mode: task.mode,
            encode: task.encode,
            accepted_at: task.accepted_at,
            toll,
            claim,
            notify,
            room: None,
        })
    }

    pub(super) const fn block_len(&self) -> usize {
        self.block.len()
    }

    pub(super) fn hold(&mut self, room: OwnedSemaphorePermit) {
        self.room = Some(room);
    }
}

/// What the writer gives out, one after another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Positions {
    /// The row of the newest task.
    pub(super) row: i64,
    /// The newest position of each area.
    pub(super) heads: PerArea<Seq>,
    /// Rises whenever there may be more to prefetch.
    pub(super) pushes: u64,
}

/// The writing thread's state.
#[derive(Debug)]
pub(super) struct Writer {
    connection: Connection,
    queue: mpsc::Receiver<Command>,
    shared: Arc<Shared>,
    positions: Positions,
    checkpoints: Checkpoints,
}

/// Answers a command once it is known whether the transaction was kept.
type Answer = Box<dyn FnOnce(Result<(), StoreError>)>;

impl Writer {
    pub(super) const fn new(
        connection: Connection,
        queue: mpsc::Receiver<Command>,
        shared: Arc<Shared>,
        positions: Positions,
        checkpoints: Checkpoints,
    ) -> Self {
        Self { connection, queue, shared, positions, checkpoints }
    }

    /// Works until the store is closed and the queue is empty.
    pub(super) fn run(mut self) {
        while let Some(first) = self.queue.blocking_recv() {
            let mut group = vec![first];
            while group.len() < GROUP_MAX
                && let Ok(next) = self.queue.try_recv()
            {
                group.push(next);
            }
            self.commit(group);
        }
    }

    fn commit(&mut self, group: Vec<Command>) {
        let mut answers: Vec<Answer> = Vec::with_capacity(group.len());
        let mut positions = self.positions;
        let kept = transact(&mut self.connection, group, &mut positions, &mut answers);
        let kept = kept.map_err(|error| schema::io(&error));
        match &kept {
            Ok(()) => {
                self.positions = positions;
                self.publish();
                self.checkpoints.wanted();
            }
            Err(error) => tracing::error!(%error, "a transaction was not kept"),
        }
        for answer in answers {
            answer(kept.clone());
        }
    }

    /// Announces positions that are on disk.
    fn publish(&self) {
        for area in Area::ALL {
            let head = *self.positions.heads.get(area);
            self.shared.heads.get(area).send_if_modified(|shown| {
                let moved = *shown != head;
                *shown = head;
                moved
            });
        }
        let pushes = self.positions.pushes;
        self.shared.pushes.send_if_modified(|shown| {
            let moved = *shown != pushes;
            *shown = pushes;
            moved
        });
    }
}

/// Carries out a group and commits it. An error of SQLite itself (disk full, unreadable page) ends
/// the whole transaction, since nobody can tell what it left of its command; dropping the
/// transaction rolls it back. Commands of the group that were not reached are answered the same.
fn transact(
    connection: &mut Connection,
    group: Vec<Command>,
    positions: &mut Positions,
    answers: &mut Vec<Answer>,
) -> rusqlite::Result<()> {
    let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate);
    let mut failed = None;
    let tx = match begun {
        Ok(tx) => Some(tx),
        Err(error) => {
            failed = Some(error);
            None
        }
    };
    for command in group {
        let usable = tx.as_ref().filter(|_| failed.is_none());
        if let Err(error) = execute(usable, command, positions, answers) {
            failed = Some(error);
        }
    }
    match (tx, failed) {
        (Some(tx), None) => tx.commit(),
        (_, Some(error)) => Err(error),
        // Without a transaction there is always an error; nothing was written.
        (None, None) => Ok(()),
    }
}

/// Carries out one command, or, without a transaction, only prepares its answer.
fn execute(
    tx: Option<&Transaction<'_>>,
    command: Command,
    positions: &mut Positions,
    answers: &mut Vec<Answer>,
) -> rusqlite::Result<()> {
    match command {
        Command::Submit(submission, reply) => {
            let done = tx.map(|tx| apply::submit(tx, &submission, positions));
            // The submission's room in the queue is freed with it, after the answer.
            settle(done, reply, answers, Some(submission))
        }
        Command::SubmitPush(submission, reply) => {
            let done = tx.map(|tx| push::submit(tx, &submission.plan, positions));
            settle(done, reply, answers, None)
        }
        Command::EndFetch(ended, reply) => {
            let done = tx.map(|tx| push::end(tx, &ended, positions));
            settle(done, reply, answers, None)
        }
        Command::Change(generation, changes, reply) => {
            let done = tx.map(|tx| records::change(tx, generation, &changes));
            settle(done, reply, answers, None)
        }
        Command::Told(notice, told, reply) => {
            let done = tx.map(|tx| notices::told(tx, &notice, &told));
            settle(done, reply, answers, None)
        }
        Command::Advance(receipt, reply) => {
            let done = tx.map(|tx| apply::advance(tx, &receipt));
            settle(done, reply, answers, None)
        }
        Command::KeepAudit(audit, reply) => {
            let done = tx.map(|tx| audits::keep(tx, &audit));
            settle(done, reply, answers, None)
        }
        Command::Cursors(nodes, reply) => {
            let done = tx.map(|tx| cursors::of(tx, &nodes, &positions.heads));
            settle(done, reply, answers, None)
        }
        Command::ForgetOthers(nodes, reply) => {
            let done = tx.map(|tx| cursors::forget_others(tx, &nodes));
            settle(done, reply, answers, None)
        }
        Command::Returned(node, area, reply) => {
            let done = tx.map(|tx| cursors::returned(tx, &node, area));
            settle(done, reply, answers, None)
        }
        Command::Leased(node, area, lease, reply) => {
            let done = tx.map(|tx| cursors::leased(tx, &node, area, lease));
            settle(done, reply, answers, None)
        }
        Command::Lapsed(node, area, reply) => {
            let done = tx.map(|tx| cursors::lapsed(tx, &node, area));
            settle(done, reply, answers, None)
        }
        Command::Joined(node, area, cursor, reply) => {
            let done = tx.map(|tx| cursors::joined(tx, &node, area, cursor));
            settle(done, reply, answers, None)
        }
        Command::Prune(before, reply) => {
            let done = tx.map(|tx| apply::prune_step(tx, before, positions));
            settle(done, reply, answers, None)
        }
    }
}

/// Splits "SQLite failed" (ends the transaction) from "this command's own result".
fn settle<T: 'static, E: From<StoreError> + 'static>(
    done: Option<Result<Result<T, E>, rusqlite::Error>>,
    reply: Reply<T, E>,
    answers: &mut Vec<Answer>,
    held: Option<Box<Submission>>,
) -> rusqlite::Result<()> {
    let (result, fatal) = match done {
        None => (None, Ok(())),
        Some(Ok(result)) => (Some(result), Ok(())),
        Some(Err(error)) => (None, Err(error)),
    };
    answers.push(Box::new(move |kept: Result<(), StoreError>| {
        let answer = match (result, kept) {
            (Some(Err(own)), _) => Err(own),
            (_, Err(error)) => Err(E::from(error)),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(E::from(StoreError::Closed)),
        };
        drop(held);
        // A caller that has gone away does not need its answer; what it asked is kept all the same.
        let _gone = reply.send(answer);
    }));
    fatal
}
