//! Statements of receipts: what the server says of a task, signed for whoever must prove a removal.
//!
//! What this is: the server's key, and the step from the engine's receipts to a statement. What this is not: the form
//! or the check of a statement; those are in `catharsis_statement`, which the client uses too.
//!
//! Invariants: a statement says what the API says at the same moment, whatever the status is, and says the status
//! plainly; the secret half of the key leaves the file for this memory only.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use catharsis_core::audit::Verdict;
use catharsis_core::clock::UnixMillis;
use catharsis_core::duty::Duty;
use catharsis_core::receipt::Settled;
use catharsis_core::status::ItemStatus;
use catharsis_core::target::Mode;
use catharsis_core::task::TaskKind;
use catharsis_core::task_receipts::{ItemAudit, ItemOutcome, NodeReceipts, OutcomeRun, TaskReceipts};
use catharsis_statement::{self as said, Envelope, KeyError, NodeStatement, Signer, Statement, Status, TooLong};
use catharsis_tcapi::time::MAX_UNIX;
use tracing::warn;

/// Bytes of a key file: a PEM of this kind has 119.
const KEY_FILE_BYTES_MAX: u64 = 4_096;

/// Why the key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read or made.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        error: std::io::Error,
    },
    /// It holds something else.
    #[error("{path}: {error}")]
    Form {
        /// The file.
        path: PathBuf,
        /// What it should be.
        error: KeyError,
    },
    /// Others may read it.
    #[error("{0}: others may read it; make it `chmod 600`")]
    Exposed(PathBuf),
}

/// Says what became of tasks, and signs it.
#[derive(Debug)]
pub struct Notary {
    name: Box<str>,
    signer: Signer,
}

impl Notary {
    /// A notary who signs in this server's name with the key of a file. An absent file is made, with a random key,
    /// readable for its owner only.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn open(name: &str, path: &Path) -> Result<Self, KeyFileError> {
        let signer = match read(path)? {
            Some(signer) => signer,
            None => make(path)?,
        };
        Ok(Self { name: name.into(), signer })
    }

    /// What became of a task, as known at a moment.
    #[must_use]
    pub fn statement(&self, task: &TaskReceipts, now: UnixMillis) -> Statement {
        let of = &task.task;
        Statement {
            version: said::VERSION,
            server: self.name.to_string(),
            issued_at: rfc3339(now),
            task_id: of.id.to_string(),
            account: of.account.0,
            status: match task.status {
                ItemStatus::Process => Status::Process,
                ItemStatus::Done => Status::Done,
                ItemStatus::Fail => Status::Fail,
            },
            kind: match of.kind {
                TaskKind::Url => "url",
                TaskKind::Path => "path",
            }
            .to_owned(),
            mode: match of.mode {
                Mode::Delete => "delete",
                Mode::Expire => "flush",
            }
            .to_owned(),
            accepted_at: rfc3339(of.accepted_at),
            done_at: task.done_at().map(rfc3339),
            items: of
                .items
                .iter()
                .map(|item| said::Item { url: item.url.to_string(), area: item.areas.as_str().to_owned() })
                .collect(),
            nodes: task.nodes.iter().map(node).collect(),
        }
    }

    /// The same, signed.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn sign(&self, task: &TaskReceipts, now: UnixMillis) -> Result<Envelope, TooLong> {
        Envelope::seal(&self.statement(task, now), &self.signer)
    }

    /// The public half of the key, as a PEM.
    #[must_use]
    pub fn public_pem(&self) -> String {
        self.signer.public().to_pem()
    }

    /// Names the key.
    #[must_use]
    pub fn key_id(&self) -> String {
        self.signer.public().id()
    }
}

