//! Something between the workers and the world that breaks it and watches the promises.
//!
//! What this is: for simulations: a store and caches that fail, repeat and delay by chance, and
//! that note each broken promise. What this is not: part of what is tested; the checks know only
//! what was submitted, what the caches forgot and what the store was told.
//!
//! The promises: a cursor passes an invalidation only after its node has forgotten the target, at
//! or after the acceptance (and for a bounded fence once more, `fetch_max` later); an edge is told
//! only what its shield has settled; a receipt covers what the log holds and leaves no gap; the
//! board shows no cursor that the store has not kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use catharsis_core::abilities::Abilities;
use catharsis_core::area::{Area, PerArea};
use catharsis_core::audit::Audit;
use catharsis_core::board::Board;
use catharsis_core::clock::UnixMillis;
use catharsis_core::error::{ChangeError, StoreError, SubmitError};
use catharsis_core::history::{HistoryPage, HistoryQuery, TaskRecord};
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::notice::{Notice, Told, Undelivered};
use catharsis_core::plan::{Claim, Plan};
use catharsis_core::ports::{Cursor, Log, Membership, Purger, Store};
use catharsis_core::quota::{PerKind, QuotaDay};
use catharsis_core::receipt::{Outcome, Receipt, Settled};
use catharsis_core::record::{Change, Records};
use catharsis_core::status::StatusView;
use catharsis_core::target::Target;
use catharsis_core::task::{AccountId, TaskId};
use catharsis_core::topology::{Node, NodeId, Schedule};
use tokio::time::Instant;

use crate::fake_cache::FakeCache;
use crate::mem_log::MemLog;
use crate::mem_store::MemStore;
use crate::sim::{Chance, World, Wrap};

/// How often things go wrong, of a hundred.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// A write fails before it is done.
    pub store_before: u64,
    /// A write is done and its answer is lost.
    pub store_after: u64,
    /// A write is done twice.
    pub twice: u64,
    /// A write takes [`SLOW`].
    pub slow: u64,
}

/// How long a slow write takes.
pub const SLOW: Duration = Duration::from_secs(10);

/// Watches one world, over all its servers.
#[derive(Clone, Debug)]
pub struct Watch {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    faults: Mutex<Faults>,
    chance: Chance,
    began: Instant,
    /// When each position was seen in the log first: its acceptance, at the latest.
    accepted: Mutex<HashMap<(Area, Seq), Instant>>,
    broken: Mutex<Vec<String>>,
}

impl Watch {
    /// Watches with faults drawn by this chance.
    #[must_use]
    pub fn new(faults: Faults, chance: Chance) -> Self {
        Self {
            shared: Arc::new(Shared {
                faults: Mutex::new(faults),
                chance,
                began: Instant::now(),
                accepted: Mutex::default(),
                broken: Mutex::default(),
            }),
        }
    }

    /// Has other things go wrong from now on.
    pub fn spoil(&self, faults: Faults) {
        *lock(&self.shared.faults) = faults;
    }

    /// Looks whether the board shows more than the store has kept.
    pub fn look(&self, world: &World, board: &Board) {
        for node in &world.nodes {
            let shown = board.standing(&node.id).map(|standing| standing.settled);
            let kept = world.store.cursor(&node.id, node.area).map(|cursor| cursor.seq);
            if shown > kept {
                self.shared.breaks(format!("the board shows {} at {shown:?}, kept is {kept:?}", node.id));
            }
        }
    }

    /// Notes that everything in the log up to now was accepted now, unless it was known before.
    pub fn accepted(&self, world: &World) {
        let now = Instant::now();
        let mut accepted = lock(&self.shared.accepted);
        for area in Area::ALL {
            for seq in 1..=world.log.head(area).0 {
                accepted.entry((area, Seq(seq))).or_insert(now);
            }
        }
    }

    /// Notes a broken promise that a test saw itself.
    pub fn breaks(&self, what: String) {
        self.shared.breaks(what);
    }

    /// The promises that were broken so far.
    #[must_use]
    pub fn broken(&self) -> Vec<String> {
        lock(&self.shared.broken).clone()
    }
}

impl Shared {
    fn breaks(&self, what: String) {
        lock(&self.broken).push(what);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    /// A store that fails and repeats as the watch's does; receipts are not checked, for what the nodes forgot is known
    /// to somebody else.
    #[must_use]
    pub fn unchecked_store(&self, world: &World) -> Arc<dyn Store> {
        Arc::new(WatchedStore {
            store: world.store.clone(),
            log: world.log.clone(),
            caches: None,
            shared: Arc::clone(&self.shared),
        })
    }
}

impl Wrap for Watch {
    fn store(&self, world: &World) -> Arc<dyn Store> {
        let caches = world.nodes.iter().map(|node| {
            let id = node.id.clone();
            (id.clone(), (Arc::clone(node), world.cache(&id)))
        });
        Arc::new(WatchedStore {
            store: world.store.clone(),
            log: world.log.clone(),
            caches: Some(caches.collect()),
            shared: Arc::clone(&self.shared),
        })
    }

