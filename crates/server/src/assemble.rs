//! Putting the parts together.
//!
//! What this is: the only place that names concrete adapters, that starts whatever runs and stops it;
//! the workers of the nodes are in [`crate::fleet`]. What this is not: a decision about purging.
//!
//! Invariant: parts start from the back to the front (edges, store, relay, doors) and stop from the
//! front to the back, so that nothing is accepted that could not be kept.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use catharsis_adapters::audit::HttpOutside;
use catharsis_adapters::clock::SystemClock;
use catharsis_adapters::purger::edge::{EdgeHop, EdgePurger};
use catharsis_adapters::purger::nginx::NginxPurger;
use catharsis_adapters::purger::squid::SquidPurger;
use catharsis_adapters::purger::trafficserver::TrafficServerPurger;
use catharsis_adapters::purger::varnish::{Management, VarnishPurger};
use catharsis_adapters::purger::{HttpLimits, NodeAddress};
use catharsis_adapters::store::sqlite::{SqliteOptions, SqliteStore};
use catharsis_core::abilities::Abilities;
use catharsis_core::area::Area;
use catharsis_core::audit::Outside;
use catharsis_core::board::Board;
use catharsis_core::clock::UnixMillis;
use catharsis_core::keys::RulesOf;
use catharsis_core::ports::{Clock, Hop, Lessor, Log, Purger, Store};
use catharsis_core::push::ports::PushStore;
use catharsis_core::push::service::PushService;
use catharsis_core::receipt::{Reason, Unreachable};
use catharsis_core::relay::{Observer, Relay};
use catharsis_core::retry::RetryPolicy;
use catharsis_core::service::PurgeService;
use catharsis_core::target::HostName;
use catharsis_core::topology::{Node, NodeKind};
use catharsis_edge::protocol::{DomainTable, LogId};
use catharsis_registry::Registry;
use catharsis_registry::vault::{Absent, Vault};

use crate::admin::{self, Admin};
use crate::agents::RunningAgent;
use crate::audit::{Auditing, Auditor, Outsides};
use crate::config::{ApiSection, AuditMode, Checked, CheckedNode, Config, RelaySection, StoreSection};
use crate::domains::{Contents, Distribution, DomainSink};
use crate::edges;
use crate::events::Events;
use crate::fleet::{Fleet, Sections};
use crate::http::{Api, Backend, Door, DoorLimits, Ops, OpsService, ProbeOrigin};
use crate::receipts::Notary;
use crate::reload::Placed;
use crate::webhooks::{self, Webhooks};

pub use crate::edges::RunningEdge;

/// How often old tasks are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);

/// Bounds of the operator's door: a few probes and scrapers.
const OPS_LIMITS: DoorLimits =
    DoorLimits { connections_max: 64, drain_timeout: Duration::from_secs(1), ..DoorLimits::USUAL };

/// Bounds of the origin of probe objects: a few connections from each cache.
const PROBE_LIMITS: DoorLimits = DoorLimits { connections_max: 1_024, ..OPS_LIMITS };

/// A running process.
#[derive(Debug)]
pub struct Running {
    api: Option<ApiRole>,
    ops: Option<SocketAddr>,
    edges: Vec<RunningEdge>,
    agents: Vec<RunningAgent>,
    /// Cancelled first: the process is no longer ready, and no further call is accepted.
    closing: CancellationToken,
    /// Cancelled when the doors are closed.
    stopping: CancellationToken,
    doors: JoinSet<()>,
    workers: JoinSet<()>,
    /// The workers of the nodes, where this process has an API.
    fleet: Option<Fleet>,
}

#[derive(Debug)]
struct ApiRole {
    address: SocketAddr,
    store: Arc<SqliteStore>,
}

