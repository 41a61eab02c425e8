//! DescribeDomains: the account's domains. What a filter matches is not decided here, only what it may say.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::words::not_one_of;
use super::{
    Action, Disable, DomainFilterName, DomainStatus, Origin, Product, PullProtocol, Readonly, Request, ServiceType,
    TaskArea, count, param_error, word,
};
use crate::code::{ErrorCode, WireError};
use crate::limits::{MAX_FILTER_VALUE, MAX_FILTER_VALUES, MAX_FILTERS, MAX_OFFSET, MAX_PAGE};
use crate::params::{ParamError, Params};

/// The 24 codes that the vendor's SDK lists for the action.
pub(super) const CODES: &[ErrorCode] = &[
    ErrorCode::AuthInvalidAuthorization,
    ErrorCode::CamSystemError,
    ErrorCode::CdnConfigError,
    ErrorCode::CdnDbError,
    ErrorCode::CdnQuerySystemError,
    ErrorCode::CdnSystemError,
    ErrorCode::InternalServiceError,
    ErrorCode::ProxyServer,
    ErrorCode::RouteError,
    ErrorCode::CdnStatusInvalidDomain,
    ErrorCode::CdnInterfaceError,
    ErrorCode::CdnParamError,
    ErrorCode::CdnStatInvalidProjectId,
    ErrorCode::CdnStatTooManyDomains,
    ErrorCode::CdnHostNotExists,
    ErrorCode::CdnUserNotExists,
    ErrorCode::CdnCamUnauthorized,
    ErrorCode::CdnHostUnauthorized,
    ErrorCode::CdnProjectUnauthorized,
    ErrorCode::CdnTagUnauthorized,
    ErrorCode::CdnUserAuthFail,
    ErrorCode::CdnUserAuthWait,
    ErrorCode::CdnUserIsSuspended,
    ErrorCode::OperationTooOften,
];

const DEFAULT_LIMIT: u32 = 100;

/// The request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDomainsRequest<'a> {
    /// Rows to pass over, 0 to 1,000,000,000; default 0.
    pub offset: u32,
    /// Rows to give, 1 to 1,000; default 100.
    pub limit: u32,
    /// All of them must match; at most 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<DomainFilter<'a>>,
}

impl Default for DescribeDomainsRequest<'_> {
    /// The first 100 rows.
    fn default() -> Self {
        Self { offset: 0, limit: DEFAULT_LIMIT, filters: Vec::new() }
    }
}

/// One filter: a domain matches when one of the values does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DomainFilter<'a> {
    /// What it looks at.
    pub name: DomainFilterName,
    /// 1 to 5, each of 1 to 512 bytes; one when fuzzy. Where the contract lists words, it is one of these; a project's number is digits.
    #[serde(rename = "Value")]
    pub values: Vec<Cow<'a, str>>,
    /// Whether a value may be a part of what it is compared with; only for `origin` and `domain`. `false` when absent.
    pub fuzzy: bool,
}

/// One filter with its types right and its values not looked at yet.
struct RawFilter<'a> {
    name: Cow<'a, str>,
    values: Vec<Cow<'a, str>>,
    fuzzy: bool,
}

impl<'a> Request<'a> for DescribeDomainsRequest<'a> {
    const ACTION: Action = Action::DescribeDomains;

    fn from_params(mut params: Params<'a>) -> Result<Self, WireError> {
        params.only(&["Offset", "Limit", "Filters"])?;
        let (offset, limit) = (params.int("Offset")?, params.int("Limit")?);
        let filters = params.objects("Filters")?.unwrap_or_default();
        let filters = filters.into_iter().map(RawFilter::take).collect::<Result<Vec<_>, _>>()?;
        if filters.len() > MAX_FILTERS {
            let given = filters.len();
            return Err(param_error(
                "Filters",
                &format!("may have {MAX_FILTERS} entries, and has {given}"),
                &format!("最多 {MAX_FILTERS} 项，现有 {given} 项"),
            ));
        }
        Ok(Self {
            offset: count("Offset", offset.unwrap_or(0), 0, MAX_OFFSET)?,
            limit: count("Limit", limit.unwrap_or(i64::from(DEFAULT_LIMIT)), 1, MAX_PAGE)?,
            filters: filters.into_iter().enumerate().map(|(n, raw)| raw.check(n)).collect::<Result<_, _>>()?,
        })
    }
}

