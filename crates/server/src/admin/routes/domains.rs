//! Acceleration domains of any account.

use std::ops::Bound::{Excluded, Unbounded};

use axum::extract::State;
use catharsis_core::domain::{DomainName, DomainStatus};
use catharsis_core::keys::KeyRules;
use catharsis_core::target::HostName;
use catharsis_core::task::AccountId;
use catharsis_registry::change::NewDomain;
use catharsis_registry::record::OriginRecord;
use catharsis_registry::snapshot::{DomainEntry, Snapshot};
use catharsis_tcapi::cdn::{OriginAddress, OriginHost, OriginType, PullProtocol, ServiceType};
use catharsis_tcapi::limits::MAX_ORIGINS;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Answer, Shared, known_account};
use crate::admin::answer::{Changed, Told, rfc3339};
use crate::admin::error::Refusal;
use crate::admin::extract::{Asked, Fields, NoFields, Page, Segments};
use crate::admin::words::{AreasName, StatusName};

/// An acceleration domain.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Domain {
    /// A host name, or `*.` and a host name.
    name: String,
    /// The root account's number.
    account: u64,
    area: AreasName,
    status: StatusName,
    /// The contract's word.
    service_type: String,
    /// The contract's number.
    project_id: i64,
    /// Where edges fetch it. Absent with the three below: as their own configuration says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    origins: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    origin_type: Option<String>,
    /// The `Host` that is sent to the origin; absent: that of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    server_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pull_protocol: Option<String>,
    /// What its caches take for the same resource, such as `query=drop case=folded`, or `default`.
    key_rules: String,
    /// RFC 3339, UTC.
    created_at: String,
    /// RFC 3339, UTC.
    updated_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DomainList {
    domains: Vec<Domain>,
    /// Absent at the end; else what to send as `after` for what follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Which domains.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Only those of this account.
    account: Option<u64>,
    /// Only those behind this name: `Next` of the part before.
    after: Option<String>,
    /// Rows of this part, 1 to 1000 (default).
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// A new domain.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DomainFields {
    /// A host name, or `*.` and a host name for all hosts below it; at most 81 characters.
    name: String,
    area: AreasName,
    /// `web` (default), `download`, `media`, `hybrid` or `dynamic`.
    #[schema(value_type = Option<String>)]
    service_type: Option<ServiceType>,
    /// Each `host[:port[:weight]]`, the weight from 1 to 100; 1 to 64 of them. Absent: edges fetch it as their own
    /// configuration says.
    origins: Option<Vec<String>>,
    /// The contract's word for the kinds of address, such as `domain` or `ip_domain`; absent: that of `Origins`.
    #[schema(value_type = Option<String>)]
    origin_type: Option<OriginType>,
    /// The `Host` that is sent to the origin; absent: that of the request.
    server_name: Option<String>,
    /// `http` (default), `https` or `follow` (as the client asked).
    #[schema(value_type = Option<String>)]
    pull_protocol: Option<PullProtocol>,
    /// What its caches take for the same resource: words with blanks between them, `query=keep`, `query=drop`,
    /// `query=only:NAME,...` or `query=without:NAME,...`; `order=sent` or `sorted`; `case=sensitive` or `folded`;
    /// `scheme=shared` or `separate`; `port=separate` or `shared`. The first of each is the default.
    key_rules: Option<String>,
}

/// What is to be set: at least one of them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DomainPatch {
    status: Option<StatusName>,
    /// As when it is made. What edges hold of the domain is used no more after a change.
    key_rules: Option<String>,
}

fn key_rules(text: Option<&str>) -> Result<Option<KeyRules>, Refusal> {
    text.map(KeyRules::parse).transpose().map_err(|why| Refusal::invalid("KeyRules", why))
}

