//! The built-in edge, with the real fence, leases and flights.
//!
//! What this is: `catharsis_edge::fence::Fence` with copies and fetches that are used as the edge's storage and lock use
//! them: the stamp read before the lookup, the verdict at use, at joining and at storing, a confirmation for the very
//! copy that was looked up, nobody waiting for a fetch that is older than the newest purge; and nothing used unasked,
//! joined or waited for while `catharsis_edge::lease::Leases` says that no lease is held. As an origin hop it notes in
//! `catharsis_edge::flights::Flights` what a purge overtakes. What this is not: that storage; it has tests of its own.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use catharsis_core::abilities::{Abilities, Ability};
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::lease::{Grant, Named, NodeMillis, Run};
use catharsis_core::ports::Trusts;
use catharsis_core::receipt::{Outcome, Reason, Unreachable};
use catharsis_core::target::{Mode, Target};
use catharsis_edge::fence::{Fence, Names, Purge, RequestUrl, Scope, Seen, Stamp, Verdict};
use catharsis_edge::flights::Flights;
use catharsis_edge::lease::{Lease, Leases, Trust};
use catharsis_edge::protocol::{InvalidationsRequest, KeyHost, LogId};
use tokio::time::Instant;

use super::holds::{Brought, Condition, Fetch, Found, Holds, Now, Phase, Ticket, fresh_for};
use super::pages::{HOST, Page, Pages, Version};

struct Copy {
    id: u64,
    version: Version,
    stamp: Stamp,
    seen: Seen,
    fresh_until: Instant,
}

/// Who fetches through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Below {
    Clients,
    /// Caches, whose origin hop it is.
    Caches,
}

/// What kind of one it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Build {
    /// It keeps at most so many marks.
    pub(super) marks_max: NonZeroUsize,
    pub(super) lease: Lease,
    pub(super) below: Below,
    /// By how many of a thousand its clock is fast; a tenth of what leases allow for is much.
    pub(super) fast: i64,
}

/// Its own clock, which begins anew with each run, as if its machine had been started.
#[derive(Clone, Copy)]
struct OwnClock {
    began: Instant,
    fast: i64,
}

impl OwnClock {
    fn at(self, now: Instant) -> NodeMillis {
        let passed = i64::try_from(now.duration_since(self.began).as_millis()).unwrap_or(i64::MAX);
        NodeMillis(u64::try_from(passed + passed * self.fast / 1_000).unwrap_or(0))
    }
}

/// See the module.
pub(super) struct BuiltIn {
    fence: Arc<Fence>,
    leases: Leases,
    flights: Option<Arc<Flights>>,
    clock: OwnClock,
    build: Build,
    run: Run,
    names: Names,
    host: KeyHost,
    urls: Vec<Arc<RequestUrl>>,
    pages: Arc<Pages>,
    copies: HashMap<Page, Copy>,
    /// Fetches that may be joined, oldest first; the last one is whom newcomers wait for.
    fetches: HashMap<Page, Vec<Arc<Fetch>>>,
    next_id: u64,
}

impl BuiltIn {
    /// An edge that holds nothing.
    pub(super) fn new(pages: Arc<Pages>, build: Build) -> Self {
        Self::in_run(pages, build, Run(1))
    }

    fn in_run(pages: Arc<Pages>, build: Build, run: Run) -> Self {
        let names = Names::default();
        let host = KeyHost::parse(HOST).expect("a valid host");
        let urls = (0..pages.len()).map(|at| Arc::new(names.request(&host, pages.path(Page(at))))).collect();
        let fence = Arc::new(Fence::new(build.marks_max));
        Self {
            leases: Leases::new(build.lease, run, Arc::clone(&fence)),
            flights: match build.below {
                Below::Clients => None,
                Below::Caches => Some(Arc::new(Flights::new(Arc::clone(&fence)))),
            },
            fence,
            clock: OwnClock { began: Instant::now(), fast: build.fast },
            build,
            run,
            names,
            host,
            urls,
            pages,
            copies: HashMap::new(),
            fetches: HashMap::new(),
            next_id: 1,
        }
    }