    fn purger(&self, world: &World, node: &Arc<Node>) -> Arc<dyn Purger> {
        Arc::new(WatchedCache {
            node: Arc::clone(node),
            cache: world.cache(&node.id),
            store: world.store.clone(),
            shared: Arc::clone(&self.shared),
        })
    }
}

/// A cache that notes when its worker runs ahead of the shield.
struct WatchedCache {
    node: Arc<Node>,
    cache: Arc<FakeCache>,
    store: MemStore,
    shared: Arc<Shared>,
}

impl WatchedCache {
    fn check_shield(&self, upto: Seq) {
        let Some(shield) = &self.node.shield else {
            return;
        };
        let cursor = self.store.cursor(shield, self.node.area);
        let reached = cursor.filter(|cursor| cursor.membership == Membership::Member);
        if reached.is_none_or(|cursor| cursor.seq < upto) {
            let what = format!("{} is told {upto} before its shield {shield}", self.node.id);
            self.shared.breaks(what);
        }
    }
}

#[async_trait]
impl Purger for WatchedCache {
    fn abilities(&self) -> Abilities {
        self.cache.abilities()
    }

    async fn apply(&self, batch: &[Invalidation]) -> Vec<Outcome> {
        if let Some(last) = batch.iter().map(|it| it.seq).max() {
            self.check_shield(last);
        }
        self.cache.apply(batch).await
    }

    async fn everything(&self, upto: Seq) -> Outcome {
        // What it fetches from now on comes from its shield, which must have forgotten as well.
        self.check_shield(upto);
        self.cache.everything(upto).await
    }

    async fn answers(&self) -> bool {
        self.cache.answers().await
    }
}

/// The nodes, and what remembers what they forgot.
type Memories = HashMap<NodeId, (Arc<Node>, Arc<FakeCache>)>;

/// A store that fails and repeats by chance, and checks each receipt.
struct WatchedStore {
    store: MemStore,
    log: MemLog,
    /// Whose memories receipts are compared with.
    caches: Option<Memories>,
    shared: Arc<Shared>,
}

impl WatchedStore {
    async fn check(&self, receipt: &Receipt, caches: &Memories) {
        let covered = self.log.read(receipt.area, receipt.after, receipt.outcomes.len()).await;
        let covered = covered.unwrap_or_default();
        if covered.len() != receipt.outcomes.len() {
            self.shared.breaks(format!(
                "{}: a receipt covers {} positions, the log holds {}",
                receipt.node,
                receipt.outcomes.len(),
                covered.len()
            ));
        }
        let kept = self.store.cursor(&receipt.node, receipt.area).map_or(Seq::ZERO, |cursor| cursor.seq);
        if receipt.after > kept {
            self.shared.breaks(format!("{}: a receipt follows {}, kept is {kept}", receipt.node, receipt.after));
        }
        let Some((node, cache)) = caches.get(&receipt.node) else {
            return self.shared.breaks(format!("{} is no node", receipt.node));
        };
        let forgotten = cache.forgotten();
        for (invalidation, outcome) in covered.iter().zip(&receipt.outcomes) {
            if matches!(outcome, Settled::Refused(_)) {
                continue;
            }
            let accepted = lock(&self.shared.accepted)
                .get(&(receipt.area, invalidation.seq))
                .copied()
                .unwrap_or_else(Instant::now);
            let times: Vec<Instant> = forgotten
                .iter()
                .filter(|it| forgets(&it.target, &invalidation.target))
                .map(|it| it.at)
                .filter(|at| *at >= accepted)
                .collect();
            let fence = match node.fence.schedule() {
                Schedule::Timed(passes) => passes.last().copied().unwrap_or_default(),
                // Behind a hop time alone says nothing.
                Schedule::Landed => Duration::ZERO,
            };
            if !fenced(&times, fence) {
                self.shared.breaks(format!(
                    "{} reports {} as {outcome:?}, but forgot it at {times:?}, accepted {accepted:?}",
                    receipt.node, invalidation.seq
                ));
            }
        }
    }

