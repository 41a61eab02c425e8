//! `[[account]]`: who may purge what.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::units::Secret;

/// A root account. It seeds the store once; its keys follow the file at each start.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AccountSection {
    /// Its number (`uin`), unique.
    pub uin: u64,
    /// URLs in one call; absent: as `[limits]`.
    pub urls_per_call: Option<u32>,
    /// URLs a day in each area; absent: as `[limits]`.
    pub urls_per_day: Option<u32>,
    /// Directories in one call; absent: as `[limits]`.
    pub paths_per_call: Option<u32>,
    /// Directories a day in each area; absent: as `[limits]`.
    pub paths_per_day: Option<u32>,
    /// URLs to prefetch in one call; absent: as `[limits]`.
    pub pushes_per_call: Option<u32>,
    /// URLs to prefetch a day in each area; absent: as `[limits]`.
    pub pushes_per_day: Option<u32>,
    /// Its keys, at most two, so that one can be replaced while the other works.
    #[serde(default, rename = "key")]
    pub keys: Vec<KeySection>,
    /// Its domains.
    #[serde(default, rename = "domain")]
    pub domains: Vec<DomainSection>,
}

/// A key pair. Exactly one of `secret_key` and `secret_key_file` is given.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KeySection {
    /// The public half, sent with each request.
    pub secret_id: String,
    /// The secret half.
    pub secret_key: Option<Secret>,
    /// A file that holds the secret half and nothing else.
    pub secret_key_file: Option<PathBuf>,
}

/// An acceleration domain.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DomainSection {
    /// A host name, or `*.` and a host name for all hosts below it.
    pub name: String,
    /// Where it is served, default `global`.
    #[serde(default)]
    pub area: AreaName,
    /// Whether it is served, default `online`.
    #[serde(default)]
    pub status: DomainStatusName,
    /// What its caches take for the same resource, such as `query=drop case=folded`; default: two URLs are
    /// the same when they differ in nothing but the scheme. See docs/caches/keys.md.
    pub key_rules: Option<String>,
}

/// The areas of a domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AreaName {
    /// Mainland China only.
    Mainland,
    /// Elsewhere only.
    Overseas,
    /// Both.
    #[default]
    Global,
}

/// Whether a domain is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DomainStatusName {
    /// Served.
    #[default]
    Online,
    /// Stopped.
    Offline,
}