/// Starts what a configuration asks for. When it returns, every listener accepts.
///
/// # Errors
/// When a listener, an edge or the store cannot be opened.
pub async fn start(config: &Config, checked: Checked) -> anyhow::Result<Running> {
    let events = Arc::new(Events::default());
    let mut running = Running {
        api: None,
        ops: None,
        edges: Vec::new(),
        agents: Vec::new(),
        closing: CancellationToken::new(),
        stopping: CancellationToken::new(),
        doors: JoinSet::new(),
        workers: JoinSet::new(),
        fleet: None,
    };
    for (section, token) in config.edges.iter().zip(&checked.edge_tokens) {
        running.edges.push(edges::start(section, token.as_ref())?);
    }
    for agent in checked.agents.clone() {
        running.agents.push(RunningAgent::start(agent).await?);
    }
    let mut ops_service = None;
    if let (Some(api), Some(store)) = (&config.api, &config.store) {
        ops_service = Some(start_api(&mut running, config, (api, store), checked, &events).await?);
    }
    if let Some(listen) = config.ops.listen {
        let door = Door::open(listen, OPS_LIMITS).await.with_context(|| format!("[ops] cannot listen on {listen}"))?;
        running.ops = Some(door.address()?);
        info!(door = "ops", address = %door.address()?, "listening");
        let ops = Ops::new(events, ops_service, running.closing.clone());
        // The operator's door stays open while the API drains, so that probes see "stopping".
        running.workers.spawn(door.serve(Arc::new(ops), running.stopping.clone()));
    }
    Ok(running)
}

/// The engine of one process, without its workers and doors.
pub(crate) struct Engine {
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) distribution: Arc<Distribution>,
    pub(crate) relay: Relay,
    pub(crate) service: Arc<PurgeService>,
    pub(crate) events: Arc<Events>,
    pub(crate) outsides: Arc<Outsides>,
    notary: Arc<Notary>,
    pushes: Arc<PushService>,
}

async fn start_api(
    running: &mut Running,
    config: &Config,
    (api, store_section): (&ApiSection, &StoreSection),
    checked: Checked,
    events: &Arc<Events>,
) -> anyhow::Result<OpsService> {
    let engine = Arc::new(open_engine(config, store_section, &checked, events).await?);
    if let Some(section) = &config.probe {
        // Before the workers, which fetch from it at once.
        let door = Door::open(section.listen, PROBE_LIMITS).await;
        let door = door.with_context(|| format!("[probe] cannot listen on {}", section.listen))?;
        info!(door = "probe", address = %door.address()?, "listening");
        running.workers.spawn(door.serve(Arc::new(ProbeOrigin), running.stopping.clone()));
    }
    let probe_host = checked.probe_host.clone();
    let sections = Sections { relay: config.relay.clone(), push: config.push.clone(), probe_host };
    let nodes = Placed::all(&checked);
    running.fleet = Some(Fleet::start(Arc::clone(&engine), sections, &nodes, running.stopping.clone())?);
    let retention = store_section.retention.0;
    let (store, clock) = (Arc::clone(&engine.store), Arc::clone(&engine.relay.clock));
    running.workers.spawn(prune(store, clock, retention, running.stopping.clone()));

    audit(running, config, &engine);
    let managed = Admin {
        registry: Arc::clone(&engine.registry),
        store: Arc::clone(&engine.relay.store),
        service: Arc::clone(&engine.service),
        notary: Arc::clone(&engine.notary),
        clock: Arc::clone(&engine.relay.clock),
    };
    admin::start(checked.admin.as_ref(), managed, &mut running.doors, running.closing.clone()).await?;
    let told = Webhooks {
        store: Arc::clone(&engine.relay.store),
        service: Arc::clone(&engine.service),
        board: Arc::clone(&engine.relay.board),
        clock: Arc::clone(&engine.relay.clock),
        registry: Arc::clone(&engine.registry),
    };
    webhooks::start(&mut running.workers, told, &config.webhooks, running.stopping.clone())?;

    let backend = Backend {
        service: Arc::clone(&engine.service),
        pushes: Arc::clone(&engine.pushes),
        registry: Arc::clone(&engine.registry),
        distribution: Arc::clone(&engine.distribution),
        notary: Arc::clone(&engine.notary),
        events: Arc::clone(events),
    };
    let rates = store_section.rates_path();
    let handler = Api::new(backend, Arc::clone(&engine.relay.clock), api, &rates);
    let handler = handler.with_context(|| format!("[store] cannot use {}", rates.display()))?;
    let door = api.open_door(checked.tls).await?;
    running.api = Some(ApiRole { address: door.address()?, store: Arc::clone(&engine.store) });
    running.doors.spawn(door.serve(Arc::new(handler), running.closing.clone()));
    let relay = &engine.relay;
    Ok(OpsService {
        service: Arc::clone(&engine.service),
        log: Arc::clone(&relay.log),
        notary: Arc::clone(&engine.notary),
        clock: Arc::clone(&relay.clock),
    })
}

