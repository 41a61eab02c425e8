//! What callers can ask for about prefetches.
//!
//! What this is: the front of the prefetch, in a few lines each, beside
//! [`PurgeService`], whose accounts and domains it uses.

use std::sync::Arc;
use std::time::Duration;

use super::plan::plan_push;
use super::ports::{PushFilter, PushPage, PushQuery, PushStore};
use super::status::PushView;
use super::{PushPlan, PushUrls};
use crate::area::Area;
use crate::board::Board;
use crate::error::{PurgeError, StoreError};
use crate::limits::{CLIENT_TOKEN_KEPT, HISTORY_PAGE_MAX};
use crate::plan::Caller;
use crate::ports::{Clock, Store};
use crate::quota::check_quota;
use crate::service::{PurgeService, Rehearsal};
use crate::task::TaskId;

/// The prefetch behind the API.
pub struct PushService {
    purges: Arc<PurgeService>,
    store: Arc<dyn Store>,
    pushes: Arc<dyn PushStore>,
    clock: Arc<dyn Clock>,
    board: Arc<Board>,
    deadline: Duration,
}

impl std::fmt::Debug for PushService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushService").field("board", &self.board).finish_non_exhaustive()
    }
}

impl PushService {
    /// A service. `store` and `pushes` are two sides of one store; `deadline` is how long a task may take
    /// before what is open is shown as failed, the same as its workers have.
    #[must_use]
    pub const fn new(
        purges: Arc<PurgeService>,
        store: Arc<dyn Store>,
        pushes: Arc<dyn PushStore>,
        clock: Arc<dyn Clock>,
        board: Arc<Board>,
        deadline: Duration,
    ) -> Self {
        Self { purges, store, pushes, clock, board, deadline }
    }

    /// Accepts a prefetch. Once the id is returned the task is durable. A call whose claim was accepted
    /// within [`CLIENT_TOKEN_KEPT`] gets the first one's id.
    ///
    /// # Errors
    /// [`PurgeError`]; then nothing was changed and no quota was charged.
    pub async fn push_urls(&self, caller: &Caller, request: PushUrls) -> Result<TaskId, PurgeError> {
        if let Some(claim) = &request.claim {
            // As for a purge: a repeated call is the same call even if its domain is offline by now.
            let since = self.clock.wall().before(CLIENT_TOKEN_KEPT);
            if let Some(id) = self.store.claimed(caller.account, claim, since).await? {
                return Ok(id);
            }
        }
        let plan = self.plan(caller, request)?;
        Ok(self.pushes.submit_push(plan).await?)
    }

    /// Works out what a prefetch would do, quota included, and does nothing.
    ///
    /// # Errors
    /// [`PurgeError`], as [`Self::push_urls`] would answer now.
    pub async fn rehearse(&self, caller: &Caller, request: PushUrls) -> Result<Rehearsal, PurgeError> {
        let plan = self.plan(caller, request)?;
        let toll = &plan.toll;
        let used = self.store.quota_used(caller.account, toll.day).await?;
        check_quota(toll.kind, used.get(toll.kind), &toll.charge, &toll.quota)?;
        let concerned = Area::ALL.into_iter().filter(|area| *toll.charge.get(*area) > 0);
        let nodes = concerned.map(|area| plan.expected.get(area).len()).sum();
        Ok(Rehearsal { items: plan.task.items.len(), nodes })
    }

    /// A page of an account's prefetches; statuses are those of this moment.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn history(&self, filter: PushFilter, offset: u64, limit: u32) -> Result<PushPage, StoreError> {
        let view = PushView { now: self.clock.wall(), deadline: self.deadline };
        self.pushes.pushes(PushQuery { filter, offset, limit: limit.min(HISTORY_PAGE_MAX), view }).await
    }

    fn plan(&self, caller: &Caller, request: PushUrls) -> Result<PushPlan, PurgeError> {
        let directory = self.purges.directory();
        plan_push(caller, request, &directory, self.board.nodes(), self.clock.wall(), self.clock.random())
    }
}
