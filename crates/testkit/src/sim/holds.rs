//! What a simulated cache holds, and by which rules it uses, joins and stores.
//!
//! What this is: the words that a cache and its rules speak to each other. Each kind of cache, and of fence, is one
//! implementation of [`Holds`]: the built-in edge's with the real fence (`built_in`), and a third party's as such caches
//! were measured (`third_party`). Another kind is another one, named in [`super::topologies`]. What this is not: time or the network; those are `cache` and `network`.

use std::sync::Arc;

use catharsis_core::abilities::Abilities;
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::lease::Grant;
use catharsis_core::level::Level;
use catharsis_core::ports::Trusts;
use catharsis_core::receipt::Outcome;
use catharsis_edge::fence::{RequestUrl, Seen, Stamp};
use catharsis_edge::flights::Flights;
use catharsis_edge::protocol::LogId;
use tokio::time::Instant;

use super::Chance;
use super::pages::{Page, Version};

/// How far a fetch has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing has been answered yet.
    Asked,
    /// The head has come; others may read along.
    Streaming,
    /// The head has come, and it says that this is for whoever asked only.
    Private(Version),
    /// It is over; with what it brought.
    Ended(Option<Version>),
}

/// A copy that the origin is asked to confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) copy: u64,
    pub(super) version: Version,
}

/// What a request took along when it looked the page up, for the fetch that it may begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    /// Of no meaning where there is no fence.
    pub(super) stamp: Stamp,
    pub(super) condition: Option<Condition>,
}

/// A fetch under way.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) id: u64,
    pub(super) page: Page,
    pub(super) ticket: Ticket,
    pub(super) seen: Seen,
    pub(super) phase: Level<Phase>,
}

impl Fetch {
    pub(super) fn new(id: u64, page: Page, ticket: Ticket) -> Arc<Self> {
        Arc::new(Self { id, page, ticket, seen: Seen::default(), phase: Level::new(Phase::Asked) })
    }

    /// Comes to its next phase. What is for one client only stays so: whoever looks later, when it has ended, gets nothing
    /// of it either.
    pub(super) fn comes_to(&self, phase: Phase) {
        self.phase.send_modify(|it| *it = if matches!(*it, Phase::Private(_)) { *it } else { phase });
    }

    pub(super) fn is_at(&self, phase: Phase) -> bool {
        *self.phase.borrow() == phase
    }

    pub(super) fn is_private(&self) -> bool {
        matches!(*self.phase.borrow(), Phase::Private(_))
    }

    /// Waits until its head has come, or it is over.
    pub(super) async fn answered(&self) {
        self.phase.wait_for(|phase| (*phase != Phase::Asked).then_some(())).await;
    }

    /// Waits until it is over, or is known to be for whoever asked only: then it is in `Private`.
    pub(super) async fn ended(&self) -> Phase {
        let ends = |phase: &Phase| matches!(phase, Phase::Ended(_) | Phase::Private(_)).then_some(*phase);
        self.phase.wait_for(ends).await
    }
}

/// What a request for a page finds.
#[derive(Debug)]
pub(super) enum Found {
    /// A copy that may be used.
    Hit(Version),
    /// A copy that may be used while it is refreshed.
    Stale(Version, Ticket),
    /// A fetch whose head is worth waiting for; then it looks again.
    Wait(Arc<Fetch>),
    /// A fetch to read along with.
    Join(Arc<Fetch>),
    /// Nothing: it must fetch.
    Nothing(Ticket),
}

/// What a fetch has brought: at its head when nothing follows, else at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Brought {
    /// "Not modified": the copy that was looked up.
    Same,
    /// A page.
    Page(Version),
    /// A page that no cache may keep.
    Private(Version),
    /// Nothing.
    Failure,
}

/// Moments and chance, as the rules see them.
pub(super) struct Now<'a> {
    pub(super) at: Instant,
    pub(super) chance: &'a Chance,
}

/// See the module. No call waits for anything.
pub(super) trait Holds: Send {
    /// What it can be told.
    fn abilities(&self) -> Abilities;

    /// What a request for a page finds.
    fn look_up(&mut self, page: Page, now: &Now<'_>) -> Found;

    /// A request begins to fetch.
    fn begin(&mut self, page: Page, ticket: Ticket) -> Arc<Fetch>;

    /// A fetch is over.
    fn end(&mut self, fetch: &Fetch, brought: Brought, now: &Now<'_>);

    /// Carries out a part of an order: one outcome for each.
    fn apply(&mut self, log: &LogId, part: &[Invalidation]) -> Vec<Outcome>;

    /// Forgets everything that it began to fetch before a position.
    fn everything(&mut self, log: &LogId, upto: Seq) -> Outcome;

    /// Takes a lease call. Default: it uses its copies as it likes.
    fn lease(&mut self, _log: &LogId, _grant: Option<Grant>, _now: Instant) -> Trusts {
        Trusts::Always
    }

    /// What is on its way from it to the caches behind it, if it keeps account of that.
    fn flights(&self) -> Option<Arc<Flights>> {
        None
    }

    /// What a page is called in that account.
    fn flight_of(&self, _page: Page) -> Option<Arc<RequestUrl>> {
        None
    }

    /// How many invalidations it carries out in one go: what is between two of them can be interrupted.
    fn at_once(&self) -> usize;

    /// It was killed and starts again: fetches under way are gone, and what is not on disk.
    fn restart(&mut self);
}

/// For how long a new copy is fresh, seconds: mostly long, for a purge is what must end it.
pub(super) fn fresh_for(chance: &Chance) -> u64 {
    if chance.percent(25) { 1 + chance.below(15) } else { 10_000 }
}
