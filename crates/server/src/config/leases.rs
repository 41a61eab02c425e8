//! Leases, as a file names them: how long a node's are, and whether an edge that runs here needs any.
//!
//! What this is not: a lease; see `catharsis_core::lease`.

use std::time::Duration;

use catharsis_core::limits::{LEASE, LEASE_MAX, LEASE_MIN};
use serde::{Deserialize, Serialize};

use super::nodes::{KindName, NodeSection};
use super::units::Span;

/// The word for no leases.
const NO_LEASE: &str = "none";

/// The leases of a node: a span, or the word `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseName {
    /// It gets none.
    None,
    /// So long.
    Length(Span),
}

impl<'de> Deserialize<'de> for LeaseName {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text == NO_LEASE {
            return Ok(Self::None);
        }
        Span::deserialize(serde::de::value::StringDeserializer::new(text)).map(Self::Length)
    }
}

impl Serialize for LeaseName {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => to.serialize_str(NO_LEASE),
            Self::Length(length) => length.serialize(to),
        }
    }
}

/// Whether an edge that runs here uses its copies only under a lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EdgeLeaseName {
    /// It does.
    #[default]
    Required,
    /// It uses them whenever its fence lets it.
    None,
}

/// How long the leases of a node are; `None` when it gets none.
pub(super) fn node_lease(section: &NodeSection) -> Result<Option<Duration>, String> {
    match (&section.lease, section.kind) {
        (None, KindName::Edge) => Ok(Some(LEASE)),
        (None, _) => Ok(None),
        (Some(LeaseName::None), KindName::Edge) => Ok(None),
        (Some(LeaseName::Length(length)), KindName::Edge) if (LEASE_MIN..=LEASE_MAX).contains(&length.0) => {
            Ok(Some(length.0))
        }
        (Some(LeaseName::Length(_)), KindName::Edge) => Err("`lease` is from 1s to 10m, or \"none\"".to_owned()),
        (Some(_), _) => Err("only the built-in edge (`kind = \"edge\"`) takes leases".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EdgeSection;

    fn node(kind: &str, lease: &str) -> Result<Option<Duration>, String> {
        let text = format!("name = \"n\"\narea = \"mainland\"\nkind = \"{kind}\"\naddress = \"127.0.0.1:80\"\n{lease}");
        node_lease(&toml::from_str(&text).map_err(|error| error.to_string())?)
    }

    #[test]
    fn lease_of_a_node_is_from_a_second_to_ten_minutes_or_none_and_of_built_in_edges_only() {
        let seconds = |count| Ok(Some(Duration::from_secs(count)));
        assert_eq!(node("edge", ""), seconds(10));
        assert_eq!(node("edge", "lease = \"none\""), Ok(None));
        assert_eq!(node("edge", "lease = \"1s\""), seconds(1));
        assert_eq!(node("edge", "lease = \"10m\""), seconds(600));
        assert_eq!(node("varnish", ""), Ok(None));
        for (kind, lease, why) in [
            ("edge", "999ms", "from 1s to 10m"),
            ("edge", "601s", "from 1s to 10m"),
            ("edge", "0s", "from 1s to 10m"),
            ("edge", "None", "lease"),
            ("varnish", "10s", "only the built-in edge"),
            ("varnish", "none", "only the built-in edge"),
        ] {
            let problem = node(kind, &format!("lease = \"{lease}\"")).expect_err(lease);
            assert!(problem.contains(why), "{lease}: {problem}");
        }
    }

    #[test]
    fn edge_requires_a_lease_unless_its_file_says_none_and_is_not_told_how_long() {
        let edge = |lease: &str| {
            let text = format!("name = \"e\"\nlisten = \"127.0.0.1:1\"\ncontrol = \"127.0.0.1:2\"\n{lease}");
            toml::from_str::<EdgeSection>(&text).map(|section| section.lease)
        };
        assert_eq!(edge(""), Ok(EdgeLeaseName::Required));
        assert_eq!(edge("lease = \"required\""), Ok(EdgeLeaseName::Required));
        assert_eq!(edge("lease = \"none\""), Ok(EdgeLeaseName::None));
        for wrong in ["lease = \"10s\"", "lease = \"\"", "lease = false"] {
            assert!(edge(wrong).is_err(), "{wrong}");
        }
    }
}
