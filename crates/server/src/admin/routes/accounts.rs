//! Root accounts: their state and their limits.

use axum::extract::State;
use catharsis_core::quota::QuotaKind;
use catharsis_core::task::AccountId;
use catharsis_registry::Snapshot;
use catharsis_registry::change::AccountPatch;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

use super::{Answer, Shared};
use crate::admin::answer::{Changed, Told, rfc3339};
use crate::admin::error::Refusal;
use crate::admin::extract::{Asked, Fields, NoFields, Page, Segments, given, nullable};
use crate::admin::words::StateName;

/// A root account. A limit that is `null` is the default of the configuration file.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Account {
    /// Its number.
    uin: u64,
    /// For people.
    name: String,
    state: StateName,
    /// URLs in one purge.
    urls_per_call: Option<u32>,
    /// Directories in one purge.
    paths_per_call: Option<u32>,
    /// URLs in one prefetch.
    pushes_per_call: Option<u32>,
    /// URLs to purge a day, in each area.
    urls_per_day: Option<u32>,
    /// Directories to purge a day, in each area.
    paths_per_day: Option<u32>,
    /// URLs to prefetch a day, in each area.
    pushes_per_day: Option<u32>,
    /// Calls a second and action.
    requests_per_second: Option<u32>,
    /// Domains that it may have.
    domains_max: Option<u32>,
    /// RFC 3339, UTC.
    created_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AccountList {
    accounts: Vec<Account>,
    /// Absent at the end; else what to send as `after` for what follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// What can be said of an account. What is absent stays as it is; a limit that is `null` becomes the default.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct AccountFields {
    /// For people; at most 128 characters.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    name: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    state: Option<StateName>,
    /// URLs in one purge, 1 to 50000.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u32>)]
    urls_per_call: Option<Option<u32>>,
    /// Directories in one purge, 1 to 50000.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u32>)]
    paths_per_call: Option<Option<u32>>,
    /// URLs in one prefetch, 1 to 50000.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u32>)]
    pushes_per_call: Option<Option<u32>>,
    /// URLs to purge a day, in each area.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u32>)]
    urls_per_day: Option<Option<u32>>,
    /// Directories to purge a day, in each area.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u32>)]
    paths_per_day: Option<Option<u32>>,
    /// URLs to prefetch a day, in each area.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u32>)]
    pushes_per_day: Option<Option<u32>>,
    /// Calls a second and action.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u32>)]
    requests_per_second: Option<Option<u32>>,
    /// Domains that it may have, at most 1000000.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u32>)]
    domains_max: Option<Option<u32>>,
}

/// A new account: what can be said of one, and its number.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct NewAccount {
    /// Its number; absent: the next free one.
    #[serde(default, deserialize_with = "given")]
    uin: Option<u64>,
    #[serde(flatten)]
    fields: AccountFields,
}

/// Written by hand: two schemas that each refuse what they do not know cannot be joined by `allOf`.
impl utoipa::PartialSchema for NewAccount {
    fn schema() -> RefOr<Schema> {
        let mut schema = <AccountFields as utoipa::PartialSchema>::schema();
        if let RefOr::T(Schema::Object(object)) = &mut schema {
            let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
            let number = number.description(Some("Its number; absent: the next free one."));
            object.properties.insert("Uin".to_owned(), number.build().into());
            object.description = Some("A new account.".to_owned());
        }
        schema
    }
}

impl ToSchema for NewAccount {
    fn name() -> std::borrow::Cow<'static, str> {
        "NewAccount".into()
    }

    fn schemas(known: &mut Vec<(String, RefOr<Schema>)>) {
        AccountFields::schemas(known);
    }
}

impl AccountFields {
    fn patch(self) -> AccountPatch {
        let set = |kinds: [(QuotaKind, Option<Option<u32>>); 3]| {
            kinds.into_iter().filter_map(|(kind, value)| Some((kind, value?))).collect()
        };
        let (url, path, push) = (QuotaKind::Url, QuotaKind::Path, QuotaKind::Push);
        AccountPatch {
            name: self.name,
            state: self.state.map(Into::into),
            per_call: set([(url, self.urls_per_call), (path, self.paths_per_call), (push, self.pushes_per_call)]),
            per_day: set([(url, self.urls_per_day), (path, self.paths_per_day), (push, self.pushes_per_day)]),
            requests_per_second: self.requests_per_second,
            domains_max: self.domains_max,
        }
    }
}

