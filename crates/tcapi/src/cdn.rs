//! The actions of product `cdn`, version `2018-06-06`: their names, requests, answers and codes, with the contract's field names.
//!
//! Each request has two ends: `from_params` reads and checks it on the server, `Serialize` writes it for the client. Checked here is what needs no
//! knowledge of the account: types, values, dates, page. Invariant: a request that `from_params` returns has no value outside of the contract.

mod beyond;
mod describe_purge_quota;
mod describe_purge_tasks;
mod purge_urls_cache;

use serde::{Deserialize, Serialize};

pub use beyond::{
    CacheNode, DescribeCacheNodesRequest, DescribeCacheNodesResponse, DescribePurgeReceiptsRequest,
    DescribePurgeReceiptsResponse, NodeReceipt, RefusedItem,
};
pub use describe_purge_quota::{DescribePurgeQuotaRequest, DescribePurgeQuotaResponse, Quota};
pub use describe_purge_tasks::{
    DescribePurgeTasksRequest, DescribePurgeTasksResponse, Keyword, PurgeTask, Span, TaskFilter,
};
pub use purge_urls_cache::{PurgeUrlsCacheRequest, PurgeUrlsCacheResponse};

use crate::call::Call;
use crate::code::{ErrorCode, WireError};
use crate::params::{ParamError, Params};
use crate::text::shown;

/// The product's name, in TC3 scopes and in messages.
pub const PRODUCT: &str = "cdn";

/// The only version of the product.
pub const VERSION: &str = "2018-06-06";

/// The actions that this version of the crate knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Forget URLs.
    PurgeUrlsCache,
    /// List what became of purges.
    DescribePurgeTasks,
    /// Say what is left of the day's quota.
    DescribePurgeQuota,
    /// Say what became of a task, node by node. Beyond the contract.
    DescribePurgeReceipts,
    /// Say where the caches stand. Beyond the contract.
    DescribeCacheNodes,
}

/// Documented actions of the product that a later version may add; named in the refusal, so that nobody looks for a typing mistake.
const NOT_YET: [&str; 10] = [
    "PurgePathCache",
    "PushUrlsCache",
    "DescribePushTasks",
    "DescribePushQuota",
    "ModifyPurgeFetchTaskStatus",
    "AddCdnDomain",
    "StartCdnDomain",
    "StopCdnDomain",
    "DeleteCdnDomain",
    "DescribeDomains",
];

impl Action {
    /// All of them.
    pub const ALL: [Action; 5] = [
        Action::PurgeUrlsCache,
        Action::DescribePurgeTasks,
        Action::DescribePurgeQuota,
        Action::DescribePurgeReceipts,
        Action::DescribeCacheNodes,
    ];

    /// The name on the wire, which is also that of the permission (`cdn:PurgeUrlsCache`).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Action::PurgeUrlsCache => "PurgeUrlsCache",
            Action::DescribePurgeTasks => "DescribePurgeTasks",
            Action::DescribePurgeQuota => "DescribePurgeQuota",
            Action::DescribePurgeReceipts => "DescribePurgeReceipts",
            Action::DescribeCacheNodes => "DescribeCacheNodes",
        }
    }

    /// The codes that the vendor lists for this action, besides those of the platform.
    #[must_use]
    pub const fn codes(self) -> &'static [ErrorCode] {
        match self {
            Action::PurgeUrlsCache => purge_urls_cache::CODES,
            Action::DescribePurgeTasks => describe_purge_tasks::CODES,
            Action::DescribePurgeQuota => describe_purge_quota::CODES,
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
            return Err(WireError::new(ErrorCode::NoSuchProduct, text));
        }
        if call.version() != VERSION {
            let text =
                format!("The specified api version=`{}` does not exist in service=`{PRODUCT}`.", shown(call.version()));
            return Err(WireError::new(ErrorCode::NoSuchVersion, text));
        }
        let name = call.action();
        Action::ALL.into_iter().find(|action| action.as_str() == name).ok_or_else(|| {
            let why = if NOT_YET.contains(&name) {
                format!(" `{name}` is not offered by this version.")
            } else {
                String::new()
            };
            WireError::new(ErrorCode::InvalidAction, format!("The request `Action` is invalid or not found.{why}"))
        })
    }
}

/// A request of one action, as its server reads it.
pub trait Request<'a>: Sized {
    /// Which action.
    const ACTION: Action;

    /// Reads and checks the parameters; unknown names are refused first, then what is missing, then types, then values.
    ///
    /// # Errors
    /// `UnknownParameter`, `MissingParameter`, `InvalidParameter`, `InvalidParameter.CdnParamError`.
    fn from_params(params: Params<'a>) -> Result<Self, WireError>;
}

macro_rules! words {
    ($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $vdoc:literal])+ $variant:ident = $text:literal,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[doc = $vdoc])+ #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl Word for $name {
            fn all() -> &'static [Self] { Self::ALL }
            fn word(self) -> &'static str { self.as_str() }
        }
    };
}

/// An enumeration of the contract's lower-case words.
trait Word: Copy + 'static {
    fn all() -> &'static [Self];
    fn word(self) -> &'static str;
}

words! {
    /// Where to purge. `global` is no legal input of a purge.
    PurgeArea {
        /// Mainland China.
        Mainland = "mainland",
        /// Outside of it.
        Overseas = "overseas",
    }
}

words! {
    /// Whose tasks to list.
    TaskArea {
        /// Mainland China.
        Mainland = "mainland",
        /// Outside of it.
        Overseas = "overseas",
        /// Both.
        Global = "global",
    }
}

words! {
    /// What a task purges.
    PurgeType {
        /// URLs.
        Url = "url",
        /// Directories.
        Path = "path",
    }
}

words! {
    /// What became of one URL or directory.
    TaskStatus {
        /// It could not be purged.
        Fail = "fail",
        /// It is purged.
        Done = "done",
        /// It is under way.
        Process = "process",
    }
}

words! {
    /// How a cached copy is forgotten.
    FlushType {
        /// Checked with the origin before it is served again; directories only.
        Flush = "flush",
        /// Fetched anew.
        Delete = "delete",
    }
}

/// Reads one of the contract's words.
fn word<T: Word>(name: &str, text: &str) -> Result<T, WireError> {
    T::all().iter().copied().find(|w| w.word() == text).ok_or_else(|| {
        let known: Vec<String> = T::all().iter().map(|w| format!("`{}`", w.word())).collect();
        param_error(name, &format!("must be one of {}, and is `{}`", known.join(", "), shown(text)))
    })
}

/// The product's own catch-all for a value that its documentation does not allow.
fn param_error(name: &str, what: &str) -> WireError {
    WireError::new(ErrorCode::CdnParamError, format!("The parameter `{name}` {what}."))
}

/// Refuses a missing parameter before any type is looked at.
fn require(params: &Params<'_>, name: &'static str) -> Result<(), ParamError> {
    if params.root().get(name).is_some() { Ok(()) } else { Err(ParamError::Missing(name)) }
}