impl<'a> RawFilter<'a> {
    fn take(mut params: Params<'a>) -> Result<Self, ParamError> {
        params.only(&["Name", "Value", "Fuzzy"])?;
        params.require("Name")?;
        params.require("Value")?;
        Ok(Self {
            name: params.required_text("Name")?,
            values: params.required_texts("Value")?,
            fuzzy: params.boolean("Fuzzy")?.unwrap_or(false),
        })
    }

    fn check(self, n: usize) -> Result<DomainFilter<'a>, WireError> {
        let at = |part: &str| format!("Filters.{n}.{part}");
        let name: DomainFilterName = word(&at("Name"), &self.name)?;
        if self.fuzzy && !matches!(name, DomainFilterName::Origin | DomainFilterName::Domain) {
            let (english, chinese) = ("is only for the names `origin` and `domain`", "只用于名称 `origin` 和 `domain`");
            return Err(param_error(&at("Fuzzy"), english, chinese));
        }
        let most = if self.fuzzy { 1 } else { MAX_FILTER_VALUES };
        if !(1..=most).contains(&self.values.len()) {
            let given = self.values.len();
            return Err(param_error(
                &at("Value"),
                &format!("must have 1 to {most} entries, and has {given}"),
                &format!("必须有 1 到 {most} 项，现有 {given} 项"),
            ));
        }
        for (m, value) in self.values.iter().enumerate() {
            check_value(&at(&format!("Value.{m}")), name, value)?;
        }
        Ok(DomainFilter { name, values: self.values, fuzzy: self.fuzzy })
    }
}

