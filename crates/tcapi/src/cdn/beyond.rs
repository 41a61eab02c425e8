//! Actions beyond the contract, in its style: receipts of a task, and the standing of the caches.
//!
//! No official client knows them, and none is disturbed by them; they are signed like the others.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Action, Request, TaskStatus, param_error};
use crate::code::{ErrorCode, WireError};
use crate::params::Params;

/// The codes of both actions, besides those of the platform.
pub(super) const CODES: &[ErrorCode] = &[ErrorCode::CdnDbError, ErrorCode::CdnSystemError, ErrorCode::CdnParamError];

/// What became of one task, node by node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribePurgeReceiptsRequest<'a> {
    /// The task; one that the account does not have is `ResourceNotFound`.
    pub task_id: Cow<'a, str>,
    /// List the items, and the outcome of each at each node. Default: only their numbers.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub list_items: bool,
    /// Add a statement that is signed with the server's key. Default: none.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub signed: bool,
}

impl<'a> DescribePurgeReceiptsRequest<'a> {
    /// Of a task, in numbers.
    #[must_use]
    pub fn of(task_id: impl Into<Cow<'a, str>>) -> Self {
        Self { task_id: task_id.into(), list_items: false, signed: false }
    }
}

impl<'a> Request<'a> for DescribePurgeReceiptsRequest<'a> {
    const ACTION: Action = Action::DescribePurgeReceipts;

    fn from_params(mut params: Params<'a>) -> Result<Self, WireError> {
        params.only(&["TaskId", "ListItems", "Signed"])?;
        params.require("TaskId")?;
        let task_id = params.required_text("TaskId")?;
        if task_id.is_empty() {
            return Err(param_error("TaskId", "must not be empty", "不能为空"));
        }
        let list_items = params.boolean("ListItems")?.unwrap_or_default();
        let signed = params.boolean("Signed")?.unwrap_or_default();
        Ok(Self { task_id, list_items, signed })
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribePurgeReceiptsResponse {
    /// The task.
    pub task_id: String,
    /// Its status as a whole.
    pub status: TaskStatus,
    /// `YYYY-MM-DD HH:MM:SS` in UTC+8.
    pub create_time: String,
    /// Its URLs.
    pub item_count: u32,
    /// When the last node that it waits for had settled it, milliseconds since 1970; absent unless it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_at_ms: Option<u64>,
    /// Each node of its areas.
    pub nodes: Vec<NodeReceipt>,
    /// Its items in the order submitted, if they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<ReceiptItem>,
    /// The signed statement, if it was asked for: a DSSE envelope, to be kept letter for letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
}

/// An item of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ReceiptItem {
    /// Letter by letter as submitted.
    pub url: String,
    /// `mainland`, `overseas` or `global`.
    pub area: String,
}

/// Items that follow each other and have the same outcome at a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ItemOutcomes {
    /// The first of them, counted from 1 in the order submitted.
    pub first: u32,
    /// The last of them.
    pub last: u32,
    /// `applied`, `absent`, `refused`, `before` or `pending`.
    pub outcome: String,
    /// Of how many copies of each of them the node rid itself, by its own count; absent where it does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<u32>,
    /// Why they were refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What became of a task at one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NodeReceipt {
    /// The node's name.
    pub node: String,
    /// Where it runs.
    pub pop: String,
    /// `mainland` or `overseas`.
    pub area: String,
    /// `shield` or `edge`.
    pub tier: String,
    /// `varnish`, `nginx` or `edge`.
    pub kind: String,
    /// Items of the task that concern it.
    pub items: u32,
    /// Items whose copies it removed.
    pub applied: u32,
    /// Items of which it held no copy.
    pub absent: u32,
    /// Items from before it came: it held nothing of them when it began to count.
    #[serde(default)]
    pub before: u32,
    /// Items that it will never carry out.
    pub refused: Vec<RefusedItem>,
    /// Items not settled yet.
    pub pending: u32,
    /// When the last one was settled, milliseconds since 1970; absent before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_at_ms: Option<u64>,
    /// From acceptance until then, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// What its receipts rest on: `exact`, `bounded` or `none`.
    pub fence: String,
    /// How long the fence made the receipt wait, milliseconds.
    pub fence_wait_ms: u64,
    /// Attempts that were needed.
    pub attempts: u32,
    /// Why it cannot be told now; absent while it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// The outcome of each item that concerns it, if items were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outcomes: Vec<ItemOutcomes>,
    /// What was seen from outside of its items after they were done, in the order of time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audits: Vec<ItemAudit>,
}

/// One look at one item from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ItemAudit {
    /// The item's URL.
    pub url: String,
    /// When it was looked at, milliseconds since 1970.
    pub at_ms: u64,
    /// `younger` than the acceptance, `older` (the promise was broken), `nocopy` or `untold`.
    pub verdict: String,
    /// What that rests on.
    pub reason: String,
}

/// An item that a node refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RefusedItem {
    /// The URL.
    pub url: String,
    /// Why.
    pub reason: String,
}

/// The standing of all caches; no parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct DescribeCacheNodesRequest {}

impl<'a> Request<'a> for DescribeCacheNodesRequest {
    const ACTION: Action = Action::DescribeCacheNodes;

    fn from_params(params: Params<'a>) -> Result<Self, WireError> {
        params.only(&[])?;
        Ok(Self {})
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeCacheNodesResponse {
    /// The nodes.
    pub nodes: Vec<CacheNode>,
}

/// Where one cache stands. Its address is not told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CacheNode {
    /// Its name.
    pub node: String,
    /// Where it runs.
    pub pop: String,
    /// `mainland` or `overseas`.
    pub area: String,
    /// `shield` or `edge`.
    pub tier: String,
    /// `varnish`, `nginx` or `edge`.
    pub kind: String,
    /// `exact`, `bounded` or `none`.
    pub fence: String,
    /// `in`, or `drained`: it is told every purge, and nobody waits for it.
    pub rotation: String,
    /// `ok`, `joining`, `returning`, `drained`, `lapsed` or `unreachable`.
    pub state: String,
    /// Everything up to this position of its area's log was sent to it.
    pub applied: u64,
    /// Everything up to this is settled there.
    pub cursor: u64,
    /// The newest position of the log.
    pub head: u64,
    /// Positions between cursor and head.
    pub lag: u64,
    /// When its last receipt came, milliseconds since 1970; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_receipt_ms: Option<u64>,
    /// When its lease has certainly ended, unless it is renewed, milliseconds since 1970; in the past when it has. Absent
    /// for a node that uses its copies without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_end_ms: Option<u64>,
    /// What it can be told: `none`, `delete` or `delete, expire` for each of `url`, `prefix`, `host`,
    /// `everything` and `tag`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub abilities: BTreeMap<String, String>,
    /// What came of its last proof that it purges; absent when none was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// When that was, milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof_at_ms: Option<u64>,
    /// Why it cannot be told now; absent while it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}
