//! From the store to the nodes.
//!
//! What this is: one [`PushWorker`] a node. It takes what the node has not fetched yet, a few at once,
//! and keeps how each fetch ended. What this is not: a queue; what is open stays in the store, so that a
//! slow or absent node delays nobody else, and a restart goes on where the last process was.
//!
//! Invariants: a fetch begins only when its node has settled every purge that was accepted before it, and
//! its shield has ended the same item; it ends with a named outcome, at the deadline at the latest; one
//! account holds half of a node's lanes at most, so that its dead origin does not stop the others.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::plan::follow;
use super::ports::{Fetch, Fetched, Fetcher, PushStore};
use super::status::{Verdict, judge};
use super::{EndedFetch, FetchEnd, OpenFetch, Playlist, PushItemId};
use crate::board::{Board, Standing};
use crate::clock::Tick;
use crate::error::StoreError;
use crate::limits::PLAYLIST_LEVELS;
use crate::ports::{Clock, Membership};
use crate::receipt::Reason;
use crate::retry::RetryPolicy;
use crate::service::PurgeService;
use crate::target::CacheUrl;
use crate::task::AccountId;
use crate::topology::Node;

/// Whatever the workers of an installation share.
#[derive(Clone)]
pub struct Pusher {
    /// Where prefetches are kept.
    pub store: Arc<dyn PushStore>,
    /// Time and chance.
    pub clock: Arc<dyn Clock>,
    /// Where every node stands.
    pub board: Arc<Board>,
    /// Who knows the accounts and domains, which decide about what playlists name.
    pub purges: Arc<PurgeService>,
    /// When failed attempts are repeated.
    pub retry: RetryPolicy,
    /// Fetches through one node at once, at least 1.
    pub lanes: usize,
    /// How long a task may take before what is open is given up.
    pub deadline: Duration,
}

impl std::fmt::Debug for Pusher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pusher").field("lanes", &self.lanes).field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// The worker of one node.
pub struct PushWorker {
    lane: Arc<Lane>,
    stop: CancellationToken,
}

impl std::fmt::Debug for PushWorker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushWorker").field("node", &self.lane.node.id).finish_non_exhaustive()
    }
}

impl PushWorker {
    /// A worker that ends at once when it is stopped: fetches under way are dropped, stay open in the
    /// store and are begun again by the next process.
    #[must_use]
    pub fn new(pusher: Pusher, node: Arc<Node>, fetcher: Arc<dyn Fetcher>, stop: CancellationToken) -> Self {
        Self { lane: Arc::new(Lane { pusher, node, fetcher }), stop }
    }

    /// Works until it is stopped.
    pub async fn run(self) {
        let mut busy = Busy::default();
        let mut failures = 0;
        loop {
            // Taken before the look: what is accepted in between ends the wait below at once.
            let seen = self.lane.pusher.store.push_version();
            let pause = match self.begin(&mut busy).await {
                Ok(()) => {
                    failures = 0;
                    None
                }
                Err(error) => {
                    failures += 1;
                    self.lane.store_failed(&error);
                    Some(self.lane.pause_end(failures))
                }
            };
            // Dropping `busy` ends its fetches; a branch that loses holds no state.
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = busy.one_ended() => {}
                () = self.lane.pusher.store.push_beyond(seen), if busy.count() < self.lanes() && pause.is_none() => {}
                () = self.lane.sleep_until(pause), if pause.is_some() => {}
            }
        }
    }

    fn lanes(&self) -> usize {
        self.lane.pusher.lanes.max(1)
    }

    /// Begins as many open fetches as there are free lanes, for no account more than its share.
    async fn begin(&self, busy: &mut Busy) -> Result<(), StoreError> {
        let share = self.lanes().div_ceil(2);
        loop {
            let free = self.lanes().saturating_sub(busy.count());
            if free == 0 {
                return Ok(());
            }
            let sated = busy.accounts_with(share);
            // Those under way are open too, so as many more are asked for.
            let max = free + busy.count();
            let open = self.lane.pusher.store.open_fetches(&self.lane.node.id, &sated, max).await?;
            let before = busy.count();
            for fetch in open {
                if busy.count() < self.lanes() && !busy.has(fetch.item) && busy.of(fetch.account) < share {
                    busy.begin(fetch.item, fetch.account, Arc::clone(&self.lane).work(fetch));
                }
            }
            // An account that came to its share hides no other at the next look.
            if busy.count() == before {
                return Ok(());
            }
        }
    }
}

/// The fetches under way. Dropped, they end.
#[derive(Debug, Default)]
struct Busy {
    fetches: JoinSet<()>,
    items: HashMap<Id, (PushItemId, AccountId)>,
}

impl Busy {
    fn count(&self) -> usize {
        self.items.len()
    }

    fn has(&self, item: PushItemId) -> bool {
        self.items.values().any(|(busy, _)| *busy == item)
    }

    fn of(&self, account: AccountId) -> usize {
        self.items.values().filter(|(_, whose)| *whose == account).count()
    }

    /// The accounts that have so many.
    fn accounts_with(&self, count: usize) -> Vec<AccountId> {
        let mut accounts: Vec<AccountId> = self.items.values().map(|(_, whose)| *whose).collect();
        accounts.sort_unstable();
        accounts.dedup();
        accounts.retain(|account| self.of(*account) >= count);
        accounts
    }

