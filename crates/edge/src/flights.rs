//! What is on its way from an origin hop to the caches behind it.
//!
//! What this is: for an edge through which other caches fetch everything, each of its responses to them from the
//! moment the request came until the cache has taken it in: a *flight*. What this is not: the edge's own fence,
//! which keeps whatever the hop itself holds from being used.
//!
//! A purge *overtakes* the flights of its URLs whose requests came before it, whatever their positions: one that is
//! told late, or again, may come after one with a higher position. Of one whose head is not sent yet the
//! response is made one that no cache may keep. Any other is *pending* until it has landed: only then may the cache
//! be purged a last time.
//!
//! When has a response landed? Not when it is sent: it may lie in the cache's socket while the purge that follows
//! runs on another thread of it. But a cache asks again on a connection, or closes it, only after it has read what
//! came before. So a flight lasts until the next request on its connection, or its end. For a connection that is
//! only kept the purge does not wait: the hop ends its own direction, and caches close idle connections then.
//!
//! Invariants:
//! - A request is a flight before its cache is looked up, and purges look for flights after their marks are set. So
//!   whatever is no flight yet begins after the marks.
//! - Whether a head was sent is decided under the same lock. Of two at once, a purge that comes first is seen by
//!   the head, and a head that comes first by the purge.
//!
//! Lock: one for the table, held for a few steps for a request or a URL purged, and for a walk over all flights for
//! each directory; at most as many as there are connections.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
#[cfg(feature = "proxy")]
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use catharsis_core::invalidation::Seq;
use catharsis_core::level::Level;

use crate::fence::{Fence, RequestUrl, Scope, Stamp, UrlKey};
use crate::protocol::LogId;

/// One response on its way, by the connection that it goes over and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlightId {
    peer: SocketAddr,
    number: u64,
}

/// One connection: its peer may come again from the same port as soon as it has closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionId {
    peer: SocketAddr,
    number: u64,
}

/// What becomes of a response whose head is about to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It goes as it is.
    Free,
    /// A purge has overtaken it: no cache may keep it.
    Overtaken,
}

/// How a hop ends its own direction of a connection, which has its cache close it once it has read what came before.
pub trait Ending: std::fmt::Debug + Send {
    /// Ends it; again changes nothing.
    fn end(&self);
}

#[cfg(feature = "proxy")]
impl Ending for TcpStream {
    fn end(&self) {
        // Fails only for a connection that is at its end already.
        let _ = self.shutdown(Shutdown::Write);
    }
}

/// See the module.
#[derive(Debug)]
pub struct Flights {
    fence: Arc<Fence>,
    table: Mutex<Table>,
    /// The lowest point whose purge still has a flight pending.
    lowest: Level<Option<Stamp>>,
}

#[derive(Debug, Default)]
struct Table {
    connections: HashMap<SocketAddr, Connection>,
    by_url: HashMap<UrlKey, Vec<SocketAddr>>,
    /// Flights whose keys may be out of date: any purge of a URL or directory may mean them.
    rekeyed: HashSet<SocketAddr>,
    connected: u64,
    pending: BTreeSet<(Stamp, SocketAddr)>,
}

#[derive(Debug)]
struct Connection {
    number: u64,
    /// The same socket as the proxy's.
    ending: Box<dyn Ending>,
    flights: u64,
    /// Requests of a connection follow each other, so there is one at most.
    flight: Option<Flight>,
}

#[derive(Debug)]
struct Flight {
    number: u64,
    url: Arc<RequestUrl>,
    stage: Stage,
    /// The earliest purge that overtook it.
    overtaken: Option<Stamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was sent.
    Asked,
    /// The head goes or went, and the cache may keep what comes.
    Sending,
    /// As far as the hop is concerned it is over.
    Sent,
    /// The cache may not keep it.
    Barred,
}

impl Flights {
    /// Nothing is on its way from the edge of this fence.
    #[must_use]
    pub fn new(fence: Arc<Fence>) -> Self {
        Self { fence, table: Mutex::default(), lowest: Level::new(None) }
    }

    // Each change leaves a table that is whole but for the pending set, which may hold too much: then a purge waits.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A cache has connected.
    pub fn connected(&self, peer: SocketAddr, ending: impl Ending + 'static) -> ConnectionId {
        let mut table = self.table();
        table.land(peer);
        table.connected += 1;
        let number = table.connected;
        let ending = Box::new(ending);
        table.connections.insert(peer, Connection { number, ending, flights: 0, flight: None });
        self.show(&table);
        ConnectionId { peer, number }
    }

    /// A connection has ended, and the cache has seen its end.
    pub fn ended(&self, ConnectionId { peer, number }: ConnectionId) {
        let mut table = self.table();
        if table.connections.get(&peer).is_some_and(|it| it.number == number) {
            table.land(peer);
            table.connections.remove(&peer);
            self.show(&table);
        }
    }

    /// A request has come on a connection: what was sent over it before has landed.
    pub fn landed_by_the_next(&self, peer: SocketAddr) {
        let mut table = self.table();
        table.land(peer);
        self.show(&table);
    }

