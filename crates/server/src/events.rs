//! What happens, told twice: to the log and to the metrics.
//!
//! What this is: one method or struct a notable event, which emits its log line and moves its
//! metrics together, so that neither is forgotten. The message of a line reads alone; the
//! identifiers are fields.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tracing::{debug, error, info, warn};

use catharsis_core::audit::{Verdict, nines};
use catharsis_core::proof::{Proof, Untried};
use catharsis_core::receipt::Settled;
use catharsis_core::relay::{Observer, RelayEvent};
use catharsis_core::topology::Node;
use catharsis_tcapi::cdn::Action;
use catharsis_tcapi::code::{ErrorCode, WireError};
use catharsis_tcapi::envelope::RequestId;

/// What is told of a node that is of no use until somebody empties it.
const CANNOT_FORGET: &str = "the node may hold old copies and cannot be told to forget everything, so it does not count: empty it, \
    take it out of the file, and add it again with join = \"empty\"";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    action: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NodeLabels {
    node: String,
    area: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    node: String,
    area: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AuditLabels {
    node: String,
    area: &'static str,
    verdict: &'static str,
}

/// Looks since the start that could be judged, at whatever nodes.
#[derive(Clone, Copy, Debug, Default)]
struct Audited {
    judged: u64,
    older: u64,
}

/// How far a node is behind.
#[derive(Clone, Copy, Debug)]
pub struct NodeLag {
    /// Invalidations that are not settled there.
    pub backlog: u64,
    /// Age of the oldest of them.
    pub lag: Duration,
}

/// The end of an API call.
#[derive(Debug)]
pub struct CallEnded<'a> {
    /// Its name.
    pub request_id: RequestId,
    /// Its action, once known.
    pub action: Option<Action>,
    /// Who signed it, once known.
    pub account: Option<u64>,
    /// How it was refused.
    pub error: Option<&'a WireError>,
    /// How long it took, its body included.
    pub took: Duration,
}

/// The metrics of this process, and its log.
#[derive(Debug)]
pub struct Events {
    registry: Registry,
    calls: Family<CallLabels, Counter>,
    accepted_tasks: Counter,
    accepted_urls: Counter,
    quota_refusals: Counter,
    store_failures: Counter,
    outcomes: Family<OutcomeLabels, Counter>,
    unreachable: Family<NodeLabels, Counter>,
    proven: Family<NodeLabels, Gauge>,
    backlog: Family<NodeLabels, Gauge>,
    lag: Family<NodeLabels, Gauge<f64, std::sync::atomic::AtomicU64>>,
    bans: Family<NodeLabels, Gauge>,
    audits: Family<AuditLabels, Counter>,
    consistency: Gauge<f64, std::sync::atomic::AtomicU64>,
    audited: Mutex<Audited>,
    lapsed: Family<NodeLabels, Gauge>,
    lease: Family<NodeLabels, Gauge<f64, std::sync::atomic::AtomicU64>>,
    applied: Histogram,
    done: Histogram,
}

impl Default for Events {
    fn default() -> Self {
        // 0.5 ms to about 17 min, doubling: an idle local node lies at the beginning, a bounded fence
        // and a node that was away at the end.
        let latency = || Histogram::new(exponential_buckets(0.000_5, 2.0, 22));
        let mut events = Self {
            registry: Registry::with_prefix("catharsis"),
            calls: Family::default(),
            accepted_tasks: Counter::default(),
            accepted_urls: Counter::default(),
            quota_refusals: Counter::default(),
            store_failures: Counter::default(),
            outcomes: Family::default(),
            unreachable: Family::default(),
            proven: Family::default(),
            backlog: Family::default(),
            lag: Family::default(),
            bans: Family::default(),
            audits: Family::default(),
            consistency: Gauge::default(),
            audited: Mutex::default(),
            lapsed: Family::default(),
            lease: Family::default(),
            applied: latency(),
            done: latency(),
        };
        events.register();
        events
    }
}

