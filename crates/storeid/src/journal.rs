//! The purges on disk.
//!
//! What this is: a file of lines, each with a checksum that is chained to the line before, so that one
//! that was changed, moved or taken out is seen. Read once at the start, written anew then, appended
//! to with each order, and written anew when it has grown. What this is not: a log of all purges; it keeps
//! what the marks keep.
//!
//! Invariants: what [`Journal::append`] has returned for is on disk. When the file is absent or does not
//! say for certain what was purged, there is a new epoch, by chance and by time: all names change, and
//! nothing that was stored before is found again. (A last line without its end was never acknowledged.
//! A file that was put back from a copy looks whole and is not noticed: do not do that.)

use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use catharsis_edge::protocol::DomainRules;
use sha2::{Digest, Sha256};

use crate::marks::{Key, Mark, Marks, Scope, Told};
use crate::name::hex;

/// Lines beyond those of the marks kept after which the file is written anew.
const SLACK: usize = 10_000;
/// Largest file that is read. A million marks take some 150 MB.
const FILE_BYTES_MAX: u64 = 4 << 30;
/// What the first line begins with; the number rises when older programs could not read the rest.
const HEAD: &str = "catharsis-storeid 1";

/// See the module.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    epoch: String,
    /// Absent after a failed write: what is there is then written anew first.
    file: Option<File>,
    chain: Chain,
    lines: usize,
}

/// What a journal said.
#[derive(Debug)]
pub struct Kept {
    /// The purges.
    pub marks: Marks,
    /// The key rules taken last.
    pub rules: Vec<DomainRules>,
}

/// How the journal was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Whole: names go on.
    Whole,
    /// There was none: names begin.
    Absent,
    /// Damaged: names begin anew.
    Damaged,
}

#[derive(Clone, Debug)]
struct Chain(String);

impl Chain {
    fn begin() -> Self {
        Self(String::new())
    }

    fn next(&self, payload: &str) -> Self {
        let hash = Sha256::new().chain_update(&self.0).chain_update(payload).finalize();
        Self(hex(&hash[..8]))
    }
}

impl Journal {
    /// Reads a journal, or begins one, with room for so many marks.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(path: &Path, marks_max: NonZeroUsize) -> io::Result<(Self, Kept, Found)> {
        let (text, found) = match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Vec::new(), Found::Absent),
            Err(error) => return Err(error),
            Ok(known) if known.len() > FILE_BYTES_MAX => (Vec::new(), Found::Damaged),
            Ok(_) => (std::fs::read(path)?, Found::Whole),
        };
        let read = if found == Found::Whole { read(&text, marks_max) } else { None };
        let (epoch, kept, found) = match read {
            Some((epoch, kept)) => (epoch, kept, Found::Whole),
            None => {
                let kept = Kept { marks: Marks::new(marks_max), rules: Vec::new() };
                (new_epoch(), kept, if found == Found::Absent { found } else { Found::Damaged })
            }
        };
        let mut journal = Self { path: path.to_owned(), epoch, file: None, chain: Chain::begin(), lines: 0 };
        journal.rewrite(&kept.marks, &kept.rules)?;
        Ok((journal, kept, found))
    }

    /// The epoch: part of each name.
    #[must_use]
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Keeps further purges, and rules where they have changed. `marks` and `known` are what is kept so far.
    ///
    /// # Errors
    /// When they cannot be written; then none counts as kept.
    pub fn append(
        &mut self,
        marks: &Marks,
        known: &[DomainRules],
        added: &[Mark],
        rules: Option<&[DomainRules]>,
    ) -> io::Result<()> {
        if self.file.is_none() || self.lines > marks.len().saturating_mul(2).saturating_add(SLACK) {
            self.file = None;
            self.rewrite(marks, known)?;
        }
        let mut text = String::new();
        let mut chain = self.chain.clone();
        if let Some(rules) = rules {
            line(&mut text, &mut chain, &rules_line(rules)?);
        }
        for mark in added {
            line(&mut text, &mut chain, &mark_line(mark));
        }
        // Taken out first: after a failure half a line may be there.
        let Some(mut file) = self.file.take() else { return Err(io::Error::other("the journal is not open")) };
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        self.file = Some(file);
        self.chain = chain;
        self.lines += added.len() + 1;
        Ok(())
    }

    fn rewrite(&mut self, marks: &Marks, rules: &[DomainRules]) -> io::Result<()> {
        let mut chain = Chain::begin();
        let mut text = String::new();
        line(&mut text, &mut chain, &format!("{HEAD} {}", self.epoch));
        line(&mut text, &mut chain, &rules_line(rules)?);
        line(&mut text, &mut chain, &format!("floor {}", marks.floor()));
        let mut lines = 3;
        let beside = self.path.with_extension("new");
        let mut file = File::create(&beside)?;
        for mark in marks.each() {
            line(&mut text, &mut chain, &mark_line(&mark));
            lines += 1;
            if text.len() > 1 << 16 {
                file.write_all(text.as_bytes())?;
                text.clear();
            }
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, &self.path)?;
        let folder = self.path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        File::open(folder)?.sync_all()?;
        // The same file: it goes by its new name now.
        (self.file, self.chain, self.lines) = (Some(file), chain, lines);
        Ok(())
    }
}

