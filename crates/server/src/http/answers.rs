//! From the engine's answers to the wire's: field for field, nothing decided.

use std::time::Duration;

use catharsis_core::area::Area;
use catharsis_core::clock::UnixMillis;
use catharsis_core::history::{HistoryPage, ItemRow};
use catharsis_core::ports::Membership;
use catharsis_core::service::{NodeReceipts, NodeReport, QuotaReport, TaskReceipts};
use catharsis_core::status::ItemStatus;
use catharsis_core::task::TaskKind;
use catharsis_tcapi::cdn::{
    CacheNode, DescribeCacheNodesResponse, DescribePurgeQuotaResponse, DescribePurgeReceiptsResponse,
    DescribePurgeTasksResponse, FlushType, NodeReceipt, PurgeArea, PurgeTask, PurgeType, Quota, RefusedItem,
    TaskStatus,
};
use catharsis_tcapi::time::format_utc8;

/// A page of the history.
pub(super) fn history(page: HistoryPage) -> DescribePurgeTasksResponse {
    let purge_logs = page.rows.into_iter().map(row).collect();
    DescribePurgeTasksResponse { purge_logs, total_count: page.total }
}

fn row(row: ItemRow) -> PurgeTask {
    PurgeTask {
        task_id: row.task.to_string(),
        url: row.url.into_string(),
        status: status(row.status),
        purge_type: match row.kind {
            TaskKind::Url => PurgeType::Url,
            TaskKind::Path => PurgeType::Path,
        },
        flush_type: FlushType::Delete,
        create_time: create_time(row.accepted_at),
    }
}

/// Today's quota. Directories have none before they can be purged.
pub(super) fn quota(report: &QuotaReport) -> DescribePurgeQuotaResponse {
    let of = |area: Area| {
        let total = *report.total.url.get(area);
        Quota {
            batch: report.per_call.url.into(),
            total: total.into(),
            available: total.saturating_sub(*report.used.url.get(area)).into(),
            area: match area {
                Area::Mainland => PurgeArea::Mainland,
                Area::Overseas => PurgeArea::Overseas,
            },
        }
    };
    DescribePurgeQuotaResponse { url_purge: Area::ALL.map(of).to_vec(), path_purge: Vec::new() }
}

/// What became of a task.
pub(super) fn receipts(task: &TaskReceipts) -> DescribePurgeReceiptsResponse {
    DescribePurgeReceiptsResponse {
        task_id: task.id.to_string(),
        status: status(task.status),
        create_time: create_time(task.accepted_at),
        item_count: task.items,
        nodes: task.nodes.iter().map(|node| node_receipt(node, task.accepted_at)).collect(),
    }
}

fn node_receipt(report: &NodeReceipts, accepted_at: UnixMillis) -> NodeReceipt {
    let node = &report.node;
    let refused = u32::try_from(report.refused.len()).unwrap_or(u32::MAX);
    NodeReceipt {
        node: node.id.to_string(),
        pop: node.pop.to_string(),
        area: node.area.to_string(),
        tier: node.tier.as_str().to_owned(),
        kind: node.kind.as_str().to_owned(),
        items: report.items,
        applied: report.applied,
        absent: report.absent,
        refused: report
            .refused
            .iter()
            .map(|(url, why)| RefusedItem { url: url.to_string(), reason: why.to_string() })
            .collect(),
        pending: report.items.saturating_sub(report.applied + report.absent + refused),
        settled_at_ms: report.at.map(|at| at.0),
        took_ms: report.at.map(|at| millis(accepted_at.until(at))),
        fence: report.fence.as_str().to_owned(),
        fence_wait_ms: millis(report.waited),
        attempts: report.attempts,
        trouble: report.standing.trouble.as_ref().map(|trouble| trouble.why.to_string()),
    }
}

/// Where the caches stand.
pub(super) fn nodes(reports: &[NodeReport]) -> DescribeCacheNodesResponse {
    DescribeCacheNodesResponse { nodes: reports.iter().map(cache_node).collect() }
}

fn cache_node(report: &NodeReport) -> CacheNode {
    let (node, standing) = (&report.node, &report.standing);
    let state = match (&standing.trouble, standing.membership) {
        (Some(_), _) => "unreachable",
        (None, Membership::Joining) => "joining",
        (None, Membership::Member) => "ok",
    };
    CacheNode {
        node: node.id.to_string(),
        pop: node.pop.to_string(),
        area: node.area.to_string(),
        tier: node.tier.as_str().to_owned(),
        kind: node.kind.as_str().to_owned(),
        fence: node.fence.strength().as_str().to_owned(),
        state: state.to_owned(),
        applied: standing.applied.0,
        cursor: standing.settled.0,
        head: report.head.0,
        lag: report.head.distance_from(standing.settled),
        last_receipt_ms: standing.last_receipt.map(|at| at.0),
        trouble: standing.trouble.as_ref().map(|trouble| trouble.why.to_string()),
    }
}

const fn status(status: ItemStatus) -> TaskStatus {
    match status {
        ItemStatus::Process => TaskStatus::Process,
        ItemStatus::Done => TaskStatus::Done,
        ItemStatus::Fail => TaskStatus::Fail,
    }
}

fn create_time(at: UnixMillis) -> String {
    format_utc8(i64::try_from(at.seconds()).unwrap_or(i64::MAX))
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
