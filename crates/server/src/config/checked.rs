//! The configuration, checked and in the engine's types.
//!
//! What this is: the one place where names from the file become areas, nodes, domains and keys.
//! Invariant: every problem is collected with the path of its section; the first does not hide the
//! others.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use catharsis_core::account::Limits;
use catharsis_core::area::{Area, AreaSet, PerArea};
use catharsis_core::domain::{DomainName, DomainStatus};
use catharsis_core::keys::KeyRules;
use catharsis_core::limits::{PUSH_LANES_MAX, URLS_PER_CALL_MAX};
use catharsis_core::quota::{PerKind, QuotaKind};
use catharsis_core::target::HostName;
use catharsis_core::task::AccountId;
use catharsis_core::topology::{Join, Node, NodeId, NodeKind, Rotation, Tier, Topology};

use catharsis_registry::Defaults;
use catharsis_registry::change::{Seed, SeedAccount, SeedDomain, SeedKey};

use super::agents::CheckedAgent;
use super::fences::fence;
use super::leases::node_lease;
use super::nodes::NodeAreaName;
use super::varnish::{CheckedManagement, management};
use super::{
    AccountSection, AreaName, CheckedAdmin, Config, DomainSection, DomainStatusName, EdgeSection, JoinName, KeySection,
    KindName, LimitsSection, NodeSection, RotationName, Secret, TierName, api,
};
use crate::http::Tls;

/// What the server is assembled from.
#[derive(Debug)]
pub struct Checked {
    /// Accounts with their keys and domains, to be taken into the store.
    pub seed: Seed,
    /// What holds for accounts that say nothing else.
    pub defaults: Defaults,
    /// The nodes.
    pub topology: Topology,
    /// How each node is reached, by its name.
    pub nodes: HashMap<NodeId, CheckedNode>,
    /// The admin API, where there is one.
    pub admin: Option<CheckedAdmin>,
    /// The tokens of the edges that run here, in the order of the sections.
    pub edge_tokens: Vec<Option<Secret>>,
    /// The agents that run here.
    pub agents: Vec<CheckedAgent>,
    /// The host name of probe objects, where nodes are to prove themselves.
    pub probe_host: Option<HostName>,
    /// The certificate of the API, if it is to have one.
    pub tls: Option<Arc<Tls>>,
}

/// How a node is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedNode {
    /// The only address to which purges for it go.
    pub address: SocketAddr,
    /// Where its clients connect, and prefetches too.
    pub traffic: Option<SocketAddr>,
    /// Where Squid takes purges by HTCP.
    pub htcp: Option<SocketAddr>,
    /// What an edge's control listener asks for, or an agent's.
    pub token: Option<Secret>,
    /// The control listener of a Traffic Server's agent.
    pub agent: Option<SocketAddr>,
    /// How the ban list of a Varnish is looked at, if it is capped.
    pub management: Option<CheckedManagement>,
    /// How long the leases of a built-in edge are; `None` when it gets none.
    pub lease: Option<Duration>,
}

pub(super) struct Problems(pub(super) Vec<String>);

impl Problems {
    pub(super) fn add(&mut self, text: impl Into<String>) {
        self.0.push(text.into());
    }

    /// Keeps the value, or the problem under the section's path.
    pub(super) fn keep<T, E: std::fmt::Display>(&mut self, path: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(format!("{path}: {error}"))).ok()
    }
}

/// Checks a configuration.
///
/// # Errors
/// All problems, each with the path of its section.
pub(super) fn check(config: &Config) -> Result<Checked, Vec<String>> {
    let mut problems = Problems(Vec::new());
    check_roles(config, &mut problems);
    let tls = config.api.as_ref().and_then(|section| api::check(section, &mut problems.0));
    problems.0.extend(config.webhooks.problems());
    problems.0.extend(config.receipts.problems());
    problems.0.extend(config.audit.problems());
    let seed = check_accounts(&config.accounts, &mut problems);
    check_domains(&seed, &mut problems);
    let (topology, nodes) = check_nodes(&config.nodes, &mut problems);
    let admin = config.admin.as_ref().and_then(|section| super::admin::check(section, &mut problems));
    let probe_host = config.probe.as_ref().map(|section| HostName::parse(&section.host));
    let probe_host = probe_host.and_then(|host| problems.keep("[probe] host", host));
    let edge_tokens = config.edges.iter().map(|edge| check_edge(edge, &mut problems)).collect();
    let agents = config.agents.iter().filter_map(|agent| super::agents::check(agent, &mut problems)).collect();
    match topology {
        Some(topology) if problems.0.is_empty() => Ok(Checked {
            seed,
            defaults: defaults(&config.limits),
            topology,
            nodes,
            admin,
            edge_tokens,
            agents,
            probe_host,
            tls: tls.map(Arc::new),
        }),
        _ => Err(problems.0),
    }
}

