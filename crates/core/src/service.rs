//! What callers can ask for.
//!
//! What this is: the story of each call in a few lines; the parts are in `plan`, the store and the
//! board. What this is not: the wire; requests and answers here are the engine's own types.

use std::sync::Arc;
use std::time::Duration;

use crate::account::AccountState;
use crate::area::{Area, PerArea};
use crate::board::{Board, Standing};
use crate::clock::UnixMillis;
use crate::domain::Directory;
use crate::error::{PurgeError, StoreError};
use crate::history::{HistoryFilter, HistoryPage, HistoryQuery, HostScope, TaskRecord};
use crate::invalidation::Seq;
use crate::limits::{CLIENT_TOKEN_KEPT, HISTORY_PAGE_MAX};
use crate::plan::{Caller, Claim, Purge, Toll, plan};
use crate::ports::{Clock, Log, Store};
use crate::quota::{PerKind, QuotaDay, check_quota};
use crate::status::{ItemStatus, Refusals, StatusView};
use crate::task::{AccountId, Item, TaskId};
use crate::task_receipts::{self, NodeReceipts, TaskReceipts};
use crate::topology::Node;

/// Gives the accounts and domains as they are now: a change that was answered is seen by the next call.
pub type DirectoryNow = Arc<dyn Fn() -> Arc<Directory> + Send + Sync>;

/// The service behind the API.
pub struct PurgeService {
    store: Arc<dyn Store>,
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    board: Arc<Board>,
    directory: DirectoryNow,
    fail_after: Duration,
}

impl std::fmt::Debug for PurgeService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PurgeService").field("board", &self.board).finish_non_exhaustive()
    }
}

/// An account's quotas of today.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaReport {
    /// Items in one call.
    pub per_call: PerKind<u32>,
    /// What it may take today.
    pub total: PerKind<PerArea<u32>>,
    /// What it has taken today.
    pub used: PerKind<PerArea<u32>>,
}

/// What a call would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rehearsal {
    /// Items of the call.
    pub items: usize,
    /// Nodes that it would reach.
    pub nodes: usize,
}

/// A node, where it stands, and how far behind that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReport {
    /// The node.
    pub node: Arc<Node>,
    /// Its standing.
    pub standing: Standing,
    /// The head of its area's log.
    pub head: Seq,
}

