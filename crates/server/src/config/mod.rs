//! The configuration file.
//!
//! What this is: one TOML file, a struct a section; each says its unit, default and bound. A section
//! that is absent is a role that this process does not play: a file with `[[edge]]` sections only
//! runs edges, one without runs none.
//!
//! Invariant: unknown keys are refused, and all problems that can be found are reported at once.

mod accounts;
mod admin;
mod agents;
mod api;
mod audit;
mod checked;
mod fences;
mod leases;
mod nodes;
mod probe;
mod push;
mod receipts;
mod units;
mod varnish;
mod webhooks;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use accounts::{AccountSection, AreaName, DomainSection, DomainStatusName, KeySection};
pub use admin::{AdminSection, CheckedAdmin, RemoteName};
pub use agents::{AgentSection, CheckedAgent, CheckedTrafficServer, NginxSection, SquidSection, TrafficServerSection};
pub use api::ApiSection;
pub use audit::{AuditMode, AuditSection};
pub use checked::{Checked, CheckedNode};
pub use leases::{EdgeLeaseName, LeaseName};
pub use nodes::{
    EdgeSection, FenceSection, JoinName, KindName, NodeAreaName, NodeSection, RotationName, RouteSection, TierName,
};
pub use probe::ProbeSection;
pub use push::PushSection;
pub use receipts::ReceiptsSection;
pub use units::{Secret, Size, Span};
pub use varnish::CheckedManagement;
pub use webhooks::WebhooksSection;

/// The whole file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The API that callers sign requests for. Absent: this process serves no API and no relay.
    pub api: Option<ApiSection>,
    /// Where tasks are kept. Needed with `[api]`.
    pub store: Option<StoreSection>,
    /// The admin API. Absent: no such listener.
    pub admin: Option<AdminSection>,
    /// Health, readiness and metrics.
    #[serde(default)]
    pub ops: OpsSection,
    /// How nodes are driven.
    #[serde(default)]
    pub relay: RelaySection,
    /// How nodes prove that they purge. Absent: none does.
    pub probe: Option<ProbeSection>,
    /// How prefetches are carried out.
    #[serde(default)]
    pub push: PushSection,
    /// What callers may do.
    #[serde(default)]
    pub limits: LimitsSection,
    /// How endpoints are told that tasks have ended.
    #[serde(default)]
    pub webhooks: WebhooksSection,
    /// Looking from outside whether what was purged is gone.
    #[serde(default)]
    pub audit: AuditSection,
    /// In whose name and with which key receipts are signed.
    #[serde(default)]
    pub receipts: ReceiptsSection,
    /// What is logged.
    #[serde(default)]
    pub log: LogSection,
    /// Accounts with their keys and domains.
    #[serde(default, rename = "account")]
    pub accounts: Vec<AccountSection>,
    /// The caches that are purged.
    #[serde(default, rename = "node")]
    pub nodes: Vec<NodeSection>,
    /// Built-in edges that run in this process.
    #[serde(default, rename = "edge")]
    pub edges: Vec<EdgeSection>,
    /// Agents that run in this process.
    #[serde(default, rename = "agent")]
    pub agents: Vec<AgentSection>,
}

/// `[store]`: the embedded store.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSection {
    /// The database file; it is created when absent. Its folder must be on a local disk.
    pub path: PathBuf,
    /// How long tasks, their invalidations and receipts are kept, default 90 days (the window of
    /// the contract's history). A node that was away longer is told to forget everything.
    #[serde(default = "StoreSection::retention")]
    pub retention: Span,
    /// The file with the key that secrets in the database are encrypted with; default: the database's
    /// name with `.key` behind it. Made at the first start, readable for its owner only. Without it the
    /// secrets are lost: keep a copy, but not beside a copy of the database.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
}

impl StoreSection {
    const fn retention() -> Span {
        Span::seconds(90 * 86_400)
    }

    /// The defaults, at a path.
    #[must_use]
    pub const fn at(path: PathBuf) -> Self {
        Self { path, retention: Self::retention(), key_file: None }
    }

    /// Where the key is.
    #[must_use]
    pub fn key_path(&self) -> PathBuf {
        self.key_file.clone().unwrap_or_else(|| self.beside("key"))
    }

    /// Where the rates of calls are kept over a restart.
    #[must_use]
    pub fn rates_path(&self) -> PathBuf {
        self.beside("rates")
    }

