//! Why an account or user may do something, or may not.

use std::net::IpAddr;

use axum::extract::State;
use catharsis_cam::{Context, Mfa, Request, Resource, trace};
use catharsis_core::account::AccountState;
use catharsis_registry::Snapshot;
use catharsis_registry::record::Switch;
use catharsis_registry::snapshot::{Principal, User};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Answer, Shared};
use crate::admin::answer::{Told, parse_rfc3339};
use crate::admin::error::Refusal;
use crate::admin::extract::Fields;

/// Who would do what to which.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Question {
    /// The number of a user, or of a root account.
    user: u64,
    /// Such as `cdn:PurgeUrlsCache`.
    action: String,
    /// Such as `qcs::cdn::uin/100000000001:domain/www.example.com`; `*` for an action that names no domain.
    resource: String,
    /// From where. Absent: as if the request had no address.
    #[schema(value_type = Option<String>)]
    ip: Option<IpAddr>,
    /// When, RFC 3339. Absent: now.
    time: Option<String>,
}

/// What the policies say.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Explanation {
    allowed: bool,
    /// What decided.
    decision: String,
    /// Each statement of each policy, and why it matches or does not.
    trace: Vec<String>,
}

/// Whether policies allow something, and which statement decides.
#[utoipa::path(post, path = "/v1/explain", tag = "policies", request_body = Question,
    responses((status = 200, description = "The explanation", body = Explanation)))]
pub(super) async fn explain(State(desk): State<Shared>, Fields(question): Fields<Question>) -> Answer<Explanation> {
    let snapshot = desk.registry.snapshot();
    let principal = Principal(question.user);
    let owner = snapshot.account_of(principal);
    let owner = owner.ok_or_else(|| Refusal::not_found("account or user", &question.user))?;
    let named = question.action.split_once(':').is_some_and(|(service, name)| !service.is_empty() && !name.is_empty());
    if !named {
        return Err(Refusal::invalid("Action", "it must name its service too, such as cdn:PurgeUrlsCache"));
    }
    let resource = Resource::parse(&question.resource, owner.0).map_err(|why| Refusal::invalid("Resource", why))?;
    let now = match &question.time {
        Some(text) => parse_rfc3339("Time", text)?,
        None => i64::try_from(desk.clock.wall().seconds()).unwrap_or(i64::MAX),
    };
    let request = Request { action: &question.action, resource };
    let context =
        Context { ip: question.ip, now, uin: question.user, owner_uin: owner.0, mfa: Mfa::Unknown, resource_tags: &[] };
    let mut told = match snapshot.user(principal) {
        Some(user) => of_user(user, request, &context),
        None => of_root(owner.0, resource),
    };
    told.trace.extend(note_of_account(&snapshot, owner));
    Ok(Told(told))
}

fn of_user(user: &User, request: Request<'_>, context: &Context<'_>) -> Explanation {
    let policies = user.policies.iter().map(|policy| (policy.name.as_str(), &policy.policy));
    let traced = trace(policies, request, context);
    let text = traced.decision.to_string();
    // `Allowed` says the first word of it.
    let why = text.split_once(": ").map_or(text.as_str(), |(_, why)| why);
    let lines = traced.statements.iter().map(ToString::to_string).collect();
    match user.record.enabled {
        Switch::Enabled => {
            Explanation { allowed: traced.decision.is_allowed(), decision: why.to_owned(), trace: lines }
        }
        Switch::Disabled => {
            let decision = format!("the user is disabled, so none of its keys works; by its policies: {text}");
            Explanation { allowed: false, decision, trace: lines }
        }
    }
}

fn of_root(account: u64, resource: Resource<'_>) -> Explanation {
    let (allowed, decision) = match resource {
        Resource::Domain { owner_uin, .. } if owner_uin != account => {
            (false, format!("the resource belongs to the root account {owner_uin}, and no other account reaches it"))
        }
        Resource::Any | Resource::Domain { .. } => (
            true,
            format!(
                "{account} is a root account, which may do everything with what it owns: policies are for its users"
            ),
        ),
    };
    Explanation { allowed, decision, trace: Vec::new() }
}

/// What is asked before any policy.
fn note_of_account(snapshot: &Snapshot, owner: catharsis_core::task::AccountId) -> Option<String> {
    let state = snapshot.directory.account(owner)?.state;
    let note = || format!("beside its policies: the state of the account {owner} is `{}`", state.as_str());
    (state != AccountState::Active).then(note)
}
