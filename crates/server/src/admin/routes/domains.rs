//! Acceleration domains of any account.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Bound::{Excluded, Unbounded};

use axum::extract::State;
use catharsis_core::domain::DomainName;
use catharsis_core::target::HostName;
use catharsis_core::task::AccountId;
use catharsis_registry::change::NewDomain;
use catharsis_registry::record::OriginRecord;
use catharsis_registry::snapshot::DomainEntry;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Answer, Shared, known_account};
use crate::admin::answer::{Changed, Told, rfc3339};
use crate::admin::error::Refusal;
use crate::admin::extract::{Asked, Fields, NoFields, Page, Segments};
use crate::admin::words::{AreasName, StatusName};

/// Addresses of one origin; the contract's number.
const ORIGINS_MAX: usize = 64;

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
    /// Where edges fetch it; absent: as their own configuration says.
    #[serde(flatten)]
    origin: Option<Origin>,
    /// RFC 3339, UTC.
    created_at: String,
    /// RFC 3339, UTC.
    updated_at: String,
}

/// Where a domain is fetched.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct Origin {
    origins: Vec<String>,
    origin_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_name: Option<String>,
    pull_protocol: String,
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
    /// Default `web`.
    service_type: Option<ServiceName>,
    /// Each `host[:port[:weight]]`, the weight from 1 to 100; 1 to 64 of them. Absent: edges fetch it as their own
    /// configuration says.
    origins: Option<Vec<String>>,
    /// The contract's word for the kinds of address; absent: that of `Origins`.
    origin_type: Option<String>,
    /// The `Host` that is sent to the origin; absent: that of the request.
    server_name: Option<String>,
    /// Default `http`.
    pull_protocol: Option<ProtocolName>,
}

/// What a domain serves, by the contract's words.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ServiceName {
    Web,
    Download,
    Media,
    Hybrid,
    Dynamic,
}

/// How an origin is asked.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ProtocolName {
    /// HTTP always.
    Http,
    /// HTTPS always.
    Https,
    /// As the client asked.
    Follow,
}

/// What is to be set.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct SetStatus {
    status: StatusName,
}

impl ServiceName {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Download => "download",
            Self::Media => "media",
            Self::Hybrid => "hybrid",
            Self::Dynamic => "dynamic",
        }
    }
}

impl ProtocolName {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Follow => "follow",
        }
    }
}

