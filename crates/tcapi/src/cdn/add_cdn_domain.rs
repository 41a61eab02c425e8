//! AddCdnDomain: take a domain into service. Whether it is free and how many there may be is not decided here.
//!
//! Invariant: a configuration that this request does not carry is one that changes nothing; see [`super::ADD_DOMAIN_PARAMETERS`].

use std::borrow::Cow;

use serde::Serialize;

use super::add_domain_parameters::{names, take};
use super::cache_key::RawCacheKey;
use super::options::{DOMAIN_OPTIONS, RawOptions};
use super::origin::{RawOrigin, is_domain};
use super::{Action, CacheKey, CallOptions, OriginConfig, Request, ServiceType, TaskArea, param_error, word};
use crate::code::{ErrorCode, WireError};
use crate::limits::MAX_DOMAIN;
use crate::params::Params;
use crate::text::shown;

/// The 62 codes that the vendor's SDK lists for the action, as far as they are known here: 58 of a stored edition and the 4 that were
/// added since (EdgeOne, DDoS risk, upgraded, migrating); the newest edition counts 63.
pub(super) const CODES: &[ErrorCode] = &[
    ErrorCode::FailedCdnConfigError,
    ErrorCode::CdnConfigError,
    ErrorCode::CdnDbError,
    ErrorCode::CdnSystemError,
    ErrorCode::ProxyServer,
    ErrorCode::CamResourceBelongToDifferentUser,
    ErrorCode::CamResourceSixStageError,
    ErrorCode::CamTagKeyAlreadyAttached,
    ErrorCode::CamTagKeyIllegal,
    ErrorCode::CamTagKeyNotExist,
    ErrorCode::CamTagValueIllegal,
    ErrorCode::CdnCertInfoNotFound,
    ErrorCode::CdnConfigInvalidHost,
    ErrorCode::CdnConfigInvalidTag,
    ErrorCode::CdnConfigTagRequired,
    ErrorCode::CdnHostExistsInEdgeOne,
    ErrorCode::CdnHostInternalHost,
    ErrorCode::CdnHostIsCosDefaultAccess,
    ErrorCode::CdnHostTooLongHost,
    ErrorCode::CdnInterfaceError,
    ErrorCode::CdnKeyRulesInvalidQueryStringValue,
    ErrorCode::CdnParamError,
    ErrorCode::CdnStatTooManyDomains,
    ErrorCode::CamResourceArrayTooLong,
    ErrorCode::CamResourceTooManyTagKey,
    ErrorCode::CamTagKeyTooLong,
    ErrorCode::CamTagKeyTooManyTagValue,
    ErrorCode::CamTagQuotaExceedLimit,
    ErrorCode::CamUserTooManyTagKey,
    ErrorCode::CdnConfigTooManyCacheRules,
    ErrorCode::CdnHostOpTooOften,
    ErrorCode::CdnUserTooManyHosts,
    ErrorCode::CdnHostHasDDosRisk,
    ErrorCode::ProductUpgraded,
    ErrorCode::UserMigrating,
    ErrorCode::CdnConflictHostExists,
    ErrorCode::CdnHostExists,
    ErrorCode::CdnOpInProgress,
    ErrorCode::CamTagKeyNotFound,
    ErrorCode::CdnHostNotExists,
    ErrorCode::CdnUserNotExists,
    ErrorCode::CdnHostExistsInDsa,
    ErrorCode::CdnHostExistsInTcb,
    ErrorCode::CdnHostIsMalicious,
    ErrorCode::CdnHostNoIcp,
    ErrorCode::HostExistInVod,
    ErrorCode::CdnCamUnauthorized,
    ErrorCode::CdnDomainRecordNotVerified,
    ErrorCode::CdnHostExistsInInternal,
    ErrorCode::CdnHostInIcpBlacklist,
    ErrorCode::CdnHostIsOwnedByOther,
    ErrorCode::CdnHostIsUsedByOther,
    ErrorCode::CdnHostUnauthorized,
    ErrorCode::CdnTagUnauthorized,
    ErrorCode::CdnUserAuthFail,
    ErrorCode::CdnUserAuthWait,
    ErrorCode::CdnUserIsIsolated,
    ErrorCode::CdnUserIsSuspended,
    ErrorCode::CdnUserNoWhitelist,
    ErrorCode::OpNoAuth,
    ErrorCode::OperationTooOften,
    ErrorCode::UnsupportedOpNoAuth,
];

