//! The running workers of each node, and how they follow the configuration file.
//!
//! What this is: a crew for each node (the relay's worker, the prefetch's, for an edge the one that tells it its
//! domains and the one that grants it leases, or else the one by which a node returns), and the steps from one list of nodes to the next. What this is
//! not: what differs (`crate::reload`), who counts (`catharsis_core::duty`), or which adapter a node needs
//! (`crate::assemble`).
//!
//! Invariants: never two workers of a kind for one node, since the old crew has ended before the new one starts;
//! the store knows before the board shows. There are as many crews as the file has nodes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use catharsis_adapters::audit::HttpOutside;
use catharsis_adapters::probe::HttpProber;
use catharsis_adapters::purger::NodeAddress;
use catharsis_core::audit::Outside;
use catharsis_core::error::StoreError;
use catharsis_core::leasing::lease;
use catharsis_core::ports::{Hop, Lessor};
use catharsis_core::push::worker::{PushWorker, Pusher};
use catharsis_core::relay::Worker;
use catharsis_core::returning::come_back;
use catharsis_core::target::HostName;
use catharsis_core::topology::{Node, NodeId, Stay};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::assemble::{Engine, Told, hop, purger};
use crate::config::{PushSection, RelaySection};
use crate::domains::{Above, Publisher};
use crate::pushes;
use crate::reload::{Kind, Placed, differences};

/// How long after a failure of the store a step is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

impl Engine {
    /// The name by which a node is told the log: another one with each of its stays.
    pub(crate) fn log_of(&self, node: &NodeId) -> String {
        let stay = self.relay.board.standing(node).and_then(|standing| standing.stay);
        let log = self.store.log_id();
        stay.map_or_else(|| log.to_owned(), |Stay(stay)| format!("{log}.{stay:016x}"))
    }
}

/// What crews are started with: the sections of the file that the process started with.
#[derive(Debug)]
pub(crate) struct Sections {
    /// How nodes are driven.
    pub(crate) relay: RelaySection,
    /// How prefetches are carried out.
    pub(crate) push: PushSection,
    /// The host name of probe objects, where nodes are to prove themselves.
    pub(crate) probe_host: Option<HostName>,
}

/// All crews.
pub(crate) struct Fleet {
    engine: Arc<Engine>,
    sections: Sections,
    pusher: Pusher,
    stop: CancellationToken,
    crews: HashMap<NodeId, Crew>,
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet").field("nodes", &self.crews.keys()).finish_non_exhaustive()
    }
}

/// The workers of one node.
struct Crew {
    placed: Placed,
    workers: Stoppable,
    /// How it is granted leases, if it may need them.
    lessor: Option<Arc<dyn Lessor>>,
    /// Whoever grants it leases, or only brings it back. Stopped before anything changes, so that what it keeps in the
    /// store cannot come behind a drain.
    back: Stoppable,
}

/// Workers that end together.
struct Stoppable {
    stop: CancellationToken,
    workers: JoinSet<()>,
}

impl Stoppable {
    fn below(stop: &CancellationToken) -> Self {
        Self { stop: stop.child_token(), workers: JoinSet::new() }
    }

    /// Waits until all have ended, each after the attempt it is in.
    async fn end(&mut self) {
        self.stop.cancel();
        while let Some(ended) = self.workers.join_next().await {
            if let Err(error) = ended {
                error!(%error, "a worker ended early");
            }
        }
    }
}

/// How a node is told, and how its origin hop is asked.
type Manned = (Told, Option<Arc<dyn Hop>>);

impl Fleet {
    /// Starts a crew for each node.
    ///
    /// # Errors
    /// When a node cannot be told at all, for what its section says.
    pub(crate) fn start(
        engine: Arc<Engine>,
        sections: Sections,
        nodes: &[Placed],
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let pusher = pushes::pusher(&sections.push, &engine);
        let mut fleet = Self { engine, sections, pusher, stop, crews: HashMap::new() };
        for placed in nodes {
            let told = fleet.told(placed)?;
            fleet.man(placed.clone(), told);
        }
        for placed in nodes {
            fleet.bring_back(&placed.node.id);
        }
        Ok(fleet)
    }

    /// Brings the installation to these nodes, and returns how many differences there were. Each is logged.
    ///
    /// Meanwhile purges flow: nodes that stay as they are go on; the watermarks stand from the moment on at which
    /// the old crews have ended until the new nodes are on the board.
    ///
    /// # Errors
    /// When a node cannot be told at all, for what its section says; then nothing was changed.
    pub(crate) async fn change(&mut self, next: &[Placed]) -> anyhow::Result<usize> {
        let now: Vec<&Placed> = self.crews.values().map(|crew| &crew.placed).collect();
        let all = differences(&now, next);
        let (mut gone, mut ends, mut starts) = (Vec::new(), HashSet::new(), HashSet::new());
        for difference in &all {
            let id = &difference.node;
            match &difference.kind {
                Kind::Added => {}
                Kind::TakenOut | Kind::Replaced { .. } => gone.push(id.clone()),
                Kind::Changed { .. } => {}
            }
            if difference.kind.ends_workers() {
                ends.insert(id.clone());
            }
            if difference.kind.starts_workers()
                && let Some(placed) = next.iter().find(|placed| placed.node.id == *id)
            {
                // Whether it can be told at all, before anything is changed.
                self.told(placed)?;
                starts.insert(id.clone());
            }
        }
        for difference in &all {
            difference.log();
        }
        self.end_crews(&ends).await;
        if self.keep(&gone, next).await.is_none() {
            return Ok(all.len());
        }
        self.engine.distribution.follow(next);
        for placed in next {
            if starts.contains(&placed.node.id) {
                // Only now is it known by which name it is told the log.
                let told = self.told(placed)?;
                self.man(placed.clone(), told);
            } else if let Some(crew) = self.crews.get_mut(&placed.node.id) {
                crew.placed = placed.clone();
            }
            self.bring_back(&placed.node.id);
        }
        Ok(all.len())
    }

