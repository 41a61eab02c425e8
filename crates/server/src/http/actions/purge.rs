//! PurgeUrlsCache and PurgePathCache.

use std::borrow::Cow;

use catharsis_core::area::Area;
use catharsis_core::plan::{Claim, Purge};
use catharsis_core::service::Rehearsal;
use catharsis_core::target::{Encode, Mode};
use catharsis_core::task::TaskKind;
use catharsis_tcapi::cdn::{
    CallOptions, DryRun, FlushType, PurgeArea, PurgePathCacheRequest, PurgePathCacheResponse, PurgeUrlsCacheRequest,
    PurgeUrlsCacheResponse, Request,
};
use catharsis_tcapi::code::{ErrorCode, WireError};
use catharsis_tcapi::params::Params;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tracing::info;

use super::super::error::wire;
use super::{Answer, Checked, Parts, ok};

pub(super) async fn urls(parts: &Parts, call: &Checked, params: Params<'_>) -> Answer {
    let request = PurgeUrlsCacheRequest::from_params(params)?;
    let purge = Purge {
        kind: TaskKind::Url,
        mode: Mode::Delete,
        items: owned(&request.urls),
        area: request.area.map(area),
        encode: encode(request.url_encode),
        claim: None,
        notify: Vec::new(),
    };
    submit(parts, call, purge, &request.options, |task_id| PurgeUrlsCacheResponse { task_id }).await
}

pub(super) async fn paths(parts: &Parts, call: &Checked, params: Params<'_>) -> Answer {
    let request = PurgePathCacheRequest::from_params(params)?;
    let purge = Purge {
        kind: TaskKind::Path,
        mode: match request.flush_type {
            FlushType::Flush => Mode::Expire,
            FlushType::Delete => Mode::Delete,
        },
        items: owned(&request.paths),
        area: request.area.map(area),
        encode: encode(request.url_encode),
        claim: None,
        notify: Vec::new(),
    };
    submit(parts, call, purge, &request.options, |task_id| PurgePathCacheResponse { task_id }).await
}

async fn submit<R: Serialize>(
    parts: &Parts,
    call: &Checked,
    mut purge: Purge,
    options: &CallOptions<'_>,
    answer: impl FnOnce(String) -> R,
) -> Answer {
    purge.notify = endpoints(call, options)?;
    if options.dry_run == DryRun::On {
        let rehearsed = parts.service.rehearse(&call.caller, purge).await;
        return Err(rehearsed.map_or_else(|error| wire(&error, call.action), |it| would_succeed(&it)));
    }
    purge.claim = options
        .client_token
        .as_ref()
        .map(|token| Claim { token: token.as_str().into(), digest: digest(call.action.as_str(), &purge) });
    let count = purge.items.len();
    let accepted = parts.service.purge(&call.caller, purge).await;
    let task = accepted.map_err(|error| wire(&error, call.action))?;
    parts.events.accepted(count);
    let (action, account) = (call.action.as_str(), call.caller.account);
    info!(request_id = %call.id, task = %task, %account, action, items = count, "purge accepted");
    ok(call.id, &answer(task.to_string()))
}

/// A dry run that would have succeeded is an error of this code by the contract.
pub(super) fn would_succeed(rehearsal: &Rehearsal) -> WireError {
    let Rehearsal { items, nodes } = rehearsal;
    WireError::new(
        ErrorCode::DryRunOperation,
        format!("The call would be accepted: {items} items, which would reach {nodes} nodes. Nothing was changed."),
    )
    .with_chinese(format!("请求可以受理：共 {items} 条，将下发到 {nodes} 个节点。本次未做任何变更。"))
}

/// The endpoints to tell: the one that the call names, else all of the account.
pub(super) fn endpoints(call: &Checked, options: &CallOptions<'_>) -> Result<Vec<Box<str>>, WireError> {
    let names = || call.snapshot.webhooks_of(call.caller.account).map(|(name, _)| name.as_str());
    match options.webhook.as_deref() {
        None => Ok(names().map(Box::from).collect()),
        Some(wanted) if names().any(|name| name == wanted) => Ok(vec![wanted.into()]),
        Some(wanted) => Err(WireError::new(
            ErrorCode::CdnParamError,
            format!("Webhook: the account has no endpoint `{wanted}`: whoever runs this service can add it."),
        )
        .with_chinese(format!("Webhook：账号下没有名为 `{wanted}` 的回调地址，请联系本服务的管理员添加。"))),
    }
}

/// What a claim stands for. Each part is preceded by its length, so that two contents never look alike.
fn digest(action: &str, purge: &Purge) -> [u8; 32] {
    let area = purge.area.map_or("", Area::as_str);
    let encode = match purge.encode {
        Encode::AsSubmitted => "raw",
        Encode::PercentEncode => "encoded",
    };
    let mode = match purge.mode {
        Mode::Delete => "delete",
        Mode::Expire => "expire",
    };
    let head = [action, area, encode, mode];
    content_digest(head.into_iter().chain(purge.items.iter().map(AsRef::as_ref)))
}

/// SHA-256 over texts, each with its length before it.
pub(super) fn content_digest<'a>(texts: impl Iterator<Item = &'a str>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    hash.finalize().into()
}

pub(super) fn owned(texts: &[Cow<'_, str>]) -> Vec<Box<str>> {
    texts.iter().map(|text| Box::from(text.as_ref())).collect()
}

const fn area(area: PurgeArea) -> Area {
    match area {
        PurgeArea::Mainland => Area::Mainland,
        PurgeArea::Overseas => Area::Overseas,
    }
}

pub(super) const fn encode(url_encode: bool) -> Encode {
    if url_encode { Encode::PercentEncode } else { Encode::AsSubmitted }
}