fn check_roles(config: &Config, problems: &mut Problems) {
    match (&config.api, &config.store) {
        (Some(_), None) => problems.add("[store]: [api] needs it: write `[store]` with a `path`"),
        (None, Some(_)) => problems.add("[store]: it serves nothing without [api]"),
        (None, None) if config.edges.is_empty() && config.agents.is_empty() => {
            problems.add("nothing to run: write `[api]` and `[store]`, an `[[edge]]` or an `[[agent]]`");
        }
        (None, None) | (Some(_), Some(_)) => {}
    }
    if config.api.is_none() && !(config.accounts.is_empty() && config.nodes.is_empty()) {
        problems.add("[[account]] and [[node]] mean nothing without [api]");
    }
    if config.api.is_none() && config.probe.is_some() {
        problems.add("[probe]: it proves nothing without [api]");
    }
    if config.api.is_none() && config.admin.is_some() {
        problems.add("[admin]: it manages nothing without [api]");
    }
    let limits = &config.limits;
    let batches = [
        ("urls_per_call", limits.urls_per_call),
        ("paths_per_call", limits.paths_per_call),
        ("pushes_per_call", limits.pushes_per_call),
    ];
    for (name, batch) in batches {
        if !(1..=URLS_PER_CALL_MAX).contains(&batch) {
            problems.add(format!("[limits] {name}: must be from 1 to {URLS_PER_CALL_MAX}"));
        }
    }
    if limits.requests_per_second == 0 {
        problems.add("[limits] requests_per_second: must be at least 1");
    }
    let relay = &config.relay;
    if relay.retry_first.0.is_zero() || relay.retry_first.0 > relay.retry_max.0 {
        problems.add("[relay] retry_first: must be above zero and not above retry_max");
    }
    if [relay.connect_timeout, relay.answer_timeout, relay.batch_timeout].iter().any(|span| span.0.is_zero()) {
        problems.add("[relay] connect_timeout, answer_timeout and batch_timeout: must be above zero");
    }
    let push = &config.push;
    if !(1..=PUSH_LANES_MAX).contains(&push.fetches_per_node) {
        problems.add(format!("[push] fetches_per_node: must be from 1 to {PUSH_LANES_MAX}"));
    }
    if [push.deadline, push.connect_timeout, push.fetch_timeout].iter().any(|span| span.0.is_zero()) {
        problems.add("[push] deadline, connect_timeout and fetch_timeout: must be above zero");
    }
}

/// `[limits]` in the engine's types.
fn defaults(limits: &LimitsSection) -> Defaults {
    let everywhere = |day: u32| PerArea::from_fn(|_| day);
    Defaults {
        limits: Limits {
            per_call: PerKind { url: limits.urls_per_call, path: limits.paths_per_call, push: limits.pushes_per_call },
            per_day: PerKind {
                url: everywhere(limits.urls_per_day),
                path: everywhere(limits.paths_per_day),
                push: everywhere(limits.pushes_per_day),
            },
            raises: Vec::new(),
            domains: limits.domains,
        },
        requests_per_second: limits.requests_per_second,
    }
}

