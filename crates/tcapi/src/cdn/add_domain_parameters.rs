//! Every parameter of AddCdnDomain and what becomes of it: one table, from which the refusals are made and the documentation is checked.
//!
//! The rule: what would change what a client of the domain gets is acted on or refused by name; what cannot is accepted. A feature that is switched
//! off changes nothing. Invariant: no documented parameter is missing, and none is taken in silence for something that it does not do.

use super::param_error;
use crate::code::WireError;
use crate::params::{Expected, Form, Object, Param, ParamError, Params};

/// One documented parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddDomainParameter {
    /// Its name, as in `Origin.BasePath`.
    pub name: &'static str,
    kind: Kind,
    /// What becomes of it.
    pub treatment: Treatment,
}

/// What becomes of a parameter. The reasons are for the documentation and for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// It does what the vendor's documentation says.
    ActedOn,
    /// Accepted, and nothing differs for it.
    Harmless(Reason),
    /// Accepted with `Switch` absent or `off`; refused otherwise.
    OffOnly(Reason),
    /// Accepted with `Switch` absent or `on`, which is how it is here anyway; refused otherwise.
    OnOnly(Reason),
    /// Accepted with the values that say what is so here anyway; refused otherwise.
    DefaultOnly(Reason),
    /// Refused, unless it is empty.
    Refused(Reason),
}

impl Treatment {
    /// What becomes of the parameter, in words: for the documentation's table.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Treatment::ActedOn => "acted on",
            Treatment::Harmless(_) => "accepted, changes nothing",
            Treatment::OffOnly(_) => "accepted when switched off, else refused",
            Treatment::OnOnly(_) => "accepted when switched on, else refused",
            Treatment::DefaultOnly(_) => "accepted when it says what is so anyway, else refused",
            Treatment::Refused(_) => "refused unless empty",
        }
    }

    /// Why; what is acted on needs no reason.
    #[must_use]
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Treatment::ActedOn => None,
            Treatment::Harmless(why)
            | Treatment::OffOnly(why)
            | Treatment::OnOnly(why)
            | Treatment::DefaultOnly(why)
            | Treatment::Refused(why) => Some(why),
        }
    }
}

/// Why, in both languages, to stand behind a colon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    /// English.
    pub english: &'static str,
    /// Chinese.
    pub chinese: &'static str,
}

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Integer,
    Object,
    /// A list of structures or of texts.
    List,
}

const fn row(name: &'static str, kind: Kind, treatment: Treatment) -> AddDomainParameter {
    AddDomainParameter { name, kind, treatment }
}

const fn acted(name: &'static str, kind: Kind) -> AddDomainParameter {
    row(name, kind, Treatment::ActedOn)
}

const fn harmless(name: &'static str, kind: Kind, english: &'static str, chinese: &'static str) -> AddDomainParameter {
    row(name, kind, Treatment::Harmless(Reason { english, chinese }))
}

const fn off(name: &'static str, english: &'static str, chinese: &'static str) -> AddDomainParameter {
    row(name, Kind::Object, Treatment::OffOnly(Reason { english, chinese }))
}

const fn on(name: &'static str, english: &'static str, chinese: &'static str) -> AddDomainParameter {
    row(name, Kind::Object, Treatment::OnOnly(Reason { english, chinese }))
}

const fn default(name: &'static str, kind: Kind, english: &'static str, chinese: &'static str) -> AddDomainParameter {
    row(name, kind, Treatment::DefaultOnly(Reason { english, chinese }))
}

const fn refused(name: &'static str, kind: Kind, english: &'static str, chinese: &'static str) -> AddDomainParameter {
    row(name, kind, Treatment::Refused(Reason { english, chinese }))
}