/// Starts the auditor, if the file does not say otherwise.
fn audit(running: &mut Running, config: &Config, engine: &Engine) {
    let relay = &engine.relay;
    let outside = |at| Arc::new(HttpOutside::new(NodeAddress::from(at), Arc::clone(&relay.clock))) as Arc<dyn Outside>;
    let auditing = Auditing {
        store: Arc::clone(&relay.store),
        log: Arc::clone(&relay.log),
        board: Arc::clone(&relay.board),
        clock: Arc::clone(&relay.clock),
        outsides: Arc::clone(&engine.outsides),
        origins: Arc::new(config.audit.origins().into_iter().map(|(host, at)| (host, outside(at))).collect()),
        events: Arc::clone(&engine.events),
    };
    match config.audit.mode {
        AuditMode::On => {
            running.workers.spawn(Auditor::new(auditing, &config.audit).run(running.stopping.clone()));
        }
        AuditMode::Off => {}
    }
}

async fn open_engine(
    config: &Config,
    section: &StoreSection,
    checked: &Checked,
    events: &Arc<Events>,
) -> anyhow::Result<Engine> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let path = &section.path;
    let (store, log) = SqliteStore::open(path, SqliteOptions::default())
        .with_context(|| format!("[store] cannot open {}", path.display()))?;
    let (store, log): (_, Arc<dyn Log>) = (Arc::new(store), Arc::new(log));
    let as_store = Arc::clone(&store) as Arc<dyn Store>;
    let registry = open_registry(&store, &clock, section, checked).await?;
    let nodes = checked.topology.nodes();
    for node in store.forget_others(nodes).await? {
        warn!(%node, "node taken out: it is no longer in the file; should it come again, it is of unknown content");
    }
    let board = Arc::new(Board::new(nodes, store.cursors(nodes).await?, Arc::clone(&log)));
    warn_of_empty_areas(nodes);

    let newest = Arc::clone(&registry);
    let service = Arc::new(PurgeService::new(
        Arc::clone(&as_store),
        Arc::clone(&log),
        Arc::clone(&clock),
        Arc::clone(&board),
        Arc::new(move || Arc::clone(&newest.snapshot().directory)),
        config.relay.fail_after.0,
    ));
    let pushes = PushService::new(
        Arc::clone(&service),
        Arc::clone(&store) as Arc<dyn PushStore>,
        Arc::clone(&clock),
        Arc::clone(&board),
        config.push.deadline.0,
    );
    let relay = Relay {
        log,
        store: as_store,
        clock,
        board,
        observer: Arc::clone(events) as Arc<dyn Observer>,
        retry: RetryPolicy { first: config.relay.retry_first.0, max: config.relay.retry_max.0 },
    };
    let distribution = Arc::new(Distribution::of(&Placed::all(checked)));
    let events = Arc::clone(events);
    let key = config.receipts.signing_key_file.clone().unwrap_or_else(|| section.signing_key_path());
    let notary = Notary::open(&config.receipts.name(), &key).context("[receipts] signing_key_file")?;
    let (notary, pushes) = (Arc::new(notary), Arc::new(pushes));
    Ok(Engine { store, registry, distribution, relay, service, events, outsides: Arc::default(), notary, pushes })
}

/// Opens the records, and takes in what the file holds.
async fn open_registry(
    store: &Arc<SqliteStore>,
    clock: &Arc<dyn Clock>,
    section: &StoreSection,
    checked: &Checked,
) -> anyhow::Result<Arc<Registry>> {
    let store = Arc::clone(store) as Arc<dyn Store>;
    let absent = if store.records().await?.all.is_empty() { Absent::Make } else { Absent::Refuse };
    let vault = Vault::open(&section.key_path(), absent).context("[store] key_file")?;
    let registry = Registry::open(store, Arc::clone(clock), vault, checked.defaults.clone()).await;
    let registry = registry.context("[store] the records cannot be read")?;
    for difference in registry.seed(&checked.seed).await.context("[[account]] cannot be taken into the store")? {
        warn!(%difference, "the store says otherwise than the file, and the store counts");
    }
    if registry.snapshot().keys.is_empty() {
        warn!("nobody can call the API: there is no key yet");
    }
    Ok(Arc::new(registry))
}