fn check_accounts(accounts: &[AccountSection], problems: &mut Problems) -> Seed {
    let mut seen = HashSet::new();
    let mut seed = Seed::default();
    for section in accounts {
        let path = format!("[[account]] {}", section.uin);
        if !seen.insert(section.uin) {
            problems.add(format!("{path}: listed twice"));
        }
        let own = |values: [(QuotaKind, Option<u32>); 3]| -> BTreeMap<QuotaKind, u32> {
            values.into_iter().filter_map(|(kind, value)| Some((kind, value?))).collect()
        };
        let per_call = own([
            (QuotaKind::Url, section.urls_per_call),
            (QuotaKind::Path, section.paths_per_call),
            (QuotaKind::Push, section.pushes_per_call),
        ]);
        let per_day = own([
            (QuotaKind::Url, section.urls_per_day),
            (QuotaKind::Path, section.paths_per_day),
            (QuotaKind::Push, section.pushes_per_day),
        ]);
        if per_call.values().any(|batch| !(1..=URLS_PER_CALL_MAX).contains(batch)) {
            problems.add(format!("{path}: the items in one call must be from 1 to {URLS_PER_CALL_MAX}"));
        }
        let keys = check_keys(section, &path, problems);
        let domains = section.domains.iter().filter_map(|section| {
            let path = format!("{path} domain `{}`", section.name);
            problems.keep(&path, domain(section))
        });
        let domains = domains.collect();
        seed.accounts.push(SeedAccount { account: AccountId(section.uin), per_call, per_day, keys, domains });
    }
    seed
}

fn check_keys(account: &AccountSection, path: &str, problems: &mut Problems) -> Vec<SeedKey> {
    if account.keys.len() > 2 {
        problems.add(format!("{path}: at most two keys"));
    }
    let mut keys = Vec::new();
    for section in &account.keys {
        let path = format!("{path} key `{}`", section.secret_id);
        let fits = (1..=128).contains(&section.secret_id.len())
            && section.secret_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if !fits {
            problems.add(format!("{path}: secret_id must be 1 to 128 letters, digits, `-` and `_`"));
        }
        let Some(secret) = problems.keep(&path, key_secret(section)) else { continue };
        keys.push(SeedKey { secret_id: section.secret_id.clone(), secret_key: secret.expose().to_owned() });
    }
    keys
}

/// Names that must not be listed twice, over all accounts.
fn check_domains(seed: &Seed, problems: &mut Problems) {
    let mut seen = HashSet::new();
    for domain in seed.accounts.iter().flat_map(|account| &account.domains) {
        if !seen.insert(&domain.name) {
            problems.add(format!("[[account]]: domain {} is listed twice", domain.name));
        }
    }
    let mut seen = HashSet::new();
    for key in seed.accounts.iter().flat_map(|account| &account.keys) {
        if !seen.insert(&key.secret_id) {
            problems.add(format!("[[account]]: key `{}` is listed twice", key.secret_id));
        }
    }
}

fn key_secret(section: &KeySection) -> Result<Secret, String> {
    let secret = one_secret(section.secret_key.as_ref(), section.secret_key_file.as_deref(), "secret_key")?;
    secret.ok_or_else(|| "write secret_key or secret_key_file".to_owned())
}

/// A secret given in the file or in a file of its own; never both.
pub(super) fn one_secret(inline: Option<&Secret>, file: Option<&Path>, name: &str) -> Result<Option<Secret>, String> {
    let secret = match (inline, file) {
        (Some(_), Some(_)) => return Err(format!("write {name} or {name}_file, not both")),
        (Some(secret), None) => secret.clone(),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
            Secret::new(text.trim().to_owned())
        }
        (None, None) => return Ok(None),
    };
    let printable = !secret.expose().is_empty() && secret.expose().bytes().all(|byte| byte.is_ascii_graphic());
    if printable { Ok(Some(secret)) } else { Err(format!("{name} must be printable ASCII without blanks")) }
}

fn domain(section: &DomainSection) -> Result<SeedDomain, String> {
    let keys = section.key_rules.as_deref().map(KeyRules::parse).transpose();
    Ok(SeedDomain {
        name: DomainName::parse(&section.name).map_err(|error| error.to_string())?,
        keys: keys.map_err(|error| format!("key_rules: {error}"))?.unwrap_or_default(),
        areas: match section.area {
            AreaName::Mainland => AreaSet::One(Area::Mainland),
            AreaName::Overseas => AreaSet::One(Area::Overseas),
            AreaName::Global => AreaSet::Global,
        },
        status: match section.status {
            DomainStatusName::Online => DomainStatus::Online,
            DomainStatusName::Offline => DomainStatus::Offline,
        },
    })
}