fn check_value(path: &str, name: DomainFilterName, value: &str) -> Result<(), WireError> {
    let one_of = |known: &[&'static str]| {
        if known.contains(&value) { Ok(()) } else { Err(not_one_of(path, known.iter().copied(), value)) }
    };
    match name {
        DomainFilterName::Status => one_of(&["online", "offline", "processing", "deleted"]),
        DomainFilterName::ServiceType => word::<ServiceType>(path, value).map(drop),
        DomainFilterName::DomainType => one_of(&["cname", "cos", "third_party", "igtm"]),
        DomainFilterName::FullUrlCache => one_of(&["on", "off"]),
        DomainFilterName::Https => one_of(&["on", "off", "processing"]),
        DomainFilterName::OriginPullProtocol => word::<PullProtocol>(path, value).map(drop),
        // `parse` alone would take a sign.
        DomainFilterName::ProjectId if value.starts_with('+') || value.parse::<u64>().is_err() => {
            Err(param_error(path, "must be a project's number", "必须是项目编号"))
        }
        DomainFilterName::Origin
        | DomainFilterName::Domain
        | DomainFilterName::ResourceId
        | DomainFilterName::ProjectId
        | DomainFilterName::TagKey => {
            if (1..=MAX_FILTER_VALUE).contains(&value.len()) {
                return Ok(());
            }
            Err(param_error(
                path,
                &format!("must have 1 to {MAX_FILTER_VALUE} bytes"),
                &format!("必须是 1 到 {MAX_FILTER_VALUE} 字节"),
            ))
        }
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDomainsResponse {
    /// The page's rows.
    pub domains: Vec<BriefDomain>,
    /// Domains that match, on all pages. The name differs from that of the other lists.
    pub total_number: u64,
}

/// One domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BriefDomain {
    /// Its id.
    pub resource_id: String,
    /// The account's number.
    pub app_id: u64,
    /// The domain.
    pub domain: String,
    /// The name that its DNS record should point to.
    pub cname: String,
    /// The stage of its service.
    pub status: DomainStatus,
    /// The project's number.
    pub project_id: u64,
    /// What it serves.
    pub service_type: ServiceType,
    /// `YYYY-MM-DD HH:MM:SS` in UTC+8, from [`crate::time::format_utc8`].
    pub create_time: String,
    /// The same of its last change.
    pub update_time: String,
    /// Where its content comes from.
    pub origin: Origin,
    /// Why it is shut off.
    pub disable: Disable,
    /// Where it is served.
    pub area: TaskArea,
    /// Where it is locked.
    pub readonly: Readonly,
    /// Which product it belongs to.
    pub product: Product,
    /// The domain above it.
    pub parent_host: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<DescribeDomainsRequest<'_>, WireError> {
        DescribeDomainsRequest::from_params(Params::from_json(json.as_bytes())?)
    }

    #[test]
    fn without_a_filter_the_first_hundred_are_meant() {
        assert_eq!(read("{}"), Ok(DescribeDomainsRequest::default()));
        assert_eq!(read(r#"{"Limit":1000,"Offset":7,"Filters":[]}"#).map(|r| (r.offset, r.limit)), Ok((7, 1000)));
    }

    #[test]
    fn filters_are_read() {
        let json = r#"{"Filters":[{"Name":"domain","Value":["a.ex"],"Fuzzy":true},{"Name":"status","Value":["online","offline"]}]}"#;
        let request = read(json).expect("a valid request");
        let seen: Vec<_> = request.filters.iter().map(|f| (f.name, f.values.len(), f.fuzzy)).collect();
        assert_eq!(seen, [(DomainFilterName::Domain, 1, true), (DomainFilterName::Status, 2, false)]);
    }

    #[test]
    fn each_value_outside_of_the_contract_is_refused_by_name() {
        let filter = |name: &str, value: &str, more: &str| {
            format!(r#"{{"Filters":[{{"Name":"domain","Value":["a"]}},{{"Name":"{name}","Value":{value}{more}}}]}}"#)
        };
        for (json, named) in [
            (r#"{"Limit":1001}"#.to_owned(), "Limit"),
            (r#"{"Limit":0}"#.to_owned(), "Limit"),
            (r#"{"Offset":-1}"#.to_owned(), "Offset"),
            (filter("host", r#"["a"]"#, ""), "Filters.1.Name"),
            (filter("domain", "[]", ""), "Filters.1.Value"),
            (filter("domain", r#"["1","2","3","4","5","6"]"#, ""), "Filters.1.Value"),
            (filter("domain", r#"["1","2"]"#, r#","Fuzzy":true"#), "Filters.1.Value"),
            (filter("domain", r#"[""]"#, ""), "Filters.1.Value.0"),
            (filter("status", r#"["online","on"]"#, ""), "Filters.1.Value.1"),
            (filter("status", r#"["online"]"#, r#","Fuzzy":true"#), "Filters.1.Fuzzy"),
            (filter("projectId", r#"["x"]"#, ""), "Filters.1.Value.0"),
            (filter("projectId", r#"["+7"]"#, ""), "Filters.1.Value.0"),
            (filter("serviceType", r#"["page"]"#, ""), "Filters.1.Value.0"),
            (format!(r#"{{"Filters":[{}]}}"#, vec![r#"{"Name":"domain","Value":["a"]}"#; 21].join(",")), "Filters"),
        ] {
            let error = read(&json).map(drop).expect_err(&json);
            assert_eq!(error.code, ErrorCode::CdnParamError, "{json}");
            assert!(error.message.contains(&format!("`{named}`")), "{json}: {}", error.message);
        }
        let code = |json: &str| read(json).map(drop).expect_err(json).code;
        assert_eq!(code(r#"{"Filters":[{"Name":"domain"}]}"#), ErrorCode::MissingParameter);
        assert_eq!(code(r#"{"Filters":[{"Name":"domain","Value":"a"}]}"#), ErrorCode::InvalidParameter);
        assert_eq!(code(r#"{"Filters":[{"Name":"domain","Value":["a"],"X":1}]}"#), ErrorCode::UnknownParameter);
    }

    #[test]
    fn a_domain_is_shown_with_the_contracts_names_and_types() {
        let domain = BriefDomain {
            resource_id: "cdn-1".into(),
            app_id: 1_250_000_000,
            domain: "a.example".into(),
            cname: "a.example.cdn.example".into(),
            status: DomainStatus::Online,
            project_id: 0,
            service_type: ServiceType::Web,
            create_time: "2018-07-31 22:03:16".into(),
            update_time: "2018-07-31 22:03:16".into(),
            origin: Origin { origins: vec!["o".into()], origin_type: "domain".into(), ..Origin::default() },
            disable: Disable::Normal,
            area: TaskArea::Global,
            readonly: Readonly::Normal,
            product: Product::Cdn,
            parent_host: String::new(),
        };
        let page = serde_json::to_string(&DescribeDomainsResponse { domains: vec![domain], total_number: 1 });
        let expected = concat!(
            r#"{"Domains":[{"ResourceId":"cdn-1","AppId":1250000000,"Domain":"a.example","Cname":"a.example.cdn.example","Status":"online","#,
            r#""ProjectId":0,"ServiceType":"web","CreateTime":"2018-07-31 22:03:16","UpdateTime":"2018-07-31 22:03:16","#,
            r#""Origin":{"Origins":["o"],"OriginType":"domain","ServerName":null,"OriginPullProtocol":null,"BackupOrigins":null,"#,
            r#""BackupOriginType":null,"BackupServerName":null},"Disable":"normal","Area":"global","Readonly":"normal","Product":"cdn","#,
            r#""ParentHost":""}],"TotalNumber":1}"#
        );
        assert_eq!(page.ok().as_deref(), Some(expected));
    }
}