impl Events {
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("calls", "API calls by action and code (`OK` for success)", self.calls.clone());
        r.register("accepted_tasks", "Tasks accepted", self.accepted_tasks.clone());
        r.register("accepted_urls", "URLs accepted", self.accepted_urls.clone());
        r.register("quota_refusals", "Calls refused for the daily quota", self.quota_refusals.clone());
        r.register("store_failures", "Store operations that failed and were repeated", self.store_failures.clone());
        r.register("node_outcomes", "Invalidations settled at a node, by outcome", self.outcomes.clone());
        r.register("node_unreachable_attempts", "Failed attempts to tell a node", self.unreachable.clone());
        r.register("node_proven", "1 once a node has proven that it purges, 0 when it has not", self.proven.clone());
        r.register("node_backlog", "Invalidations not yet settled at a node", self.backlog.clone());
        let lag = "Age of the oldest invalidation not yet settled at a node";
        r.register_with_unit("node_lag", lag, Unit::Seconds, self.lag.clone());
        let bans = "Bans in the list of a Varnish, as of the last directory that was purged there";
        r.register("node_bans", bans, self.bans.clone());
        r.register("audits", "Looks at purged items from outside, by verdict", self.audits.clone());
        let consistency = "Nines of the looks that kept the promise: -log10 of the share that did not";
        r.register("consistency_nines", consistency, self.consistency.clone());
        let lapsed = "1 while nobody waits for a node because its lease has ended, 0 once it counts again";
        r.register("node_lapsed", lapsed, self.lapsed.clone());
        let lease = "What is left of a node's lease; 0 once it has certainly ended";
        r.register_with_unit("node_lease", lease, Unit::Seconds, self.lease.clone());
        let applied = "From acceptance until a node has carried out a purge once";
        r.register_with_unit("purge_applied", applied, Unit::Seconds, self.applied.clone());
        let done = "From acceptance until every node of an area has settled a purge, fence included";
        r.register_with_unit("purge_done", done, Unit::Seconds, self.done.clone());
    }

    /// The metrics in the text format of `OpenMetrics`.
    #[must_use]
    pub fn metrics(&self) -> String {
        let mut out = String::new();
        // Writing into a `String` cannot fail; a half page would still be shown as what it is.
        if text::encode(&mut out, &self.registry).is_err() {
            let _never = writeln!(out, "# encoding failed");
        }
        out
    }

    /// How far a node is behind, as of now.
    pub fn node_lag(&self, node: &Node, lag: NodeLag) {
        let labels = node_labels(node);
        self.backlog.get_or_create(&labels).set(i64::try_from(lag.backlog).unwrap_or(i64::MAX));
        self.lag.get_or_create(&labels).set(lag.lag.as_secs_f64());
    }

    /// What is left of a node's lease; `None` for one that has none to lose.
    pub fn node_lease(&self, node: &Node, left: Option<Duration>) {
        match left {
            Some(left) => drop(self.lease.get_or_create(&node_labels(node)).set(left.as_secs_f64())),
            None => drop(self.lease.remove(&node_labels(node))),
        }
    }

    /// How many bans a Varnish was seen to hold.
    pub fn node_bans(&self, node: &Node, bans: u64) {
        self.bans.get_or_create(&node_labels(node)).set(i64::try_from(bans).unwrap_or(i64::MAX));
    }

    /// A node was looked at from outside.
    pub fn audited(&self, node: &Node, verdict: Verdict) {
        let NodeLabels { node, area } = node_labels(node);
        self.audits.get_or_create(&AuditLabels { node, area, verdict: verdict.as_str() }).inc();
        let mut audited = self.audited.lock().unwrap_or_else(PoisonError::into_inner);
        match verdict {
            Verdict::Younger | Verdict::NoCopy => audited.judged += 1,
            Verdict::Older => {
                audited.judged += 1;
                audited.older += 1;
            }
            Verdict::Untold => {}
        }
        self.consistency.set(nines(audited.judged, audited.older));
    }

    /// A node was taken out: what was measured of it is no longer shown.
    pub fn forget(&self, node: &Node) {
        let labels = node_labels(node);
        self.backlog.remove(&labels);
        self.lag.remove(&labels);
        self.proven.remove(&labels);
        self.bans.remove(&labels);
        self.lapsed.remove(&labels);
        self.lease.remove(&labels);
        self.unreachable.remove(&labels);
        for outcome in ["applied", "absent", "refused"] {
            let NodeLabels { node, area } = node_labels(node);
            self.outcomes.remove(&OutcomeLabels { node, area, outcome });
        }
        for verdict in Verdict::ALL {
            let NodeLabels { node, area } = node_labels(node);
            self.audits.remove(&AuditLabels { node, area, verdict: verdict.as_str() });
        }
    }

    /// A task was accepted.
    pub fn accepted(&self, urls: usize) {
        self.accepted_tasks.inc();
        self.accepted_urls.inc_by(urls as u64);
    }

    /// An API call ended.
    pub fn call_ended(&self, call: &CallEnded<'_>) {
        let action = call.action.map_or("unknown", Action::as_str);
        let code = call.error.map_or("OK", |error| error.code.as_str());
        self.calls.get_or_create(&CallLabels { action, code }).inc();
        if call.error.is_some_and(|error| error.code == ErrorCode::CdnPurgeUrlExceedDayLimit) {
            self.quota_refusals.inc();
        }
        let (request_id, took_us) = (call.request_id, u64::try_from(call.took.as_micros()).unwrap_or(u64::MAX));
        let account = call.account;
        match call.error {
            // The message may repeat the caller's text; `?` escapes whatever could forge a line.
            Some(error) => {
                info!(%request_id, action, account, code, message = ?error.message, took_us, "call refused");
            }
            None => debug!(%request_id, action, account, took_us, "call answered"),
        }
    }
}

