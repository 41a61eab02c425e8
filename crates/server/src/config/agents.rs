//! `[[agent]]`: agents that run in this process, beside a cache on this machine.
//!
//! What this is: a section for each kind, and its check. What this is not: the agents.
//!
//! Invariant: a section holds what its kind has, and nothing of another.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use catharsis_agent::nginx::{ENTRIES_MAX, KeyTemplate, Levels, NginxAgentConfig};
use catharsis_agent::trafficserver::{RULES_MAX_DEFAULT, TrafficServerAgentConfig};
use catharsis_core::topology::NodeId;
use catharsis_storeid::{MARKS_MAX, SquidAgentConfig};
use serde::{Deserialize, Serialize};

use super::checked::{Problems, one_secret};
use super::units::{Secret, Span};

/// An agent, by the kind of the cache that it stands beside.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum AgentSection {
    /// nginx without a purge module, with the sample configuration `nginx-stock.conf`.
    Nginx(NginxSection),
    /// Squid, with the sample configuration `squid-agent.conf`.
    Squid(SquidSection),
    /// Traffic Server, with the sample configuration `trafficserver`.
    TrafficServer(TrafficServerSection),
}

/// An agent beside an nginx.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NginxSection {
    /// Its name, as log lines show it: lower-case letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// Where the relay connects: the `address` of its node. A token is required unless this is a loopback
    /// address.
    pub control: SocketAddr,
    /// What the control listener asks for.
    pub token: Option<Secret>,
    /// A file that holds the token and nothing else.
    pub token_file: Option<PathBuf>,
    /// The directory of `proxy_cache_path`.
    pub cache_dir: PathBuf,
    /// Its `levels`, default `1:2`; `""` where there are none.
    #[serde(default = "NginxSection::levels")]
    pub levels: String,
    /// The text of `proxy_cache_key`.
    pub key: String,
    /// Files in its index, default 8,000,000; with more, purges fail and say so.
    #[serde(default = "NginxSection::entries_max")]
    pub entries_max: usize,
}

/// An agent beside a Squid.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SquidSection {
    /// Its name, as log lines show it: lower-case letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// Where the relay connects: the `address` of its node. A token is required unless this is a loopback
    /// address.
    pub control: SocketAddr,
    /// What the control listener asks for.
    pub token: Option<Secret>,
    /// A file that holds the token and nothing else.
    pub token_file: Option<PathBuf>,
    /// The file of its journal, made where it is absent. Lost, whatever Squid holds is found no more; an older copy
    /// of it must never be put back.
    pub journal: PathBuf,
    /// Where what Squid starts (`catharsis store-id`) connects: a loopback address.
    pub helper: SocketAddr,
    /// Purged URLs and directories remembered one by one, default 1,000,000, each some 150 bytes; beyond that the
    /// oldest are remembered together, which costs copies.
    #[serde(default = "SquidSection::marks_max")]
    pub marks_max: usize,
}

/// An agent beside a Traffic Server.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TrafficServerSection {
    /// Its name, as log lines show it: lower-case letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// Where the relay connects: the `agent` of its node. A token is required unless this is a loopback address.
    pub control: SocketAddr,
    /// What the control listener asks for.
    pub token: Option<Secret>,
    /// A file that holds the token and nothing else.
    pub token_file: Option<PathBuf>,
    /// The rule file that it keeps: `--config` of the plugin.
    pub rules: PathBuf,
    /// Where the plugin writes down what it loaded: its `--state-file`.
    pub loaded: PathBuf,
    /// The program that has the rules loaded, and its arguments, run without a shell. Default `traffic_ctl`, `config`,
    /// `reload`.
    #[serde(default = "TrafficServerSection::reload")]
    pub reload: Vec<String>,
    /// `proxy.config.http.cache.guaranteed_max_lifetime`: from 10 minutes to 1 year, default 30 days as in the sample.
    #[serde(default = "TrafficServerSection::lifetime_max")]
    pub lifetime_max: Span,
    /// Rules in use, 2 to 10,000, default 1,000; beyond that directories are merged, which costs copies.
    #[serde(default = "TrafficServerSection::rules_max")]
    pub rules_max: usize,
}

impl TrafficServerSection {
    pub(crate) fn reload() -> Vec<String> {
        ["traffic_ctl", "config", "reload"].map(str::to_owned).to_vec()
    }

    const fn lifetime_max() -> Span {
        Span::seconds(30 * 86_400)
    }

    const fn rules_max() -> usize {
        RULES_MAX_DEFAULT
    }
}

impl NginxSection {
    fn levels() -> String {
        "1:2".to_owned()
    }

    const fn entries_max() -> usize {
        ENTRIES_MAX
    }
}

impl SquidSection {
    const fn marks_max() -> usize {
        MARKS_MAX.get()
    }
}

