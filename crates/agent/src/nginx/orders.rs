//! Purges carried out on nginx's files.
//!
//! What this is: for each invalidation its files, found, removed or marked stale, and an outcome. What
//! this is not: finding out what is in the directory (`follow`).
//!
//! Invariants: a success means that no file that the purge names is left as it was; a file that could
//! not be removed, or an index that is not complete, is a failure with its reason. Copies that nginx is
//! writing go too, whatever the mode: their fetch began before the purge.

use std::io;

use catharsis_edge::protocol::{Beside, DomainRules, WireInvalidation, WireMode, WireOutcome, WireReason, WireTarget};

use super::follow::{FollowError, Follower};
use super::key::KeyTemplate;
use super::layout::{FileId, FileName, TempName};
use super::tree::{Found, Gone};

/// What became of the files of one invalidation.
#[derive(Default)]
struct Tally {
    /// Copies that are gone, or marked stale.
    copies: u64,
    /// Files of copies that nginx was still writing, which are gone.
    beginnings: u64,
    /// Why the first that failed did.
    failed: Option<String>,
}

impl Tally {
    fn outcome(self) -> WireOutcome {
        let beside = if self.beginnings == 0 { Beside::Nothing } else { Beside::Something };
        match self.failed {
            Some(why) => WireOutcome::Failed(WireReason::from(why)),
            None => WireOutcome::of(self.copies, beside),
        }
    }

    fn fail(&mut self, why: String) {
        self.failed.get_or_insert(why);
    }
}

/// Puts the rules of the domains in the place of the last ones.
pub(super) fn replace_rules(follower: &mut Follower, listed: &[DomainRules]) {
    follower.stored.replace_rules(listed);
    follower.writing.replace_rules(listed);
}

/// Carries out invalidations: an outcome for each, in the same order.
///
/// # Errors
/// [`FollowError`]: nothing counts as carried out.
pub(super) fn carry_out(
    follower: &mut Follower,
    template: &KeyTemplate,
    invalidations: &[WireInvalidation],
) -> Result<Vec<WireOutcome>, FollowError> {
    follower.catch_up()?;
    Ok(invalidations.iter().map(|it| one(follower, template, it)).collect())
}

fn one(follower: &mut Follower, template: &KeyTemplate, invalidation: &WireInvalidation) -> WireOutcome {
    let mut tally = Tally::default();
    match &invalidation.target {
        // Told by the disk and not by the index, which may be incomplete.
        WireTarget::Everything => {
            if let Err(error) = walk_off(follower, Vec::new(), invalidation.mode, &mut tally) {
                tally.fail(format!("cannot read the cache directory: {error}"));
            }
        }
        target @ (WireTarget::Url(_) | WireTarget::Prefix(_)) => {
            // Whatever else is wrong, the copy without a variant is found by its name.
            let plain = plain_names(follower, template, target);
            for id in follower.stored.find(target) {
                put_off(follower, FileName::Stored(id), invalidation.mode, &mut tally);
            }
            let mut writing = follower.writing.find(target);
            writing.extend(plain.iter().flat_map(|id| follower.beginning.range(TempName::all_of(*id)).copied()));
            for temp in writing {
                put_off(follower, FileName::Temp(temp), WireMode::Delete, &mut tally);
            }
            for id in plain {
                if !follower.stored.contains(&id) {
                    put_off(follower, FileName::Stored(id), invalidation.mode, &mut tally);
                }
            }
            if let Some(trouble) = follower.trouble() {
                tally.fail(trouble.to_owned());
            }
        }
    }
    tally.outcome()
}

/// The names of the copies without a variant that a URL can have.
fn plain_names(follower: &Follower, template: &KeyTemplate, target: &WireTarget) -> Vec<FileId> {
    match target {
        WireTarget::Url(url) => {
            let scheme = follower.stored.counted_scheme(url);
            let keys = url.paths().iter().flat_map(|path| template.keys(scheme, url.host(), path.as_str()));
            keys.map(|key| FileId::of_key(key.as_bytes())).collect()
        }
        WireTarget::Prefix(_) | WireTarget::Everything => Vec::new(),
    }
}

fn walk_off(follower: &mut Follower, from: Vec<String>, mode: WireMode, tally: &mut Tally) -> io::Result<()> {
    let mut left = vec![from];
    while let Some(below) = left.pop() {
        for found in follower.tree.list(&below)? {
            match found {
                Found::Directory(name) => left.push(below.iter().cloned().chain([name]).collect()),
                Found::File(name) => put_off(follower, name, mode, tally),
            }
        }
    }
    Ok(())
}

/// Removes a file or marks it stale.
fn put_off(follower: &mut Follower, name: FileName, mode: WireMode, tally: &mut Tally) {
    let done = match (name, mode) {
        (FileName::Stored(_), WireMode::Expire) => follower.tree.expire(name),
        (FileName::Stored(_), WireMode::Delete) | (FileName::Temp(_), WireMode::Delete | WireMode::Expire) => {
            follower.tree.remove(name)
        }
    };
    match done {
        Ok(gone) => {
            let count = match name {
                FileName::Stored(_) => &mut tally.copies,
                FileName::Temp(_) => &mut tally.beginnings,
            };
            *count += u64::from(gone == Gone::Done);
            // One that is only marked stale is still there; the kernel will not speak of it.
            if mode == WireMode::Delete || gone == Gone::Absent || matches!(name, FileName::Temp(_)) {
                follower.went(name);
            }
        }
        Err(error) => tally.fail(format!("cannot remove {name}: {error}")),
    }
}
