//! Daily quotas: what an account may do today, what it has done, and what an operator sets.

use axum::extract::State;
use catharsis_core::area::Area;
use catharsis_core::quota::{QuotaDay, QuotaKind};
use catharsis_core::task::AccountId;
use catharsis_registry::snapshot::QuotaId;
use catharsis_tcapi::time::{format_utc8, parse_utc8, quota_day, quota_day_start};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Answer, Shared};
use crate::admin::answer::{Changed, Told};
use crate::admin::error::Refusal;
use crate::admin::extract::{Fields, Segments};
use crate::admin::words::{KindName, OneAreaName};

/// The quotas of an account.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct QuotaReport {
    /// The day of these numbers, YYYY-MM-DD in UTC+8.
    day: String,
    /// One for each kind and area.
    quotas: Vec<Quota>,
    /// Quotas that are raised for some days, those that are over included.
    raises: Vec<Raise>,
}

/// The quota of one kind in one area.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct Quota {
    kind: KindName,
    area: OneAreaName,
    /// Items in one call.
    batch: u32,
    /// Items today, raises included.
    total: u32,
    /// Items taken today.
    used: u32,
    /// Items left today.
    available: u32,
    /// Items on a day without raises.
    permanent: u32,
}

/// A quota that is raised for some days.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct Raise {
    kind: KindName,
    area: OneAreaName,
    total: u32,
    /// First day, YYYY-MM-DD in UTC+8.
    from: String,
    /// Last day.
    to: String,
}

/// A quota that was set.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SetQuota {
    kind: KindName,
    area: OneAreaName,
    total: u32,
    /// First day; absent: permanent.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// Last day.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
}

/// What is to be set.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct QuotaFields {
    kind: KindName,
    area: OneAreaName,
    /// Items a day, at most 4000000000.
    total: u32,
    /// First day, YYYY-MM-DD in UTC+8. Without both days it is permanent.
    from: Option<String>,
    /// Last day, at most 89 days later.
    to: Option<String>,
}

/// What is to be taken back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct QuotaWhich {
    kind: KindName,
    area: OneAreaName,
    /// First day of a raise. Without both days the permanent quota is meant.
    from: Option<String>,
    /// Last day of a raise.
    to: Option<String>,
}

fn date(day: QuotaDay) -> String {
    let mut text = format_utc8(quota_day_start(day.0.into()));
    text.truncate("YYYY-MM-DD".len());
    text
}

fn day(field: &str, text: &str) -> Result<QuotaDay, Refusal> {
    let wrong = || Refusal::invalid(field, "it must be a day such as 2026-01-31");
    let start = parse_utc8(&format!("{text} 00:00:00")).map_err(|_| wrong())?;
    u32::try_from(quota_day(start)).map(QuotaDay).map_err(|_| wrong())
}

fn days(from: Option<&str>, to: Option<&str>) -> Result<Option<(QuotaDay, QuotaDay)>, Refusal> {
    match (from, to) {
        (None, None) => Ok(None),
        (Some(from), Some(to)) => Ok(Some((day("From", from)?, day("To", to)?))),
        (Some(_), None) | (None, Some(_)) => Err(Refusal::invalid("From", "write From and To, or neither")),
    }
}

fn named(id: QuotaId, days: Option<(QuotaDay, QuotaDay)>) -> String {
    let QuotaId { account, kind, area } = id;
    let when = days.map_or_else(|| "for good".to_owned(), |(from, to)| format!("from {} to {}", date(from), date(to)));
    format!("{} in {area} of {account} {when}", kind.as_str())
}

/// The quotas of an account, and what it has used today.
#[utoipa::path(get, path = "/v1/accounts/{uin}/quota", tag = "quotas", params(("uin" = u64, Path)),
    responses((status = 200, description = "Today's quotas", body = QuotaReport)))]
pub(super) async fn show(State(desk): State<Shared>, Segments(uin): Segments<u64>) -> Answer<QuotaReport> {
    let snapshot = desk.registry.snapshot();
    let account = snapshot.directory.account(AccountId(uin)).ok_or_else(|| Refusal::not_found("account", &uin))?;
    let limits = &account.limits;
    let today = QuotaDay::of(desk.clock.wall());
    let taken = desk.store.quota_used(AccountId(uin), today).await?;
    let one = |kind: QuotaKind, area: Area| {
        let (total, used) = (*limits.on(kind, today).get(area), *taken.get(kind).get(area));
        Quota {
            kind: kind.into(),
            area: area.into(),
            batch: *limits.per_call.get(kind),
            total,
            used,
            available: total.saturating_sub(used),
            permanent: *limits.per_day.get(kind).get(area),
        }
    };
    let quotas = QuotaKind::ALL.into_iter().flat_map(|kind| Area::ALL.map(|area| one(kind, area))).collect();
    let raises = limits.raises.iter().map(|raise| Raise {
        kind: raise.kind.into(),
        area: raise.area.into(),
        total: raise.total,
        from: date(raise.from),
        to: date(raise.to),
    });
    Ok(Told(QuotaReport { day: date(today), quotas, raises: raises.collect() }))
}

/// Sets a quota for good, or raises it for some days.
#[utoipa::path(put, path = "/v1/accounts/{uin}/quota", tag = "quotas", params(("uin" = u64, Path)),
    request_body = QuotaFields, responses((status = 200, description = "Set", body = SetQuota)))]
pub(super) async fn set(
    State(desk): State<Shared>,
    Segments(uin): Segments<u64>,
    Fields(fields): Fields<QuotaFields>,
) -> Result<Changed<SetQuota>, Refusal> {
    let QuotaFields { kind, area, total, from, to } = fields;
    let id = QuotaId { account: AccountId(uin), kind: kind.into(), area: area.into() };
    let days = days(from.as_deref(), to.as_deref())?;
    desk.registry.set_quota(id, total, days).await?;
    let object = format!("{} to {total}", named(id, days));
    let (from, to) = days.map(|(from, to)| (date(from), date(to))).unzip();
    Ok(Changed::now("quota set", &object, SetQuota { kind, area, total, from, to }))
}

/// Takes back what was set.
#[utoipa::path(delete, path = "/v1/accounts/{uin}/quota", tag = "quotas", params(("uin" = u64, Path)),
    request_body = QuotaWhich, responses((status = 204, description = "Taken back")))]
pub(super) async fn unset(
    State(desk): State<Shared>,
    Segments(uin): Segments<u64>,
    Fields(which): Fields<QuotaWhich>,
) -> Result<Changed<()>, Refusal> {
    let id = QuotaId { account: AccountId(uin), kind: which.kind.into(), area: which.area.into() };
    let days = days(which.from.as_deref(), which.to.as_deref())?;
    desk.registry.unset_quota(id, days).await?;
    Ok(Changed::done("quota taken back", &named(id, days)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_utc8_and_read_back() {
        let today = day("From", "2026-11-24").expect("a day");
        assert_eq!(date(today), "2026-11-24");
        assert_eq!(day("From", "2026-11-25").expect("a day").0, today.0 + 1);
        for wrong in ["", "2026-11-31", "2026-1-1", "2026-11-24 00", "1969-12-31", "2026-11-24T00"] {
            assert!(day("From", wrong).is_err(), "{wrong}");
        }
    }
}
