//! The agent: orders become rules that Traffic Server has loaded.
//!
//! What this is: a worker that owns the table. It takes all orders that wait, writes the file once, has it loaded once,
//! and answers each order when the plugin has written down that it uses those very rules. What this is not: a
//! fence, or a queue that outlives it; whoever orders and gets no success orders again.
//!
//! Invariant: one change at a time. A success is answered only after the plugin has loaded the rules of that order.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use catharsis_core::domain::DomainMap;
use catharsis_core::keys::KeyRules;
use catharsis_core::target::Mode;
use catharsis_edge::control::{OpenControl, Orders, Refused};
use catharsis_edge::protocol::{
    DomainRules, DomainTable, DomainsResponse, InvalidationsRequest, InvalidationsResponse, LogId, StatusResponse,
    WireInvalidation, WireMode, WireOutcome, WireReason, WireSeq, WireTarget,
};
use http::StatusCode;
use tokio::process::Command;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::file;
use super::place::Place;
use super::table::{RETIRED_FOR, RuleTable, TableError, word};

/// Orders that wait for the worker. A relay waits for each answer, so there is one for each of its connections.
const WAITING_MAX: usize = 64;
/// For `traffic_ctl` to end (measured: 0.014 s).
const RELOAD_WITHIN: Duration = Duration::from_secs(3);
/// For the plugin to write down what it loaded (measured: below 0.1 s) before it is told again: a word that comes while
/// Traffic Server is still starting, or at work on the one before, may be lost (seen).
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How often it is told.
const TELLS_MAX: usize = 8;
/// Seconds before its end from which on a rule may be missing from what the plugin wrote: longer than all the waiting.
const ENDS_SOON: u32 = 60;
/// How often it is looked whether it has.
const LOOK_EACH: Duration = Duration::from_millis(5);

/// How an agent is set up.
#[derive(Clone, Debug)]
pub struct TrafficServerAgentConfig {
    /// The file named by `--config` of the plugin.
    pub rules: PathBuf,
    /// The file named by `--state-file` of the plugin.
    pub loaded: PathBuf,
    /// The program that has the rules loaded, and its arguments: `traffic_ctl`, `config`, `reload`. No shell reads them.
    pub reload: Vec<String>,
    /// The longest time that Traffic Server keeps a copy fresh: `proxy.config.http.cache.guaranteed_max_lifetime`.
    /// From 10 minutes to 1 year.
    pub lifetime_max: Duration,
    /// Rules in use, 2 to 10,000: see [`super::RULES_MAX_DEFAULT`].
    pub rules_max: usize,
}

impl TrafficServerAgentConfig {
    /// Whether each setting is within its bounds.
    ///
    /// # Errors
    /// [`AgentError::Setting`], for the first that is not.
    pub fn check(&self) -> Result<(), AgentError> {
        if !(600..=365 * 86_400).contains(&self.lifetime_max.as_secs()) {
            return Err(AgentError::Setting("lifetime_max is from 10 minutes to 1 year"));
        }
        if !(2..=10_000).contains(&self.rules_max) {
            return Err(AgentError::Setting("rules_max is from 2 to 10,000"));
        }
        if self.reload.first().is_none_or(String::is_empty) {
            return Err(AgentError::Setting("reload names a program and its arguments"));
        }
        Ok(())
    }
}

/// Why an agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The rule file cannot be read.
    #[error("{path}: {error}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The rule file is not this agent's.
    #[error("{path}: {error}", path = path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Why.
        error: TableError,
    },
    /// Anyone could purge.
    #[error(transparent)]
    Control(#[from] OpenControl),
    /// The socket cannot be had.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// Why not.
        error: std::io::Error,
    },
    /// A setting is out of its bounds.
    #[error("{0}")]
    Setting(&'static str),
}

/// Tells one Traffic Server of directories. Its worker ends by the token given to [`Self::start`].
#[derive(Debug)]
pub struct TrafficServerAgent {
    orders: mpsc::Sender<Order>,
    known: Mutex<Known>,
}

/// What relays have said, gone with the process.
#[derive(Debug, Default)]
struct Known {
    log: Option<LogId>,
    position: Option<WireSeq>,
    table: Option<(LogId, u64)>,
    rules: DomainMap<Arc<KeyRules>>,
    in_use: u64,
}

