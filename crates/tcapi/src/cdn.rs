//! The actions of product `cdn`, version `2018-06-06`: their names, requests, answers and codes, with the contract's field names.
//!
//! Each request has two ends: `from_params` reads and checks it on the server, `Serialize` writes it for the client. Checked here is what needs no
//! knowledge of the account: types, values, dates, page. Invariant: a request that `from_params` returns has no value outside of the contract.

mod add_cdn_domain;
mod add_domain_parameters;
mod beyond;
mod cache_key;
mod describe_domains;
mod describe_purge_quota;
mod describe_purge_tasks;
mod describe_push_quota;
mod describe_push_tasks;
mod domain_service;
mod modify_purge_fetch_task_status;
mod options;
mod origin;
mod purge_path_cache;
mod purge_urls_cache;
mod push_urls_cache;
mod task_query;
mod words;

use serde::{Deserialize, Serialize};

pub use add_cdn_domain::AddCdnDomainRequest;
pub use add_domain_parameters::{ADD_DOMAIN_PARAMETERS, AddDomainParameter, Reason, Treatment};
pub use beyond::{
    CacheNode, DescribeCacheNodesRequest, DescribeCacheNodesResponse, DescribePurgeReceiptsRequest,
    DescribePurgeReceiptsResponse, ItemAudit, ItemOutcomes, NodeReceipt, ReceiptItem, RefusedItem,
};
pub use cache_key::{CacheKey, KeyQueryString, KeyScheme, KeySwitch, QueryAction};
pub use describe_domains::{BriefDomain, DescribeDomainsRequest, DescribeDomainsResponse, DomainFilter};
pub use describe_purge_quota::{DescribePurgeQuotaRequest, DescribePurgeQuotaResponse, Quota};
pub use describe_purge_tasks::{DescribePurgeTasksRequest, DescribePurgeTasksResponse, PurgeTask};
pub use describe_push_quota::{DescribePushQuotaRequest, DescribePushQuotaResponse};
pub use describe_push_tasks::{DescribePushTasksRequest, DescribePushTasksResponse, PushTask};
pub use domain_service::{DeleteCdnDomainRequest, StartCdnDomainRequest, StopCdnDomainRequest};
pub use modify_purge_fetch_task_status::ModifyPurgeFetchTaskStatusRequest;
pub use options::{CallOptions, ClientToken, DryRun};
pub use origin::{BackupOrigin, Origin, OriginAddress, OriginConfig, OriginHost};
pub use purge_path_cache::{PurgePathCacheRequest, PurgePathCacheResponse};
pub use purge_urls_cache::{PurgeUrlsCacheRequest, PurgeUrlsCacheResponse};
pub use push_urls_cache::{HttpHeader, PushUrlsCacheRequest, PushUrlsCacheResponse};
pub use task_query::{Keyword, Span, TaskFilter};
pub use words::{
    Disable, DomainFilterName, DomainStatus, ExecutionStatus, FlushType, Layer, OriginType, Product, PullProtocol,
    PurgeArea, PurgeType, PushStatus, Readonly, ServiceType, TaskArea, TaskStatus,
};

use crate::call::Call;
use crate::code::{ErrorCode, WireError};
use crate::params::Params;
use crate::text::shown;
use words::word;

/// The product's name, in TC3 scopes and in messages.
pub const PRODUCT: &str = "cdn";

/// The only version of the product.
pub const VERSION: &str = "2018-06-06";

/// The actions that this version of the crate knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Forget URLs.
    PurgeUrlsCache,
    /// Forget directories.
    PurgePathCache,
    /// Fetch URLs into the caches.
    PushUrlsCache,
    /// List what became of purges.
    DescribePurgeTasks,
    /// List what became of prefetches.
    DescribePushTasks,
    /// Say what is left of the day's quota of purges.
    DescribePurgeQuota,
    /// Say what is left of the day's quota of prefetches.
    DescribePushQuota,
    /// Hear how a scheduled task ended.
    ModifyPurgeFetchTaskStatus,
    /// Take a domain into service.
    AddCdnDomain,
    /// Serve an offline domain again.
    StartCdnDomain,
    /// Serve an online domain no more.
    StopCdnDomain,
    /// Forget an offline domain.
    DeleteCdnDomain,
    /// List domains.
    DescribeDomains,
    /// Say what became of a task, node by node. Beyond the contract.
    DescribePurgeReceipts,
    /// Say where the caches stand. Beyond the contract.
    DescribeCacheNodes,
}