/// The documented parameters, members of `Origin` included.
pub const ADD_DOMAIN_PARAMETERS: &[AddDomainParameter] = &[
    acted("Domain", Kind::Text),
    acted("ServiceType", Kind::Text),
    acted("Origin", Kind::Object),
    acted("Origin.Origins", Kind::List),
    acted("Origin.OriginType", Kind::Text),
    acted("Origin.ServerName", Kind::Text),
    acted("Origin.OriginPullProtocol", Kind::Text),
    acted("Origin.BackupOrigins", Kind::List),
    acted("Origin.BackupOriginType", Kind::Text),
    acted("Origin.BackupServerName", Kind::Text),
    default(
        "Origin.CosPrivateAccess",
        Kind::Text,
        "there are no object stores as origins (`off`)",
        "不支持对象存储源站（`off`）",
    ),
    default("Origin.BasePath", Kind::Text, "the path is sent to the origin as it is (`/`)", "回源路径保持不变（`/`）"),
    refused("Origin.PathRules", Kind::List, "paths are sent to the origin as they are", "回源路径保持不变"),
    refused("Origin.PathBasedOrigin", Kind::List, "all paths come from one origin", "所有路径使用同一源站"),
    off("Origin.Sni", "TLS to the origin is not configured by domain", "不支持按域名配置回源 TLS"),
    refused(
        "Origin.AdvanceHttps",
        Kind::Object,
        "TLS to the origin is not configured by domain",
        "不支持按域名配置回源 TLS",
    ),
    refused("Origin.OriginCompany", Kind::Text, "there are no object stores as origins", "不支持对象存储源站"),
    acted("ProjectId", Kind::Integer),
    acted("Area", Kind::Text),
    off("IpFilter", "addresses are not filtered", "不支持 IP 黑白名单"),
    off("IpFreqLimit", "clients are not limited by address", "不支持按 IP 限频"),
    off("StatusCodeCache", "the origin decides how long an error is cached", "错误状态码的缓存时间由源站决定"),
    off("Compression", "the caches do not compress", "节点不做压缩"),
    off("BandwidthAlert", "a domain is not shut off for its usage", "不因用量停止服务"),
    harmless(
        "RangeOriginPull",
        Kind::Object,
        "how the origin is asked; clients get the same bytes",
        "只涉及回源方式，客户端得到的内容相同",
    ),
    off("FollowRedirect", "a redirect of the origin is passed to the client", "源站的重定向直接返回给客户端"),
    off("ErrorPage", "errors are not redirected", "不支持错误码重定向"),
    off("RequestHeader", "no headers are added to requests", "不支持自定义请求头"),
    off("ResponseHeader", "no headers are added to answers", "不支持自定义响应头"),
    off("DownstreamCapping", "the speed of downloads is not limited", "不支持下载限速"),
    acted("CacheKey", Kind::Object),
    on("ResponseHeaderCache", "the origin's headers are kept with a copy", "源站响应头随缓存一并保存"),
    off("VideoSeek", "media are served as they are", "媒体文件按原样提供"),
    refused(
        "Cache",
        Kind::Object,
        "the origin's Cache-Control decides how long a copy is fresh",
        "缓存时间由源站的 Cache-Control 决定",
    ),
    harmless(
        "OriginPullOptimization",
        Kind::Object,
        "the way to the origin; clients get the same bytes",
        "只涉及回源线路，客户端得到的内容相同",
    ),
    off("Https", "certificates are the deployer's to configure, not a domain's", "证书由部署方配置，不按域名配置"),
    off("Authentication", "URLs are not authenticated", "不支持时间戳防盗链"),
    off("Seo", "search engines are answered like everybody", "不区分搜索引擎"),
    off("ForceRedirect", "clients are not redirected to another protocol", "不支持强制跳转"),
    off("Referer", "referers are not filtered", "不支持 Referer 防盗链"),
    off("MaxAge", "the origin decides how long a browser keeps a copy", "浏览器缓存时间由源站决定"),
    harmless("Ipv6", Kind::Object, "the origin's addresses decide how it is reached", "回源方式由源站地址决定"),
    refused(
        "SpecificConfig",
        Kind::Object,
        "a domain has one configuration in all areas",
        "域名在所有区域使用同一配置",
    ),
    refused("OriginPullTimeout", Kind::Object, "the caches have time limits of their own", "节点使用自己的回源超时"),
    harmless("Tag", Kind::List, "labels for billing; they are not kept", "用于计费的标签，不保存"),
    harmless(
        "Ipv6Access",
        Kind::Object,
        "the deployer's listeners decide how clients reach a cache",
        "客户端的接入方式由部署方的监听地址决定",
    ),
    off("OfflineCache", "a copy is not served beyond what the origin allows", "不在源站允许的范围以外提供旧内容"),
    off("Quic", "HTTP/3 is not served", "不支持 HTTP/3"),
    off("AwsPrivateAccess", "requests to the origin are not signed", "不支持回源鉴权"),
    off("OssPrivateAccess", "requests to the origin are not signed", "不支持回源鉴权"),
    off("HwPrivateAccess", "requests to the origin are not signed", "不支持回源鉴权"),
    off("QnPrivateAccess", "requests to the origin are not signed", "不支持回源鉴权"),
    off("OthersPrivateAccess", "requests to the origin are not signed", "不支持回源鉴权"),
    on("HttpsBilling", "HTTPS is not blocked, and nothing is billed", "不拦截 HTTPS，也不计费"),
];

/// The names below `prefix` (empty, or `Origin.`).
pub(super) fn names(prefix: &str) -> impl Iterator<Item = &'static str> {
    ADD_DOMAIN_PARAMETERS.iter().filter_map(move |p| p.name.strip_prefix(prefix)).filter(|name| !name.contains('.'))
}

/// Takes everything out that is not acted on, and refuses what the table refuses. All types come before any value.
pub(super) fn take<'a>(params: &mut Params<'a>, prefix: &str) -> Result<Vec<Unacted<'a>>, ParamError> {
    let mut unacted = Vec::new();
    for parameter in ADD_DOMAIN_PARAMETERS.iter().filter(|p| p.treatment != Treatment::ActedOn) {
        let Some(name) = parameter.name.strip_prefix(prefix).filter(|name| !name.contains('.')) else { continue };
        if let Some(value) = params.any(name) {
            check_type(parameter, params.form(), &value)?;
            unacted.push(Unacted { parameter, value });
        }
    }
    Ok(unacted)
}

