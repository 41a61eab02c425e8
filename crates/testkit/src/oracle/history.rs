//! The judge: which versions a read may return.
//!
//! What this is: for each page the current version and since when, and the oldest version that a read
//! that begins now may return. Pure: the times are told to it, and are for people to read only.
//!
//! What a violation rests on, which is why there is no false alarm:
//!
//! - A [`Claim`] notes the versions current *before* the purge is sent. The origin reads a version
//!   under the same lock as they change, so whatever version is older than the claim's was handed
//!   out for a request that came before the change, so before the purge was sent, so before it was
//!   accepted: its fetch began before acceptance.
//! - A claim counts from when `done` was *seen*, for reads that *begin* afterwards ([`History::begin`]). A
//!   read under way at that moment may have been answered before.
//! - It is never taken back: what was shown `done` stays so.
//!
//! The blind window is what changes between the sending of a purge and its acceptance. So the driver
//! changes a page first and purges it then, as a publisher does, and nothing falls into the window.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::page::{PageId, Pages};

/// Times of changes that are kept for each page, for the report of a violation.
const CHANGES_KEPT: usize = 16;

/// A version of a page; later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u64);

impl Version {
    /// The version of this number.
    #[must_use]
    pub const fn of(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// What a purge that is about to be sent will claim once it is done.
#[derive(Clone, Debug)]
pub struct Claim(Vec<(PageId, Version)>);

/// What is known when a read begins.
#[derive(Clone, Debug)]
pub struct Reading {
    page: PageId,
    began: Duration,
    floor: Option<Floor>,
}

impl Reading {
    /// Whether a purge of its page was shown done before it began.
    #[must_use]
    pub const fn after_done(&self) -> bool {
        self.floor.is_some()
    }
}

#[derive(Clone, Debug)]
struct Floor {
    least: Version,
    task: Arc<str>,
    shown: Duration,
}

/// A read is right, or this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What was read.
    pub page: PageId,
    /// The version that came.
    pub got: Version,
    /// When it had ceased to be current, unless that is too long ago to be known.
    pub superseded: Option<Duration>,
    /// The oldest version that may come.
    pub least: Version,
    /// The purge that was done.
    pub task: Arc<str>,
    /// When that was shown.
    pub shown: Duration,
    /// When the read began.
    pub began: Duration,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { page, got, least, task, shown, began, .. } = self;
        write!(f, "{} returned version {} ", page.path(), got.0)?;
        if let Some(superseded) = self.superseded {
            write!(f, "(superseded at {superseded:.3?}) ")?;
        }
        write!(
            f,
            "to a read begun at {began:.3?}; task {task}, shown done at {shown:.3?}, purged what was before {}",
            { least.0 }
        )
    }
}

#[derive(Debug)]
struct Page {
    current: Version,
    /// When the newest versions became current, oldest first.
    changes: VecDeque<(Version, Duration)>,
    floor: Option<Floor>,
}

/// See the module.
#[derive(Debug)]
pub struct History {
    pages: Pages,
    states: Vec<Page>,
}

impl History {
    /// All pages at version 1, and nothing purged.
    #[must_use]
    pub fn new(pages: Pages) -> Self {
        let page = || Page { current: Version(1), changes: VecDeque::new(), floor: None };
        Self { pages, states: std::iter::repeat_with(page).take(pages.count()).collect() }
    }

    /// The pages.
    #[must_use]
    pub const fn pages(&self) -> Pages {
        self.pages
    }

    /// The current version; `None` for a page that is not of this site.
    #[must_use]
    pub fn current(&self, page: PageId) -> Option<Version> {
        let known = page.directory < self.pages.directories && page.page < self.pages.each;
        known.then(|| self.states[self.pages.index(page)].current)
    }

    /// Publishes a new version: requests that come from now on get it.
    pub fn change(&mut self, page: PageId, now: Duration) {
        let state = self.state(page);
        state.current = Version(state.current.0 + 1);
        if state.changes.len() == CHANGES_KEPT {
            state.changes.pop_front();
        }
        state.changes.push_back((state.current, now));
    }

    /// To be taken before the purge of these pages is sent.
    #[must_use]
    pub fn claim(&self, pages: &[PageId]) -> Claim {
        Claim(pages.iter().map(|page| (*page, self.states[self.pages.index(*page)].current)).collect())
    }

    /// The purge was seen done.
    pub fn shown_done(&mut self, task: &Arc<str>, claim: &Claim, now: Duration) {
        for (page, least) in &claim.0 {
            let floor = &mut self.state(*page).floor;
            if floor.as_ref().is_none_or(|known| known.least < *least) {
                *floor = Some(Floor { least: *least, task: Arc::clone(task), shown: now });
            }
        }
    }

    /// To be called before a read is sent.
    #[must_use]
    pub fn begin(&self, page: PageId, now: Duration) -> Reading {
        Reading { page, began: now, floor: self.states[self.pages.index(page)].floor.clone() }
    }

    /// Judges what a read returned.
    ///
    /// # Errors
    /// The [`Violation`].
    pub fn judge(&self, reading: &Reading, got: Version) -> Result<(), Violation> {
        let Reading { page, began, floor } = reading;
        match floor {
            Some(Floor { least, task, shown }) if got < *least => {
                let changes = &self.states[self.pages.index(*page)].changes;
                let next = changes.iter().find(|(version, _)| version.0 == got.0 + 1);
                Err(Violation {
                    page: *page,
                    got,
                    superseded: next.map(|(_, at)| *at),
                    least: *least,
                    task: Arc::clone(task),
                    shown: *shown,
                    began: *began,
                })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn state(&mut self, page: PageId) -> &mut Page {
        &mut self.states[self.pages.index(page)]
    }
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