    fn scope(&self, target: &Target) -> Scope {
        match target {
            Target::Everything => Scope::Everything,
            Target::Url(url) => Scope::Url(self.names.url(&self.host, &url.encoded_path())),
            Target::Prefix(it) => Scope::Prefix(self.names.prefix(&self.host, &it.encoded_path())),
        }
    }

    /// What the edge does once its marks are set, before it answers an order.
    fn obeyed(&self, log: &LogId, purges: impl Iterator<Item = (Scope, Stamp)>) {
        if let Some(flights) = &self.flights {
            flights.overtake(purges);
        }
        self.leases.ordered(log);
    }

    /// What the edge does about a purge once the fence holds: gives memory back. Of a directory, nothing.
    fn give_back(&mut self, target: &Target, mode: Mode, point: Stamp) {
        let page = match target {
            Target::Everything => None,
            Target::Prefix(_) => return,
            Target::Url(url) => match self.pages.by_path(&url.encoded_path()) {
                Some(page) => Some(page),
                None => return,
            },
        };
        let named = |it: &Page| page.is_none_or(|page| page == *it);
        for (_, fetches) in self.fetches.iter_mut().filter(|(page, _)| named(page)) {
            fetches.retain(|it| it.ticket.stamp >= point);
        }
        if mode == Mode::Delete {
            self.copies.retain(|page, copy| !named(page) || copy.stamp >= point);
        }
    }

    fn confirm(&mut self, fetch: &Fetch, condition: Condition, fresh_until: Instant) {
        let stamp = fetch.ticket.stamp;
        if let Some(copy) = self.copies.get_mut(&fetch.page)
            && copy.id == condition.copy
            && copy.stamp <= stamp
        {
            *copy = Copy { id: copy.id, version: copy.version, stamp, seen: Seen::default(), fresh_until };
        }
    }

    fn commit(&mut self, fetch: &Fetch, version: Version, fresh_until: Instant) {
        let stamp = fetch.ticket.stamp;
        if self.fence.verdict(&self.urls[fetch.page.0], stamp, &fetch.seen) == Verdict::Refuse {
            return;
        }
        if self.copies.get(&fetch.page).is_some_and(|copy| copy.stamp > stamp) {
            return;
        }
        let copy = Copy { id: fetch.id, version, stamp, seen: Seen::default(), fresh_until };
        self.copies.insert(fetch.page, copy);
    }
}

impl Holds for BuiltIn {
    fn abilities(&self) -> Abilities {
        let all = Ability::DeleteOrExpire;
        Abilities { url: all, prefix: all, host: all, everything: all, tag: Ability::Missing }
    }

    fn look_up(&mut self, page: Page, now: &Now<'_>) -> Found {
        // In the order in which the edge's storage looks.
        let stamp = self.fence.stamp();
        let trust = self.leases.trust_at(self.clock.at(now.at));
        let url = &self.urls[page.0];
        let copy = self.copies.get(&page);
        let verdict = copy.map_or(Verdict::Refuse, |it| self.fence.verdict(url, it.stamp, &it.seen));
        let verdict = match (verdict, trust) {
            (Verdict::Keep, Trust::Out) => Verdict::Expire,
            (Verdict::Keep | Verdict::Expire | Verdict::Refuse, _) => verdict,
        };
        if let Some(copy) = copy
            && verdict == Verdict::Keep
            && copy.fresh_until >= now.at
        {
            return Found::Hit(copy.version);
        }
        let fetches = self.fetches.get(&page).map_or(&[][..], Vec::as_slice);
        let joinable = |it: &&Arc<Fetch>| {
            it.is_at(Phase::Streaming) && self.fence.verdict(url, it.ticket.stamp, &it.seen) == Verdict::Keep
        };
        if trust == Trust::Held
            && let Some(fetch) = fetches.iter().rev().find(joinable)
        {
            return Found::Join(Arc::clone(fetch));
        }
        let usable = copy.filter(|_| verdict != Verdict::Refuse);
        let condition = usable.map(|copy| Condition { copy: copy.id, version: copy.version });
        let ticket = Ticket { stamp, condition };
        if let Some(copy) = copy
            && verdict == Verdict::Keep
            && now.chance.percent(50)
        {
            return Found::Stale(copy.version, ticket);
        }
        match fetches.last() {
            Some(writer)
                if trust == Trust::Held
                    && writer.is_at(Phase::Asked)
                    && writer.ticket.stamp >= self.fence.newest(url) =>
            {
                Found::Wait(Arc::clone(writer))
            }
            Some(_) | None => Found::Nothing(ticket),
        }
    }