    /// Ends all crews.
    pub(crate) async fn end(mut self) {
        let all: HashSet<NodeId> = self.crews.keys().cloned().collect();
        self.end_crews(&all).await;
    }

    fn told(&self, placed: &Placed) -> anyhow::Result<Manned> {
        let told = purger(&placed.node, &placed.reach, &self.sections.relay, &self.engine)?;
        Ok((told, hop(placed, &self.sections.relay, &self.engine)?))
    }

    /// Ends these crews, and in all others whoever brings a node back.
    async fn end_crews(&mut self, which: &HashSet<NodeId>) {
        // All are asked before one is waited for: together they take as long as the longest attempt.
        for (id, crew) in &self.crews {
            crew.back.stop.cancel();
            if which.contains(id) {
                crew.workers.stop.cancel();
            }
        }
        for crew in self.crews.values_mut() {
            crew.back.end().await;
        }
        for id in which {
            if let Some(mut crew) = self.crews.remove(id) {
                self.engine.outsides.place(id, None);
                crew.workers.end().await;
            }
        }
    }

    /// Has the store forget those that are gone and know all others, and then shows it. `None` when the process
    /// is stopped first: the next start does the same.
    async fn keep(&self, gone: &[NodeId], next: &[Placed]) -> Option<()> {
        let relay = &self.engine.relay;
        let nodes: Vec<Arc<Node>> = next.iter().map(|placed| Arc::clone(&placed.node)).collect();
        let held = relay.board.hold();
        if !gone.is_empty() {
            let stays = |node: &&Arc<Node>| !gone.contains(&node.id);
            let stay: Vec<Arc<Node>> = nodes.iter().filter(stays).cloned().collect();
            self.until_kept(async || relay.store.forget_others(&stay).await).await?;
            let left: Vec<Arc<Node>> =
                relay.board.nodes().iter().filter(|node| gone.contains(&node.id)).cloned().collect();
            relay.board.take_out(gone);
            left.iter().for_each(|node| self.engine.events.forget(node));
        }
        let cursors = self.until_kept(async || relay.store.cursors(&nodes).await).await?;
        relay.board.bring(&held, &nodes, cursors);
        Some(())
    }

    async fn until_kept<T>(&self, step: impl AsyncFn() -> Result<T, StoreError>) -> Option<T> {
        loop {
            match step().await {
                Ok(kept) => return Some(kept),
                Err(error) => error!(%error, "the store cannot keep that nodes changed; trying again"),
            }
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep(AGAIN_AFTER) => {}
            }
        }
    }

    /// Starts the workers of a node that has none.
    fn man(&mut self, placed: Placed, (Told { purger, sink, lessor }, hop): Manned) {
        let mut crew = Stoppable::below(&self.stop);
        let (node, stop) = (&placed.node, &crew.stop);
        let mut worker = Worker::new(self.engine.relay.clone(), Arc::clone(node), purger, stop.clone());
        if let (Some(host), Some(traffic)) = (&self.sections.probe_host, placed.reach.traffic) {
            worker = worker.with_prober(Arc::new(HttpProber::new(NodeAddress::from(traffic), host.clone())));
        }
        if let Some(hop) = hop {
            worker = worker.with_hop(hop);
        }
        crew.workers.spawn(worker.run());
        let clock = &self.engine.relay.clock;
        let outside = placed.reach.traffic.map(|traffic| {
            Arc::new(HttpOutside::new(NodeAddress::from(traffic), Arc::clone(clock))) as Arc<dyn Outside>
        });
        self.engine.outsides.place(&node.id, outside);
        let fetcher = pushes::fetcher(&self.sections.push, placed.reach.traffic);
        let push = PushWorker::new(self.pusher.clone(), Arc::clone(node), fetcher, stop.clone());
        crew.workers.spawn(push.run());
        if let Some(sink) = sink {
            let (registry, distribution) = (Arc::clone(&self.engine.registry), Arc::clone(&self.engine.distribution));
            let above = node.shield.clone().zip(placed.above);
            let board = &self.engine.relay.board;
            let above = above.map(|(shield, traffic)| Above { shield, traffic, board: Arc::clone(board) });
            let publisher = Publisher { node: Arc::clone(node), above, sink, registry, distribution };
            crew.workers.spawn(publisher.run(stop.clone()));
        }
        let back = Stoppable::below(&self.stop);
        self.crews.insert(placed.node.id.clone(), Crew { placed, workers: crew, lessor, back });
    }

    /// Starts whoever grants a node leases, or else brings it back, which ends at once where there is nothing to do.
    fn bring_back(&mut self, id: &NodeId) {
        if let Some(crew) = self.crews.get_mut(id) {
            let mut back = Stoppable::below(&self.stop);
            let relay = self.engine.relay.clone();
            let (node, stop) = (Arc::clone(&crew.placed.node), back.stop.clone());
            match (&crew.lessor, crew.placed.reach.lease) {
                (Some(lessor), Some(length)) => {
                    back.workers.spawn(lease(relay, node, Arc::clone(lessor), length, stop));
                }
                (Some(_), None) | (None, _) => {
                    back.workers.spawn(come_back(relay, node, stop));
                }
            }
            crew.back = back;
        }
    }
}
