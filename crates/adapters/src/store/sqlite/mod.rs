//! The embedded store: one SQLite file.
//!
//! What this is: [`SqliteStore`], the port `Store` over a file that this process holds alone. One
//! thread writes, many submissions a transaction (`writer`); a second one copies the write-ahead
//! log back (`checkpoint`); reads use a few connections of their own (`reader`, `history`).
//!
//! Invariants: a call is answered after its transaction is on disk; positions are gapless, since
//! only the writer gives them; a position is announced after its transaction is on disk.

mod apply;
mod audits;
mod checkpoint;
mod cursors;
mod history;
mod notices;
mod push;
pub(crate) mod reader;
mod records;
mod schema;
mod writer;

use std::fs::{File, OpenOptions, TryLockError};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use catharsis_core::area::{Area, PerArea};
use catharsis_core::audit::Audit;
use catharsis_core::clock::UnixMillis;
use catharsis_core::error::{ChangeError, StoreError, SubmitError};
use catharsis_core::history::{HistoryPage, HistoryQuery, TaskRecord};
use catharsis_core::invalidation::Seq;
use catharsis_core::notice::{Notice, Told, Undelivered};
use catharsis_core::plan::{Claim, Plan};
use catharsis_core::ports::{Cursor, Store};
use catharsis_core::push::ports::{PushPage, PushQuery, PushStore};
use catharsis_core::push::{EndedFetch, OpenFetch, PushPlan};
use catharsis_core::quota::{PerKind, QuotaDay};
use catharsis_core::receipt::Receipt;
use catharsis_core::record::{Change, Records};
use catharsis_core::status::StatusView;
use catharsis_core::task::{AccountId, TaskId};
use catharsis_core::topology::{Node, NodeId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::log::embedded::EmbeddedLog;
use crate::store::sqlite::push::PushSubmission;
use crate::store::sqlite::reader::Readers;
use crate::store::sqlite::writer::{Command, Reply, Submission, Writer};

/// What may be set when a store is opened.
#[derive(Clone, Copy, Debug)]
pub struct SqliteOptions {
    /// Calls that may wait for the writer; the next one is answered `Busy`. Default 4,096: at the
    /// slowest commit rate seen (750/s, a hundred calls each) that is well under a second.
    pub queue: NonZeroUsize,
    /// Bytes of encoded tasks that may wait for the writer. Default 64 MiB.
    pub queue_bytes: u32,
    /// Connections for reads. Default 4: reads are short, and each keeps up to 2 MiB of pages.
    pub readers: NonZeroUsize,
    /// Decoded URLs kept for the workers of an area, which all read the same ones. Default 65,536
    /// (about 15 MiB).
    pub decoded_urls: NonZeroUsize,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        const fn positive(value: usize) -> NonZeroUsize {
            match NonZeroUsize::new(value) {
                Some(value) => value,
                None => NonZeroUsize::MIN,
            }
        }
        Self { queue: positive(4_096), queue_bytes: 64 << 20, readers: positive(4), decoded_urls: positive(65_536) }
    }
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process (or another store of this one) has it open.
    #[error("{} is in use: another server holds {}", path.display(), lock.display())]
    InUse {
        /// The store.
        path: PathBuf,
        /// The file whose lock is held.
        lock: PathBuf,
    },
    /// A later program wrote it.
    #[error("it has schema version {found}; this program knows versions up to {known}")]
    Newer {
        /// Its version.
        found: i32,
        /// The newest that is known.
        known: i32,
    },
    /// It is a database of something else.
    #[error("it is a database of another program")]
    NotOurs,
    /// What it holds cannot be understood.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// SQLite cannot open or change it.
    #[error("SQLite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The lock file or a thread cannot be made.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// What the store and its log share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) readers: Readers,
    /// The newest position of each area that is on disk.
    pub(crate) heads: PerArea<watch::Sender<Seq>>,
    /// Rises whenever there may be more to prefetch.
    pub(crate) pushes: watch::Sender<u64>,
    /// Held as long as anything may touch the file.
    _lock: File,
}

