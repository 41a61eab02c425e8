//! A cache that somebody else makes, as such caches were measured.
//!
//! What this is: a purge takes the copy, and knows nothing of fetches under way: one that began before it stores the old
//! page afterwards, also over a newer one, and a "not modified" makes the old copy fresh again; requests may join it
//! meanwhile. So it has no fence but the relay's repeats. What this is not: one product; what they have in common that
//! could break a promise.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use catharsis_core::abilities::{Abilities, Ability};
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::receipt::{Outcome, Refusal};
use catharsis_core::target::{Mode, Target};
use catharsis_edge::fence::Stamp;
use catharsis_edge::protocol::LogId;
use tokio::time::Instant;

use super::holds::{Brought, Condition, Fetch, Found, Holds, Now, Phase, Ticket, fresh_for};
use super::pages::{Page, Pages, Version};

/// Where copies are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Medium {
    /// Gone with the process.
    Memory,
    /// They survive it.
    Disk,
}

/// Which fetches requests join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coalescing {
    /// Any of the same page.
    Any,
    /// None that began before the page was last purged: the newcomer fetches beside it.
    SinceThePurge,
}

/// Whether it can be told of directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Directories {
    Known,
    Unknown,
}

/// What kind of one it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habits {
    pub(super) medium: Medium,
    pub(super) coalescing: Coalescing,
    pub(super) directories: Directories,
}

#[derive(Clone, Copy)]
struct Copy {
    id: u64,
    version: Version,
    fresh_until: Instant,
    /// Marked stale by a purge: not used before the origin has confirmed it.
    expired: bool,
}

/// See the module.
pub(super) struct ThirdParty {
    habits: Habits,
    pages: Arc<Pages>,
    copies: HashMap<Page, Copy>,
    fetches: HashMap<Page, Vec<(Arc<Fetch>, Since)>>,
    next_id: u64,
}

/// Whether a page was purged since a fetch of it began.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Since {
    NoPurge,
    Purged,
}

impl ThirdParty {
    /// One that holds nothing.
    pub(super) fn new(pages: Arc<Pages>, habits: Habits) -> Self {
        Self { habits, pages, copies: HashMap::new(), fetches: HashMap::new(), next_id: 1 }
    }

    fn purge(&mut self, pages: &[Page], mode: Mode) {
        for page in pages {
            for (_, since) in self.fetches.get_mut(page).into_iter().flatten() {
                *since = Since::Purged;
            }
            match mode {
                Mode::Delete => drop(self.copies.remove(page)),
                Mode::Expire => {
                    if let Some(copy) = self.copies.get_mut(page) {
                        copy.expired = true;
                    }
                }
            }
        }
    }

    fn named(&self, target: &Target) -> Vec<Page> {
        match target {
            Target::Everything => (0..self.pages.len()).map(Page).collect(),
            Target::Prefix(it) => self.pages.below(&it.encoded_path()),
            Target::Url(it) => self.pages.by_path(&it.encoded_path()).into_iter().collect(),
        }
    }
}

impl Holds for ThirdParty {
    fn abilities(&self) -> Abilities {
        let all = Ability::DeleteOrExpire;
        let prefix = match self.habits.directories {
            Directories::Known => all,
            Directories::Unknown => Ability::Missing,
        };
        Abilities { url: all, prefix, host: all, everything: all, tag: Ability::Missing }
    }

    fn look_up(&mut self, page: Page, now: &Now<'_>) -> Found {
        let copy = self.copies.get(&page).copied();
        if let Some(copy) = copy
            && !copy.expired
            && copy.fresh_until >= now.at
        {
            return Found::Hit(copy.version);
        }
        let condition = copy.map(|copy| Condition { copy: copy.id, version: copy.version });
        let ticket = Ticket { stamp: Stamp::OLDEST, condition };
        let joined = |(fetch, since): &&(Arc<Fetch>, Since)| match self.habits.coalescing {
            // Not one that is known to be for somebody else only.
            _ if fetch.is_private() => false,
            Coalescing::Any => true,
            Coalescing::SinceThePurge => *since == Since::NoPurge,
        };
        let under_way = self.fetches.get(&page).and_then(|all| all.iter().rev().find(joined));
        match (copy, under_way) {
            // Refreshed in the background, by one fetch.
            (Some(copy), Some(_)) if !copy.expired => Found::Hit(copy.version),
            (_, Some((fetch, _))) => Found::Join(Arc::clone(fetch)),
            (Some(copy), None) if !copy.expired && now.chance.percent(50) => Found::Stale(copy.version, ticket),
            (_, None) => Found::Nothing(ticket),
        }
    }

    fn begin(&mut self, page: Page, ticket: Ticket) -> Arc<Fetch> {
        self.next_id += 1;
        let fetch = Fetch::new(self.next_id, page, ticket);
        self.fetches.entry(page).or_default().push((Arc::clone(&fetch), Since::NoPurge));
        fetch
    }

    fn end(&mut self, fetch: &Fetch, brought: Brought, now: &Now<'_>) {
        if let Some(fetches) = self.fetches.get_mut(&fetch.page) {
            fetches.retain(|(it, _)| it.id != fetch.id);
        }
        debug_assert!(!fetch.is_at(Phase::Ended(None)), "a fetch ends once");
        let (id, version) = match (brought, fetch.ticket.condition) {
            (Brought::Same, Some(condition)) => (condition.copy, condition.version),
            (Brought::Page(version), _) => (fetch.id, version),
            (Brought::Same, None) | (Brought::Failure | Brought::Private(_), _) => return,
        };
        let fresh_until = now.at + Duration::from_secs(fresh_for(now.chance));
        self.copies.insert(fetch.page, Copy { id, version, fresh_until, expired: false });
    }

    fn apply(&mut self, _log: &LogId, part: &[Invalidation]) -> Vec<Outcome> {
        let one = |it: &Invalidation| {
            if matches!(*it.target, Target::Prefix(_)) && self.habits.directories == Directories::Unknown {
                return Outcome::Refused(Refusal::Unsupported);
            }
            let pages = self.named(&it.target);
            let found = pages.iter().any(|page| self.copies.contains_key(page));
            self.purge(&pages, it.mode);
            if found { Outcome::Applied } else { Outcome::Absent }
        };
        part.iter().map(one).collect()
    }

    fn everything(&mut self, _log: &LogId, _upto: Seq) -> Outcome {
        self.purge(&self.named(&Target::Everything), Mode::Delete);
        Outcome::Applied
    }

    fn at_once(&self) -> usize {
        1
    }

    fn restart(&mut self) {
        self.fetches.clear();
        match self.habits.medium {
            Medium::Memory => self.copies.clear(),
            Medium::Disk => {}
        }
    }
}
