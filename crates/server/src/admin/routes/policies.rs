//! CAM policies of an account, and which users have them.

use std::collections::HashMap;
use std::ops::Bound::{Excluded, Unbounded};

use axum::extract::State;
use catharsis_core::task::AccountId;
use catharsis_registry::snapshot::NamedPolicy;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};

use super::{Answer, Shared, known_account};
use crate::admin::answer::{Changed, Told};
use crate::admin::error::{Code, Refusal};
use crate::admin::extract::{Asked, Fields, NoFields, Page, Segments};

/// A policy.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Policy {
    /// Unique within its account.
    name: String,
    /// As it was written.
    #[schema(value_type = Object)]
    document: Box<RawValue>,
}

/// A policy in a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PolicyRow {
    /// Unique within its account.
    name: String,
    /// How many users have it.
    users: usize,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PolicyList {
    policies: Vec<PolicyRow>,
    /// Absent at the end; else what to send as `after` for what follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A policy of a user.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AttachedPolicy {
    name: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AttachedList {
    /// At most 200.
    policies: Vec<AttachedPolicy>,
}

/// What a policy says.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct PolicyFields {
    #[schema(schema_with = document)]
    document: Box<RawValue>,
}

fn document() -> Schema {
    let document = ObjectBuilder::new().schema_type(Type::Object);
    let text = ObjectBuilder::new().schema_type(Type::String);
    let about = "CAM policy version 2.0: the document, or its text. It is kept as it is written.";
    OneOfBuilder::new().item(document).item(text).description(Some(about)).into()
}

impl PolicyFields {
    /// The text as it was written: through a map, a name given twice would be lost before it is refused.
    fn text(&self) -> Result<String, Refusal> {
        let raw = self.document.get();
        if raw.starts_with('"') {
            return serde_json::from_str(raw).map_err(|error| Refusal::invalid("Document", error));
        }
        Ok(raw.to_owned())
    }
}

fn told(policy: &NamedPolicy) -> Result<Policy, Refusal> {
    let document = RawValue::from_string(policy.document.clone()).map_err(|error| Refusal {
        code: Code::InternalError,
        message: "The server cannot show this policy, and its log says why.".to_owned(),
        internal: Some(error.to_string()),
    })?;
    Ok(Policy { name: policy.name.clone(), document })
}

/// The policies of an account, by name.
#[utoipa::path(get, path = "/v1/accounts/{uin}/policies", tag = "policies", params(("uin" = u64, Path), Page),
    responses((status = 200, description = "A part of the list", body = PolicyList)))]
pub(super) async fn list(
    State(desk): State<Shared>,
    Segments(uin): Segments<u64>,
    Asked(page): Asked<Page>,
) -> Answer<PolicyList> {
    let snapshot = desk.registry.snapshot();
    let account = known_account(&snapshot, uin)?;
    let mut users: HashMap<&str, usize> = HashMap::new();
    for user in snapshot.users.values().filter(|user| user.account == account) {
        user.policies.iter().for_each(|policy| *users.entry(&policy.name).or_default() += 1);
    }
    let from = (account, page.after.clone().unwrap_or_default());
    let rows = snapshot.policies.range((Excluded(from), Unbounded)).take_while(|((owner, _), _)| *owner == account);
    let row = |((_, name), _): (&(AccountId, String), _)| PolicyRow {
        name: name.clone(),
        users: users.get(name.as_str()).copied().unwrap_or(0),
    };
    let (policies, next) = page.cut(rows.map(row), |row| row.name.clone())?;
    Ok(Told(PolicyList { policies, next }))
}

/// One policy.
#[utoipa::path(get, path = "/v1/accounts/{uin}/policies/{name}", tag = "policies",
    params(("uin" = u64, Path), ("name" = String, Path)),
    responses((status = 200, description = "The policy", body = Policy)))]
pub(super) async fn show(State(desk): State<Shared>, Segments((uin, name)): Segments<(u64, String)>) -> Answer<Policy> {
    let snapshot = desk.registry.snapshot();
    let key = (known_account(&snapshot, uin)?, name);
    told(snapshot.policies.get(&key).ok_or_else(|| Refusal::not_found("policy", &key.1))?).map(Told)
}

/// Makes a policy, or replaces the one of that name for all users who have it.
#[utoipa::path(put, path = "/v1/accounts/{uin}/policies/{name}", tag = "policies",
    params(("uin" = u64, Path), ("name" = String, Path)), request_body = PolicyFields,
    responses((status = 200, description = "Kept", body = Policy)))]
pub(super) async fn put(
    State(desk): State<Shared>,
    Segments((uin, name)): Segments<(u64, String)>,
    Fields(fields): Fields<PolicyFields>,
) -> Result<Changed<Policy>, Refusal> {
    let account = AccountId(uin);
    desk.registry.put_policy(account, &name, &fields.text()?).await?;
    let snapshot = desk.registry.snapshot();
    let policy = snapshot.policies.get(&(account, name.clone())).ok_or_else(|| Refusal::not_found("policy", &name))?;
    Ok(Changed::now("policy kept", &format!("{name} of {uin}"), told(policy)?))
}

/// Deletes a policy that no user has.
#[utoipa::path(delete, path = "/v1/accounts/{uin}/policies/{name}", tag = "policies",
    params(("uin" = u64, Path), ("name" = String, Path)), responses((status = 204, description = "Deleted")))]
pub(super) async fn delete(
    State(desk): State<Shared>,
    Segments((uin, name)): Segments<(u64, String)>,
    _: NoFields,
) -> Result<Changed<()>, Refusal> {
    desk.registry.delete_policy(AccountId(uin), &name).await?;
    Ok(Changed::done("policy deleted", &format!("{name} of {uin}")))
}

/// The policies of a user, by name.
#[utoipa::path(get, path = "/v1/users/{uin}/policies", tag = "policies", params(("uin" = u64, Path)),
    responses((status = 200, description = "The list", body = AttachedList)))]
pub(super) async fn attached(State(desk): State<Shared>, Segments(uin): Segments<u64>) -> Answer<AttachedList> {
    let snapshot = desk.registry.snapshot();
    let user = snapshot.users.get(&uin).ok_or_else(|| Refusal::not_found("user", &uin))?;
    let policies = user.policies.iter().map(|policy| AttachedPolicy { name: policy.name.clone() }).collect();
    Ok(Told(AttachedList { policies }))
}

/// Gives a user a policy of its account.
#[utoipa::path(put, path = "/v1/users/{uin}/policies/{name}", tag = "policies",
    params(("uin" = u64, Path), ("name" = String, Path)), responses((status = 204, description = "The user has it")))]
pub(super) async fn attach(
    State(desk): State<Shared>,
    Segments((uin, name)): Segments<(u64, String)>,
    _: NoFields,
) -> Result<Changed<()>, Refusal> {
    desk.registry.attach_policy(uin, &name).await?;
    Ok(Changed::done("policy attached", &format!("{name} to user {uin}")))
}

/// Takes a policy from a user.
#[utoipa::path(delete, path = "/v1/users/{uin}/policies/{name}", tag = "policies",
    params(("uin" = u64, Path), ("name" = String, Path)), responses((status = 204, description = "The user has it no more")))]
pub(super) async fn detach(
    State(desk): State<Shared>,
    Segments((uin, name)): Segments<(u64, String)>,
    _: NoFields,
) -> Result<Changed<()>, Refusal> {
    desk.registry.detach_policy(uin, &name).await?;
    Ok(Changed::done("policy detached", &format!("{name} from user {uin}")))
}