#[derive(Debug)]
struct Order {
    places: Vec<(Place, Mode)>,
    done: oneshot::Sender<Result<usize, WireReason>>,
}

struct Worker {
    config: TrafficServerAgentConfig,
    table: RuleTable,
}

impl TrafficServerAgent {
    /// Reads the rule file and starts the worker.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn start(config: TrafficServerAgentConfig, stop: CancellationToken) -> Result<Self, AgentError> {
        config.check()?;
        let lifetime = u32::try_from(config.lifetime_max.as_secs()).unwrap_or(u32::MAX);
        let path = &config.rules;
        let text = file::read(path).map_err(|error| AgentError::Read { path: path.clone(), error })?;
        let table = RuleTable::new(lifetime, config.rules_max).read(&text);
        let table = table.map_err(|error| AgentError::Foreign { path: path.clone(), error })?;
        let (orders, queue) = mpsc::channel(WAITING_MAX);
        tokio::spawn(Worker { config, table }.run(queue, stop));
        Ok(Self { orders, known: Mutex::default() })
    }

    /// Has these places purged; returns the rules in use.
    ///
    /// # Errors
    /// What failed, for a person; it is to be ordered again.
    pub async fn purge(&self, places: Vec<(Place, Mode)>) -> Result<usize, WireReason> {
        let (done, answer) = oneshot::channel();
        let ended = || WireReason::from("the agent is ending".to_owned());
        self.orders.send(Order { places, done }).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    fn places(&self, invalidation: &WireInvalidation) -> Option<Vec<(Place, Mode)>> {
        let places = match &invalidation.target {
            WireTarget::Url(_) => return None,
            WireTarget::Everything => vec![Place::Everything],
            WireTarget::Prefix(prefix) => {
                let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                Place::of_prefix(prefix, known.rules.of(prefix.host().name()).map(Arc::as_ref))
            }
        };
        let mode = match invalidation.mode {
            WireMode::Delete => Mode::Delete,
            WireMode::Expire => Mode::Expire,
        };
        Some(places.into_iter().map(|place| (place, mode)).collect())
    }
}

#[async_trait]
impl Orders for TrafficServerAgent {
    async fn carry_out(&self, order: InvalidationsRequest) -> Result<InvalidationsResponse, Refused> {
        // By other rules a directory may lie elsewhere. The rules are gone with the process, and come again soon.
        let by_rules = order.invalidations().iter().any(|it| matches!(it.target, WireTarget::Prefix(_)));
        if by_rules && self.known.lock().unwrap_or_else(PoisonError::into_inner).table.is_none() {
            let why = "the key rules of the domains have not come yet";
            return Err(Refused(StatusCode::SERVICE_UNAVAILABLE, why.to_owned()));
        }
        let wanted: Vec<_> = order.invalidations().iter().map(|it| self.places(it)).collect();
        let places: Vec<_> = wanted.iter().flatten().flatten().cloned().collect();
        let purged = if places.is_empty() { Ok(None) } else { self.purge(places).await.map(Some) };
        let outcomes = wanted.iter().map(|wanted| match (wanted, &purged) {
            (None, _) => WireOutcome::Unsupported,
            (Some(_), Ok(_)) => WireOutcome::Applied,
            (Some(_), Err(why)) => WireOutcome::Failed(why.clone()),
        });
        let outcomes = outcomes.collect();
        let position = WireSeq::try_from(order.upto());
        let position = position.map_err(|error| Refused(StatusCode::BAD_REQUEST, error.to_string()))?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.log.as_ref() != Some(order.log()) {
            (known.log, known.position) = (Some(order.log().clone()), None);
        }
        let position = known.position.map_or(position, |known| known.max(position));
        known.position = Some(position);
        if let Ok(Some(in_use)) = purged {
            known.in_use = in_use as u64;
        }
        Ok(InvalidationsResponse { position, outcomes })
    }

    async fn serve_domains(&self, table: DomainTable) -> Result<DomainsResponse, Refused> {
        let generation = table.generation();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((log, newer)) = &known.table
            && log == table.log()
            && *newer > generation
        {
            return Err(Refused(StatusCode::CONFLICT, format!("a table of generation {newer} is in use")));
        }
        known.rules = DomainRules::by_host(table.rules());
        known.table = Some((table.log().clone(), generation));
        Ok(DomainsResponse { generation })
    }

