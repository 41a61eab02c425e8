//! Origins of a domain: where its content comes from, as AddCdnDomain takes them and DescribeDomains shows them.
//!
//! An address is kept as it was written, beside what it means. Nothing is resolved or reached here. Invariant: a list holds only the kinds of address
//! that its type names.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize, Serializer};

use super::words::not_one_of;
use super::{OriginType, PullProtocol, param_error, word};
use crate::code::WireError;
use crate::limits::MAX_ORIGINS;
use crate::params::{ParamError, Params};
use crate::text::shown;

/// Documented types of origin that are not offered: what they mean exists at the vendor only.
const NOT_OFFERED: [&str; 5] = ["cos", "third_party", "igtm", "image", "ftp"];

/// Where a domain's content comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct OriginConfig<'a> {
    /// 1 to 64 addresses.
    pub origins: Vec<OriginAddress<'a>>,
    /// Their kinds.
    pub origin_type: OriginType,
    /// `Host` of the fetches; absent, the domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<Cow<'a, str>>,
    /// `http` when absent. Whether the caches speak TLS to an origin is not known here: who carries this out refuses what they do not.
    #[serde(rename = "OriginPullProtocol")]
    pub pull_protocol: PullProtocol,
    /// Where it comes from when none of these answers.
    #[serde(flatten)]
    pub backup: Option<BackupOrigin<'a>>,
}

/// Where a domain's content comes from when its origin does not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackupOrigin<'a> {
    /// 1 to 64 addresses; they have no weights.
    #[serde(rename = "BackupOrigins")]
    pub origins: Vec<OriginAddress<'a>>,
    /// Their kinds.
    #[serde(rename = "BackupOriginType")]
    pub origin_type: OriginType,
    /// `Host` of these fetches; absent, that of the others.
    #[serde(rename = "BackupServerName", skip_serializing_if = "Option::is_none")]
    pub server_name: Option<Cow<'a, str>>,
}

/// One address: `host`, `host:port`, `host:port:weight` or `host::weight`; an IPv6 address with a port stands in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginAddress<'a> {
    /// As written.
    pub text: Cow<'a, str>,
    /// Its host.
    pub host: OriginHost,
    /// Its port; `None`: that of the protocol.
    pub port: Option<NonZeroU16>,
    /// Its share, 1 to 100; `None`: equal shares.
    pub weight: Option<u8>,
}

/// The host of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginHost {
    /// A name, in lower case.
    Name(Box<str>),
    /// IPv4.
    V4(Ipv4Addr),
    /// IPv6.
    V6(Ipv6Addr),
}

impl fmt::Display for OriginHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => address.fmt(f),
            Self::V6(address) => address.fmt(f),
        }
    }
}

impl Serialize for OriginAddress<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'a> OriginAddress<'a> {
    /// Reads an address; `None` for a text that is none.
    #[must_use]
    pub fn parse(text: impl Into<Cow<'a, str>>) -> Option<Self> {
        let text = text.into();
        let (host, rest) = if let Ok(address) = text.parse::<Ipv6Addr>() {
            (OriginHost::V6(address), "")
        } else if let Some(inner) = text.strip_prefix('[') {
            let (address, rest) = inner.split_once(']')?;
            (OriginHost::V6(address.parse().ok()?), rest)
        } else {
            let (host, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
            (host_of(host)?, rest)
        };
        let (port, weight) = port_and_weight(rest)?;
        Some(Self { host, port, weight, text })
    }

    /// Which of the parts of an [`OriginType`]'s name allow it.
    const fn kinds(&self) -> &'static [&'static str] {
        match self.host {
            OriginHost::Name(_) => &["domain", "domainv6"],
            OriginHost::V4(_) => &["ip"],
            OriginHost::V6(_) => &["ipv6"],
        }
    }
}

fn host_of(text: &str) -> Option<OriginHost> {
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Some(OriginHost::V4(address));
    }
    is_host_name(text).then(|| OriginHost::Name(text.to_ascii_lowercase().into()))
}