fn check_nodes(sections: &[NodeSection], problems: &mut Problems) -> (Option<Topology>, HashMap<NodeId, CheckedNode>) {
    let mut nodes = Vec::new();
    let mut reached = HashMap::new();
    for section in sections {
        let path = format!("[[node]] {}", section.name);
        let Some(node) = problems.keep(&path, node(section)) else { continue };
        let Some(token) = problems.keep(&path, node_token(section)) else { continue };
        let Some(management) = problems.keep(&path, management(section)) else { continue };
        let Some(lease) = problems.keep(&path, node_lease(section)) else { continue };
        let reach = CheckedNode {
            address: section.address,
            traffic: section.traffic,
            htcp: section.htcp,
            token,
            agent: section.agent,
            management,
            lease,
        };
        reached.insert(node.id.clone(), reach);
        nodes.push(node);
    }
    (problems.keep("[[node]]", Topology::new(nodes)), reached)
}

fn node_token(section: &NodeSection) -> Result<Option<Secret>, String> {
    let token = one_secret(section.token.as_ref(), section.token_file.as_deref(), "token")?;
    if section.agent.is_some() && section.kind != KindName::TrafficServer {
        return Err("`agent` is for Traffic Server only".to_owned());
    }
    let speaks_control =
        matches!(section.kind, KindName::Edge | KindName::NginxAgent | KindName::SquidAgent) || section.agent.is_some();
    if token.is_some() && !speaks_control {
        return Err(
            "only the built-in edge and agents take a token: let the cache itself check the relay's address".to_owned()
        );
    }
    Ok(token)
}

fn node(section: &NodeSection) -> Result<Node, String> {
    let name = |text: &str| {
        NodeId::parse(text).ok_or_else(|| format!("`{text}` is not a name: use lower-case letters, digits, - _ ."))
    };
    let cannot_forget = matches!(section.kind, KindName::Nginx | KindName::Squid);
    if cannot_forget && section.join == JoinName::Everything {
        let kind = if section.kind == KindName::Nginx { "nginx" } else { "Squid" };
        return Err(format!(
            "{kind} cannot be told to forget everything: empty its cache before it is added, and write `join = \"empty\"`"
        ));
    }
    if section.htcp.is_some() && section.kind != KindName::Squid {
        return Err("`htcp` is for kind `squid` only".to_owned());
    }
    if section.kind == KindName::TrafficServer && section.agent.is_none() && section.join == JoinName::Everything {
        return Err(
            "Traffic Server without an agent cannot be told to forget everything: start it once with an empty \
                    cache (`traffic_server -K`) before it is added, and write `join = \"empty\"`"
                .to_owned(),
        );
    }
    Ok(Node {
        id: name(&section.name)?,
        pop: name(&section.pop)?.as_str().into(),
        area: match section.area {
            NodeAreaName::Mainland => Area::Mainland,
            NodeAreaName::Overseas => Area::Overseas,
        },
        tier: match section.tier {
            TierName::Shield => Tier::Shield,
            TierName::Edge => Tier::Edge,
        },
        kind: match section.kind {
            KindName::Varnish => NodeKind::Varnish,
            KindName::Nginx => NodeKind::Nginx,
            KindName::TrafficServer => NodeKind::TrafficServer,
            KindName::Squid => NodeKind::Squid,
            KindName::NginxAgent => NodeKind::NginxAgent,
            KindName::SquidAgent => NodeKind::SquidAgent,
            KindName::Edge => NodeKind::Edge,
        },
        shield: section.shield.as_deref().map(name).transpose()?,
        fence: fence(section.kind, section.fence.as_ref())?,
        join: match section.join {
            JoinName::Everything => Join::Everything,
            JoinName::Empty => Join::Empty,
        },
        rotation: match section.rotation {
            RotationName::In => Rotation::In,
            RotationName::Drained => Rotation::Drained,
        },
    })
}

fn check_edge(edge: &EdgeSection, problems: &mut Problems) -> Option<Secret> {
    let path = format!("[[edge]] {}", edge.name);
    if NodeId::parse(&edge.name).is_none() {
        problems.add(format!("{path}: the name must be of lower-case letters, digits, - _ ."));
    }
    for route in &edge.routes {
        if route.host != "*" {
            problems.keep(&format!("{path} route `{}`", route.host), DomainName::parse(&route.host));
        }
    }
    let token = one_secret(edge.token.as_ref(), edge.token_file.as_deref(), "token");
    let token = problems.keep(&path, token).flatten();
    if token.is_none() && !edge.control.ip().is_loopback() {
        problems.add(format!("{path}: control is not a loopback address: write a token, or anyone could purge"));
    }
    token
}
