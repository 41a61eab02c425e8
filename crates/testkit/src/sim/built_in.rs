//! The built-in edge, with the real fence.
//!
//! What this is: `catharsis_edge::fence::Fence` with copies and fetches that are used as the edge's storage and lock use
//! them: the stamp read before the lookup, the verdict at use, at joining and at storing, a confirmation for the very
//! copy that was looked up, nobody waiting for a fetch that is older than the newest purge. What this is not: that storage; it
//! has tests of its own.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use catharsis_core::abilities::{Abilities, Ability};
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::receipt::{Outcome, Reason, Unreachable};
use catharsis_core::target::{Mode, Target};
use catharsis_edge::fence::{Fence, Names, Purge, RequestUrl, Scope, Seen, Stamp, Verdict};
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

/// See the module.
pub(super) struct BuiltIn {
    fence: Fence,
    marks_max: NonZeroUsize,
    names: Names,
    host: KeyHost,
    urls: Vec<RequestUrl>,
    pages: Arc<Pages>,
    copies: HashMap<Page, Copy>,
    /// Fetches that may be joined, oldest first; the last one is whom newcomers wait for.
    fetches: HashMap<Page, Vec<Arc<Fetch>>>,
    next_id: u64,
}

impl BuiltIn {
    /// An edge that holds nothing.
    pub(super) fn new(pages: Arc<Pages>, marks_max: NonZeroUsize) -> Self {
        let names = Names::default();
        let host = KeyHost::parse(HOST).expect("a valid host");
        let urls = (0..pages.len()).map(|at| names.request(&host, pages.path(Page(at)))).collect();
        Self {
            fence: Fence::new(marks_max),
            marks_max,
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
        let stamp = self.fence.stamp();
        let url = &self.urls[page.0];
        let copy = self.copies.get(&page);
        let verdict = copy.map_or(Verdict::Refuse, |it| self.fence.verdict(url, it.stamp, &it.seen));
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
        if let Some(fetch) = fetches.iter().rev().find(joinable) {
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
            Some(writer) if writer.is_at(Phase::Asked) && writer.ticket.stamp >= self.fence.newest(url) => {
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
            (Brought::Same, None) | (Brought::Failure, _) => {}
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
        *self = Self::new(Arc::clone(&self.pages), self.marks_max);
    }
}