impl DomainFields {
    fn domain(self, account: u64) -> Result<NewDomain, Refusal> {
        Ok(NewDomain {
            account: AccountId(account),
            name: DomainName::parse(&self.name).map_err(|why| Refusal::invalid("Name", why))?,
            areas: self.area.into(),
            service_type: self.service_type.unwrap_or(ServiceName::Web).as_str().to_owned(),
            project_id: 0,
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
        if !(1..=ORIGINS_MAX).contains(&origins.len()) {
            return Err(Refusal::invalid("Origins", format!("it must have 1 to {ORIGINS_MAX} addresses")));
        }
        let mut kinds = [false; KINDS.len()];
        for (index, text) in origins.iter().enumerate() {
            let kind = kind_of(text).ok_or_else(|| {
                Refusal::invalid(&format!("Origins.{index}"), "it must be host[:port[:weight]], IPv6 in brackets")
            })?;
            kinds[kind as usize] = true;
        }
        if let Some(name) = &self.server_name {
            HostName::parse(name).map_err(|why| Refusal::invalid("ServerName", why))?;
        }
        let there = KINDS.iter().zip(kinds).filter(|(_, there)| *there).map(|(name, _)| *name);
        let there: Vec<&str> = there.collect();
        Ok(Some(OriginRecord {
            origin_type: origin_type(self.origin_type, &there)?,
            origins,
            server_name: self.server_name,
            pull_protocol: self.pull_protocol.unwrap_or(ProtocolName::Http).as_str().to_owned(),
        }))
    }
}

/// The kinds of address, in the contract's order within an `OriginType`.
const KINDS: [&str; 3] = ["ip", "ipv6", "domain"];

#[derive(Clone, Copy)]
enum AddressKind {
    V4,
    V6,
    Name,
}

/// The kind of an address; `None` for a text that is none.
fn kind_of(text: &str) -> Option<AddressKind> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Some(AddressKind::V6);
    }
    let (host, rest) = match text.strip_prefix('[') {
        Some(inner) => inner.split_once(']')?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let mut numbers = rest.split(':');
    let bounded = |number: Option<&str>, most: u16| match number {
        None => true,
        Some(digits) => {
            digits.bytes().all(|byte| byte.is_ascii_digit())
                && digits.parse().is_ok_and(|it: u16| (1..=most).contains(&it))
        }
    };
    // What stands before the first colon is nothing.
    let fits = numbers.next() == Some("")
        && bounded(numbers.next(), u16::MAX)
        && bounded(numbers.next(), 100)
        && numbers.next().is_none();
    let kind = match (text.starts_with('['), host.parse::<IpAddr>()) {
        (true, Ok(IpAddr::V6(_))) => AddressKind::V6,
        (true, _) => return None,
        (false, Ok(IpAddr::V4(_))) => AddressKind::V4,
        (false, _) if host.parse::<Ipv4Addr>().is_err() && HostName::parse(host).is_ok() => AddressKind::Name,
        (false, _) => return None,
    };
    fits.then_some(kind)
}

/// The contract's word for these kinds; a word that is given must name them all.
fn origin_type(given: Option<String>, there: &[&str]) -> Result<String, Refusal> {
    const WORDS: [&str; 4] = ["ip", "ipv6", "domain", "domainv6"];
    let Some(given) = given else { return Ok(there.join("_")) };
    let parts: Vec<&str> = given.split('_').collect();
    // Each kind once and in this order, as the contract writes its mixtures.
    let places: Vec<_> = parts.iter().map(|part| WORDS.iter().position(|word| word == part)).collect();
    let is_word = places.iter().all(Option::is_some) && places.is_sorted_by(|one, next| one < next);
    let names = |kind: &&str| parts.contains(kind) || (*kind == "domain" && parts.contains(&"domainv6"));
    if !is_word {
        return Err(Refusal::invalid(
            "OriginType",
            "it must be of ip, ipv6, domain and domainv6, joined by `_` in this order",
        ));
    }
    match there.iter().find(|kind| !names(kind)) {
        Some(kind) => {
            Err(Refusal::invalid("OriginType", format!("it does not name `{kind}`, of which there is an address")))
        }
        None => Ok(given),
    }
}

fn told(entry: &DomainEntry) -> Domain {
    let record = &entry.record;
    let origin = record.origin.clone().map(|origin| Origin {
        origins: origin.origins,
        origin_type: origin.origin_type,
        server_name: origin.server_name,
        pull_protocol: origin.pull_protocol,
    });
    Domain {
        name: entry.name.to_string(),
        account: record.account,
        area: entry.areas.into(),
        status: entry.status.into(),
        service_type: record.service_type.clone(),
        project_id: record.project_id,
        origin,
        created_at: rfc3339(record.created_at),
        updated_at: rfc3339(record.updated_at),
    }
}

fn parsed(name: &str) -> Result<DomainName, Refusal> {
    DomainName::parse(name).map_err(|_| Refusal::not_found("domain", name))
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
    Ok(Told(DomainList { domains: domains.into_iter().map(told).collect(), next }))
}

/// One domain.
#[utoipa::path(get, path = "/v1/domains/{name}", tag = "domains", params(("name" = String, Path)),
    responses((status = 200, description = "The domain", body = Domain)))]
pub(super) async fn show(State(desk): State<Shared>, Segments(name): Segments<String>) -> Answer<Domain> {
    let name = parsed(&name)?.to_string();
    let snapshot = desk.registry.snapshot();
    let entry = snapshot.domains.get(&name).ok_or_else(|| Refusal::not_found("domain", name))?;
    Ok(Told(told(entry)))
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
    let name = new.name.to_string();
    let snapshot = desk.registry.snapshot();
    let entry = snapshot.domains.get(&name).ok_or_else(|| Refusal::not_found("domain", &name))?;
    Ok(Changed::created("domain created", format!("{name} of {account}"), told(entry)))
}

/// Sets the status of a domain, whatever it was.
#[utoipa::path(patch, path = "/v1/domains/{name}", tag = "domains", params(("name" = String, Path)),
    request_body = SetStatus, responses((status = 200, description = "Changed", body = Domain)))]
pub(super) async fn set_status(
    State(desk): State<Shared>,
    Segments(name): Segments<String>,
    Fields(set): Fields<SetStatus>,
) -> Result<Changed<Domain>, Refusal> {
    let name = parsed(&name)?;
    let status = set.status.into();
    desk.registry.set_domain_status(&name, status).await?;
    let name = name.to_string();
    let snapshot = desk.registry.snapshot();
    let entry = snapshot.domains.get(&name).ok_or_else(|| Refusal::not_found("domain", &name))?;
    Ok(Changed::now("domain status set", format!("{name} to {}", status.as_str()), told(entry)))
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
    Ok(Changed::done("domain deleted", name))
}
