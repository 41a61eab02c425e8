//! The origin of a simulation: pages and their versions.
//!
//! What this is: for each page a number that rises with each change, which is what a fetch brings, and the directories
//! that can be purged. What this is not: slow; how long a fetch takes is the cache's affair.

use std::sync::{Mutex, PoisonError};

/// A version of a page; a later one is greater.
pub(super) type Version = u32;

/// A page, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Page(pub(super) usize);

/// The host of all pages.
pub(super) const HOST: &str = "a.test";

/// The directories: one begins like another, one is in another, and one is spelled without its slash.
const DIRECTORIES: [&str; 6] = ["/d1/", "/d10/", ALIKE, "/d2/", "/d2/sub/", "/d3"];

/// The one like which another begins.
pub(super) const ALIKE: &str = "/d1";

/// Where clients read only when they are sent there.
pub(super) const QUIET: &str = "/quiet/";

/// Where pages lie, so many in each.
const PLACES: [&str; 7] = ["/d1/", "/d10/", "/d2/", "/d2/sub/", "/d3/", "/", QUIET];
const EACH: usize = 5;

/// See the module.
#[derive(Debug)]
pub(super) struct Pages {
    paths: Vec<String>,
    versions: Mutex<Vec<Version>>,
}

impl Default for Pages {
    fn default() -> Self {
        let paths = PLACES.iter().flat_map(|place| (0..EACH).map(move |at| format!("{place}p{at}")));
        let paths: Vec<String> = paths.collect();
        Self { versions: Mutex::new(vec![1; paths.len()]), paths }
    }
}

impl Pages {
    pub(super) fn len(&self) -> usize {
        self.paths.len()
    }

    /// Those that clients read all the time: the first ones.
    pub(super) fn busy(&self) -> usize {
        self.len() - EACH
    }

    pub(super) fn path(&self, page: Page) -> &str {
        &self.paths[page.0]
    }

    pub(super) fn by_path(&self, path: &str) -> Option<Page> {
        self.paths.iter().position(|it| it == path).map(Page)
    }

    pub(super) fn directory(&self, draw: u64) -> &'static str {
        DIRECTORIES[usize::try_from(draw).unwrap_or(0) % DIRECTORIES.len()]
    }

    /// The pages at and below a directory, by a rule of its own: the one that is tested has no say here.
    pub(super) fn below(&self, directory: &str) -> Vec<Page> {
        let start = format!("{}/", directory.trim_end_matches('/'));
        (0..self.len()).filter(|at| self.paths[*at].starts_with(&start)).map(Page).collect()
    }

    /// The pages whose paths begin with these characters, below the directory of that name or not.
    pub(super) fn beginning_like(&self, directory: &str) -> Vec<Page> {
        (0..self.len()).filter(|at| self.paths[*at].starts_with(directory)).map(Page).collect()
    }

    /// What the origin answers now.
    pub(super) fn version(&self, page: Page) -> Version {
        self.versions()[page.0]
    }

    /// Changes a page.
    pub(super) fn change(&self, page: Page) {
        self.versions()[page.0] += 1;
    }

    fn versions(&self) -> std::sync::MutexGuard<'_, Vec<Version>> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulated_directories_are_whole_segments() {
        let pages = Pages::default();
        assert_eq!(pages.below("/d1").len(), EACH);
        assert_eq!(pages.beginning_like("/d1").len(), 2 * EACH);
        assert_eq!(pages.below("/d2/").len(), 2 * EACH);
        assert!(pages.below("/d1/").iter().all(|page| pages.path(*page).starts_with("/d1/")));
    }
}