    async fn status(&self) -> Result<StatusResponse, Refused> {
        let zero = WireSeq::try_from(catharsis_core::invalidation::Seq::ZERO);
        let zero = zero.map_err(|error| Refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let position = known.position.unwrap_or(zero);
        let (log, domains) = (known.log.clone(), known.table.as_ref().map(|(_, generation)| *generation));
        // What Traffic Server holds it tells nobody by way of this agent.
        Ok(StatusResponse { log, position, entries: 0, bytes: 0, marks: known.in_use, domains })
    }
}

impl Worker {
    async fn run(mut self, mut queue: mpsc::Receiver<Order>, stop: CancellationToken) {
        loop {
            let mut orders = Vec::new();
            tokio::select! {
                () = stop.cancelled() => return,
                count = queue.recv_many(&mut orders, WAITING_MAX) => if count == 0 { return },
            }
            let places: Vec<_> = orders.iter().flat_map(|order| order.places.iter().cloned()).collect();
            let purged = self.purge(&places).await;
            if let Err(why) = &purged {
                tracing::warn!(%why, "directories are not purged");
            }
            for order in orders {
                // Whoever went away orders again, and is told then.
                let _gone = order.done.send(purged.clone().map_err(WireReason::from));
            }
        }
    }

    async fn purge(&mut self, places: &[(Place, Mode)]) -> Result<usize, String> {
        let now = now();
        let mut next = self.table.clone();
        next.order(places, now).map_err(|error| error.to_string())?;
        let (path, text) = (self.config.rules.clone(), next.text());
        let written = tokio::task::spawn_blocking(move || file::replace(&path, &text)).await;
        let written = written.map_err(std::io::Error::other).flatten();
        written.map_err(|error| format!("the rule file cannot be written: {error}"))?;
        // From here on the file has it, whatever else fails.
        self.table = next;
        for _ in 0..TELLS_MAX {
            self.reload().await?;
            if self.loads_within(AGAIN_AFTER, now).await? {
                return Ok(self.table.rules().filter(|(_, rule)| rule.until > now.saturating_add(RETIRED_FOR)).count());
            }
        }
        let path = Path::display(&self.config.loaded);
        Err(format!("Traffic Server did not load the rules, though told {TELLS_MAX} times: see {path}"))
    }

    async fn reload(&self) -> Result<(), String> {
        let [program, arguments @ ..] = self.config.reload.as_slice() else {
            return Err("there is no program to have the rules loaded".to_owned());
        };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let ended = timeout(RELOAD_WITHIN, command.status()).await;
        let ended = ended.map_err(|_| format!("{program} does not end"))?;
        let status = ended.map_err(|error| format!("{program} cannot be run: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("{program} failed, {status}: does traffic_manager run?")) }
    }

    /// Whether the plugin writes down within this time each rule that is not about to end.
    async fn loads_within(&self, within: Duration, now: u32) -> Result<bool, String> {
        let deadline = Instant::now() + within;
        loop {
            let path = self.config.loaded.clone();
            let loaded = tokio::task::spawn_blocking(move || file::read(&path)).await;
            let loaded = loaded.map_err(std::io::Error::other).flatten();
            let loaded = loaded.map_err(|error| format!("what the plugin loaded cannot be read: {error}"))?;
            let is_loaded = is_loaded(&self.table, &loaded, now);
            if is_loaded || Instant::now() >= deadline {
                return Ok(is_loaded);
            }
            sleep(LOOK_EACH).await;
        }
    }
}

/// Whether what the plugin wrote (`pattern second-of-loading second-of-end word`) has all rules.
fn is_loaded(table: &RuleTable, loaded: &str, now: u32) -> bool {
    let mut known: HashMap<&str, (&str, &str)> = HashMap::new();
    for line in loaded.lines() {
        let mut words = line.split(' ');
        if let (Some(pattern), Some(_), Some(until), Some(mode)) =
            (words.next(), words.next(), words.next(), words.next())
        {
            known.insert(pattern, (until, mode));
        }
    }
    let ends_soon = now.saturating_add(ENDS_SOON);
    table.rules().filter(|(_, rule)| rule.until > ends_soon).all(|(place, rule)| {
        let until = rule.until.to_string();
        known.get(place.pattern().as_str()) == Some(&(until.as_str(), word(rule.mode)))
    })
}

/// Seconds of the Unix epoch.
fn now() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}