/// The rest of an address: empty, `:port`, `:port:weight` or `::weight`.
fn port_and_weight(rest: &str) -> Option<(Option<NonZeroU16>, Option<u8>)> {
    let Some(rest) = rest.strip_prefix(':') else { return rest.is_empty().then_some((None, None)) };
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (port, weight) = rest.split_once(':').map_or((rest, None), |(port, weight)| (port, Some(weight)));
    let port = match port {
        "" if weight.is_some() => None,
        digits => Some(digits.parse().ok().filter(|_| plain(digits))?),
    };
    let weight = match weight {
        None => None,
        Some(digits) => Some(digits.parse().ok().filter(|weight| plain(digits) && (1..=100).contains(weight))?),
    };
    Some((port, weight))
}

/// A name that the DNS can hold: labels of letters, digits, `-` and `_`, the last one not of digits only, which would be read as an address.
pub(super) fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or("");
    text.len() <= 253 && text.split('.').all(label) && !last.bytes().all(|b| b.is_ascii_digit())
}

/// A domain that can be served: a host's name, or a wildcard for all that end like it (`*.example.com`).
pub(super) fn is_domain(text: &str) -> bool {
    is_host_name(text.strip_prefix("*.").unwrap_or(text))
}

/// The members of `Origin` that are acted on, their types right and their values not looked at yet.
pub(super) struct RawOrigin<'a> {
    origins: Vec<Cow<'a, str>>,
    origin_type: Cow<'a, str>,
    server_name: Option<Cow<'a, str>>,
    pull_protocol: Option<Cow<'a, str>>,
    backup_origins: Option<Vec<Cow<'a, str>>>,
    backup_type: Option<Cow<'a, str>>,
    backup_server_name: Option<Cow<'a, str>>,
}

impl<'a> RawOrigin<'a> {
    pub(super) fn take(params: &mut Params<'a>) -> Result<Self, ParamError> {
        params.require("Origins")?;
        params.require("OriginType")?;
        let mut text = |name| Ok::<_, ParamError>(params.text(name)?.filter(|text| !text.is_empty()));
        let (server_name, pull_protocol) = (text("ServerName")?, text("OriginPullProtocol")?);
        let (backup_type, backup_server_name) = (text("BackupOriginType")?, text("BackupServerName")?);
        Ok(Self {
            origins: params.required_texts("Origins")?,
            origin_type: params.required_text("OriginType")?,
            server_name,
            pull_protocol,
            backup_origins: params.texts("BackupOrigins")?.filter(|list| !list.is_empty()),
            backup_type,
            backup_server_name,
        })
    }

    pub(super) fn check(self) -> Result<OriginConfig<'a>, WireError> {
        let origin_type = origin_type("Origin.OriginType", &self.origin_type)?;
        let backup = match (self.backup_origins, self.backup_type) {
            (None, None) if self.backup_server_name.is_none() => None,
            (Some(origins), Some(text)) => {
                let origin_type = self::origin_type("Origin.BackupOriginType", &text)?;
                Some(BackupOrigin {
                    origins: addresses("Origin.BackupOrigins", origins, origin_type, Weights::None)?,
                    origin_type,
                    server_name: server_name("Origin.BackupServerName", self.backup_server_name)?,
                })
            }
            (None | Some(_), None | Some(_)) => {
                return Err(param_error(
                    "Origin.BackupOrigins",
                    "and BackupOriginType must be given together",
                    "与 BackupOriginType 必须同时给出",
                ));
            }
        };
        Ok(OriginConfig {
            origins: addresses("Origin.Origins", self.origins, origin_type, Weights::Allowed)?,
            origin_type,
            server_name: server_name("Origin.ServerName", self.server_name)?,
            pull_protocol: self
                .pull_protocol
                .map_or(Ok(PullProtocol::Http), |text| word("Origin.OriginPullProtocol", &text))?,
            backup,
        })
    }
}

/// Whether the addresses of a list may have weights.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weights {
    Allowed,
    None,
}