/// What an action does to the account's things, which decides who may call it and whether an idempotency token means anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Nothing; repeating it is free.
    Reads,
    /// It changes something, or makes the caches work.
    Changes,
}

impl Action {
    /// All of them.
    pub const ALL: [Action; 15] = [
        Action::PurgeUrlsCache,
        Action::PurgePathCache,
        Action::PushUrlsCache,
        Action::DescribePurgeTasks,
        Action::DescribePushTasks,
        Action::DescribePurgeQuota,
        Action::DescribePushQuota,
        Action::ModifyPurgeFetchTaskStatus,
        Action::AddCdnDomain,
        Action::StartCdnDomain,
        Action::StopCdnDomain,
        Action::DeleteCdnDomain,
        Action::DescribeDomains,
        Action::DescribePurgeReceipts,
        Action::DescribeCacheNodes,
    ];

    /// The name on the wire, which is also that of the permission (`cdn:PurgeUrlsCache`).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Action::PurgeUrlsCache => "PurgeUrlsCache",
            Action::PurgePathCache => "PurgePathCache",
            Action::PushUrlsCache => "PushUrlsCache",
            Action::DescribePurgeTasks => "DescribePurgeTasks",
            Action::DescribePushTasks => "DescribePushTasks",
            Action::DescribePurgeQuota => "DescribePurgeQuota",
            Action::DescribePushQuota => "DescribePushQuota",
            Action::ModifyPurgeFetchTaskStatus => "ModifyPurgeFetchTaskStatus",
            Action::AddCdnDomain => "AddCdnDomain",
            Action::StartCdnDomain => "StartCdnDomain",
            Action::StopCdnDomain => "StopCdnDomain",
            Action::DeleteCdnDomain => "DeleteCdnDomain",
            Action::DescribeDomains => "DescribeDomains",
            Action::DescribePurgeReceipts => "DescribePurgeReceipts",
            Action::DescribeCacheNodes => "DescribeCacheNodes",
        }
    }

    /// Whether it changes anything.
    #[must_use]
    pub const fn effect(self) -> Effect {
        match self {
            Action::PurgeUrlsCache
            | Action::PurgePathCache
            | Action::PushUrlsCache
            | Action::ModifyPurgeFetchTaskStatus
            | Action::AddCdnDomain
            | Action::StartCdnDomain
            | Action::StopCdnDomain
            | Action::DeleteCdnDomain => Effect::Changes,
            Action::DescribePurgeTasks
            | Action::DescribePushTasks
            | Action::DescribePurgeQuota
            | Action::DescribePushQuota
            | Action::DescribeDomains
            | Action::DescribePurgeReceipts
            | Action::DescribeCacheNodes => Effect::Reads,
        }
    }

    /// The codes that the vendor lists for this action, besides those of the platform.
    #[must_use]
    pub const fn codes(self) -> &'static [ErrorCode] {
        match self {
            Action::PurgeUrlsCache => purge_urls_cache::CODES,
            Action::PurgePathCache => purge_path_cache::CODES,
            Action::PushUrlsCache => push_urls_cache::CODES,
            Action::DescribePurgeTasks => describe_purge_tasks::CODES,
            Action::DescribePushTasks => describe_push_tasks::CODES,
            Action::DescribePurgeQuota => describe_purge_quota::CODES,
            Action::DescribePushQuota => describe_push_quota::CODES,
            Action::ModifyPurgeFetchTaskStatus => modify_purge_fetch_task_status::CODES,
            Action::AddCdnDomain => add_cdn_domain::CODES,
            Action::StartCdnDomain => domain_service::START_CODES,
            Action::StopCdnDomain => domain_service::STOP_CODES,
            Action::DeleteCdnDomain => domain_service::DELETE_CODES,
            Action::DescribeDomains => describe_domains::CODES,
            Action::DescribePurgeReceipts | Action::DescribeCacheNodes => beyond::CODES,
        }
    }

    /// Which action a call asks for.
    ///
    /// # Errors
    /// `NoSuchProduct` when the scope names another product, `NoSuchVersion`, `InvalidAction`.
    pub fn of(call: &Call) -> Result<Action, WireError> {
        if !call.is_for(PRODUCT) {
            let service = shown(call.service().unwrap_or(""));
            let text =
                format!("The product `{service}` in Credential does not exist here; this endpoint serves `{PRODUCT}`.");
            let chinese = format!("此处没有 Credential 中的产品 `{service}`；该接入点提供 `{PRODUCT}`。");
            return Err(WireError::new(ErrorCode::NoSuchProduct, text).with_chinese(chinese));
        }
        if call.version() != VERSION {
            let version = shown(call.version());
            let text = format!("The specified api version=`{version}` does not exist in service=`{PRODUCT}`.");
            let chinese = format!("产品 `{PRODUCT}` 没有接口版本 `{version}`。");
            return Err(WireError::new(ErrorCode::NoSuchVersion, text).with_chinese(chinese));
        }
        Action::named(call.action()).ok_or_else(|| {
            WireError::new(ErrorCode::InvalidAction, "The request `Action` is invalid or not found.")
                .with_chinese("请求的 `Action` 无效或不存在。")
        })
    }

    /// The action with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Action> {
        Action::ALL.into_iter().find(|action| action.as_str() == name)
    }
}

