//! The actions: from wire request to engine call to wire answer, a function each.

use bytes::Bytes;

use catharsis_core::account::AccountState;
use catharsis_core::area::{Area, AreaSet};
use catharsis_core::clock::UnixMillis;
use catharsis_core::history::{HistoryFilter, HostScope, Keyword};
use catharsis_core::plan::{Caller, Purge};
use catharsis_core::service::PurgeService;
use catharsis_core::status::ItemStatus;
use catharsis_core::target::{Encode, HostName, Mode};
use catharsis_core::task::{TaskId, TaskKind};
use catharsis_tcapi::cdn::{
    self, Action, DescribeCacheNodesRequest, DescribePurgeQuotaRequest, DescribePurgeReceiptsRequest,
    DescribePurgeTasksRequest, DescribePurgeTasksResponse, PurgeArea, PurgeType, PurgeUrlsCacheRequest,
    PurgeUrlsCacheResponse, Request, TaskArea, TaskFilter, TaskStatus,
};
use catharsis_tcapi::code::{ErrorCode, WireError};
use catharsis_tcapi::envelope::{self, RequestId};
use catharsis_tcapi::params::Params;
use serde::Serialize;
use tracing::{error, info};

use super::answers;
use super::error::{store, wire};
use crate::events::Events;

/// Carries out a call whose identity and rate are checked.
///
/// # Errors
/// Each with its documented code; then nothing was changed.
pub(super) async fn run(
    service: &PurgeService,
    events: &Events,
    caller: &Caller,
    action: Action,
    params: Params<'_>,
    id: RequestId,
) -> Result<Bytes, WireError> {
    match action {
        Action::PurgeUrlsCache => purge_urls_cache(service, events, caller, params, id).await,
        Action::DescribePurgeTasks => describe_purge_tasks(service, caller, params, id).await,
        Action::DescribePurgeQuota => describe_purge_quota(service, caller, params, id).await,
        Action::DescribePurgeReceipts => describe_purge_receipts(service, caller, params, id).await,
        Action::DescribeCacheNodes => {
            DescribeCacheNodesRequest::from_params(params)?;
            ok(id, &answers::nodes(&service.nodes()))
        }
        Action::PurgePathCache
        | Action::PushUrlsCache
        | Action::DescribePushTasks
        | Action::DescribePushQuota
        | Action::ModifyPurgeFetchTaskStatus
        | Action::AddCdnDomain
        | Action::StartCdnDomain
        | Action::StopCdnDomain
        | Action::DeleteCdnDomain
        | Action::DescribeDomains => Err(WireError::new(
            ErrorCode::InvalidAction,
            format!(
                "The request `Action` is invalid or not found. `{}` is not offered by this version.",
                action.as_str()
            ),
        )),
    }
}

async fn purge_urls_cache(
    service: &PurgeService,
    events: &Events,
    caller: &Caller,
    params: Params<'_>,
    id: RequestId,
) -> Result<Bytes, WireError> {
    let request = PurgeUrlsCacheRequest::from_params(params)?;
    // Better refused than carried out without what was asked for: a dry run must not purge.
    if request.options != cdn::CallOptions::default() {
        let text = "ClientToken, DryRun and Webhook are not offered by this version.";
        return Err(WireError::new(ErrorCode::UnknownParameter, text));
    }
    let items: Vec<Box<str>> = request.urls.iter().map(|url| Box::from(url.as_ref())).collect();
    let count = items.len();
    let area = request.area.map(|area| match area {
        PurgeArea::Mainland => Area::Mainland,
        PurgeArea::Overseas => Area::Overseas,
    });
    let encode = if request.url_encode { Encode::PercentEncode } else { Encode::AsSubmitted };
    let purge = Purge { kind: TaskKind::Url, mode: Mode::Delete, items, area, encode, claim: None, notify: Vec::new() };
    let task = service.purge(caller, purge).await.map_err(|error| wire(&error))?;
    events.accepted(count);
    info!(request_id = %id, task = %task, account = %caller.account, urls = count, "purge accepted");
    ok(id, &PurgeUrlsCacheResponse { task_id: task.to_string() })
}

