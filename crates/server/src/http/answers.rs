//! From the engine's answers to the wire's: field for field, nothing decided.

use std::time::Duration;

use catharsis_core::abilities::Abilities;
use catharsis_core::area::{Area, AreaSet};
use catharsis_core::clock::UnixMillis;
use catharsis_core::domain::DomainStatus;
use catharsis_core::duty::Duty;
use catharsis_core::history::{HistoryPage, ItemRow};
use catharsis_core::ports::Membership;
use catharsis_core::push::ports::{PushPage, PushRow};
use catharsis_core::push::status::PushStatus;
use catharsis_core::quota::QuotaKind;
use catharsis_core::service::{NodeReport, QuotaReport};
use catharsis_core::status::ItemStatus;
use catharsis_core::target::Mode;
use catharsis_core::task::{Item, TaskKind};
use catharsis_core::task_receipts::{self, NodeReceipts, OutcomeRun, TaskReceipts};
use catharsis_registry::snapshot::DomainEntry;
use catharsis_tcapi::cdn::{
    self, BriefDomain, CacheNode, DescribeCacheNodesResponse, DescribePurgeQuotaResponse,
    DescribePurgeReceiptsResponse, DescribePurgeTasksResponse, DescribePushQuotaResponse, DescribePushTasksResponse,
    Disable, FlushType, ItemAudit, ItemOutcomes, NodeReceipt, Origin, Product, PurgeArea, PurgeTask, PurgeType,
    PushTask, Quota, Readonly, ReceiptItem, RefusedItem, ServiceType, TaskArea, TaskStatus,
};
use catharsis_tcapi::time::format_utc8;
use sha2::{Digest, Sha256};

use crate::receipts::{Told, told};

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
        flush_type: match row.mode {
            Mode::Delete => FlushType::Delete,
            Mode::Expire => FlushType::Flush,
        },
        create_time: create_time(row.accepted_at),
    }
}

/// Today's quota of purges.
pub(super) fn purge_quota(report: &QuotaReport) -> DescribePurgeQuotaResponse {
    let url_purge = quota(report, QuotaKind::Url);
    DescribePurgeQuotaResponse { url_purge, path_purge: quota(report, QuotaKind::Path) }
}

/// Today's quota of prefetches.
pub(super) fn push_quota(report: &QuotaReport) -> DescribePushQuotaResponse {
    DescribePushQuotaResponse { url_push: quota(report, QuotaKind::Push) }
}

fn quota(report: &QuotaReport, kind: QuotaKind) -> Vec<Quota> {
    let of = |area: Area| {
        let total = *report.total.get(kind).get(area);
        Quota {
            batch: (*report.per_call.get(kind)).into(),
            total: total.into(),
            available: total.saturating_sub(*report.used.get(kind).get(area)).into(),
            area: match area {
                Area::Mainland => PurgeArea::Mainland,
                Area::Overseas => PurgeArea::Overseas,
            },
        }
    };
    Area::ALL.map(of).to_vec()
}

/// A page of prefetches.
pub(super) fn pushes(page: PushPage) -> DescribePushTasksResponse {
    let push_logs = page.rows.into_iter().map(push_row).collect();
    DescribePushTasksResponse { push_logs, total_count: page.total }
}

fn push_row(row: PushRow) -> PushTask {
    PushTask {
        task_id: row.task.to_string(),
        url: row.url.into_string(),
        status: match row.status {
            PushStatus::Process => cdn::PushStatus::Process,
            PushStatus::Done => cdn::PushStatus::Done,
            PushStatus::Fail => cdn::PushStatus::Fail,
            PushStatus::Invalid => cdn::PushStatus::Invalid,
        },
        percent: row.percent.into(),
        create_time: create_time(row.accepted_at),
        area: task_area(row.areas),
        update_time: row.updated_at.map(create_time),
    }
}

const fn task_area(areas: AreaSet) -> TaskArea {
    match areas {
        AreaSet::One(Area::Mainland) => TaskArea::Mainland,
        AreaSet::One(Area::Overseas) => TaskArea::Overseas,
        AreaSet::Global => TaskArea::Global,
    }
}

/// A domain, with the status that it has at this moment.
pub(super) fn domain(entry: &DomainEntry, status: DomainStatus) -> BriefDomain {
    let record = &entry.record;
    let origin = record.origin.as_ref();
    BriefDomain {
        resource_id: resource_id(entry),
        app_id: record.account,
        domain: entry.name.to_string(),
        // Whoever runs this service points names to its edges; none is given out here.
        cname: String::new(),
        status: domain_status(status),
        project_id: u64::try_from(record.project_id).unwrap_or(0),
        service_type: serde_json::from_value(record.service_type.clone().into()).unwrap_or(ServiceType::Web),
        create_time: create_time(UnixMillis(record.created_at)),
        update_time: create_time(UnixMillis(record.updated_at)),
        origin: Origin {
            origins: origin.map(|it| it.origins.clone()).unwrap_or_default(),
            origin_type: origin.map_or_else(|| "domain".to_owned(), |it| it.origin_type.clone()),
            server_name: origin.and_then(|it| it.server_name.clone()),
            origin_pull_protocol: origin.map(|it| it.pull_protocol.clone()),
            backup_origins: None,
            backup_origin_type: None,
            backup_server_name: None,
        },
        disable: match status {
            DomainStatus::Locked => Disable::Readonly,
            DomainStatus::Online
            | DomainStatus::Offline
            | DomainStatus::Processing
            | DomainStatus::Rejected
            | DomainStatus::Closing => Disable::Normal,
        },
        area: task_area(entry.areas),
        readonly: match (status, entry.areas) {
            (DomainStatus::Locked, AreaSet::One(Area::Mainland)) => Readonly::Mainland,
            (DomainStatus::Locked, AreaSet::One(Area::Overseas)) => Readonly::Overseas,
            (DomainStatus::Locked, AreaSet::Global) => Readonly::Global,
            _ => Readonly::Normal,
        },
        product: Product::Cdn,
        parent_host: String::new(),
    }
}

