//! Endpoints that are told when an account's tasks end.
//!
//! Invariant: the signing secret stands in the answer that makes an endpoint, and in no other.

use axum::extract::State;
use catharsis_core::task::AccountId;
use catharsis_registry::record::WebhookRecord;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Answer, Shared, known_account};
use crate::admin::answer::{Changed, Told, rfc3339};
use crate::admin::error::Refusal;
use crate::admin::extract::{Asked, Fields, NoFields, Segments, limit};

/// An endpoint, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Webhook {
    /// Unique within its account.
    name: String,
    url: String,
    /// RFC 3339, UTC.
    created_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WebhookList {
    /// At most ten.
    webhooks: Vec<Webhook>,
}

/// A new endpoint.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct WebhookFields {
    /// 1 to 64 lower-case letters, digits, `-` and `_`.
    name: String,
    /// Where messages are sent: http or https.
    url: String,
}

/// An endpoint that was just made.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NewWebhook {
    name: String,
    url: String,
    /// Signs the messages, in the form of Standard Webhooks; it is not shown again.
    secret: String,
}

/// How many.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HowMany {
    /// 1 to 1000 (default).
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// A task whose end the endpoint was not told.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct WebhookFailure {
    task_id: String,
    attempts: u32,
    /// What happened at the last attempt.
    reason: String,
    /// When it is told again, RFC 3339, UTC; `null` when it is not.
    next_attempt: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct FailureList {
    /// The newest first.
    failures: Vec<WebhookFailure>,
}

fn told(name: &str, record: &WebhookRecord) -> Webhook {
    Webhook { name: name.to_owned(), url: record.url.clone(), created_at: rfc3339(record.created_at) }
}

/// The endpoints of an account, by name.
#[utoipa::path(get, path = "/v1/accounts/{uin}/webhooks", tag = "webhooks", params(("uin" = u64, Path)),
    responses((status = 200, description = "The list", body = WebhookList)))]
pub(super) async fn list(State(desk): State<Shared>, Segments(uin): Segments<u64>) -> Answer<WebhookList> {
    let snapshot = desk.registry.snapshot();
    let account = known_account(&snapshot, uin)?;
    let webhooks = snapshot.webhooks_of(account).map(|(name, webhook)| told(name, &webhook.record)).collect();
    Ok(Told(WebhookList { webhooks }))
}

/// Makes an endpoint.
#[utoipa::path(post, path = "/v1/accounts/{uin}/webhooks", tag = "webhooks", params(("uin" = u64, Path)),
    request_body = WebhookFields,
    responses((status = 201, description = "Made; the only answer with `Secret`", body = NewWebhook)))]
pub(super) async fn create(
    State(desk): State<Shared>,
    Segments(uin): Segments<u64>,
    Fields(new): Fields<WebhookFields>,
) -> Result<Changed<NewWebhook>, Refusal> {
    let WebhookFields { name, url } = new;
    let secret = desk.registry.create_webhook(AccountId(uin), &name, &url).await?.value.secret;
    Ok(Changed::created("webhook created", &format!("{name} of {uin}"), NewWebhook { name, url, secret }))
}

/// One endpoint.
#[utoipa::path(get, path = "/v1/accounts/{uin}/webhooks/{name}", tag = "webhooks",
    params(("uin" = u64, Path), ("name" = String, Path)),
    responses((status = 200, description = "The endpoint", body = Webhook)))]
pub(super) async fn show(
    State(desk): State<Shared>,
    Segments((uin, name)): Segments<(u64, String)>,
) -> Answer<Webhook> {
    let snapshot = desk.registry.snapshot();
    let key = (known_account(&snapshot, uin)?, name);
    match snapshot.webhooks.get(&key) {
        Some(webhook) => Ok(Told(told(&key.1, &webhook.record))),
        None => Err(Refusal::not_found("webhook", &key.1)),
    }
}

/// Deletes an endpoint; what it was not told yet is given up.
#[utoipa::path(delete, path = "/v1/accounts/{uin}/webhooks/{name}", tag = "webhooks",
    params(("uin" = u64, Path), ("name" = String, Path)), responses((status = 204, description = "Deleted")))]
pub(super) async fn delete(
    State(desk): State<Shared>,
    Segments((uin, name)): Segments<(u64, String)>,
    _: NoFields,
) -> Result<Changed<()>, Refusal> {
    desk.registry.delete_webhook(AccountId(uin), &name).await?;
    Ok(Changed::done("webhook deleted", &format!("{name} of {uin}")))
}

/// What an endpoint was not told after an attempt, and what it never will be.
#[utoipa::path(get, path = "/v1/accounts/{uin}/webhooks/{name}/failures", tag = "webhooks",
    params(("uin" = u64, Path), ("name" = String, Path), HowMany),
    responses((status = 200, description = "The newest of them", body = FailureList)))]
pub(super) async fn failures(
    State(desk): State<Shared>,
    Segments((uin, name)): Segments<(u64, String)>,
    Asked(HowMany { limit: asked }): Asked<HowMany>,
) -> Answer<FailureList> {
    let account = known_account(&desk.registry.snapshot(), uin)?;
    if !desk.registry.snapshot().webhooks.contains_key(&(account, name.clone())) {
        return Err(Refusal::not_found("webhook", &name));
    }
    let max = u32::try_from(limit(asked)?).unwrap_or(u32::MAX);
    let undelivered = desk.store.undelivered(account, &name, max).await?;
    let failures = undelivered.into_iter().map(|it| WebhookFailure {
        task_id: it.notice.task.to_string(),
        attempts: it.notice.attempts,
        reason: it.why.into(),
        next_attempt: it.again.map(|at| rfc3339(at.0)),
    });
    Ok(Told(FailureList { failures: failures.collect() }))
}
