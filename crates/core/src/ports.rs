//! The only traits that touch the world.
//!
//! What this is: four ports, each because two real implementations exist or are planned (embedded
//! and fleet store and log, one purger a kind of cache, real and simulated time), not for mocking.
//!
//! Rules for implementers: every call may be repeated and then changes nothing; nothing is answered
//! before it is durable; every target gets a named outcome.

use std::time::Duration;

use async_trait::async_trait;

use crate::abilities::Abilities;
use crate::area::{Area, PerArea};
use crate::audit::Audit;
use crate::clock::{Tick, UnixMillis};
use crate::duty::Duty;
use crate::error::{ChangeError, LogError, StoreError, SubmitError};
use crate::history::{HistoryPage, HistoryQuery, TaskRecord};
use crate::invalidation::{Invalidation, Seq};
use crate::lease::{Grant, Named};
use crate::notice::{Notice, Told, Undelivered};
use crate::plan::{Claim, Plan};
use crate::quota::{PerKind, QuotaDay};
use crate::receipt::{Outcome, Receipt, Unreachable};
use crate::record::{Change, Records};
use crate::status::StatusView;
use crate::target::{CacheUrl, Mode, Target};
use crate::task::{AccountId, TaskId};
use crate::topology::{Node, NodeId, Stay};

/// Where tasks, cursors and receipts are kept.
#[async_trait]
pub trait Store: Send + Sync {
    /// Keeps a plan: quota, claim, task, invalidations and notices in one transaction. Returns once it
    /// is durable. A plan whose claim was kept before with the same digest changes nothing, and the
    /// first one's id is returned.
    ///
    /// # Errors
    /// [`SubmitError::QuotaExceeded`] when any area's quota does not suffice,
    /// [`SubmitError::TokenReused`]: then nothing at all was changed. [`SubmitError::Store`] when it is
    /// not known to be kept.
    async fn submit(&self, plan: Plan) -> Result<TaskId, SubmitError>;

    /// The task that was accepted under a claim's token since then; `None` when there is none.
    ///
    /// # Errors
    /// [`SubmitError::TokenReused`] when the digest is another one.
    async fn claimed(
        &self,
        account: AccountId,
        claim: &Claim,
        since: UnixMillis,
    ) -> Result<Option<TaskId>, SubmitError>;

    /// Units taken from an account's quotas on a day.
    ///
    /// # Errors
    /// When the store fails.
    async fn quota_used(&self, account: AccountId, day: QuotaDay) -> Result<PerKind<PerArea<u32>>, StoreError>;

    /// All records.
    ///
    /// # Errors
    /// When the store fails.
    async fn records(&self) -> Result<Records, StoreError>;

    /// Keeps changes on top of a generation, all of them or none, and returns the new generation.
    ///
    /// # Errors
    /// [`ChangeError::Outdated`] when that generation is not the newest.
    async fn change(&self, generation: u64, changes: Vec<Change>) -> Result<u64, ChangeError>;

    /// Notices whose task has ended (all its positions are at or below the view's watermark, or it is
    /// older than the view's `fail_after`) and that are due, the longest due first.
    ///
    /// # Errors
    /// When the store fails.
    async fn notices_due(&self, view: StatusView, max: u32) -> Result<Vec<Notice>, StoreError>;

    /// Notes what became of an attempt to tell.
    ///
    /// # Errors
    /// When the store fails.
    async fn told(&self, notice: &Notice, told: Told) -> Result<(), StoreError>;

    /// What an account's endpoint was not told yet after an attempt, and what it never will be; the
    /// newest first, at most `max`.
    ///
    /// # Errors
    /// When the store fails.
    async fn undelivered(&self, account: AccountId, endpoint: &str, max: u32) -> Result<Vec<Undelivered>, StoreError>;

    /// A page of an account's history, newest task first.
    ///
    /// # Errors
    /// When the store fails.
    async fn history(&self, query: HistoryQuery) -> Result<HistoryPage, StoreError>;

    /// One task of an account; `None` when it has no such task.
    ///
    /// # Errors
    /// When the store fails.
    async fn task(&self, account: AccountId, id: &TaskId) -> Result<Option<TaskRecord>, StoreError>;

    /// Whose a task is; `None` when it is not kept.
    ///
    /// # Errors
    /// When the store fails.
    async fn account_of(&self, id: &TaskId) -> Result<Option<AccountId>, StoreError>;

    /// The receipts of an area that cover any position from `first` to `last`, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    async fn receipts(&self, area: Area, first: Seq, last: Seq) -> Result<Vec<Receipt>, StoreError>;

    /// Keeps what an auditor saw. The same look of the same node changes nothing.
    ///
    /// # Errors
    /// When the store fails.
    async fn keep_audit(&self, audit: Audit) -> Result<(), StoreError>;

    /// What auditors saw of the positions from `first` to `last` of an area, in the order of time, then of positions.
    ///
    /// # Errors
    /// When the store fails.
    async fn audits(&self, area: Area, first: Seq, last: Seq) -> Result<Vec<Audit>, StoreError>;

    /// The cursors of these nodes: all that must answer. Each is what [`crate::beginning::cursor_now`] makes of the one
    /// that is kept, and is kept from then on.
    ///
    /// # Errors
    /// When the store fails.
    async fn cursors(&self, nodes: &[std::sync::Arc<Node>]) -> Result<Vec<Cursor>, StoreError>;

    /// Forgets the cursors of all nodes but these: one that comes again under its name is new. Receipts stay.
    /// Returns whose cursors were forgotten.
    ///
    /// # Errors
    /// When the store fails.
    async fn forget_others(&self, nodes: &[std::sync::Arc<Node>]) -> Result<Vec<NodeId>, StoreError>;