/// How a node is told.
pub(crate) struct Told {
    /// Of purges.
    pub(crate) purger: Arc<dyn Purger>,
    /// Of domains, if it serves them by the API's word.
    pub(crate) sink: Option<Arc<dyn DomainSink>>,
    /// Of leases, if it may need them.
    pub(crate) lessor: Option<Arc<dyn Lessor>>,
}

impl Told {
    fn of(purger: impl Purger + 'static) -> Self {
        Self { purger: Arc::new(purger), sink: None, lessor: None }
    }
}

/// How the origin hop of a node is asked, when its fence rests on one.
pub(crate) fn hop(placed: &Placed, relay: &RelaySection, engine: &Engine) -> anyhow::Result<Option<Arc<dyn Hop>>> {
    let (Some(reach), Some(shield)) = (&placed.hop, &placed.node.shield) else { return Ok(None) };
    let token = reach.token.as_ref().map(crate::config::Secret::expose);
    let log = engine.log_of(shield);
    let purger = EdgePurger::new(NodeAddress::from(reach.address), limits(relay), &log, token);
    let purger = purger.with_context(|| format!("[[node]] {}: its shield", placed.node.id))?;
    Ok(Some(Arc::new(EdgeHop::new(purger))))
}

const fn limits(relay: &RelaySection) -> HttpLimits {
    HttpLimits { connect: relay.connect_timeout.0, answer: relay.answer_timeout.0, batch: relay.batch_timeout.0 }
}

/// How a node is told. A new kind of cache is one arm here.
pub(crate) fn purger(node: &Node, reach: &CheckedNode, relay: &RelaySection, engine: &Engine) -> anyhow::Result<Told> {
    let log = engine.log_of(&node.id);
    let registry = Arc::clone(&engine.registry);
    let rules: Arc<dyn RulesOf> = Arc::new(move |host: &HostName| registry.snapshot().directory.keys(host));
    let address = NodeAddress::from(reach.address);
    let limits = limits(relay);
    let control = |address: NodeAddress| {
        let token = reach.token.as_ref().map(crate::config::Secret::expose);
        EdgePurger::new(address, limits, &log, token).with_context(|| format!("[[node]] {}", node.id))
    };
    Ok(match node.kind {
        NodeKind::Varnish => {
            let mut varnish = VarnishPurger::new(address, limits, rules);
            if let Some(port) = &reach.management {
                let (events, named) = (Arc::clone(&engine.events), node.clone());
                let gauge = Arc::new(move |bans| events.node_bans(&named, bans));
                let management = Management::new(NodeAddress::from(port.address), &port.secret);
                varnish = varnish.with_cap(management, u64::from(port.bans_max), gauge);
            }
            Told::of(varnish)
        }
        NodeKind::Nginx => Told::of(NginxPurger::new(address, limits, rules)),
        NodeKind::Squid => {
            let squid = SquidPurger::new(address, limits, Arc::clone(&rules));
            Told::of(match reach.htcp {
                Some(htcp) => squid.with_htcp(NodeAddress::from(htcp), limits, rules),
                None => squid,
            })
        }
        NodeKind::TrafficServer => {
            let purger = TrafficServerPurger::new(address, limits, rules);
            match reach.agent.map(NodeAddress::from) {
                Some(agent) => {
                    let sink = EdgeDomains::new(control(agent.clone())?, &log)?;
                    Told { sink: Some(Arc::new(sink)), ..Told::of(purger.with_agent(control(agent)?)) }
                }
                None => Told::of(purger),
            }
        }
        NodeKind::Edge | NodeKind::NginxAgent | NodeKind::SquidAgent => {
            let sink = EdgeDomains::new(control(address.clone())?, &log)?;
            let purger = control(address.clone())?;
            let told = match agent_abilities(node.kind) {
                Some(abilities) => Told::of(purger.for_agent(abilities)),
                // On a connection of its own: a purge that hangs must not keep the lease's end from being known.
                None => Told { lessor: Some(Arc::new(control(address)?)), ..Told::of(purger) },
            };
            Told { sink: Some(Arc::new(sink)), ..told }
        }
    })
}