    async fn write<'a, F>(&self, node: &NodeId, mut write: impl FnMut() -> F) -> Result<(), StoreError>
    where
        F: Future<Output = Result<(), StoreError>> + 'a,
    {
        let faults = *lock(&self.shared.faults);
        let chance = self.shared.chance.apart((node.as_str(), self.shared.began.elapsed()));
        if chance.percent(faults.slow) {
            tokio::time::sleep(SLOW).await;
        }
        if chance.percent(faults.store_before) {
            return Err(StoreError::Io("failed before the write".to_owned()));
        }
        write().await?;
        if chance.percent(faults.twice) {
            write().await?;
        }
        if chance.percent(faults.store_after) {
            return Err(StoreError::Io("failed after the write".to_owned()));
        }
        Ok(())
    }
}

/// Whether something was forgotten, and again once the fence was over.
fn fenced(times: &[Instant], fence: Duration) -> bool {
    let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) else {
        return false;
    };
    last.duration_since(*first) >= fence
}

#[async_trait]
impl Store for WatchedStore {
    async fn submit(&self, plan: Plan) -> Result<TaskId, SubmitError> {
        self.store.submit(plan).await
    }

    async fn claimed(
        &self,
        account: AccountId,
        claim: &Claim,
        since: UnixMillis,
    ) -> Result<Option<TaskId>, SubmitError> {
        self.store.claimed(account, claim, since).await
    }

    async fn quota_used(&self, account: AccountId, day: QuotaDay) -> Result<PerKind<PerArea<u32>>, StoreError> {
        self.store.quota_used(account, day).await
    }

    async fn records(&self) -> Result<Records, StoreError> {
        self.store.records().await
    }

    async fn change(&self, generation: u64, changes: Vec<Change>) -> Result<u64, ChangeError> {
        self.store.change(generation, changes).await
    }

    async fn notices_due(&self, view: StatusView, max: u32) -> Result<Vec<Notice>, StoreError> {
        self.store.notices_due(view, max).await
    }

    async fn told(&self, notice: &Notice, told: Told) -> Result<(), StoreError> {
        self.store.told(notice, told).await
    }

    async fn undelivered(&self, account: AccountId, endpoint: &str, max: u32) -> Result<Vec<Undelivered>, StoreError> {
        self.store.undelivered(account, endpoint, max).await
    }

    async fn history(&self, query: HistoryQuery) -> Result<HistoryPage, StoreError> {
        self.store.history(query).await
    }

    async fn task(&self, account: AccountId, id: &TaskId) -> Result<Option<TaskRecord>, StoreError> {
        self.store.task(account, id).await
    }

    async fn account_of(&self, id: &TaskId) -> Result<Option<AccountId>, StoreError> {
        self.store.account_of(id).await
    }

    async fn receipts(&self, area: Area, first: Seq, last: Seq) -> Result<Vec<Receipt>, StoreError> {
        self.store.receipts(area, first, last).await
    }

    async fn keep_audit(&self, audit: Audit) -> Result<(), StoreError> {
        self.store.keep_audit(audit).await
    }

    async fn audits(&self, area: Area, first: Seq, last: Seq) -> Result<Vec<Audit>, StoreError> {
        self.store.audits(area, first, last).await
    }

    async fn cursors(&self, nodes: &[Arc<Node>]) -> Result<Vec<Cursor>, StoreError> {
        self.store.cursors(nodes).await
    }

    async fn forget_others(&self, nodes: &[Arc<Node>]) -> Result<Vec<NodeId>, StoreError> {
        self.store.forget_others(nodes).await
    }

    async fn returned(&self, node: &NodeId, area: Area) -> Result<(), StoreError> {
        self.write(node, || self.store.returned(node, area)).await
    }

    async fn leased(&self, node: &NodeId, area: Area, lease: Option<Duration>) -> Result<(), StoreError> {
        self.write(node, || self.store.leased(node, area, lease)).await
    }

    async fn lapsed(&self, node: &NodeId, area: Area) -> Result<(), StoreError> {
        self.write(node, || self.store.lapsed(node, area)).await
    }

    async fn joined(&self, node: &NodeId, area: Area, cursor: Seq) -> Result<(), StoreError> {
        self.write(node, || self.store.joined(node, area, cursor)).await
    }

    async fn advance(&self, receipt: Receipt) -> Result<(), StoreError> {
        if let Some(caches) = &self.caches {
            self.check(&receipt, caches).await;
        }
        self.write(&receipt.node, || self.store.advance(receipt.clone())).await
    }
}

/// Whether a cache that forgot `forgotten` no longer has `target` either.
fn forgets(forgotten: &Target, target: &Target) -> bool {
    match (forgotten, target) {
        (Target::Everything, _) => true,
        (Target::Prefix(prefix), Target::Url(url)) => prefix.covers(url),
        (Target::Prefix(_) | Target::Url(_), _) => forgotten == target,
    }
}