/// The request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AddCdnDomainRequest<'a> {
    /// The domain as written, at most 81 characters, perhaps a wildcard (`*.example.com`).
    pub domain: Cow<'a, str>,
    /// Kept and shown.
    pub service_type: ServiceType,
    /// Where its content comes from.
    pub origin: OriginConfig<'a>,
    /// Kept and shown; 0 when absent.
    pub project_id: u64,
    /// Where it is served; `mainland` when absent.
    pub area: TaskArea,
    /// Which URLs its caches take for the same one; `None`: those that are equal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_key: Option<CacheKey<'a>>,
    /// Beyond the contract; only `DryRun`.
    #[serde(flatten)]
    pub options: CallOptions<'a>,
}

impl<'a> Request<'a> for AddCdnDomainRequest<'a> {
    const ACTION: Action = Action::AddCdnDomain;

    fn from_params(mut params: Params<'a>) -> Result<Self, WireError> {
        params.only(&names("").chain(DOMAIN_OPTIONS).collect::<Vec<_>>())?;
        for name in ["Domain", "ServiceType", "Origin"] {
            params.require(name)?;
        }
        let domain = params.required_text("Domain")?;
        let service_type = params.required_text("ServiceType")?;
        let mut origin = params.required_object("Origin")?;
        origin.only(&names("Origin.").collect::<Vec<_>>())?;
        let cache_key = params.object("CacheKey")?.map(|mut key| RawCacheKey::take(&mut key)).transpose()?;
        let (project_id, area) = (params.int("ProjectId")?, params.text("Area")?);
        let options = RawOptions::take(&mut params)?;
        let mut unacted = take(&mut origin, "Origin.")?;
        unacted.extend(take(&mut params, "")?);
        let origin = RawOrigin::take(&mut origin)?;
        check_domain(&domain)?;
        unacted.iter().try_for_each(|parameter| parameter.check())?;
        Ok(Self {
            domain,
            service_type: word("ServiceType", &service_type)?,
            origin: origin.check()?,
            project_id: self::project_id(project_id.unwrap_or(0))?,
            area: area.map_or(Ok(TaskArea::Mainland), |text| word("Area", &text))?,
            cache_key: cache_key.map(RawCacheKey::check).transpose()?,
            options: options.check()?,
        })
    }
}

fn check_domain(domain: &str) -> Result<(), WireError> {
    if domain.chars().count() > MAX_DOMAIN {
        let text = format!("The parameter `Domain` must have at most {MAX_DOMAIN} characters.");
        let chinese = format!("参数 `Domain` 最多 {MAX_DOMAIN} 个字符。");
        return Err(WireError::new(ErrorCode::CdnHostTooLongHost, text).with_chinese(chinese));
    }
    if is_domain(domain) {
        return Ok(());
    }
    let domain = shown(domain);
    let text = format!(
        "The parameter `Domain` must be a domain in ASCII, perhaps a wildcard like `*.example.com`, and is `{domain}`."
    );
    let chinese = format!("参数 `Domain` 必须是 ASCII 形式的域名，或形如 `*.example.com` 的泛域名，现为 `{domain}`。");
    Err(WireError::new(ErrorCode::CdnConfigInvalidHost, text).with_chinese(chinese))
}

