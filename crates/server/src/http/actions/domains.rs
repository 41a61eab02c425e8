//! AddCdnDomain, StartCdnDomain, StopCdnDomain, DeleteCdnDomain, DescribeDomains.

use catharsis_core::account::AccountState;
use catharsis_core::domain::{DomainName, DomainStatus};
use catharsis_core::keys::{InvalidParams, KeyRules, ParamNames, PathCase, QueryOrder, QueryRule, SchemeRule};
use catharsis_core::service::Rehearsal;
use catharsis_core::target::HostName;
use catharsis_edge::protocol::{LocalAddress, LocalOrigins};
use catharsis_registry::RegistryError;
use catharsis_registry::change::{NewDomain, Wish};
use catharsis_registry::error::StateProblem;
use catharsis_registry::record::OriginRecord;
use catharsis_registry::snapshot::DomainEntry;
use catharsis_tcapi::cdn::{
    AddCdnDomainRequest, CacheKey, CallOptions, DeleteCdnDomainRequest, DescribeDomainsRequest,
    DescribeDomainsResponse, DomainFilter, DomainFilterName, DryRun, KeySwitch, OriginAddress, OriginHost, QueryAction,
    Request, StartCdnDomainRequest, StopCdnDomainRequest,
};
use catharsis_tcapi::code::{ErrorCode, WireError};
use catharsis_tcapi::params::Params;
use serde::Serialize;
use tracing::info;

use super::super::answers;
use super::super::error::{account_state, first_listed, registry};
use super::purge::would_succeed;
use super::tasks::areas;
use super::{Answer, Checked, Parts, ok};

/// The answer of each change.
#[derive(Serialize)]
struct Changed {}

pub(super) async fn add(parts: &Parts, call: &Checked, params: Params<'_>) -> Answer {
    let request = AddCdnDomainRequest::from_params(params)?;
    may_serve_more(call)?;
    if request.origin.backup.is_some() {
        let text = "Origin.BackupOrigins is not offered: list all origins in Origin.Origins; the next one is tried when one does not answer.";
        let chinese = "暂不支持 Origin.BackupOrigins，请将全部源站写入 Origin.Origins；某个源站无响应时会尝试下一个。";
        return Err(WireError::new(ErrorCode::CdnParamError, text).with_chinese(chinese));
    }
    if parts.local_origins == LocalOrigins::Refuse {
        request.origin.origins.iter().enumerate().try_for_each(|(n, origin)| elsewhere(n, origin))?;
    }
    let name = name(&request.domain)?;
    permitted(call, &name)?;
    let new = NewDomain {
        account: call.caller.account,
        name: name.clone(),
        areas: areas(request.area),
        service_type: request.service_type.as_str().to_owned(),
        project_id: i64::try_from(request.project_id).unwrap_or(i64::MAX),
        origin: Some(OriginRecord {
            origins: request.origin.origins.iter().map(|origin| origin.text.to_string()).collect(),
            origin_type: request.origin.origin_type.as_str().to_owned(),
            server_name: request.origin.server_name.as_deref().map(str::to_owned),
            pull_protocol: request.origin.pull_protocol.as_str().to_owned(),
        }),
        keys: request.cache_key.as_ref().map(key_rules).transpose()?.unwrap_or_default(),
    };
    if request.options.dry_run == DryRun::On {
        let checked = parts.registry.check_domain(&new).map_err(|error| registry(&error, call.action));
        return Err(checked.err().unwrap_or_else(|| rehearsed(parts, &new.areas)));
    }
    parts.registry.create_domain(&new).await.map_err(|error| registry(&error, call.action))?;
    info!(request_id = %call.id, account = %call.caller.account, domain = %name, "domain added");
    ok(call.id, &Changed {})
}