impl Observer for Events {
    fn observe(&self, node: &Node, event: &RelayEvent<'_>) {
        let name = node.id.as_str();
        match event {
            RelayEvent::Applied { batch, at } => {
                for invalidation in *batch {
                    self.applied.observe(invalidation.accepted_at.until(*at).as_secs_f64());
                }
            }
            RelayEvent::Settled { batch, receipt, watermark } => {
                self.count_outcomes(node, &receipt.outcomes);
                let newly_done = batch.iter().filter(|one| one.seq > watermark.from && one.seq <= watermark.to);
                for invalidation in newly_done {
                    self.done.observe(invalidation.accepted_at.until(receipt.at).as_secs_f64());
                }
                debug!(node = name, cursor = %receipt.cursor(), count = batch.len(), "receipt kept");
            }
            RelayEvent::Unreachable { why, attempt } => {
                self.unreachable.get_or_create(&node_labels(node)).inc();
                // The first failure is news, later ones a reminder at powers of two.
                if attempt.is_power_of_two() {
                    warn!(node = name, %why, attempt, "a node cannot be told; trying again");
                }
            }
            RelayEvent::Proof { proof, attempt } => {
                let proven = i64::from(matches!(proof, Proof::Proven));
                self.proven.get_or_create(&node_labels(node)).set(proven);
                match proof {
                    Proof::Proven => info!(node = name, "the node has proven that it purges"),
                    // It was told by whoever built it so.
                    Proof::Untried(Untried::Kind) => {}
                    Proof::Untried(_) => warn!(node = name, %proof, "whether the node purges is not proven"),
                    Proof::Failed(_) if attempt.is_power_of_two() => {
                        error!(node = name, %proof, attempt, "the node does not purge: nothing is settled there; trying again");
                    }
                    // An unreachable node has its own event.
                    Proof::Failed(_) | Proof::Unreachable(_) => {}
                }
            }
            RelayEvent::CannotForget { why, attempt } => {
                // Nothing but its operator helps.
                if attempt.is_power_of_two() {
                    error!(node = name, %why, attempt, "{CANNOT_FORGET}");
                }
            }
            RelayEvent::Lapsed => {
                self.lapsed.get_or_create(&node_labels(node)).set(1);
                warn!(node = name, "lease ended: the node uses no copy unconfirmed, and nobody waits for it");
            }
            RelayEvent::Resumed => {
                self.lapsed.get_or_create(&node_labels(node)).set(0);
                info!(node = name, "the node has caught up and counts again");
            }
            RelayEvent::TrustsAlways => {
                warn!(
                    node = name,
                    "the edge does not need leases, so tasks wait for it however long it is away: set its `lease = \"required\"`"
                );
            }
            RelayEvent::StoreFailed { error } => {
                self.store_failures.inc();
                error!(node = name, error, "the store failed; trying again");
            }
        }
    }
}

impl Events {
    fn count_outcomes(&self, node: &Node, outcomes: &[Settled]) {
        let (mut applied, mut absent, mut refused) = (0, 0, 0);
        for outcome in outcomes {
            match outcome {
                Settled::Applied | Settled::AppliedTo(_) => applied += 1,
                Settled::Absent => absent += 1,
                Settled::Refused(_) => refused += 1,
            }
        }
        for (outcome, count) in [("applied", applied), ("absent", absent), ("refused", refused)] {
            if count > 0 {
                let NodeLabels { node, area } = node_labels(node);
                self.outcomes.get_or_create(&OutcomeLabels { node, area, outcome }).inc_by(count);
            }
        }
    }
}

fn node_labels(node: &Node) -> NodeLabels {
    NodeLabels { node: node.id.as_str().to_owned(), area: node.area.as_str() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_tell_calls_by_code() {
        let events = Events::default();
        let error = WireError::new(ErrorCode::CdnPurgeUrlExceedDayLimit, "none left");
        events.call_ended(&CallEnded {
            request_id: RequestId::random(),
            action: Some(Action::PurgeUrlsCache),
            account: Some(1),
            error: Some(&error),
            took: Duration::from_millis(1),
        });
        let page = events.metrics();
        assert!(page.contains(
            "catharsis_calls_total{action=\"PurgeUrlsCache\",code=\"LimitExceeded.CdnPurgeUrlExceedDayLimit\"} 1"
        ));
        assert!(page.contains("catharsis_quota_refusals_total 1"));
        assert!(page.ends_with("# EOF\n"));
    }
}
