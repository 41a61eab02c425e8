//! Notices: who is to be told when a task ends.
//!
//! What this is: an entry for each task and endpoint, kept with the task in one transaction, until
//! the endpoint has confirmed it or the attempts are used up. What this is not: the message or its
//! way there.

use crate::clock::UnixMillis;
use crate::task::{AccountId, TaskId};

/// One endpoint that waits for the end of one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The task.
    pub task: TaskId,
    /// Its account.
    pub account: AccountId,
    /// The endpoint's name, unique within its account.
    pub endpoint: Box<str>,
    /// Attempts made so far.
    pub attempts: u32,
}

/// What became of an attempt to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The endpoint confirmed it; the notice is forgotten.
    Confirmed,
    /// It did not; told again then.
    Again {
        /// When.
        at: UnixMillis,
        /// What happened, for people.
        why: Box<str>,
    },
    /// It did not, and is not told again. Kept with the reason for whoever asks.
    GaveUp {
        /// What happened, for people.
        why: Box<str>,
    },
}

/// A notice that was not delivered yet, or never will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// The notice.
    pub notice: Notice,
    /// When it is told again; `None` when it was given up.
    pub again: Option<UnixMillis>,
    /// What happened at the last attempt.
    pub why: Box<str>,
}