/// The embedded store.
#[derive(Debug)]
pub struct SqliteStore {
    shared: Arc<Shared>,
    /// `None` once closed. The lock is held only to put a command into the queue, never while waiting.
    queue: Mutex<Option<tokio::sync::mpsc::Sender<Command>>>,
    room: Arc<Semaphore>,
    room_total: u32,
    log_id: Box<str>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl SqliteStore {
    /// Opens or creates the store in this file and starts its two threads.
    ///
    /// # Errors
    /// [`OpenError`] when the file is in use, of a later version, damaged or not accessible.
    pub fn open(path: &Path, options: SqliteOptions) -> Result<(Self, EmbeddedLog), OpenError> {
        let lock = lock(path)?;
        let mut connection = schema::connect(path)?;
        schema::migrate(&mut connection)?;
        let log_id: String =
            connection.query_row("SELECT value FROM meta WHERE name = 'log_id'", [], |row| row.get(0))?;
        let positions = apply::positions(&connection)?;
        let shared = Arc::new(Shared {
            readers: Readers::new(path, options.readers.get()),
            heads: PerArea::from_fn(|area| watch::Sender::new(*positions.heads.get(area))),
            pushes: watch::Sender::new(positions.pushes),
            _lock: lock,
        });
        let (checkpoints, checkpoint_thread) = checkpoint::start(path, Arc::clone(&shared))?;
        let (sender, receiver) = tokio::sync::mpsc::channel(options.queue.get());
        let writer = Writer::new(connection, receiver, Arc::clone(&shared), positions, checkpoints);
        let writer_thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || writer.run())?;
        let store = Self {
            shared: Arc::clone(&shared),
            queue: Mutex::new(Some(sender)),
            // The semaphore counts KiB, so that 32 bits of permits suffice for any setting.
            room: Arc::new(Semaphore::new(room_units(options.queue_bytes) as usize)),
            room_total: room_units(options.queue_bytes),
            log_id: log_id.into_boxed_str(),
            threads: Mutex::new(vec![writer_thread, checkpoint_thread]),
        };
        let log = EmbeddedLog::new(shared, options.decoded_urls.get());
        Ok((store, log))
    }

    /// The name of this log, drawn when the store was created: a node that remembers positions
    /// compares it, so that it never mistakes the positions of another store for these.
    #[must_use]
    pub const fn log_id(&self) -> &str {
        &self.log_id
    }

    /// Forgets the oldest tasks, with their part of the logs, receipts and quotas, up to the first
    /// that was accepted at or after `before`; returns how many tasks went. Works in steps between
    /// which other calls are served. A node that has not read so far is told `Truncated`.
    ///
    /// # Errors
    /// When the store fails; what was forgotten until then stays forgotten.
    pub async fn prune(&self, before: UnixMillis) -> Result<u64, StoreError> {
        let mut tasks = 0;
        loop {
            let step = self.ask(|reply| Command::Prune(before, reply)).await?;
            tasks += step.tasks;
            if step.deleted == 0 {
                return Ok(tasks);
            }
        }
    }