/// The contract's `CacheKey` as rules of ours.
fn key_rules(key: &CacheKey<'_>) -> Result<KeyRules, WireError> {
    let query = &key.query_string;
    let names = || {
        let wrong = |why: InvalidParams| WireError::new(ErrorCode::CdnKeyRulesInvalidQueryStringValue, why.to_string());
        ParamNames::new(query.names()).map_err(wrong)
    };
    let is_on = |switch: KeySwitch| switch == KeySwitch::On;
    Ok(KeyRules {
        query: match (query.switch, query.action, key.full_url_cache) {
            (KeySwitch::On, QueryAction::IncludeAll, _) | (KeySwitch::Off, _, KeySwitch::On) => QueryRule::Keep,
            (KeySwitch::On, QueryAction::ExcludeAll, _) | (KeySwitch::Off, _, KeySwitch::Off) => QueryRule::Drop,
            (KeySwitch::On, QueryAction::IncludeCustom, _) => QueryRule::KeepOnly(names()?),
            (KeySwitch::On, QueryAction::ExcludeCustom, _) => QueryRule::DropNamed(names()?),
        },
        order: if is_on(query.switch) && is_on(query.reorder) { QueryOrder::Sorted } else { QueryOrder::AsSent },
        case: if is_on(key.ignore_case) { PathCase::Insensitive } else { PathCase::Sensitive },
        scheme: if is_on(key.scheme.switch) { SchemeRule::Separate } else { SchemeRule::Shared },
        ..KeyRules::default()
    })
}

/// Refuses an origin that every edge would look for on its own machine or link: what answers there is nobody's
/// to publish. A name that leads there is found out by the edge.
fn elsewhere(n: usize, origin: &OriginAddress<'_>) -> Result<(), WireError> {
    let local = match &origin.host {
        OriginHost::Name(name) => HostName::parse(name).ok().and_then(|name| LocalAddress::of_name(&name)),
        OriginHost::V4(address) => LocalAddress::of((*address).into()),
        OriginHost::V6(address) => LocalAddress::of((*address).into()),
    };
    let Some(local) = local else { return Ok(()) };
    let text = &origin.text;
    let english = format!(
        "The parameter `Origin.Origins.{n}` is `{text}`, a {local} address, which is not the same machine for every edge: give \
         an address on the network."
    );
    let chinese = format!(
        "参数 `Origin.Origins.{n}` 为 `{text}`，属于 {local} 地址，不是各节点都能访问的同一台源站，请填写网络上的地址。"
    );
    Err(WireError::new(ErrorCode::CdnParamError, english).with_chinese(chinese))
}

pub(super) async fn start(parts: &Parts, call: &Checked, params: Params<'_>) -> Answer {
    let request = StartCdnDomainRequest::from_params(params)?;
    may_serve_more(call)?;
    wish(parts, call, &request.domain, Wish::Start, &request.options).await
}

pub(super) async fn stop(parts: &Parts, call: &Checked, params: Params<'_>) -> Answer {
    let request = StopCdnDomainRequest::from_params(params)?;
    wish(parts, call, &request.domain, Wish::Stop, &request.options).await
}

pub(super) async fn delete(parts: &Parts, call: &Checked, params: Params<'_>) -> Answer {
    let request = DeleteCdnDomainRequest::from_params(params)?;
    wish(parts, call, &request.domain, Wish::Delete, &request.options).await
}

/// An isolated account may stop what it has, not begin to serve more: a domain that is added is online.
fn may_serve_more(call: &Checked) -> Result<(), WireError> {
    let account = call.snapshot.directory.account(call.caller.account);
    match account.map(|account| account.state) {
        Some(AccountState::Isolated) => Err(account_state(AccountState::Isolated, call.action)),
        // The other states were looked at before the parameters.
        Some(
            AccountState::Active
            | AccountState::NotActivated
            | AccountState::AuthPending
            | AccountState::AuthFailed
            | AccountState::Suspended
            | AccountState::Migrated
            | AccountState::NotAllowed,
        )
        | None => Ok(()),
    }
}

async fn wish(parts: &Parts, call: &Checked, domain: &str, wish: Wish, options: &CallOptions<'_>) -> Answer {
    let name = name(domain)?;
    let refused = |error: &RegistryError| registry(error, call.action);
    let own = |entry: &&DomainEntry| entry.record.account == call.caller.account.0;
    // Unknown before denied: otherwise a user could ask which domains other accounts have.
    let known = call.snapshot.domains.get(&name.to_string()).filter(own);
    let unknown = RegistryError::NotFound { kind: "domain", id: name.to_string() };
    let known = known.ok_or_else(|| refused(&unknown))?;
    permitted(call, &name)?;
    if parts.distribution.is_pending(known) {
        return Err(refused(&RegistryError::State(StateProblem::InProgress)));
    }
    if options.dry_run == DryRun::On {
        let checked = parts.registry.check_wish(call.caller.account, &name, wish);
        return Err(checked.map_or_else(|error| refused(&error), |()| rehearsed(parts, &known.areas)));
    }
    parts.registry.wish(call.caller.account, &name, wish).await.map_err(|error| refused(&error))?;
    info!(request_id = %call.id, account = %call.caller.account, domain = %name, ?wish, "domain changed");
    ok(call.id, &Changed {})
}