fn node(report: &NodeReceipts) -> NodeStatement {
    let node = &report.node;
    NodeStatement {
        node: node.id.to_string(),
        pop: node.pop.to_string(),
        area: node.area.to_string(),
        tier: node.tier.as_str().to_owned(),
        kind: node.kind.as_str().to_owned(),
        fence: report.fence.as_str().to_owned(),
        fence_wait_ms: u64::try_from(report.waited.as_millis()).unwrap_or(u64::MAX),
        attempts: report.attempts,
        duty: match report.standing.duty {
            Duty::Counts => "counts",
            Duty::Returning => "returning",
            Duty::Drained => "drained",
            Duty::Lapsed => "lapsed",
        }
        .to_owned(),
        settled_at: report.at.map(rfc3339),
        trouble: report.standing.trouble.as_ref().map(|trouble| trouble.why.to_string()),
        outcomes: report.outcomes.iter().map(run).collect(),
        audits: report.audits.iter().map(audit).collect(),
    }
}

fn audit(audit: &ItemAudit) -> said::ItemAudit {
    said::ItemAudit {
        item: audit.item + 1,
        at: rfc3339(audit.at),
        verdict: match audit.verdict {
            Verdict::Younger => said::Verdict::Younger,
            Verdict::Older => said::Verdict::Older,
            Verdict::NoCopy => said::Verdict::NoCopy,
            Verdict::Untold => said::Verdict::Untold,
        },
        why: audit.why.as_str().to_owned(),
    }
}

fn run(run: &OutcomeRun) -> said::OutcomeRun {
    let Told { outcome, copies, reason } = told(&run.outcome);
    // The engine counts from 0.
    said::OutcomeRun { first: run.first + 1, last: run.last + 1, outcome, copies, reason }
}

/// What is told of an outcome.
pub(crate) struct Told {
    /// The word.
    pub(crate) outcome: said::Outcome,
    /// How many copies there were, where the node counts them.
    pub(crate) copies: Option<u32>,
    /// Why it was refused.
    pub(crate) reason: Option<String>,
}

/// An outcome in words.
pub(crate) fn told(of: &ItemOutcome) -> Told {
    let (outcome, copies, reason) = match of {
        ItemOutcome::Settled(Settled::Applied) => (said::Outcome::Applied, None, None),
        ItemOutcome::Settled(Settled::AppliedTo(copies)) => (said::Outcome::Applied, Some(copies.get()), None),
        ItemOutcome::Settled(Settled::Absent) => (said::Outcome::Absent, None, None),
        ItemOutcome::Settled(Settled::Refused(why)) => (said::Outcome::Refused, None, Some(why.to_string())),
        ItemOutcome::Before => (said::Outcome::Before, None, None),
        ItemOutcome::Pending => (said::Outcome::Pending, None, None),
    };
    Told { outcome, copies, reason }
}

fn rfc3339(at: UnixMillis) -> String {
    // Years beyond 9999 have no such form.
    let latest = MAX_UNIX.unsigned_abs() * 1_000;
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(at.0.min(latest))).to_string()
}

/// The key of a file; `None` where there is no file.
fn read(path: &Path) -> Result<Option<Signer>, KeyFileError> {
    let failed = |error| KeyFileError::File { path: path.to_owned(), error };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
        return Err(KeyFileError::Exposed(path.to_owned()));
    }
    let mut text = String::new();
    // Bounded: a wrong path may name anything.
    (&mut file).take(KEY_FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    let signer = Signer::from_pem(&text);
    signer.map(Some).map_err(|error| KeyFileError::Form { path: path.to_owned(), error })
}

fn make(path: &Path) -> Result<Signer, KeyFileError> {
    let failed = |error| KeyFileError::File { path: path.to_owned(), error };
    let signer = Signer::new(&rand::random());
    // `create_new`: a second server that starts at the same time must not replace the first's key.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(signer.to_pem().as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    // The name must be on disk before anything is signed with the key.
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    }
    let id = signer.public().id();
    warn!(key = %id, file = %path.display(), "a new key for signed receipts was made: give its public half to whoever checks them");
    Ok(signer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_key_is_made_once_and_must_be_private() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("receipts.pem");
        let made = Notary::open("s", &path).expect("made").public_pem();
        let mode = || std::fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        assert_eq!(Notary::open("s", &path).expect("read").public_pem(), made);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("ours");
        assert!(matches!(Notary::open("s", &path), Err(KeyFileError::Exposed(_))));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("ours");
        std::fs::write(&path, made).expect("ours");
        assert!(matches!(Notary::open("s", &path), Err(KeyFileError::Form { .. })));
    }
}
