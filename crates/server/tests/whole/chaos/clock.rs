//! A wall clock that a test turns while the process that reads it runs.
//!
//! What this is: libfaketime, loaded into one process, which adds to the time of day what a file says. What this is not:
//! another pace. `CLOCK_MONOTONIC`, `CLOCK_BOOTTIME` and every wait go on as they are, as on a machine whose clock is set.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The clock of one process after another: of a server and of those that are started in its place.
#[derive(Debug)]
pub(crate) struct Clock {
    file: PathBuf,
    /// By how many seconds it was off, and since when; the first of them since ever.
    turns: Mutex<Vec<(Instant, i64)>>,
    _folder: tempfile::TempDir,
}

impl Clock {
    /// One that is right.
    pub(crate) fn right() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = Self { file: folder.path().join("clock"), turns: Mutex::default(), _folder: folder };
        clock.turn(0);
        clock
    }

    /// From now on it is off by so many seconds.
    pub(crate) fn turn(&self, seconds: i64) {
        let next = self.file.with_extension("next");
        std::fs::write(&next, format!("{seconds:+}\n")).expect("a writable folder");
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        // Noted after it is turned and before anybody can ask: a reader of the list waits for the lock.
        std::fs::rename(&next, &self.file).expect("one folder");
        turns.push((Instant::now(), seconds));
    }

    /// By how many seconds it is off.
    pub(crate) fn turned(&self) -> i64 {
        let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.last().map_or(0, |(_, seconds)| *seconds)
    }

    /// The least and the most that it was off from then on.
    pub(crate) fn turned_since(&self, then: Instant) -> RangeInclusive<i64> {
        let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let before = turns.partition_point(|(since, _)| *since <= then).saturating_sub(1);
        let off = || turns[before..].iter().map(|(_, seconds)| *seconds);
        off().min().unwrap_or(0)..=off().max().unwrap_or(0)
    }

    /// Lets a process that is about to start read this clock.
    pub(crate) fn lend(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", library())
            .env("FAKETIME_TIMESTAMP_FILE", &self.file)
            // Looked at whenever the time is: a turn is seen at once.
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1");
    }

    /// Removes what the library of a process that was killed has left in shared memory: with as many kills as chaos has,
    /// another process of this number would find it and not start.
    pub(crate) fn swept(process: u32) {
        for name in ["faketime_shm", "sem.faketime_sem"] {
            // Not there when it could do so itself.
            let _gone = std::fs::remove_file(Path::new("/dev/shm").join(format!("{name}_{process}")));
        }
    }
}

/// libfaketime for programs of many threads, wherever this architecture has it.
fn library() -> PathBuf {
    let places = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let libraries = places.map(|place| place.path().join("faketime/libfaketimeMT.so.1"));
    // A library that is not there would be passed over by the loader with a warning.
    let found = libraries.into_iter().find(|library| library.exists());
    found.unwrap_or_else(|| panic!("libfaketimeMT.so.1 is not below /usr/lib: apt-get install faketime"))
}

#[test]
fn chaos_clock_remembers_how_far_it_was_off_and_when() {
    let clock = Clock::right();
    clock.turn(3_600);
    let then = Instant::now();
    clock.turn(-60);
    assert_eq!(clock.turned_since(then), -60..=3_600);
    assert_eq!((clock.turned(), clock.turned_since(Instant::now())), (-60, -60..=-60));
}