/// The contract has no word for a locked domain: it is online, and its `Disable` and `Readonly` say the rest.
pub(super) const fn domain_status(status: DomainStatus) -> cdn::DomainStatus {
    match status {
        DomainStatus::Online | DomainStatus::Locked => cdn::DomainStatus::Online,
        DomainStatus::Offline => cdn::DomainStatus::Offline,
        DomainStatus::Processing => cdn::DomainStatus::Processing,
        DomainStatus::Rejected => cdn::DomainStatus::Rejected,
        DomainStatus::Closing => cdn::DomainStatus::Closing,
    }
}

/// An opaque name that another domain of the same name, added later, does not have.
pub(super) fn resource_id(entry: &DomainEntry) -> String {
    let digest = Sha256::digest(format!("{} {}", entry.name, entry.record.created_at));
    let hex: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("cdn-{hex}")
}

/// What became of a task.
pub(super) fn receipts(task: &TaskReceipts) -> DescribePurgeReceiptsResponse {
    DescribePurgeReceiptsResponse {
        task_id: task.task.id.to_string(),
        status: status(task.status),
        create_time: create_time(task.task.accepted_at),
        item_count: u32::try_from(task.task.items.len()).unwrap_or(u32::MAX),
        done_at_ms: task.done_at().map(|at| at.0),
        nodes: task.nodes.iter().map(|node| node_receipt(node, task)).collect(),
        items: Vec::new(),
        statement: None,
    }
}

/// Adds the items, and the outcome of each at each node.
pub(super) fn list_items(answer: &mut DescribePurgeReceiptsResponse, task: &TaskReceipts) {
    let item = |item: &Item| ReceiptItem { url: item.url.to_string(), area: item.areas.as_str().to_owned() };
    answer.items = task.task.items.iter().map(item).collect();
    for (node, report) in answer.nodes.iter_mut().zip(&task.nodes) {
        node.outcomes = report.outcomes.iter().map(item_outcomes).collect();
    }
}

fn item_outcomes(run: &OutcomeRun) -> ItemOutcomes {
    let Told { outcome, copies, reason } = told(&run.outcome);
    ItemOutcomes { first: run.first + 1, last: run.last + 1, outcome: outcome.as_str().to_owned(), copies, reason }
}

fn node_receipt(report: &NodeReceipts, task: &TaskReceipts) -> NodeReceipt {
    let node = &report.node;
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
        before: report.before,
        pending: report.pending(),
        settled_at_ms: report.at.map(|at| at.0),
        took_ms: report.at.map(|at| millis(task.task.accepted_at.until(at))),
        fence: report.fence.as_str().to_owned(),
        fence_wait_ms: millis(report.waited),
        attempts: report.attempts,
        trouble: report.standing.trouble.as_ref().map(|trouble| trouble.why.to_string()),
        outcomes: Vec::new(),
        audits: item_audits(report, task),
    }
}

fn item_audits(report: &NodeReceipts, task: &TaskReceipts) -> Vec<ItemAudit> {
    let url = |item: u32| task.task.items.get(usize::try_from(item).ok()?).map(|item| item.url.to_string());
    let told = |audit: &task_receipts::ItemAudit| ItemAudit {
        url: url(audit.item).unwrap_or_default(),
        at_ms: audit.at.0,
        verdict: audit.verdict.as_str().to_owned(),
        reason: audit.why.as_str().to_owned(),
    };
    report.audits.iter().map(told).collect()
}

/// Where the caches stand.
pub(super) fn nodes(reports: &[NodeReport]) -> DescribeCacheNodesResponse {
    DescribeCacheNodesResponse { nodes: reports.iter().map(cache_node).collect() }
}

fn abilities(of: &Abilities) -> impl Iterator<Item = (String, String)> + use<> {
    of.by_scope().into_iter().map(|(scope, ability)| (scope.to_owned(), ability.as_str().to_owned()))
}

fn cache_node(report: &NodeReport) -> CacheNode {
    let (node, standing) = (&report.node, &report.standing);
    let state = match (&standing.trouble, standing.membership, standing.duty) {
        (_, _, Duty::Lapsed) => "lapsed",
        (Some(_), _, _) => "unreachable",
        (None, Membership::Joining, _) => "joining",
        (None, Membership::Member, Duty::Returning) => "returning",
        (None, Membership::Member, Duty::Drained) => "drained",
        (None, Membership::Member, Duty::Counts) => "ok",
    };
    CacheNode {
        node: node.id.to_string(),
        pop: node.pop.to_string(),
        area: node.area.to_string(),
        tier: node.tier.as_str().to_owned(),
        kind: node.kind.as_str().to_owned(),
        fence: node.fence.strength().as_str().to_owned(),
        rotation: node.rotation.as_str().to_owned(),
        state: state.to_owned(),
        applied: standing.applied.0,
        cursor: standing.settled.0,
        head: report.head.0,
        lag: report.head.distance_from(standing.settled),
        last_receipt_ms: standing.last_receipt.map(|at| at.0),
        lease_end_ms: standing.lease_ends.map(|at| at.0),
        abilities: standing.abilities.iter().flat_map(abilities).collect(),
        proof: standing.proof.as_ref().map(|(proof, _)| proof.to_string()),
        proof_at_ms: standing.proof.as_ref().map(|(_, at)| at.0),
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