impl PurgeService {
    /// A service. `fail_after` is how long an item may stay unsettled before it is shown as failed.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        log: Arc<dyn Log>,
        clock: Arc<dyn Clock>,
        board: Arc<Board>,
        directory: DirectoryNow,
        fail_after: Duration,
    ) -> Self {
        Self { store, log, clock, board, directory, fail_after }
    }

    /// The accounts and domains as they are now.
    #[must_use]
    pub fn directory(&self) -> Arc<Directory> {
        (self.directory)()
    }

    /// Accepts a purge. Once the id is returned the task is durable. A call whose claim was accepted
    /// within [`CLIENT_TOKEN_KEPT`] gets the first one's id.
    ///
    /// # Errors
    /// [`PurgeError`]; then nothing was changed and no quota was charged.
    pub async fn purge(&self, caller: &Caller, request: Purge) -> Result<TaskId, PurgeError> {
        let now = self.clock.wall();
        if let Some(id) = self.claimed(caller.account, request.claim.as_ref(), now).await? {
            return Ok(id);
        }
        let plan = plan(caller, request, &self.directory(), now, self.clock.random())?;
        Ok(self.store.submit(plan).await?)
    }

    /// Works out what a purge would do, quota included, and does nothing.
    ///
    /// # Errors
    /// [`PurgeError`], as [`Self::purge`] would answer now.
    pub async fn rehearse(&self, caller: &Caller, request: Purge) -> Result<Rehearsal, PurgeError> {
        let now = self.clock.wall();
        let plan = plan(caller, request, &self.directory(), now, self.clock.random())?;
        self.afford(caller.account, &plan.toll).await?;
        let concerned = |node: &&Arc<Node>| *plan.toll.charge.get(node.area) > 0;
        let nodes = self.board.nodes().iter().filter(concerned).count();
        Ok(Rehearsal { items: plan.task.items.len(), nodes })
    }

    /// The task that was accepted under a call's claim before. Asked before the plan: a repeated call is the same
    /// call even if its domain is offline by now. Two at once may both pass here; the transaction of `submit` decides.
    pub(crate) async fn claimed(
        &self,
        account: AccountId,
        claim: Option<&Claim>,
        now: UnixMillis,
    ) -> Result<Option<TaskId>, PurgeError> {
        let Some(claim) = claim else { return Ok(None) };
        Ok(self.store.claimed(account, claim, now.before(CLIENT_TOKEN_KEPT)).await?)
    }

    /// Whether what a call costs is left today; charges nothing.
    pub(crate) async fn afford(&self, account: AccountId, toll: &Toll) -> Result<(), PurgeError> {
        let used = self.store.quota_used(account, toll.day).await?;
        Ok(check_quota(toll.kind, used.get(toll.kind), &toll.charge, &toll.quota)?)
    }

    /// A page of the caller's history; statuses are those of this moment.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn history(&self, filter: HistoryFilter, offset: u64, limit: u32) -> Result<HistoryPage, StoreError> {
        let limit = limit.min(HISTORY_PAGE_MAX);
        self.store.history(HistoryQuery { filter, offset, limit, view: self.view() }).await
    }

    /// The caller's quotas of today.
    ///
    /// # Errors
    /// [`PurgeError::AccountState`] for an account without the service, or when the store fails.
    pub async fn quota(&self, account: AccountId) -> Result<QuotaReport, PurgeError> {
        let directory = self.directory();
        let not_activated = PurgeError::AccountState(AccountState::NotActivated);
        let limits = &directory.account(account).ok_or(not_activated)?.limits;
        let day = QuotaDay::of(self.clock.wall());
        let used = self.store.quota_used(account, day).await?;
        Ok(QuotaReport { per_call: limits.per_call, total: PerKind::from_fn(|kind| limits.on(kind, day)), used })
    }

    /// Whether the store answers, for a readiness check.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn ready(&self) -> Result<(), StoreError> {
        let day = QuotaDay::of(self.clock.wall());
        self.store.quota_used(AccountId(0), day).await.map(|_used| ())
    }

    /// Every node and where it stands.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeReport> {
        let report = |node: &Arc<Node>| {
            let standing = self.board.standing(&node.id)?;
            Some(NodeReport { node: Arc::clone(node), standing, head: self.log.head(node.area) })
        };
        self.board.nodes().iter().filter_map(report).collect()
    }

    /// What became of one of an account's tasks at each node; `None` when it has no such task, or
    /// the task has an item that `hosts` does not allow to be seen.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn receipts(
        &self,
        account: AccountId,
        hosts: &HostScope,
        id: &TaskId,
    ) -> Result<Option<TaskReceipts>, StoreError> {
        // All that was seen to be settled before the receipts are read has its receipt among them.
        let view = self.view();
        let standings: Vec<(Arc<Node>, Standing)> =
            self.nodes().into_iter().map(|report| (report.node, report.standing)).collect();
        let Some(record) = self.store.task(account, id).await? else {
            return Ok(None);
        };
        let seen = |item: &Item| match record.task.kind.target(&item.url, record.task.encode) {
            Ok(target) => target.host().is_some_and(|host| hosts.allows(host.as_str())),
            Err(_) => false,
        };
        if *hosts != HostScope::All && !record.task.items.iter().all(seen) {
            return Ok(None);
        }
        let mut nodes = Vec::new();
        let mut refusals = Refusals::None;
        for area in Area::ALL {
            let positions: Vec<(Seq, usize)> = record.positions(area).collect();
            let (Some((first, _)), Some((last, _))) = (positions.first(), positions.last()) else {
                continue;
            };
            let receipts = self.store.receipts(area, *first, *last).await?;
            // Also of nodes that were taken out since: what one refused stays failed.
            if task_receipts::refusals(&receipts, &positions) == Refusals::Some {
                refusals = Refusals::Some;
            }
            let audits = self.store.audits(area, *first, *last).await?;
            for (node, standing) in standings.iter().filter(|(node, _)| node.area == area) {
                let (node, standing) = (Arc::clone(node), standing.clone());
                let report = NodeReceipts::new(node, standing, &record, &positions, &receipts);
                nodes.push(report.with_audits(&positions, &audits));
            }
        }
        let status = task_status(view, &record, refusals);
        Ok(Some(TaskReceipts { task: record.task, status, nodes }))
    }

    /// What statuses are derived from at this moment.
    #[must_use]
    pub fn view(&self) -> StatusView {
        StatusView { watermark: self.board.watermarks(), now: self.clock.wall(), fail_after: self.fail_after }
    }
}

/// A task is settled when its last position in each area is, since cursors pass in order.
fn task_status(view: StatusView, record: &TaskRecord, refusals: Refusals) -> ItemStatus {
    let last = Area::ALL.into_iter().filter_map(|area| Some((area, record.positions(area).last()?.0)));
    view.item(last, record.task.accepted_at, refusals)
}