fn told(snapshot: &Snapshot, uin: u64) -> Result<Account, Refusal> {
    let id = AccountId(uin);
    let (Some(entry), Some(account)) = (snapshot.accounts.get(&id), snapshot.directory.account(id)) else {
        return Err(Refusal::not_found("account", &uin));
    };
    let record = &entry.record;
    let per_call = |kind: QuotaKind| record.per_call.get(kind.as_str()).copied();
    let per_day = |kind: QuotaKind| record.per_day.get(kind.as_str()).copied();
    Ok(Account {
        uin,
        name: record.name.clone(),
        state: account.state.into(),
        urls_per_call: per_call(QuotaKind::Url),
        paths_per_call: per_call(QuotaKind::Path),
        pushes_per_call: per_call(QuotaKind::Push),
        urls_per_day: per_day(QuotaKind::Url),
        paths_per_day: per_day(QuotaKind::Path),
        pushes_per_day: per_day(QuotaKind::Push),
        requests_per_second: record.requests_per_second,
        domains_max: record.domains_max,
        created_at: rfc3339(record.created_at),
    })
}

/// All accounts, by number.
#[utoipa::path(get, path = "/v1/accounts", tag = "accounts", params(Page),
    responses((status = 200, description = "A part of the list", body = AccountList)))]
pub(super) async fn list(State(desk): State<Shared>, Asked(page): Asked<Page>) -> Answer<AccountList> {
    use std::ops::Bound::{Excluded, Unbounded};
    let snapshot = desk.registry.snapshot();
    let after = AccountId(page.after_number()?);
    let rows = snapshot.accounts.range((Excluded(after), Unbounded)).map(|(id, _)| id.0);
    let (numbers, next) = page.cut(rows, u64::to_string)?;
    let accounts = numbers.into_iter().map(|uin| told(&snapshot, uin)).collect::<Result<_, _>>()?;
    Ok(Told(AccountList { accounts, next }))
}

/// Makes an account.
#[utoipa::path(post, path = "/v1/accounts", tag = "accounts", request_body = NewAccount,
    responses((status = 201, description = "Made", body = Account)))]
pub(super) async fn create(
    State(desk): State<Shared>,
    Fields(new): Fields<NewAccount>,
) -> Result<Changed<Account>, Refusal> {
    let uin = desk.registry.create_account(new.uin, &new.fields.patch()).await?.value.0;
    Ok(Changed::created("account created", &uin, told(&desk.registry.snapshot(), uin)?))
}

/// One account.
#[utoipa::path(get, path = "/v1/accounts/{uin}", tag = "accounts", params(("uin" = u64, Path)),
    responses((status = 200, description = "The account", body = Account)))]
pub(super) async fn show(State(desk): State<Shared>, Segments(uin): Segments<u64>) -> Answer<Account> {
    told(&desk.registry.snapshot(), uin).map(Told)
}

/// Changes an account's name, state or limits.
#[utoipa::path(patch, path = "/v1/accounts/{uin}", tag = "accounts", params(("uin" = u64, Path)),
    request_body = AccountFields, responses((status = 200, description = "Changed", body = Account)))]
pub(super) async fn change(
    State(desk): State<Shared>,
    Segments(uin): Segments<u64>,
    Fields(fields): Fields<AccountFields>,
) -> Result<Changed<Account>, Refusal> {
    desk.registry.change_account(AccountId(uin), &fields.patch()).await?;
    Ok(Changed::now("account changed", &uin, told(&desk.registry.snapshot(), uin)?))
}

/// Deletes an account that has neither users nor domains, with its keys, policies, quotas and webhooks.
#[utoipa::path(delete, path = "/v1/accounts/{uin}", tag = "accounts", params(("uin" = u64, Path)),
    responses((status = 204, description = "Deleted")))]
pub(super) async fn delete(
    State(desk): State<Shared>,
    Segments(uin): Segments<u64>,
    _: NoFields,
) -> Result<Changed<()>, Refusal> {
    desk.registry.delete_account(AccountId(uin)).await?;
    Ok(Changed::done("account deleted", &uin))
}
