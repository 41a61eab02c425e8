//! The actions: from wire request to engine call to wire answer, a function each.

mod domains;
mod purge;
mod push;
mod tasks;

use std::sync::Arc;

use bytes::Bytes;
use catharsis_core::account::AccountState;
use catharsis_core::plan::Caller;
use catharsis_core::ports::Clock;
use catharsis_core::push::service::PushService;
use catharsis_core::service::PurgeService;
use catharsis_edge::protocol::LocalOrigins;
use catharsis_registry::{Registry, Snapshot};
use catharsis_tcapi::cdn::{Action, DescribeCacheNodesRequest, Effect, ModifyPurgeFetchTaskStatusRequest, Request};
use catharsis_tcapi::code::{ErrorCode, WireError};
use catharsis_tcapi::envelope::{self, RequestId};
use catharsis_tcapi::params::Params;
use serde::Serialize;
use tracing::{error, info};

use super::{answers, error as errors};
use crate::domains::Distribution;
use crate::events::Events;
use crate::receipts::Notary;

/// What actions work with.
pub(super) struct Parts {
    pub(super) service: Arc<PurgeService>,
    pub(super) pushes: Arc<PushService>,
    pub(super) registry: Arc<Registry>,
    pub(super) distribution: Arc<Distribution>,
    pub(super) events: Arc<Events>,
    pub(super) notary: Arc<Notary>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) local_origins: LocalOrigins,
}

/// One call whose identity, permission and rate are checked.
pub(super) struct Checked {
    /// Which action.
    pub(super) action: Action,
    /// Who calls, and how far the word goes.
    pub(super) caller: Caller,
    /// The snapshot on which that was decided.
    pub(super) snapshot: Arc<Snapshot>,
    /// The answer's name.
    pub(super) id: RequestId,
}

/// The result of an action.
type Answer = Result<Bytes, WireError>;

/// Carries out a checked call.
///
/// # Errors
/// Each with its documented code; then nothing was changed.
pub(super) async fn run(parts: &Parts, call: &Checked, params: Params<'_>) -> Answer {
    activated(call)?;
    match call.action {
        Action::PurgeUrlsCache => purge::urls(parts, call, params).await,
        Action::PurgePathCache => purge::paths(parts, call, params).await,
        Action::PushUrlsCache => push::urls(parts, call, params).await,
        Action::DescribePurgeTasks => tasks::purges(parts, call, params).await,
        Action::DescribePushTasks => push::tasks(parts, call, params).await,
        Action::DescribePurgeQuota => tasks::purge_quota(parts, call, params).await,
        Action::DescribePushQuota => tasks::push_quota(parts, call, params).await,
        Action::DescribePurgeReceipts => tasks::receipts(parts, call, params).await,
        Action::DescribeCacheNodes => {
            DescribeCacheNodesRequest::from_params(params)?;
            ok(call.id, &answers::nodes(&parts.service.nodes()))
        }
        Action::ModifyPurgeFetchTaskStatus => report(call, params),
        Action::AddCdnDomain => domains::add(parts, call, params).await,
        Action::StartCdnDomain => domains::start(parts, call, params).await,
        Action::StopCdnDomain => domains::stop(parts, call, params).await,
        Action::DeleteCdnDomain => domains::delete(parts, call, params).await,
        Action::DescribeDomains => domains::describe(parts, call, params),
    }
}

/// Refuses an account that has keys but no service; and one that may only see, where the action changes something.
fn activated(call: &Checked) -> Result<(), WireError> {
    let account = call.snapshot.directory.account(call.caller.account);
    let state = account.map_or(AccountState::NotActivated, |account| account.state);
    match (state, call.action.effect()) {
        (AccountState::NotActivated, Effect::Reads | Effect::Changes) => Err(errors::account_state(state, call.action)),
        (AccountState::Active | AccountState::Isolated, Effect::Changes) | (_, Effect::Reads) => Ok(()),
        (_, Effect::Changes) => Err(errors::account_state(state, call.action)),
    }
}

/// The report of the vendor's scheduler plug-in about a task that it ran. There is no such scheduler here, so there
/// is nothing to note but that it came.
fn report(call: &Checked, params: Params<'_>) -> Answer {
    #[derive(Serialize)]
    struct Nothing {}
    let request = ModifyPurgeFetchTaskStatusRequest::from_params(params)?;
    let (status, scheduled) = (request.execution_status.as_str(), request.id.as_ref());
    info!(request_id = %call.id, account = %call.caller.account, scheduled, status, "a scheduled task was reported");
    ok(call.id, &Nothing {})
}

/// The envelope of a success.
fn ok(id: RequestId, answer: &impl Serialize) -> Answer {
    envelope::ok(id, answer).map_err(|error| {
        error!(%error, "an answer could not be written");
        WireError::new(ErrorCode::InternalError, "The answer could not be written.")
    })
}