async fn describe_purge_tasks(
    service: &PurgeService,
    caller: &Caller,
    params: Params<'_>,
    id: RequestId,
) -> Result<Bytes, WireError> {
    let request = DescribePurgeTasksRequest::from_params(params)?;
    activated(service, caller)?;
    let Some(filter) = filter(caller, &request)? else {
        // A task id that none can have: an empty page, as for any unknown one.
        return ok(id, &DescribePurgeTasksResponse { purge_logs: Vec::new(), total_count: 0 });
    };
    let page = service.history(filter, u64::from(request.offset), request.limit).await;
    ok(id, &answers::history(page.map_err(|error| store(&error))?))
}

fn filter(caller: &Caller, request: &DescribePurgeTasksRequest<'_>) -> Result<Option<HistoryFilter>, WireError> {
    let (task, span) = match &request.tasks {
        TaskFilter::Task(task, span) => (Some(task), *span),
        TaskFilter::Created(span) => (None, Some(*span)),
    };
    let task = match task.map(|text| TaskId::parse(text)) {
        None => None,
        Some(Some(task)) => Some(task),
        Some(None) => return Ok(None),
    };
    // Rows show whole seconds, so the last second is meant to its end.
    let moment = |seconds: i64, millis: u64| UnixMillis(u64::try_from(seconds).unwrap_or(0) * 1_000 + millis);
    Ok(Some(HistoryFilter {
        account: caller.account,
        hosts: HostScope::All,
        task,
        kind: request.purge_type.map(kind).transpose()?,
        from: span.and_then(|span| span.start).map(|start| moment(start, 0)),
        to: span.and_then(|span| span.end).map(|end| moment(end, 999)),
        keyword: request.keyword.as_ref().map(keyword).transpose()?,
        areas: request.area.map(|area| match area {
            TaskArea::Mainland => AreaSet::One(Area::Mainland),
            TaskArea::Overseas => AreaSet::One(Area::Overseas),
            TaskArea::Global => AreaSet::Global,
        }),
        status: request.status.map(|status| match status {
            TaskStatus::Process => ItemStatus::Process,
            TaskStatus::Done => ItemStatus::Done,
            TaskStatus::Fail => ItemStatus::Fail,
        }),
    }))
}

fn kind(purge_type: PurgeType) -> Result<TaskKind, WireError> {
    match purge_type {
        PurgeType::Url => Ok(TaskKind::Url),
        PurgeType::Path => Ok(TaskKind::Path),
    }
}

fn keyword(keyword: &cdn::Keyword<'_>) -> Result<Keyword, WireError> {
    match keyword {
        cdn::Keyword::Url(url) => Ok(Keyword::Url(url.as_ref().into())),
        cdn::Keyword::Domain(domain) => HostName::parse(domain).map(Keyword::Host).map_err(|why| {
            WireError::new(ErrorCode::CdnParamError, format!("Keyword is neither a URL nor a domain: {why}."))
        }),
    }
}

async fn describe_purge_quota(
    service: &PurgeService,
    caller: &Caller,
    params: Params<'_>,
    id: RequestId,
) -> Result<Bytes, WireError> {
    DescribePurgeQuotaRequest::from_params(params)?;
    let report = service.quota(caller.account).await.map_err(|error| wire(&error))?;
    ok(id, &answers::quota(&report))
}

async fn describe_purge_receipts(
    service: &PurgeService,
    caller: &Caller,
    params: Params<'_>,
    id: RequestId,
) -> Result<Bytes, WireError> {
    let request = DescribePurgeReceiptsRequest::from_params(params)?;
    let receipts = match TaskId::parse(&request.task_id) {
        None => None,
        Some(task) => service.receipts(caller.account, &HostScope::All, &task).await.map_err(|error| store(&error))?,
    };
    let receipts =
        receipts.ok_or_else(|| WireError::new(ErrorCode::ResourceNotFound, "TaskId names no task of this account."))?;
    ok(id, &answers::receipts(&receipts))
}

/// Refuses an account that has keys but no service.
fn activated(service: &PurgeService, caller: &Caller) -> Result<(), WireError> {
    match service.directory().account(caller.account) {
        Some(_) => Ok(()),
        None => Err(wire(&catharsis_core::error::PurgeError::AccountState(AccountState::NotActivated))),
    }
}

fn ok(id: RequestId, answer: &impl Serialize) -> Result<Bytes, WireError> {
    envelope::ok(id, answer).map_err(|error| {
        error!(%error, request_id = %id, "an answer could not be written");
        WireError::new(ErrorCode::InternalError, "The answer could not be written.")
    })
}
