//! The index, kept equal to the directory.
//!
//! What this is: the walk at the start, and what the kernel tells afterwards of files that come and go.
//! What this is not: purging.
//!
//! Invariants: a directory is watched before it is listed, so nothing that comes in between is missed;
//! the kernel tells of all directories in the order of what happened, so whoever has read on to the end
//! ([`Follower::catch_up`]) knows of every file that was in place when the reading began. When the
//! kernel had to leave something out, the directory is walked again before anything is answered.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::index::Index;
use super::key::KeyTemplate;
use super::layout::{FileId, FileName, Levels, TempName};
use super::tree::{Found, Tree};

/// Files between two messages of a walk.
const TOLD_EVERY: usize = 100_000;

/// Bytes of messages read at once: some hundred.
const READ_BYTES: usize = 32 << 10;

/// Copies being written that are known at a time, of which each takes some hundred bytes. nginx has one
/// for each fetch under way.
const TEMPS_MAX: usize = 100_000;

/// Where the kernel says how many messages it keeps; and what it keeps if it does not say.
const QUEUE_PATH: &str = "/proc/sys/fs/inotify/max_queued_events";
const QUEUE_USUAL: usize = 16_384;

const WATCHED: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::DONT_FOLLOW);

/// Why the directory cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum FollowError {
    #[error("cannot read the cache directory: {0}")]
    Read(#[source] io::Error),
    #[error("cannot watch the cache directory: {0} (fs.inotify.max_user_watches or max_user_instances may be too low)")]
    Watch(#[source] io::Error),
    #[error("the cache directory was removed or moved away")]
    Lost,
}

/// Whether the kernel left something out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Everything,
    NotEverything,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) tree: Tree,
    pub(super) stored: Index<FileId>,
    /// Copies being written whose key is known.
    pub(super) writing: Index<TempName>,
    /// Those whose key was not there yet when it was looked for.
    pub(super) beginning: BTreeSet<TempName>,
    kernel: Arc<OwnedFd>,
    watched: HashMap<i32, Box<[String]>>,
    queue_max: usize,
    told: Told,
    /// Why purges cannot be exact, for a person.
    trouble: Option<String>,
    entries_max: usize,
}