/// An agent that can be started.
#[derive(Clone, Debug)]
pub enum CheckedAgent {
    /// Beside an nginx.
    Nginx(NginxAgentConfig),
    /// Beside a Squid.
    Squid(SquidAgentConfig),
    /// Beside a Traffic Server.
    TrafficServer(CheckedTrafficServer),
}

/// An agent beside a Traffic Server.
#[derive(Clone, Debug)]
pub struct CheckedTrafficServer {
    /// Its name.
    pub name: String,
    /// Where relays connect.
    pub control: SocketAddr,
    /// What they must show.
    pub token: Option<catharsis_edge::control::Secret>,
    /// The rest.
    pub config: TrafficServerAgentConfig,
}

impl CheckedAgent {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Nginx(config) => &config.name,
            Self::Squid(config) => &config.name,
            Self::TrafficServer(agent) => &agent.name,
        }
    }
}

impl AgentSection {
    /// Checks the section.
    ///
    /// # Errors
    /// All its problems.
    pub(crate) fn checked(&self) -> Result<CheckedAgent, Vec<String>> {
        let mut problems = Problems(Vec::new());
        let config = check(self, &mut problems);
        config.filter(|_| problems.0.is_empty()).ok_or(problems.0)
    }
}

pub(super) fn check(section: &AgentSection, problems: &mut Problems) -> Option<CheckedAgent> {
    match section {
        AgentSection::Nginx(section) => nginx(section, problems).map(CheckedAgent::Nginx),
        AgentSection::Squid(section) => squid(section, problems).map(CheckedAgent::Squid),
        AgentSection::TrafficServer(section) => Some(CheckedAgent::TrafficServer(traffic_server(section, problems))),
    }
}

fn nginx(section: &NginxSection, problems: &mut Problems) -> Option<NginxAgentConfig> {
    let NginxSection { name, control, token, token_file, cache_dir, levels, key, entries_max } = section;
    let path = named(name, problems);
    let token = opened(&path, *control, (token.as_ref(), token_file.as_ref()), problems);
    if *entries_max == 0 {
        problems.add(format!("{path}: entries_max must be at least 1"));
    }
    let levels = problems.keep(&format!("{path} levels"), levels.parse::<Levels>());
    let key = problems.keep(&format!("{path} key"), key.parse::<KeyTemplate>());
    let config = NginxAgentConfig::new(name, *control, cache_dir.clone(), levels?, key?);
    Some(NginxAgentConfig { token, entries_max: *entries_max, ..config })
}

fn squid(section: &SquidSection, problems: &mut Problems) -> Option<SquidAgentConfig> {
    let SquidSection { name, control, token, token_file, journal, helper, marks_max } = section;
    let path = named(name, problems);
    let token = opened(&path, *control, (token.as_ref(), token_file.as_ref()), problems);
    if !helper.ip().is_loopback() {
        problems.add(format!("{path}: helper must be a loopback address: Squid's helper runs on this machine"));
    }
    let marks_max = NonZeroUsize::new(*marks_max).ok_or("marks_max must be at least 1");
    let marks_max = problems.keep(&path, marks_max)?;
    let (name, journal) = (name.clone(), journal.clone());
    Some(SquidAgentConfig { name, journal, marks_max, helper: *helper, control: *control, token })
}

fn traffic_server(section: &TrafficServerSection, problems: &mut Problems) -> CheckedTrafficServer {
    let TrafficServerSection { name, control, token, token_file, rules, loaded, reload, lifetime_max, rules_max } =
        section.clone();
    let path = named(&name, problems);
    let token = opened(&path, control, (token.as_ref(), token_file.as_ref()), problems);
    let config = TrafficServerAgentConfig { rules, loaded, reload, lifetime_max: lifetime_max.0, rules_max };
    problems.keep(&path, config.check());
    CheckedTrafficServer { name, control, token, config }
}

/// The path of a section in problems.
fn named(name: &str, problems: &mut Problems) -> String {
    let path = format!("[[agent]] {name}");
    if NodeId::parse(name).is_none() {
        problems.add(format!("{path}: the name must be of lower-case letters, digits, - _ ."));
    }
    path
}

/// The token of a control listener.
fn opened(
    path: &str,
    control: SocketAddr,
    (token, file): (Option<&Secret>, Option<&PathBuf>),
    problems: &mut Problems,
) -> Option<catharsis_edge::control::Secret> {
    let token = problems.keep(path, one_secret(token, file.map(PathBuf::as_path), "token")).flatten();
    let token = token.map(|secret| catharsis_edge::control::Secret::new(secret.expose()));
    problems.keep(&format!("{path} control"), catharsis_edge::control::check(control, token.as_ref()));
    token
}