fn new_epoch() -> String {
    // Chance alone would do; the time tells a person when names began.
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
    format!("{seconds:x}-{:016x}", rand::random::<u64>())
}

fn line(text: &mut String, chain: &mut Chain, payload: &str) {
    *chain = chain.next(payload);
    for part in [&chain.0, " ", payload, "\n"] {
        text.push_str(part);
    }
}

fn rules_line(rules: &[DomainRules]) -> io::Result<String> {
    Ok(format!("rules {}", serde_json::to_string(rules)?))
}

fn mark_line(mark: &Mark) -> String {
    let Mark { point, told: Told { log, seq }, scope } = mark;
    let scope = match scope {
        Scope::Everything => "everything".to_owned(),
        Scope::Url(key) => format!("url {:x}", key.0),
        Scope::Prefix { host, directory } => format!("prefix {:x} {:x}", directory.0, host.0),
    };
    format!("mark {point} {log:x} {seq} {scope}")
}

/// Everything or nothing: what one line says wrongly, no other makes right.
fn read(bytes: &[u8], marks_max: NonZeroUsize) -> Option<(String, Kept)> {
    // Bytes behind the last line end belong to a line that was never acknowledged.
    let end = bytes.iter().rposition(|byte| *byte == b'\n')?;
    let text = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut chain = Chain::begin();
    let mut payloads = text.split('\n').map(|line| {
        let (sum, payload) = line.split_once(' ')?;
        chain = chain.next(payload);
        (sum == chain.0).then_some(payload)
    });
    let epoch = payloads.next()??.strip_prefix(HEAD)?.strip_prefix(' ')?.to_owned();
    let mut kept = Kept { marks: Marks::new(marks_max), rules: Vec::new() };
    for payload in payloads {
        let (kind, rest) = payload?.split_once(' ')?;
        match kind {
            "rules" => kept.rules = serde_json::from_str(rest).ok()?,
            "floor" => kept.marks.raise_floor(rest.parse().ok()?),
            "mark" => kept.marks.mark(read_mark(rest)?),
            _ => return None,
        }
    }
    Some((epoch, kept))
}

fn read_mark(text: &str) -> Option<Mark> {
    let mut words = text.split(' ');
    let point = words.next()?.parse().ok()?;
    let log = u64::from_str_radix(words.next()?, 16).ok()?;
    let seq = words.next()?.parse().ok()?;
    let key = |word: &str| u128::from_str_radix(word, 16).ok().map(Key);
    let scope = match words.next()? {
        "everything" => Scope::Everything,
        "url" => Scope::Url(key(words.next()?)?),
        "prefix" => {
            let directory = key(words.next()?)?;
            Scope::Prefix { host: key(words.next()?)?, directory }
        }
        _ => return None,
    };
    words.next().is_none().then_some(Mark { point, told: Told { log, seq }, scope })
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
