//! Key pairs of accounts and users, lasting and temporary.
//!
//! Invariant: the secret half stands in the answer that makes a pair, and in no other.

use axum::extract::State;
use catharsis_registry::Snapshot;
use catharsis_registry::record::KeyRecord;
use catharsis_registry::snapshot::Principal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::users::SetSwitch;
use super::{Answer, Shared};
use crate::admin::answer::{Changed, Told, rfc3339};
use crate::admin::error::Refusal;
use crate::admin::extract::{Fields, NoFields, Segments};
use crate::admin::words::SwitchName;

/// A key pair, without its secret half.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Key {
    /// The public half.
    secret_id: String,
    state: SwitchName,
    /// RFC 3339, UTC.
    created_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KeyList {
    /// At most two.
    keys: Vec<Key>,
}

/// A key pair that was just made.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NewPair {
    /// The public half.
    secret_id: String,
    /// The secret half; it is not shown again.
    secret_key: String,
    state: SwitchName,
    /// RFC 3339, UTC.
    created_at: String,
}

/// How long a temporary pair works.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct NewToken {
    /// 1 to 129600 (36 hours).
    duration_seconds: u64,
}

/// A temporary key pair that was just made.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TemporaryPair {
    /// The public half.
    secret_id: String,
    /// The secret half; it is not shown again.
    secret_key: String,
    /// To be sent with each call; it is not shown again.
    token: String,
    /// RFC 3339, UTC.
    expires_at: String,
}

fn told(secret_id: &str, record: &KeyRecord) -> Key {
    Key { secret_id: secret_id.to_owned(), state: record.enabled.into(), created_at: rfc3339(record.created_at) }
}

fn known(snapshot: &Snapshot, uin: u64) -> Result<Principal, Refusal> {
    let principal = Principal(uin);
    match snapshot.account_of(principal) {
        Some(_) => Ok(principal),
        None => Err(Refusal::not_found("account or user", &uin)),
    }
}

/// The lasting key pairs of an account or user, the oldest first.
#[utoipa::path(get, path = "/v1/principals/{uin}/keys", tag = "keys", params(("uin" = u64, Path)),
    responses((status = 200, description = "The list", body = KeyList)))]
pub(super) async fn list(State(desk): State<Shared>, Segments(uin): Segments<u64>) -> Answer<KeyList> {
    let snapshot = desk.registry.snapshot();
    let mut keys: Vec<_> = snapshot.keys_of(known(&snapshot, uin)?).collect();
    keys.sort_by_key(|(id, key)| (key.record.created_at, *id));
    Ok(Told(KeyList { keys: keys.into_iter().map(|(id, key)| told(id, &key.record)).collect() }))
}

/// Makes a key pair of an account or user, which may have two.
#[utoipa::path(post, path = "/v1/principals/{uin}/keys", tag = "keys", params(("uin" = u64, Path)),
    responses((status = 201, description = "Made; the only answer with `SecretKey`", body = NewPair)))]
pub(super) async fn create(
    State(desk): State<Shared>,
    Segments(uin): Segments<u64>,
    _: NoFields,
) -> Result<Changed<NewPair>, Refusal> {
    let new = desk.registry.create_key(Principal(uin)).await?.value;
    // A pair that was deleted meanwhile is still the one that was made.
    let snapshot = desk.registry.snapshot();
    let created_at = snapshot.keys.get(&new.secret_id).map_or(desk.clock.wall().0, |key| key.record.created_at);
    let object = format!("{} of {uin}", new.secret_id);
    let answer = NewPair {
        secret_id: new.secret_id,
        secret_key: new.secret_key,
        state: SwitchName::Enabled,
        created_at: rfc3339(created_at),
    };
    Ok(Changed::created("key created", &object, answer))
}

/// Switches a key pair on or off.
#[utoipa::path(patch, path = "/v1/keys/{id}", tag = "keys", params(("id" = String, Path)),
    request_body = SetSwitch, responses((status = 200, description = "Changed", body = Key)))]
pub(super) async fn switch(
    State(desk): State<Shared>,
    Segments(id): Segments<String>,
    Fields(set): Fields<SetSwitch>,
) -> Result<Changed<Key>, Refusal> {
    desk.registry.switch_key(&id, set.state.into()).await?;
    let snapshot = desk.registry.snapshot();
    let key = snapshot.keys.get(&id).ok_or_else(|| Refusal::not_found("key", &id))?;
    let what = match set.state {
        SwitchName::Enabled => "key enabled",
        SwitchName::Disabled => "key disabled",
    };
    Ok(Changed::now(what, &id, told(&id, &key.record)))
}

/// Deletes a key pair, lasting or temporary.
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "keys", params(("id" = String, Path)),
    responses((status = 204, description = "Deleted")))]
pub(super) async fn delete(
    State(desk): State<Shared>,
    Segments(id): Segments<String>,
    _: NoFields,
) -> Result<Changed<()>, Refusal> {
    desk.registry.delete_key(&id).await?;
    Ok(Changed::done("key deleted", &id))
}

/// Makes a temporary key pair with its token.
#[utoipa::path(post, path = "/v1/principals/{uin}/tokens", tag = "keys", params(("uin" = u64, Path)),
    request_body = NewToken,
    responses((status = 201, description = "Made; the only answer with `SecretKey` and `Token`", body = TemporaryPair)))]
pub(super) async fn create_token(
    State(desk): State<Shared>,
    Segments(uin): Segments<u64>,
    Fields(new): Fields<NewToken>,
) -> Result<Changed<TemporaryPair>, Refusal> {
    let new = desk.registry.create_token(Principal(uin), new.duration_seconds).await?.value;
    let object = format!("{} of {uin}", new.key.secret_id);
    let answer = TemporaryPair {
        secret_id: new.key.secret_id,
        secret_key: new.key.secret_key,
        token: new.token,
        expires_at: rfc3339(new.expires_at),
    };
    Ok(Changed::created("temporary key created", &object, answer))
}
