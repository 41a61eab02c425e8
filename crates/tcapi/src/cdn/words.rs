//! The contract's words: its enumerations, each with the spelling on the wire.
//!
//! Some are read and some only written; one that is read refuses any other spelling by naming all that are known.

use serde::{Deserialize, Serialize};

use super::param_error;
use crate::code::WireError;
use crate::text::shown;

macro_rules! words {
    ($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $vdoc:literal])+ $variant:ident = $text:literal,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[doc = $vdoc])+ #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl Word for $name {
            fn all() -> &'static [Self] { Self::ALL }
            fn word(self) -> &'static str { self.as_str() }
        }
    };
}

pub(super) use words;

/// An enumeration of the contract's words.
pub(super) trait Word: Copy + 'static {
    fn all() -> &'static [Self];
    fn word(self) -> &'static str;
}

words! {
    /// Where to purge. `global` is no legal input of a purge.
    PurgeArea {
        /// Mainland China.
        Mainland = "mainland",
        /// Outside of it.
        Overseas = "overseas",
    }
}

words! {
    /// Whose tasks to list, where to prefetch to, where a domain is served.
    TaskArea {
        /// Mainland China.
        Mainland = "mainland",
        /// Outside of it.
        Overseas = "overseas",
        /// Both.
        Global = "global",
    }
}

words! {
    /// What a task purges.
    PurgeType {
        /// URLs.
        Url = "url",
        /// Directories.
        Path = "path",
    }
}

words! {
    /// What became of one URL or directory.
    TaskStatus {
        /// It could not be purged.
        Fail = "fail",
        /// It is purged.
        Done = "done",
        /// It is under way.
        Process = "process",
    }
}

words! {
    /// How a cached copy is forgotten.
    FlushType {
        /// Checked with the origin before it is served again; directories only.
        Flush = "flush",
        /// Fetched anew.
        Delete = "delete",
    }
}

words! {
    /// What became of the prefetch of one URL.
    PushStatus {
        /// It could not be fetched.
        Fail = "fail",
        /// It is in the caches.
        Done = "done",
        /// It is under way.
        Process = "process",
        /// The origin answered with 4xx or 5xx.
        Invalid = "invalid",
    }
}

words! {
    /// To which tier a prefetch goes; absent, the vendor decides by area.
    Layer {
        /// The shields.
        Middle = "middle",
    }
}

words! {
    /// How a scheduled task ended, by its own word.
    ExecutionStatus {
        /// As it should.
        Success = "success",
        /// It did not.
        Failed = "failed",
    }
}

words! {
    /// What a domain serves. Kept and shown; nothing here is served differently for it.
    ServiceType {
        /// Pages and small files.
        Web = "web",
        /// Large files.
        Download = "download",
        /// Audio and video on demand.
        Media = "media",
        /// Static and dynamic content.
        Hybrid = "hybrid",
        /// Dynamic content.
        Dynamic = "dynamic",
    }
}

words! {
    /// With which protocol the caches fetch from the origin.
    PullProtocol {
        /// HTTP always; the default.
        Http = "http",
        /// That of the client's request.
        Follow = "follow",
        /// HTTPS always.
        Https = "https",
    }
}

words! {
    /// The stage of a domain's service.
    DomainStatus {
        /// The domain was not admitted.
        Rejected = "rejected",
        /// A change is on its way to the caches.
        Processing = "processing",
        /// It is being taken out of service.
        Closing = "closing",
        /// Served.
        Online = "online",
        /// Not served.
        Offline = "offline",
    }
}

words! {
    /// Why a domain is shut off.
    Disable {
        /// It is not.
        Normal = "normal",
        /// The account is in debt.
        Overdue = "overdue",
        /// Malicious.
        Malicious = "malicious",
        /// Attacked.
        Ddos = "ddos",
        /// Unused for 90 days.
        Idle = "idle",
        /// Without a registration.
        Unlicensed = "unlicensed",
        /// Over its cap of bandwidth.
        Capping = "capping",
        /// Locked for its special configuration.
        Readonly = "readonly",
    }
}