    /// Where the key that receipts are signed with is, unless `[receipts]` says otherwise.
    #[must_use]
    pub fn signing_key_path(&self) -> PathBuf {
        self.beside("receipts.pem")
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".");
        name.push(ending);
        name.into()
    }
}

/// `[ops]`: health, readiness and metrics.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OpsSection {
    /// Address to listen on; absent: no such listener. It asks nobody who they are, so keep it on
    /// an address that only your monitoring reaches.
    pub listen: Option<SocketAddr>,
}

/// `[relay]`: how nodes are driven.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RelaySection {
    /// When an item that is not settled everywhere is shown as `fail`, default 10 minutes. The work
    /// goes on, and a late success turns it into `done`.
    pub fail_after: Span,
    /// First delay after a failed attempt, default 100 ms; it doubles up to `retry_max`.
    pub retry_first: Span,
    /// Longest delay between attempts, default 15 s.
    pub retry_max: Span,
    /// Time to connect to a node, default 2 s.
    pub connect_timeout: Span,
    /// Time to each answer of a node, default 5 s.
    pub answer_timeout: Span,
    /// Time for a whole batch of up to 512 invalidations, default 30 s.
    pub batch_timeout: Span,
}

impl Default for RelaySection {
    fn default() -> Self {
        Self {
            fail_after: Span(catharsis_core::limits::FAIL_AFTER),
            retry_first: Span(catharsis_core::limits::RETRY_FIRST),
            retry_max: Span(catharsis_core::limits::RETRY_MAX),
            connect_timeout: Span::seconds(2),
            answer_timeout: Span::seconds(5),
            batch_timeout: Span::seconds(30),
        }
    }
}

/// `[limits]`: what every account may do unless its own section says otherwise.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsSection {
    /// URLs in one call, default 1000, at most 50000.
    pub urls_per_call: u32,
    /// URLs a day in each area, default 10000; the day begins at 00:00 UTC+8.
    pub urls_per_day: u32,
    /// Directories in one call, default 500, at most 50000.
    pub paths_per_call: u32,
    /// Directories a day in each area, default 100.
    pub paths_per_day: u32,
    /// URLs to prefetch in one call, default 500, at most 50000.
    pub pushes_per_call: u32,
    /// URLs to prefetch a day in each area, default 1000.
    pub pushes_per_day: u32,
    /// Domains of an account, default 100.
    pub domains: u32,
    /// Calls a second, account and action, default 20: as many at once after a pause, and then one
    /// each time that so many fit into a second.
    pub requests_per_second: u32,
}

impl Default for LimitsSection {
    fn default() -> Self {
        Self {
            urls_per_call: catharsis_core::limits::URLS_PER_CALL,
            urls_per_day: catharsis_core::limits::URLS_PER_DAY,
            paths_per_call: catharsis_core::limits::PATHS_PER_CALL,
            paths_per_day: catharsis_core::limits::PATHS_PER_DAY,
            pushes_per_call: catharsis_core::limits::PUSHES_PER_CALL,
            pushes_per_day: catharsis_core::limits::PUSHES_PER_DAY,
            domains: catharsis_core::limits::DOMAINS,
            requests_per_second: 20,
        }
    }
}

/// `[log]`: what is written to standard error.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// `text` (default) or `json`, a line an event.
    pub format: LogFormat,
    /// What is logged, default `info`; the syntax of `RUST_LOG`, which wins when it is set.
    pub filter: String,
}

impl Default for LogSection {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".to_owned() }
    }
}

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It is not TOML, or a key is unknown or of the wrong type.
    #[error("{path}: {error}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why.
        error: Box<toml::de::Error>,
    },
    /// Its values do not fit together.
    #[error("the configuration has {} problem(s):\n  - {}", .0.len(), .0.join("\n  - "))]
    Problems(Vec<String>),
}

impl Config {
    /// Reads a file and checks it.
    ///
    /// # Errors
    /// [`ConfigError`], with every problem that was found.
    pub fn load(path: &Path) -> Result<(Self, Checked), ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })?;
        let config: Self = toml::from_str(&text)
            .map_err(|error| ConfigError::Malformed { path: path.to_owned(), error: Box::new(error) })?;
        let checked = config.check()?;
        Ok((config, checked))
    }

    /// Checks that the values fit together and turns them into the engine's types.
    ///
    /// # Errors
    /// [`ConfigError::Problems`], with all of them.
    pub fn check(&self) -> Result<Checked, ConfigError> {
        checked::check(self).map_err(ConfigError::Problems)
    }
}