fn origin_type(name: &str, text: &str) -> Result<OriginType, WireError> {
    if NOT_OFFERED.contains(&text) {
        return Err(param_error(
            name,
            &format!("is `{text}`, which is not offered: give the origin's own names or addresses"),
            &format!("是 `{text}`，此处不提供：请填写源站自己的域名或地址"),
        ));
    }
    let known = OriginType::ALL.iter().map(|known| known.as_str());
    OriginType::ALL.iter().copied().find(|t| t.as_str() == text).ok_or_else(|| not_one_of(name, known, text))
}

fn addresses<'a>(
    name: &str,
    texts: Vec<Cow<'a, str>>,
    origin_type: OriginType,
    weights: Weights,
) -> Result<Vec<OriginAddress<'a>>, WireError> {
    if !(1..=MAX_ORIGINS).contains(&texts.len()) {
        let given = texts.len();
        return Err(param_error(
            name,
            &format!("must have 1 to {MAX_ORIGINS} addresses, and has {given}"),
            &format!("必须有 1 到 {MAX_ORIGINS} 个地址，现有 {given} 个"),
        ));
    }
    let one = |(n, text)| address(&format!("{name}.{n}"), text, origin_type, weights);
    texts.into_iter().enumerate().map(one).collect()
}

fn address<'a>(
    name: &str,
    text: Cow<'a, str>,
    origin_type: OriginType,
    weights: Weights,
) -> Result<OriginAddress<'a>, WireError> {
    let said = shown(&text);
    let address = OriginAddress::parse(text).ok_or_else(|| {
        param_error(
            name,
            &format!(
                "must be a host, perhaps with a port and a weight of 1 to 100 (`host:port:weight`), and is `{said}`"
            ),
            &format!("必须是主机，可带端口和 1 到 100 的权重（`host:port:weight`），现为 `{said}`"),
        )
    })?;
    if !origin_type.as_str().split('_').any(|kind| address.kinds().contains(&kind)) {
        return Err(param_error(
            name,
            &format!("is `{said}`, which the type `{}` does not hold", origin_type.as_str()),
            &format!("是 `{said}`，不属于类型 `{}`", origin_type.as_str()),
        ));
    }
    if weights == Weights::None && address.weight.is_some() {
        return Err(param_error(
            name,
            &format!("is `{said}`, and a backup origin has no weight"),
            &format!("是 `{said}`，备源站不支持权重"),
        ));
    }
    Ok(address)
}

fn server_name<'a>(name: &str, text: Option<Cow<'a, str>>) -> Result<Option<Cow<'a, str>>, WireError> {
    match text {
        Some(text) if !is_host_name(&text) => Err(param_error(
            name,
            &format!("must be a domain, and is `{}`", shown(&text)),
            &format!("必须是域名，现为 `{}`", shown(&text)),
        )),
        given => Ok(given),
    }
}

/// Where a domain's content comes from, as DescribeDomains shows it. The types are texts, since the vendor has more of them than this crate takes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Origin {
    /// The addresses as written.
    pub origins: Vec<String>,
    /// Their kinds.
    pub origin_type: String,
    /// `Host` of the fetches.
    #[serde(default)]
    pub server_name: Option<String>,
    /// `http`, `follow` or `https`.
    #[serde(default)]
    pub origin_pull_protocol: Option<String>,
    /// The addresses as written; absent without any.
    #[serde(default)]
    pub backup_origins: Option<Vec<String>>,
    /// Their kinds.
    #[serde(default)]
    pub backup_origin_type: Option<String>,
    /// `Host` of these fetches.
    #[serde(default)]
    pub backup_server_name: Option<String>,
}

