//! Receipts of any account's tasks, and the key that they are signed with.
//!
//! What an operator asks with a task's id alone: whose it is stands in the answer.

use axum::extract::State;
use catharsis_core::history::HostScope;
use catharsis_core::task::TaskId;
use catharsis_core::task_receipts::TaskReceipts;
use catharsis_statement::{Envelope, Statement};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Answer, Shared};
use crate::admin::answer::Told;
use crate::admin::error::{Code, Refusal};
use crate::admin::extract::Segments;

/// The public key that checks signed receipts.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ReceiptKey {
    /// SHA-256 of its DER form, in hexadecimal digits; stands in what is signed with it.
    key_id: String,
    /// PEM (SubjectPublicKeyInfo) of an Ed25519 key.
    public_key: String,
}

async fn known(desk: &Shared, id: &str) -> Result<TaskReceipts, Refusal> {
    let unknown = || Refusal::not_found("task", &id);
    let task = TaskId::parse(id).ok_or_else(unknown)?;
    let account = desk.store.account_of(&task).await?.ok_or_else(unknown)?;
    // It may have been pruned in between.
    desk.service.receipts(account, &HostScope::All, &task).await?.ok_or_else(unknown)
}

/// What became of a task at each node.
#[utoipa::path(get, path = "/v1/tasks/{task}/receipts", tag = "receipts", params(("task" = String, Path)),
    responses((status = 200, description = "What a signed statement would say now", body = Statement)))]
pub(super) async fn receipts(State(desk): State<Shared>, Segments(task): Segments<String>) -> Answer<Statement> {
    let receipts = known(&desk, &task).await?;
    Ok(Told(desk.notary.statement(&receipts, desk.clock.wall())))
}

/// The same, signed: a DSSE envelope.
#[utoipa::path(get, path = "/v1/tasks/{task}/receipts/signed", tag = "receipts", params(("task" = String, Path)),
    responses((status = 200, description = "The envelope: keep it letter for letter", body = Envelope)))]
pub(super) async fn signed(State(desk): State<Shared>, Segments(task): Segments<String>) -> Answer<Envelope> {
    let receipts = known(&desk, &task).await?;
    let envelope = desk.notary.sign(&receipts, desk.clock.wall());
    envelope.map(Told).map_err(|error| Refusal::new(Code::LimitExceeded, error.to_string()))
}

/// The key that checks signed receipts.
#[utoipa::path(get, path = "/v1/receipts/key", tag = "receipts",
    responses((status = 200, description = "The public key", body = ReceiptKey)))]
pub(super) async fn key(State(desk): State<Shared>) -> Answer<ReceiptKey> {
    Ok(Told(ReceiptKey { key_id: desk.notary.key_id(), public_key: desk.notary.public_pem() }))
}
