//! The key rules of domains in a control message.

use std::fmt;
use std::sync::Arc;

use catharsis_core::domain::{DomainMap, DomainName};
use catharsis_core::keys::KeyRules;
use catharsis_core::target::Scheme;
use serde::{Deserialize, Serialize};

use super::{ProtocolError, ServedName};

/// Key rules, in the words of [`KeyRules::parse`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WireRules(KeyRules);

impl WireRules {
    /// The rules.
    #[must_use]
    pub const fn rules(&self) -> &KeyRules {
        &self.0
    }
}

impl From<KeyRules> for WireRules {
    fn from(rules: KeyRules) -> Self {
        Self(rules)
    }
}

impl TryFrom<String> for WireRules {
    type Error = ProtocolError;

    fn try_from(text: String) -> Result<Self, ProtocolError> {
        KeyRules::parse(&text).map(Self).map_err(|_| ProtocolError::Rules)
    }
}

impl From<WireRules> for String {
    fn from(rules: WireRules) -> Self {
        rules.to_string()
    }
}

impl fmt::Display for WireRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The rules of one domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DomainRules {
    /// Its host names.
    pub name: ServedName,
    /// What its caches take for the same resource.
    pub rules: WireRules,
}

impl DomainRules {
    /// The rules of all domains, to be asked by host.
    #[must_use]
    pub fn by_host(listed: &[Self]) -> DomainMap<Arc<KeyRules>> {
        let mut map = DomainMap::default();
        for it in listed {
            map.insert(&it.name.clone().into(), Arc::new(it.rules.rules().clone()));
        }
        map
    }
}

impl From<ServedName> for DomainName {
    fn from(name: ServedName) -> Self {
        match name {
            ServedName::Exact(host) => Self::Exact(host),
            ServedName::Below(host) => Self::Below(host),
        }
    }
}

impl From<DomainName> for ServedName {
    fn from(name: DomainName) -> Self {
        match name {
            DomainName::Exact(host) => Self::Exact(host),
            DomainName::Below(host) => Self::Below(host),
        }
    }
}

/// A scheme on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WireScheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl From<Scheme> for WireScheme {
    fn from(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Http => Self::Http,
            Scheme::Https => Self::Https,
        }
    }
}

impl From<WireScheme> for Scheme {
    fn from(scheme: WireScheme) -> Self {
        match scheme {
            WireScheme::Http => Self::Http,
            WireScheme::Https => Self::Https,
        }
    }
}