/// What the agent does that a node of this kind is; `None` where a node is no agent.
const fn agent_abilities(kind: NodeKind) -> Option<Abilities> {
    match kind {
        NodeKind::NginxAgent => Some(catharsis_agent::nginx::ABILITIES),
        NodeKind::SquidAgent => Some(catharsis_storeid::ABILITIES),
        NodeKind::Varnish | NodeKind::Nginx | NodeKind::TrafficServer | NodeKind::Squid | NodeKind::Edge => None,
    }
}

/// A built-in edge or an agent, told of domains over its control listener.
struct EdgeDomains {
    edge: EdgePurger,
    log: LogId,
}

impl EdgeDomains {
    /// With a connection of its own: a large table must not hold up a purge.
    fn new(edge: EdgePurger, log: &str) -> anyhow::Result<Self> {
        let log = LogId::new(log).context("the name of the log does not fit the control protocol")?;
        Ok(Self { edge, log })
    }
}

#[async_trait]
impl DomainSink for EdgeDomains {
    async fn serve(&self, generation: u64, contents: Contents) -> Result<u64, Unreachable> {
        let table = DomainTable::new(self.log.clone(), generation, contents.domains);
        let table = table.and_then(|table| table.with_rules(contents.rules));
        let table = table.map_err(|error| Unreachable::Protocol(Reason::new(&error.to_string())))?;
        self.edge.serve_domains(&table).await
    }

    async fn generation(&self) -> Result<Option<u64>, Unreachable> {
        self.edge.domains_generation().await
    }
}

fn warn_of_empty_areas(nodes: &[Arc<Node>]) {
    for area in Area::ALL {
        if !nodes.iter().any(|node| node.area == area) {
            warn!(%area, "no node in this area: purges for it are done at once, since nothing there could serve a copy");
        }
    }
}

/// Forgets tasks that are older than the retention, at start and then every hour.
async fn prune(store: Arc<SqliteStore>, clock: Arc<dyn Clock>, retention: Duration, stop: CancellationToken) {
    loop {
        let retention = u64::try_from(retention.as_millis()).unwrap_or(u64::MAX);
        let before = UnixMillis(clock.wall().0.saturating_sub(retention));
        match store.prune(before).await {
            Ok(0) => {}
            Ok(tasks) => info!(tasks, "tasks beyond the retention were forgotten"),
            Err(error) => warn!(%error, "tasks beyond the retention could not be forgotten; trying again in an hour"),
        }
        // A prune that is cut short by the stop resumes at the next start.
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PRUNE_EVERY) => {}
        }
    }
}

impl Running {
    /// Where the API listens.
    #[must_use]
    pub fn api(&self) -> Option<SocketAddr> {
        self.api.as_ref().map(|role| role.address)
    }

    /// Where health and metrics are.
    #[must_use]
    pub const fn ops(&self) -> Option<SocketAddr> {
        self.ops
    }

    /// Takes over edges that were started before, to stop them with the rest.
    pub fn adopt(&mut self, edges: Vec<RunningEdge>) {
        self.edges.extend(edges);
    }

    /// Follows a file that was read again: its nodes take effect, and nothing else. Returns how many differ.
    ///
    /// # Errors
    /// When a node cannot be told at all; then nothing was changed.
    pub async fn follow(&mut self, checked: &Checked) -> anyhow::Result<usize> {
        let Some(fleet) = &mut self.fleet else { return Ok(0) };
        let differences = fleet.change(&Placed::all(checked)).await?;
        warn_of_empty_areas(checked.topology.nodes());
        Ok(differences)
    }

    /// Stops: no new calls, running ones may end; then the workers, each after the attempt it is in;
    /// then the store, with everything on disk; the edges last, since they serve clients.
    pub async fn stop(mut self) {
        self.closing.cancel();
        while self.doors.join_next().await.is_some() {}
        self.stopping.cancel();
        if let Some(fleet) = self.fleet {
            fleet.end().await;
        }
        while self.workers.join_next().await.is_some() {}
        if let Some(role) = &self.api {
            role.store.close().await;
        }
        for agent in self.agents {
            agent.stop().await;
        }
        for edge in self.edges {
            edge.stop().await;
        }
    }
}
