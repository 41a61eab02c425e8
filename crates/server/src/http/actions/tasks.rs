//! What became of purges, node by node too, and what is left of the quotas.

use catharsis_core::area::AreaSet;
use catharsis_core::clock::UnixMillis;
use catharsis_core::history::{HistoryFilter, Keyword};
use catharsis_core::status::ItemStatus;
use catharsis_core::target::HostName;
use catharsis_core::task::{TaskId, TaskKind};
use catharsis_tcapi::cdn::{
    self, DescribePurgeQuotaRequest, DescribePurgeReceiptsRequest, DescribePurgeTasksRequest,
    DescribePurgeTasksResponse, DescribePushQuotaRequest, PurgeType, Request, TaskArea, TaskFilter, TaskStatus,
};
use catharsis_tcapi::code::{ErrorCode, WireError};
use catharsis_tcapi::params::Params;

use super::super::access::hosts;
use super::super::answers;
use super::super::error::{store, wire};
use super::{Answer, Checked, Parts, ok};

pub(super) async fn purges(parts: &Parts, call: &Checked, params: Params<'_>) -> Answer {
    let request = DescribePurgeTasksRequest::from_params(params)?;
    let Some(span) = span(&request.tasks) else {
        // A task id that none can have: an empty page, as for any unknown one.
        return ok(call.id, &DescribePurgeTasksResponse { purge_logs: Vec::new(), total_count: 0 });
    };
    let filter = HistoryFilter {
        account: call.caller.account,
        hosts: hosts(&call.caller, &call.snapshot),
        task: span.task,
        kind: request.purge_type.map(|purge_type| match purge_type {
            PurgeType::Url => TaskKind::Url,
            PurgeType::Path => TaskKind::Path,
        }),
        from: span.from,
        to: span.to,
        keyword: request.keyword.as_ref().map(keyword).transpose()?,
        areas: request.area.map(areas),
        status: request.status.map(|status| match status {
            TaskStatus::Process => ItemStatus::Process,
            TaskStatus::Done => ItemStatus::Done,
            TaskStatus::Fail => ItemStatus::Fail,
        }),
    };
    let page = parts.service.history(filter, u64::from(request.offset), request.limit).await;
    ok(call.id, &answers::history(page.map_err(|error| store(&error))?))
}

/// Which tasks a filter means, in the engine's terms.
pub(super) struct TaskSpan {
    pub(super) task: Option<TaskId>,
    pub(super) from: Option<UnixMillis>,
    pub(super) to: Option<UnixMillis>,
}

/// `None` when the task's id is one that no task can have.
pub(super) fn span(tasks: &TaskFilter<'_>) -> Option<TaskSpan> {
    let (task, span) = match tasks {
        TaskFilter::Task(task, span) => (Some(task), *span),
        TaskFilter::Created(span) => (None, Some(*span)),
    };
    let task = match task {
        None => None,
        Some(text) => Some(TaskId::parse(text)?),
    };
    // Rows show whole seconds, so the last second is meant to its end.
    let moment = |seconds: i64, millis: u64| UnixMillis(u64::try_from(seconds).unwrap_or(0) * 1_000 + millis);
    Some(TaskSpan {
        task,
        from: span.and_then(|span| span.start).map(|start| moment(start, 0)),
        to: span.and_then(|span| span.end).map(|end| moment(end, 999)),
    })
}

pub(super) const fn areas(area: TaskArea) -> AreaSet {
    match area {
        TaskArea::Mainland => AreaSet::One(catharsis_core::area::Area::Mainland),
        TaskArea::Overseas => AreaSet::One(catharsis_core::area::Area::Overseas),
        TaskArea::Global => AreaSet::Global,
    }
}

pub(super) fn keyword(keyword: &cdn::Keyword<'_>) -> Result<Keyword, WireError> {
    match keyword {
        cdn::Keyword::Url(url) => Ok(Keyword::Url(url.as_ref().into())),
        cdn::Keyword::Domain(domain) => HostName::parse(domain).map(Keyword::Host).map_err(|why| {
            WireError::new(ErrorCode::CdnParamError, format!("Keyword is neither a URL nor a domain: {why}."))
                .with_chinese("Keyword 既不是 URL 也不是域名。")
        }),
    }
}

pub(super) async fn purge_quota(parts: &Parts, call: &Checked, params: Params<'_>) -> Answer {
    DescribePurgeQuotaRequest::from_params(params)?;
    let report = parts.service.quota(call.caller.account).await.map_err(|error| wire(&error, call.action))?;
    ok(call.id, &answers::purge_quota(&report))
}

pub(super) async fn push_quota(parts: &Parts, call: &Checked, params: Params<'_>) -> Answer {
    DescribePushQuotaRequest::from_params(params)?;
    let report = parts.service.quota(call.caller.account).await.map_err(|error| wire(&error, call.action))?;
    ok(call.id, &answers::push_quota(&report))
}

pub(super) async fn receipts(parts: &Parts, call: &Checked, params: Params<'_>) -> Answer {
    let request = DescribePurgeReceiptsRequest::from_params(params)?;
    let hosts = hosts(&call.caller, &call.snapshot);
    let receipts = match TaskId::parse(&request.task_id) {
        None => None,
        Some(task) => {
            let found = parts.service.receipts(call.caller.account, &hosts, &task).await;
            found.map_err(|error| store(&error))?
        }
    };
    let unknown = || {
        WireError::new(ErrorCode::ResourceNotFound, "TaskId names no task of this account.")
            .with_chinese("账号下没有该 TaskId 对应的任务。")
    };
    let receipts = receipts.ok_or_else(unknown)?;
    let mut answer = answers::receipts(&receipts);
    if request.list_items {
        answers::list_items(&mut answer, &receipts);
    }
    if request.signed {
        let envelope = parts.notary.sign(&receipts, parts.clock.wall()).map_err(|error| {
            WireError::new(ErrorCode::CdnParamError, format!("Signed cannot be given for this task: {error}."))
                .with_chinese("该任务的签名声明过长，无法提供 Signed。")
        })?;
        answer.statement = Some(envelope.to_string());
    }
    ok(call.id, &answer)
}