impl DomainFields {
    fn domain(self, account: u64) -> Result<NewDomain, Refusal> {
        Ok(NewDomain {
            account: AccountId(account),
            name: DomainName::parse(&self.name).map_err(|why| Refusal::invalid("Name", why))?,
            areas: self.area.into(),
            service_type: self.service_type.unwrap_or(ServiceType::Web).as_str().to_owned(),
            project_id: 0,
            keys: key_rules(self.key_rules.as_deref())?.unwrap_or_default(),
            origin: self.origin()?,
        })
    }

    fn origin(self) -> Result<Option<OriginRecord>, Refusal> {
        let Some(origins) = self.origins else {
            return match (self.origin_type, self.server_name, self.pull_protocol) {
                (None, None, None) => Ok(None),
                _ => Err(Refusal::invalid("Origins", "the other fields of an origin need it")),
            };
        };
        if !(1..=MAX_ORIGINS).contains(&origins.len()) {
            return Err(Refusal::invalid("Origins", format!("it must have 1 to {MAX_ORIGINS} addresses")));
        }
        let mut kinds = Vec::new();
        for (index, text) in origins.iter().enumerate() {
            let wrong = || Refusal::invalid(&format!("Origins.{index}"), "it must be host[:port[:weight]]");
            kinds.push(kind_of(text).ok_or_else(wrong)?);
        }
        let origin_type = match self.origin_type {
            Some(given) => Some(given).filter(|given| kinds.iter().all(|kind| allows(*given, kind))),
            None => type_of(&kinds),
        };
        let wrong = || Refusal::invalid("OriginType", "it has no place for some of the Origins");
        let origin_type = origin_type.ok_or_else(wrong)?.as_str().to_owned();
        if let Some(name) = &self.server_name {
            HostName::parse(name).map_err(|why| Refusal::invalid("ServerName", why))?;
        }
        let pull_protocol = self.pull_protocol.unwrap_or(PullProtocol::Http).as_str().to_owned();
        Ok(Some(OriginRecord { origins, origin_type, server_name: self.server_name, pull_protocol }))
    }
}

/// The kind of an address, by its part of an [`OriginType`]'s name; `None` for a text that is no address.
fn kind_of(text: &str) -> Option<&'static str> {
    Some(match OriginAddress::parse(text)?.host {
        OriginHost::V4(_) => "ip",
        OriginHost::V6(_) => "ipv6",
        OriginHost::Name(_) => "domain",
    })
}

/// Whether a type of origin has a place for a kind of address; `domainv6` is names too.
fn allows(origin_type: OriginType, kind: &str) -> bool {
    origin_type.as_str().split('_').any(|part| part == kind || (part == "domainv6" && kind == "domain"))
}

/// The type that names these kinds and no others.
fn type_of(kinds: &[&str]) -> Option<OriginType> {
    let fits = |it: &&OriginType| {
        let parts: Vec<&str> = it.as_str().split('_').collect();
        parts.iter().all(|part| kinds.contains(part)) && kinds.iter().all(|kind| parts.contains(kind))
    };
    OriginType::ALL.iter().find(fits).copied()
}

fn told(snapshot: &Snapshot, name: &DomainName) -> Result<Domain, Refusal> {
    let name = name.to_string();
    let entry = snapshot.domains.get(&name).ok_or_else(|| Refusal::not_found("domain", &name))?;
    Ok(row(entry))
}

fn row(entry: &DomainEntry) -> Domain {
    let record = &entry.record;
    let origin = record.origin.as_ref();
    Domain {
        name: entry.name.to_string(),
        account: record.account,
        area: entry.areas.into(),
        status: entry.status.into(),
        service_type: record.service_type.clone(),
        project_id: record.project_id,
        origins: origin.map(|it| it.origins.clone()),
        origin_type: origin.map(|it| it.origin_type.clone()),
        server_name: origin.and_then(|it| it.server_name.clone()),
        pull_protocol: origin.map(|it| it.pull_protocol.clone()),
        key_rules: entry.keys.to_string(),
        created_at: rfc3339(record.created_at),
        updated_at: rfc3339(record.updated_at),
    }
}

fn parsed(name: &str) -> Result<DomainName, Refusal> {
    DomainName::parse(name).map_err(|_| Refusal::not_found("domain", &name))
}

