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
use crate::clock::UnixMillis;
use crate::error::{PurgeError, StoreError};
use crate::limits::HISTORY_PAGE_MAX;
use crate::plan::Caller;
use crate::ports::Clock;
use crate::service::{PurgeService, Rehearsal};
use crate::task::TaskId;
use crate::topology::{Node, Rotation};

/// The prefetch behind the API.
pub struct PushService {
    purges: Arc<PurgeService>,
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
    /// A service. `pushes` is another side of the store of `purges`; `deadline` is how long a task may take
    /// before what is open is shown as failed, the same as its workers have.
    #[must_use]
    pub const fn new(
        purges: Arc<PurgeService>,
        pushes: Arc<dyn PushStore>,
        clock: Arc<dyn Clock>,
        board: Arc<Board>,
        deadline: Duration,
    ) -> Self {
        Self { purges, pushes, clock, board, deadline }
    }

    /// Accepts a prefetch. Once the id is returned the task is durable. A call whose claim was accepted
    /// within [`CLIENT_TOKEN_KEPT`](crate::limits::CLIENT_TOKEN_KEPT) gets the first one's id.
    ///
    /// # Errors
    /// [`PurgeError`]; then nothing was changed and no quota was charged.
    pub async fn push_urls(&self, caller: &Caller, request: PushUrls) -> Result<TaskId, PurgeError> {
        let now = self.clock.wall();
        if let Some(id) = self.purges.claimed(caller.account, request.claim.as_ref(), now).await? {
            return Ok(id);
        }
        let plan = self.plan(caller, request, now)?;
        Ok(self.pushes.submit_push(plan).await?)
    }

    /// Works out what a prefetch would do, quota included, and does nothing.
    ///
    /// # Errors
    /// [`PurgeError`], as [`Self::push_urls`] would answer now.
    pub async fn rehearse(&self, caller: &Caller, request: PushUrls) -> Result<Rehearsal, PurgeError> {
        let plan = self.plan(caller, request, self.clock.wall())?;
        let toll = &plan.toll;
        self.purges.afford(caller.account, toll).await?;
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

    /// Nobody asks a drained node for a copy, so none is fetched through it.
    fn in_rotation(&self) -> Vec<Arc<Node>> {
        self.board.nodes().iter().filter(|node| node.rotation == Rotation::In).cloned().collect()
    }

    fn plan(&self, caller: &Caller, request: PushUrls, now: UnixMillis) -> Result<PushPlan, PurgeError> {
        let directory = self.purges.directory();
        plan_push(caller, request, &directory, &self.in_rotation(), now, self.clock.random())
    }
}