    /// Lets the calls that are waiting finish, copies everything into the main file and ends both
    /// threads. Later calls are answered `Closed`. May be called twice.
    pub async fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("a thread of the store panicked");
                }
            }
        });
        if joined.await.is_err() {
            tracing::error!("the threads of the store could not be waited for");
        }
        self.shared.readers.close();
    }

    /// A share of the queue's room for so many bytes; more than all of it is all of it.
    fn room_for(&self, bytes: usize) -> Result<OwnedSemaphorePermit, StoreError> {
        let units = room_units(u32::try_from(bytes).unwrap_or(u32::MAX)).min(self.room_total);
        Arc::clone(&self.room).try_acquire_many_owned(units).map_err(|_| StoreError::Busy)
    }

    /// Puts a command into the writer's queue and waits until its transaction is on disk.
    async fn ask<T, E: From<StoreError>>(&self, command: impl FnOnce(Reply<T, E>) -> Command) -> Result<T, E> {
        let (reply, answer) = oneshot::channel();
        self.enqueue(command(reply))?;
        // A dropped reply means that the writer died: whether the command was kept is unknown.
        answer.await.map_err(|_| StoreError::Closed)?
    }

    fn enqueue(&self, command: Command) -> Result<(), StoreError> {
        use tokio::sync::mpsc::error::TrySendError;
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = queue.as_ref().ok_or(StoreError::Closed)?;
        sender.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Closed(_) => StoreError::Closed,
        })
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn submit(&self, plan: Plan) -> Result<TaskId, SubmitError> {
        let mut submission = Submission::new(plan)?;
        submission.hold(self.room_for(submission.block_len())?);
        self.ask(|reply| Command::Submit(Box::new(submission), reply)).await
    }

    async fn claimed(
        &self,
        account: AccountId,
        claim: &Claim,
        since: UnixMillis,
    ) -> Result<Option<TaskId>, SubmitError> {
        let claim = claim.clone();
        self.shared.readers.run(move |connection| notices::claimed(connection, account, &claim, since)).await
    }

    async fn quota_used(&self, account: AccountId, day: QuotaDay) -> Result<PerKind<PerArea<u32>>, StoreError> {
        self.shared.readers.run(move |connection| apply::quota_used(connection, account, day)).await
    }

    async fn records(&self) -> Result<Records, StoreError> {
        self.shared.readers.run(records::all).await
    }

    async fn change(&self, generation: u64, changes: Vec<Change>) -> Result<u64, ChangeError> {
        self.ask(|reply| Command::Change(generation, changes, reply)).await
    }

    async fn notices_due(&self, view: StatusView, max: u32) -> Result<Vec<Notice>, StoreError> {
        self.shared.readers.run(move |connection| notices::due(connection, &view, max)).await
    }

    async fn told(&self, notice: &Notice, told: Told) -> Result<(), StoreError> {
        let notice = Box::new(notice.clone());
        self.ask(|reply| Command::Told(notice, told, reply)).await
    }

    async fn undelivered(&self, account: AccountId, endpoint: &str, max: u32) -> Result<Vec<Undelivered>, StoreError> {
        let endpoint = endpoint.to_owned();
        let read = move |connection: &_| notices::undelivered(connection, account, &endpoint, max);
        self.shared.readers.run(read).await
    }

    async fn history(&self, query: HistoryQuery) -> Result<HistoryPage, StoreError> {
        self.shared.readers.run(move |connection| history::page(connection, &query)).await
    }

    async fn task(&self, account: AccountId, id: &TaskId) -> Result<Option<TaskRecord>, StoreError> {
        let id = id.clone();
        self.shared.readers.run(move |connection| reader::task(connection, account, &id)).await
    }

    async fn account_of(&self, id: &TaskId) -> Result<Option<AccountId>, StoreError> {
        let id = id.clone();
        self.shared.readers.run(move |connection| reader::account_of(connection, &id)).await
    }

    async fn receipts(&self, area: Area, first: Seq, last: Seq) -> Result<Vec<Receipt>, StoreError> {
        self.shared.readers.run(move |connection| reader::receipts(connection, area, first, last)).await
    }

    async fn keep_audit(&self, audit: Audit) -> Result<(), StoreError> {
        self.ask(|reply| Command::KeepAudit(Box::new(audit), reply)).await
    }

    async fn audits(&self, area: Area, first: Seq, last: Seq) -> Result<Vec<Audit>, StoreError> {
        self.shared.readers.run(move |connection| audits::of(connection, area, first, last)).await
    }

    async fn cursors(&self, nodes: &[Arc<Node>]) -> Result<Vec<Cursor>, StoreError> {
        let nodes = nodes.to_vec();
        self.ask(|reply| Command::Cursors(nodes, reply)).await
    }

    async fn forget_others(&self, nodes: &[Arc<Node>]) -> Result<Vec<NodeId>, StoreError> {
        let nodes = nodes.to_vec();
        self.ask(|reply| Command::ForgetOthers(nodes, reply)).await
    }

    async fn returned(&self, node: &NodeId, area: Area) -> Result<(), StoreError> {
        let node = node.clone();
        self.ask(|reply| Command::Returned(node, area, reply)).await
    }

    async fn leased(&self, node: &NodeId, area: Area, lease: Option<Duration>) -> Result<(), StoreError> {
        let node = node.clone();
        self.ask(|reply| Command::Leased(node, area, lease, reply)).await
    }

    async fn lapsed(&self, node: &NodeId, area: Area) -> Result<(), StoreError> {
        let node = node.clone();
        self.ask(|reply| Command::Lapsed(node, area, reply)).await
    }

    async fn joined(&self, node: &NodeId, area: Area, cursor: Seq) -> Result<(), StoreError> {
        let node = node.clone();
        self.ask(|reply| Command::Joined(node, area, cursor, reply)).await
    }

    async fn advance(&self, receipt: Receipt) -> Result<(), StoreError> {
        self.ask(|reply| Command::Advance(Box::new(receipt), reply)).await
    }
}

#[async_trait]
impl PushStore for SqliteStore {
    async fn submit_push(&self, plan: PushPlan) -> Result<TaskId, SubmitError> {
        let room = self.room_for(push::weight(&plan))?;
        let submission = Box::new(PushSubmission { plan, _room: room });
        self.ask(|reply| Command::SubmitPush(submission, reply)).await
    }

    fn push_version(&self) -> u64 {
        *self.shared.pushes.borrow()
    }

    async fn push_beyond(&self, after: u64) {
        let mut versions = self.shared.pushes.subscribe();
        // The sender lives in `self.shared`, so waiting cannot fail while this future exists.
        let _moved = versions.wait_for(|version| *version > after).await;
    }

    async fn open_fetches(
        &self,
        node: &NodeId,
        without: &[AccountId],
        max: usize,
    ) -> Result<Vec<OpenFetch>, StoreError> {
        let (node, without) = (node.clone(), without.to_vec());
        self.shared.readers.run(move |connection| push::open(connection, &node, &without, max)).await
    }

    async fn end_fetch(&self, ended: EndedFetch) -> Result<(), StoreError> {
        self.ask(|reply| Command::EndFetch(Box::new(ended), reply)).await
    }

    async fn pushes(&self, query: PushQuery) -> Result<PushPage, StoreError> {
        self.shared.readers.run(move |connection| push::page(connection, &query)).await
    }
}

/// Bytes as units of the queue's room: KiB, rounded up, so that no task is free.
const fn room_units(bytes: u32) -> u32 {
    bytes / 1_024 + 1
}

/// Takes the lock that says "this store is served". A file beside the database: SQLite takes and
/// drops locks of its own on the database.
fn lock(path: &Path) -> Result<File, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock_path = PathBuf::from(name);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned(), lock: lock_path }),
        Err(TryLockError::Error(error)) => Err(OpenError::Io(error)),
    }
}