/// All domains or those of an account, by name.
#[utoipa::path(get, path = "/v1/domains", tag = "domains", params(Which),
    responses((status = 200, description = "A part of the list", body = DomainList)))]
pub(super) async fn list(State(desk): State<Shared>, Asked(which): Asked<Which>) -> Answer<DomainList> {
    let snapshot = desk.registry.snapshot();
    let account = which.account.map(|uin| known_account(&snapshot, uin)).transpose()?;
    let page = Page { after: which.after, limit: which.limit };
    let from = page.after.clone().unwrap_or_default();
    let rows = snapshot.domains.range::<str, _>((Excluded(from.as_str()), Unbounded)).map(|(_, entry)| entry);
    let rows = rows.filter(|entry| account.is_none_or(|account| entry.record.account == account.0));
    let (domains, next) = page.cut(rows, |entry| entry.name.to_string())?;
    Ok(Told(DomainList { domains: domains.into_iter().map(row).collect(), next }))
}

/// One domain.
#[utoipa::path(get, path = "/v1/domains/{name}", tag = "domains", params(("name" = String, Path)),
    responses((status = 200, description = "The domain", body = Domain)))]
pub(super) async fn show(State(desk): State<Shared>, Segments(name): Segments<String>) -> Answer<Domain> {
    told(&desk.registry.snapshot(), &parsed(&name)?).map(Told)
}

/// Makes a domain, online.
#[utoipa::path(post, path = "/v1/accounts/{uin}/domains", tag = "domains", params(("uin" = u64, Path)),
    request_body = DomainFields, responses((status = 201, description = "Made", body = Domain)))]
pub(super) async fn create(
    State(desk): State<Shared>,
    Segments(account): Segments<u64>,
    Fields(fields): Fields<DomainFields>,
) -> Result<Changed<Domain>, Refusal> {
    let new = fields.domain(account)?;
    desk.registry.create_domain(&new).await?;
    let now = told(&desk.registry.snapshot(), &new.name)?;
    Ok(Changed::created("domain created", &format!("{} of {account}", new.name), now))
}

/// Sets the status of a domain, whatever it was, or its key rules.
#[utoipa::path(patch, path = "/v1/domains/{name}", tag = "domains", params(("name" = String, Path)),
    request_body = DomainPatch, responses((status = 200, description = "Changed", body = Domain)))]
pub(super) async fn change(
    State(desk): State<Shared>,
    Segments(name): Segments<String>,
    Fields(patch): Fields<DomainPatch>,
) -> Result<Changed<Domain>, Refusal> {
    let name = parsed(&name)?;
    let rules = key_rules(patch.key_rules.as_deref())?;
    let status: Option<DomainStatus> = patch.status.map(Into::into);
    if status.is_none() && rules.is_none() {
        return Err(Refusal::invalid("Status", "give Status, KeyRules or both"));
    }
    if let Some(rules) = &rules {
        desk.registry.set_domain_keys(&name, rules).await?;
    }
    if let Some(status) = status {
        desk.registry.set_domain_status(&name, status).await?;
    }
    let now = told(&desk.registry.snapshot(), &name)?;
    let set = [status.map(|it| format!("to {}", it.as_str())), rules.map(|it| format!("key rules {it}"))];
    let what = format!("{name} {}", set.into_iter().flatten().collect::<Vec<_>>().join(", "));
    Ok(Changed::now("domain changed", &what, now))
}

/// Deletes a domain, whatever its status.
#[utoipa::path(delete, path = "/v1/domains/{name}", tag = "domains", params(("name" = String, Path)),
    responses((status = 204, description = "Deleted")))]
pub(super) async fn delete(
    State(desk): State<Shared>,
    Segments(name): Segments<String>,
    _: NoFields,
) -> Result<Changed<()>, Refusal> {
    let name = parsed(&name)?;
    desk.registry.delete_domain(&name).await?;
    Ok(Changed::done("domain deleted", &name))
}