    fn begin(&mut self, item: PushItemId, account: AccountId, work: impl Future<Output = ()> + Send + 'static) {
        let id = self.fetches.spawn(work).id();
        self.items.insert(id, (item, account));
    }

    /// Waits until one has ended; for ever when there is none.
    async fn one_ended(&mut self) {
        let Some(ended) = self.fetches.join_next_with_id().await else {
            return std::future::pending().await;
        };
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                let id = JoinError::id(&error);
                tracing::error!(%error, "a fetch ended early; it is begun again");
                id
            }
        };
        self.items.remove(&id);
    }
}

/// What one fetch of a node works with.
struct Lane {
    pusher: Pusher,
    node: Arc<Node>,
    fetcher: Arc<dyn Fetcher>,
}

impl Lane {
    /// Brings one open fetch to its end.
    async fn work(self: Arc<Self>, open: OpenFetch) {
        let left = self.pusher.deadline.saturating_sub(open.accepted_at.until(self.pusher.clock.wall()));
        let until = self.pusher.clock.tick().after(left);
        let mut attempts = 0;
        let (end, links) = if left.is_zero() {
            (self.overdue(&open), Vec::new())
        } else {
            // What is dropped at the deadline is an answer that came too late, or never.
            tokio::select! {
                ended = self.attempt(&open, &mut attempts) => ended,
                () = self.pusher.clock.sleep_until(until) => (self.overdue(&open), Vec::new()),
            }
        };
        self.keep(open, end, attempts, links).await;
    }

    /// Waits until the fetch may begin, and tries until it has ended.
    async fn attempt(&self, open: &OpenFetch, attempts: &mut u32) -> (FetchEnd, Vec<Box<str>>) {
        self.purges_settled(open).await;
        // Parsed anew from what was submitted: nothing else ever makes a request.
        let url = match CacheUrl::parse(&open.url, open.how.encode) {
            Ok(url) => url,
            Err(why) => return (FetchEnd::Failed { why: Reason::new(&why.to_string()) }, Vec::new()),
        };
        let playlist = if open.level < PLAYLIST_LEVELS { open.how.playlist } else { Playlist::AsIs };
        let fetch = Fetch { url, how: Arc::clone(&open.how), playlist };
        loop {
            *attempts += 1;
            let fetched = self.fetcher.fetch(&fetch).await;
            match judge(&fetched, *attempts) {
                Verdict::End(end) => {
                    let links = match fetched {
                        Fetched::Complete { links, .. } => links,
                        Fetched::Status(_) | Fetched::Failed(_) | Fetched::Impossible(_) => Vec::new(),
                    };
                    return (end, links);
                }
                Verdict::Again(why) => {
                    let (node, why) = (self.node.id.as_str(), why.as_str());
                    tracing::debug!(node, url = ?open.url, why, attempt = *attempts, "a prefetch failed; trying again");
                    self.sleep_until(Some(self.pause_end(*attempts))).await;
                }
            }
        }
    }

    /// Waits until no repetition of a purge that was accepted before can remove what is fetched here. The
    /// shield is then as far, since an edge never passes it.
    async fn purges_settled(&self, open: &OpenFetch) {
        let Some(mut standing) = self.pusher.board.watch(&self.node.id) else {
            return std::future::pending().await;
        };
        if standing.wait_for(|standing| may_begin(standing, open)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn overdue(&self, open: &OpenFetch) -> FetchEnd {
        let settled = self.pusher.board.standing(&self.node.id).is_some_and(|standing| may_begin(&standing, open));
        let what = if settled { "not fetched" } else { "the node had not settled earlier purges" };
        FetchEnd::Failed { why: Reason::new(&format!("{what} within {} s", self.pusher.deadline.as_secs())) }
    }

    /// Keeps how a fetch ended, however long the store takes.
    async fn keep(&self, open: OpenFetch, end: FetchEnd, attempts: u32, links: Vec<Box<str>>) {
        if let FetchEnd::Failed { why } = &end {
            tracing::warn!(node = self.node.id.as_str(), url = ?open.url, why = why.as_str(), "a prefetch failed");
        }
        let at = self.pusher.clock.wall();
        let found = follow(links, &open, &self.pusher.purges.directory(), at);
        let ended = EndedFetch { item: open.item, node: self.node.id.clone(), end, attempts, at, found };
        let mut failures = 0;
        while let Err(error) = self.pusher.store.end_fetch(ended.clone()).await {
            failures += 1;
            self.store_failed(&error);
            self.sleep_until(Some(self.pause_end(failures))).await;
        }
    }

    fn store_failed(&self, error: &StoreError) {
        tracing::error!(node = self.node.id.as_str(), %error, "the store failed during a prefetch; trying again");
    }

    fn pause_end(&self, failures: u32) -> Tick {
        let delay = self.pusher.retry.delay(failures, self.pusher.clock.random());
        self.pusher.clock.tick().after(delay)
    }

    async fn sleep_until(&self, until: Option<Tick>) {
        match until {
            Some(until) => self.pusher.clock.sleep_until(until).await,
            None => std::future::pending().await,
        }
    }
}

fn may_begin(standing: &Standing, open: &OpenFetch) -> bool {
    standing.membership == Membership::Member && standing.settled >= open.head
}