    fn begin(&mut self, page: Page, ticket: Ticket) -> Arc<Fetch> {
        self.next_id += 1;
        let fetch = Fetch::new(self.next_id, page, ticket);
        self.fetches.entry(page).or_default().push(Arc::clone(&fetch));
        fetch
    }

    fn end(&mut self, fetch: &Fetch, brought: Brought, now: &Now<'_>) {
        if let Some(fetches) = self.fetches.get_mut(&fetch.page) {
            fetches.retain(|it| it.id != fetch.id);
        }
        let fresh_until = now.at + Duration::from_secs(fresh_for(now.chance));
        match (brought, fetch.ticket.condition) {
            (Brought::Same, Some(condition)) => self.confirm(fetch, condition, fresh_until),
            (Brought::Page(version), _) => self.commit(fetch, version, fresh_until),
            (Brought::Same, None) | (Brought::Failure | Brought::Private(_), _) => {}
        }
    }

    fn apply(&mut self, log: &LogId, part: &[Invalidation]) -> Vec<Outcome> {
        // As the relay's purger sends it: the position reached is the highest of the batch.
        let upto = part.iter().map(|it| it.seq).max().unwrap_or(Seq::ZERO);
        let purge = |it: &Invalidation| Purge { seq: it.seq, scope: self.scope(&it.target), mode: it.mode };
        let purges: Vec<Purge> = part.iter().map(purge).collect();
        let applied = match self.fence.apply(log, upto, &purges) {
            Ok(applied) => applied,
            Err(full) => {
                let why = Unreachable::Protocol(Reason::new(&full.to_string()));
                return vec![Outcome::Unreachable(why); part.len()];
            }
        };
        self.obeyed(log, purges.iter().map(|it| it.scope).zip(applied.points.iter().copied()));
        if let Some(began) = applied.log_began {
            self.give_back(&Target::Everything, Mode::Delete, began);
        }
        for (it, point) in part.iter().zip(&applied.points) {
            self.give_back(&it.target, it.mode, *point);
        }
        vec![Outcome::Applied; part.len()]
    }

    fn everything(&mut self, log: &LogId, upto: Seq) -> Outcome {
        let order = InvalidationsRequest::everything(log.clone(), upto).expect("a simulated log is short");
        let upto = order.upto();
        let purge = Purge { seq: upto, scope: Scope::Everything, mode: Mode::Delete };
        match self.fence.apply(order.log(), upto, &[purge]) {
            Ok(applied) => {
                self.obeyed(order.log(), applied.points.iter().map(|point| (Scope::Everything, *point)));
                for point in applied.log_began.iter().chain(&applied.points) {
                    self.give_back(&Target::Everything, Mode::Delete, *point);
                }
                Outcome::Applied
            }
            Err(full) => Outcome::Unreachable(Unreachable::Protocol(Reason::new(&full.to_string()))),
        }
    }

    fn at_once(&self) -> usize {
        usize::MAX
    }

    fn restart(&mut self) {
        // All is in memory, the fence too.
        *self = Self::in_run(Arc::clone(&self.pages), self.build, Run(self.run.0 + 1));
    }

    fn lease(&mut self, log: &LogId, grant: Option<Grant>, now: Instant) -> Trusts {
        let status = self.leases.call_at(self.clock.at(now), log, grant.map(|it| (it.run, it.until)));
        match self.leases.mode() {
            Lease::None => Trusts::Always,
            Lease::Required => Trusts::Leased(Named { run: status.run, clock: status.clock, until: status.until }),
        }
    }

    fn flights(&self) -> Option<Arc<Flights>> {
        self.flights.clone()
    }

    fn flight_of(&self, page: Page) -> Option<Arc<RequestUrl>> {
        self.flights.as_ref().map(|_| Arc::clone(&self.urls[page.0]))
    }
}
