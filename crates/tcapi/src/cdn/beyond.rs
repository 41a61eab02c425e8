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
}

impl<'a> Request<'a> for DescribePurgeReceiptsRequest<'a> {
    const ACTION: Action = Action::DescribePurgeReceipts;

    fn from_params(mut params: Params<'a>) -> Result<Self, WireError> {
        params.only(&["TaskId"])?;
        params.require("TaskId")?;
        let task_id = params.required_text("TaskId")?;
        if task_id.is_empty() {
            return Err(param_error("TaskId", "must not be empty", "不能为空"));
        }
        Ok(Self { task_id })
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
    /// Each node of its areas.
    pub nodes: Vec<NodeReceipt>,
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
    /// `ok`, `joining`, `returning`, `drained` or `unreachable`.
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
