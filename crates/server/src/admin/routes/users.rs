//! Users (sub-accounts) of a root account.

use std::ops::Bound::{Excluded, Unbounded};

use axum::extract::State;
use catharsis_core::task::AccountId;
use catharsis_registry::Snapshot;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Answer, Shared, known_account};
use crate::admin::answer::{Changed, Told, rfc3339};
use crate::admin::error::Refusal;
use crate::admin::extract::{Asked, Fields, NoFields, Page, Segments};
use crate::admin::words::SwitchName;

/// A user.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct User {
    /// Its number.
    uin: u64,
    /// Unique within its account.
    name: String,
    /// Whether its keys work.
    state: SwitchName,
    /// The root account's number.
    account: u64,
    /// RFC 3339, UTC.
    created_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UserList {
    users: Vec<User>,
    /// Absent at the end; else what to send as `after` for what follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A new user.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct NewUser {
    /// 1 to 64 letters, digits, `-`, `_` and `.`; unique within the account.
    name: String,
}

/// On or off.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct SetSwitch {
    pub(super) state: SwitchName,
}

fn told(snapshot: &Snapshot, uin: u64) -> Result<User, Refusal> {
    let record = &snapshot.users.get(&uin).ok_or_else(|| Refusal::not_found("user", &uin))?.record;
    Ok(User {
        uin,
        name: record.name.clone(),
        state: record.enabled.into(),
        account: record.account,
        created_at: rfc3339(record.created_at),
    })
}

/// The users of an account, by number.
#[utoipa::path(get, path = "/v1/accounts/{uin}/users", tag = "users", params(("uin" = u64, Path), Page),
    responses((status = 200, description = "A part of the list", body = UserList)))]
pub(super) async fn list(
    State(desk): State<Shared>,
    Segments(uin): Segments<u64>,
    Asked(page): Asked<Page>,
) -> Answer<UserList> {
    let snapshot = desk.registry.snapshot();
    let account = known_account(&snapshot, uin)?;
    let rows = snapshot.users.range((Excluded(page.after_number()?), Unbounded));
    let rows = rows.filter(|(_, user)| user.account == account).map(|(uin, _)| *uin);
    let (numbers, next) = page.cut(rows, u64::to_string)?;
    let users = numbers.into_iter().map(|uin| told(&snapshot, uin)).collect::<Result<_, _>>()?;
    Ok(Told(UserList { users, next }))
}

/// Makes a user. Without a policy it may do nothing.
#[utoipa::path(post, path = "/v1/accounts/{uin}/users", tag = "users", params(("uin" = u64, Path)),
    request_body = NewUser, responses((status = 201, description = "Made", body = User)))]
pub(super) async fn create(
    State(desk): State<Shared>,
    Segments(account): Segments<u64>,
    Fields(new): Fields<NewUser>,
) -> Result<Changed<User>, Refusal> {
    let uin = desk.registry.create_user(AccountId(account), &new.name).await?.value;
    Ok(Changed::created("user created", &uin, told(&desk.registry.snapshot(), uin)?))
}

/// One user.
#[utoipa::path(get, path = "/v1/users/{uin}", tag = "users", params(("uin" = u64, Path)),
    responses((status = 200, description = "The user", body = User)))]
pub(super) async fn show(State(desk): State<Shared>, Segments(uin): Segments<u64>) -> Answer<User> {
    told(&desk.registry.snapshot(), uin).map(Told)
}

/// Switches all keys of a user on or off.
#[utoipa::path(patch, path = "/v1/users/{uin}", tag = "users", params(("uin" = u64, Path)),
    request_body = SetSwitch, responses((status = 200, description = "Changed", body = User)))]
pub(super) async fn switch(
    State(desk): State<Shared>,
    Segments(uin): Segments<u64>,
    Fields(set): Fields<SetSwitch>,
) -> Result<Changed<User>, Refusal> {
    desk.registry.switch_user(uin, set.state.into()).await?;
    let what = match set.state {
        SwitchName::Enabled => "user enabled",
        SwitchName::Disabled => "user disabled",
    };
    Ok(Changed::now(what, &uin, told(&desk.registry.snapshot(), uin)?))
}

/// Deletes a user with its keys.
#[utoipa::path(delete, path = "/v1/users/{uin}", tag = "users", params(("uin" = u64, Path)),
    responses((status = 204, description = "Deleted")))]
pub(super) async fn delete(
    State(desk): State<Shared>,
    Segments(uin): Segments<u64>,
    _: NoFields,
) -> Result<Changed<()>, Refusal> {
    desk.registry.delete_user(uin).await?;
    Ok(Changed::done("user deleted", &uin))
}