    /// Notes that a node counts again.
    ///
    /// # Errors
    /// When the store fails.
    async fn returned(&self, node: &NodeId, area: Area) -> Result<(), StoreError>;

    /// Notes how long the leases are that a node may be granted from now on, and with it that it uses no copy unasked
    /// without one; `None`: that it uses them as it likes. It is in [`Cursor::lease`] from then on, until the node is
    /// taken out.
    ///
    /// # Errors
    /// When the store fails.
    async fn leased(&self, node: &NodeId, area: Area, lease: Option<Duration>) -> Result<(), StoreError>;

    /// Notes that a node's lease has ended, so that it does not count ([`Duty::Lapsed`]) until [`Self::returned`].
    ///
    /// # Errors
    /// When the store fails.
    async fn lapsed(&self, node: &NodeId, area: Area) -> Result<(), StoreError>;

    /// Notes that a node of unknown content has forgotten everything, which was true at `cursor`.
    ///
    /// # Errors
    /// When the store fails.
    async fn joined(&self, node: &NodeId, area: Area, cursor: Seq) -> Result<(), StoreError>;

    /// Keeps a receipt and moves the node's cursor, durably. A receipt that does not begin at the
    /// node's cursor was kept before, and changes nothing.
    ///
    /// # Errors
    /// When the store fails.
    async fn advance(&self, receipt: Receipt) -> Result<(), StoreError>;
}

/// A node's position in the log of its area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The node.
    pub node: NodeId,
    /// Everything up to this is settled there.
    pub seq: Seq,
    /// Whether what it holds is known.
    pub membership: Membership,
    /// Whether it counts, or what hinders it.
    pub duty: Duty,
    /// When its last receipt came; `None` before the first.
    pub last_receipt: Option<UnixMillis>,
    /// The longest lease that it may have been granted; `None` when it is not known to need one.
    pub lease: Option<Duration>,
    /// Whom it fetches through, as of when it was last worked out.
    pub shield: Option<NodeId>,
    /// By which it is told positions; `None` in a store of a time when there were none.
    pub stay: Option<Stay>,
}

/// Whether a node's content is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// It must forget everything before its cursor means anything.
    Joining,
    /// Its cursor tells what it has forgotten.
    Member,
}

/// The ordered invalidations of each area.
#[async_trait]
pub trait Log: Send + Sync {
    /// The newest position of an area's log.
    fn head(&self, area: Area) -> Seq;

    /// Waits until the head is beyond `after` and returns it. Returns at once when it is already:
    /// a caller that read, found nothing, and then waits cannot miss what came in between.
    async fn wait(&self, area: Area, after: Seq) -> Seq;

    /// At most `max` invalidations that follow `after`, in order and without a gap.
    ///
    /// # Errors
    /// [`LogError::Truncated`] when what follows `after` is no longer kept.
    async fn read(&self, area: Area, after: Seq, max: usize) -> Result<Vec<Invalidation>, LogError>;
}

/// How one node is told.
#[async_trait]
pub trait Purger: Send + Sync {
    /// What this kind of cache can be told.
    fn abilities(&self) -> Abilities;

    /// Carries out a batch: one outcome for each invalidation, in the same order. Bounded in time
    /// and in connections; a repeated invalidation is harmless.
    async fn apply(&self, batch: &[Invalidation]) -> Vec<Outcome>;

    /// Tells the node to forget everything that it began to fetch before position `upto` of the log.
    async fn everything(&self, upto: Seq) -> Outcome;

    /// Purges a probe object outside of the log; `None` for a node that is told positions: its fence would
    /// take any for one of the log's.
    async fn purge_probe(&self, url: &CacheUrl) -> Option<Outcome> {
        let purge = Invalidation {
            seq: Seq::ZERO,
            task: TaskId::new(UnixMillis(0), 0),
            target: Target::Url(url.clone()).into(),
            mode: Mode::Delete,
            accepted_at: UnixMillis(0),
        };
        Some(self.apply(&[purge]).await.pop().unwrap_or(Outcome::Unreachable(Unreachable::Closed)))
    }

    /// Whether the node answers at all: used to tell a dead node from a URL that it cannot bear.
    async fn answers(&self) -> bool;
}

/// What an origin hop knows: a built-in edge through which a cache fetches everything.
///
/// A purge *overtakes* a response that is on its way from the hop to a cache when it names its URL and the request
/// came before the hop was told. Such a response *has landed* once the cache has taken all of it in, so that a purge
/// sent from then on finds it.
#[async_trait]
pub trait Hop: Send + Sync {
    /// Waits, for some seconds at most, until it is true of positions beyond `known` that whatever the purges up to
    /// there overtook has landed; returns how far that is true, from `known` to `upto`.
    ///
    /// # Errors
    /// When the hop does not say.
    async fn landed(&self, known: Seq, upto: Seq) -> Result<Seq, Unreachable>;
}

/// How one node is granted leases (`crate::lease`).
#[async_trait]
pub trait Lessor: Send + Sync {
    /// Asks the node for its clock, and grants it a lease if there is one to grant. May be dropped before it
    /// has ended.
    ///
    /// # Errors
    /// [`Unreachable`]: the grant may have arrived or not, or may arrive yet.
    async fn call(&self, grant: Option<Grant>) -> Result<Trusts, Unreachable>;
}

/// When a node uses its copies unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trusts {
    /// While it holds a lease, by its clock.
    Leased(Named),
    /// As it likes: it is one that nobody may stop to wait for.
    Always,
}

/// Time and chance.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The wall clock.
    fn wall(&self) -> UnixMillis;

    /// The monotonic clock.
    fn tick(&self) -> Tick;

    /// Waits until that point of the monotonic clock.
    async fn sleep_until(&self, until: Tick);

    /// 64 random bits.
    fn random(&self) -> u64;
}
