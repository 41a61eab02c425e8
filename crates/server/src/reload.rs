//! The configuration file, read again.
//!
//! What this is: what differs between two lists of nodes (pure), which sections changed that a running process
//! does not take over, and what SIGHUP does with both. What this is not: the workers; those are the fleet's.
//!
//! Invariant: a file with any problem changes nothing.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use catharsis_core::topology::{Fence, Node, NodeId, NodeKind, Rotation};
use sha2::{Digest, Sha256};
use tracing::{error, info};

use crate::assemble::Running;
use crate::config::{Checked, CheckedNode, Config, ConfigError};

/// A node and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) node: Arc<Node>,
    pub(crate) reach: CheckedNode,
    /// How its origin hop is reached, when its fence rests on one.
    pub(crate) hop: Option<CheckedNode>,
    /// Where the clients of its shield connect, when both are built-in edges: it may fetch through it.
    pub(crate) above: Option<SocketAddr>,
}

impl Placed {
    /// The nodes of a file, in its order.
    pub(crate) fn all(checked: &Checked) -> Vec<Self> {
        let reach = |node: &Arc<Node>| {
            let reach = checked.nodes.get(&node.id)?.clone();
            let hop = node.shield.as_ref().filter(|_| node.fence == Fence::Hop);
            let hop = hop.and_then(|hop| checked.nodes.get(hop)).cloned();
            let shield = checked.topology.nodes().iter().find(|it| Some(&it.id) == node.shield.as_ref());
            let is_edge = |node: &Node| node.kind == NodeKind::Edge;
            let above = shield.filter(|shield| is_edge(shield) && is_edge(node));
            let above = above.and_then(|shield| checked.nodes.get(&shield.id)?.traffic);
            Some(Self { node: Arc::clone(node), reach, hop, above })
        };
        checked.topology.nodes().iter().filter_map(reach).collect()
    }
}

/// How one node differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) node: NodeId,
    pub(crate) kind: Kind,
}

/// In what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is new, and of unknown content unless its section vouches for it.
    Added,
    /// It is no longer listed.
    TakenOut,
    /// What has its name now is another cache: taken out and added.
    Replaced { what: &'static str },
    /// It is the same cache, otherwise: its cursor stays, unless it fetches through another shield.
    Changed { what: Vec<&'static str>, rotation: Option<Rotation>, workers: Workers },
}

/// Whether a change needs new workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workers {
    New,
    Kept,
}

impl Kind {
    pub(crate) const fn ends_workers(&self) -> bool {
        match self {
            Self::Added | Self::Changed { workers: Workers::Kept, .. } => false,
            Self::TakenOut | Self::Replaced { .. } | Self::Changed { workers: Workers::New, .. } => true,
        }
    }

    pub(crate) const fn starts_workers(&self) -> bool {
        match self {
            Self::TakenOut | Self::Changed { workers: Workers::Kept, .. } => false,
            Self::Added | Self::Replaced { .. } | Self::Changed { workers: Workers::New, .. } => true,
        }
    }
}

impl Difference {
    /// Its line in the log. Names of nodes are of few characters, so nothing can forge a line.
    pub(crate) fn log(&self) {
        let node = &self.node;
        match &self.kind {
            Kind::Added => info!(%node, "node added"),
            Kind::TakenOut => info!(%node, "node taken out"),
            Kind::Replaced { what } => info!(%node, what, "node taken out and added: it is another cache"),
            Kind::Changed { what, rotation, .. } => {
                let what = what.join(", ");
                match rotation {
                    None => info!(%node, what, "node changed"),
                    Some(Rotation::In) => info!(%node, what, "node returns"),
                    Some(Rotation::Drained) => info!(%node, what, "node drained"),
                }
            }
        }
    }
}

/// What leads from the nodes of now to the next ones, in the order of the file, those that are gone first.
pub(crate) fn differences(now: &[&Placed], next: &[Placed]) -> Vec<Difference> {
    let before: HashMap<&NodeId, &Placed> = now.iter().map(|placed| (&placed.node.id, *placed)).collect();
    let stays = |id: &NodeId| next.iter().any(|placed| placed.node.id == *id);
    let mut gone: Vec<&NodeId> = before.keys().copied().filter(|id| !stays(id)).collect();
    gone.sort_unstable();
    let taken_out = |id: &NodeId| Difference { node: id.clone(), kind: Kind::TakenOut };
    let mut all: Vec<Difference> = gone.into_iter().map(taken_out).collect();
    let another = |id: &NodeId| {
        let old = before.get(id)?;
        replaced(&old.node, &next.iter().find(|placed| placed.node.id == *id)?.node)
    };
    for placed in next {
        let node = placed.node.id.clone();
        let kind = match before.get(&node) {
            None => Some(Kind::Added),
            Some(old) => match replaced(&old.node, &placed.node) {
                Some(what) => Some(Kind::Replaced { what }),
                None => {
                    let shield = placed.node.shield.as_ref().and_then(another);
                    changed(old, placed, shield.is_some())
                }
            },
        };
        all.extend(kind.map(|kind| Difference { node, kind }));
    }
    all
}