/// A parameter that was given and is not acted on.
pub(super) struct Unacted<'a> {
    parameter: &'static AddDomainParameter,
    value: Param<'a>,
}

impl Unacted<'_> {
    /// # Errors
    /// `CdnParamError` naming the parameter and why.
    pub(super) fn check(&self) -> Result<(), WireError> {
        let refuse = |english: &str, chinese: &str, why: Reason| {
            Err(param_error(
                self.parameter.name,
                &format!("{english}: {}", why.english),
                &format!("{chinese}：{}", why.chinese),
            ))
        };
        match self.parameter.treatment {
            Treatment::ActedOn | Treatment::Harmless(_) => Ok(()),
            Treatment::OffOnly(_) if matches!(switch(&self.value), None | Some("off" | "")) => Ok(()),
            Treatment::OffOnly(why) => refuse("may only be switched off here", "在此只能关闭", why),
            Treatment::OnOnly(_) if matches!(switch(&self.value), None | Some("on" | "")) => Ok(()),
            Treatment::OnOnly(why) => refuse("may only be switched on here", "在此只能开启", why),
            Treatment::DefaultOnly(_) if is_default(self.parameter.name, &self.value) => Ok(()),
            Treatment::DefaultOnly(why) => refuse("may only say what is so here", "只能与此处的行为一致", why),
            Treatment::Refused(_) if is_empty(&self.value) => Ok(()),
            Treatment::Refused(why) => refuse("is not offered", "不支持", why),
        }
    }
}

fn check_type(parameter: &AddDomainParameter, form: Form, value: &Param<'_>) -> Result<(), ParamError> {
    let wrong = |path: &str, expected| Err(ParamError::WrongType { path: path.to_owned(), expected });
    match (parameter.kind, value) {
        (Kind::Text, Param::Str(_)) | (Kind::Integer, Param::Int(_)) | (Kind::List, Param::List(_)) => Ok(()),
        (Kind::Integer, Param::Str(_)) if form == Form::Flat => Ok(()),
        (Kind::Object, Param::Object(members)) => match members.get("Switch") {
            None | Some(Param::Null | Param::Str(_)) => Ok(()),
            Some(_) => wrong(&format!("{}.Switch", parameter.name), Expected::Text),
        },
        (Kind::Text, _) => wrong(parameter.name, Expected::Text),
        (Kind::Integer, _) => wrong(parameter.name, Expected::Integer),
        (Kind::Object, _) => wrong(parameter.name, Expected::Object),
        (Kind::List, _) => wrong(parameter.name, Expected::ObjectList),
    }
}

fn switch<'v>(value: &'v Param<'_>) -> Option<&'v str> {
    match value {
        Param::Object(members) => text(members, "Switch"),
        Param::Null | Param::Bool(_) | Param::Int(_) | Param::Float(_) | Param::Str(_) | Param::List(_) => None,
    }
}

fn text<'v>(members: &'v Object<'_>, name: &str) -> Option<&'v str> {
    match members.get(name) {
        Some(Param::Str(text)) => Some(text),
        Some(Param::Null | Param::Bool(_) | Param::Int(_) | Param::Float(_) | Param::List(_) | Param::Object(_))
        | None => None,
    }
}

/// Nothing but nulls, empty texts, empty lists and empty structures. The tree's depth is bounded.
fn is_empty(value: &Param<'_>) -> bool {
    match value {
        Param::Null => true,
        Param::Bool(_) | Param::Int(_) | Param::Float(_) => false,
        Param::Str(text) => text.is_empty(),
        Param::List(list) => list.iter().all(is_empty),
        Param::Object(members) => members.iter().all(|(_, value)| is_empty(value)),
    }
}

fn is_default(name: &str, value: &Param<'_>) -> bool {
    match (name, value) {
        ("Origin.CosPrivateAccess", Param::Str(text)) => matches!(text.as_ref(), "" | "off"),
        ("Origin.BasePath", Param::Str(text)) => matches!(text.as_ref(), "" | "/"),
        (_, value) => is_empty(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vendors_forty_parameters_and_fourteen_members_of_origin_stand_here_once_each() {
        let unique: std::collections::HashSet<_> = ADD_DOMAIN_PARAMETERS.iter().map(|p| p.name).collect();
        assert_eq!(unique.len(), ADD_DOMAIN_PARAMETERS.len());
        assert_eq!((names("").count(), names("Origin.").count()), (40, 14));
    }

    #[test]
    fn every_reason_is_given_in_both_languages() {
        for parameter in ADD_DOMAIN_PARAMETERS {
            let Some(why) = parameter.treatment.reason() else { continue };
            assert!(!why.english.is_empty() && !why.english.ends_with('.'), "{}", parameter.name);
            assert!(!why.chinese.is_ascii() && !why.chinese.ends_with('。'), "{}", parameter.name);
        }
    }
}
