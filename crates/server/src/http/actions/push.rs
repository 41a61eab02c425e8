//! PushUrlsCache and DescribePushTasks.

use catharsis_core::plan::Claim;
use catharsis_core::push::field::{InvalidField, PushFields, UserAgent};
use catharsis_core::push::ports::PushFilter;
use catharsis_core::push::status::PushStatus;
use catharsis_core::push::{Layer, Playlist, PushUrls};
use catharsis_tcapi::cdn::{
    self, DescribePushTasksRequest, DescribePushTasksResponse, DryRun, PushUrlsCacheRequest, PushUrlsCacheResponse,
    Request,
};
use catharsis_tcapi::code::{ErrorCode, WireError};
use catharsis_tcapi::params::Params;
use tracing::info;

use super::super::access::hosts;
use super::super::answers;
use super::super::error::{store, wire};
use super::purge::{content_digest, encode, owned, would_succeed};
use super::tasks::{areas, keyword, span};
use super::{Answer, Checked, Parts, ok};

pub(super) async fn urls(parts: &Parts, call: &Checked, params: Params<'_>) -> Answer {
    let request = PushUrlsCacheRequest::from_params(params)?;
    if request.options.webhook.is_some() {
        let text = "Webhook is not offered for a prefetch: ask DescribePushTasks for its end.";
        let chinese = "预热暂不支持 Webhook，请用 DescribePushTasks 查询结果。";
        return Err(WireError::new(ErrorCode::CdnParamError, text).with_chinese(chinese));
    }
    let fields = request.headers.iter().map(|field| (field.name.as_ref(), field.value.as_ref()));
    let mut push = PushUrls {
        urls: owned(&request.urls),
        areas: areas(request.area),
        layer: match request.layer {
            None => Layer::All,
            Some(cdn::Layer::Middle) => Layer::Shields,
        },
        user_agent: UserAgent::parse(&request.user_agent).map_err(|why| invalid(&why))?,
        fields: PushFields::parse(fields).map_err(|why| invalid(&why))?,
        playlist: if request.parse_m3u8 { Playlist::Expand } else { Playlist::AsIs },
        encode: encode(request.url_encode),
        claim: None,
    };
    if request.options.dry_run == DryRun::On {
        let rehearsed = parts.pushes.rehearse(&call.caller, push).await;
        return Err(rehearsed.map_or_else(|error| wire(&error, call.action), |it| would_succeed(&it)));
    }
    push.claim = request
        .options
        .client_token
        .as_ref()
        .map(|token| Claim { token: token.as_str().into(), digest: digest(&request) });
    let count = push.urls.len();
    let accepted = parts.pushes.push_urls(&call.caller, push).await;
    let task = accepted.map_err(|error| wire(&error, call.action))?;
    info!(request_id = %call.id, task = %task, account = %call.caller.account, urls = count, "prefetch accepted");
    ok(call.id, &PushUrlsCacheResponse { task_id: task.to_string() })
}

/// What the wire's own reader let pass and the engine does not.
fn invalid(why: &InvalidField) -> WireError {
    WireError::new(ErrorCode::CdnParamError, format!("{why}.")).with_chinese("请求头或 UserAgent 不合法。")
}

/// What a claim stands for: everything that decides what is fetched how.
fn digest(request: &PushUrlsCacheRequest<'_>) -> [u8; 32] {
    let layer = request.layer.map_or("", cdn::Layer::as_str);
    let switch = |on: bool| if on { "on" } else { "off" };
    let head = [
        "PushUrlsCache",
        request.area.as_str(),
        layer,
        &request.user_agent,
        switch(request.parse_m3u8),
        switch(request.url_encode),
    ];
    let headers = request.headers.iter().flat_map(|field| [field.name.as_ref(), field.value.as_ref()]);
    // An empty name stands between headers and URLs: no header has one.
    content_digest(head.into_iter().chain(headers).chain([""]).chain(request.urls.iter().map(AsRef::as_ref)))
}

pub(super) async fn tasks(parts: &Parts, call: &Checked, params: Params<'_>) -> Answer {
    let request = DescribePushTasksRequest::from_params(params)?;
    let Some(span) = span(&request.tasks) else {
        // A task id that none can have: an empty page, as for any unknown one.
        return ok(call.id, &DescribePushTasksResponse { push_logs: Vec::new(), total_count: 0 });
    };
    let filter = PushFilter {
        account: call.caller.account,
        hosts: hosts(&call.caller, &call.snapshot),
        task: span.task,
        from: span.from,
        to: span.to,
        keyword: request.keyword.as_ref().map(keyword).transpose()?,
        areas: request.area.map(areas),
        status: request.status.map(|status| match status {
            cdn::PushStatus::Fail => PushStatus::Fail,
            cdn::PushStatus::Done => PushStatus::Done,
            cdn::PushStatus::Process => PushStatus::Process,
            cdn::PushStatus::Invalid => PushStatus::Invalid,
        }),
    };
    let page = parts.pushes.history(filter, u64::from(request.offset), request.limit).await;
    ok(call.id, &answers::pushes(page.map_err(|error| store(&error))?))
}