/// What makes another cache of a node.
fn replaced(old: &Node, new: &Node) -> Option<&'static str> {
    match (old.kind == new.kind, old.area == new.area) {
        (true, true) => None,
        (false, true) => Some("kind"),
        (true, false) => Some("area"),
        (false, false) => Some("kind, area"),
    }
}

fn changed(old: &Placed, new: &Placed, is_shield_another: bool) -> Option<Kind> {
    let (was, is) = (&old.node, &new.node);
    // How it is told and what its workers go by: they begin anew.
    let of_workers = [
        ("address", old.reach.address != new.reach.address),
        ("traffic", old.reach.traffic != new.reach.traffic),
        ("agent", old.reach.agent != new.reach.agent),
        ("htcp", old.reach.htcp != new.reach.htcp),
        ("management", old.reach.management != new.reach.management),
        ("token", old.reach.token != new.reach.token),
        ("pop", was.pop != is.pop),
        ("tier", was.tier != is.tier),
        ("shield", was.shield != is.shield),
        ("its shield is another cache", is_shield_another),
        ("fence", was.fence != is.fence),
        ("how its origin hop is reached", old.hop != new.hop),
        ("where its shield's clients connect", old.above != new.above),
    ];
    let others = [
        // Who grants it begins anew with every change of the file.
        ("lease", old.reach.lease != new.reach.lease),
        ("join", was.join != is.join),
        ("rotation", was.rotation != is.rotation),
    ];
    let workers = if of_workers.iter().any(|(_, differs)| *differs) { Workers::New } else { Workers::Kept };
    let what: Vec<&str> = of_workers.into_iter().chain(others).filter(|(_, differs)| *differs).map(|it| it.0).collect();
    let rotation = (was.rotation != is.rotation).then_some(is.rotation);
    (!what.is_empty()).then_some(Kind::Changed { what, rotation, workers })
}

/// What a file says, section by section, as digests: enough to see that one changed, and no secret is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written(BTreeMap<String, [u8; 32]>);

impl Written {
    /// Reads a file; one that is no TOML has no sections.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let sections: toml::Table = text.parse().unwrap_or_default();
        let digest = |(name, value): (String, toml::Value)| (name, Sha256::digest(value.to_string()).into());
        Self(sections.into_iter().map(digest).collect())
    }

    /// The sections that differ and that a running process does not take over.
    #[must_use]
    pub fn left_for_a_restart(&self, new: &Self) -> Vec<String> {
        let names = self.0.keys().chain(new.0.keys()).filter(|name| *name != "node");
        let mut differ: Vec<String> = names.filter(|name| self.0.get(*name) != new.0.get(*name)).cloned().collect();
        differ.sort();
        differ.dedup();
        differ
    }
}

/// Reads the file again and takes its nodes over; `started` is what the process started with.
pub async fn reload(path: &Path, running: &mut Running, started: &Written) {
    let checked = match Config::load(path) {
        // Without the section there would be no node either: an edge's file in the place of a server's is a
        // mistake, and not the wish to take all nodes out.
        Ok((config, _)) if config.api.is_none() && running.api().is_some() => {
            return error!(problem = "it has no [api] any more", "configuration not taken over");
        }
        Ok((_, checked)) => checked,
        Err(ConfigError::Problems(problems)) => {
            for problem in problems {
                error!(problem, "configuration not taken over");
            }
            return;
        }
        Err(error @ (ConfigError::Unreadable { .. } | ConfigError::Malformed { .. })) => {
            return error!(problem = %error, "configuration not taken over");
        }
    };
    let left = started.left_for_a_restart(&Written::read(path));
    match running.follow(&checked).await {
        Ok(differences) => {
            for section in left {
                info!(section, "takes effect after a restart");
            }
            info!(differences, "configuration read again");
        }
        Err(error) => error!(problem = format!("{error:#}"), "configuration not taken over"),
    }
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