impl Follower {
    /// Opens and walks a directory.
    pub(super) fn open(
        path: &Path,
        levels: Levels,
        template: &KeyTemplate,
        entries_max: usize,
    ) -> Result<Self, FollowError> {
        let tree = Tree::open(path, levels).map_err(FollowError::Read)?;
        let kernel = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC);
        let kernel = Arc::new(kernel.map_err(|error| FollowError::Watch(error.into()))?);
        let queue = std::fs::read_to_string(QUEUE_PATH).ok().and_then(|text| text.trim().parse().ok());
        let mut follower = Self {
            tree,
            stored: Index::new(template.clone(), entries_max),
            writing: Index::new(template.clone(), TEMPS_MAX),
            beginning: BTreeSet::new(),
            kernel,
            watched: HashMap::new(),
            queue_max: queue.unwrap_or(QUEUE_USUAL),
            told: Told::Everything,
            trouble: None,
            entries_max,
        };
        follower.walk()?;
        Ok(follower)
    }

    /// Readable when the kernel has something to say.
    pub(super) fn kernel(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.kernel)
    }

    /// Why what is found may not be all, for a person.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Pretends that the kernel had to leave something out.
    #[cfg(test)]
    pub(super) fn forget_something(&mut self) {
        self.told = Told::NotEverything;
    }

    /// Takes in all that happened until now.
    ///
    /// # Errors
    /// [`FollowError`]: the directory must be opened anew.
    pub(super) fn catch_up(&mut self) -> Result<(), FollowError> {
        let mut bytes = vec![MaybeUninit::uninit(); READ_BYTES];
        let kernel = self.kernel();
        let mut messages = inotify::Reader::new(&*kernel, &mut bytes);
        // What waited when this began is at most the queue, and its mark that it was too short. While nginx
        // goes on, the end might never be seen.
        let mut left = self.queue_max + 1;
        while left > 0 || !messages.is_buffer_empty() {
            left = left.saturating_sub(1);
            let (mask, at, name) = match messages.next() {
                Ok(it) => (it.events(), it.wd(), it.file_name().map(|name| name.to_bytes().to_vec())),
                Err(Errno::WOULDBLOCK) => break,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(FollowError::Read(error.into())),
            };
            self.take(mask, at, name.as_deref().unwrap_or_default())?;
        }
        if self.told == Told::NotEverything || self.trouble.is_some() {
            self.walk()?;
        }
        self.look_at_beginnings();
        Ok(())
    }

    fn take(&mut self, mask: ReadFlags, at: i32, name: &[u8]) -> Result<(), FollowError> {
        if mask.contains(ReadFlags::QUEUE_OVERFLOW) {
            tracing::warn!("the kernel left out what happened in the cache directory: walking it again");
            self.told = Told::NotEverything;
            return Ok(());
        }
        let Some(below) = self.watched.get(&at) else { return Ok(()) };
        if mask.intersects(ReadFlags::IGNORED | ReadFlags::MOVE_SELF) && below.is_empty() {
            return Err(FollowError::Lost);
        }
        if mask.contains(ReadFlags::IGNORED) {
            self.watched.remove(&at);
            return Ok(());
        }
        let came = mask.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
        if below.len() < self.tree.levels.depth() {
            if mask.contains(ReadFlags::ISDIR) && self.tree.levels.is_directory(below.len(), name) {
                if !came {
                    // Its files went with it; who removes them one by one is told of each.
                    self.told = if mask.contains(ReadFlags::MOVED_FROM) { Told::NotEverything } else { self.told };
                    return Ok(());
                }
                let mut below = below.to_vec();
                below.push(name.iter().map(|byte| char::from(*byte)).collect());
                self.walk_below(below, &mut HashSet::new())?;
            }
            return Ok(());
        }
        match FileName::parse(name) {
            Some(name) if came => self.came(name),
            Some(name) => self.went(name),
            None => {}
        }
        Ok(())
    }

    /// A file is there.
    fn came(&mut self, name: FileName) {
        match name {
            FileName::Stored(id) => {
                if self.stored.contains(&id) {
                    return;
                }
                match self.tree.key(name) {
                    Ok(None) => {}
                    Ok(Some(key)) => {
                        if let Err(full) = self.stored.insert(id, &key) {
                            self.in_trouble(full.to_string());
                        }
                    }
                    Err(error) => {
                        self.in_trouble(format!("cannot read {id}: {error}; run the agent as nginx's user or as root"));
                    }
                }
            }
            FileName::Temp(temp) => {
                if self.writing.contains(&temp) {
                    return;
                }
                if self.beginning.len() < TEMPS_MAX {
                    self.beginning.insert(temp);
                } else {
                    self.in_trouble(format!("more than {TEMPS_MAX} copies are being written"));
                }
            }
        }
    }

    /// A file is there no more.
    pub(super) fn went(&mut self, name: FileName) {
        match name {
            FileName::Stored(id) => {
                self.stored.remove(&id);
            }
            FileName::Temp(temp) => {
                self.beginning.remove(&temp);
                self.writing.remove(&temp);
            }
        }
    }

    fn in_trouble(&mut self, why: String) {
        if self.trouble.is_none() {
            tracing::error!(%why, "the index of the cache is not complete: purges fail until it is");
            self.trouble = Some(why);
        }
    }

    /// The keys of copies that nginx had only begun to write.
    fn look_at_beginnings(&mut self) {
        for temp in self.beginning.clone() {
            // What cannot be read now is looked for again; its name may be enough to find it.
            let Ok(Some(key)) = self.tree.key(FileName::Temp(temp)) else { continue };
            if self.writing.insert(temp, &key).is_ok() {
                self.beginning.remove(&temp);
            }
        }
    }

    /// Lists all of it: what is known and not there any more goes, what is new comes.
    fn walk(&mut self) -> Result<(), FollowError> {
        self.told = Told::Everything;
        self.trouble = None;
        let mut seen = HashSet::new();
        self.walk_below(Vec::new(), &mut seen)?;
        let stored: Vec<FileId> = self.stored.names().filter(|it| !seen.contains(&FileName::Stored(*it))).collect();
        let writing = self.writing.names().chain(self.beginning.iter().copied());
        let writing: Vec<TempName> = writing.filter(|it| !seen.contains(&FileName::Temp(*it))).collect();
        stored.into_iter().for_each(|it| self.went(FileName::Stored(it)));
        writing.into_iter().for_each(|it| self.went(FileName::Temp(it)));
        tracing::info!(files = self.stored.len(), directories = self.watched.len(), "the cache directory was walked");
        Ok(())
    }

    fn walk_below(&mut self, from: Vec<String>, seen: &mut HashSet<FileName>) -> Result<(), FollowError> {
        let mut left = vec![from];
        while let Some(below) = left.pop() {
            match inotify::add_watch(&*self.kernel, self.tree.path(&below), WATCHED) {
                Ok(at) => drop(self.watched.insert(at, below.clone().into())),
                // Gone already, or not a directory: nothing that nginx would look into.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) if !below.is_empty() => continue,
                Err(error) => return Err(FollowError::Watch(error.into())),
            }
            for found in self.tree.list(&below).map_err(FollowError::Read)? {
                match found {
                    Found::Directory(name) => left.push(below.iter().cloned().chain([name]).collect()),
                    Found::File(name) => {
                        seen.insert(name);
                        self.came(name);
                        if seen.len().is_multiple_of(TOLD_EVERY) {
                            tracing::info!(files = seen.len(), most = self.entries_max, "walking the cache directory");
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