    /// A request for a URL has come. `None` for a connection that is not known, which is one that has ended.
    pub fn asked(&self, peer: SocketAddr, url: &Arc<RequestUrl>) -> Option<FlightId> {
        let mut table = self.table();
        table.land(peer);
        let connection = table.connections.get_mut(&peer)?;
        connection.flights += 1;
        let number = connection.flights;
        connection.flight = Some(Flight { number, url: Arc::clone(url), stage: Stage::Asked, overtaken: None });
        table.by_url.entry(url.key()).or_default().push(peer);
        self.show(&table);
        Some(FlightId { peer, number })
    }

    /// The rules by which URLs get their keys have changed.
    pub fn rekeyed(&self) {
        let mut table = self.table();
        let flights = table.connections.iter().filter(|(_, it)| it.flight.is_some()).map(|(peer, _)| *peer);
        table.rekeyed = flights.collect();
    }

    /// The head of a response is about to be sent.
    pub fn departs(&self, id: FlightId) -> Departure {
        let mut table = self.table();
        let Some(flight) = table.flight(id) else { return Departure::Free };
        match flight.stage {
            Stage::Barred => Departure::Overtaken,
            Stage::Asked | Stage::Sending | Stage::Sent => {
                flight.stage = Stage::Sending;
                Departure::Free
            }
        }
    }

    /// A response was sent, as far as it goes. If a purge waits for it, its connection is ended, since the cache may
    /// keep it idle for long.
    pub fn sent(&self, id: FlightId) {
        let mut table = self.table();
        let Some(flight) = table.flight(id) else { return };
        if flight.stage == Stage::Sending {
            flight.stage = Stage::Sent;
        }
        if flight.overtaken.is_some() && flight.stage == Stage::Sent {
            table.hurry(id.peer);
        }
    }

    /// Purges at these points have set their marks.
    pub fn overtake(&self, purges: impl Iterator<Item = (Scope, Stamp)>) {
        let mut table = self.table();
        for (scope, point) in purges {
            for peer in table.named(scope) {
                table.overtake(peer, point);
            }
        }
        self.show(&table);
    }

    /// Waits until what the purges of a log up to some position above `known` overtook has landed; returns how far, at
    /// most `upto`. `None` for another log than the edge follows.
    pub async fn landed(&self, log: &LogId, known: Seq, upto: Seq) -> Option<Seq> {
        let line = self.fence.line_of(log)?;
        let [known, upto] = [known, upto].map(|it| line.point(it));
        let far = |lowest: Option<Stamp>| lowest.map_or(upto, |lowest| lowest.before().min(upto));
        let landed = self.lowest.wait_for(|lowest| Some(far(*lowest)).filter(|far| *far > known)).await;
        Some(line.seq(landed))
    }

    /// To be called with the table locked, so that what is shown does not go back.
    fn show(&self, table: &Table) {
        let lowest = table.pending.first().map(|(point, _)| *point);
        self.lowest.send_if_modified(|shown| std::mem::replace(shown, lowest) != lowest);
    }
}

impl Table {
    fn flight(&mut self, id: FlightId) -> Option<&mut Flight> {
        let flight = self.connections.get_mut(&id.peer)?.flight.as_mut();
        flight.filter(|flight| flight.number == id.number)
    }

    /// The connections whose flights a purge names.
    fn named(&self, scope: Scope) -> Vec<SocketAddr> {
        let all = || self.connections.iter().filter_map(|(peer, it)| Some((*peer, it.flight.as_ref()?)));
        let mut named: Vec<SocketAddr> = match scope {
            Scope::Url(url) => self.by_url.get(&url).cloned().unwrap_or_default(),
            Scope::Prefix(prefix) => all().filter(|(_, it)| it.url.is_below(prefix)).map(|(peer, _)| peer).collect(),
            Scope::Everything => return all().map(|(peer, _)| peer).collect(),
        };
        named.extend(&self.rekeyed);
        named
    }

    fn overtake(&mut self, peer: SocketAddr, point: Stamp) {
        let Some(flight) = self.connections.get_mut(&peer).and_then(|it| it.flight.as_mut()) else { return };
        match flight.stage {
            Stage::Asked => flight.stage = Stage::Barred,
            Stage::Barred => {}
            Stage::Sending | Stage::Sent => {
                // A purge that is carried out again, or late, may lie before the one that is known.
                let earliest = flight.overtaken.map_or(point, |it| it.min(point));
                let before = flight.overtaken.replace(earliest);
                let is_sent = flight.stage == Stage::Sent;
                if let Some(before) = before {
                    self.pending.remove(&(before, peer));
                }
                self.pending.insert((earliest, peer));
                if is_sent {
                    self.hurry(peer);
                }
            }
        }
    }

    /// Ends our direction of a connection over which all was sent.
    fn hurry(&self, peer: SocketAddr) {
        if let Some(connection) = self.connections.get(&peer) {
            connection.ending.end();
        }
    }

    /// What was on its way over a connection has landed.
    fn land(&mut self, peer: SocketAddr) {
        let Some(flight) = self.connections.get_mut(&peer).and_then(|it| it.flight.take()) else { return };
        if let Some(point) = flight.overtaken {
            self.pending.remove(&(point, peer));
        }
        self.rekeyed.remove(&peer);
        let key = flight.url.key();
        if let Some(peers) = self.by_url.get_mut(&key) {
            peers.retain(|it| *it != peer);
            if peers.is_empty() {
                self.by_url.remove(&key);
            }
        }
    }
}

#[cfg(all(test, feature = "proxy"))]
#[path = "flights_tests.rs"]
mod tests;
