//! What the built-in edge does when it is told over its control listener.
//!
//! What this is: orders turned into marks and removals, tables into routes. What this is not: the
//! listener (`control`).
//!
//! Invariant: the marks are set before anything is removed: a copy that is stored in between is
//! refused. Once [`EdgeOrders::carry_out`] has returned, the fence holds.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use catharsis_core::target::Mode;
use http::StatusCode;
use tokio::task::block_in_place;

use crate::config::Lease;
use crate::control::{Orders, Refused};
use crate::fence::{Fence, Purge, Scope};
use crate::flights::Flights;
use crate::key::Hasher;
use crate::lease::Leases;
use crate::protocol::{
    DomainTable, DomainsResponse, InvalidationsRequest, InvalidationsResponse, LANDED_WITHIN, LandedRequest,
    LandedResponse, LeaseRequest, LeaseResponse, ProtocolError, StatusResponse, WireMillis, WireMode, WireRun, WireSeq,
    WireTarget, WireTrust,
};
use crate::rid::Rid;
use crate::routes::Routes;
use crate::rules::HostRules;
use crate::storage::Store;

/// See the module.
pub(crate) struct EdgeOrders {
    pub(crate) fence: Arc<Fence>,
    pub(crate) leases: Arc<Leases>,
    pub(crate) store: &'static Store,
    pub(crate) routes: Arc<Routes>,
    pub(crate) rules: Arc<HostRules>,
    pub(crate) hasher: Hasher,
    /// Of an origin hop.
    pub(crate) flights: Option<Arc<Flights>>,
    /// Held while a table takes the place of the last one.
    pub(crate) changing: Mutex<()>,
}

#[async_trait]
impl Orders for EdgeOrders {
    async fn carry_out(&self, order: InvalidationsRequest) -> Result<InvalidationsResponse, Refused> {
        let mut purges = Vec::with_capacity(order.invalidations().len());
        // How many of `purges` each invalidation became: one a spelling.
        let mut spellings = Vec::with_capacity(order.invalidations().len());
        for it in order.invalidations() {
            let mode = match it.mode {
                WireMode::Delete => Mode::Delete,
                WireMode::Expire => Mode::Expire,
            };
            let scopes = self.scopes(&it.target);
            spellings.push(scopes.len());
            let seq = it.seq.seq();
            purges.extend(scopes.into_iter().map(|scope| Purge { seq, scope, mode }));
        }
        self.routes.follow(order.log());
        let applied = self.fence.apply(order.log(), order.upto(), &purges);
        let applied = applied.map_err(|it| Refused(StatusCode::INSUFFICIENT_STORAGE, it.to_string()))?;
        if let Some(flights) = &self.flights {
            flights.overtake(purges.iter().zip(&applied.points).map(|(purge, point)| (purge.scope, *point)));
        }
        self.leases.ordered(order.log());
        // From here on the fence holds; what follows gives the memory back and looks what was there.
        if let Some(began) = applied.log_began {
            tracing::info!(log = %order.log(), "another log: everything held is forgotten");
            block_in_place(|| self.store.remove_everything(began));
        }
        let mut found = purges.iter().zip(&applied.points).map(|(purge, point)| match (purge.scope, purge.mode) {
            (Scope::Url(url), Mode::Delete) => self.store.remove(url, *point),
            (Scope::Url(url), Mode::Expire) => self.store.outdate(url, *point),
            // Nothing is looked for, so that it costs the same whatever is held: see `storage`.
            (Scope::Prefix(_), Mode::Delete | Mode::Expire) => Rid::UNCOUNTED,
            // Walks all that is held: other requests of this thread go on meanwhile.
            (Scope::Everything, Mode::Delete) => block_in_place(|| self.store.remove_everything(*point)),
            (Scope::Everything, Mode::Expire) => block_in_place(|| self.store.outdate_everything(*point)),
        });
        let outcomes = spellings.into_iter().map(|count| {
            // Each is looked for, whatever the one before has found.
            found.by_ref().take(count).fold(Rid::NOTHING, Rid::and).outcome()
        });
        Ok(InvalidationsResponse { outcomes: outcomes.collect(), position: wire(applied.position)? })
    }

    async fn serve_domains(&self, table: DomainTable) -> Result<DomainsResponse, Refused> {
        // Ten thousand domains at most: other requests of this thread go on meanwhile.
        block_in_place(|| self.replace(&table))
    }

    async fn landed(&self, request: LandedRequest) -> Result<LandedResponse, Refused> {
        let Some(flights) = &self.flights else {
            return Err(Refused(StatusCode::NOT_FOUND, "this edge is no origin hop: set hop = true".to_owned()));
        };
        let (known, upto) = (request.known.seq(), request.upto.seq());
        // Nothing new within that time.
        let landed = tokio::time::timeout(LANDED_WITHIN, flights.landed(&request.log, known, upto)).await;
        let landed = landed.unwrap_or(Some(known));
        let landed = landed.ok_or_else(|| Refused(StatusCode::CONFLICT, "this edge follows another log".to_owned()))?;
        Ok(LandedResponse { landed: wire(landed)? })
    }

    async fn lease(&self, call: LeaseRequest) -> Result<LeaseResponse, Refused> {
        let status = self.leases.call(&call.log, call.grant.map(|it| (it.run.run(), it.until.millis())));
        let odd = |it: ProtocolError| Refused(StatusCode::INTERNAL_SERVER_ERROR, it.to_string());
        Ok(LeaseResponse {
            run: WireRun::new(status.run),
            clock: WireMillis::try_from(status.clock).map_err(odd)?,
            position: wire(self.fence.status().position)?,
            trusts: match self.leases.mode() {
                Lease::None => WireTrust::Always,
                Lease::Required => WireTrust::Leased,
            },
            until: status.until.map(WireMillis::try_from).transpose().map_err(odd)?,
        })
    }

    async fn status(&self) -> Result<StatusResponse, Refused> {
        let status = self.fence.status();
        Ok(StatusResponse {
            log: status.log,
            position: wire(status.position)?,
            entries: self.store.entries(),
            bytes: self.store.bytes(),
            marks: status.marks as u64,
            domains: self.routes.generation(),
        })
    }
}

impl EdgeOrders {
    fn replace(&self, table: &DomainTable) -> Result<DomainsResponse, Refused> {
        // One table at a time: the rules of a later one must not be undone by those of an earlier one.
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.routes.serve(table).map_err(|it| Refused(StatusCode::CONFLICT, it.to_string()))?;
        let changed = self.rules.replace(table.rules());
        if changed > 0 {
            if let Some(flights) = &self.flights {
                flights.rekeyed();
            }
            tracing::info!(domains = changed, "key rules were changed: what was held of these domains is used no more");
        }
        let generation = table.generation();
        tracing::info!(log = %table.log(), generation, domains = table.domains().len(), "domains are served");
        Ok(DomainsResponse { generation })
    }

    fn scopes(&self, target: &WireTarget) -> Vec<Scope> {
        match target {
            WireTarget::Everything => vec![Scope::Everything],
            WireTarget::Prefix(prefix) => {
                self.rules.prefix(&self.hasher, prefix).into_iter().map(Scope::Prefix).collect()
            }
            WireTarget::Url(url) => self.rules.url(&self.hasher, url).into_iter().map(Scope::Url).collect(),
        }
    }
}

fn wire(position: catharsis_core::invalidation::Seq) -> Result<WireSeq, Refused> {
    let wire = WireSeq::try_from(position);
    wire.map_err(|it| Refused(StatusCode::INTERNAL_SERVER_ERROR, it.to_string()))
}