/// A request of one action, as its server reads it.
pub trait Request<'a>: Sized {
    /// Which action.
    const ACTION: Action;

    /// Reads and checks the parameters; unknown names are refused first, then what is missing, then types, then values.
    ///
    /// # Errors
    /// `UnknownParameter`, `MissingParameter`, `InvalidParameter`, `InvalidParameter.CdnParamError`; of a domain that is to be added also
    /// `InvalidParameter.CdnHostTooLongHost` and `InvalidParameter.CdnConfigInvalidHost`.
    fn from_params(params: Params<'a>) -> Result<Self, WireError>;
}

/// The answer of the actions that have nothing to say but `RequestId`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BareResponse {}

/// The product's own catch-all for a value that its documentation does not allow; `english` and `chinese` say the same of the parameter.
fn param_error(name: &str, english: &str, chinese: &str) -> WireError {
    WireError::new(ErrorCode::CdnParamError, format!("The parameter `{name}` {english}."))
        .with_chinese(format!("参数 `{name}` {chinese}。"))
}

/// An integer within bounds.
fn count(name: &str, value: i64, least: i64, most: i64) -> Result<u32, WireError> {
    let fits = (least..=most).contains(&value).then(|| u32::try_from(value).ok()).flatten();
    fits.ok_or_else(|| {
        param_error(
            name,
            &format!("must be {least} to {most}, and is {value}"),
            &format!("必须在 {least} 到 {most} 之间，现为 {value}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_action_is_found_by_its_name_and_lists_no_code_twice() {
        let counts = Action::ALL.map(|action| {
            assert_eq!(Action::named(action.as_str()), Some(action));
            let unique: std::collections::HashSet<_> = action.codes().iter().collect();
            assert_eq!(unique.len(), action.codes().len(), "{action:?}");
            unique.len()
        });
        // As the vendor's Go SDK lists them, in the order of `Action::ALL`; the last two are ours.
        assert_eq!(counts, [32, 29, 33, 13, 24, 6, 7, 6, 62, 26, 24, 21, 24, 3, 3]);
    }

    #[test]
    fn what_only_tells_changes_nothing() {
        for action in Action::ALL {
            let tells = action.as_str().starts_with("Describe");
            assert_eq!(action.effect() == Effect::Reads, tells, "{action:?}");
        }
    }
}