fn project_id(value: i64) -> Result<u64, WireError> {
    u64::try_from(value).map_err(|_| {
        param_error("ProjectId", &format!("must not be negative, and is {value}"), &format!("不能为负数，现为 {value}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cdn::{ADD_DOMAIN_PARAMETERS, PullProtocol, Treatment};
    use crate::language::Language;
    use serde_json::{Value, json};

    fn plain() -> Value {
        json!({"Domain": "www.a.example", "ServiceType": "web", "Origin": {"Origins": ["o.example"], "OriginType": "domain"}})
    }

    fn with(path: &str, value: &Value) -> Value {
        let mut request = plain();
        match path.split_once('.') {
            Some((object, member)) => request[object][member] = value.clone(),
            None => request[path] = value.clone(),
        }
        request
    }

    fn refusal(request: &Value) -> Option<WireError> {
        let text = request.to_string();
        let params = Params::from_json(text.as_bytes()).expect("valid JSON");
        AddCdnDomainRequest::from_params(params).map(drop).err()
    }

    #[test]
    fn the_shortest_request_has_the_documented_defaults() {
        let text = plain().to_string();
        let request = AddCdnDomainRequest::from_params(Params::from_json(text.as_bytes()).expect("valid JSON"));
        let request = request.expect("a valid request");
        assert_eq!((request.area, request.project_id), (TaskArea::Mainland, 0));
        assert_eq!((request.origin.pull_protocol, request.origin.server_name), (PullProtocol::Http, None));
    }

    #[test]
    fn what_is_switched_off_is_accepted_and_what_is_on_is_refused_by_name() {
        let (off, on) = (json!({"Switch": "off", "SecretKey": "x"}), json!({"Switch": "on"}));
        let mut seen = 0;
        for parameter in ADD_DOMAIN_PARAMETERS {
            let (good, bad) = match parameter.treatment {
                Treatment::OffOnly(_) => (&off, &on),
                Treatment::OnOnly(_) => (&on, &off),
                Treatment::ActedOn | Treatment::Harmless(_) | Treatment::DefaultOnly(_) | Treatment::Refused(_) => {
                    continue;
                }
            };
            seen += 1;
            assert_eq!(refusal(&with(parameter.name, good)), None, "{}", parameter.name);
            assert_eq!(refusal(&with(parameter.name, &Value::Null)), None, "{}", parameter.name);
            let error = refusal(&with(parameter.name, bad)).expect(parameter.name);
            assert_eq!(error.code, ErrorCode::CdnParamError);
            for language in [Language::English, Language::Chinese] {
                assert!(error.message(language).contains(&format!("`{}`", parameter.name)), "{error}");
            }
        }
        assert_eq!(seen, 27);
    }

    #[test]
    fn what_is_harmless_is_accepted_and_what_is_not_offered_is_refused_unless_empty() {
        for (name, value) in [
            ("Tag", json!([{"TagKey": "a", "TagValue": "b"}])),
            ("RangeOriginPull", json!({"Switch": "on"})),
            ("OriginPullOptimization", json!({"Switch": "on"})),
            ("Ipv6Access", json!({"Switch": "on"})),
            ("Cache", json!({"SimpleCache": null, "RuleCache": []})),
            ("SpecificConfig", json!({})),
            ("Origin.PathRules", json!([])),
            ("Origin.BasePath", json!("/")),
            ("Origin.CosPrivateAccess", json!("off")),
        ] {
            assert_eq!(refusal(&with(name, &value)), None, "{name}");
        }
        for (name, value) in [
            ("Cache", json!({"RuleCache": [{"RulePaths": ["*"]}]})),
            ("SpecificConfig", json!({"Mainland": {"Cache": {"RuleCache": [1]}}})),
            ("OriginPullTimeout", json!({"ConnectTimeout": 5})),
            ("Origin.PathRules", json!([{"Path": "/a"}])),
            ("Origin.BasePath", json!("/b")),
            ("Origin.OriginCompany", json!("aws_s3")),
        ] {
            let error = refusal(&with(name, &value)).expect(name);
            assert!(error.code == ErrorCode::CdnParamError && error.message.contains(name), "{error}");
        }
    }

    #[test]
    fn each_mistake_has_its_code() {
        for (name, value, code) in [
            ("Domain", json!(null), ErrorCode::MissingParameter),
            ("Origin", json!(null), ErrorCode::MissingParameter),
            ("Origin.Origins", json!(null), ErrorCode::MissingParameter),
            ("Zone", json!(1), ErrorCode::UnknownParameter),
            ("Webhook", json!("a"), ErrorCode::UnknownParameter),
            ("Origin.Zone", json!(1), ErrorCode::UnknownParameter),
            ("Origin", json!("o.example"), ErrorCode::InvalidParameter),
            ("Https", json!("off"), ErrorCode::InvalidParameter),
            ("Https", json!({"Switch": true}), ErrorCode::InvalidParameter),
            ("Tag", json!({"TagKey": "a"}), ErrorCode::InvalidParameter),
            ("ProjectId", json!("0"), ErrorCode::InvalidParameter),
            ("ProjectId", json!(-1), ErrorCode::CdnParamError),
            ("Domain", json!("a".repeat(82)), ErrorCode::CdnHostTooLongHost),
            ("Domain", json!("http://a.example"), ErrorCode::CdnConfigInvalidHost),
            ("Domain", json!("中.example"), ErrorCode::CdnConfigInvalidHost),
            ("Domain", json!("1.2.3.4"), ErrorCode::CdnConfigInvalidHost),
            ("Domain", json!("a.*.example"), ErrorCode::CdnConfigInvalidHost),
            ("ServiceType", json!("page"), ErrorCode::CdnParamError),
            ("Area", json!(""), ErrorCode::CdnParamError),
        ] {
            assert_eq!(refusal(&with(name, &value)).map(|e| e.code), Some(code), "{name} {value}");
        }
    }
}
