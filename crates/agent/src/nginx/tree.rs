//! nginx's cache directory on the disk.
//!
//! What this is: listing, reading, removing and ageing files by their names. What this is not: a
//! decision about which.
//!
//! Invariant: each step down is taken from an open directory, by a name that nginx could have given,
//! and never through a symbolic link; so nothing outside the directory is touched, whatever it holds.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, openat, unlinkat};
use rustix::io::{Errno, pread, pwrite};

use super::head::{self, Head};
use super::layout::{FileName, Levels};

/// See the module.
#[derive(Debug)]
pub(super) struct Tree {
    path: PathBuf,
    root: OwnedFd,
    pub(super) levels: Levels,
}

/// What became of a file that was to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// It is gone, or marked stale.
    Done,
    /// It was not there.
    Absent,
}

/// A name in a directory of some depth.
pub(super) enum Found {
    Directory(String),
    File(FileName),
}

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::RDONLY);
/// NONBLOCK: a pipe under a copy's name must not hold anybody up.
const FILE: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

impl Tree {
    pub(super) fn open(path: &Path, levels: Levels) -> io::Result<Self> {
        // The directory itself may be given by a link; what is in it may not be one.
        let root = rustix::fs::open(path, DIRECTORY.difference(OFlags::NOFOLLOW), Mode::empty())?;
        Ok(Self { path: path.to_owned(), root, levels })
    }

    /// Where a directory below the root is.
    pub(super) fn path(&self, below: &[String]) -> PathBuf {
        below.iter().fold(self.path.clone(), |path, name| path.join(name))
    }

    /// What lies in a directory and could be nginx's. A directory that is not there is empty.
    pub(super) fn list(&self, below: &[String]) -> io::Result<Vec<Found>> {
        let directory = match self.directory(below) {
            Ok(directory) => directory,
            Err(error) if is_absent(error) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut found = Vec::new();
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if below.len() == self.levels.depth() {
                found.extend(FileName::parse(name).map(Found::File));
            } else if self.levels.is_directory(below.len(), name) {
                found.push(Found::Directory(name.iter().map(|byte| char::from(*byte)).collect()));
            }
        }
        Ok(found)
    }

    /// The key of a file; `None` when it is gone, or is none of the cache's.
    pub(super) fn key(&self, name: FileName) -> io::Result<Option<Vec<u8>>> {
        let file = match self.file(name, OFlags::RDONLY) {
            Ok(file) => file,
            Err(error) if is_absent(error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let first = match first_bytes(&file, head::FIRST_BYTES) {
            Ok(first) => first,
            // Not nginx's, whatever its name; nothing can be served from it.
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(match head::key(&first) {
            Head::Key(key) => Some(key.to_vec()),
            Head::Other => None,
            Head::Cut => match head::key(&first_bytes(&file, head::BYTES_MAX)?) {
                Head::Key(key) => Some(key.to_vec()),
                Head::Cut | Head::Other => None,
            },
        })
    }

    /// Removes a file.
    pub(super) fn remove(&self, name: FileName) -> io::Result<Gone> {
        let directory = self.directory(&self.levels.directories(name.id()));
        match directory.and_then(|directory| unlinkat(directory, name.to_string(), AtFlags::empty())) {
            Ok(()) => Ok(Gone::Done),
            Err(error) if is_absent(error) => Ok(Gone::Absent),
            Err(error) => Err(error.into()),
        }
    }

    /// Marks a copy stale where it is; removes it when its head is not as expected.
    pub(super) fn expire(&self, name: FileName) -> io::Result<Gone> {
        let file = match self.file(name, OFlags::RDWR) {
            Ok(file) => file,
            Err(error) if is_absent(error) => return Ok(Gone::Absent),
            Err(error) => return Err(error.into()),
        };
        let mut read = first_bytes(&file, head::FIRST_BYTES)?;
        if head::key(&read) == Head::Cut {
            read = first_bytes(&file, head::BYTES_MAX)?;
        }
        if !head::is_plain(&read, now()) {
            return self.remove(name);
        }
        // In one piece: whoever reads the head meanwhile sees the old time or the new one.
        let written = pwrite(&file, &head::LONG_GONE, head::VALID_AT)?;
        if written == head::LONG_GONE.len() { Ok(Gone::Done) } else { self.remove(name) }
    }

    fn directory(&self, below: &[String]) -> rustix::io::Result<OwnedFd> {
        // Opened anew, since a listing moves the position that copies of a descriptor share.
        let mut at = openat(&self.root, ".", DIRECTORY, Mode::empty())?;
        for name in below {
            at = openat(&at, name.as_str(), DIRECTORY, Mode::empty())?;
        }
        Ok(at)
    }

    fn file(&self, name: FileName, access: OFlags) -> rustix::io::Result<OwnedFd> {
        let directory = self.directory(&self.levels.directories(name.id()))?;
        openat(directory, name.to_string(), FILE | access, Mode::empty())
    }
}

fn first_bytes(file: &OwnedFd, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; most];
    let mut length = 0;
    while length < most {
        match pread(file, &mut bytes[length..], length as u64) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// Nothing is there, or something that nginx does not follow a name through.
fn is_absent(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::LOOP)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