fn rehearsed(parts: &Parts, areas: &catharsis_core::area::AreaSet) -> WireError {
    let nodes = parts.service.nodes().iter().filter(|report| areas.contains(report.node.area)).count();
    would_succeed(&Rehearsal { items: 1, nodes })
}

fn name(text: &str) -> Result<DomainName, WireError> {
    DomainName::parse(text).map_err(|why| {
        WireError::new(ErrorCode::CdnParamError, format!("Domain: {why}.")).with_chinese("Domain：域名不合法。")
    })
}

/// A user needs the permission for the very domain.
fn permitted(call: &Checked, name: &DomainName) -> Result<(), WireError> {
    if call.caller.scope.permits(name) {
        return Ok(());
    }
    let wanted = [ErrorCode::CdnHostUnauthorized, ErrorCode::CdnCamUnauthorized];
    let code = first_listed(call.action, &wanted, ErrorCode::AuthUnauthorizedOperation);
    let text = format!("Domain: the policies of this user do not permit {} on {name}.", call.action.as_str());
    let chinese = format!("Domain：子用户的策略未授权对 {name} 执行 {}。", call.action.as_str());
    Err(WireError::new(code, text).with_chinese(chinese))
}

pub(super) fn describe(parts: &Parts, call: &Checked, params: Params<'_>) -> Answer {
    let Checked { caller, snapshot, .. } = call;
    let request = DescribeDomainsRequest::from_params(params)?;
    let account = caller.account;
    let matching = snapshot
        .domains
        .values()
        .filter(|entry| entry.record.account == account.0 && caller.scope.permits(&entry.name))
        .map(|entry| (entry, shown_status(parts, entry)))
        .filter(|(entry, status)| request.filters.iter().all(|filter| keeps(filter, entry, *status)));
    let mut total_number = 0;
    let mut domains = Vec::new();
    let (from, to) = (u64::from(request.offset), u64::from(request.offset) + u64::from(request.limit));
    for (entry, status) in matching {
        if (from..to).contains(&total_number) {
            domains.push(answers::domain(entry, status));
        }
        total_number += 1;
    }
    ok(call.id, &DescribeDomainsResponse { domains, total_number })
}

/// `processing` until the edges know of the last change.
fn shown_status(parts: &Parts, entry: &DomainEntry) -> DomainStatus {
    let settled = matches!(entry.status, DomainStatus::Online | DomainStatus::Offline);
    if settled && parts.distribution.is_pending(entry) { DomainStatus::Processing } else { entry.status }
}

/// Whether a domain has one of a filter's values.
fn keeps(filter: &DomainFilter<'_>, entry: &DomainEntry, status: DomainStatus) -> bool {
    let any = |has: &dyn Fn(&str) -> bool| filter.values.iter().any(|value| has(value));
    let same = |text: &str| any(&|value| value == text);
    let named = |text: &str| if filter.fuzzy { any(&|value| text.contains(value)) } else { same(text) };
    let origin = entry.record.origin.as_ref();
    match filter.name {
        DomainFilterName::Origin => {
            let host = |text: &str| OriginAddress::parse(text).is_some_and(|it| named(&it.host.to_string()));
            origin.is_some_and(|it| it.origins.iter().any(|address| named(address) || host(address)))
        }
        DomainFilterName::Domain => named(&entry.name.to_string()),
        DomainFilterName::ResourceId => same(&answers::resource_id(entry)),
        DomainFilterName::Status => same(answers::domain_status(status).as_str()),
        DomainFilterName::ServiceType => same(&entry.record.service_type),
        DomainFilterName::ProjectId => same(&entry.record.project_id.to_string()),
        // All origins are the customer's own, TLS ends before the edge, there are no tags.
        DomainFilterName::DomainType => same("cname"),
        DomainFilterName::FullUrlCache => same(if entry.keys.query == QueryRule::Keep { "on" } else { "off" }),
        DomainFilterName::Https => same("off"),
        DomainFilterName::OriginPullProtocol => same(origin.map_or("http", |it| it.pull_protocol.as_str())),
        DomainFilterName::TagKey => false,
    }
}
