//! `[[agent]]`: agents that run in this process, beside a cache on this machine.

use std::net::SocketAddr;
use std::path::PathBuf;

use catharsis_agent::nginx::{ENTRIES_MAX, KeyTemplate, Levels, NginxAgentConfig};
use catharsis_core::topology::NodeId;
use serde::{Deserialize, Serialize};

use super::checked::{Problems, one_secret};
use super::units::Secret;

/// An agent.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AgentSection {
    /// Its name, as log lines show it: lower-case letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// Beside what kind of cache.
    pub kind: AgentKindName,
    /// Where the relay connects: the `address` of its node. A token is required unless this is a loopback
    /// address.
    pub control: SocketAddr,
    /// What the control listener asks for.
    pub token: Option<Secret>,
    /// A file that holds the token and nothing else.
    pub token_file: Option<PathBuf>,
    /// nginx: the directory of `proxy_cache_path`.
    pub cache_dir: PathBuf,
    /// nginx: its `levels`, default `1:2`; `""` where there are none.
    #[serde(default = "AgentSection::levels")]
    pub levels: String,
    /// nginx: the text of `proxy_cache_key`.
    pub key: String,
    /// Files in its index, default 8,000,000; with more, purges fail and say so.
    #[serde(default = "AgentSection::entries_max")]
    pub entries_max: usize,
}

/// What an agent stands beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentKindName {
    /// nginx without a purge module, with the sample configuration `nginx-stock.conf`.
    Nginx,
}

impl AgentSection {
    fn levels() -> String {
        "1:2".to_owned()
    }

    const fn entries_max() -> usize {
        ENTRIES_MAX
    }

    /// Checks the section.
    ///
    /// # Errors
    /// All its problems.
    pub(crate) fn checked(&self) -> Result<NginxAgentConfig, Vec<String>> {
        let mut problems = Problems(Vec::new());
        let config = check(self, &mut problems);
        config.filter(|_| problems.0.is_empty()).ok_or(problems.0)
    }
}

pub(super) fn check(section: &AgentSection, problems: &mut Problems) -> Option<NginxAgentConfig> {
    let AgentKindName::Nginx = section.kind;
    let path = format!("[[agent]] {}", section.name);
    if NodeId::parse(&section.name).is_none() {
        problems.add(format!("{path}: the name must be of lower-case letters, digits, - _ ."));
    }
    if section.entries_max == 0 {
        problems.add(format!("{path}: entries_max must be at least 1"));
    }
    let token = one_secret(section.token.as_ref(), section.token_file.as_deref(), "token");
    let token = problems.keep(&path, token).flatten();
    let token = token.map(|secret| catharsis_edge::control::Secret::new(secret.expose()));
    problems.keep(&format!("{path} control"), catharsis_edge::control::check(section.control, token.as_ref()));
    let levels = problems.keep(&format!("{path} levels"), section.levels.parse::<Levels>());
    let key = problems.keep(&format!("{path} key"), section.key.parse::<KeyTemplate>());
    let (levels, key) = (levels?, key?);
    let config = NginxAgentConfig::new(&section.name, section.control, section.cache_dir.clone(), levels, key);
    Some(NginxAgentConfig { token, entries_max: section.entries_max, ..config })
}