words! {
    /// Where a domain is locked.
    Readonly {
        /// Nowhere.
        Normal = "normal",
        /// In mainland China.
        Mainland = "mainland",
        /// Outside of it.
        Overseas = "overseas",
        /// Everywhere.
        Global = "global",
    }
}

words! {
    /// Which product a domain belongs to.
    Product {
        /// This one.
        Cdn = "cdn",
        /// The one that was merged into it.
        Ecdn = "ecdn",
    }
}

words! {
    /// What a filter of domains looks at.
    DomainFilterName {
        /// An address of the origin.
        Origin = "origin",
        /// The domain.
        Domain = "domain",
        /// Its id.
        ResourceId = "resourceId",
        /// `online`, `offline`, `processing` or `deleted`.
        Status = "status",
        /// A [`ServiceType`].
        ServiceType = "serviceType",
        /// A project's number.
        ProjectId = "projectId",
        /// `cname` (an origin of one's own), `cos`, `third_party` or `igtm`.
        DomainType = "domainType",
        /// `on` or `off`: whether the whole URL is the cache key.
        FullUrlCache = "fullUrlCache",
        /// `on`, `off` or `processing`.
        Https = "https",
        /// A [`PullProtocol`].
        OriginPullProtocol = "originPullProtocol",
        /// A tag's key.
        TagKey = "tagKey",
    }
}

words! {
    /// Which kinds of address an origin's list holds, as the contract names the mixtures.
    OriginType {
        /// Names.
        Domain = "domain",
        /// Names that are resolved to IPv6 addresses.
        DomainV6 = "domainv6",
        /// IPv4 addresses.
        Ip = "ip",
        /// IPv6 addresses.
        Ipv6 = "ipv6",
        /// IPv4 and IPv6 addresses.
        IpIpv6 = "ip_ipv6",
        /// IPv4 addresses and names.
        IpDomain = "ip_domain",
        /// IPv4 addresses and names of IPv6 addresses.
        IpDomainV6 = "ip_domainv6",
        /// IPv6 addresses and names.
        Ipv6Domain = "ipv6_domain",
        /// IPv6 addresses and names of IPv6 addresses.
        Ipv6DomainV6 = "ipv6_domainv6",
        /// Names of both kinds.
        DomainDomainV6 = "domain_domainv6",
        /// Addresses of both kinds and names.
        IpIpv6Domain = "ip_ipv6_domain",
        /// Addresses of both kinds and names of IPv6 addresses.
        IpIpv6DomainV6 = "ip_ipv6_domainv6",
        /// IPv4 addresses and names of both kinds.
        IpDomainDomainV6 = "ip_domain_domainv6",
        /// IPv6 addresses and names of both kinds.
        Ipv6DomainDomainV6 = "ipv6_domain_domainv6",
        /// Everything.
        IpIpv6DomainDomainV6 = "ip_ipv6_domain_domainv6",
    }
}

/// Reads one of the contract's words; `name` is the parameter's full name.
pub(super) fn word<T: Word>(name: &str, text: &str) -> Result<T, WireError> {
    let known = || T::all().iter().map(|w| w.word());
    T::all().iter().copied().find(|w| w.word() == text).ok_or_else(|| not_one_of(name, known(), text))
}

/// The refusal of a text that is none of the `known` ones.
pub(super) fn not_one_of<'k>(name: &str, known: impl Iterator<Item = &'k str>, text: &str) -> WireError {
    let known: Vec<String> = known.map(|word| format!("`{word}`")).collect();
    param_error(
        name,
        &format!("must be one of {}, and is `{}`", known.join(", "), shown(text)),
        &format!("必须是 {} 之一，现为 `{}`", known.join("、"), shown(text)),
    )
}