impl From<&OriginConfig<'_>> for Origin {
    fn from(config: &OriginConfig<'_>) -> Self {
        let texts = |list: &[OriginAddress<'_>]| list.iter().map(|address| address.text.to_string()).collect();
        let backup = config.backup.as_ref();
        Self {
            origins: texts(&config.origins),
            origin_type: config.origin_type.as_str().to_owned(),
            server_name: config.server_name.as_deref().map(str::to_owned),
            origin_pull_protocol: Some(config.pull_protocol.as_str().to_owned()),
            backup_origins: backup.map(|backup| texts(&backup.origins)),
            backup_origin_type: backup.map(|backup| backup.origin_type.as_str().to_owned()),
            backup_server_name: backup.and_then(|backup| backup.server_name.as_deref()).map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(text: &str) -> Option<(String, Option<u16>, Option<u8>)> {
        OriginAddress::parse(text).map(|a| (format!("{:?}", a.host), a.port.map(NonZeroU16::get), a.weight))
    }

    #[test]
    fn an_address_is_a_host_with_perhaps_a_port_and_a_weight() {
        let name = |text: &str| format!("Name({text:?})");
        assert_eq!(parts("A.example"), Some((name("a.example"), None, None)));
        assert_eq!(parts("a.example:8080"), Some((name("a.example"), Some(8080), None)));
        assert_eq!(parts("1.2.3.4:80:100"), Some(("V4(1.2.3.4)".into(), Some(80), Some(100))));
        assert_eq!(parts("1.2.3.4::5"), Some(("V4(1.2.3.4)".into(), None, Some(5))));
        assert_eq!(parts("2001:db8::1"), Some(("V6(2001:db8::1)".into(), None, None)));
        assert_eq!(parts("[2001:db8::1]:443:7"), Some(("V6(2001:db8::1)".into(), Some(443), Some(7))));
        for bad in [
            "",
            ":80",
            "a:",
            "a:0",
            "a:65536",
            "a:+80",
            "a:80:",
            "a:80:0",
            "a:80:101",
            "a:80:1:1",
            "a b",
            "http://a",
            "a/b",
            "-a",
            "a..b",
            "1.2.3",
            "1.2.3.256",
            "[::1",
            "[::1]80",
            "中.example",
            "*.a.example",
        ] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_list_holds_only_what_its_type_names() {
        let read = |json: &str| -> Result<OriginConfig<'static>, WireError> {
            let json: &'static str = json.to_owned().leak();
            let mut params = Params::from_json(json.as_bytes())?.required_object("Origin")?;
            RawOrigin::take(&mut params)?.check()
        };
        let with = |list: &str, of: &str| read(&format!(r#"{{"Origin":{{"Origins":[{list}],"OriginType":"{of}"}}}}"#));
        assert!(with(r#""a.example","1.2.3.4""#, "ip_domain").is_ok());
        assert!(with(r#""a.example""#, "domainv6").is_ok());
        for (list, of, named) in [
            ("", "ip", "Origin.Origins"),
            (r#""1.2.3.4","::1""#, "ip", "Origin.Origins.1"),
            (r#""a.example""#, "ipv6", "Origin.Origins.0"),
            (r#""a.example""#, "cos", "Origin.OriginType"),
            (r#""a.example""#, "third_party", "not offered"),
            (r#""a.example""#, "name", "Origin.OriginType"),
        ] {
            let error = with(list, of).map(drop).expect_err(list);
            assert!(error.message.contains(named), "{}", error.message);
        }
        let backup = read(
            r#"{"Origin":{"Origins":["a"],"OriginType":"domain","OriginPullProtocol":"follow","BackupOrigins":["b:81"],"BackupOriginType":"domain"}}"#,
        )
        .expect("a valid origin");
        let shown = Origin::from(&backup);
        assert_eq!(
            (shown.backup_origins, shown.backup_origin_type),
            (Some(vec!["b:81".into()]), Some("domain".into()))
        );
        for half in [r#""BackupOrigins":["b"]"#, r#""BackupOriginType":"ip""#, r#""BackupServerName":"b""#] {
            let error = read(&format!(r#"{{"Origin":{{"Origins":["a"],"OriginType":"domain",{half}}}}}"#));
            assert!(error.map(drop).expect_err(half).message.contains("BackupOrigins"));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_address_or_none(text in any::<String>(), close in "[a-f0-9:.\\[\\]-]{0,24}") {
            for text in [&text, &close] {
                if let Some(address) = OriginAddress::parse(text.as_str()) {
                    prop_assert_eq!(address.text, text.as_str());
                }
            }
        }
    }
}
