//! What a statement says.
//!
//! Version 2. Version 1 had no `Copies`. Times are RFC 3339 in UTC with milliseconds. Items are counted from 1 in the order submitted. Outcomes are
//! runs of items with the same outcome, so that a task of thousands of URLs at a hundred nodes stays small.

use serde::{Deserialize, Serialize};

/// The version that this program writes, and the newest that it reads.
pub const VERSION: u32 = 2;

/// The oldest version that this program reads.
pub const VERSION_MIN: u32 = 1;

/// What became of one task, as one server knew it at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Statement {
    /// The version of its form: [`VERSION`], or an older one down to [`VERSION_MIN`].
    pub version: u32,
    /// Who says it: the server's own name.
    pub server: String,
    /// When it was said.
    pub issued_at: String,
    /// The task.
    pub task_id: String,
    /// Whose it is.
    pub account: u64,
    /// How it stood then. Only `done` says that the copies are gone.
    pub status: Status,
    /// `url`: each item is one URL; `path`: each is a directory with all below it.
    pub kind: String,
    /// `delete`: copies were removed; `flush`: marked stale, so that they are served only once the origin confirmed them.
    pub mode: String,
    /// When it was accepted. Copies fetched from the origin before this are meant.
    pub accepted_at: String,
    /// When the last node that had to answer had settled it; absent unless `done`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_at: Option<String>,
    /// Its items, letter by letter as submitted.
    pub items: Vec<Item>,
    /// Each node of its areas.
    pub nodes: Vec<NodeStatement>,
}

/// How a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Some node has not settled it yet.
    Process,
    /// Each node that had to answer has settled all of it.
    Done,
    /// A node refused some of it, or did not settle it in time.
    Fail,
}

impl Status {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Done => "done",
            Self::Fail => "fail",
        }
    }
}

/// One URL or directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Item {
    /// As submitted.
    pub url: String,
    /// Where it was to go: `mainland`, `overseas` or `global`.
    pub area: String,
}

/// What became of the task at one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct NodeStatement {
    /// Its name.
    pub node: String,
    /// Where it runs.
    pub pop: String,
    /// `mainland` or `overseas`.
    pub area: String,
    /// `shield` or `edge`.
    pub tier: String,
    /// What cache it is.
    pub kind: String,
    /// What its receipts rest on: `exact`, `bounded` or `none`.
    pub fence: String,
    /// How long the fence made the receipt wait, milliseconds.
    pub fence_wait_ms: u64,
    /// Most attempts that a receipt needed; 0 without one.
    pub attempts: u32,
    /// Whether `done` waits for it: `counts`, `returning` or `drained`.
    pub duty: String,
    /// When the last of its items was settled; absent before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_at: Option<String>,
    /// Why it could not be told when this was said; absent while it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// What became of each item that concerns it.
    pub outcomes: Vec<OutcomeRun>,
    /// What was seen from outside after it was done, where that was looked at; in the order of time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audits: Vec<ItemAudit>,
}

/// Items that follow each other and have the same outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct OutcomeRun {
    /// The first of them, from 1.
    pub first: u32,
    /// The last of them.
    pub last: u32,
    /// What became of them.
    pub outcome: Outcome,
    /// Of how many copies of each of them the node rid itself, by its own count; absent where it does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<u32>,
    /// Why they were refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What became of an item at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// A copy was there and is gone.
    Applied,
    /// There was no copy.
    Absent,
    /// The node will never carry it out.
    Refused,
    /// The node came later, and held nothing from before when it began to count.
    Before,
    /// Not settled yet.
    Pending,
}

impl Outcome {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Absent => "absent",
            Self::Refused => "refused",
            Self::Before => "before",
            Self::Pending => "pending",
        }
    }
}

/// One look at one item from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct ItemAudit {
    /// The item, from 1.
    pub item: u32,
    /// When it was looked at.
    pub at: String,
    /// What it says of the promise.
    pub verdict: Verdict,
    /// What that rests on, for people.
    pub why: String,
}

/// What a look says of the promise that copies from before the acceptance are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The copy was younger than the acceptance.
    Younger,
    /// The copy was older: the promise was broken.
    Older,
    /// There was no copy.
    NoCopy,
    /// It could not be told.
    Untold,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn statement() -> Statement {
        Statement {
            version: VERSION,
            server: "cache-1".to_owned(),
            issued_at: "2026-11-24T12:00:00.000Z".to_owned(),
            task_id: "1764000000000000001".to_owned(),
            account: 1,
            status: Status::Done,
            kind: "url".to_owned(),
            mode: "delete".to_owned(),
            accepted_at: "2026-11-24T11:00:00.000Z".to_owned(),
            done_at: Some("2026-11-24T11:01:00.000Z".to_owned()),
            items: vec![Item { url: "http://www.a.test/x".to_owned(), area: "global".to_owned() }],
            nodes: vec![NodeStatement {
                node: "n".to_owned(),
                pop: "here".to_owned(),
                area: "mainland".to_owned(),
                tier: "edge".to_owned(),
                kind: "varnish".to_owned(),
                fence: "exact".to_owned(),
                fence_wait_ms: 0,
                attempts: 1,
                duty: "counts".to_owned(),
                trouble: None,
                settled_at: Some("2026-11-24T11:01:00.000Z".to_owned()),
                outcomes: vec![OutcomeRun {
                    first: 1,
                    last: 1,
                    outcome: Outcome::Applied,
                    copies: Some(2),
                    reason: None,
                }],
                audits: Vec::new(),
            }],
        }
    }
}
